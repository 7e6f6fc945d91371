"""With which keys a client is recovered: those that it has had for a day, wherever they lie."""

import logging
from typing import Any

import pytest
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration, Fetched, FetchError
from tests.conformance.exchange import PUBLIC, Client, registered, update
from tests.conftest import ISSUER, MakeApp
from tests.hosts import heard
from tests.protocol.test_recovery import DAY, EC, JWKS_URI, KEYED, claims, keyed, recover, refusal, send
from tests.protocol.test_rotation import TOKEN, Server, everything_of
from tests.statements import ec_key, public, rsa_key, signed


@pytest.fixture
def server(make_app: MakeApp) -> Server:
    return Server(make_app, "update")


# ---- Keys that have changed


@pytest.mark.parametrize(
    "keys",
    [{"jwks": public(rsa_key(), ec_key("new"))}, {"jwks_uri": JWKS_URI}],
    ids=["jwks", "jwks_uri"],
)
def test_for_a_day_after_its_keys_have_changed_nobody_is_recovered(make_app: MakeApp, keys: dict[str, Any]) -> None:
    server = Keys(make_app)
    client = keyed(server)
    server.now += 1
    changed = server.update(client, client[TOKEN], **KEYED, **keys)
    assert changed.status_code == 200
    for wait in (0, DAY // 2, DAY // 2):
        server.now += wait
        assert everything_of(recover(server, client)) == refusal(server)
    server.now += 1
    assert recover(server, client).status_code == 200


def test_a_thief_who_gives_a_client_keys_has_to_wait_as_well(server: Server) -> None:
    client = registered(server.http, **PUBLIC)
    assert server.update(client, client[TOKEN], **KEYED, jwks=public(rsa_key())).status_code == 200
    assert everything_of(recover(server, client)) == refusal(server)


def test_an_update_that_leaves_the_keys_is_no_change_of_them(server: Server) -> None:
    client = keyed(server)
    assert update(server.http, client, {**client, "client_name": "New"}).status_code == 200
    assert server.row(client).keys_changed_at is None
    assert recover(server, client).status_code == 200


def test_a_change_that_an_operator_approves_of_counts_from_then(make_app: MakeApp) -> None:
    server = Server(make_app, "never", DYNREG_POLICIES=["approval"])
    client = keyed(server)
    with server.app.app_context():
        server.dynreg.approve_client(client["client_id"], "x", version=1)
        server.db.session.commit()
    assert server.update(client, client[TOKEN], **KEYED, jwks=public(EC)).status_code == 200
    assert server.row(client).keys_changed_at is None
    server.now += DAY
    with server.app.app_context():
        server.dynreg.approve_client(client["client_id"], "x", version=3)
        server.db.session.commit()
    assert server.row(client).keys_changed_at == server.now


# ---- Keys that lie elsewhere


class Keys(Server):
    """With a fetcher of the host's, which counts."""

    def __init__(self, make_app: MakeApp, **config: Any) -> None:
        self.now = 1_000_000
        self.asked = 0
        self.failure: FetchError | None = None
        self.db = SQLAlchemy()
        self.dynreg = DynamicRegistration(self.db, clock=lambda: self.now, fetcher=self.fetch)
        self.app = make_app(self.db, self.dynreg, **config)
        self.http = self.app.test_client()

    def fetch(self, url: str, *, client_id: str | None = None) -> Fetched:
        self.asked += 1
        if self.failure:
            raise self.failure
        body = self.app.json.dumps(public(rsa_key()))
        return Fetched(body.encode(), "application/json", None)


@pytest.fixture
def elsewhere(make_app: MakeApp) -> Keys:
    return Keys(make_app)


def at_uri(server: Keys, **metadata: Any) -> Client:
    return registered(server.http, **KEYED, jwks_uri=JWKS_URI, **metadata)


def test_keys_are_fetched_for_an_assertion_alone_that_may_be_good(elsewhere: Keys) -> None:
    client = at_uri(elsewhere, token_endpoint_auth_signing_alg="RS256")
    for wrong in ({"exp": 1}, {"iat": 1}, {"aud": ISSUER}, {"iss": "other"}, {"sub": "other"}, {"jti": None}):
        assert recover(elsewhere, client, **wrong).status_code == 401
    sound = claims(elsewhere, client)
    for assertion in (signed(sound, typ="at+jwt"), signed(sound, alg="PS256"), signed(sound, EC, alg="ES256")):
        assert send(elsewhere, client, assertion).status_code == 401
    assert elsewhere.asked == 0
    assert recover(elsewhere, client).status_code == 200 and elsewhere.asked == 1


def test_an_assertion_that_is_no_good_costs_no_statement(server: Server) -> None:
    client = keyed(server)
    with server.app.app_context():
        engine = server.db.engine
    with heard(engine) as words:
        recover(server, client, iat=1)
    assert words == []


def test_keys_that_cannot_be_fetched_now_are_a_503_and_use_nothing_up(elsewhere: Keys) -> None:
    client = at_uri(elsewhere)
    assertion = signed(claims(elsewhere, client))
    elsewhere.failure = FetchError("The server cannot be reached.", 60)
    answer = send(elsewhere, client, assertion)
    assert (answer.status_code, answer.get_json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    elsewhere.failure = None
    elsewhere.now += 60
    assert send(elsewhere, client, assertion).status_code == 200


def test_keys_that_cannot_be_had_at_all_prove_nothing(elsewhere: Keys, caplog: pytest.LogCaptureFixture) -> None:
    elsewhere.failure = FetchError("The document must be a JWK Set with a public key.")
    with caplog.at_level(logging.INFO, "flask_dynreg"):
        assert everything_of(recover(elsewhere, at_uri(elsewhere))) == refusal(elsewhere)
    assert "JWK Set" in caplog.text  # operators are told why
