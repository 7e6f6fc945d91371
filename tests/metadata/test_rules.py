"""The rules between members, which only refuse: cross-field rules of the specification. And how refusals are told."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_dynreg.errors import RefusedMetadataError
from tests.hostile import json_values
from tests.metadata.checking import APP, REDIRECT, App
from tests.metadata.keys import ec_jwk, okp_jwk, rsa_jwk

JWKS_URI = "https://client.example/jwks"
JWKS = {"keys": [ec_jwk()]}
SERVER = {
    "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials", "implicit"],
    "response_types_supported": ["code", "token"],
}
WIDE = App(SERVER)
REJECT = App(SERVER, DYNREG_UNSUPPORTED="reject")


def refusal(sent: dict[str, Any], app: App = APP) -> RefusedMetadataError:
    error = app.refusal(**sent)
    assert error is not None
    return error


# ---- Redirect URIs, grant types, response types


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"redirect_uris": []},
        {"redirect_uris": None},
        {"grant_types": ["authorization_code", "client_credentials"]},
        {"grant_types": ["authorization_code"], "response_types": ["code"]},
        {"grant_types": ["implicit"], "response_types": ["token"]},
    ],
)
def test_a_grant_type_that_redirects_needs_a_redirect_uri(sent: dict[str, Any]) -> None:
    assert WIDE.pointers(**sent) == ["/redirect_uris"]
    assert refusal(sent, WIDE).error == "invalid_redirect_uri"


def test_another_grant_type_needs_none_but_may_have_some() -> None:
    machine = {"grant_types": ["client_credentials"]}
    assert APP.pointers(**machine) == APP.pointers(**machine, **REDIRECT) == []
    assert APP.pointers(**machine, redirect_uris=["http://client.example/cb"]) == ["/redirect_uris/0"]


@pytest.mark.parametrize(
    ("grants", "pointers"),
    [
        (["password"], ["/grant_types"]),
        (["implicit", "unknown"], ["/grant_types"]),
        (["refresh_token"], ["/grant_types"]),
        (["refresh_token", "password"], ["/grant_types"]),
        (["refresh_token", "client_credentials"], []),
        (["refresh_token", "authorization_code"], []),
    ],
)
def test_a_grant_type_must_be_left_that_can_stand_alone(grants: list[str], pointers: list[str]) -> None:
    assert APP.pointers(**REDIRECT, grant_types=grants, response_types=["code"]) == pointers


def test_the_grant_types_that_would_be_right_are_told() -> None:
    (problem,) = APP.problems(**REDIRECT, grant_types=["password"])
    for grant in ("authorization_code", "client_credentials", "refresh_token"):
        assert grant in problem.description


@pytest.mark.parametrize(
    ("grants", "responses"),
    [
        (["authorization_code"], []),
        (["authorization_code"], ["token"]),
        (["authorization_code"], ["unknown", "code id_token"]),
        (["implicit"], []),
        (["implicit"], ["code"]),
        (["implicit"], None),
    ],
)
def test_a_grant_type_that_redirects_needs_a_response_type(grants: list[str], responses: list[str] | None) -> None:
    assert WIDE.pointers(**REDIRECT, grant_types=grants, response_types=responses) == ["/response_types"]


# ---- Methods and keys


def test_the_methods_that_would_be_right_are_told() -> None:
    (problem,) = APP.problems(**REDIRECT, token_endpoint_auth_method="tls_client_auth")
    for method in ("none", "client_secret_basic", "client_secret_post", "private_key_jwt"):
        assert method in problem.description


def test_a_method_of_the_server_that_this_extension_does_not_know_is_refused() -> None:
    app = App({"token_endpoint_auth_methods_supported": ["attest_jwt_client_auth", "none"]})
    assert app.pointers(**REDIRECT, token_endpoint_auth_method="attest_jwt_client_auth") == [
        "/token_endpoint_auth_method"
    ]
    assert app.registered(**REDIRECT)["token_endpoint_auth_method"] == "none"


@pytest.mark.parametrize("method", [None, "none", "client_secret_basic", "private_key_jwt"])
def test_keys_are_in_one_place(method: str | None) -> None:
    sent = {**REDIRECT, "token_endpoint_auth_method": method, "jwks": JWKS, "jwks_uri": JWKS_URI}
    assert APP.pointers(**sent) == ["/jwks"]
    assert APP.pointers(**sent | {"jwks": None}) == APP.pointers(**sent | {"jwks_uri": ""}) == []


@pytest.mark.parametrize(
    "key",
    [
        rsa_jwk(),
        rsa_jwk(alg="RS256"),
        rsa_jwk(use="sig", kid="1"),
        rsa_jwk(key_ops=["verify"]),
        ec_jwk(),
        ec_jwk(use="sig"),
        okp_jwk(),
        okp_jwk(alg="EdDSA"),
        okp_jwk(alg="Ed25519"),
        okp_jwk("Ed448"),
    ],
)
def test_private_key_jwt_works_with_a_key_for_signatures(key: dict[str, Any]) -> None:
    assert APP.pointers(**REDIRECT, token_endpoint_auth_method="private_key_jwt", jwks={"keys": [key]}) == []


def test_private_key_jwt_works_with_keys_elsewhere() -> None:
    assert APP.pointers(**REDIRECT, token_endpoint_auth_method="private_key_jwt", jwks_uri=JWKS_URI) == []


@pytest.mark.parametrize(
    "keys",
    [
        None,
        [ec_jwk(use="enc")],
        [okp_jwk("X25519")],
        [okp_jwk("X448")],
        [rsa_jwk(use="enc"), okp_jwk("X25519", use="enc")],
        [rsa_jwk(alg="RS512")],  # SERVER_METADATA has RS256, ES256 and EdDSA
        [ec_jwk("P-384")],
        [ec_jwk(alg="ES384")],
        [rsa_jwk(key_ops=["encrypt"])],
        [rsa_jwk(key_ops="verify")],
    ],
)
def test_private_key_jwt_needs_a_key_for_signatures(keys: list[Any] | None) -> None:
    jwks = {"jwks": {"keys": keys}} if keys else {}
    assert APP.pointers(**REDIRECT, token_endpoint_auth_method="private_key_jwt", **jwks) == ["/jwks"]
    assert APP.pointers(**REDIRECT, **jwks) == []


# ---- DYNREG_UNSUPPORTED = "reject"


@pytest.mark.parametrize(
    ("sent", "pointers"),
    [
        ({"grant_types": ["authorization_code", "password"]}, ["/grant_types"]),
        ({"grant_types": ["authorization_code", "authorization_code"]}, []),
        ({"response_types": ["code", "id_token"]}, ["/response_types"]),
        ({"response_types": ["code", "token"]}, ["/response_types"]),
        ({"grant_types": ["authorization_code", "implicit"], "response_types": ["code", "token"]}, []),
        ({"grant_types": ["client_credentials"], "response_types": ["code"]}, ["/response_types"]),
        (
            {"grant_types": ["authorization_code", "password"], "response_types": ["code", "x"]},
            ["/grant_types", "/response_types"],
        ),
        (
            {"grant_types": ["authorization_code", "client_credentials"], "token_endpoint_auth_method": "none"},
            ["/grant_types"],
        ),
        ({"grant_types": ["authorization_code", "refresh_token"]}, []),
        ({"scope": "unknown"}, []),
        ({}, []),
    ],
)
def test_a_server_may_refuse_instead_of_taking_away(sent: dict[str, Any], pointers: list[str]) -> None:
    assert REJECT.pointers(**REDIRECT, **sent) == pointers
    assert WIDE.pointers(**REDIRECT, **sent) == []


@pytest.mark.parametrize(
    ("sent", "pointers"),
    [
        ({"grant_types": 5, "response_types": ["token"]}, ["/grant_types"]),
        ({"token_endpoint_auth_method": 5, "grant_types": ["client_credentials"]}, ["/token_endpoint_auth_method"]),
        ({"grant_types": ["authorization_code", "password"], "response_types": 5}, ["/response_types", "/grant_types"]),
    ],
)
def test_what_cannot_be_read_neither_causes_a_second_problem_nor_hides_one(
    sent: dict[str, Any], pointers: list[str]
) -> None:
    assert REJECT.pointers(**REDIRECT, **sent) == pointers


@given(
    st.lists(st.sampled_from(["authorization_code", "implicit", "refresh_token", "client_credentials", "password"])),
    st.lists(st.sampled_from(["code", "token", "id_token", "none"])),
    st.sampled_from(["none", "client_secret_basic"]),
)
def test_a_server_that_refuses_registers_exactly_what_nothing_would_be_taken_from(
    grants: list[str], responses: list[str], method: str
) -> None:
    sent = {**REDIRECT, "grant_types": grants, "response_types": responses, "token_endpoint_auth_method": method}
    whole = WIDE.refusal(**sent) is None and WIDE.taken(**sent) == {}
    assert (REJECT.refusal(**sent) is None) is whole
    if whole:
        assert REJECT.registered(**sent) == WIDE.registered(**sent)


# ---- How it is told


def test_all_that_is_wrong_is_told_and_redirect_uris_come_first() -> None:
    sent = {
        "client_name": 5,
        "grant_types": ["password"],
        "logo_uri": "javascript:x",
        "token_endpoint_auth_method": "unknown",
        "contacts": ["a", 1],
        "redirect_uris": ["https://client.example/cb", "http://client.example/cb", "/cb"],
        "jwks": {"keys": [{}]},
    }
    error = refusal(sent)
    assert [problem.pointer for problem in error.problems] == [
        "/redirect_uris/1",
        "/redirect_uris/2",
        "/client_name",
        "/logo_uri",
        "/contacts/1",
        "/jwks/keys/0",
        "/grant_types",
        "/token_endpoint_auth_method",
    ]
    status, body, _ = error()
    assert (status, body["error"]) == (400, "invalid_redirect_uri")
    assert body["error_description"] == f"redirect_uris: {error.problems[0].description}"
    assert [problem["pointer"] for problem in body["errors"]] == [problem.pointer for problem in error.problems]


def test_without_redirect_uris_among_it_the_error_is_about_metadata() -> None:
    status, body, _ = refusal({**REDIRECT, "client_name": 5, "scope": 5})()
    assert (status, body["error"]) == (400, "invalid_client_metadata")
    assert body["error_description"] == "client_name: must be a string."
    assert body["errors"] == [
        {"pointer": "/client_name", "description": "must be a string.", "section": "RFC 7591 section 2"},
        {
            "pointer": "/scope",
            "description": "must be a string of scopes with a space between two.",
            "section": "RFC 7591 section 2",
        },
    ]


def test_a_problem_of_a_tagged_member_is_told_with_its_tag() -> None:
    _, body, _ = refusal({**REDIRECT, "client_name#ja": 5})()
    assert body["errors"][0]["pointer"] == "/client_name#ja"
    assert body["error_description"] == "client_name#ja: must be a string."


@given(
    st.dictionaries(st.sampled_from(["redirect_uris", "client_name", "jwks", "grant_types", "client_uri"]), json_values)
)
def test_what_is_told_holds_nothing_of_what_was_sent_and_names_a_section(sent: dict[str, Any]) -> None:
    error = APP.refusal(**sent)
    for problem in error.problems if error else ():
        assert re.fullmatch(r"must [ -~]+\.( [ -~]+\.)?", problem.description)
        assert not set(problem.description) & set('"\\')
        assert re.match(r"(RFC [0-9]+|OpenID Connect \w+ 1\.0) section [0-9]", problem.section)
