"""Trails of any length: what it takes to read one grows as it does, whoever writes or prunes meanwhile."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pytest
from sqlalchemy import Row, RowMapping, delete, event, func, insert, select

from flask_dynreg.lifecycle.clients import Registered
from flask_dynreg.registry import chains, events, retention
from flask_dynreg.registry.chains import Break, Found
from flask_dynreg.registry.models import table_of
from flask_dynreg.registry.sessions import Sessions
from tests.registry.conftest import StartHost
from tests.registry.host import Host, client_id

PAGE, AT_ONCE = 3, 12
TOKENS = 5
YEAR = 365 * 86400

Action = Callable[[], object]


@pytest.fixture(autouse=True)
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (chains, events, retention):
        monkeypatch.setattr(module, "PAGE", PAGE)
    monkeypatch.setattr(retention, "AT_ONCE", AT_ONCE)


def note(host: Host, token: int) -> None:
    host.registrar.trail.note(f"token {token}", "registration_refused", error="access_denied")


def update(host: Host, registered: Registered, name: str) -> None:
    host.registrar.update(host.record(registered), host.checked(client_name=name))


def live(host: Host, times: int, busy: Registered) -> None:
    """Two new clients each time, one that has many events, and tokens with theirs between them."""
    for number in range(times):
        for _ in range(2):
            host.registered()
        for each in range(4):
            note(host, (number + each) % TOKENS)
        for each in range(2):
            update(host, busy, f"Number {number}, {each}")
        host.session.commit()
        host.clock.now += 10


def breaks(host: Host) -> list[Break]:
    return list(host.registrar.chains.verify(Found()))


# ---- What it takes

ANALYZED = {
    "postgresql": ["VACUUM ANALYZE"],
    "mysql": ["ANALYZE TABLE dynreg_event, dynreg_client, dynreg_trail_head"],
}
"""SQLite is left without statistics, as it mostly is."""
SMALL = ["enable_seqscan", "enable_bitmapscan", "enable_mergejoin", "enable_hashjoin"]
"""What PostgreSQL does with small tables alone, as it costs no more there."""


@dataclass
class Taken:
    """What was read: the rows of each statement, and what the database went through for them."""

    rows: list[int] = field(default_factory=list)
    steps: int = 0


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Host, Action], Taken]:
    def measured(host: Host, work: Action) -> Taken:
        host.session.close()
        engine, taken = host.db.engine, Taken()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for words in ANALYZED.get(engine.dialect.name, ()):
                connection.exec_driver_sql(words)
        engine.dispose()
        read, opened = Sessions.all, list[Any]()

        def count() -> None:
            taken.steps += 1

        def opens(connection: Any, _: object) -> None:
            opened.append(connection)
            if engine.dialect.name == "sqlite":
                connection.set_progress_handler(count, 1)

        def explains(_: object, cursor: Any, words: str, values: Any, *__: object) -> None:
            if engine.dialect.name == "postgresql" and words.startswith("SELECT"):
                with cursor.connection.cursor() as other:
                    for name in SMALL:
                        other.execute(f"SET {name} = off")
                    other.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {words}", values)
                    taken.steps += gone_through(other.fetchone()[0][0]["Plan"])

        def counted(sessions: Sessions, *arguments: Any) -> Sequence[Row[Any]]:
            rows = read(sessions, *arguments)
            taken.rows.append(len(rows))
            return rows

        event.listen(engine, "connect", opens)
        event.listen(engine, "before_cursor_execute", explains)
        with monkeypatch.context() as patch:
            patch.setattr(Sessions, "all", counted)
            work()
        event.remove(engine, "connect", opens)
        event.remove(engine, "before_cursor_execute", explains)
        if engine.dialect.name not in ("sqlite", "postgresql"):
            for connection in opened:
                with connection.cursor() as cursor:
                    cursor.execute("SHOW SESSION STATUS WHERE variable_name RLIKE '^Handler_(read|icp_attempts)'")
                    taken.steps += sum(int(value) for _, value in cursor.fetchall())
        engine.dispose()
        return taken

    return measured


def gone_through(plan: dict[str, Any]) -> int:
    """The rows that the nodes of a plan of PostgreSQL have made or thrown away."""
    rows = plan["Actual Rows"] + sum(number for name, number in plan.items() if name.startswith("Rows Removed"))
    return int(rows * plan["Actual Loops"]) + sum(gone_through(each) for each in plan.get("Plans", ()))


def verifies(host: Host) -> None:
    assert breaks(host) == []


def prunes(host: Host) -> None:
    for count, faults in host.registrar.retention.prune(host.clock.now + YEAR):
        assert count and not faults
        host.session.commit()


def seals(host: Host) -> None:
    host.clock.now += YEAR
    assert host.registrar.seals.compare([host.registrar.seals.make()])[0].is_sound


def exports(host: Host) -> None:
    assert list(host.registrar.chains.events.since(0))


def erases(host: Host) -> None:
    assert not list(host.registrar.retention.erase_older())


@pytest.mark.parametrize("work", [verifies, prunes, seals, exports, erases])
def test_what_it_takes_grows_as_the_trail_does(
    any_database_url: str,
    start_host: StartHost,
    taken: Callable[[Host, Action], Taken],
    work: Callable[[Host], object],
) -> None:
    host = start_host(any_database_url, DYNREG_HISTORY=1000)
    busy = host.registered()
    live(host, 8, busy)
    few = taken(host, lambda: work(host))
    live(host, 24 + 8 * (work is prunes), busy)
    many = taken(host, lambda: work(host))
    assert len(many.rows) < 4.5 * len(few.rows) and max(many.rows) <= PAGE
    assert few.steps > 0 and many.steps < 4.5 * few.steps


# ---- Others at the same time


def at_each_reading(monkeypatch: pytest.MonkeyPatch, act: Callable[[int, Sequence[Row[Any]]], None]) -> None:
    """Calls `act` after each reading, with its number and what was read; not for those that it does itself."""
    read, number, acts = Sessions.all, 0, False

    def interrupted(sessions: Sessions, *arguments: Any) -> Sequence[Row[Any]]:
        nonlocal number, acts
        rows = read(sessions, *arguments)
        if not acts:
            acts, number = True, number + 1
            act(number, rows)
            acts = False
        return rows

    monkeypatch.setattr(Sessions, "all", interrupted)


def test_who_writes_all_the_time_keeps_no_reading_from_its_end(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = host.registered()
    live(host, 4, busy)

    def write(number: int, _: object) -> None:
        note(host, number % 2 if number % 8 else 100 + number)
        update(host, busy, f"Meanwhile {number}")
        host.registered() if number % 8 == 0 else host.session.commit()

    at_each_reading(monkeypatch, write)
    assert breaks(host) == []
    assert host.registrar.seals.compare([host.registrar.seals.make()])[0].is_sound


@pytest.mark.parametrize("name", ["client_id", "details"])
def test_an_event_that_is_committed_late_is_no_break(host: Host, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    busy = host.registered()
    live(host, 8, busy)
    table = table_of(host.models.event)
    value = {"client_id": client_id(busy), "details": json.dumps({"subject": "token 1", "error": "access_denied"})}
    chain = [row for row in host.rows(host.models.event) if row[name] == value[name]]
    late = chain[len(chain) // 2]
    host.session.execute(delete(table).where(table.c.id == late["id"]))
    host.session.commit()
    assert {each.kind for each in breaks(host)} == {"removed"} | ({"head"} if name == "details" else set())
    written: list[int] = []

    def commit(_: int, rows: Sequence[Row[Any]]) -> None:
        behind = (row for row in rows if getattr(row, "client_id", None) == late["client_id"] and row[0] > late["id"])
        if not written and any(behind):
            written.append(late["id"])
            host.session.execute(insert(table).values(**late))
            host.session.commit()

    at_each_reading(monkeypatch, commit)
    assert breaks(host) == [] and written


@pytest.fixture
def old(sqlite_host: Host) -> Host:
    """One that has seen a client go, after many events."""
    busy, gone = sqlite_host.registered(), sqlite_host.registered()
    live(sqlite_host, 8, busy)
    for number in range(2 * AT_ONCE):
        update(sqlite_host, gone, f"Number {number}")
    sqlite_host.registrar.delete(sqlite_host.record(gone))
    sqlite_host.session.commit()
    sqlite_host.clock.now += YEAR
    live(sqlite_host, 4, busy)
    return sqlite_host


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "step by step"])
def test_what_is_pruned_while_it_is_read_is_no_break(old: Host, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    seal, readings, pruner = old.registrar.seals.make(), list[int](), old.registrar.retention
    with monkeypatch.context() as patch:
        at_each_reading(patch, lambda number, _: readings.append(number))
        assert breaks(old) == []
    for moment in range(1, len(readings), 5):
        for reading in (
            breaks,
            lambda host: [each for each in host.registrar.seals.compare([seal]) if not each.is_sound],
        ):
            steps = pruner.prune(old.clock.now - YEAR // 2)

            def prune(number: int, _: object, moment: int = moment, steps: Iterator[Any] = steps) -> None:
                if number >= moment:
                    assert all(count for count, _ in (steps if at_once else islice(steps, 1)))

            with monkeypatch.context() as patch:
                at_each_reading(patch, prune)
                assert reading(old) == []
            assert breaks(old) == []
            old.session.rollback()


def test_what_is_pruned_again_and_again_while_it_is_read_is_no_break(
    sqlite_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy, begun = sqlite_host.registered(), sqlite_host.clock.now
    for number in range(30):
        sqlite_host.clock.now += 10
        update(sqlite_host, busy, f"Number {number}")
    sqlite_host.session.commit()

    def prune(number: int, rows: Sequence[Row[Any]]) -> None:
        again = number > PAGE and bool(rows) and getattr(rows[0], "type", None) == "pruned"
        if number == 1 or again:
            assert list(sqlite_host.registrar.retention.prune(begun + 100 + 100 * again))

    at_each_reading(monkeypatch, prune)
    assert list(sqlite_host.registrar.chains.verify(Found(), client_id(busy))) == []


# ---- Step by step


def test_every_step_of_a_pruning_leaves_chains_that_are_sound(old: Host) -> None:
    def rows() -> list[RowMapping]:
        return [row for row in old.rows(old.models.event) if row["type"] != "trail_pruned"]

    there, steps = len(rows()), []
    for count, faults in old.registrar.retention.prune(old.clock.now - YEAR // 2):
        assert not faults and breaks(old) == []
        steps.append(count)
        old.session.commit()
    assert len(steps) > 5 and max(steps) < 2 * AT_ONCE
    begins = [json.loads(row["details"]) for row in rows() if row["type"] == "pruned"]
    assert len(begins) == 1 + 16 + TOKENS and there - len(rows()) == sum(steps) - len(begins)
    assert sum(each["removed"] for each in begins) == sum(steps) - (2 * AT_ONCE + 2)


def test_it_is_pruned_alike_in_steps_of_whatever_size(
    old: Host, monkeypatch: pytest.MonkeyPatch, start_host: StartHost, sqlite_url: str
) -> None:
    def pruned(host: Host) -> list[Any]:
        list(host.registrar.retention.prune(host.clock.now - YEAR // 2))
        table = table_of(host.models.event)
        rows = host.session.execute(table.select().where(table.c.type != "trail_pruned").order_by(table.c.id)).all()
        host.session.rollback()
        return [tuple(row) for row in rows]

    in_steps = pruned(old)
    for module in (chains, events, retention):
        monkeypatch.setattr(module, "PAGE", 500)
    monkeypatch.setattr(retention, "AT_ONCE", 1000)
    assert pruned(start_host(sqlite_url)) == in_steps


def test_many_seals_are_compared_in_one_reading(sqlite_host: Host, taken: Callable[[Host, Action], Taken]) -> None:
    busy, made = sqlite_host.registered(), []
    for _ in range(3):
        live(sqlite_host, 2, busy)
        sqlite_host.clock.now += YEAR
        made.append(sqlite_host.registrar.seals.make())
    compare = sqlite_host.registrar.seals.compare
    forged = made[0] | {"events": 1}
    one = taken(sqlite_host, lambda: list(compare(made[:1])))
    every = taken(sqlite_host, lambda: list(compare([*made, forged])))
    assert one.rows == every.rows
    assert [each.is_sound for each in compare([*reversed(made), forged, made[0]])] == [True] * 3 + [False, True]
    table = table_of(sqlite_host.models.event)
    second = table.c.occurred_at.between(made[0]["sealed_at"], made[1]["until"]) & (table.c.client_id == "")
    last = sqlite_host.session.execute(select(func.max(table.c.id)).where(second)).scalar()
    sqlite_host.session.execute(delete(table).where(table.c.id == last))
    assert [each.missing for each in compare(made)] == [0, 1, 1] and compare(made)[0].is_sound
