"""JWTs that others sign (RFC 7515, RFC 7519, RFC 8725): one reading, a key of the right signer, the right time and place."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import ClaimError, JoseError
from joserfc.jwk import Key
from joserfc.jwt import JWTClaimsRegistry
from joserfc.util import urlsafe_b64decode

from flask_dynreg.metadata.algorithms import SIGNATURES, can_verify
from flask_dynreg.metadata.json_objects import parsed_object

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_CLAIMS = {
    "iss": "must have an issuer (iss) as text.",
    "sub": "must have text as its subject (sub).",
    "aud": "must be for this server (aud).",
    "exp": "must not be over (exp).",
    "nbf": "must be good already (nbf).",
    "iat": "must have been issued already (iat).",
    "jti": "must have an identifier of its own (jti).",
}


class InvalidJWTError(Exception):
    """Says what would be right, as the end of a sentence; nothing of what was sent is in it."""


class _Registry(jws.JWSRegistry):
    """The algorithms are checked before. joserfc's own check warns of the name EdDSA, which most signers still write."""

    max_header_length = 16384  # a chain of certificates may be in it

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)  # RFC 7515 section 4: what is not understood is ignored


@dataclass(frozen=True, slots=True)
class JWT:
    """A JWT that is well formed. Nothing in it is to be believed before `check_signature`."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    _signed: jws.CompactSignature

    @property
    def kid(self) -> str | None:
        return self.header.get("kid")

    def check_algorithm(self, algorithms: Collection[str]) -> None:
        """Raises InvalidJWTError if it says that it is signed by none of these."""
        if self.header["alg"] not in algorithms:
            raise InvalidJWTError(f"must be signed by one of {', '.join(algorithms)}.")

    def check_signature(self, keys: Iterable[Key]) -> None:
        """Raises InvalidJWTError if none of the keys is the one that signed."""
        known = list(keys)
        named = [key for key in known if key.kid == self.kid]
        if not any(self._is_signed_by(key, self.header["alg"]) for key in named or known):
            raise InvalidJWTError("must be signed by a key of its issuer.")

    def _is_signed_by(self, key: Key, algorithm: str) -> bool:
        if not can_verify([key.as_dict(private=False)], [algorithm]):
            return False
        try:
            return jws.validate_compact(self._signed, bare(key), registry=_REGISTRY)
        except (JoseError, ValueError):
            return False

    def check_type(self, *expected: str | None) -> None:
        """RFC 8725 section 3.11: a JWT that was made for something else is no good here; it is one of these, of which None is a
        plain JWT. Raises InvalidJWTError."""
        stated, right = str(self.header.get("typ", "JWT")), [name or "JWT" for name in expected]
        if _bare_type(stated) not in map(_bare_type, right):
            raise InvalidJWTError(f"must have {' or '.join(right)} as its type (typ).")

    def check_claims(
        self, *, now: int, leeway: int, audiences: Collection[str], required: Collection[str], max_age: int | None
    ) -> None:
        """Whether it is for one of the audiences, if it says for whom, and is in force. Raises InvalidJWTError.

        `required` are names of registered claims that must be there. `now` is in seconds since the epoch, `leeway` and `max_age`
        (since `iat`) are in seconds.
        """
        needed = {*required, *(["iat"] if max_age is not None else [])}
        essential: Any = {name: {"essential": True} for name in needed}
        essential["aud"] = {"essential": "aud" in required, "values": list(audiences)}
        try:
            JWTClaimsRegistry(now, leeway, **essential).validate(dict(self.claims))
        except ClaimError as error:
            names = error.claim.split(",")  # joserfc names all that are missing at once
            raise InvalidJWTError(_CLAIMS[min(names, key=list(_CLAIMS).index)]) from None
        if max_age is not None and now - self.claims["iat"] > max_age + leeway:
            raise InvalidJWTError("must have been issued more recently (iat).")


def _bare_type(name: str) -> str:
    return name.lower().removeprefix("application/")


def bare(key: Key) -> Key:
    """Without what it says of its purpose, once that was looked at: for joserfc EdDSA and Ed25519 are two algorithms."""
    members = key.as_dict(private=key.is_private)
    return type(key).import_key({name: members[name] for name in members if name not in ("alg", "use", "key_ops")})


def parsed(text: Any) -> JWT:
    """A JWT in compact serialization with one of the algorithms of RFC 7518 or RFC 9864 for signatures, and an issuer.

    Raises InvalidJWTError.
    """
    if not isinstance(text, str) or not _COMPACT.fullmatch(text):
        raise InvalidJWTError("must be a signed JWT in compact serialization.")
    try:
        header = parsed_object(urlsafe_b64decode(text.partition(".")[0].encode()))
        if "crit" in header or "b64" in header:
            raise InvalidJWTError("must have no critical extension in its header.")
        _REGISTRY.check_header(header)
        signed = jws.extract_compact(text.encode(), registry=_REGISTRY)
        claims = parsed_object(signed.payload)
    except (JoseError, ValueError):
        raise InvalidJWTError("must be a signed JWT in compact serialization, its parts JSON objects.") from None
    if header["alg"] not in SIGNATURES:
        raise InvalidJWTError(f"must be signed by one of {', '.join(SIGNATURES)}.")
    if not isinstance(claims.get("iss"), str) or not claims["iss"]:
        raise InvalidJWTError(_CLAIMS["iss"])
    return JWT(header, claims, signed)
