"""RFC 7592 section 2, 2.1 and 2.3: who comes to the client configuration endpoint; reading and deleting."""

import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

from flask_dynreg import ConfigurationEndpoint, DynamicRegistration
from tests.conformance.exchange import (
    CONFIDENTIAL,
    PUBLIC,
    REGISTER,
    Client,
    bearer,
    delete,
    read,
    registered,
    replaced,
    unauthorized,
    update,
)
from tests.conformance.requirements import requirement
from tests.conftest import MakeApp, Register

UNKNOWN = "https://as.example/oauth2/clients/unknown"
SECRET = {"client_secret", "client_secret_expires_at"}


def every_answer(http: FlaskClient, client: Client) -> list[tuple[int, bytes, list[tuple[str, str]]]]:
    """What GET, PUT and DELETE say, but for the date."""
    body = {"client_id": client["client_id"], **PUBLIC}
    answers = [read(http, client), update(http, client, body), delete(http, client)]
    return [
        (answer.status_code, answer.data, [pair for pair in answer.headers if pair[0] != "Date"]) for answer in answers
    ]


@requirement("RFC7592-2-01", "RFC7592-2.1-01", "OIDCREG-4.2-01")
def test_a_client_reads_itself(http: FlaskClient, register: Register) -> None:
    client = register(client_name="Mine")
    unauthorized(http.get(client["registration_client_uri"]))
    answers = [read(http, client) for _ in range(2)]
    for answer in answers:
        assert (answer.status_code, answer.mimetype) == (200, "application/json")
        assert (answer.headers["Cache-Control"], answer.headers["Pragma"]) == ("no-store", "no-cache")
        assert answer.get_json() == {name: value for name, value in client.items() if name not in SECRET}


@requirement("RFC7592-A.1-01")
def test_a_secret_that_is_kept_is_repeated(make_app: MakeApp) -> None:
    keys = ["7Bd1qYcQ2bXyTn0eGv3m5RkWj8sHfLpZ4uAaC9oIiDg="]
    http = make_app(DYNREG_SECRET_KEYS=keys).test_client()
    client = registered(http, **CONFIDENTIAL)
    assert read(http, client).get_json() == client
    assert replaced(http, client, **CONFIDENTIAL) == client


@requirement("RFC7592-2.1-03")
def test_the_client_id_stays(http: FlaskClient, register: Register) -> None:
    client = register()
    answers = [read(http, client).get_json(), replaced(http, client, **PUBLIC), read(http, client).get_json()]
    assert {answer["client_id"] for answer in answers} == {client["client_id"]}


@requirement("RFC7592-2.1-02", "RFC7592-A.1-02")
def test_the_token_is_not_rotated(http: FlaskClient, register: Register) -> None:
    client = register()
    for answer in (read(http, client).get_json(), replaced(http, client, **PUBLIC), read(http, client).get_json()):
        assert answer["registration_access_token"] == client["registration_access_token"]


@requirement("RFC7592-5-01")
def test_the_token_lasts_as_long_as_the_client(make_app: MakeApp) -> None:
    db, now = SQLAlchemy(), time.time()
    http = make_app(db, DynamicRegistration(db, clock=lambda: now)).test_client()
    client = registered(http, **PUBLIC)
    now += 20 * 365 * 86400
    assert read(http, client).status_code == 200


@requirement("RFC7592-5-04")
@pytest.mark.parametrize("secret_keys", [[], ["7Bd1qYcQ2bXyTn0eGv3m5RkWj8sHfLpZ4uAaC9oIiDg="]])
def test_the_store_gives_no_token_away(make_app: MakeApp, secret_keys: list[str]) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    app = make_app(db, dynreg, DYNREG_SECRET_KEYS=secret_keys, DYNREG_ACCESS=["initial_access_token"])
    with app.app_context():
        token = dynreg.issue_initial_access_token(label="for a test")
        db.session.commit()
        client = app.test_client().post(REGISTER, json=CONFIDENTIAL, headers=bearer(token)).get_json()
        tables = db.metadata.sorted_tables
        stored = repr([db.session.execute(table.select()).all() for table in tables])
    assert client["client_id"] in stored
    for secret in (token, client["registration_access_token"], client["client_secret"]):
        assert secret not in stored


@requirement("RFC7592-2-03")
@pytest.mark.parametrize("method", ["POST", "PATCH", "PROPFIND"])
def test_other_methods_are_not_allowed(http: FlaskClient, register: Register, method: str) -> None:
    client = register()
    for headers in ({}, bearer(client["registration_access_token"])):
        answer = http.open(client["registration_client_uri"], method=method, headers=headers)
        assert (answer.status_code, answer.mimetype) == (405, "application/json")
        assert {"GET", "PUT", "DELETE"} <= set(answer.headers["Allow"].split(", "))
        assert method not in answer.headers["Allow"].split(", ")


