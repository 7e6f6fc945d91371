"""The chains of the trail, read as a whole and verified."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import BindParameter, Row, Select, bindparam, exists, null, or_, select

from flask_dynreg.registry.events import FIRST, PAGE, Event, Events, batches
from flask_dynreg.registry.models import Exact, Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.trail import COVERED, NO_CLIENT, Links, digest_of

PRUNED = "pruned"
"""The event that takes the place of the older ones of its chain: how many were `removed`, the `last` link of them, and whether
all of them were `unkeyed`."""
RUN, RUNS = "trail_pruned", "trail"
"""The event of one pruning, and its subject: how many `events` were removed, which were `older_than` a time, and the tally of the
chains that are `gone` as a whole."""


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


@dataclass(frozen=True, slots=True)
class Rules:
    """By what links are judged, and which events are old: before a time in seconds since the epoch."""

    links: Links
    unkeyed: bool
    older_than: int = 0


@dataclass(slots=True)
class Chain:
    """What was read of a chain, and what is wrong with it. No events: there may be as many chains as tokens, of any length."""

    client_id: str
    subject: str = ""
    seen: str | None = None
    """The link that its head should be; None before the first one, and after the end of a client."""
    counted: int = 0
    """Events with a link, those included that were pruned."""
    events: int = 0
    before: int = 0
    unkeyed: int = 0
    breaks: list[Break] = field(default_factory=list)
    last: int = FIRST
    """The number of the last event that was judged."""
    old: int = 0
    """How many of its first events are older than asked for, those not included that stand for others."""
    old_until: int = FIRST
    """The number of the last of them."""
    is_keyed: bool = False
    head: tuple[str | None, int | None] | None = None
    """The link and the number of events that it should have come to, once they were read."""
    is_at_head: bool = False
    """Whether it has come to its head. It may have grown since."""
    waits: bool = False
    """An event was there that does not follow. One before it may have been committed only after that page was read."""
    latest: int = FIRST
    """The number of the last event that was there."""
    certain: int = FIRST
    """Up to this number all was committed before it was read: what does not follow is a break."""

    @property
    def name(self) -> str:
        return self.client_id or self.subject

    @property
    def is_over(self) -> bool:
        """Whether it is that of a client that is gone, and all of it is old."""
        return bool(self.client_id) and self.seen is None and self.old_until == self.last

    def add(self, event: Event, rules: Rules) -> None:
        """Judges the next event. What was judged already is passed by, and so is what comes while the chain waits."""
        if event["id"] <= self.last:
            return
        self.latest = event["id"]
        link, details = event["link"], details_of(event)
        is_before = link is None and not self.counted
        follows = event["previous"] == self.seen and not (event["type"] == PRUNED and self.counted)
        self.waits = self.waits or not (is_before or follows or event["id"] <= self.certain)
        if self.waits:
            return
        if event["occurred_at"] < rules.older_than and self.last == self.old_until:
            self.old, self.old_until = self.old + (event["type"] != PRUNED), event["id"]
        self.last = event["id"]
        self.events += 1
        if is_before:
            self.before += 1
            if rules.links.are_keyed and not rules.unkeyed:  # whoever can write to the database can take a link away
                self.breaks.append(Break(self.name, "altered", event["id"]))
            return
        if link is None or not self._is_sound(event, link, details, rules):
            self.breaks.append(Break(self.name, "altered", event["id"]))
        if not follows:
            self.breaks.append(Break(self.name, "removed", event["id"]))
        self.seen, self.counted = last_link(event, details), self.counted + events_of(event, details)
        if self.client_id and event["version"] is None:
            self.seen = None
        if self.seen is not None and self.is_whole:
            self.is_at_head = True

    def _is_sound(self, event: Event, link: str, details: Mapping[str, Any], rules: Rules) -> bool:
        before = event["metadata_before"]
        if before is not None and details.get("before") != digest_of(before):
            return False
        if rules.links.is_of(event, link):
            # What has its link under a key may stand for what had not: nobody else can have said so.
            self.is_keyed = self.is_keyed or not (event["type"] == PRUNED and details.get("unkeyed"))
            return True
        # Under no key only before the first key: whoever can write to the database could make the rest.
        self.unkeyed += 1
        return not self.is_keyed and rules.links.is_of(event, link, unkeyed=rules.unkeyed)

    @property
    def is_whole(self) -> bool:
        """Whether it has ended at its head, or come by there."""
        link, events = self.head or (None, None)
        return self.is_at_head or (self.head is not None and link == self.seen and events in (None, self.counted))

    def read_on(self) -> None:
        """Goes on behind the last event that was judged, in a reading that has not begun yet."""
        self.waits, self.certain = False, self.latest

    def begin_again(self) -> None:
        """Forgets what was read: it was removed meanwhile."""
        self.seen, self.last, self.old_until = None, FIRST, FIRST
        self.is_keyed = self.is_at_head = self.waits = False
        self.counted = self.events = self.before = self.unkeyed = self.old = 0
        self.breaks.clear()


def details_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Empty for what is no JSON object: then somebody has altered it."""
    with suppress(ValueError, RecursionError):
        details = json.loads(event["details"] or "{}")
        if isinstance(details, dict):
            return details
    return {}


