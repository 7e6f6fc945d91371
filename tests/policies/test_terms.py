"""What an initial access token sets for its clients holds whatever they ask for, and at every update."""

import json
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import TestResponse

from flask_dynreg import DynamicRegistration, Terms
from tests.conformance.exchange import Client, bearer, refused, replaced, update
from tests.conftest import CLIENT, MakeApp
from tests.statements import statement, trusted


class Server:
    def __init__(self, make_app: MakeApp) -> None:
        self.db = SQLAlchemy()
        self.dynreg = DynamicRegistration(self.db)
        doors = ["open", "initial_access_token"]
        issuers = [trusted()]
        settings: dict[str, Any] = {"DYNREG_ACCESS": doors, "DYNREG_STATEMENT_ISSUERS": issuers}
        self.app: Flask = make_app(self.db, self.dynreg, DYNREG_DEFAULT_SCOPES=["mcp:read"], **settings)
        self.http = self.app.test_client()

    def token(self, **terms: Any) -> str:
        with self.app.app_context():
            token = self.dynreg.issue_initial_access_token(owner="them", terms=Terms(**terms))
            self.db.session.commit()
        return token

    def post(self, token: str, origin: str | None = None, **metadata: Any) -> TestResponse:
        headers = bearer(token) | ({"Origin": origin} if origin else {})
        return self.http.post("/oauth2/register", json=CLIENT | metadata, headers=headers)

    def registered(self, token: str, **metadata: Any) -> Client:
        answer = self.post(token, **metadata)
        assert answer.status_code == 201, answer.text
        client: Client = answer.get_json()
        return client


@pytest.fixture
def server(make_app: MakeApp) -> Server:
    return Server(make_app)


def test_scopes_end_at_the_ceiling(server: Server) -> None:
    token = server.token(scopes=("mcp:write",))
    client = server.registered(token, scope="mcp:read mcp:write offline_access")
    assert client["scope"] == "mcp:write"
    assert replaced(server.http, client, **CLIENT, scope="offline_access mcp:write")["scope"] == "mcp:write"
    assert "scope" not in replaced(server.http, client, **CLIENT, scope="offline_access")


def test_grant_types_and_redirect_hosts_beyond_are_refused(server: Server) -> None:
    token = server.token(grant_types=("authorization_code",), redirect_hosts=("client.example",))
    both: dict[str, Any] = {
        "grant_types": ["authorization_code", "refresh_token"],
        "redirect_uris": ["https://other.example/cb"],
    }
    body = refused(server.post(token, **both), "invalid_redirect_uri")
    assert [problem["pointer"] for problem in body["errors"]] == ["/redirect_uris", "/grant_types"]
    assert "client.example" not in json.dumps(body)
    client = server.registered(token)
    refused(update(server.http, client, {**CLIENT, **both, "client_id": client["client_id"]}), "invalid_redirect_uri")


def test_a_template_fills_in_and_decides(server: Server) -> None:
    token = server.token(
        defaults={"client_name": "Default", "client_uri": "https://default.example"},
        forced={"token_endpoint_auth_method": "none", "policy_uri": "https://ours.example"},
    )
    client = server.registered(token, client_name="Mine", client_uri="", token_endpoint_auth_method="private_key_jwt")
    assert (client["client_name"], client["client_uri"]) == ("Mine", "https://default.example")
    assert (client["token_endpoint_auth_method"], client["policy_uri"]) == ("none", "https://ours.example")
    changed = replaced(server.http, client, **CLIENT, policy_uri="https://mine.example")
    assert (changed["client_name"], changed["policy_uri"]) == ("Default", "https://ours.example")


def test_a_template_does_not_change_what_a_statement_says(server: Server) -> None:
    token = server.token(forced={"client_name": "Forced"})
    stated = {"software_statement": statement(client_name="Stated")}
    body = refused(server.post(token, **stated), "invalid_client_metadata")
    assert [problem["pointer"] for problem in body["errors"]] == ["/client_name"]
    assert server.registered(token, software_statement=statement(client_name="Forced"))["client_name"] == "Forced"


def test_terms_outlive_their_token(server: Server) -> None:
    token = server.token(scopes=("mcp:read",))
    client = server.registered(token)
    with server.app.app_context():
        (known,) = server.dynreg.initial_access_tokens()
        assert server.dynreg.revoke_initial_access_token(known.id)
        server.db.session.commit()
    assert replaced(server.http, client, **CLIENT, scope="mcp:write mcp:read")["scope"] == "mcp:read"
    assert server.post(token).status_code == 401


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [
        (None, "https://any.example", 201),
        (("https://app.example",), "https://app.example", 201),
        (("https://app.example",), None, 201),
        (("https://app.example",), "https://other.example", 403),
        (("https://app.example",), "null", 403),
        ((), "https://app.example", 403),
    ],
)
def test_a_token_is_for_scripts_of_some_origins(
    server: Server, origins: tuple[str, ...] | None, origin: str | None, status: int
) -> None:
    answer = server.post(server.token(origins=origins), origin)
    assert answer.status_code == status
    if status == 403:
        assert answer.get_json()["error"] == "access_denied"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_other_doors_know_nothing_of_it(server: Server) -> None:
    server.token(scopes=("mcp:read",), origins=())
    answer = server.http.post("/oauth2/register", json=CLIENT | {"scope": "mcp:write"})
    assert answer.get_json()["scope"] == "mcp:write mcp:read"
