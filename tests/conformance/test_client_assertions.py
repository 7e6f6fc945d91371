"""RFC 7523, RFC 8725: clients that authenticate by a signature (private_key_jwt), shown by the quickstart."""

import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.util import urlsafe_b64encode
from sqlalchemy import event
from werkzeug.test import TestResponse

from examples import quickstart_store as store
from tests.conformance.conftest import quickstart_in
from tests.conformance.exchange import MACHINE, Client, delete, post, refused
from tests.conformance.requirements import requirement
from tests.conformance.visitor import Visitor
from tests.conftest import MakeApp
from tests.statements import DIRECTORY, rsa_key, statement, trusted

ISSUER = "https://as.example"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
RSA, EC, OTHER_RSA = RSAKey.generate_key(2048), ECKey.generate_key("P-256"), RSAKey.generate_key(2048)


@pytest.fixture
def client(visitor: Visitor) -> Client:
    jwks = {"keys": [key.as_dict(private=False) for key in (RSA, EC)]}
    return visitor.register(**MACHINE, token_endpoint_auth_method="private_key_jwt", jwks=jwks)


def claims(client: Client, **changes: Any) -> dict[str, Any]:
    """A sound assertion, but for some claims; None leaves one out."""
    now = int(time.time())
    sound = {"iss": client["client_id"], "sub": client["client_id"], "aud": ISSUER, "jti": uuid4().hex, "exp": now + 60}
    return {name: value for name, value in (sound | changes).items() if value is not None}


