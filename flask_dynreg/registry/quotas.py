"""How many clients there may be: counted in rows of their own, in the transaction that makes, changes or ends a client."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, func, insert, select, true, update
from sqlalchemy.sql.elements import ColumnElement

from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.principals import STRANGERS, share_of
from flask_dynreg.registry.sessions import Sessions

OWNER, SOFTWARE, PENDING = "owner", "software_id", "pending"
"""What may have a quota beside the doors: each owner, each `software_id`, and who waits for approval and has no owner."""

GROUPS = 10_000
"""Owners, and software, whose clients are counted in one statement."""

Names = Mapping[str, str]
"""By the kind of a quota, the name of the row in which a client is counted for it."""


class Quotas:
    """The quotas of one issuer: `most` has, for a kind, how many clients there may be."""

    def __init__(self, sessions: Sessions, models: Models, issuer: str, most: Mapping[str, int]) -> None:
        self._sessions = sessions
        self._issuer = issuer
        self._most = dict(most)
        self._table = table = table_of(models.quota)
        self._client = table_of(models.client)
        this = (table.c.issuer == issuer) & (table.c.name == bindparam("w_name", type_=table.c.name.type))
        is_free = table.c.clients < bindparam("w_most", type_=table.c.clients.type)
        self._there = select(table.c.clients).where(this)
        self._take = update(table).where(this & is_free).values(clients=table.c.clients + 1)
        fewer = table.c.clients - bindparam("c_gone", type_=table.c.clients.type)
        self._give_back = update(table).where(this).values(clients=case((fewer > 0, fewer), else_=0))
        self._begin = insert(table).inline()

    def of(self, client: ClientRecord) -> Names:
        """Where a client is counted. Nothing, and no work, where there are no quotas; nothing for one that was there before, and
        is of no issuer."""
        if not self._most or client.issuer != self._issuer:
            return {}
        return self._names(client.source, client.owned_by, client.software_id, client.was_never_approved)

    def _names(self, source: str | None, owner: str | None, software_id: str | None, is_pending: bool) -> Names:
        pending = "all" if is_pending and owner is None else None
        counted = {source or "": "all", OWNER: owner, SOFTWARE: share_of(software_id, source), PENDING: pending}
        return {kind: _name(kind, value) for kind, value in counted.items() if value is not None and kind in self._most}

    def move(self, before: Names, after: Names) -> str | None:
        """Counts a client for what it is now, and no more for what it was. Gives the kind of which there are too many, if one is
        full.

        Raises IntegrityError if somebody else begins to count the same at this moment.
        """
        lost = [name for kind, name in before.items() if after.get(kind) != name]
        gained = {name: kind for kind, name in after.items() if before.get(kind) != name}
        connection = self._sessions.connection() if lost or gained else None
        for name in sorted([*lost, *gained]):  # in one order, so that nobody waits for who waits for them
            assert connection is not None
            if name not in gained:
                connection.execute(self._give_back, {"w_name": name, "c_gone": 1})
                continue
            kind = gained[name]
            if connection.execute(self._take, {"w_name": name, "w_most": self._most[kind]}).rowcount == 1:
                continue
            if not self._most[kind] or connection.execute(self._there, {"w_name": name}).first():
                return kind
            connection.execute(self._begin, {"issuer": self._issuer, "name": name, "clients": 1})
        return None

    def give_back(self, clients: Iterable[ClientRecord]) -> None:
        """Counts clients no more that are gone."""
        counts = Counter(name for client in clients for name in self.of(client).values())
        for name, gone in sorted(counts.items()):
            self._sessions.connection().execute(self._give_back, {"w_name": name, "c_gone": gone})

    def count_anew(self) -> int:
        """Counts the clients that are there, for quotas that are new; how many rows there are then.

        The database counts; of owners and of software some are read at once. Nobody may register meanwhile.
        """
        connection = self._sessions.connection()
        connection.execute(delete(self._table).where(self._table.c.issuer == self._issuer))
        rows = 0
        for counts in self._counted(connection):
            begun: Counter[str] = Counter()
            for kind, value, clients in counts:
                name = _name(kind, value)
                # The same without the spaces at its end comes before, in this part or in another one.
                is_there = value.endswith(" ") and name not in begun
                if is_there and connection.execute(self._give_back, {"w_name": name, "c_gone": -clients}).rowcount == 1:
                    continue
                begun[name] += clients
            if begun:
                each = {"issuer": self._issuer}
                connection.execute(
                    self._begin, [each | {"name": name, "clients": clients} for name, clients in sorted(begun.items())]
                )
            rows += len(begun)
        return rows

    def _counted(self, connection: Connection) -> Iterator[list[tuple[str, str, int]]]:
        """How many clients there are, by kinds and what has a quota of its own, in parts."""
        client, is_ours = self._client.c, self._client.c.issuer == self._issuer
        source, waits = client.source, client.waiting_since.is_not(None) & client.requested_metadata.is_(None)
        doors = self._most.keys() - {OWNER, SOFTWARE, PENDING}
        if doors:
            by_door = select(source, func.count()).where(is_ours, source.in_(doors)).group_by(source)
            yield [(door, "all", clients) for door, clients in map(tuple, connection.execute(by_door))]
        if PENDING in self._most:
            pending = select(func.count()).select_from(self._client).where(is_ours, waits, client.owned_by.is_(None))
            number = connection.execute(pending).scalar_one()
            yield [(PENDING, "all", number)] if number else []
        if OWNER in self._most:
            # Asked with IS, no database goes by the index on the issuer instead of that on owners.
            for part in self._parts(connection, client.owned_by, is_ours.is_(true())):
                yield [(OWNER, owner, clients) for owner, clients, _ in part]
        if SOFTWARE in self._most:
            for part in self._parts(connection, client.software_id, is_ours):
                yield [
                    (SOFTWARE, share, number)
                    for software_id, clients, strangers in part
                    for door, number in (("open", strangers), (None, clients - strangers))
                    if number and (share := share_of(software_id, door))
                ]

    def _parts(
        self, connection: Connection, column: ColumnElement[Any], which: ColumnElement[bool]
    ) -> Iterator[list[tuple[str, int, int]]]:
        """What there is in a column: each with how many clients have it, and how many strangers are among them."""
        counts = func.count(), func.sum(case((self._client.c.source.in_(STRANGERS), 1), else_=0))
        part = select(column, *counts).where(which, column.is_not(None)).group_by(column).order_by(column).limit(GROUPS)
        rows = connection.execute(part).all()
        while rows:
            yield [(value, clients, int(strangers)) for value, clients, strangers in map(tuple, rows)]
            rows = connection.execute(part.where(column > rows[-1][0])).all()


def _name(kind: str, value: str) -> str:
    """Without the spaces at its end: MySQL and MariaDB compare without them, and so does who counts there."""
    return sha256(f"{kind} {value.rstrip(' ')}".encode()).hexdigest()
