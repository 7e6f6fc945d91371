"""RFC 6749 section 2.3 and RFC 7591 section 2: how registered clients prove who they are, shown by the quickstart."""

import base64
import time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import TestResponse

from examples import quickstart as example
from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import MACHINE, PUBLIC, Client, delete, registered, replaced, update
from tests.conformance.requirements import requirement
from tests.conformance.visitor import TOKEN, Visitor
from tests.conftest import MakeApp

POST_METHOD = {**MACHINE, "token_endpoint_auth_method": "client_secret_post"}


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


def by_basic(visitor: Visitor, client: Client, **fields: str) -> TestResponse:
    headers = basic(client["client_id"], client["client_secret"])
    return visitor.token(headers, **{"grant_type": "client_credentials"} | fields)


def by_post(visitor: Visitor, client: Client, **fields: str) -> TestResponse:
    credentials = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    return visitor.token(**credentials | {"grant_type": "client_credentials"} | fields)


def is_unknown(answer: TestResponse) -> None:
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_client")
    assert answer.headers["Cache-Control"] == "no-store"


@requirement("RFC7591-2-06")
def test_a_method_is_the_registered_one_and_no_other(visitor: Visitor) -> None:
    for metadata, right, wrong in ((MACHINE, by_basic, by_post), (POST_METHOD, by_post, by_basic)):
        client = visitor.register(**metadata)
        assert right(visitor, client).status_code == 200
        is_unknown(wrong(visitor, client))


def test_a_client_that_has_got_a_token_is_known_to_be_in_use(visitor: Visitor) -> None:
    client, other = (visitor.register(**MACHINE) for _ in range(2))
    by_basic(visitor, client)
    by_basic(visitor, {**other, "client_secret": "x"})
    with visitor.app.app_context():
        used, unused = (example.dynreg.query_client(each["client_id"]) for each in (client, other))
        assert used and used.last_used_at and unused and unused.last_used_at is None


def test_a_client_that_introspects_is_known_to_be_in_use(visitor: Visitor) -> None:
    client = visitor.register(**MACHINE, token_endpoint_auth_method="client_secret_post")
    sent = {"client_id": client["client_id"], "client_secret": client["client_secret"], "token": "x"}
    assert visitor.http.post("/oauth2/introspect", data=sent).status_code == 200
    with visitor.app.app_context():
        found = example.dynreg.query_client(client["client_id"])
        assert found and found.last_used_at


@requirement("RFC6749-2.3-01")
def test_two_methods_at_once_are_refused(visitor: Visitor) -> None:
    client = visitor.register(**MACHINE)
    answer = by_basic(visitor, client, client_secret=client["client_secret"])
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request")


@requirement("RFC6749-2.3.1-01")
def test_basic_credentials_are_form_encoded(visitor: Visitor) -> None:
    client = visitor.register(**MACHINE)
    assert client["client_id"] == quote_plus(client["client_id"])
    assert client["client_secret"] == quote_plus(client["client_secret"])
    for encode in (quote_plus, lambda text: "".join(f"%{ord(char):02X}" for char in text)):
        headers = basic(encode(client["client_id"]), encode(client["client_secret"]))
        assert visitor.token(headers, grant_type="client_credentials").status_code == 200


@requirement("RFC6749-2.3.1-02")
def test_credentials_in_the_url_are_not_used(visitor: Visitor) -> None:
    client = visitor.register(**POST_METHOD)
    query = f"client_id={client['client_id']}&client_secret={quote(client['client_secret'])}"
    is_unknown(visitor.http.post(f"{TOKEN}?{query}", data={"grant_type": "client_credentials"}))
    answer = visitor.http.post(
        f"{TOKEN}?{query}", data={"grant_type": "client_credentials", "client_id": client["client_id"]}
    )
    is_unknown(answer)


