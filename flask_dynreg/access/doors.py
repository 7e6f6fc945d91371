"""The doors: a request's token in, who is asking out, or an OAuth error."""

from collections.abc import Collection
from dataclasses import dataclass

from flask_dynreg.errors import MissingTokenError, UnknownTokenError
from flask_dynreg.registry.tokens import InitialAccessTokens


@dataclass(frozen=True, slots=True)
class Principal:
    """Who registers a client: `source` is the door; `initial_access_token_id` the token that opened it."""

    source: str
    initial_access_token_id: int | None = None


OPEN = Principal("open")


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
            if "open" in self._access:
                return OPEN
            raise MissingTokenError("Registering a client needs an initial access token here.")
        token_id = self._tokens.find(token) if "initial_access_token" in self._access else None
        if token_id is None:
            raise UnknownTokenError()
        return Principal("initial_access_token", token_id)
