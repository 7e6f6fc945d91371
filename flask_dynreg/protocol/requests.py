"""Strict intake: bytes and headers in, checked values out, or an OAuth error."""

import json
import math
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NoReturn

from authlib.oauth2.rfc6749 import InvalidRequestError, JsonPayload, JsonRequest, OAuth2Error
from flask import Request
from werkzeug.exceptions import ClientDisconnected

from flask_dynreg.errors import MalformedTokenError, MissingTokenError, Problem, RefusedClientMetadataError
from flask_dynreg.metadata.check import CheckedMetadata
from flask_dynreg.registry.clients import ClientRecord

DEEPEST = 16
_CHUNK = 65536
_DRAINED = 2**20
_MEDIA_TYPE = re.compile(r"application/json[ \t]*(?:;.*)?", re.IGNORECASE | re.ASCII)
_BEARER = re.compile(r"bearer[ ]+([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE | re.ASCII)
_TOKEN_IN_URL = re.compile(rb"(?:^|&)access_token(?:=|&|$)")
_SECTION = "RFC 7591 section 3.1, RFC 8259"


class TooLargeError(OAuth2Error):
    """RFC 9110 section 15.5.14."""

    error = "invalid_request"
    status_code = 413


def _refuse(description: str) -> NoReturn:
    raise RefusedClientMetadataError([Problem("", description, _SECTION)])


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("The request body must have each member of an object once.")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse("The request body must have finite numbers only.")
    return number


def _constant(_: str) -> NoReturn:
    _refuse("The request body must have finite numbers only.")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_float=_finite, parse_constant=_constant)


def parsed_object(body: bytes) -> dict[str, Any]:
    """One JSON object that has one reading: no duplicate member, no bottomless depth, no character that is none.

    Raises RefusedClientMetadataError (RFC 7591 section 3.2.2).
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("The request body must be UTF-8.")
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):  # ValueError: not JSON, or a number of too many digits
        _refuse("The request body must be one JSON object.")
    if not isinstance(value, dict):
        _refuse("The request body must be one JSON object.")
    # Only deep nesting or an escape can hide what has to be looked for value by value.
    if text.count("{") + text.count("[") > DEEPEST or "\\u" in text:
        _walk(value, 1)
    return value


def _walk(value: Any, depth: int) -> None:
    if depth > DEEPEST and isinstance(value, dict | list):
        _refuse(f"The request body must have at most {DEEPEST} levels.")
    if isinstance(value, dict):
        for name, item in value.items():
            _walk(name, depth)
            _walk(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _walk(item, depth + 1)
    elif isinstance(value, str) and any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value):
        _refuse("The request body must have no U+0000 and no lone surrogate.")


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


class RegistrationPayload(JsonPayload):
    """The parsed body, read when it is first asked for."""

    def __init__(self, request: Request, limit: int) -> None:
        self._request = request
        self._limit = limit

    @cached_property
    def data(self) -> Mapping[str, Any]:
        if not _MEDIA_TYPE.fullmatch(self._request.headers.get("Content-Type", "").strip(" \t")):
            raise InvalidRequestError("The Content-Type must be application/json.")
        return parsed_object(body(self._request, self._limit))


class RegistrationRequest(JsonRequest):
    """A request as Authlib's endpoints take it, and what its steps have found out for those that follow."""

    payload: RegistrationPayload
    credential: Any
    client: ClientRecord
    checked: CheckedMetadata

    def __init__(self, request: Request, limit: int) -> None:
        self.method = "GET" if request.method == "HEAD" else request.method
        self.headers = request.headers  # type: ignore[assignment]  # it reads like a mapping, as in Authlib's own
        self.payload = RegistrationPayload(request, limit)
        self._request = request

    @property
    def uri(self) -> str:  # type: ignore[override]  # to build it costs time, and only a host's own hooks ask for it
        return self._request.url

    @property
    def client_id(self) -> str:
        """From the path of the client configuration endpoint."""
        return str((self._request.view_args or {})["client_id"])

    @property
    def bearer_token(self) -> str | None:
        return bearer_token(self._request)
