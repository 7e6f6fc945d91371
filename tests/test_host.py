"""In the middle of a host's app: its own endpoints, hooks, CSRF protection, JSON, paths and proxies."""

from typing import Any

import pytest
from flask import Flask, Response, abort, request
from flask.json.provider import DefaultJSONProvider
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from flask_wtf.csrf import CSRFProtect  # type: ignore[import-untyped]
from werkzeug.exceptions import NotFound, TooManyRequests
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client as WSGIClient
from werkzeug.test import TestResponse

from flask_dynreg import ConfigurationEndpoint, DynamicRegistration, RegistrationEndpoint
from tests.conformance.exchange import bearer, challenge, delete, read, registered, replaced, update
from tests.conftest import CLIENT, ISSUER, SERVER_METADATA, MakeApp


def make_host(make_app: MakeApp, **arguments: Any) -> Flask:
    db = SQLAlchemy()
    return make_app(db, DynamicRegistration(db, **arguments))


def is_oauth_error(answer: TestResponse, status: int, error: str) -> bool:
    assert answer.mimetype == "application/json", answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return bool(answer.status_code == status and answer.get_json()["error"] == error)


# ---- Endpoints of the host's


class Hermit(ConfigurationEndpoint):
    def check_permission(self, client: Any, request: Any) -> bool:
        return bool(client.client_name != "Hermit")


def test_what_the_host_does_not_permit_is_403_and_changes_nothing(make_app: MakeApp) -> None:
    http = make_host(make_app, configuration_endpoint=Hermit).test_client()
    hermit, other = registered(http, **CLIENT, client_name="Hermit"), registered(http, **CLIENT)
    body = {"client_id": hermit["client_id"], **CLIENT, "client_name": "Changed"}
    for answer in (read(http, hermit), update(http, hermit, body), delete(http, hermit)):
        assert is_oauth_error(answer, 403, "access_denied")
        assert "WWW-Authenticate" not in answer.headers
    assert read(http, other).status_code == 200
    wrong = {**hermit, "registration_access_token": other["registration_access_token"]}
    assert read(http, wrong).status_code == 401
    with http.application.app_context():
        client = http.application.extensions["dynreg"].query_client(hermit["client_id"])
        assert client.client_name == "Hermit"


class Landlord(RegistrationEndpoint):
    def generate_client_info(self, request: Any) -> dict[str, Any]:
        return super().generate_client_info(request) | {"client_id": "app~" + request.checked.metadata["client_name"]}

    def save_client(self, client_info: Any, client_metadata: Any, request: Any) -> Any:
        if client_metadata["client_name"] == "nobody":
            abort(403)
        if client_metadata["client_name"] == "everybody":
            raise TooManyRequests(retry_after=7)
        if client_metadata["client_name"] == "somebody":
            abort(Response("not you", 451, {"Retry-After": "8"}))
        return super().save_client(client_info, client_metadata, request)


def test_a_host_makes_its_own_client_ids(make_app: MakeApp) -> None:
    http = make_host(make_app, registration_endpoint=Landlord).test_client()
    client = registered(http, **CLIENT, client_name="one")
    assert client["client_id"] == "app~one"
    assert read(http, client).get_json()["client_name"] == "one"
    assert delete(http, client).status_code == 204


