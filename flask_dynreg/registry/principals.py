"""Who asks for something: a client that registers, by the door that let it in, or somebody who runs the server."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from flask_dynreg.metadata.software_statement import OneTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What whoever let clients in has set for them, now and at every update. Empty: nothing.

    None as `scopes`, `grant_types`, `redirect_hosts` or `origins` is no limit.
    """

    policies: tuple[str, ...] = ()
    """Names of policies, beside those that hold for everybody."""
    scopes: tuple[str, ...] | None = None
    """The only scopes that a client may have."""
    grant_types: tuple[str, ...] | None = None
    """The only grant types that a client may have."""
    redirect_hosts: tuple[str, ...] | None = None
    """The only hosts of redirect URIs."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Client metadata for what a client does not say."""
    forced: Mapping[str, Any] = field(default_factory=dict)
    """Client metadata that take the place of what a client says."""
    origins: tuple[str, ...] | None = None
    """Web origins whose scripts may register with the token."""

    def to_json(self) -> str:
        """Without what is not set; `{}` for nothing."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps({name: value for name, value in said.items() if value != getattr(NO_TERMS, name)})

    @classmethod
    def from_json(cls, text: str | None) -> "Terms":
        """Terms as `to_json` writes them. Raises ValueError, naming the member that is wrong."""
        return cls.from_object(json.loads(text)) if text else NO_TERMS

    @classmethod
    def from_object(cls, value: Any) -> "Terms":
        """Terms from a JSON object. Raises ValueError, naming the member that is wrong."""
        if not isinstance(value, Mapping):
            raise ValueError("The terms must be a JSON object.")
        known = {each.name for each in fields(cls)}
        for name, stated in value.items():
            if name not in known:
                raise ValueError(f"The terms must have none but {', '.join(sorted(known))}.")
            if name in _OBJECTS:
                if not isinstance(stated, Mapping):
                    raise ValueError(f"{name} must be an object of client metadata.")
            elif not isinstance(stated, list | tuple) or not all(isinstance(item, str) for item in stated):
                raise ValueError(f"{name} must be a list of strings.")
        read: dict[str, Any] = {name: stated if name in _OBJECTS else tuple(stated) for name, stated in value.items()}
        return cls(**read)


_OBJECTS = ("defaults", "forced")

NO_TERMS = Terms()


class RequestFacts:
    """What is known of a request beside its body; nothing of what does not come over HTTP."""

    @property
    def address(self) -> str | None:
        """The address of who sent it, as the app sees it."""
        return None

    @property
    def origin(self) -> str | None:
        """The web origin of the script that sent it."""
        return None

    @property
    def is_same_origin(self) -> bool:
        """Whether a browser says that it comes from a page of this server."""
        return False

    @property
    def certificate(self) -> str | None:
        """Whose the client certificate is that a trusted proxy has checked."""
        return None


NO_FACTS = RequestFacts()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who registers a client: `source` is the door; `initial_access_token_id` the token that opened it; `owner` whom the host
    says the client belongs to; `terms` what is set for the client; `signed_token` what is good once of a token that somebody
    else has signed. `is_spent` if the token is used up: it is good for nothing but an answer that was lost."""

    source: str
    initial_access_token_id: int | None = None
    owner: str | None = None
    terms: Terms = NO_TERMS
    signed_token: OneTime | None = None
    is_spent: bool = False

    @property
    def is_stranger(self) -> bool:
        return self.source in STRANGERS


STRANGERS = frozenset({"open", "software_statement"})
"""The doors that ask nobody who they are."""

OPEN = Principal("open")


def share_of(software_id: str | None, source: str | None) -> str | None:
    """A `software_id`, with the share of it for which a client counts: anybody may name that of somebody else, who must not be
    shut out by it."""
    return software_id and f"{'strangers' if source in STRANGERS else 'known'} {software_id}"
