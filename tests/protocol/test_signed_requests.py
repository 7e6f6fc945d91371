"""Registration requests that are signed JWTs (application/jwt), as the banking profiles of the UK and Australia have them."""

import json
import time
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conformance.exchange import Client, bearer, read, refused
from tests.conformance.requirements import requirement
from tests.conftest import ISSUER, MakeApp
from tests.metadata.keys import ec_jwk
from tests.statements import forged, public, rsa_key, signed, statement, trusted

SOFTWARE = "740C368F-ECF9-4D29-A2EA-0514A66B0CDE"
URIS = ["https://recipient.example/1", "https://recipient.example/2"]
REGISTER = "/oauth2/register"
RULES: dict[str, Any] = {"keys": "jwks"}
REQUEST = "invalid_client_metadata"


@pytest.fixture
def http(make_app: MakeApp, any_database_url: str) -> FlaskClient:
    issuers = [trusted(signed_requests=RULES), trusted("plain")]
    return make_app(DYNREG_STATEMENT_ISSUERS=issuers, SQLALCHEMY_DATABASE_URI=any_database_url).test_client()


@pytest.fixture
def sqlite(make_app: MakeApp) -> FlaskClient:
    issuers = [trusted(signed_requests=RULES), trusted("plain")]
    return make_app(DYNREG_STATEMENT_ISSUERS=issuers).test_client()


def stated(**claims: Any) -> str:
    own = {"software_id": SOFTWARE, "redirect_uris": URIS, "jwks": public(rsa_key("software"))}
    return statement(None, None, **{**own, **claims})


def request(software_statement: str | None = None, **claims: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {
        "iss": SOFTWARE,
        "aud": ISSUER,
        "iat": now,
        "exp": now + 300,
        "jti": uuid4().hex,
        "redirect_uris": URIS[:1],
        "software_statement": software_statement or stated(),
        **claims,
    }
    return {name: value for name, value in whole.items() if value is not None}


def send(http: FlaskClient, body: str | bytes, media_type: str = "application/jwt", **options: Any) -> TestResponse:
    return http.open(
        options.pop("url", REGISTER),
        method=options.pop("method", "POST"),
        data=body,
        content_type=media_type,
        **options,
    )


def jwt(claims: dict[str, Any], key: Any = None, **header: Any) -> str:
    return signed(claims, key or rsa_key("software"), **{"alg": "PS256", **header})


def test_a_signed_request_registers(http: FlaskClient) -> None:
    claims = request(client_name="Sent", aud=[ISSUER])
    answer = send(http, jwt(claims))
    assert answer.status_code == 201, answer.text
    client: Client = answer.get_json()
    assert (client["redirect_uris"], client["client_name"], client["software_id"]) == (URIS, "Sent", SOFTWARE)
    assert client["software_statement"] == claims["software_statement"]
    assert not {"iss", "aud", "iat", "exp", "jti"} & client.keys()
    assert read(http, client).get_json()["client_name"] == "Sent"


def test_a_signed_request_is_good_once(http: FlaskClient) -> None:
    body = jwt(request())
    assert send(http, body).status_code == 201
    error = refused(send(http, body), REQUEST)
    assert "used before" in error["error_description"] and error["errors"][0]["pointer"] == ""


def test_an_update_is_signed_as_well(sqlite: FlaskClient) -> None:
    client = send(sqlite, jwt(request())).get_json()
    to = {
        "url": client["registration_client_uri"],
        "method": "PUT",
        "headers": bearer(client["registration_access_token"]),
    }
    again = request(client["software_statement"], client_id=client["client_id"], client_name="New")
    answer = send(sqlite, jwt(again), **to)
    assert (answer.status_code, answer.get_json()["client_name"]) == (200, "New")
    refused(send(sqlite, jwt(again), **to), REQUEST)
    refused(send(sqlite, json.dumps(again), "application/json", **to), REQUEST)
    unsigned = request(None, client_id=client["client_id"])
    del unsigned["software_statement"]
    assert send(sqlite, jwt(unsigned), **to).status_code == 200
    refused(send(sqlite, jwt(request(client_id=client["client_id"]), rsa_key("other")), **to), REQUEST)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": None},
        {"iss": "other"},
        {"iss": ""},
        {"aud": None},
        {"aud": "https://other.example"},
        {"aud": []},
        {"iat": None},
        {"iat": int(time.time()) - 3600},
        {"iat": int(time.time()) + 3600},
        {"exp": None},
        {"exp": int(time.time()) - 3600},
        {"jti": None},
        {"jti": ""},
        {"jti": 1},
        {"nbf": int(time.time()) + 3600},
    ],
)
def test_a_request_says_from_whom_for_whom_and_when(sqlite: FlaskClient, claims: dict[str, Any]) -> None:
    error = refused(send(sqlite, jwt(request(**claims))), REQUEST)
    assert error["errors"][0]["pointer"] == "" and error["error_description"].startswith("The request")


