"""Software statements (RFC 7591 section 2.3): whether one is to be believed, and what it decides of a registration."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from joserfc.jwk import Key

from flask_dynreg.errors import (
    InvalidStatementError,
    Problem,
    RefusedClientMetadataError,
    RefusedMetadataError,
    TemporarilyUnavailableError,
    UnapprovedStatementError,
)
from flask_dynreg.metadata import jwts, key_sets
from flask_dynreg.metadata.jwts import JWT, InvalidJWTError
from flask_dynreg.metadata.remote_keys import imported
from flask_dynreg.metadata.schema import SERVER_MADE
from flask_dynreg.metadata.signers import Signer
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.metadata.uris import secure_fault
from flask_dynreg.outbound import FetchError

MEMBER = "software_statement"

_SECTION = "RFC 7591 section 2.3"
_NEVER = SERVER_MADE | {MEMBER}
_KEY_SOURCES = frozenset({"jwks", "jwks_uri", "signed_jwks_uri"})
_LAST = 2**40
"""An end in seconds since the epoch that no clock reaches, and every database can keep."""


KeysAt = Callable[[str, str | None], Iterable[Key]]
"""The key set at a URL, looked at anew if it has no key of this id; raises FetchError."""


class TrustedIssuers(Protocol):
    """Who may sign software statements at present."""

    def find(self, name: str) -> StatementIssuer | None:
        """The issuer with this `iss`, if it is trusted."""

    def are_there(self) -> bool:
        """Whether anybody is: otherwise a server knows nothing of software statements."""


@dataclass(frozen=True, slots=True)
class OneTime:
    """A `jti` that is good once, until `expires_at` (seconds since the epoch): used up in the transaction of the registration.

    `member` is where it came: empty if the request itself was signed, `Authorization` for an initial access token.
    """

    signer: tuple[str, ...]
    jti: str
    expires_at: int
    member: str

    @classmethod
    def of(cls, jwt: JWT, signer: Signer, max_age: int | None, member: str) -> "OneTime":
        """The `jti` of a JWT that was checked."""
        ends = [jwt.claims["exp"]] if "exp" in jwt.claims else []
        if max_age is not None:
            ends.append(jwt.claims["iat"] + max_age)
        named = (signer.issuer, member, jwt.claims["iss"])
        return cls(named, jwt.claims["jti"], int(min(*ends, _LAST)) + signer.leeway, member)


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """A statement that is to be believed. `claims` are those of client metadata, under their names there.

    `request_is_signed` by a key that the statement names: then it is about who sends it.
    """

    text: str
    issuer: StatementIssuer
    claims: Mapping[str, Any]
    one_time: tuple[OneTime, ...] = ()
    request_is_signed: bool = False

    @property
    def fixes_redirect_uris(self) -> bool:
        """Whether the client can have none but those of the statement."""
        return "redirect_uris" in self.claims and "redirect_uris" not in self.issuer.defaults

    @property
    def scopes(self) -> frozenset[str] | None:
        """Those that a client may have at most; None if nothing is said about that."""
        stated, granted = self.claims.get("scope"), self.issuer.scopes
        sets = [] if granted is None else [frozenset(granted)]
        if isinstance(stated, str) and "scope" not in self.issuer.defaults:
            sets.append(frozenset(stated.split(" ")))
        return frozenset.intersection(*sets) if sets else None

    def laid_over(self, sent: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        """What the client sends with what the statement says of it (RFC 7591 section 3.1.1), and what goes beyond its limits."""
        result, problems = dict(sent), []
        locked = {name: value for name, value in self.claims.items() if not self._is_loose(name, value)}
        # A language tag makes no other member: client_name#en says what client_name is for those who read English.
        result = {name: value for name, value in result.items() if _base(name) not in self.locked} | locked
        for name in self.claims.keys() - locked.keys():
            if name in self.issuer.limits:
                problems += _limit(result, name, self.claims[name])
            elif not _is_stated(result, name):
                result[name] = self.claims[name]
        if self.issuer.scopes is not None:
            _limit(result, "scope", " ".join(self.issuer.scopes))
        return result, problems

    def beyond(self, metadata: Mapping[str, Any]) -> list[Problem]:
        """What goes beyond its limits, of metadata that somebody else has changed; scopes are taken away."""
        return self.laid_over(metadata)[1]

    @property
    def locked(self) -> frozenset[str]:
        """The members that it decides, without language tags."""
        bases = {_base(name) for name, value in self.claims.items() if not self._is_loose(name, value)}
        return frozenset(bases | (_KEY_SOURCES if bases & _KEY_SOURCES else set()))

    def _is_loose(self, name: str, value: Any) -> bool:
        if name in self.issuer.limits:
            return isinstance(value, list) or (name == "scope" and isinstance(value, str))
        return _base(name) in self.issuer.defaults


def _base(name: str) -> str:
    return name.partition("#")[0]


def _is_stated(sent: Mapping[str, Any], name: str) -> bool:
    names = _KEY_SOURCES if name in _KEY_SOURCES else (name,)
    return any(sent.get(name) not in (None, "") for name in names)


def _limit(sent: dict[str, Any], name: str, most: Any) -> list[Problem]:
    stated = sent.get(name)
    if stated in (None, "", []):
        sent[name] = most
    elif isinstance(most, str) and isinstance(stated, str):
        sent[name] = " ".join(scope for scope in stated.split(" ") if scope in most.split(" "))
    elif isinstance(most, list) and isinstance(stated, list):
        return [
            Problem(f"/{name}/{number}", "must be one of those in the software statement.", _SECTION)
            for number, item in enumerate(stated)
            if item not in most
        ]
    return []


class SoftwareStatements:
    """Made once for an app. `audience` is the server's issuer; `now()` gives seconds since the epoch."""

    def __init__(self, issuers: TrustedIssuers, keys_at: KeysAt, audience: str, now: Callable[[], int]) -> None:
        self._issuers = issuers
        self._keys_at = keys_at
        self._audience = audience
        self._now = now

    def of(self, sent: Mapping[str, Any], signed: JWT | None, kept: str | None) -> VerifiedStatement | None:
        """The statement that decides about this request, or None if there is none, or nobody is trusted to sign one.

        `signed` is the JWT that the request is (`sent` are its claims). `kept` is the statement that the client has: it stays in
        force if the request has no other. Its signature and times were checked when it came; whom it is of is checked again.

        Raises InvalidStatementError, UnapprovedStatementError, RefusedClientMetadataError for the signature of the request, and
        TemporarilyUnavailableError if the keys of the issuer cannot be fetched.
        """
        text = sent.get(MEMBER)
        if text in (None, ""):
            text = kept
        if text is None or (kept is None and not self._issuers.are_there()):
            if signed:
                _refuse_request("must have a software_statement that names the key by which it is signed.")
            return None
        statement, issuer = self._trusted(text)
        one_time = [] if text == kept else self._check(statement, issuer)
        claims = self._approved(statement, issuer)
        one_time += self._check_request(signed, statement, issuer)
        return VerifiedStatement(text, issuer, claims, tuple(one_time), request_is_signed=signed is not None)

    def remembered(self, text: str | None) -> VerifiedStatement | None:
        """The statement that a client has come with, if it has: it was checked then, and so was the request that it came in.

        Raises UnapprovedStatementError if whom or what it is of is not trusted any more.
        """
        if text is None:
            return None
        statement, issuer = self._trusted(text)
        return VerifiedStatement(text, issuer, self._approved(statement, issuer))

    def _trusted(self, text: str) -> tuple[JWT, StatementIssuer]:
        """What a statement says, and who has signed it. Raises InvalidStatementError and UnapprovedStatementError."""
        try:
            statement = jwts.parsed(text)
        except InvalidJWTError as fault:
            _invalid(fault)
        issuer = self._issuers.find(statement.claims["iss"])
        if issuer is None:
            raise UnapprovedStatementError(
                [Problem(f"/{MEMBER}", "must be of an issuer that is trusted here.", _SECTION)]
            )
        return statement, issuer

    def _approved(self, statement: JWT, issuer: StatementIssuer) -> dict[str, Any]:
        """The client metadata in it. Raises UnapprovedStatementError."""
        claims = _metadata(statement.claims, issuer)
        if not issuer.approves(_text(claims.get("software_id"))):
            description = "must be of a software_id that is approved here."
            raise UnapprovedStatementError([Problem(f"/{MEMBER}", description, _SECTION)])
        return claims

    def _check(self, statement: JWT, issuer: StatementIssuer) -> list[OneTime]:
        """Raises InvalidStatementError."""
        required = [*(["aud"] if issuer.require_audience else []), *(["jti"] if issuer.one_time else [])]
        if issuer.one_time and issuer.max_age is None:
            required.append("exp")  # its jti is not kept for ever
        try:
            statement.check_algorithm(issuer.algorithms)
            statement.check_type(issuer.type)
            statement.check_claims(
                now=self._now(),
                leeway=issuer.leeway,
                audiences=[self._audience, *issuer.audience],
                required=required,
                max_age=issuer.max_age,
            )
            statement.check_signature(self._keys_of(issuer, statement.kid))
        except InvalidJWTError as fault:
            _invalid(fault)
        return [OneTime.of(statement, issuer, issuer.max_age, MEMBER)] if issuer.one_time else []

    def _keys_of(self, issuer: StatementIssuer, kid: str | None) -> Iterable[Key]:
        if issuer.key_set is not None:
            return issuer.key_set
        assert issuer.jwks_uri is not None
        try:
            return self._keys_at(issuer.jwks_uri, kid)
        except FetchError as error:
            description = "The keys of the issuer of the software statement cannot be fetched now. Try again later."
            raise TemporarilyUnavailableError(description, retry_after=error.retry_after) from error

    def _check_request(self, signed: JWT | None, statement: JWT, issuer: StatementIssuer) -> list[OneTime]:
        """Whether the request is signed as the issuer's rules say. Raises RefusedClientMetadataError."""
        rules = issuer.signed_requests
        if signed is None:
            if rules and rules.required:
                _refuse_request(
                    "must be a signed JWT (application/jwt), as the issuer of its software statement wants it."
                )
            return []
        if rules is None:
            _refuse_request("must be plain JSON, as the issuer of its software statement wants it.")
        if signed.claims["iss"] != statement.claims.get(rules.issuer):
            _refuse_request(f"must have the {rules.issuer} of its software statement as issuer (iss).")
        try:
            signed.check_algorithm(rules.algorithms)
            signed.check_type(None)
            signed.check_claims(
                now=self._now(),
                leeway=issuer.leeway,
                audiences=[self._audience, *rules.audience],
                required=["aud", "iat", "exp", "jti"],
                max_age=rules.max_age,
            )
            signed.check_signature(self._keys_in(statement.claims.get(rules.keys), rules.keys, signed.kid))
        except InvalidJWTError as fault:
            _refuse_request(str(fault))
        return [OneTime.of(signed, issuer, rules.max_age, "")]

    def _keys_in(self, claim: Any, name: str, kid: str | None) -> Iterable[Key]:
        """Raises InvalidJWTError."""
        if isinstance(claim, dict) and next(iter(key_sets.faults(claim)), None) is None:
            return imported(key_sets.sound_keys(claim))
        if isinstance(claim, str) and secure_fault(claim, fetched=True) is None:
            try:
                return self._keys_at(claim, kid)
            except FetchError:
                raise InvalidJWTError(f"must be signed by a key of {name}, which cannot be fetched now.") from None
        raise InvalidJWTError(f"must have a software_statement with keys in its {name}.")


