"""Initial access tokens that somebody else signs: JWTs, each good for one registration."""

from collections.abc import Callable, Iterable

from joserfc.jwk import Key

from flask_dynreg.errors import TemporarilyUnavailableError
from flask_dynreg.metadata import jwts
from flask_dynreg.metadata.jwts import JWT, InvalidJWTError
from flask_dynreg.metadata.signers import Signer
from flask_dynreg.metadata.software_statement import KeysAt, OneTime
from flask_dynreg.outbound import FetchError
from flask_dynreg.registry.principals import Principal, Terms
from flask_dynreg.signals import logger

TYPE = "initial-access-token+jwt"
TERMS = "dynreg_terms"
LONGEST_OWNER = 255
_REQUIRED = ("aud", "exp", "jti")


class SignedTokens:
    """Made once for an app. `check_terms` raises ValueError for terms that could never be met; `audience` is the server's issuer;
    `now()` gives seconds since the epoch."""

    def __init__(
        self,
        signers: Iterable[Signer],
        keys_at: KeysAt,
        check_terms: Callable[[Terms], None],
        audience: str,
        now: Callable[[], int],
    ) -> None:
        self._signers = {signer.issuer: signer for signer in signers}
        self._keys_at = keys_at
        self._check_terms = check_terms
        self._audience = audience
        self._now = now

    def find(self, presented: str) -> Principal | None:
        """Whom a token that is good now lets in; whether it was used before is told by the registration.

        Raises TemporarilyUnavailableError where the keys of its signer cannot be fetched.
        """
        if not self._signers:
            return None
        try:
            token = jwts.parsed(presented)
        except InvalidJWTError:
            return None
        signer = self._signers.get(token.claims["iss"])
        if signer is None:
            return None
        try:
            self._check(token, signer)
            principal = _principal(token, signer)
            self._check_terms(principal.terms)
            return principal
        except (InvalidJWTError, ValueError) as fault:
            logger.info("An initial access token of %s is not taken: it %s", signer.issuer, fault)
            return None

    def _check(self, token: JWT, signer: Signer) -> None:
        """Raises InvalidJWTError."""
        token.check_algorithm(signer.algorithms)
        token.check_type(TYPE)
        token.check_claims(
            now=self._now(),
            leeway=signer.leeway,
            audiences=[self._audience, *signer.audience],
            required=_REQUIRED,
            max_age=signer.max_age,
        )
        token.check_signature(self._keys_of(signer, token.kid))

    def _keys_of(self, signer: Signer, kid: str | None) -> Iterable[Key]:
        if signer.key_set is not None:
            return signer.key_set
        assert signer.jwks_uri is not None
        try:
            return self._keys_at(signer.jwks_uri, kid)
        except FetchError as error:
            description = "The keys of the signer of the token cannot be fetched now. Try again later."
            raise TemporarilyUnavailableError(description, retry_after=error.retry_after) from error


def _principal(token: JWT, signer: Signer) -> Principal:
    """Raises InvalidJWTError or ValueError."""
    owner = token.claims.get("sub")
    if owner is not None and (not isinstance(owner, str) or not 0 < len(owner) <= LONGEST_OWNER):
        raise InvalidJWTError(f"must have a subject (sub) of 1 to {LONGEST_OWNER} characters, or none.")
    terms = Terms.from_object(token.claims.get(TERMS, {}))
    once = OneTime.of(token, signer, signer.max_age, "Authorization")
    return Principal("initial_access_token", owner=owner, terms=terms, signed_token=once)
