"""ID tokens, UserInfo and subjects, and where a relying party finds everything."""

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.exchange import CONFIDENTIAL, PUBLIC, bearer, post, refused
from tests.conformance.requirements import requirement
from tests.conformance.visitor import TOKEN, Visitor, answered
from tests.conftest import MakeApp
from tests.openid_provider.conftest import StartProvider
from tests.openid_provider.relying_party import (
    CONFIGURATION,
    ISSUER,
    SECTOR,
    USERINFO,
    claims,
    tokens,
    verified,
)

PROFILE = {"name": "Alice Adams", "preferred_username": "alice"}
EMAIL = {"email": "alice@example.com", "email_verified": True}


# ---- Discovery


@requirement("OIDCDISC-3-01", "OIDCDISC-3-02", "RPLOGOUT-2.1-01")
def test_the_document_has_what_a_relying_party_needs(visitor: Visitor) -> None:
    document = visitor.http.get(CONFIGURATION).get_json()
    for name in ("authorization", "token", "userinfo", "registration", "end_session"):
        assert document[f"{name}_endpoint"].startswith(f"{ISSUER}/")
    assert document["subject_types_supported"] == ["public", "pairwise"]
    assert "RS256" in document["id_token_signing_alg_values_supported"]
    assert document["request_uri_parameter_supported"] is False
    assert len(visitor.http.get(document["jwks_uri"]).get_json()["keys"]) == 2
    assert visitor.http.get(document["end_session_endpoint"]).status_code == 200


@requirement("OIDCDISC-4.3-01")
def test_the_issuer_is_the_one_of_the_id_tokens(visitor: Visitor) -> None:
    document = visitor.http.get(f"{ISSUER}{CONFIGURATION}").get_json()
    assert document["issuer"] == claims(visitor, visitor.register())["iss"] == ISSUER


@requirement("OIDCDISC-3-03")
def test_scripts_may_ask_who_the_user_is_and_for_the_keys(visitor: Visitor) -> None:
    for path in (USERINFO, "/oauth2/jwks", TOKEN):
        preflight = visitor.http.options(path, headers={"Origin": "https://app.example"})
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    page = visitor.open(visitor.register(), scope="openid")
    assert "Access-Control-Allow-Origin" not in page.headers


def test_keys_and_subjects_outlive_a_restart_and_are_for_nobody_else(
    start_provider: StartProvider, tmp_path: Path
) -> None:
    before, after = (Visitor(start_provider(tmp_path)) for _ in range(2))
    keys = before.http.get("/oauth2/jwks").get_json()
    assert after.http.get("/oauth2/jwks").get_json() == keys
    assert all(key.keys().isdisjoint({"d", "p", "q", "dp", "dq", "qi"}) for key in keys["keys"])
    assert (tmp_path / "openid_signing_keys.json").stat().st_mode & 0o77 == 0
    client = before.register(**PUBLIC, subject_type="pairwise")
    assert claims(before, client)["sub"] == claims(after, client)["sub"]


# ---- ID tokens


@requirement("OIDCREG-2-19")
def test_an_id_token_is_signed_with_rs256_unless_the_client_registers_another_algorithm(visitor: Visitor) -> None:
    client = visitor.register()
    assert client["id_token_signed_response_alg"] == "RS256"
    assert verified(visitor, tokens(visitor, client)["id_token"])["sub"] == "alice"
    client = visitor.register(**PUBLIC, id_token_signed_response_alg="ES256")
    assert client["id_token_signed_response_alg"] == "ES256"
    assert verified(visitor, tokens(visitor, client)["id_token"], "ES256")["sub"] == "alice"
    refused(post(visitor.http, {**PUBLIC, "id_token_signed_response_alg": "PS512"}), "invalid_client_metadata")


@requirement("OIDCREG-2-33")
def test_an_id_token_says_for_whom_it_is_and_how_the_user_signed_in(visitor: Visitor) -> None:
    client = visitor.register(**PUBLIC, require_auth_time=True)
    assert client["require_auth_time"] is True
    stated = claims(visitor, client, nonce="a nonce")
    assert (stated["aud"], stated["nonce"]) == (client["client_id"], "a nonce")
    assert stated["acr"] in visitor.http.get(CONFIGURATION).get_json()["acr_values_supported"]
    assert 0 <= stated["iat"] - stated["auth_time"] <= 60
    assert stated["iat"] < stated["exp"]
    assert {"email", "name"}.isdisjoint(stated)  # of which the UserInfo endpoint tells
    assert "nonce" not in claims(visitor, client)
    assert visitor.register().get("require_auth_time", False) is False


