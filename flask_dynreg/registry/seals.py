"""Seals: what the trail was at a time, to be kept elsewhere. They tell of chains that are gone with their heads."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, chain, groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import bindparam, select

from flask_dynreg.registry.chains import RUN, details_of, last_link, number_in, subject_of
from flask_dynreg.registry.credentials import Credentials
from flask_dynreg.registry.events import Events
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.trail import NO_CLIENT, Links

SETTLED = 60
"""Seconds after which an event is sealed: by then transactions are over that had a number before and were not committed."""

_SIGNED = ("issuer", "sealed_at", "last_event", "events", "chains", "heads")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What has become of what was sealed."""

    is_ours: bool
    """Whether the seal itself is good: under one of our keys, of this issuer, and not altered."""
    missing: int = 0
    """How many of its events are not there any more; below 0 if there are more."""
    pruned: int = 0
    """How many events were pruned since, by what the trail says."""
    same_heads: bool = True

    @property
    def is_sound(self) -> bool:
        """Pruning explains what is missing, and other heads with it."""
        as_sealed = self.missing == 0 and self.same_heads
        return self.is_ours and (as_sealed or 0 <= self.missing <= self.pruned > 0)


@dataclass(frozen=True, slots=True)
class _There:
    """What there is up to a number of an event: the digest of the heads, and how many events were pruned since."""

    events: int
    chains: int
    heads: str
    pruned: int


class Seals:
    """The seals of one issuer."""

    def __init__(self, sessions: Sessions, models: Models, issuer: str, links: Links, credentials: Credentials) -> None:
        self._sessions = sessions
        self._issuer = issuer
        self._links = links
        self._credentials = credentials
        self._events = Events(sessions, models, issuer, ("id", "client_id", "type", "details", "link"))
        event = table_of(models.event)
        # By their numbers, from the last one on; by an index on the issuer all of its events would be read.
        self._last = (
            select(event.c.id)
            .where(event.c.issuer.concat("") == issuer)
            .where(event.c.occurred_at <= bindparam("until", type_=event.c.occurred_at.type))
            .order_by(event.c.id.desc())
            .limit(1)
        )

    def make(self) -> dict[str, Any]:
        """How many events and chains there are, and a digest of the last link of each chain; signed as links are."""
        now = self._credentials.now()
        row = self._sessions.first(self._last, {"until": now - SETTLED})
        last = row[0] if row else 0
        (there,) = self._counted([last])
        seal = {"issuer": self._issuer, "sealed_at": now, "last_event": last}
        seal |= {"events": there.events, "chains": there.chains, "heads": there.heads}
        return seal | {"seal": self._links.sign([seal[name] for name in _SIGNED])}

    def compare(self, seals: Sequence[Mapping[str, Any]]) -> list[Comparison]:
        """What was sealed with what is there now, in one reading for all seals."""
        lasts = sorted({seal["last_event"] for seal in seals if self._is_ours(seal)})
        there = dict(zip(lasts, self._counted(lasts), strict=True)) if lasts else {}
        return [
            _compared(seal, there[seal["last_event"]]) if self._is_ours(seal) else Comparison(is_ours=False)
            for seal in seals
        ]

    def _is_ours(self, seal: Mapping[str, Any]) -> bool:
        signed = [seal.get(name) for name in _SIGNED]
        return seal.get("issuer") == self._issuer and self._links.has_signed(signed, str(seal.get("seal")))

    def _counted(self, lasts: Sequence[int]) -> list[_There]:
        """What there is up to each of these numbers of events, of which each is greater than the one before."""
        # Between two of them each; what is behind the last one is in the last place.
        events, chains, heads, pruned = ([0] * (len(lasts) + 1) for _ in range(4))
        # Those of no client are the last ones: what is pruned meanwhile is told there.
        read = chain(self._events.of_clients(), self._events.of(NO_CLIENT))
        for client_id, those in groupby(read, itemgetter("client_id")):
            ends: dict[str, tuple[int, str | None]] = {}
            for event in those:
                place, details = bisect_left(lasts, event["id"]), details_of(event)
                if event["type"] == RUN and client_id == NO_CLIENT:
                    pruned[place] += number_in(details, "events")
                if event["link"] is None or place == len(lasts):
                    continue
                events[place] += 1
                name = f"{client_id} {subject_of(event)}"
                if name not in ends:
                    chains[place] += 1
                elif ends[name][0] < place:
                    before, link = ends[name]
                    heads[before] += _digest(name, link)
                    heads[place] -= _digest(name, link)
                ends[name] = place, last_link(event, details)
            for name, (place, link) in ends.items():
                heads[place] += _digest(name, link)
        behind = list(accumulate(reversed(pruned)))[::-1]
        up_to = zip(accumulate(events), accumulate(chains), accumulate(heads), behind[1:], strict=False)
        return [_There(*counts[:2], f"{counts[2] % 2**256:064x}", counts[3]) for counts in up_to]


def _compared(seal: Mapping[str, Any], there: _There) -> Comparison:
    return Comparison(
        is_ours=True,
        missing=seal["events"] - there.events,
        pruned=there.pruned,
        same_heads=(seal["chains"], seal["heads"]) == (there.chains, there.heads),
    )


def _digest(name: str, link: str | None) -> int:
    """Of a head. Their sum is the same in whatever order: that of a database's texts changes with its locale."""
    return int(sha256(f"{name} {link}".encode()).hexdigest(), 16)
