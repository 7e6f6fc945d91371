"""The profiles: which real clients each lets in, and which it refuses, by name."""

from typing import Any

import pytest

from flask_dynreg.policies.profiles import PROFILES
from tests.conformance.exchange import post, refused, registered
from tests.conftest import SERVER_METADATA, MakeApp
from tests.corpus.entries import ENTRIES
from tests.corpus.expectations import REGISTERED
from tests.metadata.keys import ec_jwk, rsa_jwk
from tests.statements import statement, trusted

MCP = [id for id in REGISTERED if ENTRIES[id]["kind"].startswith("mcp-")]
WEB = ["https://app.example/cb"]
CERTIFICATE = {"token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "app.example"}
SIGNED = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [rsa_jwk()]}}
ALGORITHM = "token_endpoint_auth_signing_alg"
METADATA = SERVER_METADATA | {
    "response_types_supported": ["code", "code id_token", "id_token"],
    "grant_types_supported": ["authorization_code", "implicit", "refresh_token", "client_credentials", "password"],
    "token_endpoint_auth_methods_supported": [
        *SERVER_METADATA["token_endpoint_auth_methods_supported"],
        "tls_client_auth",
    ],
    "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
    "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
}

FINE: list[tuple[str, dict[str, Any]]] = [
    *(("mcp", ENTRIES[id]["request"]) for id in MCP),
    *(("oauth21", ENTRIES[id]["request"]) for id in MCP),
    *(("oidc", ENTRIES[id]["request"]) for id in ("idpyoidc", "openid-client-6", "mod-auth-openidc", "inrupt-node")),
    ("fapi2", {"redirect_uris": WEB, **CERTIFICATE}),
    ("fapi2", {"redirect_uris": WEB, **SIGNED, "token_endpoint_auth_signing_alg": "PS256"}),
    ("open-banking-uk", {"software_statement": statement(redirect_uris=WEB), **SIGNED}),
    ("open-banking-brasil", {"software_statement": statement(redirect_uris=WEB), **CERTIFICATE}),
]
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("mcp", {"redirect_uris": WEB, "grant_types": ["implicit"], "response_types": ["id_token"]}, "/grant_types"),
    ("oauth21", {"redirect_uris": WEB, "grant_types": ["password"]}, "/grant_types"),
    (
        "oauth21",
        {"redirect_uris": WEB, "grant_types": ["authorization_code", "implicit"], "response_types": ["code id_token"]},
        "/response_types",
    ),
    ("oidc", {"redirect_uris": ["http://localhost/cb"], "application_type": "web"}, "/redirect_uris/0"),
    ("fapi2", ENTRIES["claude-web"]["request"], "/token_endpoint_auth_method"),
    ("fapi2", ENTRIES["openid-client-6"]["request"], "/token_endpoint_auth_method"),
    ("fapi2", {"redirect_uris": ["http://127.0.0.1/cb"], **CERTIFICATE}, "/redirect_uris/0"),
    ("fapi2", {"redirect_uris": WEB, **CERTIFICATE, "dpop_bound_access_tokens": True}, "/dpop_bound_access_tokens"),
    (
        "fapi2",
        {"redirect_uris": WEB, **SIGNED, "token_endpoint_auth_signing_alg": "RS256"},
        "/token_endpoint_auth_signing_alg",
    ),
    ("open-banking-uk", {"redirect_uris": WEB, **SIGNED}, "/software_statement"),
    (
        "open-banking-uk",
        {"software_statement": statement(redirect_uris=WEB), "token_endpoint_auth_method": "none"},
        "/token_endpoint_auth_method",
    ),
    ("open-banking-brasil", {"software_statement": statement(redirect_uris=WEB)}, "/token_endpoint_auth_method"),
    (
        "open-banking-brasil",
        {"software_statement": statement(redirect_uris=WEB), **SIGNED, "token_endpoint_auth_signing_alg": "ES256"},
        "/token_endpoint_auth_signing_alg",
    ),
]


def serve(make_app: MakeApp, profile: str) -> Any:
    settings = {"DYNREG_DEFAULT_SCOPES": ["mcp:read"], "DYNREG_STATEMENT_ISSUERS": [trusted()]}
    return make_app(DYNREG_POLICIES=[profile], DYNREG_SERVER_METADATA=METADATA, **settings).test_client()


