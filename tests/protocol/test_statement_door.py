"""The door that a software statement opens, which proves nothing about who sends it."""

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from flask_dynreg.access.doors import STATED
from tests.conformance.exchange import (
    CONFIDENTIAL,
    MACHINE,
    REDIRECT_URI,
    Client,
    bearer,
    issue_token,
    post,
    refused,
    registered,
    unauthorized,
    update,
)
from tests.conformance.requirements import requirement
from tests.conftest import MakeApp
from tests.protocol.test_signed_requests import jwt, request, send, stated
from tests.statements import DIRECTORY, rsa_key, statement, trusted

URIS = ["https://stated.example/1", "https://stated.example/2"]
INVALID, UNAPPROVED = "invalid_software_statement", "unapproved_software_statement"
MAPPED = {"map": {"software_redirect_uris": "redirect_uris"}}
LIMITED = {"limits": ["redirect_uris"]}
SIGNED = {"signed_requests": {"keys": "jwks", "required": False}}


@pytest.fixture
def door(make_app: MakeApp) -> Any:
    """door(limits=["redirect_uris"]) is a server to which a statement of that issuer is the only way in."""

    def door(access: tuple[str, ...] = ("software_statement",), **issuer: Any) -> FlaskClient:
        return make_app(DYNREG_ACCESS=list(access), DYNREG_STATEMENT_ISSUERS=[trusted(**issuer)]).test_client()

    return door


def fixing(**claims: Any) -> str:
    return statement(**{"redirect_uris": URIS, **claims})


@pytest.mark.parametrize(
    ("issuer", "claims", "sent", "uris"),
    [
        ({}, {"redirect_uris": URIS}, {}, URIS),
        ({}, {"redirect_uris": URIS}, CONFIDENTIAL, URIS),
        (LIMITED, {"redirect_uris": URIS}, {"redirect_uris": URIS[1:]}, URIS[1:]),
        (MAPPED, {"software_redirect_uris": URIS}, CONFIDENTIAL, URIS),
        ({**MAPPED, **LIMITED}, {"software_redirect_uris": URIS}, {"redirect_uris": URIS[:1]}, URIS[:1]),
    ],
)
def test_a_statement_that_fixes_the_redirect_uris_opens_it(
    door: Any, issuer: dict[str, Any], claims: dict[str, Any], sent: dict[str, Any], uris: list[str]
) -> None:
    http = door(**issuer)
    client = registered(http, **sent, software_statement=statement(**claims))
    assert (client["redirect_uris"], client["software_id"]) == (uris, "4NRB1-0XZABZI9E6-5SM3R")
    app: Flask = http.application
    with app.app_context():
        registrar = app.extensions["dynreg"]
        table = registrar.models.client.__table__
        assert registrar.sessions.session.execute(select(table.c.source)).scalars().all() == ["software_statement"]


@pytest.mark.parametrize(
    ("issuer", "claims"),
    [
        ({}, {}),
        ({}, {"redirect_uris": None}),
        ({}, {"redirect_uris": ""}),
        ({}, {"software_redirect_uris": URIS}),
        ({"defaults": ["redirect_uris"]}, {"redirect_uris": URIS}),
        ({"claims": ["client_name"]}, {"redirect_uris": URIS}),
        (MAPPED, {"redirect_uris": None, "client_uri": URIS[0]}),
    ],
)
def test_any_other_statement_does_not(door: Any, issuer: dict[str, Any], claims: dict[str, Any]) -> None:
    body = refused(post(door(**issuer), {**CONFIDENTIAL, "software_statement": statement(**claims)}), UNAPPROVED)
    assert body["errors"][0]["pointer"] == "/software_statement" and "redirect_uris" in body["error_description"]


@pytest.mark.parametrize("uris", [URIS[:1], [REDIRECT_URI, *URIS]])
def test_it_leads_to_no_other_redirect_uri(door: Any, uris: list[str]) -> None:
    metadata = {"redirect_uris": [REDIRECT_URI], "software_statement": fixing(redirect_uris=URIS)}
    refused(post(door(**LIMITED), metadata), "invalid_redirect_uri")
    refused(post(door(), {"software_statement": fixing(redirect_uris=[])}), "invalid_redirect_uri")


def test_without_a_statement_that_is_good_it_is_shut(door: Any) -> None:
    http = door()
    values: list[Any] = [None, "", "x", 1, {}, fixing(exp=1), fixing()[:-9] + "AAAAAAAAA"]
    for value in values:
        body = refused(post(http, {**CONFIDENTIAL, "software_statement": value}), INVALID)
        assert body["errors"][0]["pointer"] == "/software_statement"
    refused(post(http, {"client_name": 1}), INVALID)
    refused(post(http, {"software_statement": fixing(iss="https://nobody.example")}), UNAPPROVED)
    unauthorized(http.post("/oauth2/register", json={"software_statement": fixing()}, headers=bearer("x")))


