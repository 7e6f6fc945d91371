"""Software statements over the life of a client: updates, what is good once, issuers that are trusted no longer."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import RowMapping, select

from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import CONFIDENTIAL, Client, delete, post, read, refused, registered, replaced, update
from tests.conftest import MakeApp
from tests.documents import published
from tests.hosts import heard
from tests.registry.host import Clock
from tests.statements import DIRECTORY, public, rsa_key, statement, trusted

INVALID, UNAPPROVED = "invalid_software_statement", "unapproved_software_statement"
STATED_URI = "https://stated.example/cb"
SOFTWARE = "4NRB1-0XZABZI9E6-5SM3R"


class Server:
    def __init__(self, make_app: MakeApp, *issuers: dict[str, Any], **config: Any) -> None:
        self.clock, self.db = Clock(), SQLAlchemy()
        self.clock.now = int(time.time())
        self.dynreg = DynamicRegistration(self.db, clock=self.clock)
        self.app: Flask = make_app(self.db, self.dynreg, DYNREG_STATEMENT_ISSUERS=list(issuers), **config)
        self.http: FlaskClient = self.app.test_client()

    def registered(self, software_statement: str, **metadata: Any) -> Client:
        return registered(self.http, **CONFIDENTIAL, software_statement=software_statement, **metadata)

    def answer(self, software_statement: str, **metadata: Any) -> Any:
        return post(self.http, {**CONFIDENTIAL, "software_statement": software_statement, **metadata})

    def run(self, *words: str, stdin: str | None = None) -> str:
        result = self.app.test_cli_runner().invoke(args=["dynreg", *words], input=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def rows(self, name: str) -> list[RowMapping]:
        with self.app.app_context():
            table = getattr(self.dynreg.models, name).__table__
            return list(self.db.session.execute(select(table)).mappings())


StartServer = Callable[..., Server]


@pytest.fixture
def start(make_app: MakeApp) -> StartServer:
    return lambda *issuers, **config: Server(make_app, *issuers, **config)


@pytest.fixture
def server(start: StartServer) -> Server:
    return start(trusted())


# ---- What is kept


def test_a_client_is_found_by_its_software_and_who_vouches_for_it(start: StartServer, any_database_url: str) -> None:
    server = start(trusted(), SQLALCHEMY_DATABASE_URI=any_database_url)
    client = server.registered(statement())
    (row,) = server.rows("client")
    assert (row["status"], row["software_id"], row["statement_issuer"]) == ("active", SOFTWARE, DIRECTORY)
    replaced(server.http, client, **CONFIDENTIAL, software_statement=statement(software_id="other"))
    (row,) = server.rows("client")
    assert (row["status"], row["software_id"], row["statement_issuer"]) == ("active", "other", DIRECTORY)
    noted = [json.loads(event["details"])["statement_issuer"] for event in server.rows("event")]
    assert noted == [DIRECTORY, DIRECTORY]


def test_registering_without_a_statement_asks_about_none(start: StartServer, sqlite_url: str) -> None:
    server = start(SQLALCHEMY_DATABASE_URI=sqlite_url)
    with server.app.app_context():
        engine = server.db.engine
    server.http.options("/oauth2/register")  # whether an operator has closed registration is asked now and then
    with heard(engine) as words:
        registered(server.http, **CONFIDENTIAL)
    assert words == ["INSERT", "INSERT", "COMMIT"]


# ---- Updates


def test_what_a_statement_locks_stays_locked(server: Server) -> None:
    stated = statement(client_name="Stated", redirect_uris=[STATED_URI])
    client = server.registered(stated, client_uri="https://one.example")
    other = {"client_name": "Other", "client_name#en": "Other", "redirect_uris": ["https://other.example/cb"]}
    for sent in (
        {"software_statement": stated},
        {"software_statement": stated, **other},
        other,
        {"software_statement": None, **other},
        {"software_statement": "", **other},
        {},
    ):
        answer = replaced(server.http, client, client_uri="https://two.example", **sent)
        assert (answer["client_name"], answer["redirect_uris"]) == ("Stated", [STATED_URI])
        assert (answer["software_statement"], answer["client_uri"]) == (stated, "https://two.example")
        assert "client_name#en" not in answer
    assert replaced(server.http, client, software_statement=stated).keys() == client.keys() - {
        "client_uri",
        "client_secret",
        "client_secret_expires_at",
    }


def test_the_statement_that_is_kept_does_not_end(server: Server) -> None:
    stated = statement(exp=server.clock.now + 60, iat=server.clock.now)
    client = server.registered(stated)
    server.clock.now += 3600
    assert update(server.http, client, client).status_code == 200
    refused(server.answer(stated), INVALID)
    refused(update(server.http, client, client | {"software_statement": f"{stated}x"}), INVALID)
    fresh = statement(exp=server.clock.now + 60, iat=server.clock.now)
    assert replaced(server.http, client, **CONFIDENTIAL, software_statement=fresh)["software_statement"] == fresh


def test_a_client_may_get_its_first_statement_with_an_update(server: Server) -> None:
    client = registered(server.http, **CONFIDENTIAL, client_name="Sent")
    answer = update(server.http, client, client | {"software_statement": statement(client_name="Stated")})
    assert answer.get_json()["client_name"] == "Stated"
    assert server.rows("client")[0]["statement_issuer"] == DIRECTORY


def test_a_wrong_statement_does_not_hide_what_else_is_wrong_with_an_update(server: Server) -> None:
    client = server.registered(statement())
    body = refused(
        update(server.http, client, {"software_statement": "x", "client_id": "y"}), "invalid_client_metadata"
    )
    assert {problem["pointer"] for problem in body["errors"]} == {"/client_id", "/software_statement"}
    assert refused(update(server.http, client, client | {"software_statement": "x"}), INVALID)


def test_an_update_needs_an_issuer_that_is_still_trusted(start: StartServer, sqlite_url: str) -> None:
    """The settings of an app that starts anew do not name it any more."""
    config = {"SQLALCHEMY_DATABASE_URI": sqlite_url}
    server = start(trusted(), trusted("other"), **config)
    client = server.registered(statement())
    other = server.registered(statement(iss="other"))
    restarted = start(trusted("other", software_ids=["unlike"]), **config)
    for changed in (client, other):
        refused(update(restarted.http, changed, changed), UNAPPROVED)
        assert read(restarted.http, changed).status_code == 200
    closed = start(**config)
    refused(update(closed.http, client, {**CONFIDENTIAL, "client_id": client["client_id"]}), UNAPPROVED)
    assert delete(closed.http, client).status_code == 204


# ---- Keys that lie elsewhere


def test_an_issuer_whose_keys_cannot_be_fetched_is_asked_again_later(make_app: MakeApp) -> None:
    url = f"{DIRECTORY}/jwks"
    with published() as documents:
        clock, db = Clock(), SQLAlchemy()
        clock.now = int(time.time())
        dynreg = DynamicRegistration(db, clock=clock, fetcher=documents.fetcher)
        issuers = [trusted(jwks_uri=url), trusted("other")]
        http = make_app(db, dynreg, DYNREG_STATEMENT_ISSUERS=issuers).test_client()
        stated = {**CONFIDENTIAL, "software_statement": statement()}
        body = refused(post(http, stated), "temporarily_unavailable", status=503)
        assert "directory" not in body["error_description"]
        assert "Retry-After" in post(http, stated).headers and documents.asked == [url]
        assert registered(http, **CONFIDENTIAL, software_statement=statement(iss="other"))


def test_keys_that_lie_elsewhere_are_fetched_once_and_serve_on(make_app: MakeApp) -> None:
    url = f"{DIRECTORY}/jwks"
    with published() as documents:
        documents.put(url, public(rsa_key()))
        db = SQLAlchemy()
        app = make_app(
            db,
            DynamicRegistration(db, fetcher=documents.fetcher),
            DYNREG_STATEMENT_ISSUERS=[trusted(jwks_uri=url)],
        )
        clients = [registered(app.test_client(), **CONFIDENTIAL, software_statement=statement()) for _ in range(2)]
        assert update(app.test_client(), clients[0], clients[0]).status_code == 200
        assert documents.asked == [url]
        other = {**CONFIDENTIAL, "software_statement": statement(rsa_key("other"), {"kid": "directory"})}
        refused(post(app.test_client(), other), INVALID)


# ---- What is good once


def test_a_statement_may_be_good_once(start: StartServer, any_database_url: str) -> None:
    server = start(trusted(one_time=True), SQLALCHEMY_DATABASE_URI=any_database_url)
    now = server.clock.now
    stated = statement(jti="1", exp=now + 60)
    assert refused(server.answer(stated, client_name=1), "invalid_client_metadata")
    client = server.registered(stated)
    refused(server.answer(stated), INVALID)
    refused(server.answer(statement(jti="1", exp=now + 61)), INVALID)
    assert update(server.http, client, client).status_code == 200
    assert server.registered(statement(jti="2", exp=now + 60))
    refused(update(server.http, client, client | {"software_statement": statement(jti="2", exp=now + 60)}), INVALID)
    assert (
        update(server.http, client, client | {"software_statement": statement(jti="3", exp=now + 9)}).status_code == 200
    )
    assert {row["expires_at"] - now for row in server.rows("used_statement")} == {90, 39}
    assert len(server.rows("client")) == 2


@pytest.mark.parametrize("claims", [{}, {"jti": "1"}, {"jti": "", "exp": 2**40}, {"exp": 2**40}])
def test_a_statement_that_is_good_once_has_an_identifier_and_an_end(server: Server, claims: dict[str, Any]) -> None:
    server.run("issuer", "add", "-", stdin=json.dumps(trusted("once", one_time=True)))
    refused(server.answer(statement(iss="once", **claims)), INVALID)


def test_an_age_is_an_end_as_well(start: StartServer) -> None:
    server = start(trusted(one_time=True, max_age=100))
    for jti, claims in (("1", {}), ("2", {"exp": server.clock.now + 50}), ("3", {"exp": 1e300})):
        server.registered(statement(jti=jti, iat=server.clock.now, **claims))
    assert [row["expires_at"] - server.clock.now for row in server.rows("used_statement")] == [130, 80, 130]


def test_identifiers_are_those_of_their_issuer(start: StartServer) -> None:
    server = start(trusted(one_time=True), trusted("other", one_time=True))
    for iss in (DIRECTORY, "other"):
        server.registered(statement(iss=iss, jti="1", exp=server.clock.now + 60))
    assert len(server.rows("used_statement")) == 2


def test_identifiers_that_are_over_are_forgotten(start: StartServer) -> None:
    server = start(trusted(one_time=True))
    for number in range(3):
        server.registered(statement(jti=str(number), exp=server.clock.now + 1))
    server.clock.now += 3600
    server.registered(statement(jti="3", exp=server.clock.now + 1))
    assert len(server.rows("used_statement")) == 1


def test_of_many_at_once_one_registers(start: StartServer, any_database_url: str) -> None:
    server = start(trusted(one_time=True), SQLALCHEMY_DATABASE_URI=any_database_url)
    stated = statement(jti="1", exp=server.clock.now + 60)

    def register(_: int) -> int:
        return int(post(server.app.test_client(), {**CONFIDENTIAL, "software_statement": stated}).status_code)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(register, range(16))) == [201] + [400] * 15
    assert len(server.rows("client")) == 1


# ---- Issuers that come and go


def test_an_issuer_that_an_operator_adds_is_trusted_soon(server: Server) -> None:
    stated = statement(rsa_key("new"), iss="new")
    refused(server.answer(stated), UNAPPROVED)
    server.run("issuer", "add", "-", stdin=json.dumps(trusted("new", rsa_key("new"))))
    assert server.registered(stated)


def test_withdrawing_an_issuer_suspends_its_clients(start: StartServer, any_database_url: str) -> None:
    server = start(trusted("other"), SQLALCHEMY_DATABASE_URI=any_database_url)
    server.run("issuer", "add", "-", stdin=json.dumps(trusted("one")))
    clients = [server.registered(statement(iss="one")) for _ in range(2)]
    others = [server.registered(statement(iss="other")), registered(server.http, **CONFIDENTIAL)]
    assert server.run("issuer", "withdraw", "one") == "2 clients are suspended.\n"
    refused(server.answer(statement(iss="one")), UNAPPROVED)
    for client in clients:
        assert read(server.http, client).status_code == 200
        body = refused(update(server.http, client, client), "access_denied", status=403)
        assert "suspended" in body["error_description"]
        with server.app.app_context():
            suspended = server.dynreg.query_client(client["client_id"])
            assert suspended and not suspended.is_active and not suspended.check_grant_type("authorization_code")
        assert delete(server.http, client).status_code == 204
    for client in others:
        assert update(server.http, client, client).status_code == 200
    types = [event["type"] for event in server.rows("event") if event["client_id"]]
    assert types[:6] == ["registered"] * 4 + ["suspended"] * 2
    assert {row["client_id"] for row in server.rows("client")} == {client["client_id"] for client in others}


def test_withdrawing_a_software_suspends_its_clients(start: StartServer, any_database_url: str) -> None:
    server = start(SQLALCHEMY_DATABASE_URI=any_database_url)
    server.run("issuer", "add", "-", stdin=json.dumps(trusted()))
    bad, good = (server.registered(statement(software_id=name)) for name in ("bad", "Bad"))
    assert server.run("issuer", "disapprove", DIRECTORY, "bad") == "1 clients are suspended.\n"
    refused(server.answer(statement(software_id="bad")), UNAPPROVED)
    refused(update(server.http, bad, bad), "access_denied", status=403)
    assert update(server.http, good, good).status_code == 200
    (reason,) = [row["status_reason"] for row in server.rows("client") if row["status"] == "suspended"]
    assert "not approved" in reason
    server.run("issuer", "approve", DIRECTORY, "bad")
    assert server.registered(statement(software_id="bad"))


def test_more_clients_than_are_suspended_at_once(start: StartServer) -> None:
    server = start()
    server.run("issuer", "add", "-", stdin=json.dumps(trusted()))
    stated = statement()
    for _ in range(401):
        server.registered(stated)
    assert server.run("issuer", "withdraw", DIRECTORY) == "401 clients are suspended.\n"
    assert {row["status"] for row in server.rows("client")} == {"suspended"}
    assert sum(event["type"] == "suspended" for event in server.rows("event")) == 401


def test_another_process_hears_of_it_within_seconds(start: StartServer, database_url: str) -> None:
    here, there = (start(trusted("other"), SQLALCHEMY_DATABASE_URI=database_url) for _ in range(2))
    here.run("issuer", "add", "-", stdin=json.dumps(trusted()))
    there.registered(statement())
    here.run("issuer", "add", "--replace", "-", stdin=json.dumps(trusted(software_ids=["good"])))
    # It goes by what it has read, and notices when it writes.
    refused(there.answer(statement()), UNAPPROVED)
    here.run("issuer", "withdraw", DIRECTORY)
    refused(there.answer(statement(software_id="good")), UNAPPROVED)
    here.run("issuer", "add", "-", stdin=json.dumps(trusted()))
    there.clock.now += 5
    assert there.registered(statement())
