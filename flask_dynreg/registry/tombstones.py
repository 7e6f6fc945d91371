"""Clients that were removed, known for a while: their ids, when and why, and nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, delete, select

from flask_dynreg.registry.claims import insert_unless_there
from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.credentials import Credentials
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions

DELETED = "deleted"
"""Why a client is gone that deleted itself, or that an operator has deleted."""


@dataclass(frozen=True, slots=True)
class Removal:
    """That a client was removed. Times are seconds since the epoch."""

    client_id: str
    registered_at: int
    removed_at: int
    reason: str
    """`deleted`, or the clock that was over: `unused`, `idle`, `absolute`, `secret`, `pending`, `lifetime`."""


class Tombstones:
    """The tombstones of one issuer, each until the clean-up takes it. Takes part in the transaction of the session."""

    def __init__(
        self, sessions: Sessions, models: Models, credentials: Credentials, issuer: str, retention: int
    ) -> None:
        self._sessions = sessions
        self._credentials = credentials
        self._issuer = issuer
        self._retention = retention
        table = table_of(models.tombstone)
        this = table.c.client_id == bindparam("w_this", type_=table.c.client_id.type)
        self._add = insert_unless_there(table)
        self._any = select(table.c.client_id).where(this)
        self._find = select(table.c.client_id, table.c.registered_at, table.c.removed_at, table.c.reason).where(
            this, table.c.issuer == issuer
        )
        is_over = table.c.expires_at <= bindparam("w_now", type_=table.c.expires_at.type)
        # In this order the index gives them: some databases would look at the whole table for the last ones.
        over = select(table.c.client_id).where(table.c.issuer == issuer, is_over).order_by(table.c.expires_at)
        self._over = over.limit(bindparam("w_most"))
        self._clear = delete(table).where(table.c.client_id.in_(bindparam("w_these", expanding=True)))

    def add(self, removed: Iterable[tuple[ClientRecord, str]]) -> None:
        """For clients that are removed now, each with the reason."""
        now, connection = self._credentials.now(), self._sessions.connection()
        rows = [
            {
                "client_id": client.client_id,
                "issuer": self._issuer,
                "registered_at": client.client_id_issued_at,
                "removed_at": now,
                "reason": reason,
                "expires_at": now + self._retention,
            }
            for client, reason in removed
        ]
        connection.execute(self._add[connection.dialect.name], rows)

    def find(self, client_id: str) -> Removal | None:
        row = self._sessions.first(self._find, {"w_this": client_id})
        return Removal(*tuple(row)) if row else None

    def has(self, client_id: str) -> bool:
        """Whether there is one, of whatever issuer."""
        return self._sessions.first(self._any, {"w_this": client_id}) is not None

    def are_over_since(self, seconds: int) -> bool:
        """Whether there is one that has been over for so long."""
        over = {"w_now": self._credentials.now() - seconds, "w_most": 1}
        return self._sessions.first(self._over, over) is not None

    def clear(self, most: int) -> int:
        """Takes some of those that are over; 0 when none is left."""
        connection = self._sessions.connection()
        over = {"w_now": self._credentials.now(), "w_most": most}
        these = connection.execute(self._over, over).scalars().all()
        if these:
            connection.execute(self._clear, {"w_these": these})
        return len(these)
