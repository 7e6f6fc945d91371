"""What is sound as a client's own key set: `jwks` (RFC 7591 section 2, RFC 7517)."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_der_x509_certificate
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from flask_dynreg.metadata.algorithms import uses

MOST_KEYS = 32

_TYPES: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})  # the last is of post-quantum keys
_LARGEST_MEMBER = 4096
_RSA_BITS = range(2048, 8193)

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
    if _needs_use(sound):
        yield None, "must have use on every key, as it has or may have keys for signatures and keys for encryption."


def _needs_use(keys: list[dict[str, Any]]) -> bool:
    """Whether a key lacks `use` in a set with keys of both kinds (OpenID Connect Registration section 2).

    A key that is fit for both is of no kind by itself. Beside one that has `use` it may be of the other.
    """
    unstated = [uses(key) for key in keys if "use" not in key]
    kinds = set().union(*(each for each in map(uses, keys) if len(each) == 1))
    return bool(unstated) and (len(kinds) == 2 or (len(unstated) < len(keys) and {"sig", "enc"} in unstated))


def sound_keys(value: Any) -> list[dict[str, Any]]:
    """Those of the first keys of a fetched JWK Set that can be used; nobody is there to be told of the others."""
    keys = value.get("keys") if isinstance(value, dict) else None
    first = keys[:MOST_KEYS] if isinstance(keys, list) else []
    return [key for key in first if _key_fault(key) is None and key["kty"] in _TYPES]


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
