"""Authlib's server for the OpenID Provider: ID tokens, UserInfo, logout, request objects; and who the user is, for whom."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2 import OAuth2Error, rfc9101
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenValidator, InsufficientScopeError
from authlib.oidc import core, rpinitiated
from authlib.oidc.core.errors import InvalidRequestObjectError
from flask import current_app, request, session
from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, KeySet, RSAKey

from examples import quickstart_store as store
from examples.quickstart import dynreg
from examples.quickstart_server import AuthorizationServer, TokenRequest
from examples.quickstart_tokens import AuthorizationCodeGrant, RefreshTokenGrant

SCOPES = {
    "openid": "know who you are",
    "profile": "see your name",
    "email": "see your email address",
    "offline_access": "stay connected while you are away",
}
CLAIMS = {
    "alice": {
        "name": "Alice Adams",
        "preferred_username": "alice",
        "email": "alice@example.com",
        "email_verified": True,
    }
}
ALGORITHMS = ["RS256", "ES256"]
ACR = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"  # the only way to sign in here


@dataclass(frozen=True)
class EndUser:
    """A user as one client knows them."""

    name: str
    client: Any

    @property
    def sub(self) -> str:
        """OpenID Connect Core section 8: pairwise, it tells clients of different sectors nothing of each other."""
        if self.client.client_metadata.get("subject_type") != "pairwise":
            return self.name
        salt, sector = current_app.config["PAIRWISE_SALT"], self.client.sector_identifier
        return hmac.new(salt.encode(), f"{sector} {self.name}".encode(), hashlib.sha256).hexdigest()


def signing_keys() -> KeySet:
    keys: KeySet = current_app.config["SIGNING_KEYS"]
    return keys


def new_signing_keys() -> str:
    rsa = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"})
    elliptic = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"})
    return json.dumps(KeySet([rsa, elliptic]).as_dict(private=True))


class OpenIDCodeGrant(AuthorizationCodeGrant):
    def check_code_verifier(self, authorization: store.Authorization) -> None:
        """Where no challenge was sent none is verified; a verifier then means that somebody took the challenge away."""
        if authorization.code_challenge or "code_verifier" in request.form:
            super().check_code_verifier(authorization)

    def authenticate_user(self, authorization_code: store.Authorization) -> Any:
        name = super().authenticate_user(authorization_code)
        return EndUser(name, self.request.client) if name else None


class OpenIDCode(core.OpenIDCode):
    """The ID token of a token response."""

    def resolve_client_private_key(self, client: Any) -> KeySet:
        return signing_keys()

    def get_client_algorithm(self, client: Any) -> str:
        return str(client.client_metadata.get("id_token_signed_response_alg", "RS256"))

    def get_client_claims(self, client: Any) -> dict[str, Any]:
        return {"iss": dynreg.server_metadata()["issuer"], "aud": client.client_id}

    def get_authorization_code_claims(self, authorization_code: Any) -> dict[str, Any]:
        """auth_time is always there, whether or not the client registered require_auth_time."""
        nonce = {"nonce": authorization_code.nonce} if authorization_code.nonce else {}
        return {"auth_time": authorization_code.auth_time, "acr": ACR, "amr": ["pwd"], **nonce}

    def generate_user_info(self, user: EndUser, scope: str) -> core.UserInfo:
        """Core section 5.4: there is an access token, so the rest comes from the UserInfo endpoint."""
        return core.UserInfo(sub=user.sub)


@dataclass(frozen=True)
class Access:
    """An access token that is good, in the form in which Authlib wants it."""

    user: EndUser
    scope: str

    def get_client(self) -> Any:
        return self.user.client

    def get_user(self) -> EndUser:
        return self.user

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False


class OpenIDScopeMissingError(InsufficientScopeError):
    def get_headers(self) -> list[tuple[str, str]]:
        challenge = 'Bearer error="insufficient_scope", scope="openid"'  # RFC 6750 section 3.1
        return [*super().get_headers(), ("WWW-Authenticate", challenge)]


class AccessTokenValidator(BearerTokenValidator):
    def validate_token(self, *arguments: Any) -> None:
        try:
            super().validate_token(*arguments)
        except InsufficientScopeError:
            raise OpenIDScopeMissingError from None

    def authenticate_token(self, token_string: str) -> Access | None:
        token = store.find_token(token_string, "access_token")
        client = dynreg.query_client(token.authorization.client_id) if token else None
        if not token or not client or not client.is_active or token.authorization.subject not in CLAIMS:
            return None
        return Access(EndUser(token.authorization.subject, client), token.scope)


class Protector(ResourceProtector):
    def parse_request_authorization(self, _: Any) -> Any:
        """Core section 5.3.1 allows the token in a form as well (RFC 6750 section 2.2)."""
        posted = request.form.get("access_token")
        if posted and "Authorization" not in request.headers:
            return self.get_token_validator("bearer"), posted  # type: ignore[no-untyped-call]
        return super().parse_request_authorization(_)  # type: ignore[no-untyped-call]


class UserInfoEndpoint(core.UserInfoEndpoint):
    """Plain JSON, or signed for a client that registered userinfo_signed_response_alg."""

    def generate_user_info(self, user: EndUser, scope: str) -> core.UserInfo:
        return core.UserInfo(sub=user.sub, **CLAIMS[user.name]).filter(scope)

    def get_issuer(self) -> str:
        return str(dynreg.server_metadata()["issuer"])

    def resolve_private_key(self) -> KeySet:
        return signing_keys()


class EndSessionEndpoint(rpinitiated.EndSessionEndpoint):
    def create_endpoint_request(self, _: Any) -> Any:
        asked = TokenRequest(dynreg.server_metadata()["issuer"])
        asked.payload = BasicOAuth2Payload(request.args.to_dict())
        return asked

    def get_server_jwks(self) -> KeySet:
        return signing_keys()

    def get_algorithms(self) -> list[str]:
        return ALGORITHMS

    def end_session(self, _: Any) -> None:
        session.clear()


class RequestObject(rfc9101.JWTAuthenticationRequest):
    """The parameters of an authorization request that the client signed (Core section 6.1, RFC 9101)."""

    def __init__(self, header: dict[str, Any]) -> None:
        super().__init__(support_request_uri=False)
        self.header = header
        self.claims_validator = jwt.JWTClaimsRegistry(
            leeway=30, client_id={"essential": True}, aud={"value": dynreg.server_metadata()["issuer"]}
        )

    def resolve_client_public_key(self, client: Any) -> KeySet:
        """Keys may have to be fetched, which nobody does for an algorithm that is not taken."""
        if self.header["alg"] not in self.get_request_object_signing_algorithms(client):
            raise UnsupportedAlgorithmError("The client signs by another algorithm.")
        keys: KeySet = client.key_set(self.header.get("kid"))
        return keys

    def get_request_object_signing_algorithms(self, client: Any) -> list[str]:
        registered = client.client_metadata.get("request_object_signing_alg")
        return [registered] if registered else ALGORITHMS

    def get_server_metadata(self) -> dict[str, Any]:
        return dynreg.server_metadata()

    def get_client_require_signed_request_object(self, client: Any) -> bool:
        return bool(client.client_metadata.get("require_signed_request_object"))


def signed_parameters(sent: dict[str, str]) -> dict[str, list[str]]:
    """Those of the request object if there is one, and no others (RFC 9101 section 6.3). Raises an OAuth2Error."""
    asked = TokenRequest(dynreg.server_metadata()["issuer"])
    asked.payload = BasicOAuth2Payload(sent)
    try:
        header = jws.extract_compact(sent["request"].encode()).headers() if "request" in sent else {}
        RequestObject(header).parse_authorization_request(server, asked)
        return {name: texts(value) for name, value in asked.payload.data.items()}
    except (OAuth2Error, JoseError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, OAuth2Error) and ("request" not in sent or error.status_code == 503):
            raise
        raise InvalidRequestObjectError("request must be a JWT that is signed as the client registered.") from error


def texts(value: Any) -> list[str]:
    """A JSON value as a query would have it. Raises ValueError for half of a surrogate pair, which no query can have."""
    values = [
        item if isinstance(item, str) else json.dumps(item) for item in (value if isinstance(value, list) else [value])
    ]
    "".join(values).encode()
    return values


def allowed_scope(client: Any, scope: str) -> str:
    """What is not understood is ignored (Core section 3.1.2.1). Relying parties register no scope: they may ask for any."""
    allowed = client.scope.split() or SCOPES
    return " ".join(name for name in dict.fromkeys(scope.split()) if name in allowed)


class OpenIDServer(AuthorizationServer):
    def create_bearer_token_generator(self, config: Any) -> Any:
        generator = super().create_bearer_token_generator(config)
        generator.get_allowed_scope = allowed_scope  # type: ignore[method-assign]
        return generator


server = OpenIDServer(dynreg)
protector = Protector()
protector.register_token_validator(AccessTokenValidator())
server.register_grant(OpenIDCodeGrant, [OpenIDCode()])
server.register_grant(RefreshTokenGrant)
server.register_endpoint(UserInfoEndpoint(resource_protector=protector))  # type: ignore[arg-type]
server.register_endpoint(EndSessionEndpoint)
