"""`flask dynreg registration`: closing registration while the server runs, and opening it again."""

from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import delete, read, registered, replaced
from tests.conftest import CLIENT, MakeApp
from tests.hosts import heard

DOCUMENT = "/.well-known/oauth-authorization-server"


class Worker:
    """One of the workers of a server, with a clock that tests move."""

    now = 1_800_000_000.0

    def __init__(self, make_app: MakeApp, url: str, **config: Any) -> None:
        self.db = SQLAlchemy()
        self.dynreg = DynamicRegistration(self.db, clock=lambda: Worker.now)
        self.app: Flask = make_app(self.db, self.dynreg, SQLALCHEMY_DATABASE_URI=url, **config)
        self.http = self.app.test_client()

    def is_open(self) -> bool:
        published = "registration_endpoint" in self.http.get(DOCUMENT).get_json()
        status = self.http.post("/oauth2/register", json=CLIENT).status_code
        assert (status, published) in ((201, True), (404, False))
        return published


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["dynreg", "registration", *words])


def later(seconds: float) -> None:
    Worker.now += seconds


def test_all_workers_know_within_five_seconds(make_app: MakeApp, any_database_url: str) -> None:
    first, second = (Worker(make_app, any_database_url) for _ in range(2))
    client = registered(first.http, **CLIENT)
    assert first.is_open() and second.is_open()
    assert run(first.app, "close", "--reason", "Maintenance").exit_code == 0
    later(5)
    assert not first.is_open() and not second.is_open()
    assert run(second.app, "status").stdout == "Closed: Maintenance\n"
    replaced(first.http, client, **CLIENT, client_name="Mine")
    assert read(second.http, client).get_json()["client_name"] == "Mine"
    assert run(second.app, "close", "--reason", "Still").exit_code == 0
    assert run(second.app, "open").exit_code == 0
    later(5)
    assert first.is_open() and second.is_open()
    assert run(first.app, "status").stdout == "Doors that are open: open.\n"
    assert delete(first.http, client).status_code == 204


def test_it_costs_no_query_for_each_request(make_app: MakeApp, sqlite_url: str) -> None:
    worker = Worker(make_app, sqlite_url)
    with worker.app.app_context():
        engine = worker.db.engine
    worker.http.get(DOCUMENT)
    with heard(engine) as words:
        for _ in range(10):
            worker.http.get(DOCUMENT)
        assert words == []
        later(5)
        for _ in range(10):
            worker.http.get(DOCUMENT)
        assert words == ["SELECT"]


def test_a_hosts_own_code_does_the_same_in_its_transaction(make_app: MakeApp, sqlite_url: str) -> None:
    worker = Worker(make_app, sqlite_url)
    for end, is_open in ((worker.db.session.rollback, True), (worker.db.session.commit, False)):
        with worker.app.app_context():
            worker.dynreg.close_registration("why")
            end()
        later(5)
        assert worker.is_open() is is_open
    with worker.app.app_context():
        worker.dynreg.open_registration()
        worker.db.session.commit()
    assert worker.is_open()


def test_while_the_database_is_down_it_is_as_it_was(
    make_app: MakeApp, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(make_app, sqlite_url)
    run(worker.app, "close", "--reason", "why")
    later(5)
    assert not worker.is_open()
    with worker.app.app_context():
        worker.db.drop_all()
    later(5)
    assert "registration_endpoint" not in worker.http.get(DOCUMENT).get_json()
    assert worker.http.post("/oauth2/register", json=CLIENT).status_code == 404
    assert "Whether registration is closed could not be read" in caplog.text


def test_servers_of_other_issuers_stay_open(make_app: MakeApp, sqlite_url: str) -> None:
    worker = Worker(make_app, sqlite_url)
    other = Worker(
        make_app, sqlite_url, DYNREG_SERVER_METADATA={"issuer": "https://other.example"}, DYNREG_DISCOVERY=False
    )
    run(worker.app, "close", "--reason", "why")
    later(5)
    assert not worker.is_open()
    assert run(other.app, "status").stdout.startswith("Doors that are open")


def test_the_command_says_what_is_wrong(make_app: MakeApp, sqlite_url: str) -> None:
    worker = Worker(make_app, sqlite_url)
    assert run(worker.app, "close").exit_code == 2
    assert run(worker.app, "close", "--reason", "x" * 256).exit_code == 2
    result = run(worker.app, "open")
    assert result.exit_code == 1 and "was not closed" in result.stderr
    with worker.app.app_context():
        worker.db.drop_all()
    for words in (["close", "--reason", "x"], ["open"], ["status"]):
        result = run(worker.app, *words)
        assert result.exit_code == 1 and "tables" in result.stderr
