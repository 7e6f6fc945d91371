"""Strict intake: bytes and headers in, checked values out, or an OAuth error."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import InvalidRequestError, JsonPayload, JsonRequest, OAuth2Error
from flask import Request
from werkzeug.exceptions import ClientDisconnected

from flask_dynreg.access.certificates import CertificateHeader
from flask_dynreg.errors import (
    MalformedTokenError,
    MissingTokenError,
    OtherVersionError,
    Problem,
    RefusedClientMetadataError,
)
from flask_dynreg.metadata import json_objects, jwts
from flask_dynreg.metadata.check import CheckedMetadata
from flask_dynreg.metadata.json_objects import JSONFault
from flask_dynreg.metadata.jwts import JWT, InvalidJWTError
from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.kept_answers import Attempt
from flask_dynreg.registry.principals import RequestFacts

_CHUNK = 65536
_DRAINED = 2**20
_MEDIA_TYPE = re.compile(r"application/(json|jwt)[ \t]*(?:;.*)?", re.IGNORECASE | re.ASCII)
_BEARER = re.compile(r"bearer[ ]+([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)
_TOKEN_IN_URL = re.compile(rb"(?:^|&)access_token(?:=|&|$)")
_QUOTED_KEY = re.compile(r'"((?:[!#-\[\]-~]|\\["\\])*)"')
_BARE_KEY = re.compile(r"[!#-+\--\[\]-~]*")
"""Without a comma: a header that is there twice arrives as one with a comma in it."""
_KEY_LENGTHS = range(22, 256)
_PORTS = {"https": ":443", "http": ":80"}
_SECTION = "RFC 7591 section 3.1, RFC 8259"
_SIGNED = "RFC 7591 section 3.1, RFC 7515"


class TooLargeError(OAuth2Error):
    """RFC 9110 section 15.5.14."""

    error = "invalid_request"
    status_code = 413


def parsed_object(body: bytes) -> dict[str, Any]:
    """One JSON object that has one reading. Raises RefusedClientMetadataError (RFC 7591 section 3.2.2)."""
    try:
        return json_objects.parsed_object(body)
    except JSONFault as fault:
        raise RefusedClientMetadataError([Problem("", f"The request body {fault}", _SECTION)]) from None


def body(request: Request, limit: int) -> bytes:
    """The whole body. Raises TooLargeError, also when a body without a length turns out to be too large."""
    length = request.content_length or 0
    try:
        # A host's hook may have read it before: werkzeug keeps what get_data() gave, and the stream is at its end then.
        taken = b"" if length > limit else _read(request, limit + 1) or request.get_data()
        if max(length, len(taken)) > limit:
            # A server that hangs up on a client that is still sending resets the connection, and with it this answer.
            _read(request, _DRAINED, keep=False)
            raise TooLargeError(f"The request body must have at most {limit} bytes.")
        if len(taken) < length:
            raise ClientDisconnected  # werkzeug looks for it unless the server says that it ends the body by itself
    except (ClientDisconnected, OSError):
        raise InvalidRequestError("The request body must be as long as Content-Length says.") from None
    return taken


def _read(request: Request, most: int, *, keep: bool = True) -> bytes:
    """What comes of the body until its end or until `most` bytes: one read may bring less than was asked for."""
    chunks: list[bytes] = []
    while most > 0 and (chunk := request.stream.read(min(most, _CHUNK))):
        most -= len(chunk)
        if keep:
            chunks.append(chunk)
    return b"".join(chunks)


def bearer_token(request: Request) -> str | None:
    """RFC 6750 section 2.1: the token of the Authorization header, or None if there is no such header.

    Raises MalformedTokenError for what is not one token, MissingTokenError for a token that is sent in another way.
    """
    header = request.headers.get("Authorization")
    if _TOKEN_IN_URL.search(request.query_string):  # as bytes: whatever else is in it may not even be UTF-8
        if header is not None:
            raise MalformedTokenError("The token must be there once, in the Authorization header.")
        raise MissingTokenError("The token must be in the Authorization header, not in the URL.")
    if header is None:
        return None
    match = _BEARER.fullmatch(header.strip(" \t"))
    if match:
        return match[1]
    if re.match(r"bearer\b", header.strip(" \t"), re.IGNORECASE):
        raise MalformedTokenError("The Authorization header must be the word Bearer and one token.")
    raise MissingTokenError("The Authorization header must be of the Bearer scheme.")


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, or None if there is none: a string as RFC 9651 section 3.3.3 writes it, or its text alone.

    Raises InvalidRequestError for what is malformed, or could be guessed. See draft-ietf-httpapi-idempotency-key-header-07.
    """
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    text = header.strip(" \t")
    quoted = _QUOTED_KEY.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not (quoted or _BARE_KEY.fullmatch(text)) or len(key) not in _KEY_LENGTHS:
        raise InvalidRequestError(
            "The Idempotency-Key must be there once, and have 22 to 255 characters of visible ASCII, in quotes or not."
        )
    return key


