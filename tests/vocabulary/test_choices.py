"""OpenID Connect Relying Party Metadata Choices 1.0: a client lists what it can do, and one value is registered."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.requirements import requirement
from tests.metadata.keys import ec_jwk, rsa_jwk
from tests.vocabulary.provider import BASE, DEFAULTS, Provider, provider
from tests.vocabulary.registry import CHOICES

KEYS = {"jwks": {"keys": [rsa_jwk(), ec_jwk()]}}
JWT = {"token_endpoint_auth_method": "private_key_jwt"}
# For each list two values that the server has, the server's own favourite last.
SUPPORTED: dict[str, tuple[str, str]] = {
    **{name: ("ES256", "RS256") for name in CHOICES if name.endswith("signing_alg_values_supported")},
    **{name: ("ECDH-ES", "RSA-OAEP") for name in CHOICES if name.endswith("encryption_alg_values_supported")},
    **{name: ("A256GCM", "A128CBC-HS256") for name in CHOICES if name.endswith("encryption_enc_values_supported")},
    "subject_types_supported": ("pairwise", "public"),
    "token_endpoint_auth_methods_supported": ("client_secret_post", "none"),
}


def algorithm_of(single: str) -> str | None:
    return single.removesuffix("_enc") + "_alg" if single.endswith("_enc") else None


def beside(name: str) -> dict[str, Any]:
    """What a client sends, so that the value that is chosen can stand."""
    algorithm = algorithm_of(CHOICES[name])
    return {
        **BASE,
        **KEYS,
        **(JWT if name == "token_endpoint_auth_signing_alg_values_supported" else {}),
        **({algorithm: "RSA-OAEP"} if algorithm else {}),
    }


@requirement("RPCHOICES-2-01", "RPCHOICES-4-01")
@pytest.mark.parametrize("name", CHOICES)
def test_the_first_value_of_the_client_that_the_server_supports_is_registered(op: Provider, name: str) -> None:
    first, second = SUPPORTED[name]
    for wanted in ([first, second], ["unknown", first], [first]):
        client = op.registered({**beside(name), name: wanted})
        assert client[CHOICES[name]] == first and name not in client
        assert op.updated(client, client) == client
    assert op.metadata({**beside(name), name: [second, first]})[CHOICES[name]] == second


@requirement("RPCHOICES-2-01")
@pytest.mark.parametrize("name", CHOICES)
def test_a_stated_value_is_kept(op: Provider, name: str) -> None:
    for stated in SUPPORTED[name]:
        registered = op.metadata({**beside(name), name: [*SUPPORTED[name], "unknown"], CHOICES[name]: stated})
        assert registered[CHOICES[name]] == stated and name not in registered


@requirement("RPCHOICES-2-02")
@pytest.mark.parametrize("name", CHOICES)
def test_a_stated_value_that_the_list_lacks_is_refused(op: Provider, name: str) -> None:
    first, second = SUPPORTED[name]
    assert op.pointers({**beside(name), name: [second], CHOICES[name]: first}) == [f"/{CHOICES[name]}"]


@requirement("RPCHOICES-4-01")
@pytest.mark.parametrize("name", CHOICES)
def test_a_stated_value_that_the_server_lacks_gives_way_to_one_that_it_has(op: Provider, name: str) -> None:
    first, _ = SUPPORTED[name]
    registered = op.metadata({**beside(name), name: ["unknown", first], CHOICES[name]: "unknown"})
    assert registered[CHOICES[name]] == first


@requirement("RPCHOICES-4-01")
@pytest.mark.parametrize("name", CHOICES)
def test_a_list_without_any_value_that_the_server_has_is_refused(op: Provider, name: str) -> None:
    assert f"/{name}" in op.pointers({**beside(name), name: ["unknown", "XS256"]})


@pytest.mark.parametrize("name", [name for name in CHOICES if algorithm_of(CHOICES[name])])
def test_content_encryptions_without_an_algorithm_are_nothing(op: Provider, name: str) -> None:
    for wanted in ([*SUPPORTED[name]], ["unknown"]):
        assert op.metadata({**BASE, name: wanted}) == DEFAULTS


@pytest.mark.parametrize("name", [name for name in CHOICES if algorithm_of(CHOICES[name])])
def test_the_algorithm_may_be_a_choice_too(op: Provider, name: str) -> None:
    algorithms = name.replace("_enc_values", "_alg_values")
    registered = op.metadata({**BASE, **KEYS, name: ["A256GCM"], algorithms: ["unknown", "ECDH-ES"]})
    assert registered[CHOICES[name]] == "A256GCM" and registered[CHOICES[algorithms]] == "ECDH-ES"


@pytest.mark.parametrize("name", CHOICES)
def test_an_empty_list_says_nothing(op: Provider, name: str) -> None:
    nothings: list[Any] = [[], None, ""]
    for nothing in nothings:
        assert op.metadata({**BASE, name: nothing}) == DEFAULTS


# ---- What is chosen is what the client can have


METHODS = "token_endpoint_auth_methods_supported"


@pytest.mark.parametrize(
    ("brought", "method"),
    [
        ({}, "client_secret_post"),
        ({"jwks": {"keys": [ec_jwk()]}}, "private_key_jwt"),
        ({"jwks_uri": "https://client.example/jwks"}, "self_signed_tls_client_auth"),
        ({"tls_client_auth_san_dns": "client.example"}, "tls_client_auth"),
    ],
)
def test_a_method_is_chosen_for_which_the_client_brings_what_it_needs(
    op: Provider, brought: dict[str, Any], method: str
) -> None:
    wanted = ["tls_client_auth", "self_signed_tls_client_auth", "private_key_jwt", "client_secret_post", "none"]
    assert op.metadata({**BASE, **brought, METHODS: wanted})["token_endpoint_auth_method"] == method


def test_where_the_client_brings_nothing_for_any_method_it_is_told_what_the_first_needs(op: Provider) -> None:
    assert op.pointers({**BASE, METHODS: ["private_key_jwt", "tls_client_auth"]}) == ["/jwks"]


def test_a_subject_type_is_chosen_that_the_client_can_have(op: Provider) -> None:
    hosts = ["https://a.example/cb", "https://b.example/cb"]
    wanted = {"subject_types_supported": ["pairwise", "public"]}
    assert op.metadata({**wanted, "redirect_uris": hosts})["subject_type"] == "public"
    assert op.metadata({**wanted, "redirect_uris": hosts[:1]})["subject_type"] == "pairwise"


@pytest.mark.parametrize(
    "name", [name for name in CHOICES if "client" not in name and name.endswith("alg_values_supported")]
)
def test_a_public_client_gets_no_algorithm_that_needs_a_secret(op: Provider, name: str) -> None:
    first, _ = SUPPORTED[name]
    symmetric = "HS256" if "signing" in name else "A256KW"
    public = {**beside(name), "token_endpoint_auth_method": "none", name: [symmetric, first]}
    assert op.metadata(public).get(CHOICES[name]) in (first, None if "token_endpoint" in name else first)
    public = {**BASE, **KEYS, METHODS: ["none"], name: [symmetric, first]}
    assert op.metadata(public).get(CHOICES[name]) in (first, None if "token_endpoint" in name else first)


@pytest.mark.parametrize(
    ("method", "algorithm"),
    [("client_secret_jwt", "HS512"), ("private_key_jwt", "ES256"), ("client_secret_post", None)],
)
def test_the_algorithm_of_an_assertion_goes_with_the_method(op: Provider, method: str, algorithm: str | None) -> None:
    name = "token_endpoint_auth_signing_alg_values_supported"
    for wanted in (["ES256", "HS512"], ["HS512", "ES256"]):
        registered = op.metadata({**BASE, **KEYS, "token_endpoint_auth_method": method, name: wanted})
        assert registered.get("token_endpoint_auth_signing_alg") == algorithm


@pytest.mark.parametrize(
    "name", [name for name in CHOICES if name.endswith("encryption_alg_values_supported") and "request" not in name]
)
def test_an_encryption_is_chosen_for_which_the_client_has_a_key(op: Provider, name: str) -> None:
    for wanted in (["RSA-OAEP", "ECDH-ES"], ["ECDH-ES", "RSA-OAEP"]):
        registered = op.metadata({**BASE, "jwks": {"keys": [ec_jwk()]}, name: wanted})
        assert registered[CHOICES[name]] == "ECDH-ES"


@pytest.mark.parametrize(
    "name", [name for name in CHOICES if name.endswith("encryption_alg_values_supported") and "request" not in name]
)
@pytest.mark.parametrize(
    "brought",
    [
        {},
        {"jwks": {"keys": [ec_jwk("P-384", use="sig")]}},
        {"jwks": {"keys": [ec_jwk(alg="ES256")]}},
        {"jwks": {"keys": [rsa_jwk(use="sig")]}},
        {"token_endpoint_auth_method": "none"},
    ],
)
def test_nothing_is_encrypted_for_a_client_that_has_no_key_for_it(
    op: Provider, name: str, brought: dict[str, Any]
) -> None:
    single, public = CHOICES[name], brought.get("token_endpoint_auth_method") == "none"
    wanted = ["RSA-OAEP", "ECDH-ES", *(["A256KW", "dir"] if public else [])]
    sent = {**BASE, **brought, name: wanted, name.replace("_alg_", "_enc_"): ["A256GCM"]}
    registered = op.metadata(sent)
    assert not {single, single.replace("_alg", "_enc"), name} & registered.keys()
    # what is asked for is another thing
    assert f"/{single}" in op.pointers({**sent, single: "RSA-OAEP"})
    assert f"/{single}" in op.pointers({**sent, name: [*wanted, "unknown"], single: "unknown"})
    assert op.metadata({**sent, "jwks": {"keys": [ec_jwk()]}})[single] == "ECDH-ES"


@pytest.mark.parametrize(
    "name", ["authorization_signing_alg_values_supported", "introspection_signing_alg_values_supported"]
)
def test_an_answer_is_never_unsigned(name: str) -> None:
    with provider(server={name: ["none", "ES256"]}) as server:
        assert server.metadata({**BASE, name: ["none", "ES256"]})[CHOICES[name]] == "ES256"
        assert server.metadata(BASE)[CHOICES[name]] == "ES256"


@pytest.fixture(scope="module")
def rejecting() -> Iterator[Provider]:
    with provider(config={"DYNREG_UNSUPPORTED": "reject"}) as server:
        yield server


@pytest.mark.parametrize("name", CHOICES)
def test_where_what_is_unsupported_is_refused_choices_are_negotiated_all_the_same(
    rejecting: Provider, name: str
) -> None:
    first, _ = SUPPORTED[name]
    assert rejecting.metadata({**beside(name), name: ["unknown", first]})[CHOICES[name]] == first
