"""When a client is dead, by the clocks of the door by which it came in; and finding those that are."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from flask_dynreg.config import DOORS
from flask_dynreg.registry.clients import USES_NOTED_EVERY, ClientRecord
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.secrets import MOST_OLDER
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.stretches import Stretch, is_within, unindexed

LIFETIME = "lifetime"
"""What is told of a client that is over by itself, as a policy wanted it: at `expires_at`."""

_NOW = bindparam("w_now", type_=BigInteger)
_MARIADB_SKIPS, _MYSQL_SKIPS = (10, 6), (8, 0)


class DeadClient(NamedTuple):
    """A client that was dead when it was read: by which door it had come, and by which clock it is dead."""

    client_id: str
    source: str
    clock: str
    version: int
    last_used_at: int | None


class Lifetimes:
    """The clocks of one issuer: `lifetimes` has, for a door or `all`, seconds by the names of clocks.

    Who came by none of the doors, such as by an operator's hand, is never dead.
    """

    def __init__(
        self, sessions: Sessions, models: Models, issuer: str, lifetimes: Mapping[str, Mapping[str, int]]
    ) -> None:
        self._sessions = sessions
        self._of = {door: lifetimes.get(door, lifetimes.get("all", {})) for door in DOORS}
        client = table_of(models.client)
        # Its time begins with the approval.
        has_begun = client.c.waiting_since.is_(None) | client.c.requested_metadata.is_not(None)
        clocks: list[tuple[ColumnElement[bool], str]] = [(has_begun & (client.c.expires_at <= _NOW), LIFETIME)]
        for door, seconds in self._of.items():
            came_in = client.c.source == door
            clocks += [(came_in & _is_over(client, clock, each), clock) for clock, each in seconds.items()]
        clock = case(*clocks).label("clock")
        ours = unindexed(client.c.issuer == issuer) & client.c.source.in_(DOORS)
        is_dead = and_(ours, or_(*(condition for condition, _ in clocks)))
        self._count = select(func.count()).select_from(client).where(is_within(client), is_dead)
        self._find = (
            select(client.c.client_id, client.c.source, clock, client.c.version, client.c.last_used_at)
            .where(is_within(client), is_dead)
            .order_by(client.c.client_id)
            .limit(bindparam("w_most"))
        )
        record = [client.c[field.name.removeprefix("_")] for field in fields(ClientRecord)]
        these = client.c.client_id.in_(bindparam("w_these", expanding=True))
        self._again = select(*record, clock).where(these, is_dead)

    def noted_every(self, door: str | None) -> int:
        """Seconds within which a use that follows another one need not be noted: half of what may pass without any at most."""
        idle = self._of.get(door or "", {}).get("idle")
        return USES_NOTED_EVERY if idle is None else min(USES_NOTED_EVERY, idle // 2)

    def count(self, stretch: Stretch, now: int) -> int:
        """How many are dead."""
        row = self._sessions.first(self._count, {**stretch.bounds, "w_now": now})
        assert row
        return int(row[0])

    def dead(self, stretch: Stretch, most: int, now: int) -> Sequence[DeadClient]:
        """The first ones that are dead, in the order of their ids."""
        rows = self._sessions.all(self._find, {**stretch.bounds, "w_most": most, "w_now": now})
        return [DeadClient(*tuple(row)) for row in rows]

    def locked(self, dead: Sequence[DeadClient], now: int) -> Sequence[tuple[ClientRecord, str]]:
        """Those that are dead still, as they were read, and that nobody else has in hand: each with its clock.

        Nobody can change them before the transaction is over, but on SQLite.
        """
        connection = self._sessions.connection()
        known = {(client.client_id, client.version, client.last_used_at) for client in dead}
        these = {"w_these": [client.client_id for client in dead], "w_now": now}
        rows = connection.execute(_locking(self._again, connection), these).all()
        found = [(ClientRecord(*tuple(row)[:-1]), row.clock) for row in rows]
        return [each for each in found if (each[0].client_id, each[0].version, each[0].last_used_at) in known]


def _is_over(client: FromClause, clock: str, seconds: int) -> ColumnElement[bool]:
    """What a clock of so many seconds says of a client."""
    columns = client.c
    if clock == "absolute":
        return columns.client_id_issued_at + seconds <= _NOW
    if clock == "pending":
        return columns.requested_metadata.is_(None) & (columns.waiting_since + seconds <= _NOW)
    # Only who may be used can do anything about these: from the registration, the approval, the resumption or the last change on.
    may_be_used = columns.status == "active"
    is_unchanged = func.coalesce(columns.updated_at, columns.client_id_issued_at) + seconds <= _NOW
    runs_out = {
        "unused": columns.last_used_at.is_(None),
        "idle": columns.last_used_at + seconds <= _NOW,
        "secret": _secrets_are_over(client, seconds),
    }
    return and_(may_be_used, is_unchanged, runs_out[clock])


def _secrets_are_over(client: FromClause, seconds: int) -> ColumnElement[bool]:
    """Whether each is for so long: the newest, if it has an end, and the older ones. Who has none has no such clock."""
    newest, ends_at, older = client.c.client_secret, client.c.client_secret_expires_at, client.c.older_client_secrets
    ends = [_EndOfOlder(older, literal_column(str(place))) for place in range(MOST_OLDER)]
    return and_(
        newest.is_not(None) | older.is_not(None),
        newest.is_(None) | ((ends_at > 0) & (ends_at + seconds <= _NOW)),
        *(end.is_(None) | (end + seconds <= _NOW) for end in ends),
    )


class _EndOfOlder(FunctionElement[int]):
    """`_EndOfOlder(column, place)`: until when the older secret at that place is good; null where there is none."""

    type = BigInteger()
    inherit_cache = True


@compiles(_EndOfOlder)
def _extracted(element: _EndOfOlder, compiler: SQLCompiler, **options: Any) -> str:
    older, place = (compiler.process(each, **options) for each in element.clauses)
    return f"json_extract({older}, '$[{place}][1]')"


@compiles(_EndOfOlder, "postgresql")
def _extracted_by_postgresql(element: _EndOfOlder, compiler: SQLCompiler, **options: Any) -> str:
    older, place = (compiler.process(each, **options) for each in element.clauses)
    return f"CAST(CAST({older} AS JSON) #>> '{{{place},1}}' AS BIGINT)"


def _locking(statement: Select[Any], connection: Connection) -> Select[Any]:
    """Rows that another worker has in hand are left to it, where the database can do so; elsewhere they are waited for."""
    dialect: Any = connection.dialect
    skips = True
    if dialect.name in ("mysql", "mariadb"):
        skips = dialect.server_version_info >= (_MARIADB_SKIPS if dialect.is_mariadb else _MYSQL_SKIPS)
    return statement.with_for_update(skip_locked=skips)
