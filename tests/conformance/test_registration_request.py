"""RFC 7591 section 3 and 3.1: what a registration request is, and what it cannot bring about."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from flask_dynreg import ConfigurationError
from tests.conformance.exchange import CONFIDENTIAL, PUBLIC, REDIRECT_URI, REGISTER, bearer, post, read, refused
from tests.conformance.requirements import requirement
from tests.conftest import MakeApp, Register

BODY = json.dumps(CONFIDENTIAL)


@requirement("RFC7591-3-01")
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_a_json_body_is_accepted(http: FlaskClient, content_type: str) -> None:
    assert http.post(REGISTER, data=BODY, content_type=content_type).status_code == 201


@requirement("RFC7591-3-02")
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "application/jwt", None])
def test_another_media_type_is_not_taken_for_a_registration(http: FlaskClient, content_type: str | None) -> None:
    answer = http.post(REGISTER, data=BODY, content_type=content_type)
    assert answer.status_code in (400, 415)
    assert "client_id" not in answer.get_json()


@requirement("RFC7591-3-03")
@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"null", b'"x"', b"1", b"", b'{"client_name": "\xff"}', b"\xef\xbb\xbf{}"]
)
def test_a_body_that_is_no_json_object_is_a_client_error(http: FlaskClient, body: bytes) -> None:
    answer = http.post(REGISTER, data=body, content_type="application/json")
    refused(answer, "invalid_client_metadata", "invalid_request")


@requirement("RFC7591-3.1-05")
@pytest.mark.parametrize(
    "body",
    [
        '{"redirect_uris": ["https://a.example/cb"], "redirect_uris": ["https://b.example/cb"]}',
        '{"redirect_uris": ["https://a.example/cb"], "redirect\\u005furis": ["https://b.example/cb"]}',
        '{"redirect_uris": ["https://a.example/cb"], "jwks": {"keys": [], "keys": []}}',
    ],
)
def test_a_member_that_is_there_twice_is_refused(http: FlaskClient, body: str) -> None:
    answer = http.post(REGISTER, data=body, content_type="application/json")
    refused(answer, "invalid_client_metadata", "invalid_request")


@requirement("RFC7591-3-04")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_not_allowed(http: FlaskClient, method: str) -> None:
    answer = http.open(REGISTER, method=method)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"] and method not in answer.headers["Allow"]


@requirement("RFC7591-3-05", "OIDCREG-3.2-07", "RFC7592-2-02")
def test_every_address_that_is_handed_out_is_https(http: FlaskClient, register: Register) -> None:
    metadata = http.get("/.well-known/oauth-authorization-server").get_json()
    assert metadata["registration_endpoint"].startswith("https://")
    assert register(**PUBLIC)["registration_client_uri"].startswith("https://")


@requirement("RFC7591-3-05", "RFC7592-2-02", "RFC7591-5-01")
def test_a_request_by_plain_http_is_refused(http: FlaskClient, register: Register) -> None:
    client = register(client_name="Mine")
    path = client["registration_client_uri"].removeprefix("https://as.example")
    headers = bearer(client["registration_access_token"])
    for method, target in (("POST", REGISTER), ("GET", path), ("PUT", path), ("DELETE", path)):
        answer = http.open(target, method=method, base_url="http://as.example", json=CONFIDENTIAL, headers=headers)
        assert (answer.status_code, answer.mimetype) == (400, "application/json")
        assert "client_id" not in answer.get_json()
    assert read(http, client).get_json()["client_name"] == "Mine"


@requirement("RFC7591-3-05")
@pytest.mark.parametrize("issuer", ["http://as.example", "http://10.0.0.1", "http://localhost.example"])
def test_plain_http_is_for_loopback_issuers(make_app: MakeApp, issuer: str) -> None:
    with pytest.raises(ConfigurationError, match="DYNREG_SERVER_METADATA"):
        make_app(DYNREG_SERVER_METADATA={"issuer": issuer})


@requirement("RFC7591-3.1-01")
def test_a_client_does_not_choose_its_client_id(register: Register) -> None:
    first = register(**PUBLIC)
    second = register(**PUBLIC, client_id="admin")
    third = register(**PUBLIC, client_id=first["client_id"])
    assert len({"admin", first["client_id"], second["client_id"], third["client_id"]}) == 4


@requirement("RFC7591-3.1-02", "RFC7591-3.1-03")
def test_what_the_server_assigns_is_not_taken_over(http: FlaskClient, register: Register) -> None:
    sent = {
        "client_secret": "chosen-by-the-client-chosen-by-the-client",
        "client_id_issued_at": 12345,
        "client_secret_expires_at": 67890,
        "registration_access_token": "chosen",
        "registration_client_uri": "https://evil.example/",
    }
    client = register(**CONFIDENTIAL, **sent)
    assert all(client[name] != value for name, value in sent.items())
    assert read(http, client).status_code == 200


@requirement("RFC7591-1.1-01")
def test_names_and_values_have_their_case(http: FlaskClient, register: Register) -> None:
    refused(post(http, {"Redirect_URIs": [REDIRECT_URI]}), "invalid_redirect_uri", "invalid_client_metadata")
    refused(post(http, {**CONFIDENTIAL, "grant_types": ["Authorization_Code"]}), "invalid_client_metadata")
    assert "Redirect_URIs" not in register(**CONFIDENTIAL, Redirect_URIs=[REDIRECT_URI])


@requirement("RFC7591-2-03")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redirect_uris", REDIRECT_URI),
        ("redirect_uris", {"0": REDIRECT_URI}),
        ("redirect_uris", [1]),
        ("redirect_uris", [[REDIRECT_URI]]),
        ("grant_types", {"authorization_code": True}),
        ("grant_types", "authorization_code"),
        ("grant_types", [None]),
        ("response_types", "code"),
        ("token_endpoint_auth_method", ["none"]),
        ("client_name", 7),
        ("client_name", ["Mine"]),
        ("client_uri", {"url": "https://app.example"}),
        ("contacts", "ops@app.example"),
        ("contacts", [7]),
        ("jwks", "{}"),
        ("jwks_uri", ["https://app.example/jwks"]),
        ("software_id", True),
        ("software_version", 1.5),
        ("application_type", 1),
    ],
)
def test_a_wrong_type_is_refused_and_not_coerced(http: FlaskClient, name: str, value: Any) -> None:
    error = "invalid_redirect_uri" if name == "redirect_uris" else "invalid_client_metadata"
    body = refused(post(http, {**CONFIDENTIAL, name: value}), error)
    assert name in body["error_description"]


@requirement("RFC7591-2-28", "RFC7591-2-29")
def test_unknown_metadata_is_ignored_and_not_claimed(http: FlaskClient, register: Register) -> None:
    unknown = {"x_unknown": 1, "https://vendor.example/extension": {"nested": [{"deep": None}]}, "redirect_uris#fr": []}
    client = register(**CONFIDENTIAL, **unknown)
    assert not unknown.keys() & client.keys()
    assert not unknown.keys() & read(http, client).get_json().keys()


@requirement("RFC7591-2-22")
def test_contacts_need_not_be_mail_addresses(register: Register) -> None:
    contacts = ["+1 555 0100", "ops@example.org"]
    assert register(**CONFIDENTIAL, contacts=contacts)["contacts"] == contacts