def subject_of(event: Mapping[str, Any]) -> str:
    """What an event of no client is about; empty for one of a client."""
    return "" if event["client_id"] else str(details_of(event).get("subject", ""))


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


@dataclass(frozen=True, slots=True)
class Tally:
    """Of chains: how many, how many events they have had, and a digest of their heads. A chain that is pruned and goes on has the
    same as before."""

    events: int = 0
    chains: int = 0
    heads: int = 0
    """The sum of digests, which is the same in whatever order: that of a database's texts changes with its locale."""

    def __add__(self, other: "Tally") -> "Tally":
        heads = (self.heads + other.heads) % 2**256
        return Tally(self.events + other.events, self.chains + other.chains, heads)

    def to_json(self) -> dict[str, Any]:
        return {"events": self.events, "chains": self.chains, "heads": f"{self.heads:064x}"}

    @classmethod
    def from_json(cls, kept: Any) -> "Tally":
        """Of nothing, if it is none: nothing was told, or somebody has altered it."""
        with suppress(TypeError, ValueError, LookupError, OverflowError):
            return cls(int(kept["events"]), int(kept["chains"]), int(kept["heads"], 16))
        return NOTHING


NOTHING = Tally()


def digest_of_head(client_id: str, subject: str, link: str | None) -> int:
    """What a chain that ends with this link adds to the digest of heads."""
    return int(sha256(f"{client_id} {subject} {link}".encode()).hexdigest(), 16)