def test_a_server_that_trusts_nobody_lets_nobody_in(make_app: MakeApp) -> None:
    http = make_app(DYNREG_ACCESS=["software_statement"]).test_client()
    refused(post(http, {"software_statement": fixing()}), INVALID)
    assert "registration_endpoint" in http.get("/.well-known/oauth-authorization-server").get_json()


@requirement("RFC7591-5-12")
def test_a_token_is_another_way_in_and_all_that_is_sent_counts_together(door: Any) -> None:
    http = door(("initial_access_token", "software_statement"))
    token = issue_token(http.application, uses=1)
    told = unauthorized(post(http, CONFIDENTIAL))
    assert told["realm"] == "client registration"
    good, plain = {"software_statement": fixing()}, {"software_statement": statement()}
    assert registered(http, **good)["redirect_uris"] == URIS
    refused(post(http, {**CONFIDENTIAL, **plain}), UNAPPROVED)
    unauthorized(post(http, good, **bearer("x")))
    refused(post(http, {**CONFIDENTIAL, "software_statement": "x"}, **bearer(token)), INVALID)
    refused(post(http, {**plain, "redirect_uris": ["x"]}, **bearer(token)), "invalid_redirect_uri")
    answer = post(http, {**CONFIDENTIAL, **plain}, **bearer(token))  # nothing of that has used it up
    assert (answer.status_code, answer.get_json()["software_statement"]) == (201, plain["software_statement"])
    unauthorized(post(http, {**CONFIDENTIAL, **plain}, **bearer(token)))


# ---- Who needs no redirect needs to be known


@requirement("RFC7591-5-06")
@pytest.mark.parametrize("grants", [["client_credentials"], ["authorization_code", "client_credentials"]])
def test_a_grant_without_a_redirect_is_for_whom_is_known(door: Any, grants: list[str]) -> None:
    for claims, sent in (({}, {"grant_types": grants}), ({"grant_types": grants}, {})):
        body = refused(post(door(), {**sent, "software_statement": fixing(**claims)}), "invalid_client_metadata")
        assert body["errors"][0]["pointer"] == "/grant_types"


def test_it_is_explained_as_it_would_be_registered(door: Any) -> None:
    http = door()
    registrar = http.application.extensions["dynreg"]
    for grants in (["authorization_code"], ["authorization_code", "client_credentials"]):
        sent = {"software_statement": fixing(), "grant_types": grants}
        answer = post(http, sent).get_json()
        with http.application.app_context():
            explained = registrar.explain(sent, principal=STATED)
        assert [problem.pointer for problem in explained.problems] == [
            problem["pointer"] for problem in answer.get("errors", [])
        ]
        assert explained.metadata is None if "errors" in answer else explained.metadata["grant_types"] == grants


def test_a_request_that_is_signed_opens_it(door: Any) -> None:
    http = door(**SIGNED)
    uris = {"redirect_uris": [REDIRECT_URI]}
    by_nobody = request(stated(redirect_uris=None), **uris)
    assert send(http, jwt(by_nobody)).status_code == 201
    refused(send(http, json.dumps(by_nobody), "application/json"), UNAPPROVED)
    refused(send(http, jwt(by_nobody, rsa_key("other"))), "invalid_client_metadata")
    machine = request(stated(redirect_uris=None), **MACHINE, redirect_uris=None)
    assert send(http, jwt(machine)).get_json()["grant_types"] == ["client_credentials"]


# ---- Updates


def put(http: FlaskClient, client: Client, **changes: Any) -> Any:
    return update(http, client, {"client_id": client["client_id"], **changes})


def test_an_update_stays_behind_the_door(door: Any) -> None:
    http = door()
    client = registered(http, software_statement=fixing())
    assert put(http, client, client_name="New", **CONFIDENTIAL).get_json()["redirect_uris"] == URIS
    refused(put(http, client, **CONFIDENTIAL, software_statement=statement()), UNAPPROVED)
    refused(put(http, client, grant_types=["authorization_code", "client_credentials"]), "invalid_client_metadata")
    other = fixing(redirect_uris=URIS[:1])
    assert put(http, client, software_statement=other).get_json()["redirect_uris"] == URIS[:1]


def test_who_was_known_is_known_by_its_token(door: Any) -> None:
    http = door(**SIGNED)
    claims = request(stated(redirect_uris=None), redirect_uris=[REDIRECT_URI], grant_types=["client_credentials"])
    client = send(http, jwt(claims)).get_json()
    answer = put(http, client, **MACHINE, client_name="New")
    assert (answer.status_code, answer.get_json()["client_name"]) == (200, "New")
    refused(put(http, client, **MACHINE, software_statement=stated(redirect_uris=None, org="x")), UNAPPROVED)


def test_a_client_of_another_door_may_do_as_before(door: Any) -> None:
    http = door(("open", "software_statement"))
    client = registered(http, **CONFIDENTIAL, software_statement=statement())
    assert put(http, client, **MACHINE).status_code == 200
    assert registered(http, **MACHINE, software_statement=statement(iss=DIRECTORY))
