"""`dynreg.query_client`, by itself and as Authlib's AuthorizationServer uses it."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.pool import QueuePool
from werkzeug.test import TestResponse

from flask_dynreg import DynamicRegistration, RegistrationEndpoint
from tests.conformance.exchange import MACHINE, Client, delete, registered, replaced
from tests.conftest import CLIENT, MakeApp
from tests.hosts import app_whose_database_is_down, heard


def serve_tokens(app: Flask, dynreg: DynamicRegistration) -> None:
    server = AuthorizationServer(app, query_client=dynreg.query_client, save_token=lambda token, request: None)
    server.register_grant(ClientCredentialsGrant)

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def ask(http: FlaskClient, client: Client, **members: str) -> TestResponse:
    headers = basic(client["client_id"], client.get("client_secret", ""))
    return http.post("/token", data={"grant_type": "client_credentials", **members}, headers=headers)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def db() -> SQLAlchemy:
    return SQLAlchemy()


@pytest.fixture
def dynreg(db: SQLAlchemy, clock: Clock) -> DynamicRegistration:
    return DynamicRegistration(db, clock=clock)


@pytest.fixture
def app(make_app: MakeApp, db: SQLAlchemy, dynreg: DynamicRegistration) -> Flask:
    app = make_app(db, dynreg, DYNREG_CLIENT_SECRET_LIFETIME=100)
    serve_tokens(app, dynreg)
    return app


# ---- By itself


ODD: list[Any] = [
    *(None, "", " ", "a b", "x" * 256, "\0", "a\0b", "id\n", "\u00e9", "\ud800", "\U0001f511", "\x7f", "\t"),
    *(7, 7.0, True, b"id", ["id"], {"id": 1}, ..., object),
]


@pytest.mark.parametrize("client_id", ODD, ids=ascii)
def test_what_cannot_be_an_id_is_not_asked_about(
    app: Flask, db: SQLAlchemy, dynreg: DynamicRegistration, client_id: Any
) -> None:
    with app.app_context(), heard(db.engine) as words:
        assert dynreg.query_client(client_id) is None
    assert words == []


@pytest.mark.parametrize(
    "client_id", ["x", "x" * 255, "!", "~", "'; DROP TABLE dynreg_client --".replace(" ", "/"), "%"]
)
def test_an_unknown_id_is_asked_about_once(
    app: Flask, db: SQLAlchemy, dynreg: DynamicRegistration, client_id: str
) -> None:
    with app.app_context(), heard(db.engine) as words:
        assert dynreg.query_client(client_id) is None
    assert words == ["SELECT"]


def test_a_client_is_found_by_its_exact_id(make_app: MakeApp, any_database_url: str) -> None:
    class Named(RegistrationEndpoint):
        def generate_client_info(self, request: Any) -> dict[str, Any]:
            return super().generate_client_info(request) | {"client_id": request.checked.metadata["client_name"]}

    db = SQLAlchemy()
    dynreg = DynamicRegistration(db, registration_endpoint=Named)
    app = make_app(db, dynreg, SQLALCHEMY_DATABASE_URI=any_database_url)
    for name in ("AbC", "abc", "100%"):
        registered(app.test_client(), **CLIENT, client_name=name)
    for name, found in (("AbC", True), ("abc", True), ("ABC", False), ("ab", False), ("100%", True), ("1000", False)):
        with app.app_context():
            client = dynreg.query_client(name)
            assert (client.client_id == name if client else False) is found


def test_the_client_is_an_instance_in_the_session(app: Flask, db: SQLAlchemy, dynreg: DynamicRegistration) -> None:
    client_id = registered(app.test_client(), **CLIENT, client_name="Mine", scope="mcp:read")["client_id"]
    with app.app_context(), heard(db.engine) as words:
        client = dynreg.query_client(client_id)
        assert isinstance(client, dynreg.models.client) and isinstance(client, ClientMixin)
        assert client in db.session
        assert (client.client_name, client.scope) == ("Mine", "mcp:read")
        assert client.get_default_redirect_uri() == CLIENT["redirect_uris"][0]
        assert client.get_allowed_scope("mcp:write mcp:read") == "mcp:read"
    assert words == ["SELECT"]


def test_an_instance_that_is_loaded_already_follows_an_update(
    app: Flask, db: SQLAlchemy, dynreg: DynamicRegistration
) -> None:
    http = app.test_client()
    client = registered(http, **CLIENT, client_name="Before")
    with app.app_context():
        loaded = dynreg.query_client(client["client_id"])
        assert loaded and loaded.client_name == "Before"
        checked = dynreg.registrar.check(CLIENT | {"client_name": "After"})
        record = dynreg.registrar.authenticate(client["client_id"], client["registration_access_token"])
        dynreg.registrar.update(record, checked)
        assert loaded.client_name == "After"
        db.session.rollback()
        assert loaded.client_name == "Before"


# ---- In Authlib's token endpoint


def test_a_registered_client_gets_a_token(app: Flask) -> None:
    http = app.test_client()
    client = registered(http, **MACHINE, scope="mcp:read")
    answer = ask(http, client, scope="mcp:read")
    assert answer.status_code == 200 and answer.get_json()["scope"] == "mcp:read"
    wrong = ask(http, {**client, "client_secret": client["client_secret"] + "x"})
    assert (wrong.status_code, wrong.get_json()["error"]) == (401, "invalid_client")
    replaced(http, client, **MACHINE, token_endpoint_auth_method="client_secret_post")
    assert ask(http, client).get_json()["error"] == "invalid_client"
    assert delete(http, client).status_code == 204
    assert ask(http, client).get_json()["error"] == "invalid_client"


@pytest.mark.parametrize("client_id", ["", " ", "x" * 5000, "\u00e9", "nobody", "\0"], ids=ascii)
def test_an_odd_id_is_an_invalid_client(app: Flask, client_id: str) -> None:
    answer = ask(app.test_client(), {"client_id": client_id, "client_secret": "x"})
    assert answer.get_json()["error"] == "invalid_client"
    data = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": "x"}
    assert app.test_client().post("/token", data=data).get_json()["error"] == "invalid_client"


@pytest.mark.parametrize("secret", ["", "\u00e9", "\ud800", "\0"], ids=ascii)
def test_an_odd_secret_is_an_invalid_client(app: Flask, dynreg: DynamicRegistration, secret: str) -> None:
    client_id = registered(app.test_client(), **MACHINE)["client_id"]
    with app.app_context():
        client = dynreg.query_client(client_id)
        assert client and not client.check_client_secret(secret)
    answer = ask(app.test_client(), {"client_id": client_id, "client_secret": secret.encode(errors="replace").decode()})
    assert answer.get_json()["error"] == "invalid_client"


def test_a_secret_that_is_over_is_an_invalid_client(app: Flask, clock: Clock) -> None:
    http = app.test_client()
    client = registered(http, **MACHINE)
    assert client["client_secret_expires_at"] == 1_000_100
    clock.now += 99
    assert ask(http, client).status_code == 200
    clock.now += 1
    assert ask(http, client).get_json()["error"] == "invalid_client"


# ---- When the database cannot be asked


def test_a_database_that_is_down_is_a_503_and_never_an_invalid_client() -> None:
    with app_whose_database_is_down() as (app, dynreg):
        serve_tokens(app, dynreg)
        with app.app_context(), pytest.raises(OAuth2Error) as raised:
            dynreg.query_client("somebody")
        assert raised.value.status_code == 503
        assert "hunter2" not in str(raised.value)
        answer = ask(app.test_client(), {"client_id": "somebody", "client_secret": "x"})
        assert (answer.status_code, answer.mimetype) == (503, "application/json")
        assert answer.get_json()["error"] == "temporarily_unavailable"
        assert int(answer.headers["Retry-After"]) > 0


@pytest.fixture
def exhausted(make_app: MakeApp, db: SQLAlchemy, dynreg: DynamicRegistration, sqlite_url: str) -> Iterator[Flask]:
    """An app whose only connection somebody else has."""
    options = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "pool_timeout": 0.01}
    app = make_app(db, dynreg, SQLALCHEMY_DATABASE_URI=sqlite_url, SQLALCHEMY_ENGINE_OPTIONS=options)
    with app.app_context():
        engine = db.engine
    with engine.connect():
        yield app


def test_a_pool_without_a_free_connection_is_a_503(exhausted: Flask, dynreg: DynamicRegistration) -> None:
    with exhausted.app_context(), pytest.raises(OAuth2Error) as raised:
        dynreg.query_client("somebody")
    assert raised.value.status_code == 503


def test_missing_tables_are_a_503(
    sqlite_url: str, make_app: MakeApp, db: SQLAlchemy, dynreg: DynamicRegistration
) -> None:
    app = make_app(db, dynreg, SQLALCHEMY_DATABASE_URI=sqlite_url)
    with app.app_context():
        db.drop_all()
        with pytest.raises(OAuth2Error) as raised:
            dynreg.query_client("somebody")
    assert raised.value.status_code == 503
