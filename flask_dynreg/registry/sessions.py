"""The host's session, as this extension uses it: one transaction with what the host does, and signals after its end."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, Executable, Row, event, inspect
from sqlalchemy.orm import Session, SessionTransaction, scoped_session
from sqlalchemy.pool import SingletonThreadPool, StaticPool

_WAITING = "flask_dynreg.waiting"
_SETTLED = "flask_dynreg.settled"
_BEGUN = "flask_dynreg.begun"
_WRITTEN = "flask_dynreg.written"


class Sessions:
    """The session of `db` for one client model. `db` is Flask-SQLAlchemy, or anything else with a `session`."""

    def __init__(self, db: Any, client_model: type) -> None:
        self._db = db
        self._client_model = client_model
        self._readers: WeakKeyDictionary[Engine, Engine] = WeakKeyDictionary()
        # Where it is made anew each time, be it in an app context only, nobody can say what was done in it before.
        watched = getattr(db, "__dict__", {}).get("session")
        self._is_watched = isinstance(watched, scoped_session | Session)
        if self._is_watched:
            _listen(watched, _WATCHERS)

    @property
    def session(self) -> Session:
        """The session of this request or context."""
        session = self._db.session
        session = session() if callable(session) else session
        assert isinstance(session, Session)
        return session

    @property
    def is_untouched(self) -> bool:
        """Whether nobody has begun anything: what we begin may be rolled back and tried again."""
        return self._is_absent or (self.is_clean and not self.session.in_transaction())

    @property
    def is_clean(self) -> bool:
        """Whether nothing waits to be written."""
        if self._is_absent:
            return True
        session = self.session
        return not (session.new or session.dirty or session.deleted)

    def stop_reading(self) -> bool:
        """Ends a transaction in which the session has only read, and leaves instances what they hold; False if it has written.

        A session that is not an attribute of `db` is not known well enough: what it has begun is left open.
        """
        if self.is_untouched or not self._is_watched:
            return self.is_clean
        session = self.session
        has_written = any(connection.info.get(_WRITTEN) for connection in session.info.get(_BEGUN, ()))
        if not self.is_clean or has_written or session.in_nested_transaction():
            return False
        expires, session.expire_on_commit = session.expire_on_commit, False
        try:
            session.commit()
        finally:
            session.expire_on_commit = expires
        return True

    @property
    def _is_absent(self) -> bool:
        registry = getattr(self._db.session, "registry", None)
        return registry is not None and not registry.has()

    @property
    def engine(self) -> Engine:
        """The database of the client model."""
        return self.session.get_bind(self._client_model).engine

    def connection(self) -> Connection:
        """The connection of the session's transaction, to the database of the client model (it may have a bind key)."""
        return self.session.connection(bind_arguments={"mapper": self._client_model})

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is written and to be told in it is undone if it raises. What the host has not written yet is left alone: a nested
        transaction of the session would write it."""
        waiting, connection = len(self.session.info.get(_WAITING, ())), self.connection()
        if connection.dialect.name == "sqlite" and not getattr(connection.connection, "in_transaction", True):
            connection.exec_driver_sql("BEGIN")  # sqlite3 has not yet: the end of the savepoint would commit
        with connection.begin_nested():
            try:
                yield
            except BaseException:
                del self.session.info.get(_WAITING, [])[waiting:]
                raise

    def first(self, statement: Executable, parameters: Mapping[str, Any]) -> Row[Any] | None:
        """One row. In an untouched session it is read by itself: no transaction stays open while we think."""
        with self._reading() as connection:
            return connection.execute(statement, parameters).first()

    def all(self, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Every row, read as one is."""
        with self._reading() as connection:
            return connection.execute(statement, parameters).all()

    def _reading(self) -> AbstractContextManager[Connection]:
        engine = self._reader() if self.is_untouched else None
        return engine.connect() if engine else nullcontext(self.connection())

    def _reader(self) -> Engine | None:
        """None where a second connection would be another database, or would wait for the first: SQLite in memory."""
        engine = self.engine
        if isinstance(engine.pool, StaticPool | SingletonThreadPool):
            return None
        reader = self._readers.get(engine)
        if reader is None:
            # sqlite3 begins no transaction for a SELECT; elsewhere BEGIN and ROLLBACK are saved.
            saves = engine.dialect.name != "sqlite"
            reader = engine.execution_options(isolation_level="AUTOCOMMIT") if saves else engine
            self._readers[engine] = reader
        return reader

    def forget(self, client_id: str, *, gone: bool) -> None:
        """Makes an instance of this client that the session holds read its row again: Core statements pass it by.

        What the host changed about it and has not written yet stays, unless the row is gone.
        """
        for instance in list(self.session.identity_map.values()):
            if isinstance(instance, self._client_model):
                state = inspect(instance)
                if state.dict.get("client_id") == client_id:
                    self.session.expire(instance, None if gone else state.unmodified)

    def after_commit(self, tell: Callable[[], None]) -> None:
        """Calls `tell` once the outermost transaction is committed and over; never, if it or a savepoint in it is rolled back."""
        session = self.session
        _listen(session, _TELLERS)
        savepoint = session.get_nested_transaction() or session.get_transaction()
        session.info.setdefault(_WAITING, []).append((savepoint, tell))


# event.contains goes by the id of the target, which that of another may have been that is gone.
_LISTENING: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def _listen(target: Any, listeners: Mapping[str, Callable[..., None]]) -> None:
    known = _LISTENING.setdefault(target, set())
    for name, listener in listeners.items():
        if listener.__name__ not in known:
            known.add(listener.__name__)
            event.listen(target, name, listener)


def _watch(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    if not transaction.nested:
        connection.info.pop(_WRITTEN, None)
        session.info.setdefault(_BEGUN, []).append(connection)
        _listen(connection.engine, _NOTERS)


def _note(connection: Connection, _: object, words: str, __: object, context: Any, ___: object) -> None:
    is_select = (context.compiled and context.compiled.statement.is_select) or words.lstrip()[:6].upper() == "SELECT"
    if not is_select or _LOCKS.search(words):
        connection.info[_WRITTEN] = True


def _stop_watching(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_BEGUN, None)


_LOCKS = re.compile(r"\bFOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)\b|\bLOCK IN SHARE MODE\b", re.IGNORECASE)
_WATCHERS: dict[str, Callable[..., None]] = {"after_begin": _watch, "after_transaction_end": _stop_watching}
_NOTERS: dict[str, Callable[..., None]] = {"before_cursor_execute": _note}


def _drop(session: Session, rolled_back: SessionTransaction) -> None:
    waiting = session.info.get(_WAITING)
    if waiting:
        session.info[_WAITING] = [entry for entry in waiting if not _is_within(entry[0], rolled_back)]


def _is_within(transaction: SessionTransaction | None, outer: SessionTransaction) -> bool:
    while transaction is not None:
        if transaction is outer:
            return True
        transaction = transaction.parent
    return False


def _settle(session: Session) -> None:
    if session.get_nested_transaction() is None:
        session.info.setdefault(_SETTLED, []).extend(session.info.pop(_WAITING, ()))


def _tell(session: Session, transaction: SessionTransaction) -> None:
    # SQL in after_commit raises: the transaction is not over yet. Here it is, be it by a close() without a commit.
    if transaction.parent is None:
        session.info.pop(_WAITING, None)
        for _, tell in session.info.pop(_SETTLED, ()):
            tell()


_TELLERS: dict[str, Callable[..., None]] = {
    "after_soft_rollback": _drop,
    "after_commit": _settle,
    "after_transaction_end": _tell,
}
