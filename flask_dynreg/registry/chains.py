"""The chains of the trail, read as a whole: verified, and made shorter at their beginning."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, bindparam, delete, exists, or_, select, update

from flask_dynreg.registry.models import Exact, Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.trail import COVERED, NO_CLIENT, Links, Trail, digest_of

Event = dict[str, Any]
"""The row of an event."""

PAGE = 500
_FIRST = -(2**62)
"""Before any number of an event: one below 0 is of somebody who was to be seen by nobody."""
PRUNED = "pruned"
"""The event that takes the place of the older ones of its chain: how many were `removed`, and the `last` link of them."""
RUN, RUNS = "trail_pruned", "trail"
"""The event of one pruning, and its subject."""


@dataclass(frozen=True, slots=True)
class Break:
    """What is wrong with a chain: `altered` is an event that is not what it was, or was not written by us; `removed` one that
    does not follow the event before; `head` a chain that does not end where the client or subject says. `event` is its number."""

    subject: str
    kind: str
    event: int | None = None


@dataclass
class Found:
    """What a verification has seen so far."""

    events: int = 0
    chains: int = 0
    before: int = 0
    """Events without a link, from before there was a trail."""
    unkeyed: int = 0
    """Events whose link is under no key."""


@dataclass
class Chain:
    """What was read of a chain, and what is wrong with it."""

    client_id: str
    subject: str
    seen: str | None = None
    """The link that its head should be; None before the first one, and after the end of a client."""
    counted: int = 0
    """Events with a link, those included that were pruned."""
    found: Found = field(default_factory=Found)
    breaks: list[Break] = field(default_factory=list)
    old: list[Event] = field(default_factory=list)
    """Its first events, as far as they are older than asked for."""
    is_keyed: bool = False

    @property
    def name(self) -> str:
        return self.client_id or self.subject

    def add(self, event: Event, links: Links, *, unkeyed: bool, older_than: int) -> None:
        if event["occurred_at"] < older_than and len(self.old) == self.found.events:
            self.old.append(event)
        self.found.events += 1
        link, details = event["link"], details_of(event)
        if link is None and not self.counted:
            self.found.before += 1
            return
        if link is None or not self._is_sound(event, link, details, links, unkeyed):
            self.breaks.append(Break(self.name, "altered", event["id"]))
        if event["previous"] != self.seen or (event["type"] == PRUNED and self.counted):
            self.breaks.append(Break(self.name, "removed", event["id"]))
        self.seen, self.counted = last_link(event, details), self.counted + events_of(event, details)
        if self.client_id and event["version"] is None:
            self.seen = None

    def _is_sound(self, event: Event, link: str, details: Mapping[str, Any], links: Links, unkeyed: bool) -> bool:
        before = event["metadata_before"]
        if before is not None and details.get("before") != digest_of(before):
            return False
        if links.is_of(event, link):
            self.is_keyed = True
            return True
        # Under no key only before the first key: whoever can write to the database could make the rest.
        self.found.unkeyed += 1
        return not self.is_keyed and links.is_of(event, link, unkeyed=unkeyed)


def details_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Empty for what is no JSON object: then somebody has altered it."""
    with suppress(ValueError):
        details = json.loads(event["details"] or "{}")
        if isinstance(details, dict):
            return details
    return {}


def last_link(event: Mapping[str, Any], details: Mapping[str, Any]) -> str | None:
    """The link that comes before the next event."""
    link: str | None = details.get("last") if event["type"] == PRUNED else event["link"]
    return link


def events_of(event: Mapping[str, Any], details: Mapping[str, Any]) -> int:
    """How many events this one stands for."""
    return number_in(details, "removed") if event["type"] == PRUNED else 1


def number_in(details: Mapping[str, Any], name: str) -> int:
    """0 for what is no number: then somebody has altered it."""
    number = details.get(name)
    return number if isinstance(number, int) else 0


