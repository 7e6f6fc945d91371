"""Requests to the two endpoints, and what every answer of theirs has to look like."""

import json
import re
from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import SERVER_METADATA

REGISTER = "/oauth2/register"
REDIRECT_URI = "https://app.example/cb"
CONFIDENTIAL: Mapping[str, Any] = {"redirect_uris": [REDIRECT_URI]}
PUBLIC: Mapping[str, Any] = {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}
MACHINE: Mapping[str, Any] = {"grant_types": ["client_credentials"], "response_types": []}
PRINTABLE = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")

Client = dict[str, Any]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def server_metadata(**changes: Any) -> dict[str, Any]:
    """That of the app of the `http` fixture, but for some members."""
    return SERVER_METADATA | changes


def issue_token(app: Flask, **options: int | str) -> str:
    """An initial access token, as an operator makes it: `flask dynreg issue-token --uses 1`."""
    arguments = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    result = app.test_cli_runner().invoke(args=["dynreg", "issue-token", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def post(http: FlaskClient, metadata: object, **headers: str) -> TestResponse:
    return http.post(REGISTER, json=metadata, headers=headers)


def registered(http: FlaskClient, **metadata: Any) -> Client:
    answer = post(http, metadata)
    assert answer.status_code == 201, answer.text
    client: Client = answer.get_json()
    return client


def refused(answer: TestResponse, *errors: str, status: int = 400) -> Client:
    """A refusal in OAuth JSON that names one of these errors (RFC 7591 section 3.2.2)."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    body: Client = json.loads(answer.data)
    assert body["error"] in errors, body
    assert PRINTABLE.fullmatch(body["error_description"])
    return body


def read(http: FlaskClient, client: Client) -> TestResponse:
    return http.get(client["registration_client_uri"], headers=bearer(client["registration_access_token"]))


def update(http: FlaskClient, client: Client, metadata: object) -> TestResponse:
    headers = bearer(client["registration_access_token"])
    return http.put(client["registration_client_uri"], json=metadata, headers=headers)


def delete(http: FlaskClient, client: Client) -> TestResponse:
    return http.delete(client["registration_client_uri"], headers=bearer(client["registration_access_token"]))


def replaced(http: FlaskClient, client: Client, **metadata: Any) -> Client:
    """The client information after an update that keeps nothing but the client_id."""
    answer = update(http, client, {"client_id": client["client_id"], **metadata})
    assert answer.status_code == 200, answer.text
    information: Client = answer.get_json()
    return information


def challenge(answer: TestResponse) -> dict[str, str]:
    """The parameters of the one Bearer challenge (RFC 6750 section 3), each of them there once."""
    (header,) = answer.headers.getlist("WWW-Authenticate")
    assert re.fullmatch(r'Bearer (\w+="[ !#-\[\]-~]*"(, |$))+', header), header
    parameters = re.findall(r'(\w+)="([^"]*)"', header)
    assert len(parameters) == len(dict(parameters)), header
    return dict(parameters)


def unauthorized(answer: TestResponse) -> dict[str, str]:
    assert answer.status_code == 401, answer.text
    return challenge(answer)