@requirement("RFC6749-5.2-02")
@pytest.mark.parametrize("secret", ["", "wrong", "\u00e9", "x" * 5000])
def test_a_wrong_secret_is_401_with_a_fitting_challenge(visitor: Visitor, secret: str) -> None:
    client = visitor.register(**MACHINE)
    for credentials in ((client["client_id"], secret), ("unknown", client["client_secret"])):
        answer = visitor.token(basic(*credentials), grant_type="client_credentials")
        is_unknown(answer)
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@requirement("RFC7592-2.2-10", "RFC7592-2.2-11")
def test_the_secret_is_the_servers_whatever_an_update_says(visitor: Visitor) -> None:
    client = visitor.register(**MACHINE)
    sent = {"client_id": client["client_id"], **MACHINE}
    assert update(visitor.http, client, {**sent, "client_secret": "chosen"}).status_code == 400
    is_unknown(by_basic(visitor, {**client, "client_secret": "chosen"}))
    assert update(visitor.http, client, sent).status_code == 200
    assert by_basic(visitor, client).status_code == 200


@requirement("RFC7592-2.2-19")
def test_the_secret_goes_and_comes_with_the_method(visitor: Visitor) -> None:
    client = visitor.register(**MACHINE)
    assert "client_secret" not in replaced(visitor.http, client, **PUBLIC)
    is_unknown(by_basic(visitor, client))
    fresh = replaced(visitor.http, client, **MACHINE)
    is_unknown(by_basic(visitor, client))
    assert by_basic(visitor, fresh).status_code == 200


@requirement("RFC7592-2.3-02")
def test_a_deleted_client_is_unknown(visitor: Visitor) -> None:
    client = visitor.register(**MACHINE)
    assert by_basic(visitor, client).status_code == 200
    assert delete(visitor.http, client).status_code == 204
    is_unknown(by_basic(visitor, client))
    assert visitor.open({**client, **PUBLIC}).status_code == 400


@requirement("RFC7591-3.2.1-07")
def test_a_secret_is_good_until_it_expires(make_app: MakeApp) -> None:
    """With a clock of its own, and an authorization server that is all Authlib's."""
    now = time.time()
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db, clock=lambda: now)
    app = make_app(db, dynreg, DYNREG_CLIENT_SECRET_LIFETIME=60)
    server = AuthorizationServer(app, query_client=dynreg.query_client, save_token=lambda token, request: None)
    server.register_grant(ClientCredentialsGrant)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    http = app.test_client()
    client = registered(http, **MACHINE)

    def status() -> int:
        headers = basic(client["client_id"], client["client_secret"])
        return http.post("/token", data={"grant_type": "client_credentials"}, headers=headers).status_code

    assert status() == 200
    now = client["client_secret_expires_at"] - 1
    assert status() == 200
    now = client["client_secret_expires_at"]
    assert status() == 401


@requirement("RFC7591-2-10", "RFC8414-2-14")
def test_a_client_uses_the_grant_types_it_registered_under_their_names(visitor: Visitor) -> None:
    machine = visitor.register(**MACHINE)
    assert by_basic(visitor, machine).status_code == 200
    for name in ("client-credentials", "CLIENT_CREDENTIALS", "clientCredentials", "device_code", "password"):
        assert by_basic(visitor, machine, grant_type=name).get_json()["error"] == "unsupported_grant_type"
    confidential = visitor.register(redirect_uris=["https://app.example/cb"])
    answer = by_basic(visitor, confidential)
    assert (answer.status_code, answer.get_json()["error"]) == (400, "unauthorized_client")


@requirement("RFC8414-2-14")
def test_every_listed_grant_and_method_can_be_used(visitor: Visitor) -> None:
    document: dict[str, Any] = visitor.http.get("/.well-known/oauth-authorization-server").get_json()
    assert set(document["grant_types_supported"]) == {"authorization_code", "refresh_token", "client_credentials"}
    client = visitor.register(**PUBLIC, grant_types=["authorization_code", "refresh_token"])
    token = visitor.exchange(client, visitor.code(client)).get_json()
    fields = {"client_id": client["client_id"], "refresh_token": token["refresh_token"]}
    assert visitor.token(grant_type="refresh_token", **fields).status_code == 200
    machine = visitor.register(**MACHINE)
    assert by_basic(visitor, machine).status_code == 200
    plain = visitor.register(**PUBLIC)
    answer = visitor.exchange(plain, visitor.code(plain)).get_json()
    assert "refresh_token" not in answer
