"""Who may sign software statements, and what their statements may say: data, in Python or as JSON."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

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
DEFAULT_REQUEST_AGE = 300
LONGEST = 255
"""What is compared in the database has to fit into its column."""

_NAME = re.compile(r"[ -~]{1,255}")


def _issuer(value: Any) -> str | None:
    right = isinstance(value, str) and _NAME.fullmatch(value) and value == value.strip()
    return None if right else f"must be the iss of its statements: 1 to {LONGEST} printable ASCII characters."


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


def _algorithms(value: Any) -> str | None:
    right = _names(value) is None and value and set(value) <= set(SIGNATURES)
    return None if right else f"must be a list of some of {', '.join(SIGNATURES)}."


def _names(value: Any) -> str | None:
    right = isinstance(value, list | tuple) and all(
        isinstance(name, str) and 0 < len(name) <= LONGEST for name in value
    )
    return None if right else f"must be a list of strings of 1 to {LONGEST} characters."


def _name(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be a string that is not empty."


def _mapping(value: Any) -> str | None:
    right = isinstance(value, Mapping) and all(
        isinstance(name, str) and name for pair in value.items() for name in pair
    )
    return None if right else "must map names of claims to names of client metadata."


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false."


def _seconds(value: Any) -> str | None:
    right = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if right else "must be a whole number of seconds."


def _or_null(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _member(check: Check, **default: Any) -> Any:
    return field(metadata={"check": check}, **default)


def _read(cls: type[Any], value: Any) -> dict[str, Any]:
    """The values of a dataclass from a JSON object. Raises ValueError, naming the member."""
    if not isinstance(value, Mapping):
        raise ValueError("must be a JSON object.")
    members = {member.name: member for member in fields(cls)}
    if unknown := sorted(str(name) for name in value if name not in members):
        raise ValueError(f"{unknown[0]} is none of its members: {', '.join(members)}.")
    for name, member in members.items():
        if name in value and (fault := member.metadata["check"](value[name])):
            raise ValueError(f"{name} {fault}")
    return {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequests:
    """How clients of an issuer sign their registration requests (bodies of `application/jwt`).

    The request's `iss` is the statement's claim that `issuer` names; it is signed by a key of the statement's claim that `keys`
    names, a JWK Set or its address. Its `aud` is this server's issuer or one of `audience`; `iat`, `exp` and a `jti` that is good
    once are required. `max_age` is in seconds since `iat`. `required` refuses requests that are plain JSON.
    """

    required: bool = _member(_boolean, default=True)
    issuer: str = _member(_name, default="software_id")
    keys: str = _member(_name, default="jwks_uri")
    algorithms: tuple[str, ...] = _member(_algorithms, default=("PS256", "ES256"))
    audience: tuple[str, ...] = _member(_names, default=())
    max_age: int = _member(_seconds, default=DEFAULT_REQUEST_AGE)

    @classmethod
    def from_json(cls, value: Any) -> "SignedRequests":
        """Raises ValueError, naming the member."""
        return cls(**_read(cls, value))


def _signed_requests(value: Any) -> str | None:
    try:
        SignedRequests.from_json(value)
    except ValueError as fault:
        return str(fault)
    return None


@dataclass(frozen=True, kw_only=True)
class StatementIssuer:
    """Who signs software statements (RFC 7591 section 2.3) that this server takes, and what a statement decides.

    * `issuer`: the `iss` of its statements. Its keys are in `jwks` (a JWK Set) or at `jwks_uri`; it signs by one of `algorithms`.
    * `audience`: whom a statement may name (`aud`) beside this server's issuer; `require_audience` refuses one that names nobody.
    * `max_age`: seconds since `iat`; `leeway`: by how many seconds clocks may differ; `type`: the `typ` that it must have.
    * `one_time`: a statement has a `jti`, and is good for one registration.
    * `claims`: the names of client metadata that a statement may set, all by default. `map`: claims that stand for another name,
      such as `software_redirect_uris` for `redirect_uris`.
    * What a statement sets is locked: the client can say nothing else. But `defaults` are names that the client may decide
      otherwise, and `limits` names of arrays (or `scope`) of which the client may choose some.
    * `scopes`: what a client may have at most, and gets if it asks for none; all that are supported by default.
    * `software_ids`: those that are approved, all by default; `refused_software_ids`: those that are not.
    * `signed_requests`: how clients sign requests; without it, they cannot.
    """

    issuer: str = _member(_issuer)
    jwks: Mapping[str, Any] | None = _member(_jwks, default=None)
    jwks_uri: str | None = _member(_jwks_uri, default=None)
    algorithms: tuple[str, ...] = _member(_algorithms, default=ALGORITHMS)
    audience: tuple[str, ...] = _member(_names, default=())
    require_audience: bool = _member(_boolean, default=False)
    max_age: int | None = _member(_or_null(_seconds), default=None)
    leeway: int = _member(_seconds, default=DEFAULT_LEEWAY)
    type: str | None = _member(_or_null(_name), default=None)
    one_time: bool = _member(_boolean, default=False)
    claims: tuple[str, ...] | None = _member(_or_null(_names), default=None)
    map: Mapping[str, str] = _member(_mapping, default_factory=dict)
    defaults: tuple[str, ...] = _member(_names, default=())
    limits: tuple[str, ...] = _member(_names, default=())
    scopes: tuple[str, ...] | None = _member(_or_null(_names), default=None)
    software_ids: tuple[str, ...] | None = _member(_or_null(_names), default=None)
    refused_software_ids: tuple[str, ...] = _member(_names, default=())
    signed_requests: SignedRequests | None = _member(_or_null(_signed_requests), default=None)  # noqa: RUF009

    def __post_init__(self) -> None:
        if (self.jwks is None) == (self.jwks_uri is None):
            raise ValueError("either jwks or jwks_uri must be there.")
        loose = [*self.defaults, *self.limits]
        if len(set(loose)) != len(loose):
            raise ValueError("defaults and limits must have a name once.")
        if "software_id" in loose:
            raise ValueError("software_id is what a statement is about: it must not be in defaults or limits.")

    @classmethod
    def from_json(cls, value: Any) -> "StatementIssuer":
        """Raises ValueError, naming the member and what would be right."""
        values = _read(cls, value)
        if "issuer" not in values:
            raise ValueError("issuer must be there.")
        if values.get("signed_requests") is not None:
            values["signed_requests"] = SignedRequests.from_json(values["signed_requests"])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes; what is as usual is left out."""
        return _written(self)

    @cached_property
    def key_set(self) -> KeySet | None:
        """The keys, where they are not to be fetched."""
        return imported(key_sets.sound_keys(self.jwks)) if self.jwks else None

    def approves(self, software_id: str | None) -> bool:
        approved = self.software_ids is None or software_id in self.software_ids
        return approved and software_id not in self.refused_software_ids

    def with_software(self, software_id: str, *, approved: bool) -> "StatementIssuer":
        """The same, but for what it says of this software."""
        listed, refused = self.software_ids, set(self.refused_software_ids) - {software_id}
        if listed is not None:
            others = [name for name in listed if name != software_id]
            listed = (*others, software_id) if approved else tuple(others)
        elif not approved:
            refused.add(software_id)
        return replace(self, software_ids=listed, refused_software_ids=tuple(sorted(refused)))


def _written(value: Any) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for member in fields(value):
        item = getattr(value, member.name)
        usual = member.default_factory() if member.default_factory is not MISSING else member.default
        if item != usual:
            written[member.name] = (
                _written(item) if is_dataclass(item) else list(item) if isinstance(item, tuple) else item
            )
    return written
