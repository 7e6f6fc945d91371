"""The doors: a request's token or software statement in, who is asking out, or an OAuth error."""

from collections.abc import Collection, Mapping
from typing import Any

from flask_dynreg.errors import (
    InvalidStatementError,
    MissingTokenError,
    Problem,
    RefusedClientMetadataError,
    UnapprovedStatementError,
    UnknownTokenError,
)
from flask_dynreg.metadata.check import CheckedMetadata
from flask_dynreg.metadata.software_statement import MEMBER, VerifiedStatement
from flask_dynreg.registry.principals import OPEN, Principal
from flask_dynreg.registry.tokens import InitialAccessTokens
from flask_dynreg.server_metadata import REDIRECT_GRANTS

STATED = Principal("software_statement")
"""Somebody whose software statement is still to be looked at."""

_SECTION = "RFC 7591 section 2.3"
_UNASKED_GRANTS = REDIRECT_GRANTS | {"refresh_token"}
"""What leads to a token only by way of a redirect URI: of no use to somebody else who has seen the statement."""


class Doors:
    """The doors that `DYNREG_ACCESS` opens."""

    def __init__(self, access: Collection[str], tokens: InitialAccessTokens) -> None:
        self._access = frozenset(access)
        self._tokens = tokens

    @property
    def are_closed(self) -> bool:
        return not self._access

    def admit(self, token: str | None) -> Principal:
        """Raises MissingTokenError or UnknownTokenError: a token that is presented and not good is never taken for none."""
        if token is None:
            for principal in (OPEN, STATED):
                if principal.source in self._access:
                    return principal
            raise MissingTokenError("Registering a client needs an initial access token here.")
        token_id = self._tokens.find(token) if "initial_access_token" in self._access else None
        if token_id is None:
            raise UnknownTokenError()
        return Principal("initial_access_token", token_id)

    def admit_statement(self, statement: VerifiedStatement | None, kept: str | None) -> None:
        """Whether a software statement lets in who sends it. It proves nothing about its sender: anybody can who has seen it.

        So it fixes the redirect URIs, or names the key that signed the request. `kept` is the one that the client came with,
        if it is an update. Raises InvalidStatementError or UnapprovedStatementError, and MissingTokenError where a token
        would do as well.
        """
        if statement is None:
            if "initial_access_token" in self._access:
                raise MissingTokenError(
                    "Registering a client needs an initial access token or a software statement here."
                )
            raise InvalidStatementError(
                [Problem(f"/{MEMBER}", "must be there, of an issuer that is trusted here.", _SECTION)]
            )
        if not (statement.text == kept or statement.request_is_signed or statement.fixes_redirect_uris):
            description = "must set the redirect_uris, or name the key by which the request is signed."
            raise UnapprovedStatementError([Problem(f"/{MEMBER}", description, _SECTION)])

    def confine(self, checked: CheckedMetadata, before: Mapping[str, Any]) -> None:
        """Whether what is let in by a statement needs redirects to get tokens, unless its request is signed.

        `before` is the metadata of the client, if it is an update: what it has, it may keep. Raises RefusedClientMetadataError.
        """
        grants = {*checked.metadata["grant_types"]} - _UNASKED_GRANTS - {*before.get("grant_types", ())}
        if grants and not (checked.statement and checked.statement.request_is_signed):
            description = f"must be some of {', '.join(sorted(_UNASKED_GRANTS))}, unless the request is signed."
            raise RefusedClientMetadataError([Problem("/grant_types", description, _SECTION)])
