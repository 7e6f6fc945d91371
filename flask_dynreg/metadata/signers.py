"""Whoever signs JWTs that are taken here: by which name, which keys and which algorithms, as data."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any, Self

from joserfc.jwk import KeySet

from flask_dynreg.metadata import key_sets
from flask_dynreg.metadata.algorithms import SIGNATURES
from flask_dynreg.metadata.remote_keys import imported
from flask_dynreg.metadata.uris import secure_fault

Check = Callable[[Any], str | None]
"""Says what would be right, or None if the value is."""

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""RFC 7591 section 2.3 names RS256. A MAC is allowed there too, but then the server could have signed it itself: not here."""
DEFAULT_LEEWAY = 30
LONGEST = 255
"""What is compared in the database has to fit into its column."""

_NAME = re.compile(r"[ -~]{1,255}")


def issuer_fault(value: Any) -> str | None:
    """What is wrong with the name of an issuer; None if nothing is."""
    right = isinstance(value, str) and _NAME.fullmatch(value) and value == value.strip()
    return None if right else f"must be the iss of what it signs: 1 to {LONGEST} printable ASCII characters."


def _jwks(value: Any) -> str | None:
    fault = next(iter(key_sets.faults(value)), None) if value is not None else None
    if not fault:
        return None
    number, description = fault
    return description if number is None else f"keys[{number}] {description}"


def _jwks_uri(value: Any) -> str | None:
    if value is None:
        return None
    return secure_fault(value, fetched=True) if isinstance(value, str) else "must be a string."


def algorithms_fault(value: Any) -> str | None:
    right = names_fault(value) is None and value and set(value) <= set(SIGNATURES)
    return None if right else f"must be a list of some of {', '.join(SIGNATURES)}."


def names_fault(value: Any) -> str | None:
    right = isinstance(value, list | tuple) and all(
        isinstance(name, str) and 0 < len(name) <= LONGEST for name in value
    )
    return None if right else f"must be a list of strings of 1 to {LONGEST} characters."


def seconds_fault(value: Any) -> str | None:
    right = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if right else "must be a whole number of seconds."


def or_null(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def member(check: Check, **default: Any) -> Any:
    return field(metadata={"check": check}, **default)


def read_members(cls: type[Any], value: Any) -> dict[str, Any]:
    """The values of a dataclass from a JSON object. Raises ValueError, naming the member."""
    if not isinstance(value, Mapping):
        raise ValueError("must be a JSON object.")
    members = {each.name: each for each in fields(cls)}
    if unknown := sorted(str(name) for name in value if name not in members):
        raise ValueError(f"{unknown[0]} is none of its members: {', '.join(members)}.")
    for name, each in members.items():
        if name in value and (fault := each.metadata["check"](value[name])):
            raise ValueError(f"{name} {fault}")
        if name not in value and each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"{name} must be there.")
    return {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}


@dataclass(frozen=True, kw_only=True)
class Signer:
    """One of them.

    * `issuer`: the `iss` of its JWTs. Its keys are in `jwks` (a JWK Set) or at `jwks_uri`; it signs by one of `algorithms`.
    * `audience`: whom a JWT may name (`aud`) beside this server's issuer.
    * `max_age`: seconds since `iat`; `leeway`: by how many seconds clocks may differ.
    """

    issuer: str = member(issuer_fault)
    jwks: Mapping[str, Any] | None = member(_jwks, default=None)
    jwks_uri: str | None = member(_jwks_uri, default=None)
    algorithms: tuple[str, ...] = member(algorithms_fault, default=ALGORITHMS)
    audience: tuple[str, ...] = member(names_fault, default=())
    max_age: int | None = member(or_null(seconds_fault), default=None)
    leeway: int = member(seconds_fault, default=DEFAULT_LEEWAY)

    def __post_init__(self) -> None:
        if (self.jwks is None) == (self.jwks_uri is None):
            raise ValueError("either jwks or jwks_uri must be there.")

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Raises ValueError, naming the member and what would be right."""
        return cls(**read_members(cls, value))

    @cached_property
    def key_set(self) -> KeySet | None:
        """The keys, where they are not to be fetched."""
        return imported(key_sets.sound_keys(self.jwks)) if self.jwks else None
