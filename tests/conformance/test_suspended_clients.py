"""A client whose software statement is not good any more gets nothing, and is not told in a way that makes it register anew."""

import json

import pytest
from flask import Flask

from tests.conformance.exchange import PUBLIC, REDIRECT_URI, Client, delete, read
from tests.conformance.test_client_assertions import claims, sent
from tests.conformance.visitor import Visitor
from tests.statements import public, rsa_key, signed, statement, trusted

ISSUER = "https://withdrawn.example"
REFRESHING = {**PUBLIC, "grant_types": ["authorization_code", "refresh_token"]}


def run(quickstart: Flask, *words: str, stdin: str | None = None) -> None:
    result = quickstart.test_cli_runner().invoke(args=["dynreg", "issuer", *words], input=stdin)
    assert result.exit_code == 0, result.output


def suspended(visitor: Visitor, **metadata: object) -> Client:
    """A client of an issuer that is trusted no longer, with the tokens that it had got."""
    run(visitor.app, "add", "-", stdin=json.dumps(trusted(ISSUER)))
    client = visitor.register(**metadata, software_statement=statement(iss=ISSUER))
    if "refresh_token" in client["grant_types"]:
        client["tokens"] = visitor.exchange(client, visitor.code(client)).get_json()
        client["code"] = visitor.code(client)
    run(visitor.app, "withdraw", ISSUER)
    return client


@pytest.fixture
def client(visitor: Visitor) -> Client:
    return suspended(visitor, **REFRESHING)


def test_the_visitor_sees_a_page(visitor: Visitor, client: Client) -> None:
    page = visitor.open(client)
    assert page.status_code == 400 and "suspended" in page.text and page.mimetype == "text/html"
    assert "Location" not in page.headers


def test_refreshing_and_codes_are_invalid_grants(visitor: Visitor, client: Client) -> None:
    request = {"grant_type": "refresh_token", "refresh_token": client["tokens"]["refresh_token"]}
    for answer in (
        visitor.token(**request, client_id=client["client_id"]),
        visitor.exchange(client, client["code"]),
    ):
        assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_grant")


def test_its_tokens_are_not_active(visitor: Visitor, client: Client) -> None:
    server = visitor.register(redirect_uris=[REDIRECT_URI], token_endpoint_auth_method="client_secret_post")
    asking = {"client_id": server["client_id"], "client_secret": server["client_secret"]}
    answer = visitor.http.post("/oauth2/introspect", data={**asking, "token": client["tokens"]["access_token"]})
    assert answer.get_json() == {"active": False}


def test_a_machine_gets_no_token_and_learns_of_none(visitor: Visitor, client: Client) -> None:
    method = {"token_endpoint_auth_method": "client_secret_post", "grant_types": ["client_credentials"]}
    machine = suspended(visitor, **method)
    itself = {"client_id": machine["client_id"], "client_secret": machine["client_secret"]}
    answer = visitor.token(**itself, grant_type="client_credentials")
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_grant")
    active = visitor.exchange(other := visitor.register(), visitor.code(other)).get_json()["access_token"]
    assert visitor.http.post("/oauth2/introspect", data={**itself, "token": active}).get_json() == {"active": False}


def test_a_client_that_signs_is_told_the_same(visitor: Visitor) -> None:
    method = {"token_endpoint_auth_method": "private_key_jwt", "grant_types": ["client_credentials"]}
    machine = suspended(visitor, **method, jwks=public(rsa_key("machine")))
    assertion = signed(claims(machine), rsa_key("machine"), alg="RS256")
    answer = sent(visitor, assertion)
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_grant")


def test_it_can_be_read_and_deleted(visitor: Visitor, client: Client) -> None:
    assert read(visitor.http, client).status_code == 200
    assert delete(visitor.http, client).status_code == 204
