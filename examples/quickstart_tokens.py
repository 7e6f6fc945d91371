"""Authlib's grants for the quickstart: what becomes a token, when, and for what."""

import re
from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError, InvalidScopeError, OAuth2Error, grants
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from flask import current_app, request
from werkzeug.datastructures import MultiDict

from examples import quickstart_store as store
from examples.quickstart_server import AUTH_METHODS, CONFIDENTIAL, TokenRequest
from examples.quickstart_store import USERS


def refuse_repeated(parameters: MultiDict[str, str]) -> None:
    if any(len(parameters.getlist(name)) > 1 for name in parameters if name != "resource"):
        raise InvalidRequestError("A parameter is there more than once.")


def allowed_scope(client: Any, requested: str | None) -> str:
    """Of what is asked for, what the client registered; all of that if nothing is asked for (RFC 6749 section 3.3)."""
    registered = client.scope.split()
    wanted = list(dict.fromkeys(requested.split() if requested else registered))
    allowed = [scope for scope in wanted if scope in registered]
    if not set(wanted) <= {*current_app.config["SCOPES"], *registered} or (wanted and not allowed):
        raise InvalidScopeError()
    return " ".join(allowed)


def resources(parameters: MultiDict[str, str], authorized: str | None = None) -> str:
    """RFC 8707: what a token is for. A token request may choose from what the authorization request named."""
    wanted = list(dict.fromkeys(uri for uri in parameters.getlist("resource") if uri))
    absolute = r"(?!(?i:https?):(?!//[^/?]))[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+"
    if not all(re.fullmatch(absolute, uri) for uri in wanted):
        raise OAuth2Error("resource must be an absolute URI without a fragment.", error="invalid_target")
    if authorized is not None and not set(wanted) <= set(authorized.split()):
        raise OAuth2Error("resource was not part of the authorization.", error="invalid_target")
    return " ".join(wanted) or authorized or ""


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    request: TokenRequest

    def query_authorization_code(self, code: str, client: Any) -> store.Authorization | None:
        return store.find_code(code, client)

    def validate_token_request(self) -> None:
        super().validate_token_request()
        authorization = self.request.authorization_code
        self.check_code_verifier(authorization)
        if not self.request.client.check_redirect_uri(authorization.redirect_uri):
            raise InvalidGrantError("The client has given this redirect URI up.")
        self.request.resource = resources(request.form, authorization.resource)
        store.use_once(authorization)

    def check_code_verifier(self, authorization: store.Authorization) -> None:
        verifier = request.form.get("code_verifier", "")
        fits = re.fullmatch(r"[\w.~-]{43,128}", verifier, re.ASCII)
        if not fits or create_s256_code_challenge(verifier) != authorization.code_challenge:  # type: ignore[no-untyped-call]
            raise InvalidGrantError("code_verifier does not match the code_challenge.")

    def authenticate_user(self, authorization_code: store.Authorization) -> str | None:
        return authorization_code.subject if authorization_code.subject in USERS else None

    def delete_authorization_code(self, authorization_code: store.Authorization) -> None:
        """It stays, marked as used, so that a second use is noticed."""


class RefreshTokenGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True  # rotation, RFC 9700 section 4.14.2
    request: TokenRequest

    def authenticate_refresh_token(self, refresh_token: str) -> Any:
        return store.find_token(refresh_token, "refresh_token")

    def validate_token_request(self) -> None:
        super().validate_token_request()
        token: store.Token = self.request.refresh_token
        self.request.resource = resources(request.form, token.resource)
        store.use_once(token)

    def authenticate_user(self, refresh_token: store.Token) -> str | None:
        return refresh_token.authorization.subject if refresh_token.authorization.subject in USERS else None

    def revoke_old_credential(self, refresh_token: Any) -> None:
        """It stays, marked as used, so that a second use is noticed."""


class ClientCredentialsGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = CONFIDENTIAL
    request: TokenRequest

    def validate_token_request(self) -> None:
        super().validate_token_request()
        self.request.resource = resources(request.form)

    def generate_token(self, *args: Any, **kwargs: Any) -> dict[str, str | int]:
        kwargs["scope"] = allowed_scope(self.client, kwargs.get("scope"))
        return super().generate_token(*args, **kwargs)
