"""The operators' API: the same as the commands over HTTP, for whom the host says may."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from flask_dynreg import ConfigurationError, DynamicRegistration, Operator, Permission
from flask_dynreg.operations.api import OPERATIONS
from tests.conformance.exchange import PUBLIC, bearer, read, registered, replaced
from tests.conftest import CLIENT, ISSUER, MakeApp
from tests.hosts import app_whose_database_is_down
from tests.registry.host import define_notes

BASE = "/oauth2/operators"
CALLS = [(method, path, each.permission) for path, methods in OPERATIONS.items() for method, each in methods.items()]
BODIES: dict[str, dict[str, Any]] = {
    "/clients": {"metadata": CLIENT},
    "/explain": {"metadata": CLIENT},
    "/clients/<client_id>/approve": {"reason": "x", "version": 1},
    "/clients/<client_id>/refuse": {"reason": "x"},
    "/clients/<client_id>/suspend": {"reason": "x"},
    "/clients/<client_id>/resume": {"reason": "x"},
    "/clients/<client_id>/roll-back": {"version": 1},
    "/clients/<client_id>/client-secret": {},
    "/tokens": {},
    "/registration": {"closed": None},
}


def made() -> DynamicRegistration:
    dynreg = DynamicRegistration(SQLAlchemy())

    @dynreg.operator
    def operator(name: str | None) -> Operator | None:
        """Who sends a request says in a header what they may: a host of the tests believes it."""
        said = request.headers.get("May")
        return None if said is None else Operator("ann", frozenset(said.split()))

    return dynreg


@pytest.fixture
def dynreg() -> DynamicRegistration:
    return made()


@pytest.fixture
def app(make_app: MakeApp, dynreg: DynamicRegistration, sqlite_url: str) -> Flask:
    config = {"DYNREG_ACCESS": ["open", "initial_access_token"], "DYNREG_POLICIES": ["approval"]}
    return make_app(dynreg._db, dynreg, **config, DYNREG_OPERATORS_API=True, SQLALCHEMY_DATABASE_URI=sqlite_url)


@pytest.fixture
def http(app: Flask) -> FlaskClient:
    return app.test_client()


Call = Callable[..., TestResponse]


@pytest.fixture
def call(http: FlaskClient) -> Call:
    """call("POST", "/tokens", {"uses": 1}, may="tokens:issue")"""

    def call(method: str, path: str, sent: Any = None, may: str | None = " ".join(Permission), **headers: str) -> Any:
        headers |= {} if may is None else {"May": may}
        return http.open(BASE + path, method=method, json=sent, headers=headers)

    return call


def told(answer: TestResponse, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.get_json()


# ---- Who may


@pytest.mark.parametrize(("method", "path", "permission"), CALLS)
def test_an_operation_needs_its_permission_and_no_other(
    call: Call, app: Flask, http: FlaskClient, method: str, path: str, permission: str
) -> None:
    client = registered(http, **PUBLIC)
    sent = BODIES.get(path) if method in ("POST", "PUT") else None
    here = path.replace("<client_id>", client["client_id"]).replace("<token_id>", "1")
    stranger = call(method, here, sent, may=None)
    assert told(stranger, 401)["error"] == "invalid_token" and stranger.headers["WWW-Authenticate"].startswith("Bearer")
    others = " ".join(set(Permission) - {permission})
    assert permission in told(call(method, here, sent, may=others), 403)["error_description"]
    assert call(method, here, sent, may=permission).status_code in (200, 201, 204, 404, 409)


def test_who_lacks_a_permission_is_noted(call: Call, app: Flask, dynreg: DynamicRegistration) -> None:
    told(call("DELETE", "/clients/x", may="clients:read"), 403)
    told(call("GET", "/clients", may=None), 401)
    told(call("POST", "/clients", {"metadata": {}}), 400)
    with app.app_context():
        event = dynreg.models.event
        ((type_, details),) = dynreg._db.session.execute(select(event.type, event.details)).all()
    assert type_ == "operation_refused"
    assert json.loads(details) == {"subject": "operators", "by": "ann", "permission": "clients:delete"}


def test_nobody_learns_whether_a_client_is_there(call: Call, http: FlaskClient) -> None:
    client = registered(http, **PUBLIC)["client_id"]
    for may in (None, "tokens:issue"):
        answers = [call("GET", f"/clients/{name}", may=may) for name in (client, "gone")]
        assert answers[0].data == answers[1].data and answers[0].status_code == answers[1].status_code


def test_it_is_off_by_default_and_needs_a_function_of_the_hosts(make_app: MakeApp) -> None:
    assert make_app(None, made()).test_client().get(f"{BASE}/clients").status_code == 404
    with pytest.raises(ConfigurationError, match="DYNREG_OPERATORS_API"):
        make_app(DYNREG_OPERATORS_API=True)


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}]
)
def test_a_page_of_somebody_else_changes_nothing(call: Call, http: FlaskClient, headers: dict[str, str]) -> None:
    client = registered(http, **PUBLIC)["client_id"]
    assert told(call("DELETE", f"/clients/{client}", **headers), 403)["error"] == "access_denied"
    assert told(call("GET", f"/clients/{client}", **headers))["client_id"] == client
    assert "Access-Control-Allow-Origin" not in call("GET", "/clients", Origin="https://evil.example").headers


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": ISSUER}])
def test_a_page_of_this_server_and_a_program_do(call: Call, http: FlaskClient, headers: dict[str, str]) -> None:
    client = registered(http, **PUBLIC)["client_id"]
    assert call("DELETE", f"/clients/{client}", **headers).status_code == 204


def test_the_hosts_protection_of_forms_does_not_stop_it(make_app: MakeApp, dynreg: DynamicRegistration) -> None:
    app = make_app(dynreg._db, dynreg, DYNREG_OPERATORS_API=True, SECRET_KEY="for the tests")
    CSRFProtect(app)
    answer = app.test_client().post(f"{BASE}/explain", json={"metadata": CLIENT}, headers={"May": "clients:write"})
    assert answer.status_code == 200


def test_plain_http_is_refused(app: Flask, http: FlaskClient) -> None:
    for path in ("/clients", "/tokens"):
        assert http.get(BASE + path, base_url="http://as.example", headers={"May": "x"}).status_code == 400


def test_other_methods_are_told(call: Call) -> None:
    answer = call("PATCH", "/clients")
    assert told(answer, 405)["error"] == "invalid_request" and answer.headers["Allow"] == "GET, POST, OPTIONS"
    assert call("OPTIONS", "/clients", may=None).status_code == 204


# ---- What they do


def test_a_client_waits_is_looked_at_and_approved(call: Call, http: FlaskClient, dynreg: DynamicRegistration) -> None:
    client = registered(http, **PUBLIC)
    here = f"/clients/{client['client_id']}"
    ((shown),) = told(call("GET", "/waiting"))["clients"]
    assert (shown["client_id"], shown["status"], shown["reason"]) == (client["client_id"], "pending", "It is new.")
    late = told(call("POST", f"{here}/approve", {"reason": "known", "version": 7}), 409)
    assert "version must be 7" in late["error_description"]
    approved = told(call("POST", f"{here}/approve", {"reason": "known", "version": shown["version"]}))
    assert (approved["status"], approved["reason"], approved["version"]) == ("active", "known", 2)
    replaced(http, client, **PUBLIC, client_name="Another")
    ((shown),) = told(call("GET", "/waiting"))["clients"]
    assert shown["requested"]["client_name"] == "Another" and "client_name" not in shown["metadata"]
    assert told(call("POST", f"{here}/refuse", {"reason": "no"}))["requested"] is None
    for word, status in (("suspend", "suspended"), ("resume", "active")):
        assert told(call("POST", f"{here}/{word}", {"reason": "why"}))["status"] == status
        assert told(call("POST", f"{here}/{word}", {"reason": "why"}), 409)["error"] == "invalid_request"
    assert call("DELETE", here).status_code == 204
    assert told(call("GET", here), 404)["error"] == "invalid_request" and read(http, client).status_code == 401


def test_who_waits_is_told_a_page_at_a_time(
    monkeypatch: pytest.MonkeyPatch, make_app: MakeApp, dynreg: DynamicRegistration
) -> None:
    monkeypatch.setattr("flask_dynreg.registry.pages.MOST_AT_ONCE", 2)
    config = {"DYNREG_ACCESS": ["open"], "DYNREG_POLICIES": ["approval"], "DYNREG_OPERATORS_API": True}
    http = make_app(dynreg._db, dynreg, **config).test_client()
    ids = {registered(http, **PUBLIC)["client_id"] for _ in range(5)}
    found, query = list[str](), ""
    for size in (2, 2, 1):
        page = told(http.get(f"{BASE}/waiting{query}", headers={"May": "clients:read"}))
        assert len(page["clients"]) == size
        found, query = [*found, *(each["client_id"] for each in page["clients"])], f"?after={page['next']}"
    last = told(http.get(f"{BASE}/waiting{query}", headers={"May": "clients:read"}))
    assert last == {"clients": [], "next": None}
    assert len(found) == 5 and set(found) == ids


def test_a_client_is_made_in_the_name_of_who_made_it(call: Call, app: Flask, dynreg: DynamicRegistration) -> None:
    sent = {"metadata": CLIENT, "owner": "them", "client_id": "ours"}
    client = told(call("POST", "/clients", sent), 201)
    assert client["client_id"] == "ours" and client["client_secret"] and read(app.test_client(), client)
    assert "taken" in told(call("POST", "/clients", sent), 409)["error_description"]
    listed = told(call("GET", "/clients?owner=them"))
    assert [each["client_id"] for each in listed["clients"]] == ["ours"] and listed["next"] == "ours"
    assert told(call("GET", "/clients?owner=them&after=ours")) == {"clients": [], "next": None}
    assert client["client_secret"] not in json.dumps(listed)
    with app.app_context():
        (event,) = dynreg._db.session.scalars(dynreg._db.select(dynreg.models.event))
        assert json.loads(event.details) == {"by": "ann"}


def test_a_client_gets_a_new_secret_and_older_ones_end(call: Call) -> None:
    client = told(call("POST", "/clients", {"metadata": CLIENT}), 201)
    here = f"/clients/{client['client_id']}"
    fresh = told(call("POST", f"{here}/client-secret", {"keep": 60}), 201)
    assert fresh["client_secret"] != client["client_secret"] and fresh["client_secret_expires_at"] == 0
    assert told(call("POST", f"{here}/client-secret", {}), 201).keys() == fresh.keys()
    assert call("DELETE", f"{here}/older-client-secrets").status_code == 204
    public = told(call("POST", "/clients", {"metadata": PUBLIC}), 201)
    assert (
        "needs a secret"
        in told(call("POST", f"/clients/{public['client_id']}/client-secret", {}), 409)["error_description"]
    )


def test_an_operator_is_told_which_policy_refuses(make_app: MakeApp, dynreg: DynamicRegistration) -> None:
    names = {"policy": "forbidden_names", "names": ["Claude"]}
    app = make_app(dynreg._db, dynreg, DYNREG_OPERATORS_API=True, DYNREG_POLICIES=[names])
    sent = {"metadata": CLIENT | {"client_name": "Claude"}}
    may = {"May": "clients:write"}
    refused = told(app.test_client().post(f"{BASE}/clients", json=sent, headers=may), 400)
    assert refused["error"] == "invalid_client_metadata"
    assert [(each["pointer"], each["policy"]) for each in refused["errors"]] == [("/client_name", "forbidden_names")]
    explained = told(app.test_client().post(f"{BASE}/explain", json=sent, headers=may))
    assert explained["registered"] is None and [each["policy"] for each in explained["policies"]] == ["forbidden_names"]


def test_explaining_leaves_no_trace(call: Call, app: Flask, dynreg: DynamicRegistration) -> None:
    explained = told(call("POST", "/explain", {"metadata": CLIENT}))
    assert explained["registered"]["redirect_uris"] == CLIENT["redirect_uris"] and explained["approval"] == "It is new."
    with app.app_context():
        for table in dynreg.models.tables:
            assert dynreg._db.session.execute(table.select()).all() == []


def test_a_token_is_issued_listed_and_revoked(call: Call, http: FlaskClient) -> None:
    sent = {"label": "Bank", "owner": "bank-7", "uses": 2, "expires_in": 60, "terms": {"scopes": ["mcp:read"]}}
    token = told(call("POST", "/tokens", sent), 201)["initial_access_token"]
    assert http.post("/oauth2/register", json=CLIENT, headers=bearer(token)).status_code == 201
    listed = told(call("GET", "/tokens"))
    ((known),) = listed["tokens"]
    assert listed["next"] == known["id"]
    assert told(call("GET", f"/tokens?after={known['id']}")) == {"tokens": [], "next": None}
    assert (known["owner"], known["uses"], known["max_uses"], known["terms"]) == ("bank-7", 1, 2, sent["terms"])
    assert token not in json.dumps(known)
    assert call("DELETE", f"/tokens/{known['id']}").status_code == 204
    for gone in (known["id"], "x", "9" * 30):
        assert told(call("DELETE", f"/tokens/{gone}"), 404)["error"] == "invalid_request"
    assert http.post("/oauth2/register", json=CLIENT, headers=bearer(token)).status_code == 401


def test_a_client_gets_a_new_registration_access_token(
    call: Call, app: Flask, http: FlaskClient, dynreg: DynamicRegistration
) -> None:
    client = registered(http, **PUBLIC)
    path = f"/clients/{client['client_id']}/registration-access-token"
    fresh = told(call("POST", path), 201)
    assert fresh.keys() == {"registration_client_uri", "registration_access_token"}
    assert read(http, client | fresh).status_code == 200 and read(http, client).status_code == 401
    with app.app_context():
        event = dynreg.models.event
        details = dynreg._db.session.scalar(dynreg._db.select(event.details).where(event.type == "token_reissued"))
    assert json.loads(details)["by"] == "ann"
    assert told(call("POST", "/clients/gone/registration-access-token"), 404)["error"] == "invalid_request"


def test_registration_is_closed_and_opened(call: Call, http: FlaskClient) -> None:
    assert told(call("PUT", "/registration", {"closed": "Maintenance"}))["closed"] == "Maintenance"
    assert http.post("/oauth2/register", json=CLIENT).status_code == 404
    opened = told(call("PUT", "/registration", {"closed": None}))
    assert opened == told(call("GET", "/registration")) == {"closed": None, "doors": ["open", "initial_access_token"]}
    assert http.post("/oauth2/register", json=CLIENT).status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "sent", "says"),
    [
        ("POST", "/clients", {}, "metadata: must be there."),
        ("POST", "/clients", {"metadata": []}, "metadata: must be a JSON object."),
        ("POST", "/clients", {"metadata": CLIENT, "owner": ""}, "owner: must be a string of 1 to 255"),
        ("POST", "/clients", {"metadata": CLIENT, "owner": "x" * 256}, "owner: must be a string of 1 to 255"),
        ("POST", "/clients", {"metadata": CLIENT, "evil": 1}, "must have none but metadata, owner, client_id"),
        ("POST", "/clients/x/approve", {"reason": "x"}, "version: must be there."),
        ("POST", "/clients/x/approve", {"reason": "x", "version": True}, "version: must be a whole number"),
        ("POST", "/clients/x/approve", {"reason": "x", "version": 10**30}, "version: must be a whole number"),
        ("POST", "/clients/x/refuse", {"reason": 7}, "reason: must be a string"),
        ("POST", "/clients/x/client-secret", {"keep": -1}, "keep: must be a whole number, 0 or more"),
        ("POST", "/tokens", {"uses": 0}, "uses: must be a whole number"),
        ("POST", "/tokens", {"terms": {"scopes": "x"}}, "terms: scopes must be a list"),
        ("POST", "/tokens", {"terms": {"policies": ["evil"]}}, "terms: policies"),
        ("PUT", "/registration", {"closed": ""}, "closed: must be a string"),
        ("PUT", "/registration", {}, "closed: must be there."),
        ("POST", "/explain", [], "must be one JSON object"),
        ("GET", "/clients?owner=%00", None, "owner: must be a string"),
        ("GET", "/clients?evil=1", None, "The query must have none but"),
        ("GET", "/clients?after=%C3%A9", None, "after: must be the next of another page."),
        ("GET", "/clients?after=x%20", None, "after: must be the next of another page."),
        ("GET", "/waiting?after=7", None, "after: must be the next of another page."),
        ("GET", f"/waiting?after={'1' * 19}.x", None, "after: must be the next of another page."),
        ("GET", "/waiting?after=1.x%0A", None, "after: must be the next of another page."),
        ("GET", "/tokens?after=-1", None, "after: must be the next of another page."),
    ],
)
def test_what_is_wrong_is_said(call: Call, method: str, path: str, sent: Any, says: str) -> None:
    answer = call(method, path, sent)
    assert says in told(answer, 400)["error_description"]


@pytest.mark.parametrize(
    "terms",
    [{"policies": ["\u00fc"]}, {"policies": ['a"b']}, {"defaults": {"\u00fc": 1}}, {"forced": {"x#\u00fc": "x"}}],
)
def test_terms_of_any_characters_are_refused(call: Call, terms: dict[str, Any]) -> None:
    assert told(call("POST", "/tokens", {"terms": terms}), 400)["error"] == "invalid_request"


def test_a_number_has_digits_of_ours(call: Call) -> None:
    told(call("POST", "/tokens", {}), 201)
    assert call("DELETE", "/tokens/%D9%A1").status_code == 404


@pytest.mark.parametrize("client_id", ["a/b", "a b", "", "x/approve", "\u00fc", "a" * 256])
def test_an_id_that_is_chosen_is_like_ours(call: Call, client_id: str) -> None:
    assert call("POST", "/clients", {"metadata": CLIENT, "client_id": client_id}).status_code in (400, 409)


def test_a_full_quota_is_no_lack_of_a_permission(make_app: MakeApp, dynreg: DynamicRegistration) -> None:
    app = make_app(dynreg._db, dynreg, DYNREG_OPERATORS_API=True, DYNREG_QUOTAS={"owner": 1})
    sent, may = {"metadata": CLIENT, "owner": "them"}, {"May": "clients:write"}
    answers = [app.test_client().post(f"{BASE}/clients", json=sent, headers=may).status_code for _ in range(2)]
    assert answers == [201, 409]


def test_a_store_that_fails_while_an_operator_is_looked_up_is_a_503(make_app: MakeApp) -> None:
    dynreg = DynamicRegistration(SQLAlchemy())

    @dynreg.operator
    def operator(name: str | None) -> Operator | None:
        dynreg._db.session.execute(text("SELECT * FROM nowhere"))
        return None

    app = make_app(dynreg._db, dynreg, DYNREG_OPERATORS_API=True)
    assert told(app.test_client().get(f"{BASE}/clients"), 503)["error"] == "temporarily_unavailable"


def test_what_is_refused_is_undone_also_where_the_host_has_written(make_app: MakeApp, sqlite_url: str) -> None:
    db = SQLAlchemy()
    note = define_notes(db)
    dynreg = DynamicRegistration(db)
    app = make_app(
        db,
        dynreg,
        DYNREG_ACCESS=["initial_access_token"],
        DYNREG_QUOTAS={"initial_access_token": 0},
        SQLALCHEMY_DATABASE_URI=sqlite_url,
    )
    with app.app_context():
        token = dynreg.issue_initial_access_token(uses=1)
        db.session.commit()

    @app.before_request
    def note_it() -> None:
        db.session.add(note(text="seen"))
        db.session.flush()

    @app.after_request
    def keep_it(response: Any) -> Any:
        db.session.commit()
        return response

    assert app.test_client().post("/oauth2/register", json=CLIENT, headers=bearer(token)).status_code == 403
    with app.app_context():
        ((known),) = dynreg.initial_access_tokens()
        assert known.uses == 0 and len(db.session.scalars(db.select(note)).all()) == 1


def test_who_closes_at_once_closes(make_app: MakeApp, any_database_url: str) -> None:
    dynreg = made()
    app = make_app(dynreg._db, dynreg, DYNREG_OPERATORS_API=True, SQLALCHEMY_DATABASE_URI=any_database_url)
    together = Barrier(6)

    def close(number: int) -> tuple[int, int]:
        together.wait(30)
        may = {"May": "settings:write clients:write"}
        closed = app.test_client().put(f"{BASE}/registration", json={"closed": "x"}, headers=may).status_code
        sent = {"metadata": CLIENT, "client_id": "ours"}
        return closed, app.test_client().post(f"{BASE}/clients", json=sent, headers=may).status_code

    with ThreadPoolExecutor(together.parties) as pool:
        answers = list(pool.map(close, range(together.parties)))
    assert {closed for closed, _ in answers} == {200}
    assert sorted(created for _, created in answers) == [201, *[409] * 5]


def test_a_body_has_one_reading(http: FlaskClient) -> None:
    may = {"May": "settings:write"}
    for body in (b'{"closed": null, "closed": "x"}', b"[" * 60_000, b"\xff", b""):
        answer = http.put(f"{BASE}/registration", data=body, content_type="application/json", headers=may)
        assert told(answer, 400)["error"] == "invalid_request"
    assert http.put(f"{BASE}/registration", data=b"{}", content_type="text/plain", headers=may).status_code == 400
    answer = http.put(f"{BASE}/registration", data=b" " * 70_000, content_type="application/json", headers=may)
    assert told(answer, 413)["error"] == "invalid_request"


def test_a_store_that_is_down_is_a_503() -> None:
    with app_whose_database_is_down(dynreg=made(), DYNREG_OPERATORS_API=True) as (app, _):
        answer = app.test_client().get(f"{BASE}/clients", headers={"May": "clients:read"})
        assert told(answer, 503)["error"] == "temporarily_unavailable"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
MEMBERS = st.sampled_from(["metadata", "reason", "version", "owner", "terms", "closed", "uses", "label", "client_id"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.sampled_from(CALLS), st.dictionaries(MEMBERS, JSON, max_size=4), st.text(max_size=9))
def test_nothing_that_is_sent_is_a_500(http: FlaskClient, operation: Any, sent: dict[str, Any], name: str) -> None:
    method, path, permission = operation
    here = path.replace("<client_id>", name or "x").replace("<token_id>", name or "x")
    answer = http.open(BASE + here, method=method, json=sent, headers={"May": permission})
    assert answer.status_code < 500
