"""Rows that only one can write, and that are there until they are over."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, bindparam, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from flask_dynreg.registry.credentials import Credentials
from flask_dynreg.registry.sessions import Sessions

CLEARING = 60
"""Seconds between two clearings of what is over, in one process; one second where there is more than is cleared at once."""
MOST_CLEARED = 500


def insert_unless_there(table: Table) -> Mapping[str, Insert]:
    """By the name of the dialect, what adds a row, and nothing where there is one with its primary key."""
    ignoring = insert(table).prefix_with("IGNORE", dialect="mysql").prefix_with("IGNORE", dialect="mariadb")
    statements: dict[str, Insert] = {
        "sqlite": sqlite.insert(table).on_conflict_do_nothing(),
        "postgresql": postgresql.insert(table).on_conflict_do_nothing(),
        "mysql": ignoring,
        "mariadb": ignoring,
    }
    # SQLAlchemy keeps the row count of UPDATE and DELETE only.
    return {name: statement.execution_options(preserve_rowcount=True) for name, statement in statements.items()}


class Claims:
    """The rows of a table whose primary key is `digest`. Takes part in the transaction of the session."""

    def __init__(self, sessions: Sessions, credentials: Credentials, table: Table) -> None:
        self._sessions = sessions
        self._credentials = credentials
        self._add = insert_unless_there(table)
        is_over = table.c.expires_at < bindparam("now")
        # In this order the index gives them: some databases would look at the whole table for the last ones.
        self._over = select(table.c.digest).where(is_over).order_by(table.c.expires_at).limit(MOST_CLEARED)
        self._clear = delete(table).where(table.c.digest.in_(bindparam("digests", expanding=True)))
        self._clear_at = 0

    def take(self, row: Mapping[str, Any]) -> bool:
        """False if somebody else has it. One statement decides, however many ask at once; who is late waits for the first."""
        connection = self._sessions.connection()
        is_first = connection.execute(self._add[connection.dialect.name], row).rowcount == 1
        self._clear_some()
        return is_first

    def _clear_some(self) -> None:
        now = self._credentials.now()
        if now < self._clear_at:
            return
        connection = self._sessions.connection()
        digests = connection.execute(self._over, {"now": now}).scalars().all()
        self._clear_at = now + (CLEARING if len(digests) < MOST_CLEARED else 1)
        if digests:
            connection.execute(self._clear, {"digests": digests})
