"""The documents about the authorization server, and `dynreg.server_metadata()`."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import ConfigurationError, DynamicRegistration
from tests.conftest import CLIENT, ISSUER, SERVER_METADATA, MakeApp

WELL_KNOWN = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


def with_issuer(issuer: str) -> dict[str, Any]:
    return SERVER_METADATA | {"issuer": issuer}


ISSUERS = {
    "https://as.example": "",
    "https://as.example/": "",
    "https://as.example:8443": "",
    "https://AS.example/tenant": "/tenant",
    "https://as.example/tenant/": "/tenant",
    "https://as.example/a/b": "/a/b",
    "https://as.example/t%C3%A9": "/t%C3%A9",
    "https://as.example/a%20b": "/a%20b",
    "http://127.0.0.1:5000": "",
    "http://[::1]:5000/x": "/x",
    "http://localhost": "",
}


@pytest.mark.parametrize(("issuer", "path"), ISSUERS.items())
def test_the_issuer_is_published_byte_by_byte_where_its_path_says(make_app: MakeApp, issuer: str, path: str) -> None:
    http = make_app(DYNREG_SERVER_METADATA=with_issuer(issuer)).test_client()
    answer = http.get(WELL_KNOWN + path)
    assert answer.status_code == 200
    assert json.dumps(issuer).encode() in answer.data
    assert answer.get_json()["issuer"] == issuer
    origin = issuer.removesuffix("/") if not path else issuer[: issuer.index(path)]
    assert answer.get_json()["registration_endpoint"] == f"{origin}/oauth2/register"
    for other in {"", "/", "/other", f"{path}/x", f"{path}//", path.swapcase()} - {path, path.lower()}:
        assert http.get(WELL_KNOWN + other).status_code == 404, other


@pytest.mark.parametrize(("issuer", "path"), ISSUERS.items())
def test_the_openid_addresses_are_before_and_after_the_path(make_app: MakeApp, issuer: str, path: str) -> None:
    config: dict[str, Any] = {"DYNREG_SERVER_METADATA": with_issuer(issuer)}
    off, on = make_app(**config).test_client(), make_app(**config, DYNREG_OPENID_DISCOVERY=True).test_client()
    for address in (f"{OPENID}{path}", f"{path}{OPENID}"):
        assert off.get(address).status_code == 404
        answer = on.get(address)
        assert answer.data == on.get(WELL_KNOWN + path).data
        assert answer.headers["Cache-Control"] == on.get(WELL_KNOWN + path).headers["Cache-Control"]


def test_a_document_may_be_kept_for_a_while_and_shared(http: FlaskClient) -> None:
    answer = http.get(WELL_KNOWN)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"].startswith("public, max-age=")
    assert "no-store" not in answer.headers["Cache-Control"] and "Pragma" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_a_document_is_only_read(http: FlaskClient, method: str) -> None:
    answer = http.open(WELL_KNOWN, method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert answer.headers["Cache-Control"] == "no-store"  # a refusal is not kept
    head = http.head(WELL_KNOWN)
    assert (head.status_code, head.data) == (200, b"")


def test_a_document_says_nothing_of_the_request(http: FlaskClient) -> None:
    plain = http.get(WELL_KNOWN).data
    for options in (
        {"query_string": "issuer=https://evil.example"},
        {"base_url": "http://evil.example"},
        {"headers": {"Authorization": "Bearer x", "Accept": "text/html", "Cookie": "session=x"}},
    ):
        assert http.get(WELL_KNOWN, **options).data == plain


def test_the_document_is_what_the_host_stated_and_nothing_more(make_app: MakeApp) -> None:
    stated = SERVER_METADATA | {"op_policy_uri": "https://as.example/policy", "x_own": {"a": [None, 1.5, "é"]}}
    document = make_app(DYNREG_SERVER_METADATA=stated).test_client().get(WELL_KNOWN).get_json()
    added = {"registration_endpoint": f"{ISSUER}/oauth2/register", "code_challenge_methods_supported": ["S256"]}
    assert document == stated | added


def test_a_server_without_the_code_grant_needs_no_pkce(make_app: MakeApp) -> None:
    stated = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", "grant_types_supported": ["client_credentials"]}
    stated["response_types_supported"] = []
    document = make_app(DYNREG_SERVER_METADATA=stated).test_client().get(WELL_KNOWN).get_json()
    assert "code_challenge_methods_supported" not in document and "authorization_endpoint" not in document


# ---- server_metadata()


@pytest.fixture
def db() -> SQLAlchemy:
    return SQLAlchemy()


@pytest.fixture
def dynreg(db: SQLAlchemy) -> DynamicRegistration:
    return DynamicRegistration(db)


@pytest.fixture
def app(make_app: MakeApp, db: SQLAlchemy, dynreg: DynamicRegistration) -> Flask:
    return make_app(db, dynreg)


def test_the_metadata_is_the_document_in_and_outside_of_a_request(app: Flask, dynreg: DynamicRegistration) -> None:
    app.add_url_rule("/mine", view_func=lambda: dynreg.server_metadata())
    document = app.test_client().get(WELL_KNOWN).get_json()
    assert app.test_client().get("/mine", base_url="https://evil.example").get_json() == document
    with app.app_context():
        assert dynreg.server_metadata() == document
    with pytest.raises(RuntimeError, match="application context"):
        dynreg.server_metadata()


def test_who_changes_what_was_handed_out_changes_nothing_else(app: Flask, dynreg: DynamicRegistration) -> None:
    document = app.test_client().get(WELL_KNOWN).get_json()
    with app.app_context():
        metadata = dynreg.server_metadata()
        metadata["scopes_supported"] += ["openid"]
        metadata["issuer"] = "https://evil.example"
    app.config["DYNREG_SERVER_METADATA"]["scopes_supported"].append("openid")
    try:
        assert app.test_client().get(WELL_KNOWN).get_json() == document
        with app.app_context():
            assert dynreg.server_metadata() == document
    finally:
        app.config["DYNREG_SERVER_METADATA"]["scopes_supported"].remove("openid")


def test_without_discovery_there_is_no_document_and_no_need_of_one(make_app: MakeApp) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    app = make_app(db, dynreg, DYNREG_DISCOVERY=False, DYNREG_SERVER_METADATA={"issuer": ISSUER})
    assert app.test_client().get(WELL_KNOWN).status_code == 404
    assert app.test_client().post("/oauth2/register", json=CLIENT).status_code == 201
    with app.app_context():
        metadata = dynreg.server_metadata()
    assert metadata["registration_endpoint"] == f"{ISSUER}/oauth2/register"
    assert metadata["grant_types_supported"] == ["authorization_code"]


@pytest.mark.parametrize("access", [["open"], ["initial_access_token"], []])
def test_the_metadata_has_a_registration_endpoint_while_a_door_is_open(make_app: MakeApp, access: list[str]) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    with make_app(db, dynreg, DYNREG_DISCOVERY=False, DYNREG_ACCESS=access).app_context():
        assert ("registration_endpoint" in dynreg.server_metadata()) is bool(access)


def test_the_openid_addresses_need_discovery(make_app: MakeApp) -> None:
    with pytest.raises(ConfigurationError, match="DYNREG_OPENID_DISCOVERY"):
        make_app(DYNREG_DISCOVERY=False, DYNREG_OPENID_DISCOVERY=True)
