"""RFC 7592 section 2.2: updating."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conformance.exchange import (
    CONFIDENTIAL,
    PUBLIC,
    REDIRECT_URI,
    bearer,
    post,
    read,
    refused,
    registered,
    replaced,
    update,
)
from tests.conformance.requirements import requirement
from tests.conftest import MakeApp, Register

LOGO = "https://app.example/logo.png"


@requirement("RFC7592-2.2-01", "RFC7592-2.2-13")
def test_an_update_is_a_put_of_json(http: FlaskClient, register: Register) -> None:
    client = register()
    answer = update(http, client, {"client_id": client["client_id"], **PUBLIC, "client_name": "Mine"})
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.headers["Cache-Control"] == "no-store"
    information = answer.get_json()
    assert information == read(http, client).get_json()
    for name in ("registration_access_token", "registration_client_uri", "client_id", "client_id_issued_at"):
        assert information[name] == client[name]


@requirement("RFC7592-2.2-01")
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", None])
def test_an_update_of_another_media_type_is_refused(
    http: FlaskClient, register: Register, content_type: str | None
) -> None:
    client = register()
    headers = bearer(client["registration_access_token"])
    answer = http.put(client["registration_client_uri"], data=b"{}", content_type=content_type, headers=headers)
    assert answer.status_code in (400, 415)


@requirement("RFC7592-2.2-02")
@pytest.mark.parametrize(
    "client_id", [{}, {"client_id": "other"}, {"client_id": ""}, {"client_id": None}, {"client_id": 1}]
)
def test_an_update_names_its_client(http: FlaskClient, register: Register, client_id: dict[str, Any]) -> None:
    client = register(client_name="Before")
    answer = update(http, client, {**PUBLIC, "client_name": "After", **client_id})
    refused(answer, "invalid_client_metadata", "invalid_request")
    assert read(http, client).get_json()["client_name"] == "Before"


@requirement("RFC7592-2.2-03")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("registration_access_token", "chosen"),
        ("registration_client_uri", "https://evil.example/"),
        ("client_secret_expires_at", 1),
        ("client_id_issued_at", 1),
    ],
)
def test_what_the_server_assigns_cannot_be_updated(
    http: FlaskClient, register: Register, name: str, value: Any
) -> None:
    client = register(client_name="Before")
    sent = {"client_id": client["client_id"], **CONFIDENTIAL, "client_name": "After"}
    refused(update(http, client, {**sent, name: value}), "invalid_client_metadata", "invalid_request")
    assert read(http, client).get_json()["client_name"] == "Before"
    answer = update(http, client, {**sent, name: client[name]})
    assert answer.status_code == 200 and answer.get_json()["client_name"] == "After"


def test_a_client_may_send_its_own_answer_back(http: FlaskClient, register: Register) -> None:
    client = register(client_name="Mine", jwks_uri="https://app.example/jwks", scope="mcp:read")
    for _ in range(2):
        kept = read(http, client).get_json()
        answer = update(http, client, kept)
        assert (answer.status_code, answer.get_json()) == (200, kept)
    assert update(http, client, client).status_code == 200


@requirement("RFC7592-2.2-04")
def test_arrays_are_replaced_and_not_merged(http: FlaskClient, register: Register) -> None:
    client = register(redirect_uris=["https://a.example/1", "https://a.example/2"], contacts=["a", "b"])
    information = replaced(http, client, redirect_uris=["https://a.example/3"], contacts=["c"])
    assert information["redirect_uris"] == ["https://a.example/3"] and information["contacts"] == ["c"]
    assert read(http, client).get_json() == information


@requirement("RFC7592-2.2-05", "RFC7592-2.2-06", "RFC7592-2.2-08")
@pytest.mark.parametrize("nothing", [{}, {"client_name": None, "logo_uri": None, "scope": None, "grant_types": None}])
def test_what_is_left_out_is_gone_and_defaults_come_back(
    http: FlaskClient, register: Register, nothing: dict[str, None]
) -> None:
    client = register(
        **PUBLIC,
        **{"client_name": "Mine", "client_name#fr": "Le mien", "logo_uri": LOGO, "scope": "mcp:read"},
        grant_types=["authorization_code", "refresh_token"],
    )
    information = replaced(http, client, **CONFIDENTIAL, **nothing)
    assert not {"client_name", "client_name#fr", "logo_uri", "scope"} & information.keys()
    assert information["grant_types"] == ["authorization_code"]
    assert information["token_endpoint_auth_method"] == "client_secret_basic"
    assert None not in information.values()
    again = read(http, client).get_json()
    assert again == {name: value for name, value in information.items() if not name.startswith("client_secret")}


@requirement("RFC7592-2.2-08")
def test_a_tagged_name_goes_by_itself(http: FlaskClient, register: Register) -> None:
    client = register(**{"client_name": "Mine", "client_name#fr": "Le mien"})
    information = replaced(http, client, **CONFIDENTIAL, client_name="Mine")
    assert information["client_name"] == "Mine" and "client_name#fr" not in information


@requirement("RFC7592-2.2-09")
@pytest.mark.parametrize("wrong", ["chosen", "\u00e9", "x" * 5000, 7, ["x"], {}])
@pytest.mark.parametrize("metadata", [CONFIDENTIAL, PUBLIC])
def test_a_wrong_secret_refuses_the_update(
    http: FlaskClient, register: Register, wrong: object, metadata: dict[str, Any]
) -> None:
    client = register(**metadata)
    sent = {"client_id": client["client_id"], **metadata, "client_name": "After"}
    assert update(http, client, {**sent, "client_secret": wrong}).status_code in (400, 401)
    assert "client_name" not in read(http, client).get_json()


@requirement("RFC7592-2.2-09")
def test_the_right_secret_is_fine(http: FlaskClient, register: Register) -> None:
    client = register()
    information = replaced(http, client, **CONFIDENTIAL, client_name="After", client_secret=client["client_secret"])
    assert information["client_name"] == "After"


@requirement("RFC7592-2.2-12", "RFC7592-2.2-17", "RFC7592-2.2-18", "RFC7592-2.2-07")
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"redirect_uris": ["ftp://x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"token_endpoint_auth_method": "urn:x:unknown"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"jwks": {"keys": []}, "jwks_uri": "https://app.example/jwks"}, "invalid_client_metadata"),
        ({"grant_types": ["authorization_code"], "response_types": ["token"]}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "none"}, "invalid_client_metadata"),
        ({"client_name": 7}, "invalid_client_metadata"),
    ],
)
def test_an_update_passes_what_a_registration_passes(
    http: FlaskClient, register: Register, fault: dict[str, Any], error: str
) -> None:
    client = register(client_name="Before")
    kept = read(http, client).get_json()
    refused(post(http, {**CONFIDENTIAL, **fault}), error)
    sent = {"client_id": client["client_id"], **CONFIDENTIAL, "client_name": "After", **fault}
    refused(update(http, client, sent), error)
    assert read(http, client).get_json() == kept


@requirement("RFC7592-2.2-19")
def test_a_secret_goes_and_comes_with_the_method(http: FlaskClient, register: Register) -> None:
    client = register()
    public = replaced(http, client, **PUBLIC)
    assert not {"client_secret", "client_secret_expires_at"} & public.keys()
    sent = {"client_id": client["client_id"], **CONFIDENTIAL, "client_secret": client["client_secret"]}
    assert update(http, client, sent).status_code in (400, 401)
    confidential = replaced(http, client, **CONFIDENTIAL)
    assert confidential["client_secret"] != client["client_secret"]
    assert type(confidential["client_secret_expires_at"]) is int


def test_an_update_cannot_exceed_the_ceiling(http: FlaskClient, register: Register) -> None:
    client = register(scope="mcp:read")
    assert replaced(http, client, **CONFIDENTIAL, scope="mcp:write admin")["scope"] == "mcp:write"


def test_updating_can_be_off(make_app: MakeApp) -> None:
    http = make_app(DYNREG_MANAGEMENT=["read", "delete"]).test_client()
    client = registered(http, redirect_uris=[REDIRECT_URI])
    answer = update(http, client, {"client_id": client["client_id"], **CONFIDENTIAL})
    assert answer.status_code == 405 and "PUT" not in answer.headers["Allow"]
