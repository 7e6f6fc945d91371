"""The error answers of the RFCs, and the one error that stops a start."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc6750 import InvalidTokenError
from authlib.oauth2.rfc7591 import (
    InvalidClientMetadataError,
    InvalidRedirectURIError,
    InvalidSoftwareStatementError,
    UnapprovedSoftwareStatementError,
)

REALM = "client registration"

Headers = list[tuple[str, str]]


class ConfigurationError(Exception):
    """A `DYNREG_` key, or what a host passes to the extension, is wrong. The message names it and says what would be right."""


class RaceLostError(Exception):
    """Somebody else changed the client meanwhile: roll back, read again, and try again."""


class UnknownClientError(LookupError):
    """There is no client with this id, for an operator who may know that, and what has become of it."""

    def __init__(self, removed_at: int | None = None, reason: str = "") -> None:
        gone = f" It was removed at {removed_at}, for the reason: {reason}." if removed_at is not None else ""
        super().__init__(f"There is no client with this id.{gone}")


class DecisionError(ValueError):
    """What an operator wants cannot be done with a client as it is. The message says what would be right."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with client metadata: where (a JSON pointer, RFC 6901), what would be right, and who says so."""

    pointer: str
    description: str
    section: str
    policy: str | None = None
    """The policy that says so, for operators alone."""

    @property
    def member(self) -> str:
        """The name of the member; empty for the whole document."""
        return self.pointer.removeprefix("/").partition("/")[0].replace("~1", "/").replace("~0", "~")


class RefusedMetadataError(OAuth2Error):
    """RFC 7591 section 3.2.2, with all that is wrong: `error_description` tells the first, `errors` lists every one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__()
        first = problems[0]
        # Set, not passed on: Authlib would look at every character of a text that is all ours.
        self.description = f"{first.member}: {first.description}" if first.member else first.description
        self.problems = tuple(problems)

    def __call__(self, uri: str | None = None) -> Any:
        status, body, headers = super().__call__(uri)
        body["errors"] = [
            {"pointer": problem.pointer, "description": problem.description, "section": problem.section}
            for problem in self.problems
        ]
        return status, body, headers


class RefusedClientMetadataError(RefusedMetadataError, InvalidClientMetadataError):
    """`invalid_client_metadata`"""


class RefusedRedirectURIError(RefusedMetadataError, InvalidRedirectURIError):
    """`invalid_redirect_uri`"""


class InvalidStatementError(RefusedMetadataError, InvalidSoftwareStatementError):
    """`invalid_software_statement`: it cannot be believed."""


class UnapprovedStatementError(RefusedMetadataError, UnapprovedSoftwareStatementError):
    """`unapproved_software_statement`: whoever made it, or what it is about, is not accepted here."""


def refusal(problems: Sequence[Problem]) -> RefusedMetadataError:
    """The error for these problems, of which there is at least one; what is wrong with `redirect_uris` comes first."""
    ordered = sorted(problems, key=lambda problem: problem.member != "redirect_uris")
    if ordered[0].member == "redirect_uris":
        return RefusedRedirectURIError(ordered)
    return RefusedClientMetadataError(ordered)


class MissingTokenError(OAuth2Error):
    """No token where one is needed. RFC 6750 section 3.1: a request that knew of no token is told no error code."""

    error = "invalid_token"
    status_code = 401

    def get_headers(self) -> Headers:
        return [*super().get_headers(), ("WWW-Authenticate", f'Bearer realm="{REALM}"')]


class UnknownTokenError(InvalidTokenError):
    """One answer for a token that is wrong, used up, over, another client's, or of a client that is gone."""

    def __init__(self) -> None:
        super().__init__("The token is not good here.", realm=REALM)


class SpentTokenError(UnknownTokenError):
    """A registration access token that was good before. Who presents it is told no more than of any other."""


class UnprovenClientError(OAuth2Error):
    """One answer for whatever is wrong with the proof of who a client is, or with the client."""

    error = "invalid_client"
    description = "The request does not prove that the client may get a new token."
    status_code = 401

    def get_headers(self) -> Headers:
        return [*super().get_headers(), ("WWW-Authenticate", f'Bearer realm="{REALM}"')]


class MalformedTokenError(InvalidRequestError):
    """RFC 6750 section 3.1: a token that is sent in a way that is not allowed, or more than one."""

    def get_headers(self) -> Headers:
        return [*super().get_headers(), ("WWW-Authenticate", f'Bearer realm="{REALM}", error="invalid_request"')]


class ForbiddenError(OAuth2Error):
    """RFC 7592 section 2: the client is known, but may not do this."""

    error = "access_denied"
    description = "The client may not do this."
    status_code = 403


class OtherVersionError(OAuth2Error):
    """RFC 9110 section 15.5.13: the client has changed since the request's sender read it."""

    error = "invalid_request"
    description = "If-Match must be the ETag of the client as it is now: read it again."
    status_code = 412


class TooManyRequestsError(OAuth2Error):
    """RFC 6585 section 4: as often as this nobody may register. `limit` is the name of the limit, `amount` registrations in
    `window` seconds; in `retry_after` seconds the next may come."""

    error = "temporarily_unavailable"
    description = "There are too many registrations. Try again later."
    status_code = 429

    def __init__(self, limit: str, amount: int, window: int, retry_after: int) -> None:
        super().__init__()
        self.limit = limit
        self.amount = amount
        self.window = window
        self.retry_after = retry_after

    def get_headers(self) -> Headers:
        """The RateLimit fields are those of draft-ietf-httpapi-ratelimit-headers-10."""
        return [
            *super().get_headers(),
            ("Retry-After", str(self.retry_after)),
            ("RateLimit-Policy", f'"{self.limit}";q={self.amount};w={self.window}'),
            ("RateLimit", f'"{self.limit}";r=0;t={self.retry_after}'),
        ]


class ServerFailureError(OAuth2Error):
    """Something of the host's own failed, of which its log tells."""

    error = "server_error"
    description = "The server could not do this."
    status_code = 500


class TemporarilyUnavailableError(OAuth2Error):
    """The store cannot be reached or is too busy, or a document that is needed cannot be fetched now.

    Nothing was changed, and trying again later is right.
    """

    error = "temporarily_unavailable"
    description = "The server cannot do this right now. Try again later."
    status_code = 503

    def __init__(self, description: str | None = None, *, retry_after: int | None = None) -> None:
        """`retry_after` is in seconds, 5 if nothing better is known."""
        super().__init__(description)
        self.retry_after = retry_after or 5

    def get_headers(self) -> Headers:
        return [*super().get_headers(), ("Retry-After", str(self.retry_after))]


class InFlightError(TemporarilyUnavailableError):
    """draft-ietf-httpapi-idempotency-key-header-07 section 2.6: a request with the same Idempotency-Key is not answered yet."""

    description = "A request with this Idempotency-Key is being answered. Send it again for the answer."
    status_code = 409

    def __init__(self) -> None:
        super().__init__(retry_after=1)
