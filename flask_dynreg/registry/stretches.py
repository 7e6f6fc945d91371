"""All clients of a table, a stretch of their ids at a time: no statement has to look at more of them, however many there are."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, func, select, true

from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions

MOST_LOOKED_AT = 10_000
"""Clients of one stretch, whoever's they are: some ten milliseconds for a database."""


class Stretch(NamedTuple):
    """The clients whose ids are behind the one, up to the other."""

    after: str
    last: str

    @property
    def bounds(self) -> dict[str, str]:
        """The parameters of `is_within`."""
        return {"w_after": self.after, "w_last": self.last}

    def behind(self, client_id: str) -> "Stretch":
        """What is left of it behind this client."""
        return self._replace(after=client_id)


def is_within(client: FromClause) -> ColumnElement[bool]:
    """Of a client that it is in a stretch."""
    client_id = client.c.client_id
    after, last = (bindparam(name, type_=client_id.type) for name in ("w_after", "w_last"))
    return and_(client_id > after, client_id <= last)


def unindexed(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """A condition for rows that another one has found: asked with IS, no database goes by an index on it.

    By the one on the issuer all of its clients would be found, in another order than that of their ids.
    """
    return condition.is_(true())


def is_named(column: ColumnElement[str], parameter: str) -> ColumnElement[bool]:
    """A condition that the column has this text: MySQL and MariaDB compare without the spaces at the end, but know its length."""
    text = bindparam(parameter, type_=column.type)
    return and_(column == text, func.length(column) == func.length(text))


class Stretches:
    """The clients of one table. Where a stretch ends is read by the index of their ids alone."""

    def __init__(self, sessions: Sessions, models: Models) -> None:
        self._sessions = sessions
        client_id = table_of(models.client).c.client_id
        after = client_id > bindparam("w_after", type_=client_id.type)
        ids = select(client_id).where(after).order_by(client_id).limit(bindparam("w_most")).subquery()
        self._last = select(func.max(ids.c.client_id))

    def behind(self, after: str) -> Iterator[Stretch]:
        """All clients behind this id. A transaction in which the session has only read is over before each stretch."""
        while last := self._end(after):
            yield Stretch(after, last)
            after = last

    def _end(self, after: str) -> str | None:
        self._sessions.stop_reading()
        row = self._sessions.first(self._last, {"w_after": after, "w_most": MOST_LOOKED_AT})
        return row[0] if row else None
