"""Authlib's server for the quickstart, with a stricter client authentication that knows private_key_jwt."""

import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import unquote_plus

from authlib.integrations import flask_oauth2
from authlib.oauth2.rfc6749 import (
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from flask import request
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import Key, KeySet
from sqlalchemy.orm.exc import ObjectDeletedError

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
        client = self.authenticate(methods)
        if not client.is_active:  # an MCP client that hears of invalid_client registers anew
            raise InvalidGrantError("The operator of this server has not approved the client, or has suspended it.")
        return client

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
        client = asserted_client(self.dynreg) if method == "private_key_jwt" else self.dynreg.query_client(client_id)
        if (
            client is None
            or client.is_over
            or method not in methods
            or method != client.token_endpoint_auth_method  # also of one that is suspended, which is told so
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


class ClientAssertion(JWTBearerClientAssertion):
    """Authlib's private_key_jwt (RFC 7523 section 3), for one request: signed with a key of the client, for us and nobody else,
    soon over, used once."""

    CLIENT_AUTH_METHOD = "private_key_jwt"  # type: ignore[misc]  # Authlib's documentation says to
    kid: str | None = None
    algorithm = ""

    def __init__(self, server_metadata: Mapping[str, Any]) -> None:
        super().__init__(validate_jti=False, leeway=30)  # it is used up when all else is right
        self.audiences = [server_metadata["issuer"], server_metadata["token_endpoint"]]

    def get_audiences(self) -> list[str]:
        return self.audiences

    def extract_assertion(self, assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """All that can be told without a key: nobody fetches one for what is no good anyway."""
        headers, claims = super().extract_assertion(assertion)
        if str(headers.get("typ", "JWT")).lower() not in ("jwt", "client-authentication+jwt"):
            raise InvalidClientError("It is a JWT for something else.")
        if headers["alg"] not in SIGNING_ALGORITHMS:
            raise InvalidClientError("It is signed by an algorithm that is not taken.")
        self.verify_claims(claims)
        self.kid, self.algorithm = headers.get("kid"), headers["alg"]
        return headers, claims

    def authenticate_client(self, client: Any) -> Any:
        if client.token_endpoint_auth_method != self.CLIENT_AUTH_METHOD:
            raise InvalidClientError("It authenticates in another way.")
        registered = client.client_metadata.get("token_endpoint_auth_signing_alg", self.algorithm)
        if self.algorithm != registered and {self.algorithm, registered} != {"Ed25519", "EdDSA"}:
            raise InvalidClientError("It signs by another algorithm.")
        return client

    def resolve_client_public_key(self, client: Any) -> KeySet:
        """Keys may have to be fetched, which nobody does for a client that does not use them."""
        self.authenticate_client(client)
        keys: KeySet = client.key_set(self.kid)
        return keys

    def process_assertion_claims(self, assertion: str, keys: KeySet) -> dict[str, Any]:
        signature = jws.extract_compact(assertion.encode())
        named = [key for key in keys.keys if key.kid == self.kid]
        if not any(signed_by(key, signature) for key in named or keys.keys):
            raise InvalidClientError("The signature is not the client's.")
        claims: dict[str, Any] = json.loads(signature.payload)
        if not first_use(f"{claims['sub']} {claims['jti']}", claims["exp"] + 60):
            raise InvalidClientError("It was used before.")
        return claims

    def verify_claims(self, claims: dict[str, Any]) -> None:
        audience = claims.get("aud")
        named = [audience] if isinstance(audience, str) else audience
        if not isinstance(named, list) or not set(self.audiences).issuperset(named):
            raise InvalidClientError("It is for somebody else.")
        if not isinstance(claims.get("exp"), int) or claims["exp"] > now() + ASSERTION_LIFETIME:
            raise InvalidClientError("It is good for too long.")
        if not claims.get("jti"):
            raise InvalidClientError("It has no jti.")
        super().verify_claims(claims)


def asserted_client(dynreg: DynamicRegistration) -> Any:
    """Whatever is wrong with a stranger's JWT, nobody is told; a store that is down is another matter."""
    try:
        return ClientAssertion(dynreg.server_metadata())(dynreg.query_client, request)
    except OAuth2Error as error:
        if error.status_code == 503:
            raise
    except (JoseError, LookupError, TypeError, ValueError, AttributeError, RecursionError, ObjectDeletedError):
        pass  # the last: the client has gone since it was read
    return None
