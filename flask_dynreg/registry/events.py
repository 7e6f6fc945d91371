"""The events, read a page at a time: however many there are, each statement reads one range of an index."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, bindparam, select

from flask_dynreg.registry.models import Exact, Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.trail import COVERED, NO_CLIENT

Event = dict[str, Any]
"""The row of an event, or as much of it as was asked for."""

PAGE = 500
FIRST = -(2**62)
"""Before any number of an event: one below 0 is of somebody who was to be seen by nobody."""

_Item = TypeVar("_Item")


def batches(items: Iterable[_Item], most: int) -> Iterator[list[_Item]]:
    """At most so many at a time."""
    items = iter(items)
    while batch := list(islice(items, most)):
        yield batch


class Events:
    """The events of one issuer, of which these columns are read."""

    def __init__(self, sessions: Sessions, models: Models, issuer: str, names: Sequence[str]) -> None:
        self._sessions = sessions
        event = table_of(models.event)
        after, last = bindparam("after", type_=Exact), bindparam("last", type_=event.c.id.type)

        def page(*conditions: ColumnElement[bool]) -> Select[Any]:
            # The numbers first, which the index has: where whole rows are asked for, MariaDB goes through all of the issuer's.
            of_issuer = select(event.c.id).where(event.c.issuer == issuer, *conditions)
            numbers = of_issuer.order_by(event.c.client_id, event.c.id).limit(PAGE).subquery()
            rows = select(*(event.c[name] for name in names)).join_from(event, numbers, event.c.id == numbers.c.id)
            return rows.order_by(event.c.client_id, event.c.id)

        # Two ranges of the index. One condition for both is none: each page would begin with the first event of the client.
        self._more_of = page(event.c.client_id == after, event.c.id > last)
        self._beyond = page(event.c.client_id > after)
        # By their numbers: by an index on the issuer all of its events would be sorted for each page.
        self._since = (
            select(*(event.c[name] for name in ("id", *COVERED, "link")))
            .where(event.c.issuer.concat("") == issuer, event.c.id > last)
            .where(event.c.occurred_at >= bindparam("since", type_=event.c.occurred_at.type))
            .order_by(event.c.id)
            .limit(PAGE)
        )

    def of(self, client_id: str, last: int = FIRST) -> Iterator[Event]:
        """Those of one client, or of none, behind that number and in the order of their numbers."""
        return self._pages(self._more_of, {"after": client_id}, last)

    def of_clients(self) -> Iterator[Event]:
        """Those of all clients, in the order of the clients and then of their numbers."""
        client_id = NO_CLIENT
        while rows := self._sessions.all(self._beyond, {"after": client_id}):
            for row in rows:
                yield dict(row._mapping)
            client_id = rows[-1].client_id
            yield from self.of(client_id, rows[-1].id)

    def since(self, since: int) -> Iterator[Event]:
        """Those from a time on (seconds since the epoch), in the order in which they were written."""
        return self._pages(self._since, {"since": since}, FIRST)

    def _pages(self, statement: Select[Any], this: Mapping[str, Any], last: int) -> Iterator[Event]:
        while True:
            rows = self._sessions.all(statement, {**this, "last": last})
            for row in rows:
                yield dict(row._mapping)
            if len(rows) < PAGE:
                return
            last = rows[-1].id
