"""Authlib's server for the quickstart, with a stricter client authentication that knows private_key_jwt."""

import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import unquote_plus

from authlib.integrations import flask_oauth2
from authlib.oauth2.rfc6749 import InvalidClientError, InvalidRequestError, OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from flask import request
from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import Key, KeySet

from examples.quickstart_store import first_use, now
from flask_dynreg import DynamicRegistration

CONFIDENTIAL = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
AUTH_METHODS = [*CONFIDENTIAL, "none"]
SIGNING_ALGORITHMS = ["RS256", "PS256", "ES256", "Ed25519", "EdDSA"]  # the last two are one: RFC 9864 renamed it
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}
CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, MCP-Protocol-Version",
    "Access-Control-Expose-Headers": "WWW-Authenticate",
}
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME = 3600


class TokenRequest(OAuth2Request):
    """The body alone. Authlib wants https: the issuer is what the client saw, a TLS proxy hands on plain http."""

    client: Any
    authorization_code: Any
    refresh_token: Any
    resource = ""

    def __init__(self, issuer: str) -> None:
        super().__init__(request.method, issuer)
        self.payload = BasicOAuth2Payload(request.form.to_dict())

    @property
    def form(self) -> dict[str, str]:
        return request.form.to_dict()


class AuthorizationServer(flask_oauth2.AuthorizationServer):
    def __init__(self, dynreg: DynamicRegistration) -> None:
        super().__init__()
        self.dynreg = dynreg

    def create_oauth2_request(self, request: Any) -> Any:
        return TokenRequest(self.dynreg.server_metadata()["issuer"])

    def authenticate_client(self, request: OAuth2Request, methods: Collection[str], endpoint: str = "token") -> Any:
        return self.authenticate(methods)

    def authenticate(self, methods: Collection[str]) -> Any:
        """RFC 6749 section 2.3: one method in a request, the registered one. A secret in the URL is not looked at."""
        form = request.form
        try:
            basic = request.authorization
        except ValueError:  # what is not even text
            raise InvalidClientError("Client authentication failed.", status_code=401) from None
        proofs = {
            "client_secret_basic": request.headers.get("Authorization"),
            "client_secret_post": form.get("client_secret"),
            "private_key_jwt": form.get("client_assertion"),
        }
        presented = [method for method, proof in proofs.items() if proof] or ["none"]
        if len(presented) > 1:
            raise InvalidRequestError("There is more than one client authentication.")
        method, client_id, secret = presented[0], form.get("client_id", ""), form.get("client_secret", "")
        if basic and basic.type == "basic":
            client_id, secret = unquote_plus(basic.username or ""), unquote_plus(basic.password or "")
        client = (
            asserted_client(self.dynreg, form) if method == "private_key_jwt" else self.dynreg.query_client(client_id)
        )
        if (
            client is None
            or method not in methods
            or not client.check_endpoint_auth_method(method, "token")
            or (form.get("client_id") or client.client_id) != client.client_id
            or (method.startswith("client_secret") and not (secret and client.check_client_secret(secret)))
        ):
            raise InvalidClientError("Client authentication failed.", status_code=401)
        return client


class AssertionAlgorithms(jws.JWSRegistry):
    """These and no others. joserfc's own list warns of the name EdDSA, which most clients still write."""

    def get_alg(self, name: str) -> Any:
        if name not in SIGNING_ALGORITHMS:
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


def signed_by(key: Key, signature: jws.CompactSignature) -> bool:
    try:
        return jws.validate_compact(signature, key, registry=AssertionAlgorithms())
    except (JoseError, ValueError):  # a key for another algorithm
        return False


def asserted_client(dynreg: DynamicRegistration, form: Mapping[str, str]) -> Any:
    """RFC 7523 section 3: signed with a key of the client's jwks, for us and nobody else, soon over, used once."""
    us = {dynreg.server_metadata()[name] for name in ("issuer", "token_endpoint")}
    try:
        signature = jws.extract_compact(form["client_assertion"].encode())
        header, claims = signature.headers(), json.loads(signature.payload)
        client: Any = dynreg.query_client(claims["sub"])
        itself: Any = {"essential": True, "value": client.client_id}
        there: Any = {"essential": True}
        jwt.JWTClaimsRegistry(leeway=30, iss=itself, sub=itself, aud=there, exp=there, jti=there).validate(claims)
        audience = [claims["aud"]] if isinstance(claims["aud"], str) else claims["aud"]
        keys = KeySet.import_key_set(client.jwks).keys
        holds = (
            form.get("client_assertion_type") == ASSERTION_TYPE
            and str(header.get("typ", "JWT")).lower() in ("jwt", "client-authentication+jwt")
            and us.issuperset(audience)
            and claims["exp"] <= now() + ASSERTION_LIFETIME
            and any(signed_by(key, signature) for key in [k for k in keys if k.kid == header.get("kid")] or keys)
        )
    except (JoseError, LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return None  # whatever else can be wrong with a stranger's JWT
    return client if holds and first_use(f"{client.client_id} {claims['jti']}", int(claims["exp"]) + 60) else None
