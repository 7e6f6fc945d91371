"""What a registered client can be asked: its metadata, and Authlib's `ClientMixin`. However it was read."""

from typing import Any

import pytest
from authlib.oauth2.rfc6749 import ClientMixin
from sqlalchemy import update

from flask_dynreg import RegisteredClientMixin
from flask_dynreg.registry.models import table_of
from tests.metadata.checking import client
from tests.metadata.keys import ec_jwk
from tests.registry.conftest import StartHost
from tests.registry.host import Host

METADATA: dict[str, Any] = {
    "redirect_uris": ["https://client.example/1", "https://client.example/2"],
    "token_endpoint_auth_method": "private_key_jwt",
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code", "code id_token"],
    "client_name": "A client",
    "client_uri": "https://client.example/",
    "logo_uri": "https://client.example/logo.png",
    "scope": "mcp:read mcp:write",
    "contacts": ["a@client.example"],
    "tos_uri": "https://client.example/tos",
    "policy_uri": "https://client.example/policy",
    "jwks_uri": "https://client.example/jwks",
    "software_id": "id",
    "software_version": "1",
    "software_statement": "e30.e30.c2ln",
}
NOTHING: dict[str, Any] = {
    "redirect_uris": [],
    "token_endpoint_auth_method": "client_secret_basic",
    "grant_types": [],
    "response_types": [],
    "client_name": None,
    "client_uri": None,
    "logo_uri": None,
    "scope": "",
    "contacts": [],
    "tos_uri": None,
    "policy_uri": None,
    "jwks_uri": None,
    "software_id": None,
    "software_version": None,
    "software_statement": None,
}


def loaded(host: Host, **metadata: Any) -> RegisteredClientMixin:
    found = host.dynreg.query_client(host.registered(**metadata).client.client_id)
    assert found
    return found


@pytest.mark.parametrize("member", METADATA)
def test_every_member_has_a_reader(member: str) -> None:
    assert getattr(client(**METADATA), member) == METADATA[member]
    assert getattr(client(), member) == NOTHING[member]


def test_keys_are_a_key_set_that_may_be_empty() -> None:
    assert client(jwks={"keys": [ec_jwk()]}).jwks == {"keys": [ec_jwk()]}
    assert client().jwks == {"keys": []}


def test_what_was_read_can_be_changed_without_harm() -> None:
    one = client(**METADATA)
    one.redirect_uris.append("https://evil.example/")
    one.grant_types.clear()
    one.contacts.append("x")
    one.jwks["keys"] = [1]
    assert (one.redirect_uris, one.grant_types, one.contacts) == tuple(
        METADATA[member] for member in ("redirect_uris", "grant_types", "contacts")
    )
    assert not one.check_redirect_uri("https://evil.example/")


def test_new_metadata_is_read_at_once() -> None:
    one = client(client_name="Before")
    assert one.client_name == "Before"
    one.set_client_metadata({"client_name": "After"})
    assert one.client_name == "After" and one.client_metadata == {"client_name": "After"}


NAMES = {
    "client_name": "Client",
    "client_name#ja-Jpan-JP": "\u30af\u30e9\u30a4\u30a2\u30f3\u30c8",
    "client_name#de": "Klient",
    "client_name#de-CH": "Chlient",
    "client_name#ZH-hant-tw": "\u7528\u6236\u7aef",
    "client_name#en-x-de": "Private",
    "client_names#de": "Unknown",
    "client_uri#fr": "https://client.example/fr",
}


