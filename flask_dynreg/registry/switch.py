"""The switch by which operators close registration while the server runs, for all workers."""

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, TimeoutError

from flask_dynreg.errors import RaceLostError
from flask_dynreg.registry.credentials import Credentials
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.trail import Trail
from flask_dynreg.signals import logger

MAX_AGE = 4
"""Seconds for which a process goes by what it has read: then a change is known everywhere within five."""

_NAME = "registration"


class RegistrationSwitch:
    """Closed or not, for one issuer. Closing and opening take part in the transaction of the session; `by` is
    who does it, for the trail."""

    def __init__(self, sessions: Sessions, models: Models, credentials: Credentials, issuer: str, trail: Trail) -> None:
        self._sessions = sessions
        self._trail = trail
        self._credentials = credentials
        self._row = {"issuer": issuer, "name": _NAME}
        self._table = table = table_of(models.runtime_setting)
        self._this = (table.c.issuer == bindparam("w_issuer")) & (table.c.name == _NAME)
        self._read = select(table.c.value).where(self._this)
        self._parameters = {"w_issuer": issuer}
        self._closed: str | None = None
        self._read_at: float | None = None

    @property
    def closed(self) -> str | None:
        """Why registration is closed, or None if it is not. What cannot be read is as it was."""
        now = self._credentials.now()
        if self._read_at is None or not self._read_at <= now < self._read_at + MAX_AGE:
            self._read_at = now
            try:
                self._closed = self.now()
            except (DBAPIError, TimeoutError) as error:
                logger.error("Whether registration is closed could not be read: %s", type(error).__name__)
        return self._closed

    def now(self) -> str | None:
        """The same, as it is at this moment."""
        was_untouched = self._sessions.is_untouched
        row = self._sessions.first(self._read, self._parameters)
        if was_untouched:
            self._sessions.stop_reading()
        return row.value if row else None

    def close(self, reason: str, by: str | None = None) -> None:
        """Raises RaceLostError if somebody else closes it at this moment."""
        self._read_at = None
        connection, row = self._sessions.connection(), {"value": reason, "changed_at": self._credentials.now()}
        if not connection.execute(update(self._table).where(self._this).values(row), self._parameters).rowcount:
            try:
                connection.execute(insert(self._table).inline(), {**self._row, **row})
            except IntegrityError as error:
                raise RaceLostError() from error
        self._trail.note(_NAME, "registration_closed", by=by, reason=reason)

    def open(self, by: str | None = None) -> bool:
        """Whether it was closed."""
        self._read_at = None
        connection = self._sessions.connection()
        was_closed = connection.execute(delete(self._table).where(self._this), self._parameters).rowcount > 0
        if was_closed:
            self._trail.note(_NAME, "registration_opened", by=by)
        return was_closed
