"""A client's own keys: `jwks` and `jwks_uri` (RFC 7591 section 2, RFC 7517)."""

import base64
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from flask_dynreg.hosts import looks_public
from flask_dynreg.metadata.uris import parsed

MOST_KEYS = 32

_TYPES: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_LARGEST_MEMBER = 4096
_RSA_BITS = range(2048, 8193)

_ED25519, _ED448 = ("OKP", "Ed25519"), ("OKP", "Ed448")
_KEYS_OF_FAMILY = {"RS": [("RSA", None)], "PS": [("RSA", None)]}
_KEYS_OF = {
    "ES256": [("EC", "P-256")],
    "ES384": [("EC", "P-384")],
    "ES512": [("EC", "P-521")],
    "ES256K": [("EC", "secp256k1")],
    "EdDSA": [_ED25519, _ED448],
    "Ed25519": [_ED25519],
    "Ed448": [_ED448],
}
_SAME = {"EdDSA": ("Ed25519", "Ed448"), "Ed25519": ("EdDSA",), "Ed448": ("EdDSA",)}
SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", *_KEYS_OF)

Faults = Iterator[tuple[int | None, str]]
"""The number of the key, or None for the set; and what would be right."""


def faults(value: Any) -> Faults:
    """What is wrong with a JWK Set that a client sends. A key of an unknown type counts as not there (RFC 7517 section 5)."""
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list):
        yield None, "must be a JWK Set: an object whose keys member is an array."
        return
    if not 0 < len(keys) <= MOST_KEYS:
        yield None, f"must have 1 to {MOST_KEYS} keys."
        return
    sound: list[dict[str, Any]] = []
    for number, key in enumerate(keys):
        fault = _key_fault(key)
        if fault:
            yield number, fault
        elif key["kty"] in _TYPES:
            sound.append(key)
    if not any(isinstance(key, dict) and key.get("kty") in tuple(_TYPES) for key in keys):  # a kty may be unhashable
        yield None, "must have a key of type RSA, EC or OKP."
    names = [key["kid"] for key in sound if "kid" in key]
    if len(set(names)) != len(names):
        yield None, "must have a kid only once."
    uses = {key.get("use") for key in sound}
    if None in uses and len(uses) > 1:  # OpenID Connect Registration section 2
        yield None, "must have use on every key, if it has it on one."


def _key_fault(key: Any) -> str | None:
    if not isinstance(key, dict) or not isinstance(key.get("kty"), str):
        return "must be an object with a kty."
    if key["kty"] == "oct" or _PRIVATE & key.keys():
        return "must be a public key. This one is secret: it has been seen, and must not be used any more."
    if key["kty"] not in _TYPES:
        return None
    for name in ("kid", "use", "alg", "n", "e", "x", "y", "crv"):
        if name in key and not (isinstance(key[name], str) and 0 < len(key[name]) <= _LARGEST_MEMBER):
            return f"must have text of 1 to {_LARGEST_MEMBER} characters as its {name}."
    if key.get("use", "sig") not in ("sig", "enc"):
        return "must have sig or enc as its use."
    if key["kty"] == "RSA" and _modulus_bits(key) not in _RSA_BITS:
        return "must be an RSA key of 2048 to 8192 bits."
    try:
        public = _TYPES[key["kty"]].import_key({name: key[name] for name in key if name != "x5c"}).public_key
    except (JoseError, LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return "must be a sound key of its type."
    if "x5c" in key and not _is_certified(key["x5c"], public):
        return "must be the key of its first certificate in x5c."
    return None


def _modulus_bits(key: dict[str, Any]) -> int:
    try:
        modulus = base64.urlsafe_b64decode(key.get("n", "") + "==")
    except ValueError:
        return 0
    return int.from_bytes(modulus, "big").bit_length()


def _is_certified(chain: Any, public: Any) -> bool:
    """RFC 7517 section 4.7: the first certificate holds this very key."""
    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str):
        return False
    try:
        certified = load_der_x509_certificate(base64.b64decode(chain[0], validate=True)).public_key()
        return _der(certified) == _der(public)
    except Exception:  # whatever a hostile certificate makes the parser raise, it does not certify the key
        return False


def _der(public: Any) -> bytes:
    encoded: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def can_verify(value: Any, algorithms: Collection[str]) -> bool:
    """Whether a sound JWK Set has a key with which a signature of one of these algorithms (RFC 7518, RFC 9864) is verified."""
    return any(_verifies(key, algorithm) for key in value["keys"] for algorithm in algorithms)


def _verifies(key: dict[str, Any], algorithm: str) -> bool:
    kind = (key["kty"], key.get("crv")) if key["kty"] != "RSA" else ("RSA", None)
    fits = kind in _KEYS_OF.get(algorithm, _KEYS_OF_FAMILY.get(algorithm[:2], ()))
    operations = key.get("key_ops", ["verify"])
    return (
        fits
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) in (algorithm, *_SAME.get(algorithm, ()))
        and isinstance(operations, list)
        and "verify" in operations
    )


def address_fault(value: str) -> str | None:
    """What would be right about a `jwks_uri`: nothing inside a network is ever to be asked for keys."""
    uri = parsed(value)
    if uri is None or uri.scheme != "https" or not uri.host or "@" in (uri.authority or ""):
        return "must be an https URL with a host."
    if uri.fragment is not None:
        return "must have no fragment."
    if not looks_public(uri.host):
        return "must be on a public host."
    return None
