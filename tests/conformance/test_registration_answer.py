"""RFC 7591 section 3.2.1: the client information response."""

import time
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conformance.entropy import entropy, unlike
from tests.conformance.exchange import (
    CONFIDENTIAL,
    PUBLIC,
    REDIRECT_URI,
    delete,
    post,
    read,
    registered,
    server_metadata,
)
from tests.conformance.requirements import requirement
from tests.conftest import MakeApp, Register

RICH: dict[str, Any] = {
    "redirect_uris": [REDIRECT_URI, "https://app.example/other?x=1"],
    "token_endpoint_auth_method": "client_secret_post",
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "client_name": "Mine",
    "client_name#fr": "Le mien",
    "client_uri": "https://app.example/",
    "logo_uri": "https://app.example/logo.png",
    "tos_uri": "https://app.example/tos",
    "policy_uri": "https://app.example/policy",
    "contacts": ["ops@app.example"],
    "jwks_uri": "https://app.example/jwks",
    "software_id": "4NRB1-0XZABZI9E6-5SM3R",
    "software_version": "2.1",
    "application_type": "web",
}


@requirement("RFC7591-3.2-01", "RFC7591-3.2.1-01", "RFC7591-3.2.1-15")
def test_success_is_201_with_a_client_id(http: FlaskClient) -> None:
    answer = post(http, CONFIDENTIAL)
    assert (answer.status_code, answer.mimetype) == (201, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    client_id = answer.get_json()["client_id"]
    assert isinstance(client_id, str) and client_id


@requirement("RFC7591-3.2.1-09", "RFC7591-3.2.1-10", "RFC7592-3-04")
def test_all_registered_metadata_is_returned_at_top_level(http: FlaskClient, register: Register) -> None:
    client = register(**RICH)
    assert {name: client[name] for name in RICH} == RICH
    again = read(http, client).get_json()
    assert {name: again[name] for name in RICH} == RICH
    issued = {"client_id", "client_id_issued_at", "client_secret", "client_secret_expires_at", "scope"}
    assert client.keys() - RICH.keys() - issued == {"registration_access_token", "registration_client_uri"}


@requirement("RFC7591-3.2.1-11", "RFC7591-3.1-04", "RFC7591-2-04", "RFC7591-2-08", "RFC7591-2-09", "OIDCREG-2-29")
def test_defaults_are_in_force_and_shown(register: Register) -> None:
    client = register(**CONFIDENTIAL)
    assert client["token_endpoint_auth_method"] == "client_secret_basic" and client["client_secret"]
    assert (client["grant_types"], client["response_types"]) == (["authorization_code"], ["code"])
    assert None not in client.values() and "" not in client.values()


@requirement("RFC7591-2-04")
def test_a_server_without_the_default_method_shows_the_one_in_force(make_app: MakeApp) -> None:
    metadata = server_metadata(token_endpoint_auth_methods_supported=["none"])
    client = registered(make_app(DYNREG_SERVER_METADATA=metadata).test_client(), **CONFIDENTIAL)
    assert client["token_endpoint_auth_method"] == "none" and "client_secret" not in client


@requirement("RFC7591-2-05", "RFC7591-3.2.1-05", "RFC8252-8.4-01")
def test_a_public_client_gets_no_secret(register: Register) -> None:
    client = register(**PUBLIC)
    assert client["token_endpoint_auth_method"] == "none"
    assert not {"client_secret", "client_secret_expires_at"} & client.keys()


@requirement("RFC7591-3.2.1-05", "RFC7591-3.2.1-06")
def test_a_secret_comes_with_its_expiry(make_app: MakeApp, register: Register) -> None:
    never = register(**CONFIDENTIAL)
    assert never["client_secret"] and never["client_secret_expires_at"] == 0
    assert type(never["client_secret_expires_at"]) is int
    limited = registered(make_app(DYNREG_CLIENT_SECRET_LIFETIME=3600).test_client(), **CONFIDENTIAL)
    assert type(limited["client_secret_expires_at"]) is int
    assert limited["client_secret_expires_at"] == limited["client_id_issued_at"] + 3600


@requirement("RFC7591-3.2.1-08")
def test_the_time_of_issue_is_in_seconds(register: Register) -> None:
    before = int(time.time())
    issued_at = register(**PUBLIC)["client_id_issued_at"]
    assert type(issued_at) is int and before <= issued_at <= int(time.time())


@requirement("RFC7591-3.2.1-02", "RFC7591-3.2.1-03")
def test_ids_secrets_and_tokens_are_unique(register: Register) -> None:
    clients = [register(**CONFIDENTIAL) for _ in range(20)]
    for name in ("client_id", "client_secret", "registration_access_token"):
        assert len({client[name] for client in clients}) == len(clients)


@requirement("RFC7592-5-03", "RFC6750-5.2-01")
def test_a_registration_access_token_cannot_be_guessed(register: Register) -> None:
    first, second = (register(**CONFIDENTIAL) for _ in range(2))
    for name in ("registration_access_token", "client_secret"):
        assert entropy(unlike(first[name], second[name])) >= 128


@requirement("RFC7592-3-01", "RFC7592-3-02", "OIDCREG-3.2-08", "RFC7592-B-01", "RFC7592-B-02", "RFC6750-5.3-01")
def test_the_full_address_and_token_of_the_client_are_handed_out(http: FlaskClient, register: Register) -> None:
    client = register(**PUBLIC)
    uri, token = client["registration_client_uri"], client["registration_access_token"]
    assert uri == f"https://as.example/oauth2/clients/{client['client_id']}"
    assert isinstance(token, str) and token and token not in uri
    assert read(http, client).status_code == 200


@requirement("RFC7592-3-03", "OIDCREG-3.2-08")
def test_without_management_neither_is_handed_out(make_app: MakeApp) -> None:
    http = make_app(DYNREG_MANAGEMENT=[]).test_client()
    client = registered(http, **PUBLIC)
    assert not {"registration_client_uri", "registration_access_token"} & client.keys()
    assert http.get(f"/oauth2/clients/{client['client_id']}").status_code == 404


@requirement("RFC9700-4.15.1-01")
def test_a_client_id_is_random(register: Register) -> None:
    first, second = (register(**PUBLIC, client_name="alice")["client_id"] for _ in range(2))
    assert entropy(unlike(first, second)) >= 64
    assert "alice" not in first


def test_a_registration_can_be_given_up_again(http: FlaskClient, register: Register) -> None:
    assert delete(http, register(**RICH)).status_code == 204


@requirement("OIDCCORE-16.19-01")
@pytest.mark.parametrize(("algorithm", "octets"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_for_macs_is_long_enough(make_app: MakeApp, algorithm: str, octets: int) -> None:
    metadata = server_metadata(
        token_endpoint_auth_methods_supported=["client_secret_jwt"],
        token_endpoint_auth_signing_alg_values_supported=[algorithm],
    )
    keys = ["7Bd1qYcQ2bXyTn0eGv3m5RkWj8sHfLpZ4uAaC9oIiDg="]
    http = make_app(DYNREG_SERVER_METADATA=metadata, DYNREG_SECRET_KEYS=keys).test_client()
    client = registered(http, **CONFIDENTIAL, token_endpoint_auth_method="client_secret_jwt")
    assert len(client["client_secret"].encode()) >= octets
