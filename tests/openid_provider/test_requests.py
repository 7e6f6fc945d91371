"""What a relying party asks for: a recent login, no page, by a link, a form or a signed object."""

import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from tests.conformance.exchange import CONFIDENTIAL, PUBLIC, REDIRECT_URI, Client, post, refused
from tests.conformance.requirements import requirement
from tests.conformance.visitor import CHALLENGE, VERIFIER, Visitor, answered
from tests.openid_provider.relying_party import (
    CONFIGURATION,
    ISSUER,
    asks_for_password,
    claims,
    let_time_pass,
    tokens,
    verified,
)

# ---- When the user signs in


@requirement("OIDCREG-2-32")
def test_a_login_older_than_the_default_max_age_is_done_again(visitor: Visitor) -> None:
    for wrong in ("60", -1, True, 1.5):
        refused(post(visitor.http, {**PUBLIC, "default_max_age": wrong}), "invalid_client_metadata")
    client = visitor.register(**PUBLIC, default_max_age=60)
    first = claims(visitor, client)["auth_time"]
    assert not asks_for_password(visitor, client)
    let_time_pass(visitor, 100)
    assert not asks_for_password(visitor, client, max_age="200")
    assert claims(visitor, client, max_age="200")["auth_time"] == first - 100
    assert asks_for_password(visitor, client)
    assert claims(visitor, client)["auth_time"] >= first


@pytest.mark.parametrize("parameters", [{"max_age": "0"}, {"prompt": "login"}, {"prompt": "select_account consent"}])
def test_a_client_may_have_the_user_sign_in_again(visitor: Visitor, parameters: dict[str, str]) -> None:
    client = visitor.register()
    first = claims(visitor, client)["auth_time"]
    let_time_pass(visitor, 10)
    assert asks_for_password(visitor, client, **parameters, nonce="1")
    assert claims(visitor, client, **parameters, nonce="2")["auth_time"] >= first
    assert not asks_for_password(visitor, client)


def test_a_max_age_that_is_no_number_of_seconds_is_refused(visitor: Visitor) -> None:
    client = visitor.register()
    for wrong in ("-1", "1.5", "x", "\u0661", "9" * 5000):
        answer = answered(visitor.consent_page(client, scope="openid", max_age=wrong))
        assert answer["error_description"] == "max_age must be a number of seconds."


def test_a_nonce_that_no_store_would_take_is_refused(visitor: Visitor) -> None:
    answer = answered(visitor.consent_page(visitor.register(), scope="openid", nonce="a\0nonce"))
    assert answer["error_description"] == "nonce must have no control characters."


def test_a_silent_request_shows_no_page(visitor: Visitor) -> None:
    client = visitor.register()
    assert answered(visitor.open(client, scope="openid", prompt="none")) == {
        "error": "login_required",
        "state": "a state",
        "iss": ISSUER,
    }
    tokens(visitor, client)
    assert answered(visitor.open(client, scope="openid", prompt="none"))["error"] == "consent_required"
    assert answered(visitor.open(client, scope="openid", prompt="none consent"))["error"] == "invalid_request"


def test_a_request_may_be_posted(visitor: Visitor) -> None:
    client = visitor.register()
    parameters = {
        "response_type": "code",
        "client_id": client["client_id"],
        "scope": "openid",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "nonce": "a nonce",
    }
    answer = visitor.http.post("/oauth2/authorize", data=parameters)
    assert answer.status_code == 303
    visitor.url, visitor.page = answer.location, visitor.http.get(answer.location)
    visitor.sign_in()
    visitor.url = answer.location
    code = answered(visitor.press(decision="allow"))["code"]
    fields = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    issued = visitor.token(client_id=client["client_id"], **fields).get_json()
    assert verified(visitor, issued["id_token"])["nonce"] == "a nonce"


@pytest.mark.parametrize("name", ["request_uri", "registration"])
def test_what_is_not_supported_is_refused_by_name(visitor: Visitor, name: str) -> None:
    page = visitor.consent_page(visitor.register(), scope="openid", **{name: "x"})
    assert answered(page)["error"] == f"{name}_not_supported"


def test_without_pkce_a_client_needs_a_secret_and_a_nonce(visitor: Visitor) -> None:
    no_challenge = {"scope": "openid", "code_challenge": None, "code_challenge_method": None}
    for metadata in (PUBLIC, {**CONFIDENTIAL, "token_endpoint_auth_method": "client_secret_post"}):
        client = visitor.register(**metadata)
        for nonce in ("a nonce", None):
            page = visitor.consent_page(client, **no_challenge, nonce=nonce)
            if "client_secret" not in client or not nonce:
                assert answered(page)["error_description"].startswith("PKCE is required")
    code = answered(visitor.allow(client, **no_challenge, nonce="a nonce"))["code"]
    itself = {"client_id": client["client_id"], "client_secret": client["client_secret"], "redirect_uri": REDIRECT_URI}
    request = {"grant_type": "authorization_code", "code": code, **itself}
    refused(visitor.token(**request, code_verifier=VERIFIER), "invalid_grant")
    assert "id_token" in visitor.token(**request).get_json()


