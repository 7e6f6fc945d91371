"""Defaults that come into force, and what is taken away: RFC 7591 section 2, 2.1 and 3.2.1. Nothing else is ever added."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metadata.checking import APP, REDIRECT, App
from tests.metadata.keys import ec_jwk

GRANTS = [
    "authorization_code",
    "implicit",
    "refresh_token",
    "client_credentials",
    "password",
    "urn:ietf:params:oauth:grant-type:device_code",
    "unknown",
]
RESPONSES = ["code", "token", "id_token", "code token", "token code", "code id_token token", "none", "unknown"]
METHODS = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
SCOPES = ["mcp:read", "mcp:write", "offline_access", "admin", ""]

EVERYTHING = App(
    {
        "grant_types_supported": GRANTS[:5],
        "response_types_supported": ["code", "token", "id_token", "code token", "none"],
        "token_endpoint_auth_methods_supported": METHODS,
    }
)
CODE_ONLY = App({"grant_types_supported": ["authorization_code"]})
NO_RESPONSE_TYPES = ["code  token", " code", "code ", "code code", "token code token", "Code"]
MACHINES = App({"grant_types_supported": ["client_credentials"], "response_types_supported": []})
PUBLIC = App({"token_endpoint_auth_methods_supported": ["none"]})
SECRETS = App({"token_endpoint_auth_methods_supported": ["client_secret_post", "none"]})
DEFAULT_SCOPES = App(DYNREG_DEFAULT_SCOPES=["mcp:read"])
NO_SCOPES = App({"scopes_supported": []})
APPS = [APP, EVERYTHING, CODE_ONLY, MACHINES, PUBLIC, SECRETS, DEFAULT_SCOPES, NO_SCOPES]

requests = st.fixed_dictionaries(
    {
        "redirect_uris": st.sampled_from(
            [[], ["https://client.example/cb"], ["http://localhost/cb", "com.example.app:/cb"]]
        )
    },
    optional={
        "grant_types": st.lists(st.sampled_from(GRANTS), max_size=5),
        "response_types": st.lists(st.sampled_from(RESPONSES), max_size=5),
        "token_endpoint_auth_method": st.sampled_from(METHODS),
        "scope": st.lists(st.sampled_from(SCOPES), max_size=6).map(" ".join),
        "contacts": st.lists(st.sampled_from(["a@client.example"]), max_size=1),
        "client_name": st.sampled_from(["A client", ""]),
        "application_type": st.sampled_from(["web", "native", None]),
        "jwks": st.just({"keys": [ec_jwk()]}),
    },
)


def asked_for(sent: dict[str, Any], member: str, default: list[str]) -> list[str]:
    value: list[str] | None = sent.get(member)
    return default if value is None or (value == [] and member == "grant_types") else value


# ---- Defaults


def test_what_is_not_sent_comes_into_force_and_is_shown() -> None:
    assert APP.registered(**REDIRECT) == {
        **REDIRECT,
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic",
    }


def test_a_client_whose_grants_do_not_redirect_has_no_response_types_and_no_redirect_uris() -> None:
    assert APP.registered(grant_types=["client_credentials"]) == {
        "redirect_uris": [],
        "grant_types": ["client_credentials"],
        "response_types": [],
        "token_endpoint_auth_method": "client_secret_basic",
    }


@pytest.mark.parametrize(
    ("supported", "method"),
    [
        (["none", "client_secret_basic"], "client_secret_basic"),
        (["none"], "none"),
        (["client_secret_post", "none"], "client_secret_post"),
        (["none", "client_secret_post"], "none"),
    ],
)
def test_a_method_that_is_not_stated_is_client_secret_basic_or_the_first_of_the_server(
    supported: list[str], method: str
) -> None:
    app = App({"token_endpoint_auth_methods_supported": supported})
    assert app.registered(**REDIRECT)["token_endpoint_auth_method"] == method


@pytest.mark.parametrize("method", [*METHODS, "client_secret_jwt", "tls_client_auth", "unknown"])
def test_a_method_that_is_stated_is_used_or_refused(method: str) -> None:
    for app, supported in ((EVERYTHING, METHODS), (PUBLIC, ["none"]), (SECRETS, ["client_secret_post", "none"])):
        sent = {**REDIRECT, "token_endpoint_auth_method": method, "jwks": {"keys": [ec_jwk()]}}
        if method in supported:
            assert app.registered(**sent)["token_endpoint_auth_method"] == method
        else:
            assert app.pointers(**sent) == ["/token_endpoint_auth_method"]


# ---- What is taken away


@pytest.mark.parametrize(
    ("app", "grants", "responses", "kept_grants", "kept_responses"),
    [
        (APP, ["authorization_code", "implicit"], ["code", "token"], ["authorization_code"], ["code"]),
        (
            APP,
            ["password", "refresh_token", "authorization_code"],
            None,
            ["refresh_token", "authorization_code"],
            ["code"],
        ),
        (APP, ["authorization_code"], ["code", "code id_token", "none"], ["authorization_code"], ["code"]),
        (APP, ["authorization_code", "authorization_code"], ["code", "code"], ["authorization_code"], ["code"]),
        (APP, ["client_credentials"], ["code"], ["client_credentials"], []),
        (APP, ["client_credentials"], ["token", "unknown"], ["client_credentials"], []),
        (CODE_ONLY, ["authorization_code", "refresh_token"], ["code"], ["authorization_code"], ["code"]),
        (MACHINES, ["authorization_code", "client_credentials"], ["code"], ["client_credentials"], []),
        (EVERYTHING, ["implicit"], ["token", "code token"], ["implicit"], ["token"]),
        (
            EVERYTHING,
            ["implicit", "authorization_code"],
            ["token code"],
            ["implicit", "authorization_code"],
            ["token code"],
        ),
        (EVERYTHING, ["authorization_code"], ["code", "code token", "id_token"], ["authorization_code"], ["code"]),
        (
            EVERYTHING,
            ["implicit", "authorization_code"],
            ["code", *NO_RESPONSE_TYPES],
            ["implicit", "authorization_code"],
            ["code"],
        ),
        (EVERYTHING, ["client_credentials"], ["none"], ["client_credentials"], ["none"]),
    ],
)
def test_what_the_server_or_the_grants_cannot_do_is_taken_away(
    app: App, grants: list[str], responses: list[str] | None, kept_grants: list[str], kept_responses: list[str]
) -> None:
    sent = {**REDIRECT, "grant_types": grants, "response_types": responses}
    metadata = app.registered(**sent)
    assert (metadata["grant_types"], metadata["response_types"]) == (kept_grants, kept_responses)


def test_a_client_that_cannot_authenticate_does_not_get_client_credentials() -> None:
    grants = ["client_credentials", "authorization_code"]
    public = {**REDIRECT, "grant_types": grants, "token_endpoint_auth_method": "none"}
    assert APP.registered(**public)["grant_types"] == ["authorization_code"]
    assert APP.taken(**public) == {"grant_types": ["client_credentials"]}
    assert APP.registered(**public | {"token_endpoint_auth_method": "client_secret_post"})["grant_types"] == grants
    assert APP.pointers(**public | {"grant_types": ["client_credentials"]}) == ["/grant_types"]
    assert PUBLIC.registered(**REDIRECT, grant_types=grants)["grant_types"] == ["authorization_code"]


def test_what_was_taken_is_known() -> None:
    sent = {"grant_types": ["password", "authorization_code", "implicit"], "response_types": ["token", "code"]}
    assert APP.taken(**REDIRECT, **sent) == {"grant_types": ["password", "implicit"], "response_types": ["token"]}
    assert APP.taken(**REDIRECT) == {}


# ---- Scope


@pytest.mark.parametrize(
    ("app", "asked", "registered"),
    [
        (APP, None, None),
        (APP, "", None),
        (APP, "mcp:read", "mcp:read"),
        (APP, "offline_access mcp:read", "offline_access mcp:read"),
        (APP, "mcp:read mcp:read mcp:write mcp:read", "mcp:read mcp:write"),
        (APP, "admin", None),
        (APP, "admin mcp:write openid", "mcp:write"),
        (APP, "  mcp:read   mcp:write ", "mcp:read mcp:write"),
        (APP, "MCP:READ mcp:read,mcp:write mcp:read\tmcp:write", None),
        (APP, 'mcp:read \u00e9 \0 " \\ mcp:write', "mcp:read mcp:write"),
        (DEFAULT_SCOPES, None, "mcp:read"),
        (DEFAULT_SCOPES, "admin", "mcp:read"),
        (DEFAULT_SCOPES, "mcp:write", "mcp:write mcp:read"),
        (DEFAULT_SCOPES, "mcp:read mcp:write", "mcp:read mcp:write"),
        (NO_SCOPES, "mcp:read", None),
        (NO_SCOPES, None, None),
    ],
)
def test_scope_is_what_is_asked_for_and_allowed_and_what_every_client_gets(
    app: App, asked: str | None, registered: str | None
) -> None:
    assert app.registered(**REDIRECT, scope=asked).get("scope") == registered


# ---- For every request


@given(st.sampled_from(APPS), requests)
def test_narrowing_only_takes_away(app: App, sent: dict[str, Any]) -> None:
    if app.refusal(**sent):
        return
    metadata, taken = app.registered(**sent), app.taken(**sent)
    grants = asked_for(sent, "grant_types", ["authorization_code"])
    responses = asked_for(sent, "response_types", ["code"] if "authorization_code" in grants else [])
    for member, asked in (("grant_types", grants), ("response_types", responses)):
        kept = metadata[member]
        assert kept == [name for name in dict.fromkeys(asked) if name in kept]  # a part of it, in its order
        assert set(kept) | set(taken.get(member, [])) == set(asked) and not set(kept) & set(taken.get(member, []))
    untouched = sent.keys() - {"grant_types", "response_types", "scope"}
    assert metadata.items() >= {name: sent[name] for name in untouched if sent[name]}.items()


@given(st.sampled_from(APPS), requests)
def test_what_is_registered_can_be_had_and_fits_together(app: App, sent: dict[str, Any]) -> None:
    if app.refusal(**sent):
        return
    metadata = app.registered(**sent)
    grants, words = set(metadata["grant_types"]), set(" ".join(metadata["response_types"]).split())
    assert grants and grants != {"refresh_token"}
    assert ("code" in words) <= ("authorization_code" in grants)
    assert bool({"token", "id_token"} & words) <= ("implicit" in grants)
    assert bool(grants & {"authorization_code", "implicit"}) <= bool(
        metadata["response_types"] and metadata["redirect_uris"]
    )
    assert not (metadata["token_endpoint_auth_method"] == "none" and "client_credentials" in grants)


@given(st.sampled_from(APPS), requests)
def test_a_client_that_sends_back_what_it_got_gets_the_same(app: App, sent: dict[str, Any]) -> None:
    if app.refusal(**sent):
        return
    metadata = app.registered(**sent)
    assert app.registered(**metadata) == metadata
    assert app.taken(**metadata) == {}


@given(st.lists(st.sampled_from(SCOPES), max_size=6), st.sets(st.sampled_from(SCOPES[:3])))
def test_scope_is_never_a_reason_to_refuse(asked: list[str], defaults: set[str]) -> None:
    app = App(DYNREG_DEFAULT_SCOPES=sorted(defaults))
    registered = set(app.registered(**REDIRECT, scope=" ".join(asked)).get("scope", "").split())
    assert registered == (set(asked) | defaults) & set(SCOPES[:3])


@given(st.text())
def test_whatever_is_in_a_scope_only_what_is_allowed_is_registered(scope: str) -> None:
    assert set(APP.registered(**REDIRECT, scope=scope).get("scope", "").split()) <= set(SCOPES[:3])
