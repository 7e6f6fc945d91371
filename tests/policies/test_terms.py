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

LOOSE = "https://loose.example"


class Server:
    def __init__(self, make_app: MakeApp) -> None:
        self.db = SQLAlchemy()
        self.dynreg = DynamicRegistration(self.db)
        doors = ["open", "initial_access_token"]
        issuers = [trusted(), trusted(LOOSE, defaults=["client_name"])]
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


def test_no_language_leads_around_what_is_forced(server: Server) -> None:
    token = server.token(forced={"client_name": "Forced"}, defaults={"client_name#fr": "Mien"})
    client = server.registered(token, **{"client_name#ja": "Mine"})
    assert [value for name, value in client.items() if name.startswith("client_name")] == ["Forced"]
    stated: dict[str, Any] = {"client_name#ja": "Stated"}
    filled_in = server.registered(token, software_statement=statement(iss=LOOSE, **stated))
    assert filled_in["client_name"] == "Forced" and "client_name#ja" not in filled_in
    refused(server.post(token, software_statement=statement(**stated)), "invalid_client_metadata")
    tagged = server.token(forced={"client_name#ja": "Forced"})
    refused(server.post(tagged, software_statement=statement(client_name="Stated")), "invalid_client_metadata")
    assert server.registered(tagged, client_name="Mine")["client_name"] == "Mine"


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


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"scopes": "mcp:read"}, "scopes must be a list"),
        ({"policies": "approval"}, "policies must be a list"),
        ({"policies": None}, "policies must be a list"),
        ({"grant_types": {"authorization_code": True}}, "grant_types must be a list"),
        ({"redirect_hosts": [5]}, "redirect_hosts must be a list"),
        ({"origins": "https://app.example"}, "origins must be a list"),
        ({"defaults": None}, "defaults must be an object"),
        ({"forced": ["client_name"]}, "forced must be an object"),
        ({"grant_types": []}, "grant_types must have"),
        ({"grant_types": ["password", "refresh_token"]}, "grant_types must have"),
        ({"scopes": ["unknown"]}, "scopes must have"),
        ({"forced": {"grant_types": ["password"]}}, "forced: grant_types must have"),
        (
            {"forced": {"grant_types": ["client_credentials"]}, "grant_types": ["authorization_code"]},
            "forced: grant_types",
        ),
        (
            {"forced": {"redirect_uris": ["https://a.example"]}, "redirect_hosts": ["b.example"]},
            "forced: redirect_uris",
        ),
        ({"forced": {"scope": "mcp:read mcp:write"}, "scopes": ["mcp:read"]}, "forced: scope must"),
        ({"forced": {"client_uri": 5}}, "forced: client_uri must"),
        ({"forced": {"redirect_uris": ["http://a.example"]}}, "forced: redirect_uris must"),
        ({"forced": {"token_endpoint_auth_method": "x"}}, "forced: token_endpoint_auth_method must"),
        ({"defaults": {"no_member": 5}}, "defaults: no_member is not"),
    ],
)
def test_terms_that_nobody_can_meet_are_not_taken(server: Server, terms: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        server.token(**terms)


@pytest.mark.parametrize(
    "terms",
    [
        {"scopes": []},
        {"scopes": ["unknown", "mcp:read"]},
        {"grant_types": ["password", "client_credentials"]},
        {"redirect_hosts": []},
        {"forced": {"grant_types": ["client_credentials"], "scope": ""}, "grant_types": ["client_credentials"]},
        {"forced": {"redirect_uris": ["https://b.example/cb"]}, "redirect_hosts": ["b.example"]},
    ],
)
def test_terms_that_somebody_can_meet_are(server: Server, terms: dict[str, Any]) -> None:
    assert server.token(**terms)
