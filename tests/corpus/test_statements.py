"""The clients of the corpus with a software statement. A directory of ours signs it: the real ones keep their keys."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from joserfc.jwk import Key
from werkzeug.test import TestResponse

from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import Client, bearer, read, refused
from tests.conftest import ISSUER, MakeApp
from tests.corpus.entries import ENTRIES
from tests.documents import published
from tests.statements import ec_key, public, rsa_key, signed
from tests.test_documents import ISSUERS
from tests.vocabulary.provider import SERVER

BRASIL, AUSTRALIA, UDAP = (ENTRIES[id]["request"] for id in ("ob-brasil", "cdr-au", "udap"))
SOFTWARE_KEYS = "https://recipient.example/jwks"
REGISTER_KEYS = "https://register.example/jwks"


@pytest.fixture
def bank(make_app: MakeApp) -> Iterator[Any]:
    """bank(issuer, url=keys, ...) gives a browser of a server that trusts the issuer; the keys can be fetched at the URLs."""
    with published() as documents:

        @contextmanager
        def start(issuer: dict[str, Any], keys: dict[str, Key]) -> Iterator[FlaskClient]:
            for url, key in keys.items():
                documents.put(url, public(key))
            db = SQLAlchemy()
            server = dict(SERVER) | {"scopes_supported": ["accounts", "payments"]}
            server |= {f"{name}_signing_alg_values_supported": ["PS256"] for name in ("id_token", "authorization")}
            dynreg = DynamicRegistration(db, fetcher=documents.fetcher)
            yield make_app(
                db,
                dynreg,
                DYNREG_STATEMENT_ISSUERS=[issuer],
                DYNREG_SERVER_METADATA=server,
                DYNREG_SECRET_KEYS=["7Bd1qYcQ2bXyTn0eGv3m5RkWj8sHfLpZ4uAaC9oIiDg="],
            ).test_client()

        yield start


def information(answer: TestResponse) -> Client:
    assert answer.status_code == 201, answer.text
    client: Client = answer.get_json()
    return client


# ---- Open Finance Brasil: plain JSON, authenticated by certificate


BRASIL_ISSUER: dict[str, Any] = {
    "issuer": "Open Banking Open Banking Brasil sandbox SSA issuer",
    "jwks_uri": REGISTER_KEYS,
    "algorithms": ["PS256"],
    "max_age": 300,
    "claims": ["redirect_uris", "client_name", "jwks_uri"],
    "map": {"software_redirect_uris": "redirect_uris", "software_client_name": "client_name"},
    "limits": ["redirect_uris"],
}


def brasilian(**claims: Any) -> str:
    whole = {
        "iss": BRASIL_ISSUER["issuer"],
        "iat": int(time.time()),
        "software_id": "234c141e-d3a7-4ff2-b0cf-aae440061df1",
        "software_client_name": "Iniciador",
        "software_redirect_uris": [*BRASIL["redirect_uris"], "https://tpp.example.com/other"],
        "software_statement_roles": [{"role": "PAGTO", "status": "Active"}],
        "org_id": "8292c33e-d95a-5fe7-8f27-dd7a95c68b55",
        **claims,
    }
    return signed(whole, rsa_key("register"), alg="PS256")


def test_a_payment_initiator_of_brasil(bank: Any) -> None:
    with bank(BRASIL_ISSUER, {REGISTER_KEYS: rsa_key("register")}) as http:
        statement = brasilian()
        client = information(http.post("/oauth2/register", json={**BRASIL, "software_statement": statement}))
        assert client["software_statement"] == statement
        assert (client["client_name"], client["software_id"]) == ("Iniciador", "234c141e-d3a7-4ff2-b0cf-aae440061df1")
        echoed = BRASIL.keys() - {"software_statement"}
        assert {name: client[name] for name in echoed} == {name: BRASIL[name] for name in echoed}
        assert "client_secret" not in client
        answer = read(http, client)
        assert (answer.status_code, answer.get_json()) == (200, client)

        wrong = {**BRASIL, "redirect_uris": ["https://evil.example/cb"], "software_statement": statement}
        refused(http.post("/oauth2/register", json=wrong), "invalid_redirect_uri")
        old = {**BRASIL, "software_statement": brasilian(iat=int(time.time()) - 3600)}
        refused(http.post("/oauth2/register", json=old), "invalid_software_statement")


# ---- Consumer Data Right, Australia: the request is a JWT, signed by the software


AUSTRALIAN_ISSUER: dict[str, Any] = {
    "issuer": "cdr-register",
    "jwks_uri": REGISTER_KEYS,
    "algorithms": ["PS256"],
    "limits": ["redirect_uris", "scope"],
    "signed_requests": {"audience": ["https://data.holder.com.au/"], "max_age": 300},
}


def australian(**changes: Any) -> str:
    now = int(time.time())
    stated = {
        "iss": "cdr-register",
        "iat": now,
        "exp": now + 600,
        "jti": f"statement {now}",
        "legal_entity_id": "344fe382-20a6-4d6b-8bd1-e5b1d6a9bd3f",
        "org_name": "Mock Company",
        "client_name": "Mock Software",
        "client_uri": "https://www.mockcompany.com.au",
        "redirect_uris": AUSTRALIA["redirect_uris"],
        "logo_uri": "https://www.mockcompany.com.au/logo.png",
        "jwks_uri": SOFTWARE_KEYS,
        "revocation_uri": "https://www.mockcompany.com.au/revocation",
        "recipient_base_uri": "https://www.mockcompany.com.au",
        "software_id": AUSTRALIA["iss"],
        "software_roles": "data-recipient-software-product",
        "scope": "accounts",
    }
    whole = {
        **AUSTRALIA,
        "iat": now,
        "exp": now + 300,
        "software_statement": signed(stated, rsa_key("register"), alg="PS256"),
        **changes,
    }
    return signed(whole, rsa_key("software"), alg="PS256")


def test_a_data_recipient_of_australia(bank: Any) -> None:
    headers = ENTRIES["cdr-au"]["headers"]
    with bank(AUSTRALIAN_ISSUER, {REGISTER_KEYS: rsa_key("register"), SOFTWARE_KEYS: rsa_key("software")}) as http:
        body = australian(scope="accounts payments")
        client = information(http.post("/oauth2/register", data=body, headers=headers))
        stated = ("client_name", "client_uri", "logo_uri", "jwks_uri", "software_id")
        assert [client[name] for name in stated] == [
            "Mock Software",
            "https://www.mockcompany.com.au",
            "https://www.mockcompany.com.au/logo.png",
            SOFTWARE_KEYS,
            AUSTRALIA["iss"],
        ]
        for name in (
            "redirect_uris",
            "token_endpoint_auth_method",
            "token_endpoint_auth_signing_alg",
            "application_type",
        ):
            assert client[name] == AUSTRALIA[name]
        assert (client["scope"], client["id_token_signed_response_alg"]) == ("accounts", "PS256")
        refused(http.post("/oauth2/register", data=body, headers=headers), "invalid_client_metadata")

        changed = australian(jti="another", client_id=client["client_id"], redirect_uris=AUSTRALIA["redirect_uris"][:1])
        to = {**headers, **bearer(client["registration_access_token"])}
        answer = http.put(client["registration_client_uri"], data=changed, headers=to)
        assert (answer.status_code, answer.get_json()["redirect_uris"]) == (200, AUSTRALIA["redirect_uris"][:1])
        plain = {**AUSTRALIA, "software_statement": client["software_statement"]}
        refused(http.post("/oauth2/register", json=plain), "invalid_client_metadata")


# ---- Open Banking, United Kingdom: the request is a JWT too; the issuer is the one that the documents show


def british(**changes: Any) -> str:
    now = int(time.time())
    software = "65d1f27c-4aea-4549-9c21-60e495a7a86f"
    stated = {
        "iss": "OpenBanking Ltd",
        "iat": now,
        "jti": "ssa",
        "software_environment": "production",
        "software_mode": "Live",
        "software_id": software,
        "software_client_id": "OpenBanking TPP Client Unique ID",
        "software_client_name": "Amazon Prime Movies",
        "software_client_uri": "https://prime.tpp.example",
        "software_version": 2.2,
        "software_jwks_endpoint": SOFTWARE_KEYS,
        "software_redirect_uris": ["https://tpp.example/cb", "https://tpp.example/other"],
        "software_roles": ["PISP", "AISP"],
        "org_id": "Amazon TPPID",
    }
    whole = {
        "iss": software,
        "iat": now,
        "exp": now + 300,
        "aud": ISSUER,
        "jti": "request",
        "redirect_uris": ["https://tpp.example/cb"],
        "token_endpoint_auth_method": "private_key_jwt",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types": ["code"],
        "software_id": software,
        "scope": "openid accounts payments",
        "software_statement": signed(stated, rsa_key("register"), alg="PS256", typ="JWT"),
        "application_type": "web",
        "id_token_signed_response_alg": "PS256",
        "request_object_signing_alg": "PS256",
        "token_endpoint_auth_signing_alg": "PS256",
        **changes,
    }
    return signed(whole, rsa_key("software"), alg="PS256", typ="JWT")


def test_a_third_party_provider_of_the_united_kingdom(bank: Any) -> None:
    (issuer,) = [issuer for issuer in ISSUERS if issuer["issuer"] == "OpenBanking Ltd"]
    jwt = {"Content-Type": "application/jwt"}
    with bank(issuer, {issuer["jwks_uri"]: rsa_key("register"), SOFTWARE_KEYS: rsa_key("software")}) as http:
        client = information(http.post("/oauth2/register", data=british(), headers=jwt))
        stated = ("client_name", "client_uri", "jwks_uri", "redirect_uris", "scope")
        assert [client[name] for name in stated] == [
            "Amazon Prime Movies",
            "https://prime.tpp.example",
            SOFTWARE_KEYS,
            ["https://tpp.example/cb"],
            "accounts payments",
        ]
        assert "software_version" not in client and "client_secret" not in client
        hybrid = british(jti="hybrid", response_types=["code id_token"])
        refused(http.post("/oauth2/register", data=hybrid, headers=jwt), "invalid_client_metadata")
        wrong = british(jti="2", redirect_uris=["https://evil.example/cb"])
        refused(http.post("/oauth2/register", data=wrong, headers=jwt), "invalid_redirect_uri")
        refused(http.post("/oauth2/register", data=british(jti="3", iss="x"), headers=jwt), "invalid_client_metadata")


# ---- UDAP: all is in a statement that the client signs itself; here the key is pinned


UDAP_CLIENT = "https://participant.example/fhir"


def udap(**claims: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {
        "iss": UDAP_CLIENT,
        "sub": UDAP_CLIENT,
        "aud": f"{ISSUER}/oauth2/register",
        "iat": now,
        "exp": now + 300,
        "jti": "1",
        "client_name": "B2B",
        "redirect_uris": ["https://participant.example/cb"],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "private_key_jwt",
        "scope": "accounts",
        **claims,
    }
    return {**UDAP, "software_statement": signed(whole, ec_key("udap"), alg="ES256", kid=None, x5c=["MIIB" * 500])}


def test_a_client_of_udap_whose_key_is_pinned(bank: Any) -> None:
    issuer = {
        "issuer": UDAP_CLIENT,
        "jwks": public(ec_key("udap")),
        "algorithms": ["ES256", "RS256"],
        "audience": [f"{ISSUER}/oauth2/register"],
        "require_audience": True,
        "one_time": True,
    }
    with bank(issuer, {}) as http:
        # Its own key is the one that signed; UDAP's client metadata have no other.
        request = json.loads(json.dumps(udap())) | {"jwks": public(ec_key("udap"))}
        client = information(http.post("/oauth2/register", json=request))
        assert (client["client_name"], client["scope"]) == ("B2B", "accounts")
        assert client["software_statement"] == request["software_statement"]
        assert not {"udap", "certifications"} & client.keys()
        refused(http.post("/oauth2/register", json=request), "invalid_software_statement")
        for wrong in (udap(jti="2", aud="https://other.example"), udap(jti="3", exp=1)):
            refused(http.post("/oauth2/register", json=wrong), "invalid_software_statement")
        refused(http.post("/oauth2/register", json=udap(iss="https://other.example")), "unapproved_software_statement")
