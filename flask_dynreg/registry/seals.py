"""Seals: what the trail was at a time, to be kept elsewhere. They tell of chains that are gone with their heads."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import select

from flask_dynreg.registry.chains import (
    NOTHING,
    RUN,
    RUNS,
    Tally,
    details_of,
    digest_of_head,
    events_of,
    last_link,
    number_in,
    subject_of,
)
from flask_dynreg.registry.credentials import Credentials
from flask_dynreg.registry.events import Events
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.trail import NO_CLIENT, Links

SETTLED = 60
"""Seconds after which an event is sealed: by then transactions are over that have written one with such a time."""

_SIGNED = ("issuer", "sealed_at", "until", "events", "chains", "heads", "prunings")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What has become of what was sealed."""

    is_ours: bool
    """Whether the seal itself is good: under one of our keys, of this issuer, and not altered."""
    missing: int = 0
    """How many of its events are not there any more, without those that were pruned; below 0 if there are more."""
    same_heads: bool = True
    was_pruned: bool = False
    """Whether anything was pruned since."""
    is_overtaken: bool = False
    """Whether younger events were pruned than it has: then nobody can say any more what is missing."""

    @property
    def is_whole(self) -> bool:
        """Whether all is there or was pruned."""
        return self.is_ours and self.missing == 0 and self.same_heads

    @property
    def is_sound(self) -> bool:
        return self.is_whole or self.is_overtaken


@dataclass(frozen=True, slots=True)
class _Pruned:
    """What prunings have removed, together."""

    runs: int = 0
    older_than: int = 0
    gone: Tally = NOTHING

    def __add__(self, other: "_Pruned") -> "_Pruned":
        return _Pruned(self.runs + other.runs, max(self.older_than, other.older_than), self.gone + other.gone)


class Seals:
    """The seals of one issuer."""

    def __init__(self, sessions: Sessions, models: Models, issuer: str, links: Links, credentials: Credentials) -> None:
        self._sessions = sessions
        self._issuer = issuer
        self._links = links
        self._credentials = credentials
        names = ("id", "client_id", "type", "occurred_at", "details", "link")
        self._events = Events(sessions, models, issuer, names)
        head = table_of(models.trail_head)
        self._last_run = select(head.c.link).where(head.c.issuer == issuer, head.c.subject == RUNS)

    def make(self) -> dict[str, Any]:
        """The tally of what there was until a minute ago, and how often it was pruned until now; signed as links are."""
        now = self._credentials.now()
        (there,), runs = self._read([now - SETTLED])
        seal = {"issuer": self._issuer, "sealed_at": now, "until": now - SETTLED}
        seal |= {**there.to_json(), "prunings": len(runs)}
        return seal | {"seal": self._links.sign([seal[name] for name in _SIGNED])}

    def compare(self, seals: Sequence[Mapping[str, Any]]) -> list[Comparison]:
        """What was sealed with what is there now and what was pruned since, in one reading for all seals."""
        untils = sorted({seal["until"] for seal in seals if self._is_ours(seal)})
        tallies, runs = self._read(untils) if untils else ([], [])
        there = dict(zip(untils, tallies, strict=True))
        since = list(accumulate(reversed(runs), initial=_Pruned()))[::-1]
        return [
            _compared(seal, there[seal["until"]], since[min(seal["prunings"], len(runs))])
            if self._is_ours(seal)
            else Comparison(is_ours=False)
            for seal in seals
        ]

    def _is_ours(self, seal: Mapping[str, Any]) -> bool:
        signed = [seal.get(name) for name in _SIGNED]
        return seal.get("issuer") == self._issuer and self._links.has_signed(signed, str(seal.get("seal")))

    def _read(self, untils: Sequence[int]) -> tuple[list[Tally], list[_Pruned]]:
        """The tallies until each of these times, and all prunings; again if anything was pruned meanwhile."""
        while True:
            before = self._sessions.first(self._last_run, {})
            read = self._read_once(untils)
            if self._sessions.first(self._last_run, {}) == before:
                return read

    def _read_once(self, untils: Sequence[int]) -> tuple[list[Tally], list[_Pruned]]:
        # What was written between two of these times each; what is younger is in the last place. By times, not by numbers of
        # events: those say nothing of when somebody has written them, and some databases give them again.
        events, chains, heads = ([0] * (len(untils) + 1) for _ in range(3))
        runs: list[_Pruned] = []
        read = chain(self._events.of_clients(), self._events.of(NO_CLIENT))
        for client_id, those in groupby(read, itemgetter("client_id")):
            ends: dict[str, tuple[int, str | None]] = {}
            for event in those:
                details, subject = details_of(event), subject_of(event)
                if client_id == NO_CLIENT and event["type"] == RUN:
                    gone = Tally.from_json(details.get("gone"))
                    runs.append(_Pruned(1, number_in(details, "older_than"), gone))
                if event["link"] is None:
                    continue
                place = bisect_left(untils, event["occurred_at"])
                if subject not in ends:
                    chains[place] += 1
                elif (before := ends[subject][0]) < place:
                    head = digest_of_head(client_id, subject, ends[subject][1])
                    heads[before] += head
                    heads[place] -= head
                else:
                    place = before  # what follows a younger one is pruned after it as well
                events[place] += events_of(event, details)
                ends[subject] = place, last_link(event, details)
            for subject, (place, link) in ends.items():
                heads[place] += digest_of_head(client_id, subject, link)
        between = [Tally(*counts) for counts in zip(events, chains, heads, strict=True)]
        return list(accumulate(between, initial=NOTHING))[1:-1], runs


def _compared(seal: Mapping[str, Any], there: Tally, since: _Pruned) -> Comparison:
    sealed, now = Tally.from_json(seal), there + since.gone
    return Comparison(
        is_ours=True,
        missing=sealed.events - now.events,
        same_heads=(sealed.chains, sealed.heads) == (now.chains, now.heads),
        was_pruned=since.runs > 0,
        is_overtaken=since.older_than > seal["until"] + 1,
    )