@requirement("RFC7592-1.2-01", "RFC7592-B-03")
def test_a_token_opens_its_own_client_only(http: FlaskClient, register: Register) -> None:
    mine, other = register(client_name="Mine"), register(client_name="Other")
    crossed = {**other, "registration_access_token": mine["registration_access_token"]}
    for status, body, _ in every_answer(http, crossed):
        assert status == 401 and b"Other" not in body
    in_query = http.get(
        f"{mine['registration_client_uri']}?client_id={other['client_id']}",
        headers=bearer(other["registration_access_token"]),
    )
    assert in_query.status_code == 401
    assert read(http, other).get_json()["client_name"] == "Other"


@requirement("RFC7592-2.1-04", "RFC7592-2.1-05", "OIDCREG-4.4-03")
def test_wrong_token_other_client_and_no_client_look_the_same(http: FlaskClient, register: Register) -> None:
    client, other, gone = register(), register(), register()
    assert delete(http, gone).status_code == 204
    wrong = every_answer(http, {**client, "registration_access_token": "made-up"})
    assert [status for status, _, _ in wrong] == [401] * 3
    assert unauthorized(read(http, {**client, "registration_access_token": "made-up"}))["error"] == "invalid_token"
    likely = {"registration_access_token": gone["registration_access_token"]}
    assert every_answer(http, gone) == wrong
    assert every_answer(http, {**other, **likely}) == wrong
    assert every_answer(http, {**client, **likely, "registration_client_uri": UNKNOWN}) == wrong
    assert every_answer(http, {**client, "registration_client_uri": UNKNOWN}) == wrong


@requirement("RFC7592-2.3-01")
def test_deletion_is_204_without_a_body(http: FlaskClient, register: Register) -> None:
    answer = delete(http, register())
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers


@requirement("RFC7592-2.3-06", "RFC7592-2.2-15", "RFC7592-2.1-06")
def test_what_is_deleted_cannot_be_used(http: FlaskClient, register: Register) -> None:
    client = register()
    assert delete(http, client).status_code == 204
    assert [status for status, _, _ in every_answer(http, client)] == [401] * 3


@requirement("RFC7592-5-05")
def test_a_client_that_goes_takes_its_token_along(make_app: MakeApp) -> None:
    """Also when it did not go by its own request."""
    db = SQLAlchemy()
    app = make_app(db, DynamicRegistration(db))
    http = app.test_client()
    client, other = registered(http, **PUBLIC), registered(http, **PUBLIC)
    with app.app_context():
        removed = text("DELETE FROM dynreg_client WHERE client_id = :client_id")
        db.session.execute(removed, {"client_id": client["client_id"]})
        db.session.commit()
    assert [status for status, _, _ in every_answer(http, client)] == [401] * 3
    assert read(http, other).status_code == 200


@requirement("RFC7592-2.1-07", "RFC7592-2.2-16", "RFC7592-2.3-07")
@pytest.mark.parametrize("permitted", [{"PUT", "DELETE"}, {"GET"}, set()])
def test_what_a_client_is_not_permitted_is_403(make_app: MakeApp, permitted: set[str]) -> None:
    class HostsEndpoint(ConfigurationEndpoint):
        def check_permission(self, client: object, request: Any) -> bool:
            return request.method in permitted

    db = SQLAlchemy()
    http = make_app(db, DynamicRegistration(db, configuration_endpoint=HostsEndpoint)).test_client()
    client = registered(http, **PUBLIC, client_name="Before")
    answers = {
        "GET": read(http, client),
        "PUT": update(http, client, {"client_id": client["client_id"], **PUBLIC}),
        "DELETE": delete(http, client),
    }
    for method, answer in answers.items():
        if method not in permitted:
            assert (answer.status_code, answer.mimetype) == (403, "application/json")
            assert "Before" not in answer.text and answer.headers["Cache-Control"] == "no-store"
    if permitted == {"GET"}:
        assert read(http, client).get_json()["client_name"] == "Before"
    else:
        assert answers["PUT"].status_code == (200 if "PUT" in permitted else 403)
    assert update(http, {**client, "registration_access_token": "made-up"}, {}).status_code == 401


@requirement("RFC7592-2.3-04")
def test_deletion_can_be_off(make_app: MakeApp) -> None:
    http = make_app(DYNREG_MANAGEMENT=["read", "update"]).test_client()
    client = registered(http, **PUBLIC)
    answer = delete(http, client)
    assert (answer.status_code, answer.mimetype) == (405, "application/json")
    assert "DELETE" not in answer.headers["Allow"]
    assert read(http, client).status_code == 200
