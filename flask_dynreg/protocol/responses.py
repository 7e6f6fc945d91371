"""Answers as OAuth wants them: JSON, not stored, and readable by scripts of the origins that may."""

import json
from collections.abc import Mapping
from typing import Any

from authlib.consts import default_json_headers
from authlib.oauth2 import OAuth2Error
from flask import Request, Response
from werkzeug.exceptions import HTTPException

from flask_dynreg.errors import REALM

Headers = list[tuple[str, str]]

JSON_HEADERS: Headers = list(default_json_headers)
ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-Match, MCP-Protocol-Version"
EXPOSED_HEADERS = "WWW-Authenticate, Retry-After, ETag"

# What a host's code or Flask itself may raise on the way, by status; all others are invalid_request.
_CODES = {401: "invalid_token", 403: "access_denied", 429: "temporarily_unavailable", 503: "temporarily_unavailable"}


_encode = json.JSONEncoder(allow_nan=False).encode


def json_response(status: int, body: Mapping[str, Any], headers: Headers) -> Response:
    return Response(_encode(body), status, headers)


def http_error(error: HTTPException) -> Response:
    """An error of Flask's or of the host's as OAuth JSON, with its status and its headers; an answer that it brings, as it is."""
    if isinstance(error.response, Response):
        return error.response
    status = error.code or 500
    code = _CODES.get(status, "server_error" if status >= 500 else "invalid_request")
    kept = ("www-authenticate", "retry-after", "allow")
    headers = [(name, value) for name, value in error.get_headers() if name.lower() in kept]
    if status == 401 and not any(name.lower() == "www-authenticate" for name, _ in headers):
        headers.append(("WWW-Authenticate", f'Bearer realm="{REALM}"'))
    return json_response(status, {"error": code}, JSON_HEADERS + headers)


def oauth_error(error: OAuth2Error) -> Response:
    status, body, headers = error()
    return json_response(status, body, headers)


def method_not_allowed(methods: list[str]) -> Response:
    description = f"The method must be one of {', '.join(methods)}."
    return json_response(
        405,
        {"error": "invalid_request", "error_description": description},
        [*JSON_HEADERS, ("Allow", ", ".join(methods))],
    )


def not_found() -> Response:
    return json_response(404, {"error": "invalid_request"}, JSON_HEADERS)


def insecure_transport() -> Response:
    body = {"error": "invalid_request", "error_description": "https is required."}
    return json_response(400, body, JSON_HEADERS)


def no_content(headers: Headers) -> Response:
    response = Response(status=204, headers=headers)
    del response.headers["Content-Type"]
    return response


def allow_origin(request: Request, response: Response, origins: str | tuple[str, ...], methods: list[str]) -> Response:
    """Cross-Origin Resource Sharing, without credentials (Fetch standard). A preflight gets what it asks for."""
    if origins == "*":
        response.headers["Access-Control-Allow-Origin"] = "*"
    elif origins:
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin")
        if origin not in origins:
            return response
        response.headers["Access-Control-Allow-Origin"] = origin
    else:
        return response
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
        response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        response.headers["Access-Control-Max-Age"] = "86400"
    else:
        response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    return response
