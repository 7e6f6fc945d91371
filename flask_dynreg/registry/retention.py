"""What is not kept for ever: the beginnings of chains, and older versions of clients."""

import json
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from sqlalchemy import BindParameter, bindparam, delete, update

from flask_dynreg.errors import RaceLostError
from flask_dynreg.registry.chains import (
    NOTHING,
    PRUNED,
    RUN,
    RUNS,
    Break,
    Chain,
    Chains,
    Rules,
    Tally,
    details_of,
    digest_of_head,
    last_link,
    subject_of,
)
from flask_dynreg.registry.events import PAGE, Event, Events, batches
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.trail import COVERED, NO_CLIENT, Links, Trail

AT_ONCE = 1000
"""Events that are removed, or looked at for older versions, in one transaction, or few more, with the event that says so."""
_HISTORY = "history"
"""The subject of events about versions."""


@dataclass(slots=True)
class Removed:
    """What one transaction removes."""

    events: int = 0
    """Those not included that stand for others."""
    numbers: list[int] = field(default_factory=list)
    """Of the rows that go."""
    gone: Tally = NOTHING
    """The chains of which nothing stays."""


class Retention:
    """Removes events of one issuer, or what they keep, in the session's transaction: who calls it commits, each time."""

    def __init__(
        self,
        sessions: Sessions,
        models: Models,
        issuer: str,
        links: Links,
        trail: Trail,
        chains: Chains,
        history: int,
    ) -> None:
        self._sessions = sessions
        self._links = links
        self._trail = trail
        self._chains = chains
        self._history = history
        self._versions = Events(sessions, models, issuer, ("id", "client_id", "metadata_before"))
        event = table_of(models.event)
        these: BindParameter[Any] = bindparam("these", expanding=True)
        self._delete = delete(event).where(event.c.id.in_(these))
        there = event.c.metadata_before.is_not(None)
        self._erase = update(event).where(there, event.c.id.in_(these)).values(metadata_before=None)
        self._replace = update(event).where(
            event.c.id == bindparam("w_id"), event.c.link == bindparam("w_link", type_=event.c.link.type)
        )

    def prune(
        self, older_than: int, by: str | None = None, *, unkeyed: bool = False
    ) -> Iterator[tuple[int, list[Break]]]:
        """Removes what is older than a time in seconds since the epoch: how many events, with the event that says so, or what is
        wrong with a chain, which stays as it is then.

        What stays of a chain begins with an event that says so; nothing stays of a client that is gone for as long. Raises
        RaceLostError if somebody else does it at this moment.
        """
        rules = Rules(self._links, unkeyed, older_than)
        sound: dict[str, dict[str, Chain]] = {}
        removable = 0
        for chain in self._chains.judged(None, rules):
            if chain.breaks:
                yield 0, chain.breaks
            elif chain.old and chain.subject != RUNS:  # by these a seal explains what is missing
                if removable >= AT_ONCE and chain.client_id:  # what is of no client is read once for all of it
                    yield from self._prune(sound, rules, by)
                    sound, removable = {}, 0
                sound.setdefault(chain.client_id, {})[chain.subject] = chain
                removable += chain.old
        yield from self._prune(sound, rules, by)

    def erase_older(self, by: str | None = None) -> Iterator[int]:
        """Erases for every client what `DYNREG_HISTORY` keeps no more, some at a time: how many versions, with the event that
        says so. Raises RaceLostError if somebody else does it at this moment.
        """
        client_id, kept = NO_CLIENT, deque[int]()
        for some in batches(self._versions.of_clients(), AT_ONCE):
            gone: list[int] = []
            for event in some:
                if event["client_id"] != client_id:
                    client_id = event["client_id"]
                    kept.clear()
                if event["metadata_before"] is not None:
                    kept.append(event["id"])
                if len(kept) > self._history:
                    gone.append(kept.popleft())
            erased = self._sessions.connection().execute(self._erase, {"these": gone}).rowcount if gone else 0
            if erased:
                self._trail.note(_HISTORY, "versions_erased", by=by, versions=erased)
                yield erased

    def _prune(
        self, sound: Mapping[str, dict[str, Chain]], rules: Rules, by: str | None
    ) -> Iterator[tuple[int, list[Break]]]:
        """Those of each client, and all of no client together."""
        removed = Removed()
        for client_id, chains in sound.items():
            for step in self._steps(client_id, chains, rules):
                removed.events += step.events
                removed.numbers += step.numbers
                removed.gone += step.gone
                if removed.events >= AT_ONCE:
                    self._remove(removed, rules, by)
                    yield removed.events, []
                    removed = Removed()
        if removed.events:
            self._remove(removed, rules, by)
            yield removed.events, []

    def _remove(self, removed: Removed, rules: Rules, by: str | None) -> None:
        connection = self._sessions.connection()
        for these in batches(removed.numbers, PAGE):
            if connection.execute(self._delete, {"these": these}).rowcount != len(these):
                raise RaceLostError()  # somebody else has told of them
        gone = removed.gone.to_json() if removed.gone.chains else None
        self._trail.note(RUNS, RUN, by=by, events=removed.events, older_than=rules.older_than, gone=gone)

    def _steps(self, client_id: str, sound: dict[str, Chain], rules: Rules) -> Iterator[Removed]:
        """What is removed of these chains, by their subjects: in steps of which each leaves them sound."""
        again = {subject: Chain(client_id, subject) for subject in sound}
        begins: dict[str, list[int]] = {}
        until = max(chain.old_until for chain in sound.values())
        read = takewhile(lambda event: event["id"] <= until, self._chains.events.of(client_id))
        for some in batches(read, AT_ONCE):
            removed, old = Removed(), defaultdict[str, list[Event]](list)
            for event in some:
                subject = subject_of(event)
                if subject in sound and event["id"] <= sound[subject].old_until:
                    again[subject].add(event, rules)
                    old[subject].append(event)
            for subject, events in old.items():
                chain, whole = again[subject], sound[subject]
                linked = [event for event in events if event["link"] is not None]
                is_gone = whole.is_over and chain.last == whole.last
                kept = linked[-1] if linked and not is_gone else None
                count = sum(event["type"] != PRUNED for event in events)
                if chain.waits or chain.breaks or (kept and count and not self._begin_with_pruned(chain, kept)):
                    del sound[subject]  # somebody else prunes it at this moment
                    continue
                removed.numbers += begins.pop(subject, []) + [event["id"] for event in events if event is not kept]
                removed.events += count
                if kept:
                    begins[subject] = [kept["id"]]
                elif linked:
                    link = last_link(linked[-1], details_of(linked[-1]))
                    removed.gone += Tally(chain.counted, 1, digest_of_head(client_id, subject, link))
            yield removed

    def _begin_with_pruned(self, chain: Chain, last: Event) -> bool:
        """The last one that is removed becomes the one that says so: it stays in its place, and the head where it is.

        False if it is not there any more.
        """
        details = {"removed": chain.counted, "last": last_link(last, details_of(last))}
        if not chain.is_keyed:
            details["unkeyed"] = True
        event = {
            **{name: last[name] for name in COVERED},
            "type": PRUNED,
            "source": None,
            "initial_access_token_id": None,
            "details": json.dumps(details if chain.client_id else details | {"subject": chain.subject}),
            "metadata_before": None,
            "previous": None,
        }
        event["link"] = self._links.of(event)
        this = {"w_id": last["id"], "w_link": last["link"]}
        return self._sessions.connection().execute(self._replace.values(**event), this).rowcount == 1
