"""The doors: a request's token or software statement in, who is asking out, or an OAuth error."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from flask_dynreg.access.rates import Rates, network
from flask_dynreg.access.signed_tokens import SignedTokens
from flask_dynreg.errors import (
    ConfigurationError,
    ForbiddenError,
    InvalidStatementError,
    MissingTokenError,
    Problem,
    RefusedClientMetadataError,
    UnapprovedStatementError,
    UnknownTokenError,
)
from flask_dynreg.metadata.check import CheckedMetadata
from flask_dynreg.metadata.software_statement import MEMBER, VerifiedStatement
from flask_dynreg.registry.principals import OPEN, Principal, RequestFacts, share_of
from flask_dynreg.registry.switch import RegistrationSwitch
from flask_dynreg.registry.tokens import InitialAccessTokens
from flask_dynreg.server_metadata import REDIRECT_GRANTS

SessionUser = Callable[[], str | None]
"""Who is signed in, in the session of a host's: a name by which it knows the user, or None."""

STATED = Principal("software_statement")
"""Somebody whose software statement is still to be looked at."""

_SECTION = "RFC 7591 section 2.3"
_KEYS = {
    "initial_access_token": "an initial access token",
    "software_statement": "a software statement",
    "session": "a signed-in user on a page of this server",
    "mutual_tls": "a client certificate",
}
_UNASKED_GRANTS = REDIRECT_GRANTS | {"refresh_token"}
"""What leads to a token only by way of a redirect URI: of no use to somebody else who has seen the statement."""


class Doors:
    """The doors that `DYNREG_ACCESS` opens."""

    def __init__(
        self,
        access: Collection[str],
        tokens: InitialAccessTokens,
        signed_tokens: SignedTokens,
        rates: Rates,
        switch: RegistrationSwitch,
        session_user: SessionUser | None,
    ) -> None:
        """Raises ConfigurationError if the door for who is signed in is open, and nobody says who is."""
        self._access = frozenset(access)
        self._session_user = session_user
        if "session" in access and session_user is None:
            raise ConfigurationError(
                "DYNREG_ACCESS has session: a function has to say who is signed in, by dynreg.session_user."
            )
        needed = " or ".join(text for door, text in _KEYS.items() if door in self._access)
        self._needed = f"Registering a client needs {needed} here."
        self._switch = switch
        self._tokens = tokens
        self._signed_tokens = signed_tokens
        self._rates = rates

    @property
    def are_closed(self) -> bool:
        """By the settings, or by an operator while the server runs."""
        return not self._access or self._switch.closed is not None

    def admit(self, token: str | None, facts: RequestFacts, *, spent: bool = False) -> Principal:
        """With `spent`, lets in who has a token that is used up as well: the principal tells.

        Raises MissingTokenError or UnknownTokenError: a token that is presented and not good is never taken for none.

        Raises TemporarilyUnavailableError where the keys of who signed the token cannot be fetched.
        """
        if token is None:
            for anybody in (self._signed_in(facts), self._certified(facts), OPEN, STATED):
                if anybody and anybody.source in self._access:
                    return anybody
            raise MissingTokenError(self._needed)
        principal = self._token_holder(token, spent) if "initial_access_token" in self._access else None
        if principal is None:
            raise UnknownTokenError()
        return principal

    def check_origin(self, principal: Principal, facts: RequestFacts) -> None:
        """Raises ForbiddenError for a script of a web origin that the token is not for: a preflight had no token to tell by."""
        origins = principal.terms.origins
        if origins is not None and facts.origin is not None and facts.origin not in origins:
            raise ForbiddenError("The token is not for scripts of this origin.")

    def _token_holder(self, token: str, spent: bool) -> Principal | None:
        return self._signed_tokens.find(token) if "." in token else self._tokens.find(token, spent=spent)

    def _signed_in(self, facts: RequestFacts) -> Principal | None:
        """The session's cookie comes with any request that a page of anybody's makes: only one of this server's counts."""
        if "session" not in self._access or self._session_user is None or not facts.is_same_origin:
            return None
        user = self._session_user()
        return Principal("session", owner=user) if user else None

    def _certified(self, facts: RequestFacts) -> Principal | None:
        holder = facts.certificate if "mutual_tls" in self._access else None
        return Principal("mutual_tls", owner=holder) if holder else None

    def admit_statement(self, statement: VerifiedStatement | None, kept: str | None) -> None:
        """Whether a software statement lets in who sends it. It proves nothing about its sender: anybody can who has seen it.

        So it fixes the redirect URIs, or names the key that signed the request. `kept` is the one that the client came with,
        if it is an update. Raises InvalidStatementError or UnapprovedStatementError, and MissingTokenError where something
        else would do as well.
        """
        if statement is None:
            if self._access != {STATED.source}:
                raise MissingTokenError(self._needed)
            raise InvalidStatementError(
                [Problem(f"/{MEMBER}", "must be there, of an issuer that is trusted here.", _SECTION)]
            )
        if not (statement.text == kept or statement.request_is_signed or statement.fixes_redirect_uris):
            description = "must set the redirect_uris, or name the key by which the request is signed."
            raise UnapprovedStatementError([Problem(f"/{MEMBER}", description, _SECTION)])

    def count_arrival(self, principal: Principal, facts: RequestFacts) -> None:
        """Counts a registration, by the token or by where it comes from. Raises TooManyRequestsError."""
        if not self._rates.are_there:
            return
        if principal.initial_access_token_id is not None:
            self._rates.count(principal.source, token=str(principal.initial_access_token_id))
        elif principal.signed_token is not None:  # good once: all of one signer count together
            self._rates.count(principal.source, token=" ".join(principal.signed_token.signer))
        else:
            stranger = "all" if principal.owner is None else None
            self._rates.count(principal.source, address=network(facts.address), server=stranger)

    def count_recovery(self, facts: RequestFacts) -> None:
        """Counts an attempt to get a new registration access token, by where it comes from. Raises TooManyRequestsError."""
        self._rates.count(OPEN.source, address=network(facts.address))

    def count_client(self, principal: Principal, checked: CheckedMetadata) -> None:
        """Counts a registration, by what is known of the client only now. Raises TooManyRequestsError."""
        issuer = checked.statement.issuer.issuer if checked.statement else None
        self._rates.count(
            principal.source, software_id=share_of(checked.metadata.get("software_id"), principal.source), issuer=issuer
        )

    def confine(self, checked: CheckedMetadata, before: Mapping[str, Any]) -> None:
        """Whether what is let in by a statement needs redirects to get tokens, unless its request is signed.

        `before` is the metadata of the client, if it is an update: what it has, it may keep. Raises RefusedClientMetadataError.
        """
        grants = {*checked.metadata["grant_types"]} - _UNASKED_GRANTS - {*before.get("grant_types", ())}
        if grants and not (checked.statement and checked.statement.request_is_signed):
            description = f"must be some of {', '.join(sorted(_UNASKED_GRANTS))}, unless the request is signed."
            raise RefusedClientMetadataError([Problem("/grant_types", description, _SECTION)])
