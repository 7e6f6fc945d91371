"""RFC 7591 section 3.2.2: how a registration is refused."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.conformance.exchange import CONFIDENTIAL, PRINTABLE, bearer, issue_token, post, read, refused, update
from tests.conformance.requirements import requirement
from tests.conftest import MakeApp, Register

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"redirect_uris": ["https://a.example/cb#frag"]}, "invalid_redirect_uri"),
    ({"redirect_uris": []}, "invalid_redirect_uri"),
    ({"grant_types": "x"}, "invalid_client_metadata"),
    ({"token_endpoint_auth_method": "urn:x:unknown"}, "invalid_client_metadata"),
    ({"client_uri": "not a url"}, "invalid_client_metadata"),
    ({"jwks": {}}, "invalid_client_metadata"),
    ({"jwks": {"keys": []}, "jwks_uri": "https://a.example/jwks"}, "invalid_client_metadata"),
]


@requirement("RFC7591-3.2.2-02", "RFC7591-3.2.2-03", "RFC7591-3.2.2-05", "RFC7591-3.2.2-06", "RFC7591-3.2.2-09")
@pytest.mark.parametrize(("fault", "error"), FAULTS)
def test_invalid_metadata_is_400_with_the_fitting_code(http: FlaskClient, fault: dict[str, Any], error: str) -> None:
    answer = post(http, {**CONFIDENTIAL, **fault})
    body = refused(answer, error)
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Pragma"] == "no-cache"
    assert all({"pointer", "description", "section"} <= problem.keys() for problem in body["errors"])


def test_every_fault_of_a_request_is_listed(http: FlaskClient) -> None:
    body = refused(post(http, {**CONFIDENTIAL, "grant_types": "x", "client_name": 1}), "invalid_client_metadata")
    assert {problem["pointer"] for problem in body["errors"]} == {"/grant_types", "/client_name"}


@requirement("RFC6749-5.2-01", "RFC7591-3.2.2-04")
@pytest.mark.parametrize(
    "fault",
    [
        {"client_name": 'a"b\\c\n\u202e'},
        {"redirect_uris": ['https://a.example/"\\\u00e9']},
        {"redirect_uris": ["\r\nSet-Cookie: a=b"]},
        {'x"\\\n\u00e9#de': 1, "grant_types": ['"\\\n\u00e9']},
        {'client_name#"': 1, "scope": ['"']},
        {"token_endpoint_auth_method": "\u00e9" * 5000},
        {"application_type": "\U0001f600"},
    ],
)
def test_odd_input_does_not_show_up_in_an_error(http: FlaskClient, fault: dict[str, Any]) -> None:
    body = refused(post(http, {**CONFIDENTIAL, **fault}), "invalid_redirect_uri", "invalid_client_metadata")
    assert PRINTABLE.fullmatch(body["error"])
    assert str(body).isascii()


@requirement("RFC7591-3.2.2-10", "OIDCREG-7-01")
@pytest.mark.parametrize(("fault", "error"), FAULTS)
def test_a_refused_registration_uses_up_nothing(make_app: MakeApp, fault: dict[str, Any], error: str) -> None:
    """An initial access token of one use is still good after a refusal, and not after a registration."""
    app = make_app(DYNREG_ACCESS=["initial_access_token"])
    http, token = app.test_client(), bearer(issue_token(app, uses=1))
    refused(post(http, {**CONFIDENTIAL, **fault}, **token), error)
    assert post(http, CONFIDENTIAL, **token).status_code == 201
    assert post(http, CONFIDENTIAL, **token).status_code == 401


@requirement("OIDCREG-7-01", "RFC7592-2.2-17")
@pytest.mark.parametrize(("fault", "error"), FAULTS)
def test_a_refused_update_changes_nothing(
    http: FlaskClient, register: Register, fault: dict[str, Any], error: str
) -> None:
    client = register(client_name="Before")
    kept = read(http, client).get_json()
    sent = {"client_id": client["client_id"], "client_name": "After", **CONFIDENTIAL, **fault}
    refused(update(http, client, sent), error)
    assert read(http, client).get_json() == kept