def test_what_a_host_aborts_with_is_oauth_json(make_app: MakeApp) -> None:
    http = make_host(make_app, registration_endpoint=Landlord).test_client()
    assert is_oauth_error(http.post("/oauth2/register", json=CLIENT | {"client_name": "nobody"}), 403, "access_denied")
    answer = http.post("/oauth2/register", json=CLIENT | {"client_name": "everybody"})
    assert is_oauth_error(answer, 429, "temporarily_unavailable") and answer.headers["Retry-After"] == "7"
    answer = http.post("/oauth2/register", json=CLIENT | {"client_name": "somebody"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (451, "8")


# ---- The blueprint


def make_limited_app(make_app: MakeApp, limit: Any) -> FlaskClient:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    dynreg.blueprint.before_request(limit)
    app = make_app(db, dynreg)
    app.add_url_rule("/mine", view_func=lambda: "mine")
    return app.test_client()


def too_many() -> None:
    raise TooManyRequests(retry_after=30)


def test_a_hook_of_the_blueprint_limits_our_endpoints_alone(make_app: MakeApp) -> None:
    http = make_limited_app(make_app, too_many)
    for answer in (
        http.post("/oauth2/register", json=CLIENT, headers={"Origin": "https://app.example"}),
        http.get("/oauth2/clients/x", headers=bearer("x")),
        http.put("/oauth2/clients/x", headers=bearer("x")),
    ):
        assert is_oauth_error(answer, 429, "temporarily_unavailable")
        assert answer.headers["Retry-After"] == "30"
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert http.get("/mine").status_code == 200
    assert http.get("/.well-known/oauth-authorization-server").status_code == 200


@pytest.mark.parametrize(
    ("status", "error"), [(400, "invalid_request"), (403, "access_denied"), (503, "temporarily_unavailable")]
)
def test_whatever_status_a_hook_aborts_with_is_kept(make_app: MakeApp, status: int, error: str) -> None:
    http = make_limited_app(make_app, lambda: abort(status))
    assert is_oauth_error(http.post("/oauth2/register", json=CLIENT), status, error)


def test_a_401_of_a_hook_has_a_challenge(make_app: MakeApp) -> None:
    http = make_limited_app(make_app, lambda: abort(401))
    assert challenge(http.post("/oauth2/register", json=CLIENT)) == {"realm": "client registration"}


def test_a_hook_may_read_the_body_first(make_app: MakeApp) -> None:
    app = make_app(DYNREG_MAX_REQUEST_BYTES=1024)
    bodies: list[bytes] = []
    app.before_request(lambda: bodies.append(request.get_data()))
    http = app.test_client()
    client = registered(http, **CLIENT)
    assert replaced(http, client, **CLIENT, client_name="After")["client_name"] == "After"
    assert [b"client.example" in body for body in bodies] == [True, True]
    assert is_oauth_error(http.post("/oauth2/register", json={"client_name": "x" * 1024}), 413, "invalid_request")


def test_scripts_can_read_an_error_of_a_hook_at_the_discovery_document(make_app: MakeApp) -> None:
    app = make_app()
    app.before_request(lambda: abort(503))
    answer = app.test_client().get("/.well-known/oauth-authorization-server")
    assert is_oauth_error(answer, 503, "temporarily_unavailable")


def test_an_answer_that_a_hook_aborts_with_is_given(make_app: MakeApp) -> None:
    http = make_limited_app(make_app, lambda: abort(Response("busy", 429, {"Retry-After": "30"})))
    answer = http.post("/oauth2/register", json=CLIENT)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")


def test_a_hook_that_fails_is_an_error_in_oauth_json(make_app: MakeApp) -> None:
    http = make_limited_app(make_app, lambda: 1 / 0)
    answer = http.post("/oauth2/register", json=CLIENT)
    assert is_oauth_error(answer, 500, "server_error")


# ---- CSRF protection


@pytest.mark.parametrize("order", ["before", "after"])
def test_csrf_protection_guards_the_hosts_forms_and_not_our_endpoints(make_app: MakeApp, order: str) -> None:
    db = SQLAlchemy()
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY="for the session cookie",
        PREFERRED_URL_SCHEME="https",
        SQLALCHEMY_DATABASE_URI="sqlite://",
        DYNREG_ACCESS=["open"],
        DYNREG_SERVER_METADATA=SERVER_METADATA,
    )
    app.add_url_rule("/mine", view_func=lambda: "mine", methods=["POST"])
    db.init_app(app)
    csrf = CSRFProtect()
    if order == "before":
        csrf.init_app(app)
    DynamicRegistration(db).init_app(app)
    if order == "after":
        csrf.init_app(app)
    http = app.test_client()
    with app.app_context():
        db.create_all()
    for _ in range(2):
        client = registered(http, **CLIENT)
        assert http.post("/mine", data={"a": "b"}).status_code == 400
        assert replaced(http, client, **CLIENT)["client_id"] == client["client_id"]
        assert http.post("/mine", data={"a": "b"}).status_code == 400
        assert delete(http, client).status_code == 204
    with app.app_context():
        db.engine.dispose()


# ---- JSON


def test_the_hosts_own_json_changes_nothing_of_ours(make_app: MakeApp) -> None:
    class Enveloped(DefaultJSONProvider):
        def dumps(self, obj: Any, **kwargs: Any) -> str:
            return super().dumps({"data": obj}, **kwargs)

        def loads(self, s: str | bytes, **kwargs: Any) -> Any:
            return super().loads(s, **kwargs)["data"]

    app = make_app()
    app.json = Enveloped(app)
    http = app.test_client()
    body = b'{"redirect_uris": ["https://client.example/cb"], "client_name": "\xc3\xa9"}'
    answer = http.post("/oauth2/register", data=body, content_type="application/json")
    assert answer.status_code == 201
    assert b'"data"' not in answer.data and b'"client_name"' in answer.data
    assert b'"data"' not in http.post("/oauth2/register", data=b"[]", content_type="application/json").data
    assert b'"data"' not in http.get("/.well-known/oauth-authorization-server").data


# ---- Paths


@pytest.mark.parametrize("prefix", ["", "/connect", "/a/b-c"])
def test_the_endpoints_are_below_the_prefix(make_app: MakeApp, prefix: str) -> None:
    http = make_app(DYNREG_URL_PREFIX=prefix).test_client()
    document = http.get("/.well-known/oauth-authorization-server").get_json()
    assert document["registration_endpoint"] == f"{ISSUER}{prefix}/register"
    client = http.post(document["registration_endpoint"], json=CLIENT).get_json()
    assert client["registration_client_uri"] == f"{ISSUER}{prefix}/clients/{client['client_id']}"
    assert read(http, client).status_code == 200


def test_the_host_header_is_never_used(make_app: MakeApp) -> None:
    http = make_app().test_client()
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    answer = http.post("https://evil.example/oauth2/register", json=CLIENT, headers=headers)
    client = answer.get_json()
    assert client["registration_client_uri"].startswith(f"{ISSUER}/oauth2/clients/")
    path = f"/oauth2/clients/{client['client_id']}?x=evil"
    answers = [
        http.get(path, base_url="https://evil.example", headers=bearer(client["registration_access_token"])),
        http.get("/.well-known/oauth-authorization-server", base_url="https://evil.example"),
        http.post("/oauth2/register", base_url="https://evil.example"),
    ]
    for answer in answers:
        assert "evil" not in answer.text and "evil" not in str(answer.headers)


def test_a_mounted_app_tells_urls_below_its_mount(make_app: MakeApp) -> None:
    app = make_app()
    http = WSGIClient(DispatcherMiddleware(Flask("front"), {"/as": app}))
    answer = http.post("/as/oauth2/register", json=CLIENT, base_url="https://evil.example")
    client = answer.get_json()
    assert client["registration_client_uri"] == f"{ISSUER}/as/oauth2/clients/{client['client_id']}"
    headers = bearer(client["registration_access_token"])
    assert http.get(client["registration_client_uri"], headers=headers).get_json()["client_id"] == client["client_id"]


def test_the_application_root_counts_where_there_is_no_request(make_app: MakeApp) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    app = make_app(db, dynreg, APPLICATION_ROOT="/as/")
    with app.app_context():
        assert dynreg.server_metadata()["registration_endpoint"] == f"{ISSUER}/as/oauth2/register"


def test_the_document_at_the_root_tells_urls_below_the_mount(make_app: MakeApp) -> None:
    """The front server sends the root's well-known paths to an app that is mounted elsewhere."""
    issuer = f"{ISSUER}/as"
    app = make_app(DYNREG_SERVER_METADATA=SERVER_METADATA | {"issuer": issuer}, APPLICATION_ROOT="/as")
    front = DispatcherMiddleware(NotFound(), {"/as": app})

    def route(environ: Any, start_response: Any) -> Any:
        return (app if environ["PATH_INFO"].startswith("/.well-known/") else front)(environ, start_response)

    http = WSGIClient(route)
    document = http.get("/.well-known/oauth-authorization-server/as", base_url=ISSUER).get_json()
    assert document["issuer"] == issuer
    assert http.post(document["registration_endpoint"], json=CLIENT).status_code == 201


# ---- Transport


def test_plain_http_is_refused_behind_an_https_issuer(make_app: MakeApp, caplog: pytest.LogCaptureFixture) -> None:
    http = make_app().test_client()
    client = registered(http, **CLIENT)
    plain = client["registration_client_uri"].replace("https:", "http:")
    headers = bearer(client["registration_access_token"])
    for answer in (
        http.post("http://as.example/oauth2/register", json=CLIENT),
        http.get(plain, headers=headers),
        http.put(plain, headers=headers, json=CLIENT),
        http.delete(plain, headers=headers),
    ):
        assert is_oauth_error(answer, 400, "invalid_request")
        assert "https" in answer.get_json()["error_description"]
    assert "ProxyFix" in caplog.text
    assert read(http, client).status_code == 200


@pytest.mark.parametrize("origin", ["http://localhost:5000", "http://127.0.0.1", "https://anything.example"])
def test_loopback_and_https_are_served(make_app: MakeApp, origin: str) -> None:
    answer = make_app().test_client().post("/oauth2/register", json=CLIENT, base_url=origin)
    assert answer.status_code == 201
    assert answer.get_json()["registration_client_uri"].startswith(ISSUER)


def test_a_proxy_that_ends_tls_is_believed_with_proxyfix(make_app: MakeApp) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}
    app = make_app()
    url = "http://as.example/oauth2/register"
    assert app.test_client().post(url, json=CLIENT, headers=headers).status_code == 400
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    assert app.test_client().post(url, json=CLIENT, headers=headers).status_code == 201
    assert app.test_client().post(url, json=CLIENT).status_code == 400


def test_an_http_issuer_on_loopback_is_served_by_http(make_app: MakeApp) -> None:
    metadata = SERVER_METADATA | {"issuer": "http://127.0.0.1:5000"}
    http = make_app(DYNREG_SERVER_METADATA=metadata).test_client()
    answer = http.post("http://127.0.0.1:5000/oauth2/register", json=CLIENT)
    assert answer.get_json()["registration_client_uri"].startswith("http://127.0.0.1:5000/oauth2/clients/")


def test_a_request_of_the_hosts_is_left_as_it_is(make_app: MakeApp) -> None:
    """The body limit is ours, and for our endpoints."""
    app = make_app(DYNREG_MAX_REQUEST_BYTES=1024)
    app.add_url_rule("/mine", view_func=lambda: str(len(request.get_data())), methods=["POST"])
    assert app.test_client().post("/mine", data=b"x" * 5000).text == "5000"
    assert app.config["MAX_CONTENT_LENGTH"] is None