@pytest.mark.parametrize(
    ("languages", "language"),
    [
        ([], None),
        (["de"], "de"),
        (["DE-ch"], "de-CH"),
        (["de-AT"], "de"),
        (["de-CH-1996-x-a"], "de-CH"),
        (["ja"], "ja-Jpan-JP"),
        (["ja-JP"], "ja-Jpan-JP"),
        (["ja-US"], None),
        (["zh-TW"], "ZH-hant-tw"),
        (["zh-Hant"], "ZH-hant-tw"),
        (["zh-Hans"], None),
        (["fr", "de", "ja"], "de"),
        (["fr-CA", "ja", "de"], "ja-Jpan-JP"),
        (["en-de"], None),
        (["en"], "en-x-de"),
        (["fr"], None),
        (["*", "", "-", "x", "#", "d"], None),
    ],
)
def test_a_name_is_that_of_the_first_language_that_has_one(languages: list[str], language: str | None) -> None:
    name = f"client_name#{language}" if language else "client_name"
    assert client(**NAMES).localized("client_name", languages) == NAMES[name]
    assert client(**NAMES).localized("client_name", iter(languages)) == NAMES[name]


def test_where_no_language_suits_any_value_will_do_and_none_is_none() -> None:
    assert client(**NAMES).localized("client_uri", ["de"]) == "https://client.example/fr"
    assert client(**NAMES).localized("client_uri") == "https://client.example/fr"
    assert client(**NAMES).localized("logo_uri", ["de"]) is None
    assert client().localized("client_name", ["de"]) is None


def test_numbers_that_json_does_not_have_are_not_kept() -> None:
    with pytest.raises(ValueError, match="JSON"):
        client().set_client_metadata({"x": float("nan")})


def test_a_client_is_one_of_authlibs_however_it_was_read(sqlite_host: Host) -> None:
    registered = sqlite_host.registered(client_name="A client")
    instance = sqlite_host.dynreg.query_client(registered.client.client_id)
    assert isinstance(instance, sqlite_host.models.client)
    for one in (registered.client, sqlite_host.record(registered), instance):
        assert isinstance(one, ClientMixin)
        assert one.get_client_id() == registered.client.client_id
        assert one.client_info == {"client_id": one.client_id, "client_id_issued_at": sqlite_host.clock.now}
        assert one.client_name == "A client"
        assert one.check_client_secret(registered.client_secret)
        assert one.check_redirect_uri("https://client.example/cb")


# ---- Authlib's questions


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("mcp:read", "mcp:read"),
        ("mcp:write mcp:read", "mcp:write mcp:read"),
        ("mcp:read admin", "mcp:read"),
        ("admin", ""),
        ("", ""),
        (None, ""),
        (["mcp:read", "admin"], "mcp:read"),
        ("MCP:READ", ""),
    ],
)
def test_scopes_are_allowed_that_are_registered(asked: Any, allowed: str) -> None:
    assert client(scope="mcp:read mcp:write").get_allowed_scope(asked) == allowed
    assert client().get_allowed_scope(asked) == ""


@pytest.mark.parametrize("endpoint", ["token", "revocation", "introspection", "pushed_authorization_request"])
def test_the_registered_method_holds_at_every_endpoint(endpoint: str) -> None:
    one = client(token_endpoint_auth_method="client_secret_post")
    assert one.check_endpoint_auth_method("client_secret_post", endpoint)
    for method in ("none", "client_secret_basic", "private_key_jwt", ""):
        assert not one.check_endpoint_auth_method(method, endpoint)
    assert client().check_endpoint_auth_method("client_secret_basic", endpoint)
    assert not client().check_endpoint_auth_method("none", endpoint)


@pytest.mark.parametrize(
    ("response_type", "registered"),
    [
        ("code", True),
        ("code id_token", True),
        ("id_token code", True),
        ("code  id_token", False),
        ("code id_token code", False),
        ("code ", False),
        ("id_token", False),
        ("token", False),
        ("code token", False),
        ("", False),
    ],
)
def test_the_order_of_the_words_of_a_response_type_does_not_matter(response_type: str, registered: bool) -> None:
    assert client(**METADATA).check_response_type(response_type) is registered
    assert not client().check_response_type(response_type)