class Chains:
    """The chains of one issuer."""

    def __init__(self, sessions: Sessions, models: Models, issuer: str, links: Links, trail: Trail) -> None:
        self._sessions = sessions
        self._issuer = issuer
        self._links = links
        self._trail = trail
        event, client, head = table_of(models.event), table_of(models.client), table_of(models.trail_head)
        self._event = event
        columns = [event.c[name] for name in ("id", *COVERED, "metadata_before", "link")]
        after, last = bindparam("after", type_=Exact), bindparam("last", type_=event.c.id.type)
        self._page = (
            select(*columns)
            .where(
                event.c.issuer == issuer, event.c.client_id >= after, or_(event.c.client_id > after, event.c.id > last)
            )
            .order_by(event.c.client_id, event.c.id)
            .limit(PAGE)
        )
        self._page_of_one = self._page.where(event.c.client_id == bindparam("only", type_=Exact))
        these: BindParameter[Any] = bindparam("these", expanding=True)
        self._client_heads = select(client.c.client_id, client.c.trail_head).where(client.c.client_id.in_(these))
        self._heads = select(head.c.subject, head.c.link, head.c.events).where(head.c.issuer == issuer)
        told = exists().where(
            event.c.issuer == issuer, event.c.client_id == client.c.client_id, event.c.link.is_not(None)
        )
        self._untold = (
            select(client.c.client_id)
            .where(or_(client.c.issuer == issuer, client.c.issuer.is_(None)), client.c.trail_head.is_not(None), ~told)
            .where(client.c.client_id > after)
            .order_by(client.c.client_id)
            .limit(PAGE)
        )
        self._untold_one = self._untold.where(client.c.client_id == bindparam("only", type_=Exact))
        self._since = (
            select(*columns)
            .where(event.c.issuer == issuer, event.c.id > last)
            .where(event.c.occurred_at >= bindparam("since", type_=event.c.occurred_at.type))
            .order_by(event.c.id)
            .limit(PAGE)
        )
        self._delete = delete(event).where(event.c.id.in_(these))
        self._replace = update(event).where(
            event.c.id == bindparam("w_id"), event.c.link == bindparam("w_link", type_=event.c.link.type)
        )

    def events(self, client_id: str | None = None) -> Iterator[Event]:
        """Every event, or those of one client, in the order of the clients and then of their numbers."""
        statement = self._page if client_id is None else self._page_of_one
        this: dict[str, Any] = {"after": "", "last": _FIRST} | ({} if client_id is None else {"only": client_id})
        while rows := self._sessions.all(statement, this):
            for row in rows:
                yield dict(row._mapping)
            this |= {"after": rows[-1].client_id, "last": rows[-1].id}

    def since(self, since: int) -> Iterator[Event]:
        """Events from a time on (seconds since the epoch), in the order in which they were written."""
        this = {"since": since, "last": _FIRST}
        while rows := self._sessions.all(self._since, this):
            for row in rows:
                yield dict(row._mapping)
            this["last"] = rows[-1].id

    def verify(self, found: Found, client_id: str | None = None, *, unkeyed: bool = False) -> Iterator[Break]:
        """What is wrong, chain by chain; `found` is filled meanwhile. With `unkeyed` links are good as well that were made
        before there were keys."""
        for chain in self._judged(client_id, unkeyed=unkeyed):
            found.chains += 1
            found.events += chain.found.events
            found.before += chain.found.before
            found.unkeyed += chain.found.unkeyed
            yield from chain.breaks
        yield from (Break(name, "head") for name in self._without_events(client_id))

    def prune(self, older_than: int, *, unkeyed: bool = False) -> Iterator[tuple[int, list[Break]]]:
        """Removes what is older than a time in seconds since the epoch: chain by chain, how many events, in the session's
        transaction, or what is wrong with the chain, which stays as it is then. The caller notes it and commits.

        What stays of a chain begins with an event that says so; nothing stays of a client that is gone for as long.
        """
        for chain in self._judged(None, unkeyed=unkeyed, older_than=older_than):
            if chain.breaks:
                yield 0, chain.breaks
            elif chain.subject == RUNS:
                continue  # by these a seal explains what is missing
            elif any(event["type"] != PRUNED for event in chain.old):
                is_over = bool(chain.client_id) and chain.seen is None and len(chain.old) == chain.found.events
                linked = [event for event in chain.old if event["link"] is not None]
                if linked and not is_over and not self._begin_with_pruned(chain, linked):
                    yield 0, []  # somebody else prunes it at this moment
                    continue
                gone = [event["id"] for event in chain.old if is_over or event not in linked[-1:]]
                for start in range(0, len(gone), PAGE):
                    self._sessions.connection().execute(self._delete, {"these": gone[start : start + PAGE]})
                yield sum(event["type"] != PRUNED for event in chain.old), []

    def note_pruning(self, removed: int, by: str | None) -> None:
        """Writes an event about what was pruned, in the session's transaction."""
        self._trail.note(RUNS, RUN, by=by, events=removed)

    def _begin_with_pruned(self, chain: Chain, linked: Sequence[Event]) -> bool:
        """The last one that is removed becomes the one that says so: it stays in its place, and the head where it is.

        False if it is not there any more.
        """
        last = linked[-1]
        count = sum(events_of(event, details_of(event)) for event in linked)
        details = {"removed": count, "last": last_link(last, details_of(last))}
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

    # ---- Chains with their heads

    def _judged(self, client_id: str | None, *, unkeyed: bool, older_than: int = 0) -> Iterator[Chain]:
        """What is wrong is looked at again: somebody may have written while it was read."""
        waiting: list[Chain] = []
        for chain in self._read(client_id, unkeyed, older_than):
            waiting.append(chain)
            if len(waiting) == PAGE:
                yield from self._with_heads(waiting, unkeyed, older_than)
                waiting = []
        yield from self._with_heads(waiting, unkeyed, older_than)

    def _with_heads(self, chains: Sequence[Chain], unkeyed: bool, older_than: int) -> Iterator[Chain]:
        heads = self._heads_of(chains)
        for chain in chains:
            if chain.breaks or not _fits(chain, heads):
                yield self._looked_at_again(chain, unkeyed, older_than)
            else:
                yield chain

    def _looked_at_again(self, chain: Chain, unkeyed: bool, older_than: int) -> Chain:
        while True:
            before = self._heads_of([chain])
            again = next(
                (other for other in self._read(chain.client_id, unkeyed, older_than) if other.subject == chain.subject),
                Chain(chain.client_id, chain.subject),
            )
            if before == self._heads_of([chain]):
                break
        if not _fits(again, before):
            again.breaks.append(Break(again.name, "head"))
        return again

    def _heads_of(self, chains: Sequence[Chain]) -> dict[tuple[str, str], tuple[str | None, int | None]]:
        """The heads of these and perhaps of others, each with the number of events where that is known."""
        these = [chain.client_id for chain in chains if chain.client_id]
        heads: dict[tuple[str, str], tuple[str | None, int | None]] = {}
        if these:
            rows = self._sessions.all(self._client_heads, {"these": these})
            heads |= {(row.client_id, ""): (row.trail_head, None) for row in rows}
        if len(these) < len(chains):
            heads |= {(NO_CLIENT, row.subject): (row.link, row.events) for row in self._sessions.all(self._heads, {})}
        return heads

    def _read(self, client_id: str | None, unkeyed: bool, older_than: int) -> Iterator[Chain]:
        chains: dict[str, Chain] = {}
        current: str | None = None
        for event in self.events(client_id):
            if event["client_id"] != current:
                yield from chains.values()
                chains, current = {}, event["client_id"]
            subject = "" if current else str(details_of(event).get("subject", ""))
            chain = chains.setdefault(subject, Chain(event["client_id"], subject))
            chain.add(event, self._links, unkeyed=unkeyed, older_than=older_than)
        yield from chains.values()

    def _without_events(self, client_id: str | None) -> Iterator[str]:
        """Those that have a head, and not one event."""
        this = {"after": ""} | ({} if client_id is None else {"only": client_id})
        while rows := self._sessions.all(self._untold if client_id is None else self._untold_one, this):
            yield from (row.client_id for row in rows)
            this["after"] = rows[-1].client_id
        if client_id is None:
            heads = {row.subject for row in self._sessions.all(self._heads, {})}
            yield from sorted(heads - {chain.subject for chain in self._read(NO_CLIENT, True, 0)})


def _fits(chain: Chain, heads: Mapping[tuple[str, str], tuple[str | None, int | None]]) -> bool:
    link, events = heads.get((chain.client_id, chain.subject), (None, None))
    return link == chain.seen and events in (None, chain.counted)
