"""`flask dynreg secrets`: all secrets come under the newest key, while clients register and change."""

import json
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, event

from flask_dynreg import DynamicRegistration
from flask_dynreg.registry import reencryption, stretches
from tests.conformance.exchange import Client, read, registered, replaced, update
from tests.conftest import CLIENT, MakeApp

OLD_KEY, NEW_KEY, OTHER_KEY = ("A" * 42 + "E=", "B" * 42 + "E=", "C" * 42 + "E=")


class Server:
    """One whose secrets stay good for a while beside the newest."""

    def __init__(self, make_app: MakeApp, url: str, *keys: str) -> None:
        self.db = SQLAlchemy()
        self.dynreg = DynamicRegistration(self.db)
        config: dict[str, Any] = {"DYNREG_SECRET_KEYS": list(keys), "DYNREG_CLIENT_SECRET_OVERLAP": 3600}
        self.app: Flask = make_app(self.db, self.dynreg, SQLALCHEMY_DATABASE_URI=url, **config)
        self.http = self.app.test_client()

    def takes(self, client: Client, secret: str) -> bool:
        with self.app.app_context():
            found = self.dynreg.query_client(client["client_id"])
            return found is not None and found.check_client_secret(secret)

    def rotated(self, client: Client) -> str:
        with self.app.app_context():
            secret = self.dynreg.rotate_client_secret(client["client_id"], keep=3600)
            self.db.session.commit()
        return secret

    def rows(self) -> list[dict[str, Any]]:
        with self.app.app_context():
            table = self.dynreg.models.client.__table__
            rows = self.db.session.execute(table.select().order_by(table.c.client_id)).mappings()
            return [dict(row) for row in rows]

    def reencrypted(self, *words: str) -> Result:
        return self.app.test_cli_runner().invoke(args=["dynreg", "secrets", "reencrypt", *words])


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reencryption, "MOST_AT_ONCE", 2)
    monkeypatch.setattr(stretches, "MOST_LOOKED_AT", 3)


def at_the_next_update(server: Server, happens: Callable[[], None]) -> None:
    """Somebody else does something between what the server reads and what it writes."""
    todo = [Thread(target=happens)]

    def before(connection: Connection, cursor: object, statement: str, *rest: object) -> None:
        if "UPDATE" in statement and todo:
            other = todo.pop()
            other.start()
            other.join()

    with server.app.app_context():
        event.listen(server.db.engine, "before_cursor_execute", before)


@pytest.mark.usefixtures("small_parts")
def test_all_secrets_come_under_the_newest_key(make_app: MakeApp, any_database_url: str) -> None:
    digested = registered(Server(make_app, any_database_url).http, **CLIENT)
    strange = registered(Server(make_app, any_database_url, OTHER_KEY).http, **CLIENT)
    old = Server(make_app, any_database_url, OLD_KEY)
    clients = [registered(old.http, **CLIENT) for _ in range(4)]
    newest = old.rotated(clients[0])
    both = Server(make_app, any_database_url, NEW_KEY, OLD_KEY)
    registered(both.http, **CLIENT)
    before = {row["client_id"]: row for row in both.rows()}
    result = both.reencrypted()
    assert result.stdout == "5 secrets are encrypted anew. 1 cannot be read by any key.\n", result.output
    after = {row["client_id"]: row for row in both.rows()}
    for untouched in (digested, strange):
        assert after[untouched["client_id"]] == before[untouched["client_id"]]
    secrets = {"client_secret", "older_client_secrets"}
    for client_id, row in after.items():
        assert {name for name, value in row.items() if before[client_id][name] != value} <= secrets
    new = Server(make_app, any_database_url, NEW_KEY)
    assert all(new.takes(client, client["client_secret"]) for client in clients) and new.takes(clients[0], newest)
    assert new.takes(digested, digested["client_secret"])
    rows = both.rows()
    assert both.reencrypted().stdout == "0 secrets are encrypted anew. 1 cannot be read by any key.\n"
    assert both.rows() == rows


@pytest.mark.usefixtures("small_parts")
def test_what_is_stopped_says_where_to_go_on(make_app: MakeApp, sqlite_url: str) -> None:
    old = Server(make_app, sqlite_url, OLD_KEY)
    clients = sorted((registered(old.http, **CLIENT) for _ in range(5)), key=lambda client: str(client["client_id"]))
    both = Server(make_app, sqlite_url, NEW_KEY, OLD_KEY)
    commits: list[Connection] = []

    def stop(connection: Connection) -> None:
        commits.append(connection)
        if len(commits) == 2:
            raise KeyboardInterrupt

    with both.app.app_context():
        event.listen(both.db.engine, "commit", stop)
    result = both.reencrypted()
    assert result.exit_code == 1 and result.stdout == ""
    second = clients[1]["client_id"]
    assert f"Go on with --after {second}" in result.stderr
    assert both.reencrypted("--after", second).stdout.startswith("3 secrets")
    assert both.reencrypted().stdout.startswith("0 secrets")


def test_a_client_that_changes_meanwhile_loses_nothing(make_app: MakeApp, any_database_url: str) -> None:
    old = Server(make_app, any_database_url, OLD_KEY)
    client = registered(old.http, **CLIENT)
    both, other = (Server(make_app, any_database_url, NEW_KEY, OLD_KEY) for _ in range(2))
    told: list[str] = []

    def happens() -> None:
        told.append(other.rotated(client))
        told.append(replaced(other.http, client, **CLIENT, client_name="Mine")["client_secret"])

    at_the_next_update(both, happens)
    result = both.reencrypted()
    assert (result.exit_code, told[0]) == (0, told[1])
    new = Server(make_app, any_database_url, NEW_KEY)
    assert new.takes(client, told[0]) and new.takes(client, client["client_secret"])
    assert read(new.http, client).get_json()["client_name"] == "Mine"


def test_an_update_that_began_before_does_not_bring_an_older_key_back(make_app: MakeApp, sqlite_url: str) -> None:
    client = registered(Server(make_app, sqlite_url, OLD_KEY).http, **CLIENT)
    both, other = (Server(make_app, sqlite_url, NEW_KEY, OLD_KEY) for _ in range(2))
    said: list[str] = []
    at_the_next_update(other, lambda: said.append(both.reencrypted().stdout))
    answer = update(other.http, client, {**CLIENT, "client_id": client["client_id"], "client_name": "Mine"})
    assert answer.get_json()["client_name"] == "Mine" and said[0].startswith("1 secrets")
    assert Server(make_app, sqlite_url, NEW_KEY).takes(client, client["client_secret"])


def test_it_needs_a_key_and_tables(make_app: MakeApp, sqlite_url: str) -> None:
    assert "DYNREG_SECRET_KEYS must hold a key." in Server(make_app, sqlite_url).reencrypted().stderr
    server = Server(make_app, sqlite_url, NEW_KEY)
    assert server.reencrypted().stdout == "0 secrets are encrypted anew. 0 cannot be read by any key.\n"
    with server.app.app_context():
        server.db.drop_all()
    assert "tables" in server.reencrypted().stderr


def test_no_event_tells_of_it(make_app: MakeApp, sqlite_url: str) -> None:
    registered(Server(make_app, sqlite_url, OLD_KEY).http, **CLIENT)
    server = Server(make_app, sqlite_url, NEW_KEY, OLD_KEY)
    assert server.reencrypted().stdout.startswith("1 secrets")
    with server.app.app_context():
        events = server.db.session.scalars(server.db.select(server.dynreg.models.event)).all()
    assert [(each.type, json.loads(each.details or "{}")) for each in events] == [("registered", {})]
