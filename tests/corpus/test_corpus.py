"""The requests of real clients register, read back, update with their own answer and delete."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from mcp.shared.auth import OAuthClientInformationFull
from werkzeug.test import TestResponse

from flask_dynreg import DynamicRegistration
from tests.conftest import MakeApp
from tests.corpus.entries import ENTRIES
from tests.corpus.expectations import REFUSED, REGISTERED

SECRET = {"client_secret", "client_secret_expires_at"}
ISSUED = {"client_id", "client_id_issued_at", "registration_access_token", "registration_client_uri"}
DECIDED = {"grant_types", "response_types", "token_endpoint_auth_method", "scope"}
VOCABULARY = {
    *(
        "redirect_uris",
        "client_name",
        "client_uri",
        "logo_uri",
        "contacts",
        "tos_uri",
        "policy_uri",
        "jwks_uri",
        "jwks",
    ),
    *("software_id", "software_version", "application_type"),
}
FERNET_KEY = "7Bd1qYcQ2bXyTn0eGv3m5RkWj8sHfLpZ4uAaC9oIiDg="

registered = pytest.mark.parametrize("id", REGISTERED)
browsers = pytest.mark.parametrize("id", [id for id in REGISTERED if "Origin" in ENTRIES[id]["headers"]])


class Server:
    """An authorization server with both doors, as an MCP server has it."""

    def __init__(self, app: Flask, dynreg: DynamicRegistration, db: SQLAlchemy) -> None:
        self.app, self.dynreg, self.db = app, dynreg, db
        self.http: FlaskClient = app.test_client()

    def register(self, id: str) -> TestResponse:
        """Sends the request as the client does, with a token of one use in place of the one it was given."""
        headers = dict(ENTRIES[id]["headers"])
        if "Authorization" in headers:
            headers["Authorization"] = f"Bearer {self.initial_access_token()}"
        return self.http.post("/oauth2/register", data=json.dumps(ENTRIES[id]["request"]), headers=headers)

    def initial_access_token(self) -> str:
        with self.app.app_context():
            token = self.dynreg.issue_initial_access_token(uses=1)
            self.db.session.commit()
        return token

    def manage(self, method: str, client: Mapping[str, Any], body: object = None) -> TestResponse:
        headers = {"Authorization": f"Bearer {client['registration_access_token']}"}
        return self.http.open(client["registration_client_uri"], method=method, json=body, headers=headers)

    def authorizes(self, client_id: str, redirect_uri: str) -> bool:
        with self.app.app_context():
            client = self.dynreg.query_client(client_id)
            assert client
            return client.check_redirect_uri(redirect_uri)


def serving(make_app: MakeApp, **config: Any) -> Server:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    doors = ["open", "initial_access_token"]
    return Server(make_app(db, dynreg, DYNREG_ACCESS=doors, DYNREG_DEFAULT_SCOPES=["mcp:read"], **config), dynreg, db)


@pytest.fixture
def server(make_app: MakeApp) -> Server:
    return serving(make_app)


@pytest.fixture
def server_that_keeps_secrets(make_app: MakeApp) -> Server:
    return serving(make_app, DYNREG_SECRET_KEYS=[FERNET_KEY])


def answer_to(server: Server, id: str) -> dict[str, Any]:
    answer = server.register(id)
    assert answer.status_code == 201, answer.text
    client: dict[str, Any] = answer.get_json()
    return client


def test_every_entry_is_expected_to_be_registered_or_refused() -> None:
    later = {id for id, entry in ENTRIES.items() if entry["kind"] == "cimd" or entry["access"] == "software_statement"}
    assert REGISTERED.keys() | REFUSED.keys() | later == ENTRIES.keys()
    assert len(REGISTERED) + len(REFUSED) + len(later) == len(ENTRIES)


@registered
def test_the_answer_is_what_the_client_expects(server: Server, id: str) -> None:
    sent, client, expected = ENTRIES[id]["request"], answer_to(server, id), REGISTERED[id]
    assert {name: client.get(name) for name in DECIDED} == {
        "grant_types": list(expected.grant_types),
        "response_types": list(expected.response_types),
        "token_endpoint_auth_method": expected.method,
        "scope": expected.scope,
    }
    echoed = {name: value for name, value in sent.items() if name in VOCABULARY and value != ""}
    assert {name: client[name] for name in client.keys() & VOCABULARY} == echoed
    secret = SECRET if expected.method.startswith("client_secret") else set()
    assert client.keys() == echoed.keys() | DECIDED | ISSUED | secret


@registered
def test_the_answer_has_the_types_that_parsers_want(server: Server, id: str) -> None:
    client = answer_to(server, id)
    arrays = {"redirect_uris", "grant_types", "response_types", "contacts"}
    numbers = {"client_id_issued_at", "client_secret_expires_at"}
    for name, value in client.items():
        kind = list if name in arrays else int if name in numbers else str
        assert type(value) is kind and value != "", name
    if "client_secret" in client:
        assert len(client["client_secret"]) >= 16 and client["client_secret_expires_at"] >= 0


@registered
def test_the_answer_is_parsed_by_the_mcp_sdk(server: Server, id: str) -> None:
    client = answer_to(server, id)
    information = OAuthClientInformationFull.model_validate(client)
    assert information.client_id == client["client_id"]
    assert [str(uri) for uri in information.redirect_uris or ()] == ENTRIES[id]["request"]["redirect_uris"]
    assert information.client_secret == client.get("client_secret")
    assert information.scope == client["scope"]


@registered
def test_the_client_reads_updates_and_deletes_itself(server: Server, id: str) -> None:
    client = answer_to(server, id)
    known = {name: value for name, value in client.items() if name not in SECRET}
    for method, body in (("GET", None), ("PUT", client), ("PUT", known), ("GET", None)):
        answer = server.manage(method, client, body)
        assert (answer.status_code, answer.get_json()) == (200, known)
    assert server.manage("DELETE", client).status_code == 204
    assert server.manage("GET", client).status_code == 401


@registered
def test_a_server_that_keeps_secrets_repeats_its_answer(server_that_keeps_secrets: Server, id: str) -> None:
    server = server_that_keeps_secrets
    client = answer_to(server, id)
    for method, body in (("GET", None), ("PUT", client), ("GET", None)):
        answer = server.manage(method, client, body)
        assert (answer.status_code, answer.get_json()) == (200, client)


@registered
def test_the_client_authorizes_with_its_redirect_uris(server: Server, id: str) -> None:
    client, expected = answer_to(server, id), REGISTERED[id]
    for uri in (*ENTRIES[id]["request"]["redirect_uris"], *expected.matches):
        assert server.authorizes(client["client_id"], uri), uri
    for uri in expected.differs:
        assert not server.authorizes(client["client_id"], uri), uri


@browsers
def test_a_browser_lets_its_script_read_every_answer(server: Server, id: str) -> None:
    headers = {name: value for name, value in ENTRIES[id]["headers"].items() if name == "Origin"}
    asked = {"Access-Control-Request-Headers": "content-type,mcp-protocol-version"}
    for path, method in (("/oauth2/register", "POST"), ("/.well-known/oauth-authorization-server", "GET")):
        preflight = server.http.options(path, headers=headers | asked | {"Access-Control-Request-Method": method})
        assert preflight.status_code == 204 and preflight.headers["Access-Control-Allow-Origin"] == "*"
        allowed = preflight.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"content-type", "mcp-protocol-version", "authorization"} <= set(allowed)
        assert method in preflight.headers["Access-Control-Allow-Methods"]
    refusal = server.http.post("/oauth2/register", json={}, headers=headers)
    assert refusal.status_code == 400
    for answer in (server.register(id), refusal, server.http.get("/.well-known/oauth-authorization-server")):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("id", ["claude-web", "claude-code", "mcporter"])
def test_a_client_that_registers_again_is_another_one(server: Server, id: str) -> None:
    assert len({answer_to(server, id)["client_id"] for _ in range(5)}) == 5


@pytest.mark.parametrize("id", REFUSED)
def test_what_cannot_be_registered_is_refused_in_oauth_json(server: Server, id: str) -> None:
    answer = server.register(id)
    assert (answer.status_code, answer.mimetype) == (400, "application/json")
    body = answer.get_json()
    assert body["error"] == REFUSED[id]
    assert body["error_description"].isascii() and body["error_description"]