def test_a_request_is_signed_by_a_key_that_the_statement_names(sqlite: FlaskClient) -> None:
    other = rsa_key("other")
    for body in (
        jwt(request(), other),
        jwt(request(), other, kid="software"),
        jwt(request(), other, jwk=public(other)["keys"][0]),
        jwt(request(jwks=public(other)), other),
        jwt(request(), alg="RS256"),
        jwt(request(stated(jwks=public(other)))),
        jwt(request(stated(jwks=None))),
        jwt(request(stated(jwks={"keys": "x"}))),
        jwt(request(stated(jwks="http://recipient.example/jwks"))),
        jwt(request(stated(jwks="https://10.0.0.1/jwks"))),
        forged({"alg": "none"}, request()),
        forged({"alg": "PS256"}, request(), b"secret"),
    ):
        refused(send(sqlite, body), REQUEST)


@requirement("RFC8725-3.12-01")
def test_a_jwt_of_another_kind_is_no_request(sqlite: FlaskClient) -> None:
    for kind in ("at+jwt", "dpop+jwt", "client-authentication+jwt", "oauth-authz-req+jwt", "logout+jwt"):
        error = refused(send(sqlite, jwt(request(), typ=kind)), REQUEST)
        assert "type (typ)" in error["error_description"]
    assert send(sqlite, jwt(request(), typ="JWT")).status_code == 201


def test_keys_that_lie_elsewhere_and_cannot_be_fetched_refuse_the_request(sqlite: FlaskClient) -> None:
    error = refused(send(sqlite, jwt(request(stated(jwks="https://recipient.invalid.example/jwks")))), REQUEST)
    assert "cannot be fetched" in error["error_description"]


def test_what_is_wrong_with_the_statement_is_told_of_the_statement(sqlite: FlaskClient) -> None:
    for text, code in ((stated(iss="nobody"), "unapproved"), (stated(exp=1), "invalid"), ("x", "invalid")):
        refused(send(sqlite, jwt(request(text))), f"{code}_software_statement")


def test_a_signed_request_has_a_statement(sqlite: FlaskClient) -> None:
    claims = request()
    del claims["software_statement"]
    error = refused(send(sqlite, jwt(claims)), REQUEST)
    assert "software_statement" in error["error_description"]


def test_the_issuer_decides_how_requests_come(sqlite: FlaskClient) -> None:
    error = refused(send(sqlite, json.dumps(request()), "application/json"), REQUEST)
    assert "application/jwt" in error["error_description"]
    plain = stated(iss="plain")
    assert send(sqlite, json.dumps(request(plain)), "application/json").status_code == 201
    assert "plain JSON" in refused(send(sqlite, jwt(request(plain))), REQUEST)["error_description"]


def test_both_kinds_may_be_allowed(make_app: MakeApp) -> None:
    rules = {**RULES, "required": False, "audience": ["https://alias.example"], "algorithms": ["RS256"]}
    http = make_app(DYNREG_STATEMENT_ISSUERS=[trusted(signed_requests=rules)]).test_client()
    assert send(http, json.dumps(request()), "application/json").status_code == 201
    assert send(http, jwt(request(aud="https://alias.example"), alg="RS256")).status_code == 201


@pytest.mark.parametrize("issuers", [[], [trusted()]])
def test_where_nobody_signs_requests_they_are_json(make_app: MakeApp, issuers: list[dict[str, Any]]) -> None:
    http = make_app(DYNREG_STATEMENT_ISSUERS=issuers).test_client()
    error = refused(send(http, jwt(request())), "invalid_request")
    assert "application/json" in error["error_description"]


@pytest.mark.parametrize("media_type", ["application/jwt; charset=utf-8", "Application/JWT", "application/jwt;x=y"])
def test_parameters_of_the_media_type_do_not_matter(sqlite: FlaskClient, media_type: str) -> None:
    assert send(sqlite, jwt(request()), media_type).status_code == 201


@pytest.mark.parametrize("media_type", ["application/jwts", "application/jwt+json", "text/jwt", "application/jose"])
def test_other_media_types_are_refused(sqlite: FlaskClient, media_type: str) -> None:
    refused(send(sqlite, jwt(request()), media_type), "invalid_request")


def test_a_body_is_one_jwt_and_nothing_else(sqlite: FlaskClient) -> None:
    whole = jwt(request())
    for body in (b"", b"\xff", b"{}", b"a.b.c", f"{whole}\n", f" {whole}", whole + whole, whole.encode() + b"\x00"):
        refused(send(sqlite, body), REQUEST)
    for claims in ("[]", '{"iss":"x","iss":"x"}', '{"iss":"x","y":NaN}', '{"iss":"x","y":"\\u0000"}'):
        refused(send(sqlite, signed(claims, rsa_key("software"), alg="PS256")), REQUEST)
    refused(send(sqlite, jwt(request(), crit=["exp"], exp=1)), REQUEST)
    answer = send(sqlite, jwt(request(client_name="x" * 70000)))
    assert answer.status_code == 413


def test_members_are_checked_like_those_of_plain_json(sqlite: FlaskClient) -> None:
    error = refused(send(sqlite, jwt(request(client_name=1, jwks={"keys": [ec_jwk(d="x")]}))), REQUEST)
    assert "/client_name" in {problem["pointer"] for problem in error["errors"]}
