"""RFC 6750: tokens at the registration endpoint and at the client configuration endpoint."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conformance.entropy import entropy, unlike
from tests.conformance.exchange import (
    CONFIDENTIAL,
    PUBLIC,
    REGISTER,
    Client,
    bearer,
    challenge,
    issue_token,
    post,
    read,
    unauthorized,
)
from tests.conformance.requirements import requirement
from tests.conftest import MakeApp, Register

ODD_TOKENS = ['"', "\\", 'x", error="none', "\xe9", "a b", "a,b", "=", "x" * 9000, "dynreg", "%0d%0aX: y"]


@pytest.fixture
def guarded(make_app: MakeApp) -> Flask:
    return make_app(DYNREG_ACCESS=["initial_access_token"])


@pytest.fixture
def token(guarded: Flask) -> str:
    return issue_token(guarded, uses=100)


@requirement("OIDCREG-3-02", "RFC6750-2.1-01", "RFC7591-3-06")
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_an_initial_access_token_opens_the_door(guarded: Flask, token: str, scheme: str) -> None:
    http = guarded.test_client()
    client = post(http, PUBLIC, Authorization=f"{scheme} {token}").get_json()
    headers = {"Authorization": f"{scheme} {client['registration_access_token']}"}
    assert http.get(client["registration_client_uri"], headers=headers).status_code == 200


@requirement("RFC7591-3-07")
def test_the_open_door_needs_no_token(http: FlaskClient) -> None:
    assert post(http, PUBLIC).status_code == 201


@requirement("RFC7591-3.2.2-01", "OIDCREG-3.3-01", "RFC6750-3-04", "RFC6750-3.1-02")
@pytest.mark.parametrize("doors", [["initial_access_token"], ["open", "initial_access_token"], ["open"]])
def test_a_bad_token_is_an_error_whatever_doors_are_open(make_app: MakeApp, doors: list[str]) -> None:
    answer = post(make_app(DYNREG_ACCESS=doors).test_client(), PUBLIC, **bearer("made-up"))
    assert unauthorized(answer)["error"] == "invalid_token"
    assert answer.get_json()["error"] == "invalid_token"
    assert answer.headers["Cache-Control"] == "no-store"


@requirement("RFC6750-3-01", "RFC6750-3-02", "RFC6750-3.1-04", "OIDCREG-3-01")
def test_no_token_is_answered_with_a_challenge_without_error(guarded: Flask, register: Register) -> None:
    http = guarded.test_client()
    assert "error" not in unauthorized(post(http, PUBLIC))
    for method in ("GET", "PUT", "DELETE"):
        answer = http.open(register()["registration_client_uri"], method=method, json={})
        assert set(unauthorized(answer)) == {"realm"}


@requirement("RFC6750-3.1-01")
@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer a b", "Bearer  ", "Bearer,", "Bearer a, Bearer b"])
def test_a_malformed_token_is_an_error(guarded: Flask, register: Register, header: str) -> None:
    client = register()
    for path, method in ((REGISTER, "POST"), (client["registration_client_uri"], "GET")):
        answer = guarded.test_client().open(path, method=method, json=PUBLIC, headers={"Authorization": header})
        assert answer.status_code in (400, 401)
        challenge(answer)


def test_credentials_of_another_scheme_are_no_token_and_not_nothing(
    guarded: Flask, http: FlaskClient, token: str
) -> None:
    for header in (f"Basic {token}", "Basic YTpi", token, f"Bearerx {token}", f"DPoP {token}"):
        for door in (guarded.test_client(), http):
            answer = post(door, PUBLIC, Authorization=header)
            assert answer.status_code in (400, 401)
            challenge(answer)


@requirement("RFC6750-2-01")
def test_a_token_in_two_places_is_refused(guarded: Flask, token: str) -> None:
    http = guarded.test_client()
    answer = http.post(f"{REGISTER}?access_token={token}", json=PUBLIC, headers=bearer(token))
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request")
    client = post(http, PUBLIC, **bearer(token)).get_json()
    own = client["registration_access_token"]
    answer = http.get(f"{client['registration_client_uri']}?access_token={own}", headers=bearer(own))
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request")


def test_two_authorization_headers_are_never_a_guess(guarded: Flask, token: str) -> None:
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    assert guarded.test_client().post(REGISTER, json=PUBLIC, headers=headers).status_code in (400, 401)


@requirement("RFC6750-2.2-01", "RFC6750-2.3-01")
def test_a_token_in_the_body_or_the_query_is_not_looked_at(guarded: Flask, token: str) -> None:
    http = guarded.test_client()
    unauthorized(post(http, {**PUBLIC, "access_token": token}))
    assert http.post(f"{REGISTER}?access_token={token}", json=PUBLIC).status_code in (400, 401)
    client = post(http, PUBLIC, **bearer(token)).get_json()
    uri = f"{client['registration_client_uri']}?access_token={client['registration_access_token']}"
    assert http.get(uri).status_code in (400, 401)


@requirement("RFC6750-3-03", "RFC6750-3-05")
@pytest.mark.parametrize("odd", ODD_TOKENS)
def test_an_odd_token_leaves_the_challenge_well_formed(guarded: Flask, register: Register, odd: str) -> None:
    client = register()
    for path, method in ((REGISTER, "POST"), (client["registration_client_uri"], "GET")):
        headers = {"Authorization": f"Bearer {odd}".encode("latin-1").decode("latin-1")}
        answer = guarded.test_client().open(path, method=method, json=PUBLIC, headers=headers)
        assert answer.status_code in (400, 401)
        parameters = challenge(answer)
        assert odd not in "".join(parameters.values())
        assert "X" not in answer.headers


@requirement("RFC6749-10.10-01", "RFC6750-5.2-01")
def test_initial_access_tokens_cannot_be_guessed(guarded: Flask, token: str) -> None:
    assert entropy(unlike(token, issue_token(guarded, uses=1))) >= 128


@requirement("RFC7592-2-04")
def test_no_other_token_opens_the_configuration_endpoint(guarded: Flask, token: str) -> None:
    http = guarded.test_client()
    client: Client = post(http, CONFIDENTIAL, **bearer(token)).get_json()
    for other in (token, client["client_secret"], client["client_id"]):
        answer = read(http, {**client, "registration_access_token": other})
        assert unauthorized(answer)["error"] == "invalid_token"
    unauthorized(post(http, PUBLIC, **bearer(client["registration_access_token"])))


def test_an_initial_access_token_is_over_after_its_uses(guarded: Flask) -> None:
    http, headers = guarded.test_client(), bearer(issue_token(guarded, uses=2))
    assert [post(http, PUBLIC, **headers).status_code for _ in range(3)] == [201, 201, 401]


def test_the_endpoint_is_not_there_when_registration_is_closed(make_app: MakeApp) -> None:
    http = make_app(DYNREG_ACCESS=[]).test_client()
    answer = post(http, PUBLIC)
    assert (answer.status_code, answer.mimetype) == (404, "application/json")
    assert "registration_endpoint" not in http.get("/.well-known/oauth-authorization-server").get_json()


def test_every_answer_without_success_says_bearer_once(http: FlaskClient, register: Register) -> None:
    client = register()
    answers = [read(http, {**client, "registration_access_token": token}) for token in ("", "x", "a.b.c")]
    assert all(len(re.findall("Bearer", answer.headers["WWW-Authenticate"])) == 1 for answer in answers)
