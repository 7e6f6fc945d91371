"""A name whose feature the server does not declare is unknown: ignored whatever its value, and absent from the answer."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.requirements import requirement
from tests.vocabulary.provider import BASE, SERVER, Provider, provider, same
from tests.vocabulary.registry import CHOICES, KEPT, LOCALIZABLE, SENT, STATEMENT
from tests.vocabulary.values import SOUND, sent

PROVIDER = ("subject_types_supported", "id_token_signing_alg_values_supported")
FEDERATION = ("client_registration_types_supported",)
BY_REFERENCE = ("request_uri_parameter_supported", "require_request_uri_registration")
REQUEST_OBJECTS = ("request_parameter_supported", *BY_REFERENCE, "request_object_signing_alg_values_supported")
ALWAYS_KNOWN = {
    *("redirect_uris", "token_endpoint_auth_method", "grant_types", "response_types", "client_name", "client_uri"),
    *("logo_uri", "scope", "contacts", "tos_uri", "policy_uri", "jwks_uri", "jwks", "software_id", "software_version"),
    *("application_type", STATEMENT),
}
"""RFC 7591, where somebody is trusted to sign statements, and what clients tell every server of redirect URIs."""

DECLARED_BY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("sector_identifier_uri", "default_max_age", "require_auth_time", "initiate_login_uri"), PROVIDER),
    "subject_type": ("subject_types_supported",),
    "default_acr_values": ("acr_values_supported",),
    "request_uris": BY_REFERENCE,
    "request_object_signing_alg": ("request_object_signing_alg_values_supported",),
    "token_endpoint_auth_signing_alg": ("token_endpoint_auth_signing_alg_values_supported",),
    **{
        f"{what}_signed_response_alg": (f"{what}_signing_alg_values_supported",)
        for what in ("id_token", "userinfo", "authorization", "introspection", "nfv_token")
    },
    **{
        f"{what}_encrypted_response_{part}": (f"{what}_encryption_{part}_values_supported",)
        for what in ("id_token", "userinfo", "authorization", "introspection", "nfv_token")
        for part in ("alg", "enc")
    },
    **{
        f"request_object_encryption_{part}": (f"request_object_encryption_{part}_values_supported",)
        for part in ("alg", "enc")
    },
    "post_logout_redirect_uris": ("end_session_endpoint",),
    "frontchannel_logout_uri": ("frontchannel_logout_supported",),
    "frontchannel_logout_session_required": ("frontchannel_logout_session_supported",),
    "backchannel_logout_uri": ("backchannel_logout_supported",),
    "backchannel_logout_session_required": ("backchannel_logout_session_supported",),
    "backchannel_token_delivery_mode": ("backchannel_token_delivery_modes_supported",),
    "backchannel_client_notification_endpoint": ("backchannel_token_delivery_modes_supported",),
    "backchannel_authentication_request_signing_alg": (
        "backchannel_authentication_request_signing_alg_values_supported",
    ),
    "backchannel_user_code_parameter": ("backchannel_user_code_parameter_supported",),
    "require_signed_request_object": REQUEST_OBJECTS,
    "require_pushed_authorization_requests": ("pushed_authorization_request_endpoint",),
    "authorization_details_types": ("authorization_details_types_supported",),
    "dpop_bound_access_tokens": ("dpop_signing_alg_values_supported",),
    "tls_client_certificate_bound_access_tokens": ("tls_client_certificate_bound_access_tokens",),
    "use_mtls_endpoint_aliases": ("mtls_endpoint_aliases",),
    **dict.fromkeys(
        ("client_registration_types", "signed_jwks_uri", "organization_name", "display_name", "description"), FEDERATION
    ),
    **dict.fromkeys(("keywords", "information_uri", "organization_uri"), FEDERATION),
    **dict.fromkeys(("vp_formats_supported", "encrypted_response_enc_values_supported"), ("vp_formats_supported",)),
    "credential_offer_endpoint": ("credential_endpoint",),
    "claims_redirect_uris": ("claims_interaction_endpoint",),
}
"""The server metadata that say that a name means something here; the tls_client_auth_* go with a method."""

MUTUAL_TLS = {name for name in KEPT if name.startswith("tls_client_auth_")}
GROUPS: dict[tuple[str, ...], list[str]] = {}
for _name, _members in DECLARED_BY.items():
    GROUPS.setdefault(_members, []).append(_name)


@pytest.fixture(scope="module")
def plain() -> Iterator[Provider]:
    """A server of plain OAuth: nothing is declared but what RFC 8414 has."""
    known = {"issuer", "authorization_endpoint", "token_endpoint", "scopes_supported", "grant_types_supported"}
    methods = ["none", "client_secret_basic", "client_secret_post"]
    with provider(*(SERVER.keys() - known), server={"token_endpoint_auth_methods_supported": methods}) as server:
        yield server


def ignored(server: Provider, names: list[str]) -> None:
    for name in names:
        sample = SOUND[name][0]
        beside = {member: it for member, it in sample.beside.items() if member in ALWAYS_KNOWN - {"grant_types"}}
        sound = server.metadata({**BASE, **beside})
        assert name not in sound
        for wrong in (sample.value, 7, "\u202e", ["\u202e", {}], {"x": [1]}):
            assert server.metadata({**BASE, **beside, name: wrong}) == sound


def test_every_name_is_always_known_or_declared_by_something() -> None:
    assert ALWAYS_KNOWN | DECLARED_BY.keys() | MUTUAL_TLS == set(KEPT)


@requirement("FCLOGOUT-3-01", "RFC9449-5.2-02", "RFC8705-3.4-01", "CIBA-4-05", "FAPI2-5.2.2.1.1-01")
@pytest.mark.parametrize("members", GROUPS, ids=",".join)
def test_a_name_is_ignored_where_nothing_declares_it(members: tuple[str, ...]) -> None:
    with provider(*members) as server:
        ignored(server, GROUPS[members])


def test_a_statement_is_ignored_where_nobody_is_trusted() -> None:
    with provider(config={"DYNREG_STATEMENT_ISSUERS": []}) as server:
        ignored(server, [STATEMENT])


@requirement("FCLOGOUT-3-01", "RFC9449-5.2-02", "RFC8705-3.4-01", "CIBA-4-05", "FAPI2-5.2.2.1.1-01")
def test_a_feature_that_is_said_to_be_off_is_off() -> None:
    flags = [name for name, value in SERVER.items() if value is True]
    off: dict[str, Any] = {**dict.fromkeys(flags, False), "mtls_endpoint_aliases": {}, FEDERATION[0]: []}
    with provider(server=off) as server:
        for members, names in GROUPS.items():
            if off.keys() >= set(members):
                ignored(server, names)


def test_the_subject_of_a_certificate_is_ignored_without_its_method() -> None:
    others = [name for name in SERVER["token_endpoint_auth_methods_supported"] if "tls" not in name]
    with provider(server={"token_endpoint_auth_methods_supported": others}) as server:
        for name in MUTUAL_TLS:
            values: list[Any] = [SOUND[name][0].value, 7, {}]
        for value in values:
            assert name not in server.metadata({**BASE, name: value})


@requirement("RPCHOICES-2-03")
@pytest.mark.parametrize("list_", [name for name in CHOICES if name != "token_endpoint_auth_methods_supported"])
def test_a_list_of_choices_is_ignored_where_the_server_has_no_such_list(list_: str) -> None:
    with provider(list_) as server:
        before = server.metadata(BASE)
        values: list[Any] = [["RS256", "public"], "x", [1], {}]
        for value in values:
            assert server.metadata({**BASE, list_: value}) == before


def test_to_a_plain_server_all_that_is_not_plain_is_unknown(plain: Provider) -> None:
    defaults = {"grant_types": ["authorization_code"], "response_types": ["code"]}
    expected = {**BASE, **defaults, "token_endpoint_auth_method": "client_secret_basic"}
    assert plain.metadata(BASE) == expected
    foreign = {name: 7 for name in SENT if name not in ALWAYS_KNOWN | {"token_endpoint_auth_methods_supported"}}
    assert plain.metadata({**BASE, **foreign}) == expected
    tagged = {f"{name}#fr": 7 for name in LOCALIZABLE if name not in ALWAYS_KNOWN}
    assert plain.metadata({**BASE, **tagged}) == expected
    assert plain.documents.asked == []


@pytest.mark.parametrize("name", sorted(ALWAYS_KNOWN - {"grant_types", "response_types", "token_endpoint_auth_method"}))
def test_what_is_plain_is_known_everywhere(plain: Provider, name: str) -> None:
    for sample in SOUND[name]:
        assert same(plain.metadata(sent(name, sample))[name], sample.value), json.dumps(sample.value)
