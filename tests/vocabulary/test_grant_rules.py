"""Cross-field rules, sections 2, 3, 6 and 12: defaults, grant types, response types."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.requirements import requirement
from tests.vocabulary.provider import BASE, CIBA, DEFAULTS, DEVICE, Provider, provider

BOTH = ["authorization_code", "implicit"]
ASSERTIONS = [f"urn:ietf:params:oauth:grant-type:{name}" for name in ("jwt-bearer", "saml2-bearer", "token-exchange")]
FLAGS = [
    *("require_auth_time", "dpop_bound_access_tokens", "require_pushed_authorization_requests"),
    *("require_signed_request_object", "tls_client_certificate_bound_access_tokens", "use_mtls_endpoint_aliases"),
    *("frontchannel_logout_session_required", "backchannel_logout_session_required", "backchannel_user_code_parameter"),
]


def of(response_type: str, *grants: str) -> dict[str, Any]:
    return {**BASE, "grant_types": [*grants], "response_types": [response_type]}


@requirement("OIDCREG-2-19", "JARM-3-01")
def test_what_is_in_force_is_shown(op: Provider) -> None:
    assert op.metadata(BASE) == DEFAULTS
    # absent means false
    assert not DEFAULTS.keys() & set(FLAGS)


@pytest.mark.parametrize(
    ("lists", "member", "default"),
    [
        ({"id_token_signing_alg_values_supported": ["ES256", "PS256"]}, "id_token_signed_response_alg", "ES256"),
        (
            {"id_token_signing_alg_values_supported": ["none", "HS256", "ES256"]},
            "id_token_signed_response_alg",
            "ES256",
        ),
        ({"authorization_signing_alg_values_supported": ["ES256"]}, "authorization_signed_response_alg", "ES256"),
        ({"introspection_signing_alg_values_supported": ["PS256"]}, "introspection_signed_response_alg", "PS256"),
        ({"subject_types_supported": ["pairwise"]}, "subject_type", "pairwise"),
        ({"token_endpoint_auth_methods_supported": ["none"]}, "token_endpoint_auth_method", "none"),
    ],
)
def test_a_default_that_the_server_lacks_is_replaced_and_shown(
    lists: dict[str, Any], member: str, default: str
) -> None:
    with provider(server=lists) as server:
        client = server.registered(BASE)
        assert client[member] == default
        assert server.updated(client, client) == client


def test_a_default_goes_with_a_public_client_too() -> None:
    lists = {"id_token_signing_alg_values_supported": ["HS256", "ES256"]}
    with provider(server=lists) as server:
        assert (
            server.metadata({**BASE, "token_endpoint_auth_method": "none"})["id_token_signed_response_alg"] == "ES256"
        )


@requirement("OIDCREG-2-22", "OIDCREG-2-24", "OIDCREG-2-27", "JARM-3-02")
@pytest.mark.parametrize(
    "what",
    [
        *("id_token_encrypted_response", "userinfo_encrypted_response", "request_object_encryption"),
        *("authorization_encrypted_response", "introspection_encrypted_response"),
    ],
)
def test_an_encryption_has_its_default(op: Provider, what: str) -> None:
    client = op.registered({**BASE, f"{what}_alg": "dir"})
    assert client[f"{what}_enc"] == "A128CBC-HS256"
    assert op.updated(client, client) == client
    with provider(server={f"{list_of(what)}_enc_values_supported": ["A256GCM", "A128GCM"]}) as server:
        assert server.metadata({**BASE, f"{what}_alg": "dir"})[f"{what}_enc"] == "A256GCM"


def list_of(what: str) -> str:
    return what.replace("_encrypted_response", "_encryption")


# ---- Section 3: repairs.narrowed, rules.response_type_for_redirect_grant


@pytest.mark.parametrize(
    ("response_type", "grants", "without"),
    [
        ("code", ["authorization_code"], ["implicit"]),
        ("token", ["implicit"], ["authorization_code"]),
        ("id_token", ["implicit"], ["authorization_code"]),
        ("id_token token", ["implicit"], ["authorization_code"]),
        ("token id_token", ["implicit"], ["authorization_code"]),
        ("code id_token", BOTH, ["authorization_code"]),
        ("id_token code", BOTH, ["implicit"]),
        ("code token", BOTH, ["authorization_code"]),
        ("token code id_token", BOTH, ["implicit"]),
    ],
)
def test_a_response_type_has_its_grants(
    op: Provider, response_type: str, grants: list[str], without: list[str]
) -> None:
    registered = op.metadata(of(response_type, *grants))
    assert registered["response_types"] == [response_type] and registered["grant_types"] == grants
    assert op.pointers(of(response_type, *without)) == ["/response_types"]
    # beside one that is in order it is taken away, visibly
    beside = {"authorization_code": "code", "implicit": "token"}[without[0]]
    sent = {**of(response_type, *without), "response_types": [response_type, beside]}
    assert op.metadata(sent)["response_types"] == [beside]


def test_the_response_type_none_has_no_grant(op: Provider) -> None:
    assert op.metadata(of("none", "client_credentials"))["response_types"] == ["none"]
    assert op.metadata(of("none", "authorization_code"))["response_types"] == ["none"]


@pytest.mark.parametrize("grant", ["client_credentials", DEVICE, *ASSERTIONS, CIBA])
def test_a_grant_without_redirect_needs_no_redirect_uri_and_no_response_type(op: Provider, grant: str) -> None:
    mode = {"backchannel_token_delivery_mode": "poll"} if grant == CIBA else {}
    registered = op.metadata({"grant_types": [grant], **mode})
    assert (registered["redirect_uris"], registered["response_types"]) == ([], [])
    assert op.metadata({"grant_types": [grant], "response_types": ["code"], **mode})["response_types"] == []


@pytest.mark.parametrize("grant", BOTH)
def test_a_grant_with_redirect_needs_a_redirect_uri_and_a_response_type(op: Provider, grant: str) -> None:
    response_type = "code" if grant == "authorization_code" else "token"
    nothings: list[Any] = [{}, {"redirect_uris": []}, {"redirect_uris": None}]
    for nothing in nothings:
        sent = {"grant_types": [grant], "response_types": [response_type], **nothing}
        assert op.pointers(sent) == ["/redirect_uris"]
    assert op.pointers({**BASE, "grant_types": [grant], "response_types": []}) == ["/response_types"]


@pytest.mark.parametrize("grants", [["password"], ["refresh_token"], ["refresh_token", "password"]])
def test_some_grant_must_be_left_beside_refresh_token(op: Provider, grants: list[str]) -> None:
    assert op.pointers({**BASE, "grant_types": grants, "response_types": ["code"]}) == ["/grant_types"]
    assert op.metadata({**BASE, "grant_types": ["authorization_code", *grants]})["grant_types"] != grants


def test_empty_grant_types_are_the_default(op: Provider) -> None:
    assert op.metadata({**BASE, "grant_types": []}) == DEFAULTS


# ---- Section 6: public clients


def test_a_public_client_has_no_secret_and_no_client_credentials(op: Provider) -> None:
    public = {**BASE, "token_endpoint_auth_method": "none"}
    client = op.registered({**public, "grant_types": ["authorization_code", "client_credentials"]})
    assert client["grant_types"] == ["authorization_code"]
    assert not {"client_secret", "client_secret_expires_at"} & client.keys()
    assert op.pointers({**public, "grant_types": ["client_credentials"], "response_types": []}) == ["/grant_types"]


@pytest.fixture(scope="module")
def strict() -> Iterator[Provider]:
    """As OpenID Connect reads it."""
    with provider(config={"DYNREG_APPLICATION_TYPE": "strict"}) as server:
        yield server


@requirement("OIDCREG-2-01")
@pytest.mark.parametrize("grants", [["client_credentials"], ["authorization_code"], [DEVICE], ["implicit"]])
def test_in_openid_redirect_uris_are_always_there(strict: Provider, grants: list[str]) -> None:
    nothings: list[Any] = [{}, {"redirect_uris": []}, {"redirect_uris": None}]
    for nothing in nothings:
        assert strict.pointers({"grant_types": grants, **nothing})[0] == "/redirect_uris"
    assert strict.metadata({**BASE, "grant_types": ["client_credentials"]})["redirect_uris"] == BASE["redirect_uris"]


@requirement("OIDCREG-2-07", "OIDCREG-2-09", "OIDCREG-2-10")
@pytest.mark.parametrize(
    ("uri", "code", "implicit"),
    [
        ("https://app.example/cb", True, True),
        ("https://localhost/cb", True, False),
        ("https://127.0.0.1/cb", True, False),
        ("http://localhost:3000/cb", False, False),
        ("http://127.0.0.1/cb", False, False),
        ("http://app.example/cb", False, False),
        ("com.example.app:/cb", False, False),
        ("vscode://publisher.extension/cb", False, False),
    ],
)
def test_the_redirect_uris_of_a_web_client(strict: Provider, uri: str, code: bool, implicit: bool) -> None:
    for grant, response_type, fine in (("authorization_code", "code", code), ("implicit", "id_token", implicit)):
        sent = of(response_type, grant) | {"redirect_uris": [*BASE["redirect_uris"], uri], "application_type": "web"}
        # one bad URI fails the request
        assert strict.pointers(sent) == ([] if fine else ["/redirect_uris/1"])


@requirement("OIDCREG-2-09", "MCP2026-07-28-Client_Registration_Application_Type-01")
@pytest.mark.parametrize(
    ("uri", "fine"),
    [
        ("http://localhost:3000/cb", True),
        ("http://127.0.0.1/cb", True),
        ("http://[::1]:8000/cb", True),
        ("com.example.app:/cb", True),
        ("vscode://publisher.extension/cb", True),
        ("https://app.example/cb", True),
        ("http://app.example/cb", False),
        ("myapp:/cb", False),
    ],
)
def test_the_redirect_uris_of_a_native_client_and_of_one_of_no_known_type(
    strict: Provider, uri: str, fine: bool
) -> None:
    uris = {"redirect_uris": ["https://client.example/cb", uri]}
    for type_ in ({"application_type": "native"}, {}):
        assert strict.pointers({**uris, **type_}) == ([] if fine else ["/redirect_uris/1"])
    if fine:
        assert strict.metadata({**uris, "application_type": "native"})["application_type"] == "native"
        assert "application_type" not in strict.metadata(uris)
    assert strict.pointers({**BASE, "application_type": "spa"}) == ["/application_type"]