class Algorithms(jws.JWSRegistry):
    """Those that joserfc warns of, too."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def signed(payload: dict[str, Any], key: Key = RSA, alg: str = "RS256", /, **header: Any) -> str:
    registry = Algorithms()
    return jws.serialize_compact({"alg": alg, **header}, json.dumps(payload), key, registry=registry)


def sent(visitor: Visitor, assertion: str, **fields: str) -> TestResponse:
    request = {"grant_type": "client_credentials", "client_assertion_type": JWT_BEARER}
    return visitor.token(**request | {"client_assertion": assertion} | fields)


def is_refused(answer: TestResponse) -> None:
    assert (answer.status_code, answer.get_json()["error"]) == (401, "invalid_client")


@requirement("RFC9700-2.5-01", "RFC7523BIS-4-02", "RFC7523-3-04")
@pytest.mark.parametrize("header", [{}, {"typ": "JWT"}, {"typ": "client-authentication+jwt"}])
@pytest.mark.parametrize("audience", [ISSUER, [ISSUER], f"{ISSUER}/oauth2/token"])
def test_a_sound_assertion_is_good(visitor: Visitor, client: Client, header: dict[str, str], audience: Any) -> None:
    assert sent(visitor, signed(claims(client, aud=audience), **header)).status_code == 200
    by_the_other_key = signed(claims(client), EC, "ES256", **header)
    assert sent(visitor, by_the_other_key, client_id=client["client_id"]).status_code == 200


@requirement("OIDCCORE-9-01", "RFC7523-3-01", "RFC7523-3-02", "RFC7523-3-03", "RFC7523-3-04", "RFC7523-3-05")
@requirement("RFC7523-3.2-01")
@pytest.mark.parametrize(
    "change",
    [
        {"iss": None},
        {"iss": "other"},
        {"sub": None},
        {"sub": "other"},
        {"aud": None},
        {"aud": "https://other.example"},
        {"aud": f"{ISSUER}/"},
        {"aud": [ISSUER, "https://other.example"]},
        {"aud": []},
        {"jti": None},
        {"exp": None},
        {"exp": int(time.time()) - 3600},
        {"exp": "soon"},
        {"exp": int(time.time()) + 10 * 365 * 86400},
        {"nbf": int(time.time()) + 3600},
    ],
)
def test_a_claim_that_is_wrong_spoils_an_assertion(visitor: Visitor, client: Client, change: dict[str, Any]) -> None:
    is_refused(sent(visitor, signed(claims(client, **change))))


@requirement("OIDCCORE-9-02", "RFC7523-3-06")
def test_an_assertion_is_good_once(visitor: Visitor, client: Client) -> None:
    assertion = signed(claims(client))
    assert sent(visitor, assertion).status_code == 200
    is_refused(sent(visitor, assertion))


@requirement("RFC7523-3-07", "RFC7523-3.2-01")
def test_a_signature_is_of_a_key_of_that_client(visitor: Visitor, client: Client) -> None:
    is_refused(sent(visitor, signed(claims(client), OTHER_RSA)))
    header, payload, signature = signed(claims(client)).split(".")
    is_refused(sent(visitor, f"{header}.{payload}.{signature[:-4]}AAAA"))
    is_refused(sent(visitor, f"{header}.{payload}."))
    jwks = {"keys": [OTHER_RSA.as_dict(private=False)]}
    other = visitor.register(**MACHINE, token_endpoint_auth_method="private_key_jwt", jwks=jwks)
    is_refused(sent(visitor, signed(claims(other))))
    is_refused(sent(visitor, signed(claims(client)), client_id=other["client_id"]))


def forged(header: dict[str, str], payload: dict[str, Any], mac_key: bytes | None) -> str:
    """What joserfc refuses to make: without a signature, or with a MAC whose key everybody knows."""
    signing_input = b".".join(urlsafe_b64encode(json.dumps(part).encode()) for part in (header, payload))
    mac = hmac.digest(mac_key, signing_input, "sha256") if mac_key else b""
    return b".".join([signing_input, urlsafe_b64encode(mac)]).decode()


@requirement("RFC8725-3.1-01")
def test_algorithms_are_those_of_the_key(visitor: Visitor, client: Client) -> None:
    public_key = RSA.as_pem(private=False)
    for alg, mac_key in (("none", None), ("HS256", public_key), ("RS256", public_key), ("HS256", b"secret")):
        is_refused(sent(visitor, forged({"alg": alg}, claims(client), mac_key)))
    is_refused(sent(visitor, signed(claims(client), RSA, "RS512")))


@requirement("OIDCREG-2-30")
def test_the_registered_algorithm_is_the_only_one(visitor: Visitor) -> None:
    jwks = {"keys": [key.as_dict(private=False) for key in (RSA, EC)]}
    method = {"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256"}
    client = visitor.register(**MACHINE, **method, jwks=jwks)
    is_refused(sent(visitor, signed(claims(client))))
    assert sent(visitor, signed(claims(client), EC, "ES256")).status_code == 200


def test_one_that_a_profile_settles_is_the_only_one(tmp_path: Path) -> None:
    jwks = {"keys": [key.as_dict(private=False) for key in (RSA, EC)]}
    with quickstart_in(tmp_path, DYNREG_POLICIES=["fapi2"]) as app:
        visitor = Visitor(app)
        client = visitor.register(**MACHINE, token_endpoint_auth_method="private_key_jwt", jwks=jwks)
        is_refused(sent(visitor, signed(claims(client))))
        is_refused(sent(visitor, signed(claims(client), EC, "ES256")))
        assert sent(visitor, signed(claims(client), RSA, "PS256")).status_code == 200


@pytest.mark.parametrize("registered", ["EdDSA", "Ed25519"])
def test_ed25519_has_two_names(visitor: Visitor, registered: str) -> None:
    """RFC 9864"""
    key = OKPKey.generate_key("Ed25519")
    method = {"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": registered}
    client = visitor.register(**MACHINE, **method, jwks={"keys": [key.as_dict(private=False)]})
    for alg in ("EdDSA", "Ed25519"):
        assert sent(visitor, signed(claims(client), key, alg)).status_code == 200


def test_keys_are_fetched_for_an_assertion_alone_that_may_be_good(visitor: Visitor) -> None:
    """There is no such host: who looks for it is told to come back."""
    method = {"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256"}
    client = visitor.register(**MACHINE, **method, jwks_uri="https://client.example/jwks.json")
    for wrong in ({"exp": 1}, {"exp": None}, {"aud": "https://other.example"}, {"iss": "other"}, {"jti": None}):
        is_refused(sent(visitor, signed(claims(client, **wrong), EC, "ES256")))
    is_refused(sent(visitor, signed(claims(client))))
    is_refused(sent(visitor, forged({"alg": "none"}, claims(client), None)))
    answer = sent(visitor, signed(claims(client), EC, "ES256"))
    assert (answer.status_code, answer.get_json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


@requirement("RFC7523-2.2-01")
def test_there_is_one_assertion_of_the_one_type(visitor: Visitor, client: Client) -> None:
    first, second = signed(claims(client)), signed(claims(client))
    is_refused(sent(visitor, first, client_assertion_type="urn:ietf:params:oauth:client-assertion-type:saml2-bearer"))
    is_refused(sent(visitor, first, client_assertion_type=""))
    is_refused(sent(visitor, f"{first} {second}"))
    fields = {"grant_type": "client_credentials", "client_assertion_type": JWT_BEARER}
    answer = visitor.http.post("/oauth2/token", data={**fields, "client_assertion": [first, second]})
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_request")


@requirement("RFC8725-3.12-01")
def test_a_jwt_of_another_kind_is_no_assertion(visitor: Visitor, client: Client) -> None:
    for kind in ("at+jwt", "dpop+jwt", "token-introspection+jwt"):
        is_refused(sent(visitor, signed(claims(client), typ=kind)))
    # a software statement about the client, of whom has its key, and an ID token about it
    is_refused(sent(visitor, signed(claims(client, iss="https://releases.example", sub=None, software_id="x"))))
    is_refused(sent(visitor, signed(claims(client, iss=ISSUER, aud=client["client_id"], nonce="x"))))


@requirement("RFC8725-3.12-01")
def test_an_assertion_and_a_software_statement_do_not_stand_for_each_other(visitor: Visitor, make_app: MakeApp) -> None:
    """Even if one key signs both, for the same server."""
    key = rsa_key()
    jwks = {"keys": [key.as_dict(private=False)]}
    client = visitor.register(**MACHINE, token_endpoint_auth_method="private_key_jwt", jwks=jwks)
    http = make_app(DYNREG_STATEMENT_ISSUERS=[trusted(key=key)]).test_client()
    assertion = claims(client)
    assert sent(visitor, signed(assertion, key)).status_code == 200
    assert post(http, {**MACHINE, "software_statement": statement(key)}).status_code == 201
    is_refused(sent(visitor, statement(key, aud=ISSUER, exp=assertion["exp"], jti="1")))
    is_refused(sent(visitor, statement(key, aud=ISSUER, exp=assertion["exp"], jti="2", sub=client["client_id"])))
    named = {"iss": DIRECTORY, "software_id": "4NRB1-0XZABZI9E6-5SM3R"}
    for jwt, error in (
        (signed(claims(client), key), "unapproved_software_statement"),
        (signed(claims(client, **named), key, typ="client-authentication+jwt"), "invalid_software_statement"),
    ):
        refused(post(http, {**MACHINE, "software_statement": jwt}), error)


@pytest.mark.parametrize("garbage", ["", "x", "a.b.c", "....", "\u00e9", "eyJhbGciOiJSUzI1NiJ9.W10.", "x" * 20000])
def test_garbage_is_no_assertion(visitor: Visitor, garbage: str) -> None:
    is_refused(sent(visitor, garbage))


def test_a_client_that_goes_while_it_proves_itself_is_unknown(visitor: Visitor, client: Client) -> None:
    """Its assertion is noted, and committed, before the rest of the request."""
    assertion = signed(claims(client))

    def leave(session: object) -> None:
        with ThreadPoolExecutor() as pool:
            assert pool.submit(delete, visitor.app.test_client(), client).result().status_code == 204

    event.listen(store.db.session, "after_commit", leave, once=True)
    is_refused(sent(visitor, assertion))