def test_grant_types_are_those_that_are_registered() -> None:
    one = client(**METADATA)
    assert one.check_grant_type("authorization_code") and one.check_grant_type("refresh_token")
    assert not one.check_grant_type("client_credentials") and not one.check_grant_type("")
    assert not client().check_grant_type("authorization_code")


# ---- Secrets


@pytest.mark.parametrize("keys", [[], ["A" * 43 + "="]], ids=["digest", "encrypted"])
def test_a_secret_is_good_until_it_is_over(start_host: StartHost, sqlite_url: str, keys: list[str]) -> None:
    host = start_host(sqlite_url, DYNREG_SECRET_KEYS=keys, DYNREG_CLIENT_SECRET_LIFETIME=60)
    registered = host.registered()
    one = host.dynreg.query_client(registered.client.client_id)
    assert one and one.client_secret_expires_at == host.clock.now + 60
    assert one.check_client_secret(registered.client_secret)
    host.clock.now += 59
    assert one.check_client_secret(registered.client_secret)
    host.clock.now += 1
    assert not one.check_client_secret(registered.client_secret)


def test_a_secret_that_can_be_read_is_a_key_until_it_is_over(start_host: StartHost, sqlite_url: str) -> None:
    host = start_host(sqlite_url, DYNREG_SECRET_KEYS=["A" * 43 + "="], DYNREG_CLIENT_SECRET_LIFETIME=60)
    registered = host.registered()
    one = host.dynreg.query_client(registered.client.client_id)
    assert one and one.symmetric_key() == registered.client_secret
    host.clock.now += 60
    assert one.symmetric_key() is None


def test_a_secret_of_which_a_digest_is_kept_is_no_key(sqlite_host: Host) -> None:
    assert loaded(sqlite_host).symmetric_key() is None
    assert loaded(sqlite_host, token_endpoint_auth_method="none").symmetric_key() is None


def test_a_secret_without_an_end_is_good_for_ever(sqlite_host: Host) -> None:
    registered = sqlite_host.registered()
    sqlite_host.clock.now += 10**9
    assert registered.client.client_secret_expires_at == 0
    assert sqlite_host.record(registered).check_client_secret(registered.client_secret)


@pytest.mark.parametrize("presented", [None, "", "x", "\u00e9", "\ud800", b"x", 1])
def test_no_other_secret_is_good(sqlite_host: Host, presented: object) -> None:
    for metadata in ({}, {"token_endpoint_auth_method": "none"}):
        assert not loaded(sqlite_host, **metadata).check_client_secret(presented)


def test_a_secret_that_an_earlier_model_kept_in_the_clear_is_good(sqlite_host: Host) -> None:
    one = loaded(sqlite_host)
    sqlite_host.session.execute(update(table_of(sqlite_host.models.client)).values(client_secret="s\u00e9cret"))
    sqlite_host.session.commit()
    assert one.check_client_secret("s\u00e9cret") and not one.check_client_secret("secret")


@pytest.mark.parametrize(("status", "is_active"), [(None, True), ("active", True), ("suspended", False)])
def test_a_suspended_client_may_nothing(status: str | None, is_active: bool) -> None:
    suspended: Any = client(**METADATA)
    suspended.status = status
    assert suspended.is_active is is_active
    assert suspended.check_endpoint_auth_method("private_key_jwt", "token") is is_active
    assert suspended.check_grant_type("refresh_token") is is_active
    assert suspended.check_response_type("code") is is_active
    assert suspended.check_redirect_uri("https://client.example/1")


@pytest.mark.parametrize("member", ["client_name#ja", "logo_uri", "scope", "jwks_uri", "tls_client_auth_subject_dn"])
def test_the_fingerprint_of_consent_is_another_when_what_was_agreed_to_is(member: str) -> None:
    one, other = (client(**METADATA | {member: value}) for value in ("CN=a", "CN=b"))
    assert one.consent_fingerprint != other.consent_fingerprint
    assert (
        one.consent_fingerprint == client(**one.client_metadata | {"tos_uri": "https://b.example"}).consent_fingerprint
    )
