"""The client configuration endpoint: what an update does to a secret, which methods there are, and the one 401."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from joserfc.jwk import ECKey
from werkzeug.test import TestResponse

from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import Client, bearer, delete, issue_token, read, registered, replaced, update
from tests.conftest import CLIENT, ISSUER, SERVER_METADATA, MakeApp, Register

OLD_KEY, NEW_KEY = "A" * 42 + "E=", "B" * 42 + "E="
METHODS = ["client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"]
EVERY_METHOD = SERVER_METADATA | {
    "token_endpoint_auth_methods_supported": METHODS,
    "token_endpoint_auth_signing_alg_values_supported": ["ES256", "HS256"],
}
PUBLIC_KEYS = {"keys": [ECKey.generate_key("P-256", {"kid": "1"}).as_dict(private=False)]}
SECRET = {"client_secret", "client_secret_expires_at"}


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """An app, and whether it takes a secret."""

    def __init__(self, make_app: MakeApp, url: str = "sqlite://", **config: Any) -> None:
        self.clock = Clock()
        db = SQLAlchemy()
        self.dynreg = DynamicRegistration(db, clock=self.clock)
        self.app = make_app(db, self.dynreg, SQLALCHEMY_DATABASE_URI=url, **config)
        self.http = self.app.test_client()

    def takes(self, client: Client, secret: str) -> bool:
        with self.app.app_context():
            found = self.dynreg.query_client(client["client_id"])
            assert found
            return found.check_client_secret(secret)


def using(method: str) -> dict[str, Any]:
    """Metadata of a client with this authentication method."""
    keys = {"jwks": PUBLIC_KEYS} if method == "private_key_jwt" else {}
    return {**CLIENT, **keys, "token_endpoint_auth_method": method}


# ---- Sending back what one got


@pytest.mark.parametrize("keys", [[], [NEW_KEY]], ids=["digests", "encrypted"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"])
def test_a_client_sends_back_its_own_answer_and_nothing_changes(
    make_app: MakeApp, keys: list[str], method: str
) -> None:
    server = Server(make_app, DYNREG_SECRET_KEYS=keys, DYNREG_CLIENT_SECRET_LIFETIME=3600)
    client = registered(server.http, **using(method), client_name="Mine", scope="mcp:read")
    kept = read(server.http, client).get_json()
    server.clock.now += 60
    for sent in (client, kept, kept):
        answer = update(server.http, client, sent)
        assert (answer.status_code, answer.get_json()) == (200, kept)
    if "client_secret" in client:
        assert server.takes(client, client["client_secret"])


def test_of_two_answers_only_ones_own_can_be_sent_back(http: FlaskClient, register: Register) -> None:
    mine, other = register(client_name="Mine"), register(client_name="Other")
    for name in ("client_id", "client_secret", "registration_access_token", "registration_client_uri"):
        answer = update(http, mine, {**mine, name: other[name]})
        assert answer.status_code == 400
        assert answer.get_json()["errors"][0]["pointer"] == f"/{name}"
    assert read(http, mine).get_json()["client_name"] == "Mine"


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_empty_text_are_no_value_at_all(http: FlaskClient, register: Register, nothing: str | None) -> None:
    client = register(client_name="Mine")
    set_by_the_server = [
        *("client_secret", "client_secret_expires_at", "client_id_issued_at"),
        *("registration_access_token", "registration_client_uri"),
    ]
    information = replaced(http, client, **CLIENT, **dict.fromkeys(set_by_the_server, nothing))
    assert "client_name" not in information and information == read(http, client).get_json()


@pytest.mark.parametrize("value", [True, False, 1.0, 0.0, "0", [0], []])
def test_a_time_is_ones_own_only_as_the_number_it_is(http: FlaskClient, register: Register, value: Any) -> None:
    client = register()
    assert client["client_secret_expires_at"] == 0
    answer = update(http, client, {**client, "client_secret_expires_at": value})
    assert (answer.status_code, answer.get_json()["errors"][0]["pointer"]) == (400, "/client_secret_expires_at")


# ---- The secret


def test_a_secret_goes_with_the_method_that_needs_it_and_a_new_one_comes(make_app: MakeApp) -> None:
    server = Server(make_app)
    client = registered(server.http, **using("client_secret_basic"))
    first = client["client_secret"]
    kept = replaced(server.http, client, **using("client_secret_post"))
    assert not SECRET & kept.keys() and server.takes(client, first)
    for method in ("none", "private_key_jwt"):
        public = replaced(server.http, client, **using(method))
        assert not SECRET & public.keys() and not SECRET & read(server.http, client).get_json().keys()
        assert not server.takes(client, first)
        assert update(server.http, client, {**public, "client_secret": first}).status_code == 400
        again = replaced(server.http, client, **using("client_secret_basic"))
        assert again["client_secret_expires_at"] == 0 and again["client_secret"] != first
        assert server.takes(client, again["client_secret"]) and not server.takes(client, first)
        first = again["client_secret"]


def test_a_secret_that_is_kept_encrypted_is_repeated(make_app: MakeApp) -> None:
    server = Server(make_app, DYNREG_SECRET_KEYS=[NEW_KEY])
    client = registered(server.http, **using("client_secret_basic"))
    assert read(server.http, client).get_json() == client
    assert replaced(server.http, client, **CLIENT) == client
    assert not SECRET & replaced(server.http, client, **using("none")).keys()
    fresh = replaced(server.http, client, **using("client_secret_basic"))
    assert fresh["client_secret"] != client["client_secret"]
    assert read(server.http, client).get_json() == fresh


def test_a_secret_that_signs_is_long_enough_for_every_algorithm(make_app: MakeApp) -> None:
    server = Server(make_app, DYNREG_SECRET_KEYS=[NEW_KEY], DYNREG_SERVER_METADATA=EVERY_METHOD)
    signing = registered(server.http, **using("client_secret_jwt"))
    assert len(signing["client_secret"].encode()) >= 64
    client = registered(server.http, **using("client_secret_basic"))
    changed = replaced(server.http, client, **using("client_secret_jwt"))
    assert len(changed["client_secret"].encode()) >= 64
    assert server.takes(client, changed["client_secret"]) and not server.takes(client, client["client_secret"])
    assert replaced(server.http, client, **using("client_secret_jwt")) == changed
    kept = replaced(server.http, client, **using("client_secret_basic"))
    assert kept["client_secret"] == changed["client_secret"]


def test_keys_are_rotated_by_putting_a_new_one_in_front(make_app: MakeApp, sqlite_url: str) -> None:
    plain = Server(make_app, sqlite_url)
    digested = registered(plain.http, **CLIENT)
    old = Server(make_app, sqlite_url, DYNREG_SECRET_KEYS=[OLD_KEY])
    client = registered(old.http, **CLIENT)
    both = Server(make_app, sqlite_url, DYNREG_SECRET_KEYS=[NEW_KEY, OLD_KEY])
    assert read(both.http, client).get_json() == client
    newer = registered(both.http, **CLIENT)
    assert both.takes(client, client["client_secret"]) and both.takes(newer, newer["client_secret"])
    new = Server(make_app, sqlite_url, DYNREG_SECRET_KEYS=[NEW_KEY])
    assert read(new.http, newer).get_json() == newer
    assert not SECRET & read(new.http, client).get_json().keys()
    assert not new.takes(client, client["client_secret"])
    for server in (plain, old, both, new):
        assert server.takes(digested, digested["client_secret"])
        assert not SECRET & read(server.http, digested).get_json().keys()
    assert not plain.takes(client, client["client_secret"])


def test_a_secret_has_its_lifetime_from_when_it_was_issued(make_app: MakeApp) -> None:
    server = Server(make_app, DYNREG_CLIENT_SECRET_LIFETIME=100)
    client = registered(server.http, **CLIENT)
    assert client["client_secret_expires_at"] == client["client_id_issued_at"] + 100 == 1_000_100
    server.clock.now += 50
    replaced(server.http, client, **CLIENT)
    assert server.takes(client, client["client_secret"])
    server.clock.now += 50
    assert not server.takes(client, client["client_secret"])
    assert read(server.http, client).status_code == 200  # the client still manages itself
    replaced(server.http, client, **using("none"))
    renewed = replaced(server.http, client, **CLIENT)
    assert renewed["client_secret_expires_at"] == 1_000_200
    assert renewed["client_id_issued_at"] == client["client_id_issued_at"]
    assert server.takes(client, renewed["client_secret"])


def test_a_secret_that_is_over_is_replaced_by_an_update(make_app: MakeApp) -> None:
    server = Server(make_app, DYNREG_CLIENT_SECRET_LIFETIME=100)
    client = registered(server.http, **CLIENT)
    server.clock.now += 100
    assert not SECRET & read(server.http, client).get_json().keys()  # a read issues nothing
    renewed = update(server.http, client, client).get_json()
    assert renewed["client_secret"] != client["client_secret"]
    assert renewed["client_secret_expires_at"] == 1_000_200
    assert server.takes(client, renewed["client_secret"]) and not server.takes(client, client["client_secret"])
    assert not SECRET & replaced(server.http, client, **CLIENT).keys()


def test_a_secret_that_no_key_opens_is_replaced_by_an_update(make_app: MakeApp, sqlite_url: str) -> None:
    client = registered(Server(make_app, sqlite_url, DYNREG_SECRET_KEYS=[OLD_KEY]).http, **CLIENT)
    server = Server(make_app, sqlite_url, DYNREG_SECRET_KEYS=[NEW_KEY])
    renewed = replaced(server.http, client, **CLIENT)
    assert renewed["client_secret"] != client["client_secret"]
    assert server.takes(client, renewed["client_secret"])
    assert read(server.http, client).get_json() == renewed


def test_nothing_secret_is_in_the_database_in_the_clear(make_app: MakeApp, sqlite_url: str) -> None:
    for keys in ([], [NEW_KEY]):
        server = Server(make_app, sqlite_url, DYNREG_SECRET_KEYS=keys)
        client = registered(server.http, **CLIENT)
        kept = Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()
        for name in ("client_secret", "registration_access_token"):
            assert client[name].encode() not in kept
        assert client["client_id"].encode() in kept


# ---- Methods

OPERATIONS = {"read": ["GET", "HEAD"], "update": ["PUT"], "delete": ["DELETE"]}
SUBSETS = [list(subset) for size in (1, 2, 3) for subset in combinations(OPERATIONS, size)]


@pytest.mark.parametrize("subset", SUBSETS, ids="-".join)
def test_management_can_be_had_in_part(make_app: MakeApp, subset: list[str]) -> None:
    http = make_app(DYNREG_MANAGEMENT=subset).test_client()
    client = registered(http, **CLIENT)
    path, headers = client["registration_client_uri"], bearer(client["registration_access_token"])
    allowed = [method for operation in subset for method in OPERATIONS[operation]]
    for method in ("POST", "PATCH", "GET", "HEAD", "PUT", "DELETE"):
        answer = http.open(path, method=method, headers=headers, json=CLIENT | {"client_id": client["client_id"]})
        if method in allowed:
            assert answer.status_code in (200, 204)
        else:
            assert answer.status_code == 405
            assert set(answer.headers["Allow"].split(", ")) == {*allowed, "OPTIONS"}
    preflight = http.options(path, headers={"Origin": ISSUER, "Access-Control-Request-Method": "PUT"})
    assert set(preflight.headers["Access-Control-Allow-Methods"].split(", ")) == set(allowed)


def test_management_can_be_off(make_app: MakeApp) -> None:
    http = make_app(DYNREG_MANAGEMENT=[]).test_client()
    client = registered(http, **CLIENT)
    assert not {"registration_client_uri", "registration_access_token"} & client.keys()
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST"):
        answer = http.open(f"/oauth2/clients/{client['client_id']}", method=method, headers=bearer("x"))
        assert (answer.status_code, answer.mimetype) == (404, "application/json")


def test_head_is_get_without_its_body(http: FlaskClient, register: Register) -> None:
    client = register()
    path = client["registration_client_uri"]
    for headers in (bearer(client["registration_access_token"]), bearer("wrong"), {}):
        got, head = http.get(path, headers=headers), http.head(path, headers=headers)
        assert head.status_code == got.status_code and head.data == b""
        assert head.headers == got.headers


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), {"Origin": "https://app.example"}])
def test_options_tells_the_methods_and_asks_for_no_token(
    http: FlaskClient, register: Register, headers: dict[str, str]
) -> None:
    for path, allowed in (
        (register()["registration_client_uri"], "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("/oauth2/clients/unknown", "GET, HEAD, PUT, DELETE, OPTIONS"),
        ("/oauth2/register", "POST, OPTIONS"),
    ):
        answer = http.options(path, headers=headers)
        assert (answer.status_code, answer.data, answer.headers["Allow"]) == (204, b"", allowed)
        assert "Content-Type" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PATCH", "TRACE", "CONNECT", "PROPFIND", "PURGE"])
def test_unknown_methods_are_405_and_change_nothing(http: FlaskClient, register: Register, method: str) -> None:
    client = register(client_name="Mine")
    headers = bearer(client["registration_access_token"])
    answer = http.open(client["registration_client_uri"], method=method, headers=headers)
    assert (answer.status_code, answer.get_json()["error"]) == (405, "invalid_request")
    assert read(http, client).get_json()["client_name"] == "Mine"


# ---- One answer to all who may not


def everything_of(answer: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    return answer.status_code, answer.data, [pair for pair in answer.headers if pair[0] != "Date"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("body", [b"", b"{", b'{"client_id": "x"}', b"[" * 70_000], ids=len)
def test_one_401_for_every_token_that_is_not_this_clients(
    app: Flask, http: FlaskClient, register: Register, method: str, body: bytes
) -> None:
    client, other, gone = register(), register(), register()
    assert delete(http, gone).status_code == 204
    token, path = client["registration_access_token"], f"/oauth2/clients/{client['client_id']}"
    pairs = [
        *(
            (path, wrong)
            for wrong in ("x", token[:-1], token + "x", token.upper(), "dynreg_rat_", "a" * 300, "-._~+/=")
        ),
        *((path, owner["registration_access_token"]) for owner in (other, gone)),
        (path, client["client_secret"]),
        *((f"/oauth2/clients/{client_id}", token) for client_id in (other["client_id"], gone["client_id"], "unknown")),
        *(
            (f"/oauth2/clients/{odd}", token)
            for odd in ("x" * 300, "%C3%A9", "%00", "a/b", "%2e%2e", "%FF", " ", "%0A")
        ),
        (f"{path}/", token),
        (f"{path}%20", token),
        (path.upper().replace("OAUTH2/CLIENTS", "oauth2/clients") + "%00", token),
        (f"/oauth2/clients/{gone['client_id']}", gone["registration_access_token"]),
    ]
    answers = [
        everything_of(http.open(path, method=method, headers=bearer(token), data=body, content_type="application/json"))
        for path, token in pairs
    ]
    assert answers[0][0] == 401
    challenge = dict(answers[0][2])["WWW-Authenticate"]
    assert 'error="invalid_token"' in challenge and 'realm="' in challenge
    assert [pair for pair, answer in zip(pairs, answers, strict=True) if answer != answers[0]] == []
    assert read(http, client).status_code == 200


def test_one_401_for_every_initial_access_token_that_is_not_good(make_app: MakeApp, sqlite_url: str) -> None:
    config: dict[str, Any] = {"DYNREG_ACCESS": ["initial_access_token"]}
    elsewhere = Server(
        make_app, sqlite_url, **config, DYNREG_SERVER_METADATA=SERVER_METADATA | {"issuer": "https://other.example"}
    )
    server = Server(make_app, sqlite_url, **config)
    used_up, over = issue_token(server.app, uses=1), issue_token(server.app, expires_in=10)
    client = server.http.post("/oauth2/register", json=CLIENT, headers=bearer(used_up)).get_json()
    server.clock.now += 10
    tokens = [
        *("x", used_up, over, issue_token(elsewhere.app), client["registration_access_token"], client["client_secret"]),
        *(used_up[:-1], used_up + "x", "dynreg_iat_" + "A" * 49, used_up.replace("iat", "rat")),
    ]
    answers = [
        everything_of(server.http.post("/oauth2/register", json=CLIENT, headers=bearer(token))) for token in tokens
    ]
    assert answers[0][0] == 401
    assert [token for token, answer in zip(tokens, answers, strict=True) if answer != answers[0]] == []
    assert everything_of(server.http.get("/oauth2/clients/unknown", headers=bearer("x")))[1] == answers[0][1]
