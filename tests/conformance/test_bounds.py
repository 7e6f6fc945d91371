"""RFC 7591 section 5: what strangers send is bounded."""

import json
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from joserfc.jwk import ECKey

from tests.conformance.exchange import CONFIDENTIAL, REDIRECT_URI, REGISTER, post, refused, update
from tests.conformance.requirements import requirement
from tests.conftest import MakeApp, Register

MANY = 10_000
KEY = ECKey.generate_key("P-256").as_dict(private=False)


@requirement("RFC7591-5-17")
@pytest.mark.parametrize("size", [65_537, 5_000_000])
def test_a_large_body_is_413(http: FlaskClient, register: Register, size: int) -> None:
    sound = json.dumps(CONFIDENTIAL).encode()
    body = sound + b" " * (size - len(sound))
    client = register()
    headers = {"Authorization": f"Bearer {client['registration_access_token']}"}
    for path, method in ((REGISTER, "POST"), (client["registration_client_uri"], "PUT")):
        sent: dict[str, Any] = {"content_type": "application/json", "headers": headers if method == "PUT" else {}}
        answers = [
            http.open(path, method=method, data=body, **sent),
            http.open(path, method=method, input_stream=BytesIO(body), environ_overrides=CHUNKED, **sent),
        ]
        for answer in answers:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            refused(answer, "invalid_request", "invalid_client_metadata", status=413)


CHUNKED = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}


def test_a_body_of_just_the_limit_is_fine(make_app: MakeApp) -> None:
    http = make_app(DYNREG_MAX_REQUEST_BYTES=2000).test_client()
    sound = json.dumps(CONFIDENTIAL).encode()
    for size, status in ((2000, 201), (2001, 413)):
        body = sound + b" " * (size - len(sound))
        assert http.post(REGISTER, data=body, content_type="application/json").status_code == status


@requirement("RFC7591-5-17")
@pytest.mark.parametrize(
    "excess",
    [
        {"redirect_uris": [f"https://a.example/{number}" for number in range(MANY)]},
        {"redirect_uris": ["https://a.example/" + "x" * MANY]},
        {"contacts": ["x"] * MANY},
        {"client_name": "x" * MANY},
        {"client_uri": "https://a.example/" + "x" * MANY},
        {"grant_types": ["authorization_code"] * MANY},
        {"response_types": ["code"] * MANY},
        {"scope": "x" * MANY},
        {"software_id": "x" * MANY},
        {"jwks": {"keys": [{**KEY, "kid": str(number)} for number in range(1000)]}},
        {"jwks": {"keys": [{**KEY, "kid": "x" * MANY}]}},
        {f"client_name#x-{number}": "x" for number in range(1000)},
    ],
    ids=lambda excess: "-".join(list(excess)[:1]),
)
def test_more_than_anybody_needs_is_refused(make_app: MakeApp, excess: dict[str, Any]) -> None:
    http = make_app(DYNREG_MAX_REQUEST_BYTES=10_000_000).test_client()
    refused(post(http, {**CONFIDENTIAL, **excess}), "invalid_redirect_uri", "invalid_client_metadata")


@requirement("RFC7591-5-17")
@pytest.mark.parametrize("depth", [100, 10_000, 30_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":', "}")])
def test_deep_nesting_is_refused(http: FlaskClient, register: Register, depth: int, opening: str, closing: str) -> None:
    depth = min(depth, 60_000 // len(opening + closing))
    inner = opening * depth + "1" + closing * depth
    refused(sent(http, f'{{"redirect_uris": ["{REDIRECT_URI}"], "x": {inner}}}'), "invalid_client_metadata")
    refused(sent(http, f'{{"redirect_uris": {opening * depth}'), "invalid_client_metadata")


def sent(http: FlaskClient, body: str) -> Any:
    return http.post(REGISTER, data=body, content_type="application/json")


@requirement("RFC7591-5-17")
@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "-Infinity", "1" * 5000])
def test_a_number_without_a_value_is_refused(http: FlaskClient, number: str) -> None:
    refused(sent(http, f'{{"redirect_uris": ["{REDIRECT_URI}"], "x": {number}}}'), "invalid_client_metadata")


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud800", "\\udfff", "a\\udc00\\ud800"])
def test_what_is_no_text_is_refused(http: FlaskClient, register: Register, escape: str) -> None:
    for body in (
        f'{{"redirect_uris": ["{REDIRECT_URI}"], "client_name": "{escape}"}}',
        f'{{"redirect_uris": ["{REDIRECT_URI}"], "x": [{{"y": "{escape}"}}]}}',
        f'{{"redirect_uris": ["{REDIRECT_URI}"], "{escape}": 1}}',
    ):
        refused(sent(http, body), "invalid_client_metadata")
    client = register()
    answer = update(http, client, {"client_id": client["client_id"], **CONFIDENTIAL, "client_name": "a\x00b"})
    refused(answer, "invalid_client_metadata")
