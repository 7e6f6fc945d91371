"""What is good once: the `jti` of software statements and of signed requests, used up by the registration that it served."""

import json
from typing import Any

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from flask_dynreg.metadata.software_statement import OneTime
from flask_dynreg.registry.credentials import Credentials, digest
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions

CLEARING = 60
"""Seconds between two clearings of what is over, in one process."""
MOST_CLEARED = 500


class UsedStatements:
    """What was used up at one authorization server. Takes part in the transaction of the session."""

    def __init__(self, sessions: Sessions, models: Models, credentials: Credentials, issuer: str) -> None:
        self._sessions = sessions
        self._credentials = credentials
        self._issuer = issuer
        table = table_of(models.used_statement)
        ignoring = insert(table).prefix_with("IGNORE", dialect="mysql").prefix_with("IGNORE", dialect="mariadb")
        statements: dict[str, Insert] = {
            "sqlite": sqlite.insert(table).on_conflict_do_nothing(),
            "postgresql": postgresql.insert(table).on_conflict_do_nothing(),
            "mysql": ignoring,
            "mariadb": ignoring,
        }
        # SQLAlchemy keeps the row count of UPDATE and DELETE only.
        self._add = {
            name: statement.execution_options(preserve_rowcount=True) for name, statement in statements.items()
        }
        is_over = table.c.expires_at < bindparam("now")
        self._over = select(table.c.digest).where(is_over).limit(MOST_CLEARED)
        self._clear = delete(table).where(table.c.digest.in_(bindparam("digests", expanding=True)))
        self._clear_at = 0

    def use(self, one_time: OneTime) -> bool:
        """False if it was used before. One statement decides, however many ask at once."""
        connection = self._sessions.connection()
        row: dict[str, Any] = {
            "digest": digest(json.dumps([self._issuer, one_time.signer, one_time.jti])),
            "issuer": self._issuer,
            "expires_at": one_time.expires_at,
        }
        is_first = connection.execute(self._add[connection.dialect.name], row).rowcount == 1
        self._clear_some()
        return is_first

    def _clear_some(self) -> None:
        now = self._credentials.now()
        if now < self._clear_at:
            return
        self._clear_at = now + CLEARING
        connection = self._sessions.connection()
        digests = connection.execute(self._over, {"now": now}).scalars().all()
        if digests:
            connection.execute(self._clear, {"digests": digests})