class Chains:
    """The chains of one issuer."""

    def __init__(self, sessions: Sessions, models: Models, issuer: str, links: Links) -> None:
        self._sessions = sessions
        self._links = links
        self.events = Events(sessions, models, issuer, ("id", *COVERED, "metadata_before", "link"))
        event, client, head = table_of(models.event), table_of(models.client), table_of(models.trail_head)
        after, this = bindparam("after", type_=Exact), bindparam("this", type_=event.c.id.type)
        these: BindParameter[Any] = bindparam("these", expanding=True)
        self._client_heads = select(
            client.c.client_id.label("name"), client.c.trail_head.label("link"), null().label("events")
        ).where(client.c.client_id.in_(these), or_(client.c.issuer == issuer, client.c.issuer.is_(None)))
        self._heads = (
            select(head.c.subject.label("name"), head.c.link, head.c.events)
            .where(head.c.issuer == issuer, head.c.subject > after)
            .order_by(head.c.subject)
            .limit(PAGE)
        )
        self._clients = (
            select(client.c.client_id).where(client.c.client_id > after).order_by(client.c.client_id).limit(PAGE)
        )
        told = exists().where(
            event.c.issuer == issuer, event.c.client_id == client.c.client_id, event.c.link.is_not(None)
        )
        # A client of no issuer is that of whichever has changed it: where this one tells nothing of it, another does.
        self._untold = (
            select(client.c.client_id)
            .where(client.c.client_id.in_(these), client.c.issuer == issuer)
            .where(client.c.trail_head.is_not(None), ~told)
        )
        self._number = select(event.c.id).where(event.c.id == this)

    def verify(self, found: Found, client_id: str | None = None, *, unkeyed: bool = False) -> Iterator[Break]:
        """What is wrong, chain by chain; `found` is filled meanwhile. With `unkeyed` events are good as well that are from before
        there were keys, or links at all."""
        for chain in self.judged(client_id, Rules(self._links, unkeyed)):
            found.chains += chain.events > 0
            found.events += chain.events
            found.before += chain.before
            found.unkeyed += chain.unkeyed
            yield from chain.breaks

    def judged(self, only: str | None, rules: Rules) -> Iterator[Chain]:
        """Those of clients, in the order of these, and then all others, of which the events come in any order."""
        if only != NO_CLIENT:
            for chains in batches(self._of_clients(only, rules), PAGE):
                yield from self._settled(chains, rules)
        if not only:
            yield from self._settled(self._of_no_client(rules), rules)

    def _of_clients(self, only: str | None, rules: Rules) -> Iterator[Chain]:
        read = self.events.of_clients() if only is None else self.events.of(only)
        for client_id, events in groupby(read, itemgetter("client_id")):
            chain = Chain(client_id)
            for event in events:
                self._add(chain, event, rules)
            yield chain
        clients = (row.client_id for row in self._every(self._clients)) if only is None else [only]
        for these in batches(clients, PAGE):
            yield from (Chain(row.client_id) for row in self._sessions.all(self._untold, {"these": these}))

    def _of_no_client(self, rules: Rules) -> list[Chain]:
        chains: dict[str, Chain] = {}
        for event in self.events.of(NO_CLIENT):
            subject = subject_of(event)
            if subject not in chains:
                chains[subject] = Chain(NO_CLIENT, subject)
            self._add(chains[subject], event, rules)
        for row in self._every(self._heads):
            chains.setdefault(row.name, Chain(NO_CLIENT, row.name))
        return list(chains.values())

    def _settled(self, chains: Sequence[Chain], rules: Rules) -> Iterator[Chain]:
        """What somebody has written while they were read is read as well, at least up to the heads that they have by then."""
        self._read_heads(chains)
        growing = []
        for chain in chains:
            if chain.is_whole and not chain.waits:
                yield chain
            else:
                growing.append(chain)
        while growing:
            self._read_on(growing, rules)
            for chain in growing:
                if not chain.waits:
                    if not chain.is_whole:
                        chain.breaks.append(Break(chain.name, "head"))
                    yield chain
            growing = [chain for chain in growing if chain.waits]

    def _read_heads(self, chains: Sequence[Chain]) -> None:
        of = {chain.name: chain for chain in chains}
        for each in chains:
            each.head = None, None
        clients = [chain.client_id for chain in chains if chain.client_id]
        every = self._sessions.all(self._client_heads, {"these": clients}) if clients else self._every(self._heads)
        for row in every:
            if chain := of.get(row.name):
                chain.head = row.link, row.events

    def _read_on(self, chains: Sequence[Chain], rules: Rules) -> None:
        for chain in chains:
            if chain.last != FIRST and not self._is_there(chain.last):
                chain.begin_again()
            chain.read_on()
        for client_id, group in groupby(chains, attrgetter("client_id")):
            of = {chain.subject: chain for chain in group}
            for event in self.events.of(client_id, min(chain.last for chain in of.values())):
                subject = subject_of(event)
                if subject in of:
                    self._add(of[subject], event, rules)

    def _add(self, chain: Chain, event: Event, rules: Rules) -> None:
        if event["type"] == PRUNED and chain.counted and not self._is_there(chain.last):
            chain.begin_again()  # somebody prunes it at this moment
        chain.add(event, rules)

    def _is_there(self, number: int) -> bool:
        return self._sessions.first(self._number, {"this": number}) is not None

    def _every(self, statement: Select[Any]) -> Iterator[Row[Any]]:
        """Every row, in the order of the first column."""
        after = ""
        while rows := self._sessions.all(statement, {"after": after}):
            yield from rows
            after = rows[-1][0]
