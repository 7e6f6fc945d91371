"""Who is trusted to sign software statements: by the settings, and by operators, who may withdraw it again."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.sql.dml import Update

from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.registry.credentials import Credentials
from flask_dynreg.registry.models import LONGEST_TEXT, Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.trail import Trail
from flask_dynreg.signals import logger

MAX_AGE = 5
"""Seconds for which a process goes by what it has read: that long may a withdrawal take to be known everywhere."""


def _subject(name: str) -> str:
    """An issuer in the trail. Two whose names are as long as may be might share a chain, which does no harm."""
    return f"issuer {name}"[:LONGEST_TEXT]


class _Kept(NamedTuple):
    """An issuer as it is in the database; `version` changes with it."""

    issuer: StatementIssuer
    id: int
    version: int


class StatementIssuers:
    """Those whom one authorization server trusts. What is in the settings wins over the database.

    Changes take part in the transaction of the session; `by` is who makes them, for the trail.
    """

    def __init__(
        self,
        sessions: Sessions,
        models: Models,
        credentials: Credentials,
        issuer: str,
        configured: Iterable[StatementIssuer],
        trail: Trail,
    ) -> None:
        self._trail = trail
        self._sessions = sessions
        self._credentials = credentials
        self._issuer = issuer
        self.configured = {trusted.issuer: trusted for trusted in configured}
        self._table = table = table_of(models.statement_issuer)
        self._all = select(table).where(table.c.issuer == issuer).order_by(table.c.statement_issuer)
        this = (table.c.id == bindparam("this")) & (table.c.version == bindparam("seen"))
        self._confirm = update(table).where(this).values(version=table.c.version)
        self._replace = (
            update(table).where(this).values(version=table.c.version + 1, definition=bindparam("definition"))
        )
        self._read_at: float | None = None
        self._kept: dict[str, _Kept] = {}

    def find(self, name: str) -> StatementIssuer | None:
        return self.configured.get(name) or self._known(name)

    def _known(self, name: str) -> StatementIssuer | None:
        kept = self._recent().get(name)
        return kept.issuer if kept else None

    def are_there(self) -> bool:
        return bool(self.configured or self._recent())

    def take_signed_requests(self) -> bool:
        """Whether any of them lets clients sign their requests."""
        trusted = [*self.configured.values(), *(kept.issuer for kept in self._recent().values())]
        return any(issuer.signed_requests for issuer in trusted)

    def confirm(self, found: StatementIssuer) -> bool:
        """Whether the issuer is still trusted as it was found; if so it stays like that until the transaction is over."""
        if found.issuer in self.configured:
            return True
        kept = self._kept.get(found.issuer)
        done = kept is not None and kept.issuer == found and self._changed(self._confirm, kept)
        if not done:
            self._forget()
        return done

    def kept(self) -> dict[str, StatementIssuer]:
        """Those in the database, as they are now."""
        return {name: kept.issuer for name, kept in self._read().items()}

    def add(self, issuer: StatementIssuer, by: str | None = None) -> None:
        """Raises IntegrityError if it is there."""
        row = {
            "issuer": self._issuer,
            "statement_issuer": issuer.issuer,
            "definition": json.dumps(issuer.to_json()),
            "version": 1,
            "added_at": self._credentials.now(),
        }
        self._sessions.connection().execute(insert(self._table).inline(), row)
        self._trail.note(_subject(issuer.issuer), "issuer_added", by=by)
        self._forget()

    def replace(self, issuer: StatementIssuer, by: str | None = None) -> bool:
        """Changes what is kept of it; False if it is not there, or changes at this moment."""
        kept = self._read().get(issuer.issuer)
        done = kept is not None and self._changed(self._replace, kept, definition=json.dumps(issuer.to_json()))
        if done:
            self._trail.note(_subject(issuer.issuer), "issuer_changed", by=by)
        self._forget()
        return done

    def remove(self, name: str, by: str | None = None) -> bool:
        """Whether it was there."""
        table = self._table
        this = (table.c.issuer == self._issuer) & (table.c.statement_issuer == name)
        self._forget()
        was_there = self._sessions.connection().execute(delete(table).where(this)).rowcount > 0
        if was_there:
            self._trail.note(_subject(name), "issuer_withdrawn", by=by)
        return was_there

    def _changed(self, statement: Update, kept: _Kept, **values: str) -> bool:
        parameters = {"this": kept.id, "seen": kept.version, **values}
        return self._sessions.connection().execute(statement, parameters).rowcount == 1

    def _recent(self) -> dict[str, _Kept]:
        now = self._credentials.now()
        if self._read_at is None or not self._read_at <= now < self._read_at + MAX_AGE:
            self._kept, self._read_at = self._read(), now
        return self._kept

    def _forget(self) -> None:
        self._read_at = None

    def _read(self) -> dict[str, _Kept]:
        found: dict[str, _Kept] = {}
        for row in self._sessions.all(self._all, {}):
            try:
                issuer = StatementIssuer.from_json(json.loads(row.definition))
            except ValueError as fault:
                logger.error("The software statements of %s are not taken: %s", row.statement_issuer, fault)
            else:
                found[row.statement_issuer] = _Kept(issuer, row.id, row.version)
        return found
