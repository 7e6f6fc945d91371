"""Trusted issuers in the database: how long a process goes by what it has read, and what happens at the same moment."""

import json
import sqlite3
from typing import Any

import pytest
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event

from flask_dynreg import client_suspended
from flask_dynreg.errors import InvalidStatementError, RaceLostError, UnapprovedStatementError
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from tests.conftest import CLIENT
from tests.hosts import heard
from tests.registry.conftest import StartHost
from tests.registry.host import OPEN, Host
from tests.statements import DIRECTORY, statement, trusted


def add(host: Host, **members: Any) -> None:
    host.registrar.issuers.add(StatementIssuer.from_json(trusted(**members)))
    host.session.commit()


def stated(host: Host, **claims: Any) -> str:
    return statement(None, None, **{"iat": host.clock.now, **claims})


def register(host: Host, text: str, then: Any = None) -> None:
    """As a request does, with something that happens between the check and the writing."""
    checked = host.registrar.check({**CLIENT, "software_statement": text})
    if then:
        then()
    information = host.registrar.new_client_information(checked)
    host.registrar.register(information, checked, OPEN)


def suspended(host: Host) -> int:
    ids = host.registrar.stated_clients("", DIRECTORY, None)
    return host.registrar.suspend_stated(ids, DIRECTORY, None, "why")


def test_what_was_read_serves_for_some_seconds(sqlite_host: Host) -> None:
    host = sqlite_host
    add(host)
    with heard(host.db.engine) as words:
        for seconds in (0, 4, 1, 4, 1):
            host.clock.now += seconds
            assert host.registrar.issuers.find(DIRECTORY)
            assert host.registrar.issuers.find("other") is None
        host.clock.now -= 1000  # a clock that is set back keeps nothing alive
        assert host.registrar.issuers.are_there()
    assert words == ["SELECT"] * 4


def test_own_changes_count_at_once(sqlite_host: Host) -> None:
    issuers = sqlite_host.registrar.issuers
    assert not issuers.are_there()
    add(sqlite_host)
    assert issuers.are_there()
    assert issuers.replace(StatementIssuer.from_json(trusted(software_ids=[])))
    found = issuers.find(DIRECTORY)
    assert found and not found.approves("x")
    assert issuers.remove(DIRECTORY) and not issuers.are_there()


def test_the_caller_commits(sqlite_host: Host) -> None:
    issuers = sqlite_host.registrar.issuers
    issuers.add(StatementIssuer.from_json(trusted()))
    sqlite_host.session.rollback()
    assert issuers.kept() == {}


@pytest.mark.parametrize("change", ["withdraw", "replace"])
def test_an_issuer_that_changes_while_a_client_registers_is_asked_again(
    any_database_url: str, start_host: StartHost, change: str
) -> None:
    here, there = start_host(any_database_url), start_host(any_database_url)
    text = stated(here)

    def meanwhile() -> None:
        with there.app.app_context():
            if change == "withdraw":
                there.registrar.issuers.remove(DIRECTORY)
            else:
                there.registrar.issuers.replace(StatementIssuer.from_json(trusted(software_ids=[])))
            there.session.commit()

    with here.app.app_context():
        add(here)
        register(here, text)
        here.session.commit()
        with pytest.raises(RaceLostError):
            register(here, text, meanwhile)
        here.session.rollback()
        if change == "replace":
            with pytest.raises(UnapprovedStatementError):
                register(here, text)
        assert len(here.clients()) == 1


def test_an_issuer_stays_trusted_until_the_client_is_written(sqlite_url: str, start_host: StartHost) -> None:
    """A withdrawal that comes in between finds the client and suspends it: it has to wait for the lock."""
    here = start_host(sqlite_url)
    add(here)
    register(here, stated(here))
    here.session.commit()
    here.registrar.issuers.remove(DIRECTORY)
    here.session.commit()
    assert suspended(here) == 1
    here.session.commit()
    assert [row["status"] for row in here.clients()] == ["suspended"]


def test_an_instance_in_the_session_is_read_anew_when_it_is_suspended(host: Host) -> None:
    add(host)
    checked = host.checked(software_statement=stated(host))
    information = host.registrar.new_client_information(checked)
    client = host.registrar.register(information, checked, OPEN)
    host.session.commit()
    loaded = host.dynreg.query_client(client.client.client_id)
    assert loaded and loaded.is_active
    record = host.record(client)
    assert suspended(host) == 1
    assert not loaded.is_active and loaded.status_reason == "why"
    with pytest.raises(RaceLostError):
        host.registrar.update(record, checked)


