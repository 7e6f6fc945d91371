"""Who may sign software statements, and what their statements may say: data, in Python or as JSON."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

from flask_dynreg.metadata.signers import (
    Signer,
    algorithms_fault,
    member,
    names_fault,
    or_null,
    read_members,
    seconds_fault,
)

DEFAULT_REQUEST_AGE = 300


def _name(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be a string that is not empty."


def _mapping(value: Any) -> str | None:
    right = isinstance(value, Mapping) and all(
        isinstance(name, str) and name for pair in value.items() for name in pair
    )
    return None if right else "must map names of claims to names of client metadata."


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false."


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequests:
    """How clients of an issuer sign their registration requests (bodies of `application/jwt`).

    The request's `iss` is the statement's claim that `issuer` names; it is signed by a key of the statement's claim that `keys`
    names, a JWK Set or its address. Its `aud` is this server's issuer or one of `audience`; `iat`, `exp` and a `jti` that is good
    once are required. `max_age` is in seconds since `iat`. `required` refuses requests that are plain JSON.
    """

    required: bool = member(_boolean, default=True)
    issuer: str = member(_name, default="software_id")
    keys: str = member(_name, default="jwks_uri")
    algorithms: tuple[str, ...] = member(algorithms_fault, default=("PS256", "ES256"))
    audience: tuple[str, ...] = member(names_fault, default=())
    max_age: int = member(seconds_fault, default=DEFAULT_REQUEST_AGE)

    @classmethod
    def from_json(cls, value: Any) -> "SignedRequests":
        """Raises ValueError, naming the member."""
        return cls(**read_members(cls, value))


def _signed_requests(value: Any) -> str | None:
    try:
        SignedRequests.from_json(value)
    except ValueError as fault:
        return str(fault)
    return None


@dataclass(frozen=True, kw_only=True)
class StatementIssuer(Signer):
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

    require_audience: bool = member(_boolean, default=False)
    type: str | None = member(or_null(_name), default=None)
    one_time: bool = member(_boolean, default=False)
    claims: tuple[str, ...] | None = member(or_null(names_fault), default=None)
    map: Mapping[str, str] = member(_mapping, default_factory=dict)
    defaults: tuple[str, ...] = member(names_fault, default=())
    limits: tuple[str, ...] = member(names_fault, default=())
    scopes: tuple[str, ...] | None = member(or_null(names_fault), default=None)
    software_ids: tuple[str, ...] | None = member(or_null(names_fault), default=None)
    refused_software_ids: tuple[str, ...] = member(names_fault, default=())
    signed_requests: SignedRequests | None = member(or_null(_signed_requests), default=None)  # noqa: RUF009

    def __post_init__(self) -> None:
        super().__post_init__()
        loose = [*self.defaults, *self.limits]
        if len(set(loose)) != len(loose):
            raise ValueError("defaults and limits must have a name once.")
        if "software_id" in loose:
            raise ValueError("software_id is what a statement is about: it must not be in defaults or limits.")

    @classmethod
    def from_json(cls, value: Any) -> "StatementIssuer":
        """Raises ValueError, naming the member and what would be right."""
        values = read_members(cls, value)
        if values.get("signed_requests") is not None:
            values["signed_requests"] = SignedRequests.from_json(values["signed_requests"])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes; what is as usual is left out."""
        return _written(self)

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
    for each in fields(value):
        item = getattr(value, each.name)
        usual = each.default_factory() if each.default_factory is not MISSING else each.default
        if item != usual:
            written[each.name] = (
                _written(item) if is_dataclass(item) else list(item) if isinstance(item, tuple) else item
            )
    return written