def signed_object(body: bytes) -> JWT:
    """A JWT whose claims are the request. Raises RefusedClientMetadataError."""
    try:
        return jwts.parsed(body.decode("ascii", "replace"))
    except InvalidJWTError as fault:
        raise RefusedClientMetadataError([Problem("", f"The request body {fault}", _SIGNED)]) from None


def _origin(url: str) -> str:
    """As browsers write it: in small letters, without the usual port."""
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{parts.netloc.removesuffix(_PORTS[parts.scheme])}"


class HTTPFacts(RequestFacts):
    """Each is looked for when somebody asks: most servers ask for none."""

    def __init__(self, request: Request, issuer: str, certificates: CertificateHeader) -> None:
        self._request = request
        self._issuer = issuer
        self._certificates = certificates

    @property
    def address(self) -> str | None:
        return self._request.remote_addr

    @property
    def origin(self) -> str | None:
        return self._request.headers.get("Origin")

    @property
    def is_same_origin(self) -> bool:
        fetched_from = self._request.headers.get("Sec-Fetch-Site")
        return fetched_from == "same-origin" or (fetched_from is None and self.origin == _origin(self._issuer))

    @property
    def certificate(self) -> str | None:
        request = self._request
        # Behind werkzeug's ProxyFix the address is that of the client; the proxy is who has sent the request.
        peer = request.environ.get("werkzeug.proxy_fix.orig", {}).get("REMOTE_ADDR") or request.remote_addr
        return self._certificates.holder(request.headers, peer)


class RegistrationPayload(JsonPayload):
    """The body, read and parsed when it is first asked for. `takes_jwt` tells whether it may be a signed JWT."""

    signed: JWT | None = None
    """What `data` are the claims of, if the body was a JWT."""
    _is_jwt = False

    def __init__(self, request: Request, limit: int, takes_jwt: Callable[[], bool]) -> None:
        self._request = request
        self._limit = limit
        self._takes_jwt = takes_jwt

    @cached_property
    def content(self) -> bytes:
        """The bytes that were sent. Raises InvalidRequestError if they are said to be neither JSON nor a JWT, TooLargeError."""
        match = _MEDIA_TYPE.fullmatch(self._request.headers.get("Content-Type", "").strip(" \t"))
        self._is_jwt = match is not None and match[1].lower() == "jwt"
        if match is None or (self._is_jwt and not self._takes_jwt()):
            raise InvalidRequestError("The Content-Type must be application/json.")
        return body(self._request, self._limit)

    @cached_property
    def data(self) -> Mapping[str, Any]:
        content = self.content
        if not self._is_jwt:
            return parsed_object(content)
        self.signed = signed_object(content)
        return self.signed.claims


class RegistrationRequest(JsonRequest):
    """A request as Authlib's endpoints take it, and what its steps have found out for those that follow."""

    payload: RegistrationPayload
    credential: Any
    client: ClientRecord
    checked: CheckedMetadata
    attempt: Attempt | None = None
    """What is kept of this registration, in case that it is sent again."""
    takes_spent_token = False
    """Whether a token that is used up lets in, to get an answer that was lost."""

    def __init__(
        self, request: Request, limit: int, takes_jwt: Callable[[], bool], issuer: str, certificates: CertificateHeader
    ) -> None:
        self._issuer = issuer
        self._certificates = certificates
        self.is_head = request.method == "HEAD"
        self.method = "GET" if self.is_head else request.method
        self.headers = request.headers  # type: ignore[assignment]  # it reads like a mapping, as in Authlib's own
        self.payload = RegistrationPayload(request, limit, takes_jwt)
        self._request = request
        self._done: set[str] = set()

    def once(self, name: str, action: Callable[..., None], *arguments: Any) -> None:
        """Does what is not to be done again when the transaction is tried again."""
        if name not in self._done:
            self._done.add(name)
            action(*arguments)

    @property
    def uri(self) -> str:  # type: ignore[override]  # to build it costs time, and only a host's own hooks ask for it
        return self._request.url

    @property
    def client_id(self) -> str:
        """From the path of the client configuration endpoint."""
        return str((self._request.view_args or {})["client_id"])

    def require_version(self, entity_tag: str) -> None:
        """RFC 9110 section 13.1.1. Raises OtherVersionError where If-Match is there without it, be it malformed or empty."""
        if "If-Match" in self._request.headers and not self._request.if_match.contains(entity_tag):
            raise OtherVersionError()

    @property
    def facts(self) -> RequestFacts:
        return HTTPFacts(self._request, self._issuer, self._certificates)

    @property
    def idempotency_key(self) -> str | None:
        return idempotency_key(self._request)

    @property
    def bearer_token(self) -> str | None:
        return bearer_token(self._request)
