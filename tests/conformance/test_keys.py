"""RFC 7591 section 2, RFC 7517: `jwks` and `jwks_uri`."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateBuilder, Name, random_serial_number
from flask.testing import FlaskClient
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.conformance.exchange import CONFIDENTIAL, post, read, refused, replaced
from tests.conformance.requirements import requirement
from tests.conftest import Register

JWKS_URI = "https://app.example/jwks"
PRIVATE = ECKey.generate_key("P-256")
SIGNING: dict[str, Any] = {**PRIVATE.as_dict(private=False), "kid": "s", "use": "sig"}
ENCRYPTION: dict[str, Any] = {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "e", "use": "enc"}


def certificate(key: EllipticCurvePrivateKey | None) -> str:
    assert key
    nobody = Name([])
    builder = CertificateBuilder(nobody, nobody, key.public_key(), random_serial_number())
    long_ago, one_day = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)
    builder = builder.not_valid_before(long_ago).not_valid_after(one_day)
    return base64.b64encode(builder.sign(key, SHA256()).public_bytes(Encoding.DER)).decode()


def with_keys(*keys: object) -> dict[str, Any]:
    return {**CONFIDENTIAL, "jwks": {"keys": list(keys)}}


def is_refused(http: FlaskClient, metadata: dict[str, Any]) -> None:
    body = refused(post(http, metadata), "invalid_client_metadata")
    assert body["errors"][0]["pointer"].startswith("/jwks")


@pytest.mark.parametrize(
    "key", [RSAKey.generate_key(2048), ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")]
)
def test_public_keys_are_registered_as_they_were_sent(register: Register, key: RSAKey | ECKey | OKPKey) -> None:
    jwks = {"keys": [key.as_dict(private=False)]}
    client = register(jwks=jwks, token_endpoint_auth_method="private_key_jwt")
    assert client["jwks"] == jwks and "client_secret" not in client


@requirement("RFC7591-2-23")
def test_both_jwks_and_jwks_uri_are_refused(http: FlaskClient) -> None:
    is_refused(http, {**with_keys(SIGNING), "jwks_uri": JWKS_URI})


@requirement("RFC7591-2-24")
def test_an_update_from_one_to_the_other_leaves_one(http: FlaskClient, register: Register) -> None:
    client = register(jwks={"keys": [SIGNING]})
    client = replaced(http, client, **CONFIDENTIAL, jwks_uri=JWKS_URI)
    assert "jwks" not in client and client["jwks_uri"] == JWKS_URI
    client = replaced(http, client, **with_keys(SIGNING))
    assert "jwks_uri" not in client and client["jwks"] == {"keys": [SIGNING]}


@requirement("RFC7591-2-25")
@pytest.mark.parametrize(
    "jwks",
    [
        json.dumps({"keys": [SIGNING]}),
        [SIGNING],
        {},
        {"keys": {}},
        {"keys": None},
        {"keys": ["x"]},
        {"keys": [{}]},
        1,
        True,
    ],
)
def test_jwks_is_an_object_with_an_array_of_keys(http: FlaskClient, jwks: object) -> None:
    is_refused(http, {**CONFIDENTIAL, "jwks": jwks})


@requirement("RFC7591-2-27")
@pytest.mark.parametrize(
    ("key", "name"),
    [
        (ECKey.generate_key("P-256"), "d"),
        (OKPKey.generate_key("Ed25519"), "d"),
        (RSAKey.generate_key(2048), "d"),
        (RSAKey.generate_key(2048), "p"),
        (RSAKey.generate_key(2048), "q"),
        (OctKey.generate_key(256), "k"),
    ],
)
def test_a_secret_key_is_refused_and_told_to_nobody(
    http: FlaskClient, key: RSAKey | ECKey | OKPKey | OctKey, name: str
) -> None:
    secret = str(key.as_dict(private=True)[name])
    answer = post(http, with_keys({**key.as_dict(private=name == "k"), name: secret}))
    refused(answer, "invalid_client_metadata")
    assert secret not in answer.text


@requirement("OIDCREG-2-11")
@pytest.mark.parametrize(
    "uri", ["http://a.example/jwks", "http://localhost/jwks", "ftp://a.example/jwks", "/jwks", "x"]
)
def test_jwks_uri_is_https(http: FlaskClient, uri: str) -> None:
    is_refused(http, {**CONFIDENTIAL, "jwks_uri": uri})


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "10.0.0.1",
        "[fc00::1]",
        "[::ffff:10.0.0.1]",
        "localhost",
        "intranet",
        "2130706433",
        "0x7f.1",
        "127.1",
        "as.localhost",
        "metadata.internal",
        "a.example@127.0.0.1",
    ],
)
def test_jwks_uri_is_on_a_public_host(http: FlaskClient, host: str) -> None:
    is_refused(http, {**CONFIDENTIAL, "jwks_uri": f"https://{host}/jwks"})


@requirement("OIDCREG-2-12")
def test_keys_for_both_purposes_say_which_is_which(http: FlaskClient, register: Register) -> None:
    unused = {name: value for name, value in ENCRYPTION.items() if name != "use"}
    is_refused(http, with_keys(SIGNING, unused))
    assert len(register(jwks={"keys": [SIGNING, ENCRYPTION]})["jwks"]["keys"]) == 2


@requirement("OIDCREG-2-13")
def test_a_certificate_is_of_the_very_key(http: FlaskClient, register: Register) -> None:
    key = {**SIGNING, "x5c": [certificate(PRIVATE.private_key)]}
    assert register(jwks={"keys": [key]})["jwks"]["keys"] == [key]
    other = certificate(generate_private_key(SECP256R1()))
    for chain in ([other], [other, key["x5c"][0]], [], "x", [7], ["x"]):
        is_refused(http, with_keys({**SIGNING, "x5c": chain}))
    bare = {name: value for name, value in key.items() if name not in ("x", "y")}
    is_refused(http, with_keys(bare))


@requirement("RFC7517-4.5-01")
def test_a_key_id_stands_for_one_key(http: FlaskClient) -> None:
    is_refused(http, with_keys(SIGNING, {**ENCRYPTION, "kid": "s"}))


@requirement("RFC7517-5-01")
def test_a_key_of_an_unknown_type_does_not_spoil_the_set(http: FlaskClient, register: Register) -> None:
    client = register(
        jwks={"keys": [SIGNING, {"kty": "X", "use": "sig"}]}, token_endpoint_auth_method="private_key_jwt"
    )
    assert SIGNING in read(http, client).get_json()["jwks"]["keys"]


@pytest.mark.parametrize("keys", [None, [], [{"kty": "X"}], [ENCRYPTION]])
def test_private_key_jwt_needs_a_key_to_verify_with(http: FlaskClient, keys: list[object] | None) -> None:
    jwks = {} if keys is None else {"jwks": {"keys": keys}}
    is_refused(http, {**CONFIDENTIAL, **jwks, "token_endpoint_auth_method": "private_key_jwt"})
