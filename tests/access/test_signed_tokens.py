"""Initial access tokens that somebody else signs."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select
from sqlalchemy.engine import RowMapping
from werkzeug.test import TestResponse

from flask_dynreg import ConfigurationError, DynamicRegistration
from tests.conformance.exchange import CONFIDENTIAL, bearer, issue_token, refused, unauthorized, update
from tests.conftest import ISSUER, MakeApp
from tests.documents import Documents, published
from tests.statements import ec_key, forged, okp_key, public, rsa_key, signed, statement, trusted

SIGNER = "https://partners.example"
KEYS_AT = f"{SIGNER}/jwks"
TYPE = "initial-access-token+jwt"

Start = Callable[..., FlaskClient]


@pytest.fixture
def start(make_app: MakeApp) -> Start:
    """start(max_age=60) is a server that takes tokens of that signer."""

    def start(
        access: tuple[str, ...] = ("initial_access_token",), config: dict[str, Any] | None = None, **signer: Any
    ) -> Any:
        settings = {"DYNREG_ACCESS": list(access), "DYNREG_TOKEN_ISSUERS": [trusted(SIGNER, **signer)]}
        return make_app(**settings | (config or {})).test_client()

    return start


def token(key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
    now = int(time.time())
    whole = {"iss": SIGNER, "aud": ISSUER, "exp": now + 300, "jti": uuid4().hex, **claims}
    return signed(
        {name: value for name, value in whole.items() if value is not None}, key, **{"typ": TYPE, **(header or {})}
    )


def post(http: FlaskClient, presented: str, *, origin: str | None = None, **metadata: Any) -> TestResponse:
    headers = bearer(presented) | ({"Origin": origin} if origin else {})
    return http.post("/oauth2/register", json={**CONFIDENTIAL, **metadata}, headers=headers, base_url=ISSUER)


def clients(app: Flask) -> list[RowMapping]:
    with app.app_context():
        registrar = app.extensions["dynreg"]
        return list(registrar.sessions.session.execute(select(registrar.models.client.__table__)).mappings())


def test_a_token_registers_one_client_which_belongs_to_its_subject(start: Start, any_database_url: str) -> None:
    http = start(config={"SQLALCHEMY_DATABASE_URI": any_database_url})
    once = token(sub="bank-7")
    assert post(http, once).status_code == 201
    unauthorized(post(http, once))
    (client,) = clients(http.application)
    assert (client["source"], client["owned_by"], client["initial_access_token_id"]) == (
        "initial_access_token",
        "bank-7",
        None,
    )


def test_what_is_refused_does_not_use_it_up(start: Start) -> None:
    http, once = start(), token()
    refused(post(http, once, redirect_uris=["x"]), "invalid_redirect_uri")
    assert [post(http, once).status_code for _ in range(2)] == [201, 401]


def test_however_many_use_it_at_once_one_gets_a_client(start: Start, any_database_url: str) -> None:
    http, once = start(config={"SQLALCHEMY_DATABASE_URI": any_database_url}), token()
    with ThreadPoolExecutor(8) as pool:
        statuses = [
            answer.status_code for answer in pool.map(lambda _: post(http.application.test_client(), once), range(8))
        ]
    assert sorted(statuses) == [201] + [401] * 7
    assert len(clients(http.application)) == 1


GOOD: dict[str, Callable[[], tuple[dict[str, Any], str]]] = {
    "as it should be": lambda: ({}, token()),
    "an audience of several": lambda: ({}, token(aud=["https://x.example", ISSUER])),
    "an audience of its own": lambda: ({"audience": ["registration"]}, token(aud="registration")),
    "of an elliptic curve": lambda: ({"key": ec_key()}, token(ec_key(), {"alg": "ES256"})),
    "of Ed25519": lambda: ({"key": okp_key()}, token(okp_key(), {"alg": "EdDSA"})),
    "its type as a media type": lambda: ({}, token(header={"typ": f"application/{TYPE}"})),
    "young enough": lambda: ({"max_age": 60}, token(iat=int(time.time()) - 50)),
    "clocks that differ": lambda: ({"leeway": 60}, token(exp=int(time.time()) - 50)),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_token_is_good(start: Start, case: str) -> None:
    signer, presented = GOOD[case]()
    assert post(start(**signer), presented).status_code == 201


WRONG: dict[str, Callable[[], str]] = {
    "a key of somebody else": lambda: token(rsa_key("other")),
    "a key of somebody else under the same name": lambda: token(ec_key("directory"), {"alg": "ES256"}),
    "no signature": lambda: forged(
        {"alg": "none", "typ": TYPE}, {"iss": SIGNER, "aud": ISSUER, "exp": 2**40, "jti": "1"}
    ),
    "a MAC": lambda: forged(
        {"alg": "HS256", "typ": TYPE}, {"iss": SIGNER, "aud": ISSUER, "exp": 2**40, "jti": "1"}, rsa_key().as_pem(False)
    ),
    "an algorithm that is not its signer's": lambda: token(header={"alg": "RS512"}),
    "an unknown signer": lambda: token(iss="https://nobody.example"),
    "no signer": lambda: token(iss=None),
    "the type of any JWT": lambda: token(header={"typ": "JWT"}),
    "no type": lambda: token(header={"typ": None}),
    "the type of an access token": lambda: token(header={"typ": "at+jwt"}),
    "for another server": lambda: token(aud="https://other.example"),
    "for nobody": lambda: token(aud=None),
    "for nobody in particular": lambda: token(aud=[]),
    "over": lambda: token(exp=int(time.time()) - 60),
    "without an end": lambda: token(exp=None),
    "an end that is none": lambda: token(exp="tomorrow"),
    "not yet good": lambda: token(nbf=int(time.time()) + 60),
    "issued in the future": lambda: token(iat=int(time.time()) + 60),
    "without an identifier": lambda: token(jti=None),
    "an identifier that is none": lambda: token(jti=7),
    "a subject that is none": lambda: token(sub=7),
    "an empty subject": lambda: token(sub=""),
    "a subject that is too long": lambda: token(sub="x" * 256),
    "terms that are none": lambda: token(dynreg_terms="x"),
    "terms that are not known": lambda: token(dynreg_terms={"x": []}),
    "terms with a wrong value": lambda: token(dynreg_terms={"scopes": "mcp:read"}),
    "a policy that is not there": lambda: token(dynreg_terms={"policies": ["nowhere"]}),
    "a template of what is no metadata": lambda: token(dynreg_terms={"forced": {"client_id": "x"}}),
    "a template that is not sound": lambda: token(dynreg_terms={"defaults": {"client_uri": "javascript:x"}}),
    "a software statement": lambda: statement(iss=SIGNER),
    "not even a JWT": lambda: "a.b.c",
    "half of one": lambda: token().rpartition(".")[0],
    "one bit changed": lambda: token()[:-9] + "AAAAAAAAA",
    "points alone": lambda: "...",
}


@pytest.mark.parametrize("case", WRONG)
def test_a_token_that_is_not_good_is_refused_like_any_other(start: Start, case: str) -> None:
    http = start(("open", "initial_access_token"))
    answer, unknown = post(http, WRONG[case]()), post(http, "x")
    assert (unauthorized(answer), answer.data) == (unauthorized(unknown), unknown.data)
    assert clients(http.application) == []


def test_a_token_that_is_too_old_is_refused(start: Start) -> None:
    http = start(max_age=60)
    unauthorized(post(http, token(iat=int(time.time()) - 100)))
    unauthorized(post(http, token()))


def test_it_opens_no_door_that_is_shut(start: Start, make_app: MakeApp) -> None:
    unauthorized(post(start(("open",)), token()))
    unauthorized(post(make_app(DYNREG_ACCESS=["initial_access_token"]).test_client(), token()))


def test_it_is_no_statement_and_a_statement_with_the_same_identifier_is_another_thing(start: Start) -> None:
    http = start(config={"DYNREG_STATEMENT_ISSUERS": [trusted(SIGNER, one_time=True)]})
    both: dict[str, Any] = {"iss": SIGNER, "jti": "the-same", "exp": int(time.time()) + 60}
    refused(post(http, token(), software_statement=token()), "invalid_software_statement")
    assert post(http, token(**both), software_statement=statement(**both)).status_code == 201


def test_opaque_tokens_go_on_beside_it(start: Start) -> None:
    http = start()
    assert [post(http, issue_token(http.application)).status_code, post(http, token()).status_code] == [201, 201]


# ---- Terms


def test_its_terms_hold_now_and_at_every_update(start: Start) -> None:
    http = start()
    terms = {"scopes": ["mcp:read"], "redirect_hosts": ["app.example"], "forced": {"client_name": "Theirs"}}
    refused(post(http, token(dynreg_terms=terms), redirect_uris=["https://x.example/"]), "invalid_redirect_uri")
    client = post(http, token(dynreg_terms=terms), scope="mcp:read mcp:write").get_json()
    assert (client["scope"], client["client_name"]) == ("mcp:read", "Theirs")
    sent = {"client_id": client["client_id"], **CONFIDENTIAL, "scope": "mcp:write mcp:read", "client_name": "Ours"}
    changed = update(http, client, sent).get_json()
    assert (changed["scope"], changed["client_name"]) == ("mcp:read", "Theirs")
    refused(update(http, client, {**sent, "redirect_uris": ["https://x.example/"]}), "invalid_redirect_uri")


def test_it_is_for_scripts_of_some_origins(start: Start) -> None:
    http, terms = start(), {"origins": ["https://portal.example"]}
    refused(post(http, token(dynreg_terms=terms), origin="https://evil.example"), "access_denied", status=403)
    for origin in ("https://portal.example", None):
        assert post(http, token(dynreg_terms=terms), origin=origin).status_code == 201


# ---- Keys, limits, settings


@pytest.fixture
def documents() -> Iterator[Documents]:
    with published() as documents:
        yield documents


@pytest.fixture
def fetching(make_app: MakeApp, documents: Documents) -> FlaskClient:
    """A server that fetches the keys of the signer."""
    db = SQLAlchemy()
    config = {
        "DYNREG_ACCESS": ["initial_access_token"],
        "DYNREG_TOKEN_ISSUERS": [{"issuer": SIGNER, "jwks_uri": KEYS_AT}],
    }
    return make_app(db, DynamicRegistration(db, fetcher=documents.fetcher), **config).test_client()


def test_keys_are_fetched_for_a_token_that_may_be_good(fetching: FlaskClient, documents: Documents) -> None:
    documents.put(KEYS_AT, public(rsa_key()))
    for stranger in (token(aud="https://other.example"), token(iss="https://nobody.example"), "a.b.c"):
        unauthorized(post(fetching, stranger))
    assert documents.asked == []
    assert [post(fetching, token()).status_code for _ in range(2)] == [201, 201]
    unauthorized(post(fetching, token(rsa_key("other"), {"kid": "directory"})))
    assert documents.asked == [KEYS_AT]


def test_while_the_keys_cannot_be_fetched_nobody_can_say(fetching: FlaskClient, documents: Documents) -> None:
    answers = [post(fetching, token()) for _ in range(2)]
    for answer in answers:
        refused(answer, "temporarily_unavailable", status=503)
        assert "Retry-After" in answer.headers
    assert documents.asked == [KEYS_AT]


def test_all_tokens_of_one_signer_count_together(start: Start) -> None:
    http = start(config={"DYNREG_LIMITS": ["token 2/hour", "address 1/hour"]})
    assert [post(http, token()).status_code for _ in range(3)] == [201, 201, 429]
    assert post(http, issue_token(http.application)).status_code == 201


def test_operators_are_told_why_a_token_is_not_taken(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    http = start()
    presented = token(aud="https://other.example")
    with caplog.at_level(logging.INFO, "flask_dynreg"):
        unauthorized(post(http, presented))
    assert f"{SIGNER} is not taken: it must be for this server (aud)." in caplog.text
    assert presented not in caplog.text and "other.example" not in caplog.text


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"jwks": public(ec_key("start"))}, "[0]: issuer must be there"),
        ({"issuer": SIGNER}, "[0]: either jwks or jwks_uri must be there"),
        ({"issuer": SIGNER, "jwks_uri": "http://x.example"}, "[0]: jwks_uri"),
        ({"issuer": SIGNER, "jwks": {"keys": []}}, "[0]: jwks"),
        ({"issuer": SIGNER, "jwks_uri": KEYS_AT, "claims": []}, "[0]: claims is none of its members"),
        ({"issuer": SIGNER, "jwks_uri": KEYS_AT, "max_age": "1"}, "[0]: max_age"),
        ({"issuer": SIGNER, "jwks_uri": KEYS_AT, "algorithms": ["HS256"]}, "[0]: algorithms"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_signer_that_is_not_sound_stops_the_start(make_app: MakeApp, value: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError) as stopped:
        make_app(DYNREG_TOKEN_ISSUERS=[value])
    assert str(stopped.value).startswith("DYNREG_TOKEN_ISSUERS" + fault)


def test_a_signer_is_named_once(make_app: MakeApp) -> None:
    with pytest.raises(ConfigurationError, match="DYNREG_TOKEN_ISSUERS must have an issuer once"):
        make_app(DYNREG_TOKEN_ISSUERS=[trusted(SIGNER), trusted(SIGNER)])
