"""Cross-field rules, sections 4, 5 and the encryptions of 9: methods, algorithms and keys."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.requirements import requirement
from tests.metadata.keys import certificate, ec_jwk, okp_jwk, rsa_jwk
from tests.vocabulary.provider import BASE, MACS, SERVER, SIGNATURES, Provider, provider
from tests.vocabulary.registry import KEPT
from tests.vocabulary.values import JWKS_URI, SOUND

SUBJECTS = [name for name in KEPT if name.startswith("tls_client_auth_")]
FOR_CLIENT = [f"{what}_encrypted_response_alg" for what in ("id_token", "userinfo", "authorization", "introspection")]
"""What the server encrypts for the client."""
ENCRYPTED = [*FOR_CLIENT, "request_object_encryption_alg"]
BY_CLIENT = ["request_object_signing_alg", "backchannel_authentication_request_signing_alg"]
"""What the client signs, beside its assertions."""
BY_SECRET = ["id_token_signed_response_alg", "userinfo_signed_response_alg", "request_object_signing_alg"]

RSA, EC = {"keys": [rsa_jwk()]}, {"keys": [ec_jwk()]}


def with_(method: str, **members: Any) -> dict[str, Any]:
    return {**BASE, "token_endpoint_auth_method": method, **members}


# ---- Section 4: methods


def test_a_method_that_the_server_lacks_is_refused() -> None:
    """rules.supported_auth_method"""
    with provider(server={"token_endpoint_auth_methods_supported": ["client_secret_post"]}) as server:
        for method in SERVER["token_endpoint_auth_methods_supported"]:
            fine = method == "client_secret_post"
            assert server.pointers(with_(method)) == ([] if fine else ["/token_endpoint_auth_method"])


@requirement("OIDCREG-2-28")
@pytest.mark.parametrize(
    ("method", "members", "octets"),
    [
        ("none", {}, 0),
        ("client_secret_basic", {}, 32),
        ("client_secret_post", {}, 32),
        ("client_secret_jwt", {}, 64),
        ("client_secret_basic", {"id_token_signed_response_alg": "HS512"}, 64),
        ("private_key_jwt", {"jwks": RSA}, 0),
        ("private_key_jwt", {"jwks": RSA, "id_token_signed_response_alg": "HS256"}, 64),
        ("private_key_jwt", {"jwks": RSA, "request_object_encryption_alg": "dir"}, 64),
        ("tls_client_auth", {"tls_client_auth_san_dns": "a.example"}, 0),
        ("tls_client_auth", {"tls_client_auth_san_dns": "a.example", "userinfo_encrypted_response_alg": "A256KW"}, 64),
        ("self_signed_tls_client_auth", {"jwks_uri": JWKS_URI}, 0),
    ],
)
def test_there_is_a_secret_where_one_is_needed(op: Provider, method: str, members: dict[str, Any], octets: int) -> None:
    """key_rules.secret_octets"""
    client = op.registered(with_(method, **members))
    assert len(client.get("client_secret", "")) >= octets
    assert ("client_secret" in client) == ("client_secret_expires_at" in client) == bool(octets)
    # what nobody needs any more is gone, and comes back with a need
    assert "client_secret" not in op.updated(client, {**with_("none"), "client_secret": client.get("client_secret")})
    assert len(op.updated(client, with_(method, **members)).get("client_secret", "")) >= octets


def test_a_secret_that_becomes_a_key_is_as_long_as_one(op: Provider) -> None:
    """Registrar.update"""
    client = op.registered(BASE)
    again = op.updated(client, {**BASE, "id_token_signed_response_alg": "HS512"})
    assert len(again["client_secret"]) >= 64 and again["client_secret"] != client["client_secret"]
    assert op.updated(client, BASE)["client_secret"] == again["client_secret"]


@pytest.mark.parametrize(
    ("keys", "algorithm", "fine"),
    [
        ({}, None, False),
        ({"jwks_uri": JWKS_URI}, None, True),
        ({"jwks_uri": JWKS_URI}, "ES256", True),
        ({"jwks": RSA}, None, True),
        ({"jwks": RSA}, "PS256", True),
        ({"jwks": RSA}, "ES256", False),
        ({"jwks": {"keys": [okp_jwk()]}}, "EdDSA", True),
        ({"jwks": {"keys": [okp_jwk("X25519")]}}, None, False),
        ({"jwks": {"keys": [ec_jwk("P-384")]}}, None, False),
        ({"jwks": {"keys": [ec_jwk(use="enc")]}}, None, False),
        ({"jwks": {"keys": [ec_jwk(use="sig", kid="1"), rsa_jwk(use="enc", kid="2")]}}, "RS256", False),
        ({"jwks": {"keys": [rsa_jwk(alg="PS256")]}}, "RS256", False),
        ({"jwks": {"keys": [ec_jwk(key_ops=["verify"])]}}, "ES256", True),
        ({"jwks": {"keys": [ec_jwk(key_ops=["deriveKey"])]}}, "ES256", False),
    ],
)
def test_private_key_jwt_needs_a_key(op: Provider, keys: dict[str, Any], algorithm: str | None, fine: bool) -> None:
    """key_rules.key_for_private_key_jwt"""
    sent = with_("private_key_jwt", **keys, token_endpoint_auth_signing_alg=algorithm)
    assert op.pointers(sent) == ([] if fine else ["/jwks"])


@pytest.mark.parametrize("algorithm", [*SIGNATURES, *MACS])
def test_the_algorithm_of_an_assertion_goes_with_its_method(op: Provider, algorithm: str) -> None:
    """key_rules.algorithm_of_auth_method, repairs.cleared"""
    name = "token_endpoint_auth_signing_alg"
    with_secret = with_("client_secret_jwt", **{name: algorithm})
    assert op.pointers(with_secret) == ([] if algorithm in MACS else [f"/{name}"])
    with_key = with_("private_key_jwt", jwks_uri=JWKS_URI, **{name: algorithm})
    assert op.pointers(with_key) == ([f"/{name}"] if algorithm in MACS else [])
    for method in ("none", "client_secret_basic", "client_secret_post"):
        assert name not in op.metadata(with_(method, **{name: algorithm}))


@requirement("OIDCREG-2-31")
def test_an_assertion_is_never_unsigned() -> None:
    """key_rules.algorithm_of_auth_method"""
    with provider(server={"token_endpoint_auth_signing_alg_values_supported": ["RS256", "none"]}) as server:
        sent = with_("private_key_jwt", jwks_uri=JWKS_URI, token_endpoint_auth_signing_alg="none")
        assert server.pointers(sent) == ["/token_endpoint_auth_signing_alg"]


@requirement("RFC8705-2.1.2-01")
@pytest.mark.parametrize("name", SUBJECTS)
def test_tls_client_auth_has_exactly_one_subject(op: Provider, name: str) -> None:
    """key_rules.one_certificate_subject, repairs.cleared"""
    subjects = {subject: SOUND[subject][0].value for subject in SUBJECTS}
    assert op.pointers(with_("tls_client_auth")) == ["/token_endpoint_auth_method"]
    assert op.pointers(with_("tls_client_auth", **{name: subjects[name]})) == []
    for other in SUBJECTS:
        if other != name:
            (second,) = op.pointers(with_("tls_client_auth", **{name: subjects[name], other: subjects[other]}))
            assert second in (f"/{name}", f"/{other}")
    assert len(op.pointers(with_("tls_client_auth", **subjects))) == 4
    for method in ("none", "client_secret_basic"):
        assert name not in op.metadata(with_(method, **{name: subjects[name]}))
    certified = with_("self_signed_tls_client_auth", jwks_uri=JWKS_URI, **{name: subjects[name]})
    assert name not in op.metadata(certified)


@requirement("RFC8705-2.1.2-03")
@pytest.mark.parametrize(
    ("name", "value"), [("tls_client_auth_san_ip", "999.1.1.1"), ("tls_client_auth_subject_dn", "not a dn")]
)
def test_a_subject_that_no_certificate_has_is_refused(op: Provider, name: str, value: str) -> None:
    assert f"/{name}" in op.pointers(with_("tls_client_auth", **{name: value}))


@requirement("RFC8705-2.2.2-01")
@pytest.mark.parametrize(
    ("keys", "fine"),
    [
        ({}, False),
        ({"jwks_uri": JWKS_URI}, True),
        ({"jwks": EC}, False),
        ({"jwks": {"keys": [ec_jwk(x5c=[certificate("EC")])]}}, True),
        ({"jwks": {"keys": [ec_jwk(), rsa_jwk(x5c=[certificate("RSA")])]}}, True),
        ({"jwks": {"keys": [ec_jwk(), {"kty": "new", "x5c": [certificate("EC")]}]}}, False),
        ({"jwks": {"keys": [ec_jwk(use="enc", x5c=[certificate("EC")])]}}, False),
    ],
)
def test_a_self_signed_certificate_is_registered(op: Provider, keys: dict[str, Any], fine: bool) -> None:
    """key_rules.certificate_for_self_signed"""
    assert op.pointers(with_("self_signed_tls_client_auth", **keys)) == ([] if fine else ["/jwks"])


@requirement("OIDCCORE-10.1-01", "OIDCCORE-10.2-01")
@pytest.mark.parametrize("name", [*BY_SECRET, *ENCRYPTED])
def test_a_public_client_has_no_algorithm_that_needs_a_secret(op: Provider, name: str) -> None:
    """key_rules.no_symmetric_algorithm_without_secret"""
    for algorithm in ["A256KW", "dir"] if name in ENCRYPTED else MACS:
        assert op.pointers(with_("none", **{name: algorithm})) == [f"/{name}"]
        assert op.pointers(with_("client_secret_post", **{name: algorithm})) == []
        assert op.pointers(with_("private_key_jwt", jwks=RSA, **{name: algorithm})) == []


# ---- Section 4: keys


@pytest.mark.parametrize("name", FOR_CLIENT)
@pytest.mark.parametrize(
    ("algorithm", "key", "fine"),
    [
        ("RSA-OAEP", rsa_jwk(), True),
        ("RSA-OAEP", rsa_jwk(use="enc"), True),
        ("RSA-OAEP", rsa_jwk(use="sig"), False),
        ("RSA-OAEP", rsa_jwk(alg="RS256"), False),
        ("RSA-OAEP", rsa_jwk(key_ops=["wrapKey"]), True),
        ("RSA-OAEP", rsa_jwk(key_ops=["verify"]), False),
        ("RSA-OAEP", ec_jwk(), False),
        ("ECDH-ES", ec_jwk("P-521"), True),
        ("ECDH-ES", okp_jwk("X25519"), True),
        ("ECDH-ES", okp_jwk("Ed25519"), False),
        ("ECDH-ES", rsa_jwk(), False),
    ],
)
def test_an_encryption_needs_a_key(op: Provider, name: str, algorithm: str, key: dict[str, Any], fine: bool) -> None:
    """key_rules.key_for_encryption"""
    assert op.pointers({**BASE, name: algorithm, "jwks": {"keys": [key]}}) == ([] if fine else [f"/{name}"])


@pytest.mark.parametrize("name", FOR_CLIENT)
def test_an_encryption_without_keys_is_refused(op: Provider, name: str) -> None:
    """key_rules.key_for_encryption"""
    assert op.pointers({**BASE, name: "RSA-OAEP"}) == [f"/{name}"]
    assert op.pointers({**BASE, name: "RSA-OAEP", "jwks_uri": JWKS_URI}) == []
    assert op.pointers({**BASE, name: "A256KW"}) == []
    # a request object is encrypted for the server
    assert op.pointers({**BASE, "request_object_encryption_alg": "RSA-OAEP"}) == []


@requirement("CIBA-4-04")
@pytest.mark.parametrize("name", BY_CLIENT)
@pytest.mark.parametrize(
    ("algorithm", "keys", "fine"),
    [
        ("RS256", {}, False),
        ("RS256", {"jwks": RSA}, True),
        ("RS256", {"jwks": EC}, False),
        ("ES256", {"jwks": EC}, True),
        ("ES256", {"jwks": {"keys": [ec_jwk(use="enc")]}}, False),
        ("ES256", {"jwks_uri": JWKS_URI}, True),
        ("XS256", {"jwks_uri": JWKS_URI}, False),
    ],
)
def test_signed_requests_need_a_key(op: Provider, name: str, algorithm: str, keys: dict[str, Any], fine: bool) -> None:
    """key_rules.key_for_signed_requests"""
    assert op.pointers({**BASE, name: algorithm, **keys}) == ([] if fine else [f"/{name}"])


FLAG = "require_signed_request_object"


@pytest.fixture(scope="module")
def asymmetric() -> Iterator[Provider]:
    """It takes no request object that is signed with a secret."""
    with provider(server={"request_object_signing_alg_values_supported": ["RS256", "ES256"]}) as server:
        yield server


@requirement("RFC9101-10.5-03")
@pytest.mark.parametrize(
    ("members", "pointers"),
    [
        (with_("client_secret_basic"), []),
        (with_("client_secret_basic", request_object_signing_alg="HS256"), []),
        (with_("client_secret_basic", request_object_signing_alg="none"), ["/request_object_signing_alg"]),
        (with_("none", request_object_signing_alg="none", jwks=RSA), ["/request_object_signing_alg"]),
        (with_("none"), [f"/{FLAG}"]),
        (with_("none", jwks=RSA), []),
        (with_("none", jwks_uri=JWKS_URI), []),
        (with_("none", jwks={"keys": [rsa_jwk(use="enc")]}), [f"/{FLAG}"]),
        (with_("none", jwks={"keys": [okp_jwk("X25519")]}), [f"/{FLAG}"]),
        (with_("tls_client_auth", tls_client_auth_san_dns="a.example"), [f"/{FLAG}"]),
        (with_("tls_client_auth", tls_client_auth_san_dns="a.example", request_object_signing_alg="HS256"), []),
    ],
)
def test_who_has_to_sign_requests_can(op: Provider, members: dict[str, Any], pointers: list[str]) -> None:
    """key_rules.signed_request_object"""
    assert op.pointers({**members, FLAG: True}) == pointers
    assert op.pointers({**members, FLAG: False}) == []


@requirement("RFC9101-10.5-03")
def test_a_secret_is_of_no_use_where_no_request_is_signed_with_it(asymmetric: Provider) -> None:
    """key_rules.signed_request_object"""
    assert asymmetric.pointers({**BASE, FLAG: True}) == [f"/{FLAG}"]
    assert asymmetric.pointers({**BASE, FLAG: True, "jwks": EC}) == []
    with provider("request_object_signing_alg_values_supported") as server:
        assert server.pointers({**BASE, FLAG: True}) == [f"/{FLAG}"]
        assert server.pointers({**BASE, FLAG: True, "jwks": EC}) == []


# ---- Section 5


def test_keys_are_in_one_place(op: Provider) -> None:
    """key_rules.one_source_of_keys"""
    assert op.pointers({**BASE, "jwks": RSA, "jwks_uri": JWKS_URI}) == ["/jwks"]
    client = op.registered({**BASE, "jwks": RSA})
    client = op.updated(client, {**BASE, "jwks_uri": JWKS_URI})
    assert "jwks" not in client
    assert "jwks_uri" not in op.updated(client, {**BASE, "jwks": RSA})
    assert op.documents.asked == []


# ---- Section 9: encryption and signature


@requirement("OIDCREG-2-21", "OIDCREG-2-24", "OIDCREG-2-27", "JARM-3-02", "RFC9701-6-01")
@pytest.mark.parametrize("algorithm", ENCRYPTED)
def test_a_content_encryption_needs_an_algorithm(op: Provider, algorithm: str) -> None:
    """key_rules.algorithm_beside_content_encryption"""
    content = algorithm.removesuffix("_alg") + "_enc"
    assert op.pointers({**BASE, content: "A256GCM"}) == [f"/{content}"]
    registered = op.metadata({**BASE, content: "A256GCM", algorithm: "dir"})
    assert (registered[algorithm], registered[content]) == ("dir", "A256GCM")


@requirement("OIDCREG-2-20")
@pytest.mark.parametrize(
    ("response_types", "fine"),
    [(["code"], True), (["code", "token"], True), (["id_token"], False), (["code", "code token id_token"], False)],
)
def test_an_id_token_of_the_authorization_endpoint_is_signed(
    op: Provider, response_types: list[str], fine: bool
) -> None:
    """key_rules.signed_id_token"""
    grants = ["authorization_code", "implicit"]
    sent = {**BASE, "grant_types": grants, "response_types": response_types, "id_token_signed_response_alg": "none"}
    assert op.pointers(sent) == ([] if fine else ["/id_token_signed_response_alg"])
    assert op.pointers({**sent, "id_token_signed_response_alg": "RS256"}) == []


@requirement("JARM-3-01")
@pytest.mark.parametrize("what", ["authorization", "introspection"])
def test_an_answer_as_jwt_is_signed(what: str) -> None:
    """key_rules.signed_answers"""
    with provider(server={f"{what}_signing_alg_values_supported": ["none", "RS256"]}) as server:
        name = f"{what}_signed_response_alg"
        assert server.pointers({**BASE, name: "none"}) == [f"/{name}"]
        assert server.pointers({**BASE, name: "RS256"}) == []


@pytest.mark.parametrize("name", [name for name in KEPT if name.endswith(("_alg", "_enc"))])
def test_an_algorithm_that_the_server_lacks_is_refused_and_those_it_has_are_told(op: Provider, name: str) -> None:
    """Vocabulary.unsupported"""
    beside = SOUND[name][0].beside
    answer = op.post({**BASE, **beside, name: "XS256"})
    assert f"/{name}" in op.refused(answer)
    told = [problem["description"] for problem in answer.get_json()["errors"] if problem["pointer"] == f"/{name}"]
    assert any(str(SOUND[name][0].value) in description for description in told)