def used_before(one_time: OneTime) -> RefusedMetadataError:
    """The error for a `jti` that comes again."""
    description = "must not have been used before (jti)."
    if one_time.member:
        return InvalidStatementError([Problem(f"/{MEMBER}", description, _SECTION)])
    return RefusedClientMetadataError([Problem("", f"The request {description}", "RFC 7591 section 3.1, RFC 7519")])


def _invalid(fault: InvalidJWTError) -> NoReturn:
    raise InvalidStatementError([Problem(f"/{MEMBER}", str(fault), _SECTION)]) from None


def _refuse_request(description: str) -> NoReturn:
    problem = Problem("", f"The request {description}", "RFC 7591 section 3.1, RFC 7515")
    raise RefusedClientMetadataError([problem]) from None


def _metadata(claims: Mapping[str, Any], issuer: StatementIssuer) -> dict[str, Any]:
    """The claims that are client metadata, under their names there. What is null or empty is not there."""
    named = {name: value for name, value in claims.items() if name not in issuer.map}
    named |= {target: claims[name] for name, target in issuer.map.items() if name in claims}
    may_be_set = None if issuer.claims is None else {*issuer.claims, "software_id"}
    return {
        name: value
        for name, value in named.items()
        if value not in (None, "") and name not in _NEVER and (may_be_set is None or _base(name) in may_be_set)
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