# ---- Request objects


KEYS: dict[str, RSAKey | ECKey] = {
    "RS256": RSAKey.generate_key(2048, {"use": "sig", "kid": "RS256"}),
    "ES256": ECKey.generate_key("P-256", {"use": "sig", "kid": "ES256"}),
}
WITH_KEYS = {**PUBLIC, "jwks": {"keys": [key.as_dict(private=False) for key in KEYS.values()]}}


def request_object(client: Client, algorithm: str, **changes: Any) -> str:
    parameters = {
        "iss": client["client_id"],
        "aud": ISSUER,
        "client_id": client["client_id"],
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": "openid",
        "state": "a signed state",
        "max_age": 300,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    payload = json.dumps(parameters | changes)
    return jws.serialize_compact({"alg": algorithm, "kid": algorithm}, payload, KEYS[algorithm])


@requirement("OIDCREG-2-25", "OIDCREG-2-26")
@pytest.mark.parametrize("registered", ["RS256", "ES256"])
def test_a_request_object_is_signed_as_the_client_registered(visitor: Visitor, registered: str) -> None:
    document = visitor.http.get(CONFIGURATION).get_json()
    assert registered in document["request_object_signing_alg_values_supported"]
    client = visitor.register(**WITH_KEYS, request_object_signing_alg=registered)
    signed = request_object(client, registered)
    assert answered(visitor.allow(client, request=signed, scope="openid email"))["state"] == "a signed state"
    other = request_object(client, "ES256" if registered == "RS256" else "RS256")
    head, body, signature = signed.split(".")
    unsigned = f"eyJhbGciOiJub25lIn0.{body}."
    expired = request_object(client, registered, exp=1)
    elsewhere = request_object(visitor.register(**WITH_KEYS), registered)
    misled = request_object(client, registered, aud="https://other.example")
    broken = request_object(client, registered, state="\ud800")
    forged = f"{head}.{body}.{signature[::-1]}"
    for wrong in (other, unsigned, expired, elsewhere, misled, broken, forged, "x", "..", "[].[].", ""):
        answer = answered(visitor.consent_page(client, request=wrong))
        assert (answer["error"], answer["state"]) == ("invalid_request_object", "a state")


def test_keys_are_fetched_for_a_request_object_alone_whose_algorithm_is_taken(visitor: Visitor) -> None:
    """There is no such host: who looks for it is told to come back."""
    keys = {**PUBLIC, "jwks_uri": "https://app.example/jwks.json"}
    client = visitor.register(**keys, request_object_signing_alg="ES256")
    unsigned = f"eyJhbGciOiJub25lIn0.{request_object(client, 'ES256').split('.')[1]}."
    for wrong in (request_object(client, "RS256"), unsigned):
        assert answered(visitor.consent_page(client, request=wrong))["error"] == "invalid_request_object"
    sound = request_object(client, "ES256")
    assert answered(visitor.consent_page(client, request=sound))["error"] == "temporarily_unavailable"
    client, es384 = visitor.register(**keys), "eyJhbGciOiJFUzM4NCJ9"
    unknown = ".".join([es384, *sound.split(".")[1:]])
    assert answered(visitor.consent_page(client, request=unknown))["error"] == "invalid_request_object"


def test_what_the_client_signed_holds_through_sign_in_and_consent(visitor: Visitor) -> None:
    client = visitor.register(**WITH_KEYS)
    places = ["https://one.example/api", "https://two.example/api"]
    signed = request_object(client, "ES256", nonce="a signed nonce", prompt="login", resource=places)
    bare = dict.fromkeys(["redirect_uri", "code_challenge", "code_challenge_method", "state"])
    issued = tokens(visitor, client, **bare, request=signed, scope="openid email", nonce="another nonce")
    assert issued["scope"] == "openid"
    assert verified(visitor, issued["id_token"])["nonce"] == "a signed nonce"
    assert all(place in visitor.page.text for place in places)


@requirement("RFC9101-10.5-01", "RFC9101-10.5-02")
def test_a_client_may_insist_on_request_objects(visitor: Visitor) -> None:
    client = visitor.register(**WITH_KEYS, require_signed_request_object=True)
    answer = answered(visitor.consent_page(client, scope="openid"))
    assert (answer["error"], "must use signed request objects" in answer["error_description"]) == (
        "invalid_request",
        True,
    )
    signed = request_object(client, "ES256")
    unsigned = f"eyJhbGciOiJub25lIn0.{signed.split('.')[1]}."
    assert answered(visitor.consent_page(client, request=unsigned))["error"] == "invalid_request_object"
    assert "code" in answered(visitor.allow(client, request=signed))
