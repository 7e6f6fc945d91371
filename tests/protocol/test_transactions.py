"""One request, one transaction: what it says to the database, what is tried again, and when it is a 503."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Response
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, create_engine, event, select, text
from sqlalchemy.pool import NullPool
from werkzeug.test import TestResponse

from flask_dynreg import ConfigurationEndpoint, DynamicRegistration, RegistrationEndpoint, client_updated
from flask_dynreg.protocol.transactions import ATTEMPTS
from tests.conformance.exchange import Client, bearer, delete, issue_token, read, registered, update
from tests.conftest import CLIENT, MakeApp
from tests.hosts import app_whose_database_is_down, heard

REGISTER = "/oauth2/register"
OFTEN = range(2, ATTEMPTS + 1)  # on a slow machine the time is up first
Interfere = Callable[[str], object]
Ask = Callable[[], TestResponse]


class Server:
    """An app on a database, with somebody who may come between the steps of a request."""

    def __init__(self, make_app: MakeApp, url: str, **config: Any) -> None:
        self.between: Interfere = lambda client_id: None
        self.db = SQLAlchemy()
        server = self

        class Configuration(ConfigurationEndpoint):
            def check_permission(self, client: Any, request: Any) -> bool:
                server.between(client.client_id)
                return True

        class Registration(RegistrationEndpoint):
            def extract_client_metadata(self, request: Any) -> dict[str, Any]:
                server.between("")
                return super().extract_client_metadata(request)

        self.dynreg = DynamicRegistration(
            self.db, registration_endpoint=Registration, configuration_endpoint=Configuration
        )
        doors = ["open", "initial_access_token"]
        self.app = make_app(self.db, self.dynreg, SQLALCHEMY_DATABASE_URI=url, DYNREG_ACCESS=doors, **config)
        self.before: Callable[[], object] = lambda: None
        self.app.before_request(self.begin)
        self.http = self.app.test_client()
        with self.app.app_context():
            self.engine = self.db.engine

    def begin(self) -> None:
        """What a host does before our view."""
        self.before()

    def register(self, **metadata: Any) -> Client:
        return registered(self.http, **CLIENT, **metadata)

    def rename(self, client: Client, name: str) -> TestResponse:
        return update(self.http, client, CLIENT | {"client_id": client["client_id"], "client_name": name})

    def execute(self, statement: str, **parameters: Any) -> None:
        """By somebody else, in a transaction of its own."""
        with create_engine(self.engine.url, poolclass=NullPool).begin() as connection:
            connection.execute(text(statement), parameters)

    def events(self) -> list[str]:
        """Those about clients."""
        with self.app.app_context():
            event = self.dynreg.models.event
            return list(self.db.session.scalars(select(event.type).where(event.client_id != "").order_by(event.id)))


@pytest.fixture
def server(make_app: MakeApp, any_database_url: str) -> Server:
    return Server(make_app, any_database_url)


def is_unavailable(answer: TestResponse) -> bool:
    assert answer.mimetype == "application/json" and answer.headers["Cache-Control"] == "no-store"
    assert answer.get_json()["error"] == "temporarily_unavailable"
    assert answer.status_code == 503
    return int(answer.headers["Retry-After"]) > 0


# ---- What is said to the database


def test_each_request_is_a_few_statements_and_one_commit(server: Server) -> None:
    at_once = server.engine.dialect.name == "postgresql"
    write = {name: ["WITH"] if at_once else [name, "INSERT"] for name in ("INSERT", "UPDATE", "DELETE")}
    token = issue_token(server.app)
    server.http.options(REGISTER)  # whether an operator has closed registration is asked now and then
    with heard(server.engine) as words:
        client = server.register()
        assert words == [*write["INSERT"], "COMMIT"]
    with heard(server.engine) as words:
        server.http.post(REGISTER, json=CLIENT, headers=bearer(token))
        assert words == ["SELECT", "UPDATE", *write["INSERT"], "COMMIT"]
    with heard(server.engine) as words:
        read(server.http, client)
        assert words == ["SELECT"]
    with heard(server.engine) as words:
        server.rename(client, "Other")
        assert words == ["SELECT", *write["UPDATE"], "COMMIT"]
    with heard(server.engine) as words:
        delete(server.http, client)
        # What it was before is erased, and its tombstone is made.
        assert words == ["SELECT", *write["DELETE"], "UPDATE", "INSERT", "COMMIT"]
    assert sorted(server.events()) == ["deleted", "registered", "registered", "updated"]


def test_the_refusal_of_a_known_principal_writes_an_event_of_its_own(server: Server) -> None:
    token = issue_token(server.app)
    server.http.options(REGISTER)
    with heard(server.engine) as words:
        assert server.http.post(REGISTER, json={}, headers=bearer(token)).status_code == 400
        assert words == ["SELECT", "SELECT", "UPDATE", "INSERT", "COMMIT"]


def test_a_refusal_writes_nothing(server: Server) -> None:
    client, other = server.register(), server.register()
    uri, own = client["registration_client_uri"], bearer(client["registration_access_token"])
    http, wrong = server.http, bearer(other["registration_access_token"])
    asked: list[tuple[list[str], Ask]] = [
        ([], lambda: http.post(REGISTER, json={"redirect_uris": ["http://a.example"]})),
        ([], lambda: http.post(REGISTER, data=b"{", content_type="application/json")),
        ([], lambda: http.post(REGISTER, json=CLIENT, headers=bearer("x"))),
        ([], lambda: http.post(REGISTER, json=CLIENT, headers=bearer("dynreg_iat_" + "x" * 49))),
        ([], lambda: http.post(REGISTER, json=CLIENT, headers={"Authorization": "Basic eDp5"})),
        ([], lambda: http.put(REGISTER)),
        ([], lambda: http.get(uri)),
        ([], lambda: http.get(uri, headers=bearer("x"))),
        ([], lambda: http.get("/oauth2/clients/" + "x" * 256, headers=own)),
        (["SELECT"], lambda: http.get(uri, headers=wrong)),
        (["SELECT"], lambda: http.delete("/oauth2/clients/unknown", headers=own)),
        (["SELECT"], lambda: http.put(uri, headers=own, json={})),
        (["SELECT"], lambda: http.put(uri, headers=own, data=b"x" * 70_000, content_type="application/json")),
        ([], lambda: http.patch(uri, headers=own)),
        ([], lambda: http.options(uri)),
    ]
    for number, (expected, ask) in enumerate(asked):
        with heard(server.engine) as words:
            answer = ask()
        assert (number, words) == (number, expected)
        assert answer.status_code in (204, 400, 401, 405, 413)
    assert server.events() == ["registered", "registered"]


# ---- What is tried again


def test_an_update_that_loses_a_race_is_made_on_what_the_winner_left(server: Server) -> None:
    client = server.register(client_name="First")
    lost = ["lost"]

    def overtake(client_id: str) -> None:
        if lost:
            server.execute("UPDATE dynreg_client SET version = version + 1 WHERE client_id = :id", id=client_id)
            lost.pop()

    server.between = overtake
    told: list[str] = []

    def receive(sender: Flask, client_id: str) -> None:
        told.append(client_id)

    with client_updated.connected_to(receive, sender=server.app), heard(server.engine) as words:
        answer = server.rename(client, "Second")
    assert (answer.status_code, answer.get_json()["client_name"]) == (200, "Second")
    assert words.count("COMMIT") == 1 and words.count("SELECT") == 2
    assert told == [client["client_id"]]
    assert server.events() == ["registered", "updated"]


def test_a_race_that_is_always_lost_ends_in_a_503(server: Server) -> None:
    client = server.register(client_name="First")
    overtaken: list[str] = []

    def overtake(client_id: str) -> None:
        overtaken.append(client_id)
        server.execute("UPDATE dynreg_client SET version = version + 1 WHERE client_id = :id", id=client_id)

    server.between = overtake
    asks: list[Ask] = [lambda: server.rename(client, "Second"), lambda: delete(server.http, client)]
    for ask in asks:
        overtaken.clear()
        assert is_unavailable(ask())
        assert len(overtaken) in OFTEN
    server.between = lambda client_id: None
    assert read(server.http, client).get_json()["client_name"] == "First"
    assert server.events() == ["registered"]


def test_a_client_that_is_deleted_meanwhile_is_unknown(server: Server) -> None:
    asks: list[Callable[[Client], TestResponse]] = [
        lambda client: server.rename(client, "Other"),
        lambda client: delete(server.http, client),
    ]
    for ask in asks:
        client = server.register()
        server.between = lambda client_id: server.execute(
            "DELETE FROM dynreg_client WHERE client_id = :id", id=client_id
        )
        assert ask(client).status_code == 401
        server.between = lambda client_id: None
    assert server.events() == ["registered", "registered"]


def test_a_token_that_is_used_up_meanwhile_is_not_good(server: Server) -> None:
    token = issue_token(server.app, uses=1)
    server.between = lambda client_id: server.execute("UPDATE dynreg_initial_access_token SET uses = 1")
    answer = server.http.post(REGISTER, json=CLIENT, headers=bearer(token))
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_token")
    assert server.events() == []


# ---- PostgreSQL: serialization failures


@pytest.fixture
def strict(make_app: MakeApp, postgresql_url: str) -> Server:
    return Server(make_app, postgresql_url, SQLALCHEMY_ENGINE_OPTIONS={"isolation_level": "SERIALIZABLE"})


def overtake_after_begin(server: Server, statement: str, times: int) -> list[int]:
    """Somebody else writes the row once our transaction has its snapshot: PostgreSQL refuses to let us write it too."""
    overtaken: list[int] = []

    @event.listens_for(server.db.session, "after_begin")
    def overtake(session: Any, transaction: Any, connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        if len(overtaken) < times:
            overtaken.append(1)
            server.execute(statement)

    return overtaken


TOUCH_TOKEN = "UPDATE dynreg_initial_access_token SET label = 'seen'"
TOUCH_CLIENT = "UPDATE dynreg_client SET updated_at = 1"


def test_a_serialization_failure_is_tried_again(strict: Server) -> None:
    token, client = issue_token(strict.app, uses=2), strict.register()
    overtaken = overtake_after_begin(strict, TOUCH_TOKEN, 1)
    assert strict.http.post(REGISTER, json=CLIENT, headers=bearer(token)).status_code == 201
    assert len(overtaken) == 1
    overtaken = overtake_after_begin(strict, TOUCH_CLIENT, 2)
    assert strict.rename(client, "Other").status_code == 200
    assert len(overtaken) == 2
    overtaken = overtake_after_begin(strict, TOUCH_CLIENT, 3)
    assert delete(strict.http, client).status_code == 204
    assert len(overtaken) == 3
    assert strict.events() == ["registered", "registered", "updated", "deleted"]
    assert strict.http.post(REGISTER, json=CLIENT, headers=bearer(token)).status_code == 201
    assert strict.http.post(REGISTER, json=CLIENT, headers=bearer(token)).status_code == 401


def test_serialization_failures_without_end_are_a_503(strict: Server) -> None:
    client = strict.register()
    overtaken = overtake_after_begin(strict, TOUCH_CLIENT, 100)
    assert is_unavailable(strict.rename(client, "Other"))
    assert len(overtaken) in OFTEN


# ---- MySQL and MariaDB: a lock that is waited for too long


def test_a_lock_that_is_not_to_be_had_is_tried_again(make_app: MakeApp, mysql_url: str) -> None:
    options = {"connect_args": {"init_command": "SET innodb_lock_wait_timeout = 1"}}  # the least there is
    server = Server(make_app, mysql_url, SQLALCHEMY_ENGINE_OPTIONS=options)
    token, client = issue_token(server.app, uses=1), server.register()
    engine = create_engine(mysql_url)
    with engine.connect() as holder:
        holder.execute(text(TOUCH_TOKEN))
        refused = count_refusals(server, lambda number: holder.rollback())
        assert server.http.post(REGISTER, json=CLIENT, headers=bearer(token)).status_code == 201
        assert len(refused) == 1 and "1205" in refused[0]
    engine.dispose()
    assert server.http.post(REGISTER, json=CLIENT, headers=bearer(token)).status_code == 401
    assert read(server.http, client).status_code == 200


# ---- SQLite: somebody else writes


@pytest.fixture
def hasty(make_app: MakeApp, sqlite_url: str) -> Server:
    """It does not wait for a lock."""
    return Server(make_app, sqlite_url, SQLALCHEMY_ENGINE_OPTIONS={"connect_args": {"timeout": 0}})


@pytest.fixture
def writer(sqlite_url: str, hasty: Server) -> Iterator[sqlite3.Connection]:
    """Somebody else, who holds the lock of the database until a rollback."""
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def count_refusals(server: Server, then: Callable[[int], object] = lambda number: None) -> list[str]:
    """What the database refuses, and what happens after each time."""
    refused: list[str] = []

    @event.listens_for(server.engine, "handle_error")
    def count(context: Any) -> None:
        refused.append(str(context.original_exception))
        then(len(refused))

    return refused


def test_a_locked_database_is_tried_again(hasty: Server, writer: sqlite3.Connection) -> None:
    refused = count_refusals(hasty, lambda number: writer.rollback() if number == 3 else None)
    assert hasty.http.post(REGISTER, json=CLIENT).status_code == 201
    assert refused == ["database is locked"] * 3
    assert hasty.events() == ["registered"]


def test_a_database_that_stays_locked_is_a_503_and_serves_again_later(
    hasty: Server, writer: sqlite3.Connection
) -> None:
    refused = count_refusals(hasty)
    assert is_unavailable(hasty.http.post(REGISTER, json=CLIENT))
    assert len(refused) in OFTEN
    writer.rollback()
    client = hasty.register()
    writer.execute("BEGIN IMMEDIATE")
    assert read(hasty.http, client).status_code == 200  # who only reads does not wait
    assert is_unavailable(hasty.rename(client, "Other"))
    assert is_unavailable(delete(hasty.http, client))
    writer.rollback()
    assert hasty.rename(client, "Other").get_json()["client_name"] == "Other"
    assert hasty.events() == ["registered", "updated"]


# ---- When the host has begun something


@pytest.fixture
def busy(hasty: Server) -> Server:
    """A host that reads from the session, and puts something into it."""

    def begin() -> None:
        hasty.db.session.execute(text("SELECT 1"))
        values: dict[str, Any] = {"issuer": "mine", "client_id": "mine", "type": "mine", "occurred_at": 1}
        hasty.db.session.add(hasty.dynreg.models.event(**values))

    hasty.before = begin
    return hasty


def test_what_a_host_has_begun_is_committed_with_ours(busy: Server) -> None:
    client = busy.register()
    assert sorted(busy.events()) == ["mine", "registered"]
    assert busy.rename(client, "Other").status_code == 200
    assert sorted(busy.events()) == ["mine", "mine", "registered", "updated"]


def test_what_a_host_has_begun_is_not_committed_with_a_refusal(busy: Server) -> None:
    assert busy.http.post(REGISTER, json={}).status_code == 400
    assert busy.events() == []


def test_what_a_host_has_begun_is_neither_rolled_back_nor_tried_again(busy: Server, writer: sqlite3.Connection) -> None:
    left: list[tuple[bool, int]] = []

    @busy.app.after_request
    def look(response: Response) -> Response:
        left.append((busy.db.session().in_transaction(), len(busy.db.session.new)))
        return response

    refused = count_refusals(busy)
    assert is_unavailable(busy.http.post(REGISTER, json=CLIENT))
    assert len(refused) == 1
    assert left == [(True, 1)]
    writer.rollback()
    assert busy.events() == []


@pytest.mark.parametrize(
    ("statement", "often"), [("CREATE TEMPORARY TABLE note (id integer)", 1), ("SELECT 1", 2)], ids=["wrote", "read"]
)
def test_a_race_that_is_lost_in_the_hosts_transaction_is_a_503_if_it_has_written(
    make_app: MakeApp, postgresql_url: str, statement: str, often: int
) -> None:
    server = Server(make_app, postgresql_url)
    client = server.register(client_name="First")
    server.before = lambda: server.db.session.execute(text(statement))
    overtaken: list[str] = []

    def overtake(client_id: str) -> None:
        overtaken.append(client_id)
        if len(overtaken) == 1:
            with server.db.engine.begin() as connection:
                connection.execute(text("UPDATE dynreg_client SET version = version + 1"))

    server.between = overtake
    answer = server.rename(client, "Second")
    assert is_unavailable(answer) if often == 1 else answer.status_code == 200
    assert len(overtaken) == often


# ---- When the database is down


def test_a_database_that_is_down_is_a_503_everywhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    token = "dynreg_iat_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    with app_whose_database_is_down() as (app, _):
        http = app.test_client()
        assert is_unavailable(http.post(REGISTER, json=CLIENT | {"client_name": "cAnArY"}))
        assert http.post(REGISTER, json={}).status_code == 400
        assert http.post(REGISTER, json=CLIENT, headers=bearer(token)).status_code == 401
        assert http.get("/.well-known/oauth-authorization-server").status_code == 200
    assert "OperationalError" in caplog.text
    for word in ("hunter2", "cAnArY", "refused the connection", "Connection refused", "INSERT", "127.0.0.1"):
        assert word not in caplog.text


# ---- Logs


def test_nothing_secret_is_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    token = issue_token(server.app)
    client = server.http.post(REGISTER, json=CLIENT, headers=bearer(token)).get_json()
    wrong = "dynreg_rat_" + client["registration_access_token"][::-1]
    for headers in (bearer(token), bearer(wrong), {"Authorization": f"Basic {wrong}"}):
        server.http.post(REGISTER, json=CLIENT | {"client_name": 5}, headers=headers)
        server.http.get(f"{client['registration_client_uri']}?access_token={wrong}", headers=headers)
    server.execute("DROP TABLE dynreg_event")
    assert is_unavailable(server.rename(client, "cAnArY"))
    assert is_unavailable(server.http.post(REGISTER, json=CLIENT | {"client_name": "cAnArY"}))
    assert "Refused: invalid_client_metadata client_name" in caplog.text
    assert "The database could not do it" in caplog.text
    for secret in (
        token,
        wrong,
        client["client_secret"],
        client["registration_access_token"],
        "cAnArY",
        "dynreg_event",
    ):
        assert secret not in caplog.text
