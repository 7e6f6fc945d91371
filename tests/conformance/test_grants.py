"""RFC 7591 section 2 and 2.1: grant types, response types, methods and scopes of a registration."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conformance.exchange import MACHINE, PUBLIC, REDIRECT_URI, post, refused, registered, server_metadata
from tests.conformance.requirements import requirement
from tests.conftest import SERVER_METADATA, MakeApp, Register

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
EVERYTHING = server_metadata(
    grant_types_supported=[
        "authorization_code",
        "implicit",
        "refresh_token",
        "client_credentials",
        "password",
        DEVICE_CODE,
    ],
    response_types_supported=["code", "token", "id_token", "id_token token", "code id_token", "none"],
)
REDIRECTING: dict[str, Any] = {"authorization_code": ["code"], "implicit": ["token"]}


def test_refresh_token_is_not_added_unasked(register: Register) -> None:
    assert register(grant_types=["authorization_code"])["grant_types"] == ["authorization_code"]


@requirement("RFC7591-2.1-06", "RFC8414-2-14")
@pytest.mark.parametrize("server", [SERVER_METADATA, EVERYTHING], ids=["default", "everything"])
def test_every_advertised_grant_and_response_type_can_be_registered(make_app: MakeApp, server: dict[str, Any]) -> None:
    http = make_app(DYNREG_SERVER_METADATA=server).test_client()
    document = http.get("/.well-known/oauth-authorization-server").get_json()
    for grant_type in set(document["grant_types_supported"]) - {"refresh_token"}:
        client = registered(
            http,
            redirect_uris=[REDIRECT_URI],
            grant_types=[grant_type, "refresh_token"],
            response_types=REDIRECTING.get(grant_type, []),
        )
        assert client["grant_types"] == [grant_type, "refresh_token"]
    for response_type in set(document["response_types_supported"]) - {"none"}:
        grant_types = [name for name in document["grant_types_supported"] if name in REDIRECTING]
        client = registered(http, redirect_uris=[REDIRECT_URI], grant_types=grant_types, response_types=[response_type])
        assert client["response_types"] == [response_type]


@requirement("RFC8414-2-14", "RFC7591-2-12", "MCP2026-07-28-Refresh_Tokens-01")
def test_what_is_not_advertised_is_taken_away_for_all_to_see(make_app: MakeApp) -> None:
    http = make_app(DYNREG_SERVER_METADATA=server_metadata(grant_types_supported=["authorization_code"])).test_client()
    client = registered(http, **PUBLIC, grant_types=["authorization_code", "refresh_token", DEVICE_CODE])
    assert client["grant_types"] == ["authorization_code"]
    client = registered(http, **PUBLIC, response_types=["code", "code id_token", "token"])
    assert client["response_types"] == ["code"]


@requirement("RFC8414-2-14", "RFC7591-2-12")
@pytest.mark.parametrize(
    "asked", [{"grant_types": ["authorization_code", DEVICE_CODE]}, {"response_types": ["code", "x"]}]
)
def test_a_server_may_refuse_what_it_does_not_advertise(make_app: MakeApp, asked: dict[str, Any]) -> None:
    http = make_app(DYNREG_UNSUPPORTED="reject").test_client()
    refused(post(http, {**PUBLIC, **asked}), "invalid_client_metadata")


@requirement("RFC7591-2-02")
@pytest.mark.parametrize("grant_types", [["authorization_code"], ["authorization_code", "client_credentials"], None])
@pytest.mark.parametrize("redirect_uris", [[], None])
def test_a_redirect_client_needs_a_redirect_uri(
    http: FlaskClient, grant_types: list[str] | None, redirect_uris: list[str] | None
) -> None:
    metadata = {"grant_types": grant_types, "redirect_uris": redirect_uris, "token_endpoint_auth_method": "none"}
    present = {name: value for name, value in metadata.items() if value is not None}
    refused(post(http, present), "invalid_redirect_uri")


@requirement("RFC7591-2.1-04", "RFC7591-2.1-05")
def test_a_client_without_redirects_needs_no_response_type(http: FlaskClient) -> None:
    for metadata in (MACHINE, {"grant_types": ["client_credentials"]}):
        client = registered(http, **metadata)
        assert (client["response_types"], client["redirect_uris"]) == ([], [])


@requirement("OIDCREG-2-03", "OIDCREG-2-04", "OIDCREG-2-05", "RFC7591-2.1-01", "RFC7591-2.1-03")
@pytest.mark.parametrize(
    ("grant_types", "response_types"),
    [
        (["implicit"], ["code"]),
        (["authorization_code"], ["token"]),
        (["authorization_code"], ["id_token"]),
        (["authorization_code"], ["id_token token"]),
        (["authorization_code"], ["code id_token"]),
        (["authorization_code"], ["id_token code"]),
        (["implicit"], ["code id_token"]),
        (["authorization_code"], []),
        (None, ["id_token"]),
    ],
)
def test_a_response_type_without_its_grant_is_refused(
    make_app: MakeApp, grant_types: list[str] | None, response_types: list[str]
) -> None:
    asked: dict[str, Any] = {"redirect_uris": [REDIRECT_URI], "response_types": response_types}
    if grant_types:
        asked["grant_types"] = grant_types
    http = make_app(DYNREG_SERVER_METADATA=EVERYTHING).test_client()
    refused(post(http, asked), "invalid_client_metadata")


def test_the_order_of_the_words_of_a_response_type_does_not_matter(make_app: MakeApp) -> None:
    http = make_app(DYNREG_SERVER_METADATA=EVERYTHING).test_client()
    asked = {"grant_types": ["authorization_code", "implicit"], "response_types": ["id_token code"]}
    assert registered(http, redirect_uris=[REDIRECT_URI], **asked)["response_types"] == ["id_token code"]


@requirement("RFC9700-2.4-01", "RFC9700-2.1.2-01")
@pytest.mark.parametrize("grant_type", ["password", "implicit"])
def test_password_and_implicit_are_not_there_by_default(http: FlaskClient, register: Register, grant_type: str) -> None:
    refused(post(http, {**PUBLIC, "grant_types": [grant_type]}), "invalid_client_metadata")
    assert register(grant_types=[grant_type, "authorization_code"])["grant_types"] == ["authorization_code"]
    document = http.get("/.well-known/oauth-authorization-server").get_json()
    assert grant_type not in document["grant_types_supported"]
    assert "token" not in document["response_types_supported"]


@requirement("RFC6749-4.4-01")
def test_client_credentials_are_for_confidential_clients(http: FlaskClient, register: Register) -> None:
    refused(post(http, {**MACHINE, "token_endpoint_auth_method": "none"}), "invalid_client_metadata")
    asked = ["authorization_code", "client_credentials"]
    assert register(**PUBLIC, grant_types=asked)["grant_types"] == ["authorization_code"]


@requirement("RFC7591-2-07", "RFC7591-2-30", "RFC7591-5-04")
@pytest.mark.parametrize("method", ["client_secret_jwt", "tls_client_auth", "urn:x:unknown", "Client_Secret_Basic"])
def test_an_unsupported_method_is_refused_and_never_replaced(http: FlaskClient, method: str) -> None:
    asked = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": method}
    refused(post(http, asked), "invalid_client_metadata")


@requirement("RFC7591-5-04")
def test_a_server_may_have_no_public_clients(make_app: MakeApp) -> None:
    metadata = server_metadata(token_endpoint_auth_methods_supported=["client_secret_basic"])
    refused(post(make_app(DYNREG_SERVER_METADATA=metadata).test_client(), PUBLIC), "invalid_client_metadata")


@requirement("RFC7591-2-20", "RFC7591-3.2.1-12")
def test_scope_is_one_string_of_what_the_server_knows(http: FlaskClient, register: Register) -> None:
    refused(post(http, {**PUBLIC, "scope": ["mcp:read"]}), "invalid_client_metadata")
    assert register(scope="mcp:read mcp:write")["scope"] == "mcp:read mcp:write"
    assert register(scope="openid mcp:read admin")["scope"] == "mcp:read"
    assert "scope" not in register(scope="openid")


@requirement("RFC7591-2-21")
def test_a_default_scope_is_shown(make_app: MakeApp) -> None:
    http = make_app(DYNREG_DEFAULT_SCOPES=["mcp:read"]).test_client()
    assert registered(http, **PUBLIC)["scope"] == "mcp:read"
    assert set(registered(http, **PUBLIC, scope="mcp:write admin")["scope"].split()) == {"mcp:read", "mcp:write"}
