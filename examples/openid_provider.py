"""An OpenID Provider with which relying parties register themselves: the quickstart, and what OpenID Connect adds to it.

    flask --app examples/openid_provider.py run

Sign in as alice with the password "password". What signs ID tokens is made at the first start and kept in ./instance or
FLASK_INSTANCE_PATH, with the database. Configuration and production are as in quickstart.py:

    FLASK_DYNREG_SERVER_METADATA__issuer=https://op.example gunicorn 'examples.openid_provider:create_app()'
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click
from authlib.integrations.flask_oauth2 import ResourceProtector
from authlib.oauth2.rfc6749 import InvalidRequestError, InvalidScopeError, OAuth2Error
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oidc import core, rpinitiated
from authlib.oidc.core.errors import (
    ConsentRequiredError,
    LoginRequiredError,
    RegistrationNotSupportedError,
    RequestNotSupportedError,
    RequestURINotSupportedError,
)
from flask import Blueprint, Flask, Response, current_app, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from joserfc.jwk import ECKey, KeySet, RSAKey
from sqlalchemy.exc import DBAPIError

from examples import quickstart
from examples import quickstart_store as store
from examples.quickstart import csrf_token, dynreg, is_own_form, same_page
from examples.quickstart_server import CORS_HEADERS, AuthorizationServer, TokenRequest
from examples.quickstart_tokens import AuthorizationCodeGrant, RefreshTokenGrant, refuse_repeated, resources

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
SECONDS = re.compile(r"\d{1,10}", re.ASCII)
NOT_SUPPORTED = {
    "request": RequestNotSupportedError,
    "request_uri": RequestURINotSupportedError,
    "registration": RegistrationNotSupportedError,
}

oauth = Blueprint("oauth", __name__, url_prefix="/oauth2")  # in place of the quickstart's, whose templates link to it
openid = Blueprint("openid", __name__, url_prefix="/oauth2")


def server_metadata(issuer: str) -> dict[str, Any]:
    """OpenID Connect Discovery section 3. Introspection is not there: it would tell resource servers who the user is."""
    base = f"{issuer.rstrip('/')}/oauth2"
    metadata = quickstart.server_metadata(issuer)
    return {name: value for name, value in metadata.items() if not name.startswith("introspection")} | {
        "scopes_supported": list(SCOPES),
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "userinfo_endpoint": f"{base}/userinfo",
        "end_session_endpoint": f"{base}/sign-out",
        "jwks_uri": f"{base}/jwks",
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": ALGORITHMS,
        "userinfo_signing_alg_values_supported": ALGORITHMS,
        "acr_values_supported": [ACR],
        "claims_supported": ["sub", "iss", "auth_time", "acr", "amr", *CLAIMS["alice"]],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,  # where this is absent, it is taken to be true
    }


# ---- Who the user is, for whom, and who says so.


@dataclass(frozen=True)
class EndUser:
    """A user as one client knows them."""

    name: str
    client: Any

    @property
    def sub(self) -> str:
        """OpenID Connect Core section 8: pairwise, it tells clients of different sectors nothing of each other."""
        if self.client.client_metadata["subject_type"] == "public":
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


# ---- Authlib's pieces.


class OpenIDCodeGrant(AuthorizationCodeGrant):
    def authenticate_user(self, authorization_code: store.Authorization) -> Any:
        name = super().authenticate_user(authorization_code)
        return EndUser(name, self.request.client) if name else None


class OpenIDCode(core.OpenIDCode):
    """The ID token of a token response."""

    def resolve_client_private_key(self, client: Any) -> KeySet:
        return signing_keys()

    def get_client_algorithm(self, client: Any) -> str:
        return str(client.client_metadata["id_token_signed_response_alg"])

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


class AccessTokenValidator(BearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Access | None:
        token = store.find_token(token_string, "access_token")
        client = dynreg.query_client(token.authorization.client_id) if token else None
        if not token or not client or token.authorization.subject not in CLAIMS:
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


# ---- The endpoints. Those that the quickstart has too are its own.

oauth.add_url_rule("/link", view_func=quickstart.link)
oauth.add_url_rule("/revoke", view_func=quickstart.revoke, methods=["POST"])
oauth.register_error_handler(OAuth2Error, quickstart.answer_error)
oauth.register_error_handler(DBAPIError, quickstart.answer_later)
oauth.after_request(quickstart.add_headers)
openid.register_error_handler(DBAPIError, quickstart.answer_later)


@oauth.route("/authorize", methods=["GET", "POST"])
def authorize() -> ResponseReturnValue:
    if is_sent_by_client():
        return redirect(same_page(request.form), 303)
    client, redirect_uri = quickstart.known_client()
    due = sign_in_is_due(client)
    if prompts() == {
        "none"
    }:  # Core section 3.1.2.1: no page is shown. Consent is asked for each time, so it is missing.
        error = LoginRequiredError() if due else ConsentRequiredError()
        return redirect(quickstart.response_uri(redirect_uri, **dict(error.get_body())), 303)
    if due:
        return quickstart.sign_in(auth_time=store.now(), signed_in_for=this_request())
    if request.method == "POST":
        session.pop("signed_in_for", None)
    facts = {"nonce": request.args.get("nonce"), "auth_time": session["auth_time"]}
    return quickstart.decide(client, redirect_uri, authorization_parameters, **facts)


def is_sent_by_client() -> bool:
    """Clients may POST as well (Core section 3.1.2.1). Such a request comes without our cookie: it is made a link of."""
    return request.method == "POST" and "csrf_token" not in request.form


def prompts() -> set[str]:
    return set(request.args.get("prompt", "").split())


def this_request() -> str:
    return store.digest(same_page(request.args))


def sign_in_is_due(client: Any) -> bool:
    """Nobody is signed in, or not recently enough. Who signed in for this very request need not do so before its end."""
    if session.get("user") not in store.USERS:
        return True
    if session.get("signed_in_for") == this_request():
        return False
    oldest = max_age(client)
    too_old = oldest is not None and store.now() - session["auth_time"] > oldest
    return too_old or bool(prompts() & {"login", "select_account"})


def max_age(client: Any) -> int | None:
    """How long ago the user may have signed in, in seconds."""
    asked = request.args.get("max_age", "")
    return int(asked) if SECONDS.fullmatch(asked) else client.client_metadata.get("default_max_age")


def authorization_parameters(client: Any) -> tuple[str, str]:
    """The scope and the resources of an authentication request that is in order (Core section 3.1.2.2)."""
    asked = request.args
    for name, error in NOT_SUPPORTED.items():
        if name in asked:
            raise error()
    quickstart.check_authorization_request(client)
    if "none" in prompts():
        raise InvalidRequestError("prompt must be none alone, or without none.")
    if asked.get("max_age") and not SECONDS.fullmatch(asked["max_age"]):
        raise InvalidRequestError("max_age must be a number of seconds.")
    scope = allowed_scope(client, asked.get("scope", ""))
    if not scope:
        raise InvalidScopeError()
    return scope, resources(asked)


@oauth.post("/token")
def token() -> Any:
    return quickstart.token_response(server)


@oauth.route("/sign-out", methods=["GET", "POST"])
def sign_out() -> Any:
    """RP-Initiated Logout. Asks, unless an ID token shows that the client speaks of who is signed in (section 2)."""
    if is_sent_by_client():
        return redirect(same_page(request.form), 303)
    if request.method == "POST" and not is_own_form():
        raise InvalidRequestError("The form did not come from this server. Are cookies allowed?")
    refuse_repeated(request.args)
    try:
        asked: Any = server.validate_endpoint_request("end_session")
    except OAuth2Error:
        raise InvalidRequestError("id_token_hint is no ID token that this server gave to the client.") from None
    user, claims = session.get("user"), asked.id_token_claims
    is_meant = claims and (not user or (asked.client and EndUser(user, asked.client).sub == claims["sub"]))
    if request.method != "POST" and not is_meant:
        return render_template("openid/sign_out.html", client=asked.client, csrf_token=csrf_token())
    answer = server.create_endpoint_response("end_session", asked)  # type: ignore[no-untyped-call]
    return answer or render_template("openid/signed_out.html")


@openid.route("/userinfo", methods=["GET", "POST"])
def userinfo() -> Any:
    return server.create_endpoint_response("userinfo")  # type: ignore[no-untyped-call]


@openid.get("/jwks")
def jwks() -> ResponseReturnValue:
    return dict(signing_keys().as_dict())


@openid.after_request
def add_headers(response: Response) -> Response:
    response.headers.update(CORS_HEADERS | {"Access-Control-Allow-Methods": "GET, POST"})
    return response


# ---- The app.


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    defaults = {
        "SCOPES": SCOPES,
        "DYNREG_APPLICATION_TYPE": "lenient",
        "DYNREG_OPENID_DISCOVERY": True,
    }
    app = quickstart.new_app("openid_provider", config or {}, server_metadata, **defaults)
    quickstart.start(app, server, oauth)
    app.register_blueprint(openid)
    keys = store.kept_secret(app, "openid_signing_keys.json", new_signing_keys)
    app.config["SIGNING_KEYS"] = KeySet.import_key_set(json.loads(keys))
    app.config["PAIRWISE_SALT"] = store.kept_secret(app, "openid_pairwise_salt", secrets.token_urlsafe)
    if quickstart.served_port() and not os.environ.get("WERKZEUG_RUN_MAIN"):
        issuer = app.config["DYNREG_SERVER_METADATA"]["issuer"]
        click.echo(f"A relying party finds everything at {issuer}/.well-known/openid-configuration")
    return app
