"""The algorithms of JOSE (RFC 7518, RFC 8037, RFC 8812, RFC 9864), and which keys they go with."""

from collections.abc import Collection, Mapping
from typing import Any

DEFAULT_CONTENT_ENCRYPTION = "A128CBC-HS256"

MACS = frozenset({"HS256", "HS384", "HS512"})
SYMMETRIC_ENCRYPTION = frozenset(
    {"dir", "A128KW", "A192KW", "A256KW", "A128GCMKW", "A192GCMKW", "A256GCMKW"}
    | {"PBES2-HS256+A128KW", "PBES2-HS384+A192KW", "PBES2-HS512+A256KW"}
)
SYMMETRIC = MACS | SYMMETRIC_ENCRYPTION
"""With these the key is the client secret (OpenID Connect Core section 10)."""

Kind = tuple[str, str | None]
"""The `kty` of a key, and its `crv` if that decides."""

_RSA: list[Kind] = [("RSA", None)]
_ED25519: Kind = ("OKP", "Ed25519")
_ED448: Kind = ("OKP", "Ed448")
_AGREEMENT: list[Kind] = [
    *(("EC", curve) for curve in ("P-256", "P-384", "P-521")),
    *(("OKP", curve) for curve in ("X25519", "X448")),
]
_SIGNED_WITH: Mapping[str, list[Kind]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), _RSA),
    "ES256": [("EC", "P-256")],
    "ES384": [("EC", "P-384")],
    "ES512": [("EC", "P-521")],
    "ES256K": [("EC", "secp256k1")],
    "EdDSA": [_ED25519, _ED448],
    "Ed25519": [_ED25519],
    "Ed448": [_ED448],
}
_ENCRYPTED_WITH: Mapping[str, list[Kind]] = {
    **dict.fromkeys(("RSA1_5", "RSA-OAEP", "RSA-OAEP-256", "RSA-OAEP-384", "RSA-OAEP-512"), _RSA),
    **dict.fromkeys(("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A192KW", "ECDH-ES+A256KW"), _AGREEMENT),
}
SIGNATURES = tuple(_SIGNED_WITH)
# RFC 9864 gave the two curves of EdDSA names of their own; most keys still say EdDSA.
_SAME = {"EdDSA": ("Ed25519", "Ed448"), "Ed25519": ("EdDSA",), "Ed448": ("EdDSA",)}


def names_of(algorithm: str) -> tuple[str, ...]:
    """Its name, and those under which it goes as well."""
    return (algorithm, *_SAME.get(algorithm, ()))


def can_verify(keys: Collection[Mapping[str, Any]], algorithms: Collection[str]) -> bool:
    """Whether one of these sound public keys verifies a signature of one of these algorithms."""
    return any(_fits(key, name, _SIGNED_WITH, "sig", "verify") for key in keys for name in algorithms)


def can_encrypt(keys: Collection[Mapping[str, Any]], algorithm: str) -> bool:
    """Whether one of these sound public keys encrypts with this algorithm."""
    return any(
        _fits(key, algorithm, _ENCRYPTED_WITH, "enc", operation)
        for key in keys
        for operation in ("encrypt", "wrapKey", "deriveKey", "deriveBits")
    )


def uses(key: Mapping[str, Any]) -> set[str]:
    """What this sound public key is for, by its `use` or else by all that it says: `sig`, `enc`, both or nothing known here."""
    if "use" in key:
        return {key["use"]}
    encrypts = any(can_encrypt([key], algorithm) for algorithm in _ENCRYPTED_WITH)
    return {use for use, is_one in (("sig", can_verify([key], SIGNATURES)), ("enc", encrypts)) if is_one}


def _fits(key: Mapping[str, Any], algorithm: str, kinds: Mapping[str, list[Kind]], use: str, operation: str) -> bool:
    kind = (key["kty"], None if key["kty"] == "RSA" else key.get("crv"))
    operations = key.get("key_ops", [operation])
    return (
        kind in kinds.get(algorithm, ())
        and key.get("use", use) == use
        and key.get("alg", algorithm) in names_of(algorithm)
        and isinstance(operations, list)
        and operation in operations
    )
