"""`flask dynreg clients clean-up`: what it prints, and in whose name it acts."""

import json
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration, Operator, Permission
from tests.conftest import CLIENT, MakeApp
from tests.registry.host import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dynreg(clock: Clock) -> DynamicRegistration:
    dynreg = DynamicRegistration(SQLAlchemy(), clock=clock)
    dynreg.operator(lambda name: Operator(str(name), frozenset(Permission)))
    return dynreg


@pytest.fixture
def app(make_app: MakeApp, dynreg: DynamicRegistration, sqlite_url: str, clock: Clock) -> Flask:
    """One with five clients, of which two are dead, and one tombstone that is over."""
    app = make_app(
        dynreg._db,
        dynreg,
        SQLALCHEMY_DATABASE_URI=sqlite_url,
        DYNREG_TOMBSTONE_RETENTION=10,
        DYNREG_CLIENT_LIFETIMES={"open": {"unused": 10}},
        DYNREG_POLICIES=[{"policy": "lifetime", "seconds": 20}],
    )
    with app.app_context():
        created = dynreg.create_client(CLIENT, client_id="ours")["client_id"]
        dynreg.registrar.delete(dynreg.registrar.known_client(created))
        dynreg.create_client(CLIENT)
        dynreg._db.session.commit()
    for seconds in (10, 7, 3):
        app.test_client().post("/oauth2/register", json=CLIENT)
        clock.now += seconds
    app.test_client().post("/oauth2/register", json=CLIENT)
    return app


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["dynreg", "clients", *words])


def told(result: Result) -> list[dict[str, Any]]:
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("options", [[], ["--batch", "1"]])
def test_it_tells_how_many_by_door_and_clock(app: Flask, options: list[str]) -> None:
    lines = [
        {"source": "open", "clock": "lifetime", "clients": 1},
        {"source": "open", "clock": "unused", "clients": 1},
    ]
    all_in_all = {"clients": 2, "in_use": 0, "passed_over": 0}
    for dry_run, tombstones in ((["--dry-run"], 0), ([], 1)):
        result = told(run(app, "clean-up", *options, *dry_run))
        assert result == [*lines, {"dry_run": bool(dry_run), **all_in_all, "tombstones": tombstones}]
    none = {"dry_run": False, "clients": 0, "in_use": 0, "passed_over": 0, "tombstones": 0}
    assert told(run(app, "clean-up", *options)) == [none]


def test_the_trail_says_in_whose_name(app: Flask, dynreg: DynamicRegistration) -> None:
    told(run(app, "clean-up", "--as", "ann"))
    with app.app_context():
        event = dynreg.models.event
        details = dynreg._db.session.scalars(dynreg._db.select(event.details).where(event.type == "removed")).all()
    assert sorted(map(json.loads, details), key=str) == [
        {"reason": "lifetime", "by": "ann"},
        {"reason": "unused", "by": "ann"},
    ]


def test_operators_are_told_what_has_become_of_a_client(app: Flask) -> None:
    for word in ("show", "delete"):
        result = run(app, word, "ours")
        assert result.exit_code == 1 and "removed at 1800000000, for the reason: deleted." in result.stderr
    result = run(app, "show", "theirs")
    assert result.exit_code == 1 and "removed" not in result.stderr


@pytest.mark.parametrize("batch", ["0", "-1", "x"])
def test_a_batch_is_of_one_at_least(app: Flask, batch: str) -> None:
    assert run(app, "clean-up", "--batch", batch).exit_code == 2


def test_without_tables_it_says_so(app: Flask, dynreg: DynamicRegistration) -> None:
    with app.app_context():
        dynreg._db.drop_all()
    result = run(app, "clean-up")
    assert result.exit_code == 1 and "tables" in result.stderr and result.stdout == ""