@pytest.fixture
def five(any_database_url: str, start_host: StartHost, monkeypatch: pytest.MonkeyPatch) -> Host:
    """With five clients of an issuer, of which two are read, and one is suspended, at once."""
    monkeypatch.setattr("flask_dynreg.registry.pages.IDS_AT_ONCE", 2)
    monkeypatch.setattr("flask_dynreg.operations.issuers.MOST_AT_ONCE", 1)
    host = start_host(any_database_url)
    add(host)
    for number in range(5):
        register(host, stated(host, software_id="even" if number % 2 == 0 else "odd"))
        host.session.commit()
    host.registered()
    return host


def test_clients_of_an_issuer_are_suspended_forward_in_the_order_of_their_ids(five: Host) -> None:
    ids = sorted(row["client_id"] for row in five.clients() if row["statement_issuer"])
    told = list[str]()

    def hear(sender: Any, client_id: str, **_: Any) -> None:
        told.append(client_id)
        if client_id == ids[2]:  # who is behind is not looked at again
            five.dynreg.resume_client(ids[0], "fine")
            five.session.commit()

    with client_suspended.connected_to(hear, five.app):
        result = five.app.test_cli_runner().invoke(args=["dynreg", "issuer", "withdraw", DIRECTORY])
        assert (result.stdout, told) == ("5 clients are suspended.\n", ids)
        again = five.app.test_cli_runner().invoke(args=["dynreg", "issuer", "withdraw", DIRECTORY])
        assert (again.stdout, told) == ("1 clients are suspended.\n", [*ids, ids[0]])


def test_clients_of_one_software_are_suspended_alone(five: Host) -> None:
    result = five.app.test_cli_runner().invoke(args=["dynreg", "issuer", "disapprove", DIRECTORY, "odd"])
    assert result.stdout == "2 clients are suspended.\n"
    assert sorted(row["status"] for row in five.clients()) == ["active"] * 4 + ["suspended"] * 2


@pytest.mark.parametrize("becomes", ["changed", "gone"])
def test_who_changes_at_this_moment_is_suspended_as_well(sqlite_url: str, start_host: StartHost, becomes: str) -> None:
    """SQLite locks nothing for a SELECT: the row is another one by the time it is written."""
    host = start_host(sqlite_url)
    add(host)
    register(host, stated(host))
    host.session.commit()
    todo = ["UPDATE dynreg_client SET version = version + 1" if becomes == "changed" else "DELETE FROM dynreg_client"]

    def meanwhile(connection: Any, cursor: Any, words: str, *rest: Any) -> None:
        if todo and words.startswith("UPDATE dynreg_client"):
            with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as other:
                other.execute(todo.pop())

    event.listen(host.db.engine, "before_cursor_execute", meanwhile)
    result = host.app.test_cli_runner().invoke(args=["dynreg", "issuer", "withdraw", DIRECTORY])
    assert result.stdout == f"{int(becomes == 'changed')} clients are suspended.\n"
    assert [(row["status"], row["version"]) for row in host.clients()] == [("suspended", 3)] * (becomes == "changed")


def test_what_is_good_once_is_used_up_with_the_callers_transaction(host: Host) -> None:
    add(host, one_time=True)
    text = stated(host, jti="1", exp=host.clock.now + 60)
    register(host, text)
    host.session.rollback()
    register(host, text)
    host.session.commit()
    with pytest.raises(InvalidStatementError):
        register(host, text)
    host.session.rollback()
    assert len(host.rows(host.models.client)) == 1


def test_a_bounded_number_of_identifiers_is_cleared_at_a_time(sqlite_host: Host) -> None:
    """Soon again where more are over: however many are used up in a minute, their table does not grow for ever."""
    host = sqlite_host
    add(host, one_time=True)
    table: Any = host.models.used_statement
    rows = [{"digest": str(number), "issuer": "x", "expires_at": 1} for number in range(600)]
    host.session.execute(table.__table__.insert(), rows)
    host.session.commit()
    counts = []
    for seconds, jti in ((0, "1"), (0, "2"), (1, "3"), (60, "4")):
        host.clock.now += seconds
        register(host, stated(host, jti=jti, exp=host.clock.now + 3600))
        host.session.commit()
        with host.db.engine.connect() as connection:
            counts.append(len(connection.execute(table.__table__.select()).all()))
    assert counts == [101, 102, 3, 4]


def test_issuers_are_those_of_one_authorization_server(sqlite_url: str, start_host: StartHost) -> None:
    here = start_host(sqlite_url)
    server = {**here.registrar.settings.server_metadata, "issuer": "https://other.example"}
    there = start_host(sqlite_url, DYNREG_SERVER_METADATA=json.loads(json.dumps(server)))
    with here.app.app_context():
        add(here)
        assert here.registrar.issuers.are_there()
    with there.app.app_context():
        assert there.registrar.issuers.kept() == {}
        assert not there.registrar.issuers.remove(DIRECTORY)
        add(there)
    assert isinstance(there.db, SQLAlchemy)
