"""Public keys as clients register them (RFC 7517), and certificates for them."""

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import CertificateBuilder, Name, NameAttribute, random_serial_number
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey, OKPKey, RSAKey

Jwk = dict[str, Any]
Curve = Literal["Ed25519", "Ed448", "X25519", "X448"]


@cache
def _rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048)


@cache
def _ec_key(curve: str) -> ECKey:
    return ECKey.generate_key(curve)


@cache
def _okp_key(curve: Curve) -> OKPKey:
    return OKPKey.generate_key(curve)


def rsa_jwk(**members: Any) -> Jwk:
    return {**_rsa_key().as_dict(private=False), **members}


def rsa_jwk_of(bits: int, **members: Any) -> Jwk:
    """With a modulus of this size, which nobody has the private key of."""
    modulus = 2 ** (bits - 1) + 1
    text = base64.urlsafe_b64encode(modulus.to_bytes((bits + 7) // 8)).decode().rstrip("=")
    return {"kty": "RSA", "n": text, "e": "AQAB", **members}


def ec_jwk(curve: str = "P-256", **members: Any) -> Jwk:
    return {**_ec_key(curve).as_dict(private=False), **members}


def okp_jwk(curve: Curve = "Ed25519", **members: Any) -> Jwk:
    return {**_okp_key(curve).as_dict(private=False), **members}


def _key(kty: str, curve: Any) -> RSAKey | ECKey | OKPKey:
    if kty == "RSA":
        return _rsa_key()
    return _ec_key(curve) if kty == "EC" else _okp_key(curve)


def private_parts(jwk: Jwk) -> Jwk:
    """The private members that go with a key from above."""
    whole = _key(jwk["kty"], jwk.get("crv")).as_dict(private=True)
    return {name: value for name, value in whole.items() if name not in jwk}


@cache
def certificate(kty: str) -> str:
    """One that certifies the key of `rsa_jwk()`, `ec_jwk()` or `okp_jwk()`, as x5c has it (RFC 7517 section 4.7)."""
    private: Any = _key(kty, {"EC": "P-256", "OKP": "Ed25519"}.get(kty)).private_key
    name = Name([NameAttribute(NameOID.COMMON_NAME, "client.example")])
    now = datetime.now(UTC)
    builder = CertificateBuilder(name, name, private.public_key(), random_serial_number(), now, now + timedelta(days=1))
    signed = builder.sign(private, None if kty == "OKP" else SHA256())
    return base64.b64encode(signed.public_bytes(Encoding.DER)).decode()