@requirement("RFC8725-3.12-01")
def test_an_id_token_is_no_software_statement_and_no_assertion(visitor: Visitor, make_app: MakeApp) -> None:
    """Not even where the provider's own statements are taken."""
    client = visitor.register()
    id_token = tokens(visitor, client)["id_token"]
    issuer = {"issuer": ISSUER, "jwks": visitor.http.get("/oauth2/jwks").get_json()}
    http = make_app(DYNREG_STATEMENT_ISSUERS=[issuer]).test_client()
    body = refused(post(http, {**PUBLIC, "software_statement": id_token}), "invalid_software_statement")
    assert "(aud)" in body["error_description"]
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    fields = {"grant_type": "refresh_token", "refresh_token": "x", "client_assertion_type": kind}
    refused(visitor.token(**fields, client_assertion=id_token), "invalid_client", status=401)


@requirement("RFC6750-3.1-03")
def test_without_the_scope_openid_there_is_no_id_token(visitor: Visitor) -> None:
    issued = tokens(visitor, visitor.register(), scope="profile")
    assert (issued["scope"], "id_token" in issued) == ("profile", False)
    answer = visitor.http.get(USERINFO, headers=bearer(issued["access_token"]))
    assert (answer.status_code, answer.get_json()["error"]) == (403, "insufficient_scope")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="openid"'


def test_an_unknown_scope_is_ignored_and_an_own_choice_is_kept_to(visitor: Visitor) -> None:
    assert tokens(visitor, visitor.register(), scope="openid phone email")["scope"] == "openid email"
    client = visitor.register(**PUBLIC, scope="openid email")
    assert tokens(visitor, client)["scope"] == "openid email"
    visitor.consent_page(client, scope="phone")
    assert answered(visitor.page)["error"] == "invalid_scope"


# ---- UserInfo


@requirement("OIDCREG-2-23")
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_userinfo_is_plain_or_signed_as_registered(visitor: Visitor, algorithm: str) -> None:
    plain = visitor.register()
    answer = visitor.http.get(USERINFO, headers=bearer(tokens(visitor, plain)["access_token"]))
    assert (answer.mimetype, answer.get_json()) == ("application/json", {"sub": "alice", **PROFILE, **EMAIL})
    signed = visitor.register(**PUBLIC, userinfo_signed_response_alg=algorithm)
    answer = visitor.http.get(USERINFO, headers=bearer(tokens(visitor, signed, scope="openid")["access_token"]))
    assert answer.mimetype == "application/jwt"
    assert verified(visitor, answer.text, algorithm) == {"sub": "alice", "iss": ISSUER, "aud": signed["client_id"]}


def test_userinfo_follows_the_scope_and_takes_the_token_from_a_form(visitor: Visitor) -> None:
    token = tokens(visitor, visitor.register(), scope="openid email")["access_token"]
    for answer in (
        visitor.http.post(USERINFO, headers=bearer(token)),
        visitor.http.post(USERINFO, data={"access_token": token}),
    ):
        assert answer.get_json() == {"sub": "alice", **EMAIL}
        assert answer.headers["Cache-Control"] == "no-store"
    assert visitor.http.get(f"{USERINFO}?access_token={token}").status_code == 401


def test_userinfo_is_told_to_nobody_whose_token_is_not_good(visitor: Visitor) -> None:
    client = visitor.register()
    issued = tokens(visitor, client)
    visitor.http.post("/oauth2/revoke", data={"client_id": client["client_id"], "token": issued["access_token"]})
    for headers in ({}, bearer("x"), bearer(issued["access_token"]), {"Authorization": "Basic eDp5"}):
        answer = visitor.http.get(USERINFO, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].lower().startswith("bearer ")


# ---- Subjects


def subject(visitor: Visitor, **metadata: Any) -> str:
    """The user as a client with this metadata knows them."""
    client = visitor.register(**{**CONFIDENTIAL, "token_endpoint_auth_method": "client_secret_post", **metadata})
    issued = tokens(visitor, client)
    answer = visitor.http.get(USERINFO, headers=bearer(issued["access_token"]))
    sub: str = verified(visitor, issued["id_token"])["sub"]
    assert answer.get_json()["sub"] == sub
    return sub


@requirement("OIDCCORE-8.1-02")
def test_a_pairwise_subject_is_for_the_host_of_the_redirect_uris(visitor: Visitor) -> None:
    one = subject(visitor, subject_type="pairwise")
    same = subject(
        visitor, subject_type="pairwise", redirect_uris=["https://app.example/other", "https://app.example/cb"]
    )
    other = subject(visitor, subject_type="pairwise", redirect_uris=["https://other.example/cb"])
    assert one == same != other
    assert "alice" not in (one, other)
    assert subject(visitor) == subject(visitor, subject_type="public") == "alice"


@requirement("OIDCREG-2-17", "OIDCCORE-8.1-02")
def test_a_pairwise_subject_is_for_the_host_of_the_sector_identifier_uri(visitor: Visitor) -> None:
    sector = {"subject_type": "pairwise", "sector_identifier_uri": "https://sector.example/sector.json"}
    one, two = (subject(visitor, **sector, redirect_uris=[uri]) for uri in SECTOR[1:])
    assert one == two
    elsewhere = sector | {"sector_identifier_uri": "https://elsewhere.example/sector.json"}
    assert subject(visitor, **elsewhere, redirect_uris=SECTOR[1:]) != one
