"""A client that has lost its registration access token gets a new one for its own key, and nobody else does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from flask_dynreg import client_recovered
from tests.conformance.exchange import MACHINE, PUBLIC, Client, delete, post, read, registered, update
from tests.conftest import ISSUER, SERVER_METADATA, MakeApp
from tests.hostile import json_values
from tests.protocol.hostile import bodies
from tests.protocol.test_rotation import TOKEN, Server, everything_of, token_of
from tests.statements import ec_key, forged, okp_key, public, rsa_key, signed

EC = ec_key("elliptic")
DAY = 86400
KEYED = {**MACHINE, "token_endpoint_auth_method": "private_key_jwt"}
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWKS_URI = "https://client.example/jwks.json"


@pytest.fixture
def server(make_app: MakeApp) -> Server:
    return Server(make_app, "update")


def keyed(server: Server, **metadata: Any) -> Client:
    return registered(server.http, **{**KEYED, "jwks": public(rsa_key(), EC), **metadata})


def claims(server: Server, client: Client, **changes: Any) -> dict[str, Any]:
    """A sound assertion, but for some claims; None leaves one out."""
    client_id, url = client["client_id"], client["registration_client_uri"]
    sound = {"iss": client_id, "sub": client_id, "aud": f"{url}/recover", "jti": uuid4().hex}
    whole = {**sound, "iat": server.now, "exp": server.now + 60, **changes}
    return {name: value for name, value in whole.items() if value is not None}


def send(server: Server, client: Client, assertion: Any, **members: Any) -> TestResponse:
    url = client["registration_client_uri"]
    return server.app.test_client().post(f"{url}/recover", json={"client_assertion": assertion, **members})


def recover(server: Server, client: Client, **changes: Any) -> TestResponse:
    return send(server, client, signed(claims(server, client, **changes)))


def refusal(server: Server) -> tuple[int, bytes, list[tuple[str, str]]]:
    """What everybody is told who proves nothing."""
    answer = server.http.post("/oauth2/clients/unknown/recover", json={})
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_client")
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["WWW-Authenticate"].startswith("Bearer")
    return everything_of(answer)


# ---- What is good


def test_a_client_gets_what_a_read_gives_and_a_new_token(make_app: MakeApp, any_database_url: str) -> None:
    server = Server(make_app, "update", any_database_url)
    client = keyed(server, client_name="Mine")
    kept = read(server.http, client)
    told: list[str] = []

    def receive(sender: Flask, client_id: str) -> None:
        told.append(client_id)

    with client_recovered.connected_to(receive, server.app):
        answer = recover(server, client)
    fresh = token_of(answer)
    assert fresh != client[TOKEN] and answer.headers["ETag"] == kept.headers["ETag"]
    assert answer.get_json() == {**kept.get_json(), TOKEN: fresh}
    assert token_of(server.read(client, fresh)) == fresh
    assert told == [client["client_id"]] and server.events() == ["registered", "recovered"]


def test_all_older_tokens_are_dead_and_known(server: Server) -> None:
    client = keyed(server)
    second = token_of(update(server.http, client, client))
    fresh = token_of(recover(server, client))
    assert [server.read(client, token).status_code for token in (client[TOKEN], second, fresh)] == [401, 401, 200]
    assert server.events() == ["registered", "updated", "recovered", "spent_token_used", "spent_token_used"]


def test_a_token_that_is_over_is_replaced(make_app: MakeApp) -> None:
    server = Server(make_app, "never", DYNREG_REGISTRATION_TOKEN_LIFETIME=100)
    client = keyed(server)
    server.now += 100
    fresh = token_of(recover(server, client))
    server.now += 99
    assert server.read(client, fresh).status_code == 200
    server.now += 1
    assert server.read(client, fresh).status_code == 401


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "client-authentication+jwt", "application/JWT"])
@pytest.mark.parametrize("members", [{}, {"client_assertion_type": JWT_BEARER}])
def test_an_assertion_is_as_for_the_token_endpoint(server: Server, typ: str | None, members: dict[str, str]) -> None:
    client = keyed(server)
    for key, alg in ((rsa_key(), "RS256"), (EC, "ES256")):
        assertion = signed(claims(server, client), key, alg=alg, typ=typ)
        assert send(server, client, assertion, **members).status_code == 200


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("registered_alg", ["EdDSA", None])
def test_ed25519_has_two_names(server: Server, alg: str, registered_alg: str | None) -> None:
    stated = {"token_endpoint_auth_signing_alg": registered_alg} if registered_alg else {}
    client = keyed(server, jwks=public(okp_key()), **stated)
    assert send(server, client, signed(claims(server, client), okp_key(), alg=alg)).status_code == 200


@pytest.mark.parametrize(
    "change",
    [{"iat": -300}, {"iat": 30}, {"exp": -29}, {"exp": 10 * DAY}, {"nbf": 30}],
    ids=str,
)
def test_clocks_may_differ_a_little(server: Server, change: dict[str, int]) -> None:
    client = keyed(server)
    times = {name: server.now + seconds for name, seconds in change.items()}
    assert recover(server, client, **times).status_code == 200


def test_an_audience_may_be_a_list_of_one(server: Server) -> None:
    client = keyed(server)
    assert recover(server, client, aud=[f"{client['registration_client_uri']}/recover"]).status_code == 200


# ---- What is not


WRONG_TEXTS: list[Any] = ["", "other", 1, [], {}]
WRONG_TIMES: list[Any] = ["soon", True, [], {}]
CLAIMS: list[dict[str, Any]] = [
    *({name: None} for name in ("iss", "sub", "aud", "jti", "iat", "exp")),
    *({name: value} for name in ("iss", "sub", "aud") for value in WRONG_TEXTS),
    *({"jti": value} for value in WRONG_TEXTS if value != "other"),
    *({name: value} for name in ("iat", "exp", "nbf") for value in WRONG_TIMES),
    {"aud": ISSUER},
    {"aud": f"{ISSUER}/oauth2/token"},
    {"aud": "{url}"},
    {"aud": "{url}/recover/"},
    {"aud": "{url}/recover?x"},
    {"aud": ["{url}/recover", ISSUER]},
    {"aud": ["{url}/recover", "{url}/recover"]},
    *({"iat": seconds} for seconds in (-301, 31)),
    *({"exp": seconds} for seconds in (-30, -31, -1000)),
    {"nbf": 31},
    {"iat": 10**400},
    {"exp": -(10**400)},
]


@pytest.mark.parametrize("change", CLAIMS, ids=lambda change: str(change)[:40])
def test_a_claim_that_is_wrong_spoils_an_assertion(server: Server, change: dict[str, Any]) -> None:
    client = keyed(server)
    url = client["registration_client_uri"]

    def filled(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [filled(name, each) for each in value]
        if isinstance(value, str):
            return value.replace("{url}", url)
        return server.now + value if name in ("iat", "exp", "nbf") and type(value) is int else value

    answer = recover(server, client, **{name: filled(name, value) for name, value in change.items()})
    assert everything_of(answer) == refusal(server)
    assert server.events() == ["registered"] and server.read(client, client[TOKEN]).status_code == 200


Make = Callable[[Server, Client], Any]
ASSERTIONS: dict[str, Make] = {
    "none": lambda server, client: None,
    "number": lambda server, client: 1,
    "list": lambda server, client: [signed(claims(server, client))],
    "empty": lambda server, client: "",
    "garbage": lambda server, client: "a.b.c",
    "two": lambda server, client: " ".join([signed(claims(server, client))] * 2),
    "no object": lambda server, client: signed("[]"),
    "unsigned": lambda server, client: forged({"alg": "none"}, claims(server, client)),
    "MAC of a public key": lambda server, client: forged(
        {"alg": "HS256"}, claims(server, client), rsa_key().as_pem(private=False)
    ),
    "key of somebody else": lambda server, client: signed(claims(server, client), rsa_key("other")),
    "kid of the client": lambda server, client: signed(claims(server, client), rsa_key("other"), kid=rsa_key().kid),
    "cut off": lambda server, client: signed(claims(server, client))[:-4] + "AAAA",
    "algorithm that is not taken": lambda server, client: signed(claims(server, client), alg="PS256"),
    "algorithm of another key": lambda server, client: signed(claims(server, client), EC, alg="ES256").replace(
        signed({}, alg="ES256", key=EC).partition(".")[0], signed({}).partition(".")[0]
    ),
    "access token": lambda server, client: signed(claims(server, client), typ="at+jwt"),
    "initial access token": lambda server, client: signed(claims(server, client), typ="initial-access-token+jwt"),
    "of no type": lambda server, client: signed(claims(server, client), typ=""),
    "critical": lambda server, client: signed(claims(server, client), crit=["exp"]),
}


@pytest.mark.parametrize("name", ASSERTIONS)
def test_what_is_no_assertion_of_the_client_is_refused(server: Server, name: str) -> None:
    client = keyed(server)
    assert everything_of(send(server, client, ASSERTIONS[name](server, client))) == refusal(server)
    assert server.events() == ["registered"]


BODIES: dict[str, dict[str, Any]] = {
    "no JSON": {"data": b"{", "content_type": "application/json"},
    "form": {"data": {"client_assertion": "{}"}},
    "list": {"json": []},
    "empty": {"data": b""},
    "too large": {"data": b" " * 70_000, "content_type": "application/json"},
    "twice": {"data": b'{"client_assertion": "a", "client_assertion": "a"}', "content_type": "application/json"},
    "JWT": {"data": signed({"iss": "x"}), "content_type": "application/jwt"},
}


@pytest.mark.parametrize("name", BODIES)
def test_what_is_no_request_is_refused(server: Server, name: str) -> None:
    client = keyed(server)
    answer = server.http.post(f"{client['registration_client_uri']}/recover", **BODIES[name])
    assert everything_of(answer) == refusal(server)


@pytest.mark.parametrize("kind", ["", None, 1, "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"])
def test_an_assertion_is_of_one_type(server: Server, kind: Any) -> None:
    client = keyed(server)
    answer = send(server, client, signed(claims(server, client)), client_assertion_type=kind)
    assert everything_of(answer) == refusal(server)


def test_a_signed_request_is_no_way_around(make_app: MakeApp) -> None:
    """Where such are taken for registrations."""
    trusted = {"issuer": "https://directory.example", "jwks": public(rsa_key("directory"))}
    requests = {"signed_requests": {"issuer": "software_id", "keys": "software_jwks_endpoint"}}
    server = Server(make_app, "never", DYNREG_STATEMENT_ISSUERS=[trusted | requests])
    client = keyed(server)
    body = signed({"iss": "x", "client_assertion": signed(claims(server, client))})
    url = f"{client['registration_client_uri']}/recover"
    answer = server.http.post(url, data=body, content_type="application/jwt")
    assert everything_of(answer) == refusal(server)


def test_an_assertion_is_good_once(make_app: MakeApp, any_database_url: str) -> None:
    server = Server(make_app, "never", any_database_url)
    client, other = keyed(server), keyed(server)
    assertion = signed(claims(server, client, jti="1"))
    fresh = token_of(send(server, client, assertion))
    for again in (assertion, signed(claims(server, client, jti="1", iat=server.now - 1))):
        assert everything_of(send(server, client, again)) == refusal(server)
    assert server.read(client, fresh).status_code == 200
    assert recover(server, other, jti="1").status_code == 200
    assert recover(server, client, jti="2").status_code == 200


def test_one_that_is_used_by_many_at_once_is_good_once(make_app: MakeApp, any_database_url: str) -> None:
    server = Server(make_app, "never", any_database_url)
    client, together = keyed(server), Barrier(6)
    assertion = signed(claims(server, client))

    def ask(_: int) -> TestResponse:
        together.wait(30)
        return send(server, client, assertion)

    with ThreadPoolExecutor(together.parties) as pool:
        answers = list(pool.map(ask, range(together.parties)))
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 5]
    assert server.events() == ["registered", "recovered"]


def test_of_several_proofs_at_once_each_is_good_and_the_last_token_lives(
    make_app: MakeApp, any_database_url: str
) -> None:
    server = Server(make_app, "never", any_database_url)
    client, together = keyed(server), Barrier(4)

    def ask(_: int) -> str:
        together.wait(30)
        return token_of(recover(server, client))

    with ThreadPoolExecutor(together.parties) as pool:
        tokens = list(pool.map(ask, range(together.parties)))
    assert sorted(server.read(client, token).status_code for token in tokens) == [200, *[401] * 3]


def test_only_a_client_that_uses_its_keys_is_recovered(server: Server) -> None:
    jwks = public(rsa_key())
    for method in ("client_secret_basic", "client_secret_post", "none"):
        grants = {"grant_types": ["authorization_code"], "redirect_uris": PUBLIC["redirect_uris"]}
        client = registered(server.http, **grants, token_endpoint_auth_method=method, jwks=jwks)
        assert everything_of(recover(server, client)) == refusal(server)


def test_only_a_client_that_is_there_and_active_is_recovered(server: Server) -> None:
    gone, suspended, other = keyed(server), keyed(server), keyed(server)
    assert delete(server.http, gone).status_code == 204
    with server.app.app_context():
        server.dynreg.suspend_client(suspended["client_id"], "x")
        server.db.session.commit()
    assert everything_of(recover(server, gone)) == everything_of(recover(server, suspended)) == refusal(server)
    for place in ("x" * 300, "%C3%A9", "%00", "a/b", "%FF", "%0A", other["client_id"] + "%20"):
        elsewhere = other | {"registration_client_uri": f"{ISSUER}/oauth2/clients/{place}"}
        assert everything_of(recover(server, elsewhere)) == refusal(server)


def test_the_registered_algorithm_is_the_only_one(server: Server) -> None:
    client = keyed(server, token_endpoint_auth_signing_alg="ES256")
    assert everything_of(recover(server, client)) == refusal(server)
    assert send(server, client, signed(claims(server, client), EC, alg="ES256")).status_code == 200


# ---- The endpoint


def test_it_takes_post_alone_and_is_off_where_nobody_manages_clients(make_app: MakeApp, server: Server) -> None:
    client = keyed(server)
    url = f"{client['registration_client_uri']}/recover"
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        answer = server.http.open(url, method=method, headers={"Authorization": f"Bearer {client[TOKEN]}"})
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")
    preflight = server.http.options(url, headers={"Origin": ISSUER})
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
    off = make_app(DYNREG_MANAGEMENT=[]).test_client()
    for method in ("POST", "GET", "OPTIONS"):
        answer = off.open("/oauth2/clients/x/recover", method=method, json={})
        assert (answer.status_code, answer.mimetype) == (404, "application/json")
    part = Server(make_app, "never", DYNREG_MANAGEMENT=["delete"])
    assert recover(part, keyed(part)).status_code == 200


def test_an_address_tries_so_often(make_app: MakeApp) -> None:
    server = Server(make_app, "never", DYNREG_LIMITS=["address 3/hour"])
    client = keyed(server)
    assert [recover(server, client, iat=1).status_code for _ in range(3)] == [401, 401, 429]
    assert recover(server, client).status_code == 429


def test_an_answer_that_is_kept_is_not_repeated_when_its_token_is_dead(make_app: MakeApp) -> None:
    server = Server(make_app, "never", DYNREG_IDEMPOTENCY=True)
    key = {"Idempotency-Key": "a-key-of-22-characters"}
    metadata = {**KEYED, "jwks": public(rsa_key())}
    client = post(server.http, metadata, **key).get_json()
    assert recover(server, client).status_code == 200
    assert post(server.http, metadata, **key).status_code == 409


def test_the_url_is_that_of_an_app_that_is_mounted_elsewhere(make_app: MakeApp) -> None:
    issuer = {"issuer": f"{ISSUER}/tenant"}
    server = Server(make_app, "never", APPLICATION_ROOT="/tenant", DYNREG_SERVER_METADATA=SERVER_METADATA | issuer)
    client = keyed(server)
    assert client["registration_client_uri"].startswith(f"{ISSUER}/tenant/oauth2/clients/")
    path = f"/oauth2/clients/{client['client_id']}/recover"
    assertion = signed(claims(server, client))
    assert server.http.post(path, json={"client_assertion": assertion}).status_code == 200


many = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(body=bodies)
def test_any_body_is_refused_alike(server: Server, body: bytes) -> None:
    answer = server.http.post("/oauth2/clients/x/recover", data=body, content_type="application/json")
    assert everything_of(answer) == refusal(server)


@many
@given(name=st.sampled_from(["iss", "sub", "aud", "iat", "exp", "nbf", "jti", "x"]), value=json_values)
def test_any_value_of_a_claim_is_an_answer(server: Server, name: str, value: Any) -> None:
    answer = recover(server, keyed(server), **{name: value})
    assert answer.status_code in ((401,) if name in ("iss", "sub", "aud") else (200, 401))


@many
@given(value=json_values, name=st.sampled_from(["alg", "typ", "kid", "cty", "crit", "x"]))
def test_any_value_of_a_header_is_an_answer(server: Server, name: str, value: Any) -> None:
    client = keyed(server)
    answer = send(server, client, forged({"alg": "RS256", name: value}, claims(server, client), b"x"))
    assert everything_of(answer) == refusal(server)
