"""One request that writes, one commit. What the database asks to be tried again is; what cannot be done is a 503."""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, TimeoutError

from flask_dynreg.errors import RaceLostError, TemporarilyUnavailableError
from flask_dynreg.registry.sessions import Sessions

ATTEMPTS = 50
"""Who loses a race tries again: each loss means that somebody else has won, so as many may be lost as there are others."""
PATIENCE = 5.0
"""Seconds, after which nothing is tried again: a lock that was waited for so long is not gone soon."""

logger = logging.getLogger("flask_dynreg")
Answer = TypeVar("Answer")

# Serialization failure and deadlock (PostgreSQL), deadlock and lock wait timeout (MySQL, MariaDB).
_AGAIN_STATES = frozenset({"40001", "40P01"})
_AGAIN_NUMBERS = frozenset({1020, 1205, 1213})


def in_one_transaction(sessions: Sessions, operation: Callable[[], Answer]) -> Answer:
    """What the operation gives, once it is committed.

    Where the host has only read before, its transaction is over then. An operation that finds what the host has written is not
    tried again, and what it does itself is undone if it raises. Raises TemporarilyUnavailableError, and what the operation
    raises.
    """
    ours, deadline = _is_ours(sessions), time.monotonic() + PATIENCE
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with nullcontext() if ours else sessions.savepoint():
                answer = operation()
            if not sessions.is_untouched:
                sessions.session.commit()
            return answer
        except Exception as error:
            _roll_back(sessions, ours)
            if not isinstance(error, RaceLostError | DBAPIError | TimeoutError):
                raise
            last = not ours or attempt == ATTEMPTS or time.monotonic() > deadline
            if last or not asks_to_try_again(error):
                # The text of a database's error holds values: only its kind is told.
                logger.error("The database could not do it: %s", type(error).__name__)
                raise TemporarilyUnavailableError() from error
    raise AssertionError("unreachable")


def afterwards(sessions: Sessions, note: Callable[[], None]) -> None:
    """Writes what is to be known of a request that was refused, in a transaction of its own: what the request has done is rolled
    back. A host that has begun something has its own to end. What cannot be written is logged: the answer stays what it is."""
    with suppress(TemporarilyUnavailableError):
        if _is_ours(sessions):
            in_one_transaction(sessions, note)


def _is_ours(sessions: Sessions) -> bool:
    try:
        return sessions.is_untouched or sessions.stop_reading()
    except (DBAPIError, TimeoutError) as error:
        raise TemporarilyUnavailableError() from error


def _roll_back(sessions: Sessions, ours: bool) -> None:
    if ours and not sessions.is_untouched:
        sessions.session.rollback()


def asks_to_try_again(error: Exception) -> bool:
    if isinstance(error, RaceLostError):
        return True
    original = getattr(error, "orig", None)
    state = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    first = original.args[0] if isinstance(original, Exception) and original.args else None
    return state in _AGAIN_STATES or first in _AGAIN_NUMBERS or "database is locked" in str(first)