@pytest.mark.parametrize(("profile", "sent"), FINE)
def test_who_is_let_in(make_app: MakeApp, profile: str, sent: dict[str, Any]) -> None:
    client = registered(serve(make_app, profile), **sent)
    assert client["redirect_uris"] == sent.get("redirect_uris", WEB)


@pytest.mark.parametrize(("profile", "sent", "pointer"), REFUSED)
def test_who_is_not(make_app: MakeApp, profile: str, sent: dict[str, Any], pointer: str) -> None:
    body = refused(post(serve(make_app, profile), sent), "invalid_client_metadata", "invalid_redirect_uri")
    assert any(problem["pointer"].startswith(pointer) for problem in body["errors"])


@pytest.mark.parametrize(
    ("profile", "keys", "expected"),
    [
        ("fapi2", {"jwks": {"keys": [rsa_jwk()]}}, "PS256"),
        ("fapi2", {"jwks": {"keys": [rsa_jwk(alg="RS256"), ec_jwk()]}}, "ES256"),
        ("fapi2", {"jwks_uri": "https://app.example/jwks"}, "PS256"),
        ("open-banking-uk", {"jwks": {"keys": [ec_jwk()]}}, "ES256"),
        ("open-banking-brasil", {"jwks_uri": "https://app.example/jwks"}, "PS256"),
    ],
)
@pytest.mark.parametrize("said", [{}, {ALGORITHM: None}, {ALGORITHM: ""}])
def test_who_signs_in_by_a_jwt_has_one_algorithm(
    make_app: MakeApp, profile: str, keys: dict[str, Any], expected: str, said: dict[str, Any]
) -> None:
    stated = {"software_statement": statement(redirect_uris=WEB), "token_endpoint_auth_method": "private_key_jwt"}
    assert registered(serve(make_app, profile), **stated, **keys, **said)[ALGORITHM] == expected


def test_who_has_no_key_for_it_or_finds_none_on_the_server_is_not_let_in(make_app: MakeApp) -> None:
    by_rs256 = SIGNED | {"redirect_uris": WEB, "jwks": {"keys": [rsa_jwk(alg="RS256")]}}
    (problem,) = refused(post(serve(make_app, "fapi2"), by_rs256), "invalid_client_metadata")["errors"]
    assert problem["pointer"] == "/jwks"
    weak = METADATA | {"token_endpoint_auth_signing_alg_values_supported": ["RS256"]}
    http = make_app(DYNREG_POLICIES=["fapi2"], DYNREG_SERVER_METADATA=weak).test_client()
    (problem,) = refused(post(http, SIGNED | {"redirect_uris": WEB}), "invalid_client_metadata")["errors"]
    assert problem["pointer"] == f"/{ALGORITHM}"


@pytest.mark.parametrize("algorithm", ["PS256", "ES256", "EdDSA", "Ed25519", "RS256", "PS384", "Ed448", "none"])
@pytest.mark.parametrize("stated", [True, False])
def test_request_objects_are_signed_as_fapi_allows(make_app: MakeApp, algorithm: str, stated: bool) -> None:
    """FAPI 2.0 Security Profile section 5.4.1, whether the client states one algorithm or says what it can do."""
    name, listed = "request_object_signing_alg", "request_object_signing_alg_values_supported"
    every = ["RS256", "PS256", "PS384", "ES256", "EdDSA", "Ed25519", "Ed448", "none"]
    http = make_app(DYNREG_POLICIES=["fapi2"], DYNREG_SERVER_METADATA=METADATA | {listed: every}).test_client()
    sent = {
        "redirect_uris": WEB,
        "token_endpoint_auth_method": "private_key_jwt",
        "jwks_uri": "https://app.example/jwks",
        **({name: algorithm} if stated else {listed: [algorithm]}),
    }
    if algorithm in ("PS256", "ES256", "EdDSA", "Ed25519"):
        assert registered(http, **sent)[name] == algorithm
    else:
        (problem,) = refused(post(http, sent), "invalid_client_metadata")["errors"]
        assert problem["pointer"] == f"/{name}"


def test_every_profile_is_in_these_tables() -> None:
    assert {profile for profile, *_ in FINE} == {profile for profile, *_ in REFUSED} == set(PROFILES)
