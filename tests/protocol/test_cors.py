"""Cross-Origin Resource Sharing: scripts of other origins register, manage themselves and discover, without credentials."""

from typing import Any

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import TestResponse

from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import bearer
from tests.conftest import CLIENT, MakeApp

REGISTER, DISCOVERY = "/oauth2/register", "/.well-known/oauth-authorization-server"
ORIGIN, OTHER = "https://inspector.example", "https://other.example"
ALLOWED_HEADERS = {"authorization", "content-type", "idempotency-key", "if-match", "mcp-protocol-version"}
EXPOSED_HEADERS = {"www-authenticate", "retry-after", "etag"}


def words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(",")}


def cors(answer: TestResponse) -> dict[str, str]:
    """The headers of the answer that the Fetch standard knows; credentials are never allowed."""
    assert len(answer.headers.getlist("Access-Control-Allow-Origin")) <= 1
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert not answer.headers.getlist("Set-Cookie")
    return {
        name.removeprefix("Access-Control-"): value
        for name, value in answer.headers
        if name.startswith("Access-Control-")
    }


def preflight(http: FlaskClient, path: str, method: str, origin: str = ORIGIN) -> TestResponse:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version",
    }
    return http.options(path, headers=headers)


def every_answer(http: FlaskClient, origin: str | None = ORIGIN) -> list[TestResponse]:
    """Successes and errors of the three addresses, from 200 to 413."""
    headers: dict[str, str] = {"Origin": origin} if origin else {}
    created = http.post(REGISTER, json=CLIENT, headers=headers)
    client = created.get_json()
    own = headers | bearer(client["registration_access_token"])
    path = f"/oauth2/clients/{client['client_id']}"
    answers = [
        created,
        http.post(REGISTER, json={}, headers=headers),
        http.post(REGISTER, data=b"{", content_type="application/json", headers=headers),
        http.post(REGISTER, data=b"x" * 70_000, content_type="application/json", headers=headers),
        http.post(REGISTER, json=CLIENT, headers=headers | bearer("wrong")),
        http.post(REGISTER, json=CLIENT, headers=headers, base_url="http://as.example"),
        http.get(REGISTER, headers=headers),
        http.get(path, headers=own),
        http.get(path, headers=headers | bearer("wrong")),
        http.get(path, headers=headers),
        http.put(path, json=CLIENT, headers=own),
        http.put(path, json=CLIENT | {"client_id": client["client_id"]}, headers=own),
        http.patch(path, headers=own),
        http.delete(path, headers=own),
        http.get(DISCOVERY, headers=headers),
        http.post(DISCOVERY, headers=headers),
    ]
    statuses = [201, 400, 400, 413, 401, 400, 405, 200, 401, 401, 400, 200, 405, 204, 200, 405]
    assert [answer.status_code for answer in answers] == statuses
    return answers


PREFLIGHTS = [
    (REGISTER, "POST", {"post"}),
    ("/oauth2/clients/unknown", "PUT", {"get", "head", "put", "delete"}),
    (DISCOVERY, "GET", {"get", "head"}),
]


@pytest.mark.parametrize(("path", "method", "allowed"), PREFLIGHTS)
@pytest.mark.parametrize(("origins", "shown"), [("*", "*"), ([OTHER, ORIGIN], ORIGIN)])
def test_a_preflight_gets_what_it_asks_for(
    make_app: MakeApp, origins: Any, shown: str, path: str, method: str, allowed: set[str]
) -> None:
    answer = preflight(make_app(DYNREG_CORS_ORIGINS=origins).test_client(), path, method)
    headers = cors(answer)
    assert (answer.status_code, answer.data) == (204, b"")
    assert headers["Allow-Origin"] == shown
    assert words(headers["Allow-Methods"]) == allowed
    assert words(headers["Allow-Headers"]) == ALLOWED_HEADERS
    assert int(headers["Max-Age"]) > 0


def test_every_origin_may_read_every_answer(http: FlaskClient) -> None:
    for origin in (ORIGIN, "null", None):
        for answer in every_answer(http, origin):
            headers = cors(answer)
            assert headers["Allow-Origin"] == "*"
            assert words(headers["Expose-Headers"]) == EXPOSED_HEADERS
            assert "Origin" not in answer.headers.get("Vary", "")


def test_the_origins_of_the_list_may_read_every_answer_and_caches_know(make_app: MakeApp) -> None:
    http = make_app(DYNREG_CORS_ORIGINS=[OTHER, ORIGIN]).test_client()
    for answer in every_answer(http):
        headers = cors(answer)
        assert headers["Allow-Origin"] == ORIGIN
        assert words(headers["Expose-Headers"]) == EXPOSED_HEADERS
        assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", f"{ORIGIN}.evil.example", "http://inspector.example", f"{ORIGIN}:444", None],
)
def test_an_origin_that_is_not_on_the_list_reads_nothing(make_app: MakeApp, origin: str | None) -> None:
    http = make_app(DYNREG_CORS_ORIGINS=[OTHER, ORIGIN]).test_client()
    for answer in every_answer(http, origin):
        assert cors(answer) == {} and "Origin" in answer.headers["Vary"]
    if origin:
        for path, method, _ in PREFLIGHTS:
            answer = preflight(http, path, method, origin)
            assert cors(answer) == {} and "Origin" in answer.headers["Vary"]


def test_an_empty_list_shares_nothing_with_anybody(make_app: MakeApp) -> None:
    http = make_app(DYNREG_CORS_ORIGINS=[]).test_client()
    for answer in [*every_answer(http), *(preflight(http, path, method) for path, method, _ in PREFLIGHTS)]:
        assert cors(answer) == {}


def test_what_a_host_answers_in_our_place_can_be_read_too(make_app: MakeApp) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    dynreg.blueprint.before_request(lambda: abort(429))
    http = make_app(db, dynreg, DYNREG_CORS_ORIGINS=[ORIGIN]).test_client()
    answer = http.post(REGISTER, json=CLIENT, headers={"Origin": ORIGIN})
    assert answer.status_code == 429 and cors(answer)["Allow-Origin"] == ORIGIN


def test_a_closed_door_can_be_read_too(make_app: MakeApp) -> None:
    http = make_app(DYNREG_ACCESS=[]).test_client()
    answer = http.post(REGISTER, json=CLIENT, headers={"Origin": ORIGIN})
    assert answer.status_code == 404 and cors(answer)["Allow-Origin"] == "*"


def test_the_hosts_own_pages_are_not_shared(app: Flask) -> None:
    app.add_url_rule("/oauth2/authorize", view_func=lambda: "allow?")
    http = app.test_client()
    assert cors(http.get("/oauth2/authorize", headers={"Origin": ORIGIN})) == {}
    assert cors(preflight(http, "/oauth2/authorize", "GET")) == {}


def test_a_preflight_needs_no_https(http: FlaskClient) -> None:
    """It is answered before it is known what follows; the request that follows is refused."""
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    assert http.options(REGISTER, headers=headers, base_url="http://as.example").status_code == 204
