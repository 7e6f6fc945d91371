"""A registration that is sent again with its Idempotency-Key: the answer that was lost, and no second client."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, session
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from flask_dynreg import DynamicRegistration, RegistrationEndpoint, client_registered
from tests.access.test_doors import MUTUAL, PROXY, certificate, passed_on
from tests.access.test_signed_tokens import SIGNER
from tests.access.test_signed_tokens import token as signed_token
from tests.conformance.exchange import (
    CONFIDENTIAL,
    Client,
    bearer,
    delete,
    issue_token,
    read,
    refused,
    replaced,
    unauthorized,
)
from tests.conftest import CLIENT, MakeApp
from tests.hosts import heard
from tests.protocol.test_signed_requests import RULES, jwt, request
from tests.statements import statement, trusted

REGISTER = "/oauth2/register"
KEY, OTHER_KEY = "b7c1e0d2-6a0f-4d53-9d0e-0f6d3c1b9a44", "5f1e7c0a-2b0d-4c8e-8a67-3f0f3b8f0c11"
BOTH = ["open", "initial_access_token"]
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Server:
    """One that keeps answers; `between` comes when it has looked for one, and before it registers."""

    def __init__(self, make_app: MakeApp, url: str, **config: Any) -> None:
        self.between: Callable[[], object] = lambda: None
        server, self.db = self, SQLAlchemy()

        class Registration(RegistrationEndpoint):
            def extract_client_metadata(self, request: Any) -> dict[str, Any]:
                metadata = super().extract_client_metadata(request)
                server.between()
                return metadata

        self.dynreg = DynamicRegistration(self.db, registration_endpoint=Registration)
        self.dynreg.session_user(lambda: session.get("user"))
        settings = {"DYNREG_ACCESS": BOTH, "DYNREG_IDEMPOTENCY": True, "SECRET_KEY": "for the tests", **config}
        self.app: Flask = make_app(self.db, self.dynreg, SQLALCHEMY_DATABASE_URI=url, **settings)
        self.http = self.app.test_client()

    def post(self, key: str = KEY, token: str | None = None, body: object = CLIENT, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        headers = {"Idempotency-Key": key, **(bearer(token) if token else {}), **named}
        return self.http.post(REGISTER, json=body, headers=headers)

    def registered(self, *arguments: Any, **options: Any) -> Client:
        answer = self.post(*arguments, **options)
        assert answer.status_code == 201, answer.text
        client: Client = answer.get_json()
        return client

    def count(self, name: str = "client") -> int:
        with self.app.app_context():
            counted = select(func.count()).select_from(getattr(self.dynreg.models, name))
            return int(self.db.session.scalar(counted) or 0)


@pytest.fixture
def server(make_app: MakeApp, sqlite_url: str) -> Server:
    return Server(make_app, sqlite_url)


@pytest.fixture
def any_server(make_app: MakeApp, any_database_url: str) -> Server:
    """On each of the databases."""
    return Server(make_app, any_database_url)


def is_gone(answer: TestResponse) -> None:
    assert "not kept any more" in refused(answer, "invalid_request", status=409)["error_description"]
    assert "Retry-After" not in answer.headers


# ---- The same again


def test_the_answer_is_the_same_and_nothing_happens_twice(any_server: Server) -> None:
    told: list[str] = []
    with client_registered.connected_to(lambda sender, client_id, **_: told.append(client_id), any_server.app):
        answers = [any_server.post() for _ in range(3)]
    client = answers[0].get_json()
    assert {(answer.status_code, answer.data) for answer in answers} == {(201, answers[0].data)}
    assert len({tuple(answer.headers) for answer in answers}) == 1
    assert {"client_secret", "registration_access_token"} < client.keys() and told == [client["client_id"]]
    assert any_server.count() == any_server.count("event") == any_server.count("kept_answer") == 1
    assert read(any_server.http, client).status_code == 200


def test_another_key_is_another_client(server: Server) -> None:
    assert server.registered()["client_id"] != server.registered(OTHER_KEY)["client_id"]
    assert server.post().status_code == server.post(OTHER_KEY).status_code == 201
    assert server.count() == 2


def test_who_sends_no_key_registers_anew(server: Server) -> None:
    server.registered()
    answers = [server.http.post(REGISTER, json=CLIENT) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert (server.count(), server.count("kept_answer")) == (3, 1)


def test_it_is_off_unless_it_is_asked_for(make_app: MakeApp, sqlite_url: str) -> None:
    server = Server(make_app, sqlite_url, DYNREG_IDEMPOTENCY=False)
    assert [server.post(key).status_code for key in (KEY, KEY, "x")] == [201] * 3
    assert (server.count(), server.count("kept_answer")) == (3, 0)


def test_what_is_refused_may_be_sent_again_corrected_or_not(server: Server) -> None:
    for _ in range(2):
        refused(server.post(body={"redirect_uris": ["x"]}), "invalid_redirect_uri")
    assert server.count("kept_answer") == 0
    assert server.registered() == server.registered()


def test_another_body_needs_another_key(server: Server) -> None:
    client = server.registered()
    for body in (CONFIDENTIAL, CLIENT | {"client_name": "Other"}, {}):
        answer = server.post(body=body)
        assert "each needs its own" in refused(answer, "invalid_request", status=422)["error_description"]
    assert server.registered() == client and server.count() == 1


def test_the_body_is_the_same_byte_for_byte(server: Server) -> None:
    server.registered()
    for body in (json.dumps(CLIENT, indent=1), json.dumps(CLIENT) + " "):
        headers = {"Idempotency-Key": KEY, "Content-Type": "application/json"}
        assert server.http.post(REGISTER, data=body, headers=headers).status_code == 422
    plain = {"Idempotency-Key": KEY, "Content-Type": "text/plain"}
    refused(server.http.post(REGISTER, data=json.dumps(CLIENT), headers=plain), "invalid_request")


# ---- The header


@pytest.mark.parametrize("text", ["x" * 22, "x" * 255, "!#$%&'()*+-./:;<=>?@[]^_`{|}~", KEY])
def test_a_key_is_text_in_quotes_or_not(server: Server, text: str) -> None:
    client = server.registered(text)
    assert server.registered(f'"{text}"') == server.registered(f' \t"{text}" ') == client


@pytest.mark.parametrize(("quoted", "other"), [('"%s\\""', '"%s\\\\"'), ('"%s,"', '"%s;"')])
def test_in_quotes_it_may_have_any_visible_character(server: Server, quoted: str, other: str) -> None:
    assert server.registered(quoted % KEY) == server.registered(quoted % KEY) != server.registered(other % KEY)


@pytest.mark.parametrize(
    "header",
    [
        "",
        '""',
        "x" * 21,
        f'"{"x" * 21}"',
        '"' + '\\"' * 21 + '"',
        "x" * 256,
        f'"{"x" * 256}"',
        f'"{KEY}',
        f'{KEY}"',
        f'"{KEY}\\"',
        f'"{KEY}\\x"',
        f'"{KEY}" x',
        f'"{KEY}";a=1',
        f"{KEY} {KEY}",
        f'"{KEY} {KEY}"',
        f"{KEY}\t{KEY}",
        f"{KEY}\u00e9",
        f"{KEY},{OTHER_KEY}",
        f"{KEY}, {OTHER_KEY}",
        f'"{KEY}", "{OTHER_KEY}"',
        f'"{KEY}","{KEY}"',
    ],
)
def test_what_could_be_guessed_or_is_malformed_is_no_key(server: Server, header: str) -> None:
    body = refused(server.post(header), "invalid_request")
    assert "22 to 255 characters" in body["error_description"] and server.count() == 0


def test_two_headers_are_none(server: Server) -> None:
    twice = [("Idempotency-Key", KEY), ("Idempotency-Key", KEY)]
    refused(server.http.post(REGISTER, json=CLIENT, headers=twice), "invalid_request")


# ---- The answer is known to have arrived


@pytest.mark.parametrize("deed", ["read", "head", "update", "delete", "touch", "suspend", "operator_metadata"])
def test_what_has_arrived_is_not_given_again(any_server: Server, deed: str) -> None:
    http, client = any_server.http, any_server.registered()
    other = any_server.registered(OTHER_KEY)
    uri, own = client["registration_client_uri"], bearer(client["registration_access_token"])
    if deed == "read":
        assert read(http, client).status_code == 200
    elif deed == "head":
        assert http.head(uri, headers=own).status_code == 200
    elif deed == "update":
        replaced(http, client, **CLIENT)
    elif deed == "delete":
        assert delete(http, client).status_code == 204
    else:
        with any_server.app.app_context():
            by_hand(any_server.dynreg, deed, client["client_id"])
            any_server.db.session.commit()
    for _ in range(2):
        is_gone(any_server.post())
    assert any_server.count() == (1 if deed == "delete" else 2)
    assert any_server.registered(OTHER_KEY) == other


def by_hand(dynreg: DynamicRegistration, deed: str, client_id: str) -> None:
    if deed == "touch":
        client = dynreg.query_client(client_id)
        assert client
        client.touch()
    elif deed == "suspend":
        dynreg.suspend_client(client_id, "We look into it.")
    else:  # as a host's own code does it
        instance = dynreg.query_client(client_id)
        assert instance
        instance.set_client_metadata({**instance.client_metadata, "client_name": "Ours"})


def test_what_is_read_is_kept_no_longer(server: Server) -> None:
    client = server.registered()
    read(server.http, client)
    with server.app.app_context():
        assert server.db.session.scalars(select(server.dynreg.models.kept_answer.answer)).all() == [None]


def test_a_read_writes_nothing_where_nothing_is_kept(server: Server) -> None:
    client: Client = server.http.post(REGISTER, json=CLIENT).get_json()
    with server.app.app_context(), heard(server.db.engine) as words:
        read(server.http, client)
    assert words == ["SELECT", "SELECT"]
    with server.app.app_context():
        server.db.session.execute(update(server.dynreg.models.client).values(client_id_issued_at=1))
        server.db.session.commit()
        with heard(server.db.engine) as words:
            read(server.http, client)
    assert words == ["SELECT"]


def test_a_stranger_who_reads_in_vain_takes_nothing_away(server: Server) -> None:
    client = server.registered()
    assert server.http.get(client["registration_client_uri"], headers=bearer("x")).status_code == 401
    assert server.registered() == client


def test_an_id_that_is_given_anew_does_not_bring_an_answer_back(server: Server) -> None:
    client = server.registered()
    delete(server.http, client)
    with server.app.app_context():
        server.db.session.execute(server.db.delete(server.dynreg.models.tombstone))  # its time is over
        server.dynreg.create_client(CLIENT, client_id=client["client_id"])
        server.db.session.commit()
    is_gone(server.post())


def test_an_update_holds_nothing_while_it_may_have_to_fetch(make_app: MakeApp, sqlite_url: str) -> None:
    server = Server(make_app, sqlite_url, DYNREG_ACCESS=["open"])
    client = server.registered()
    with server.app.app_context(), heard(server.db.engine) as words:
        replaced(server.http, client, **CLIENT)
    assert words == ["SELECT", "UPDATE", "INSERT", "COMMIT"]


# ---- By whom


def test_a_token_is_used_once(any_server: Server) -> None:
    token = issue_token(any_server.app, uses=1)
    client = any_server.registered(token=token)
    assert any_server.registered(token=token) == client
    for key in (OTHER_KEY, KEY.upper()):
        unauthorized(any_server.post(key, token))
        unauthorized(any_server.post(key, token, body={}))
    unauthorized(any_server.http.post(REGISTER, json=CLIENT, headers=bearer(token)))
    with any_server.app.app_context():
        assert [known.uses for known in any_server.dynreg.initial_access_tokens()] == [1]
    assert any_server.count() == 1


@pytest.mark.parametrize("change", [{"revoked_at": 1}, {"expires_at": 1}])
def test_a_token_that_is_revoked_or_over_gets_nothing(server: Server, change: dict[str, int]) -> None:
    token = issue_token(server.app, uses=1)
    server.registered(token=token)
    with server.app.app_context():
        server.db.session.execute(update(server.dynreg.models.initial_access_token).values(**change))
        server.db.session.commit()
    unauthorized(server.post(token=token))


def test_a_key_belongs_to_the_token_that_it_came_with(server: Server) -> None:
    first, second = issue_token(server.app), issue_token(server.app)
    clients = [server.registered(token=token) for token in (first, second, None)]
    assert [server.registered(token=token) for token in (first, second, None)] == clients
    assert server.count() == 3
    unauthorized(server.post(token="x"))


def test_a_key_belongs_to_who_is_signed_in(make_app: MakeApp, sqlite_url: str) -> None:
    server = Server(make_app, sqlite_url, DYNREG_ACCESS=["open", "session"])
    clients = []
    for user in ("alice", "bob", "alice", None):
        with server.http.session_transaction() as cookie:
            cookie["user"] = user
        clients.append(server.registered(Sec_Fetch_Site="same-origin"))
    assert clients[0] == clients[2] and len({client["client_id"] for client in clients}) == 3


def test_a_key_belongs_to_whose_certificate_it_came_with(make_app: MakeApp, sqlite_url: str) -> None:
    server = Server(make_app, sqlite_url, DYNREG_ACCESS=["mutual_tls"], **MUTUAL)
    server.http.environ_base["REMOTE_ADDR"] = PROXY
    clients = [server.registered(Client_Cert=passed_on(certificate(name))) for name in ("a", "b", "a")]
    assert clients[0] == clients[2] != clients[1]


def test_a_token_that_somebody_else_signed_is_used_once(make_app: MakeApp, sqlite_url: str) -> None:
    server = Server(make_app, sqlite_url, DYNREG_TOKEN_ISSUERS=[trusted(SIGNER)])
    once = signed_token()
    assert server.registered(token=once) == server.registered(token=once)
    unauthorized(server.post(OTHER_KEY, once))
    assert server.count() == 1


@pytest.mark.parametrize("kind", ["one_time", "signed_requests"])
def test_a_statement_and_a_signed_request_are_used_once(make_app: MakeApp, sqlite_url: str, kind: str) -> None:
    issuer = trusted(one_time=True) if kind == "one_time" else trusted(signed_requests=RULES)
    server = Server(make_app, sqlite_url, DYNREG_ACCESS=["software_statement"], DYNREG_STATEMENT_ISSUERS=[issuer])
    stated = statement(jti="1", exp=2**40, redirect_uris=CLIENT["redirect_uris"])
    body, media = (
        (json.dumps({"software_statement": stated}), "json") if kind == "one_time" else (jwt(request()), "jwt")
    )

    def send(key: str) -> TestResponse:
        return server.http.post(
            REGISTER, data=body, headers={"Content-Type": f"application/{media}", "Idempotency-Key": key}
        )

    answers = [send(KEY) for _ in range(2)]
    assert answers[0].status_code == 201 and answers[0].data == answers[1].data
    assert send(OTHER_KEY).status_code == 400 and server.count() == 1


# ---- Counting


def test_every_request_counts_for_the_limits_and_one_for_the_quotas(make_app: MakeApp, sqlite_url: str) -> None:
    server = Server(make_app, sqlite_url, DYNREG_LIMITS=["address 3/hour"], DYNREG_QUOTAS={"open": 1})
    assert [server.post().status_code for _ in range(3)] == [201] * 3
    assert server.post(OTHER_KEY).status_code == 429


def test_a_full_quota_is_nothing_to_who_is_registered(make_app: MakeApp, sqlite_url: str) -> None:
    server = Server(make_app, sqlite_url, DYNREG_QUOTAS={"open": 1})
    client = server.registered()
    refused(server.post(OTHER_KEY), "access_denied", status=403)
    assert server.registered() == client


# ---- At the same time


@pytest.mark.parametrize("uses", [None, 1])
def test_who_comes_while_the_first_is_answered_is_told_to_come_again(any_server: Server, uses: int | None) -> None:
    token = issue_token(any_server.app, uses=uses) if uses else None
    first: list[TestResponse] = []

    def overtake() -> None:
        any_server.between = lambda: None
        with any_server.app.app_context():  # with a session of its own
            first.append(any_server.post(token=token))

    any_server.between = overtake
    late = any_server.post(token=token)
    assert refused(late, "temporarily_unavailable", status=409) and late.headers["Retry-After"] == "1"
    assert any_server.registered(token=token) == first[0].get_json()
    assert any_server.count() == 1 and any_server.count("event") == 1 + bool(uses)  # the token's is one as well


def test_a_token_that_another_key_uses_up_meanwhile_is_not_good(any_server: Server) -> None:
    token = issue_token(any_server.app, uses=1)

    def overtake() -> None:
        any_server.between = lambda: None
        with any_server.app.app_context():
            any_server.registered(OTHER_KEY, token)

    any_server.between = overtake
    unauthorized(any_server.post(token=token))
    assert any_server.count() == any_server.count("kept_answer") == 1


def test_a_preflight_allows_the_header(server: Server) -> None:
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    allowed = server.http.options(REGISTER, headers=headers).headers["Access-Control-Allow-Headers"]
    assert "Idempotency-Key" in allowed.split(", ")
