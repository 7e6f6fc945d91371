"""A complete OAuth 2.0 authorization server with which clients register themselves, on SQLite.

    flask --app examples/quickstart.py run

Sign in as alice with the password "password". Tables are migrated at start; the database and the secret key are kept in
./instance or FLASK_INSTANCE_PATH. Every key can come from the environment, which wins: FLASK_DYNREG_ACCESS='["open"]',
FLASK_SQLALCHEMY_DATABASE_URI=... . Behind a proxy with TLS on this machine, which sends X-Forwarded-Proto:

    FLASK_DYNREG_SERVER_METADATA__issuer=https://as.example gunicorn 'examples.quickstart:create_app()'
"""

import json
import os
import re
import secrets
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import click
from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
    grants,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from flask import Blueprint, Config, Flask, Response, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_migrate import Migrate
from sqlalchemy.exc import DBAPIError
from werkzeug.datastructures import MultiDict

from examples import quickstart_store as store
from examples.quickstart_server import (
    AUTH_METHODS,
    CONFIDENTIAL,
    CORS_HEADERS,
    PAGE_HEADERS,
    SIGNING_ALGORITHMS,
    AuthorizationServer,
    TokenRequest,
)
from flask_dynreg import DynamicRegistration, TemporarilyUnavailableError

USERS = {"alice": "password"}  # a host asks its own table, which holds slow hashes
SCOPES = {
    "mcp:read": "read through MCP servers",
    "mcp:write": "change things through MCP servers",
    "offline_access": "stay connected while you are away",
}
GRANT_TYPES = ["authorization_code", "refresh_token", "client_credentials"]
LINKS = {"client_uri": "home page", "tos_uri": "terms of service", "policy_uri": "privacy policy"}
PAGES = ("oauth.authorize", "oauth.link")

dynreg = DynamicRegistration(store.db)
dynreg.on_withdrawal(store.end_withdrawn)
migrate = Migrate(db=store.db, directory=str(Path(__file__).with_name("migrations")))
server = AuthorizationServer(dynreg)
oauth = Blueprint("oauth", __name__, url_prefix="/oauth2")


def server_metadata(issuer: str) -> dict[str, Any]:
    """RFC 8414: what dynreg checks registrations against and publishes, every endpoint under the issuer."""
    endpoints = {"authorization": "authorize", "token": "token", "revocation": "revoke", "introspection": "introspect"}
    metadata: dict[str, Any] = {
        "issuer": issuer,
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": GRANT_TYPES,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    }
    for name, path in endpoints.items():
        metadata[f"{name}_endpoint"] = f"{issuer.rstrip('/')}/oauth2/{path}"
    for name, methods in {"token": AUTH_METHODS, "revocation": AUTH_METHODS, "introspection": CONFIDENTIAL}.items():
        metadata[f"{name}_endpoint_auth_methods_supported"] = methods
        metadata[f"{name}_endpoint_auth_signing_alg_values_supported"] = SIGNING_ALGORITHMS
    return metadata


# ---- The rules of a request. All raise an OAuth2Error, and one place answers with it.


def refuse_repeated(parameters: MultiDict[str, str]) -> None:
    if any(len(parameters.getlist(name)) > 1 for name in parameters if name != "resource"):
        raise InvalidRequestError("A parameter is there more than once.")


def allowed_scope(client: Any, requested: str | None) -> str:
    """Of what is asked for, what the client registered; all of that if nothing is asked for (RFC 6749 section 3.3)."""
    registered = client.scope.split()
    wanted = list(dict.fromkeys(requested.split() if requested else registered))
    allowed = [scope for scope in wanted if scope in registered]
    if not set(wanted) <= {*SCOPES, *registered} or (wanted and not allowed):
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


def known_client() -> tuple[Any, str]:
    """RFC 6749 section 4.1.2.1: nobody is sent to an address before it is known to be the client's."""
    asked = request.args
    client = dynreg.query_client(asked.get("client_id", ""))
    if not client or any(len(asked.getlist(name)) > 1 for name in ("client_id", "redirect_uri")):
        raise InvalidRequestError("The client that sent you here is not registered.")
    redirect_uri = asked.get("redirect_uri") or client.get_default_redirect_uri()
    if not redirect_uri or not client.check_redirect_uri(redirect_uri):
        raise InvalidRequestError("The client that sent you here did not register the address for its answer.")
    return client, redirect_uri


def authorization_parameters(client: Any) -> tuple[str, str]:
    """The scope and the resources of an authorization request that is in order."""
    asked = request.args
    refuse_repeated(asked)
    if asked.get("response_type") != "code":
        error = "unsupported_response_type" if asked.get("response_type") else "invalid_request"
        raise OAuth2Error("response_type must be code.", error=error)
    if not client.check_response_type("code") or not client.check_grant_type("authorization_code"):
        raise UnauthorizedClientError("The client did not register for authorization codes.")
    challenge = re.fullmatch(r"[\w-]{43}", asked.get("code_challenge", ""), re.ASCII)
    if not challenge or asked.get("code_challenge_method") != "S256":
        raise InvalidRequestError("PKCE is required: a code_challenge, and code_challenge_method=S256.")
    return allowed_scope(client, asked.get("scope")), resources(asked)


def response_uri(redirect_uri: str, **parameters: str | None) -> str:
    """A registered query stays byte for byte (RFC 6749 section 3.1.2); iss goes with every answer (RFC 9207)."""
    parameters |= {"state": request.args.get("state"), "iss": dynreg.server_metadata()["issuer"]}
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{query}"


# ---- Authlib's grants: what becomes a token, and when.


class AuthorizationCodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    request: TokenRequest

    def query_authorization_code(self, code: str, client: Any) -> store.Authorization | None:
        return store.find_code(code, client)

    def validate_token_request(self) -> None:
        super().validate_token_request()
        authorization, verifier = self.request.authorization_code, request.form.get("code_verifier", "")
        fits = re.fullmatch(r"[\w.~-]{43,128}", verifier, re.ASCII)
        if not fits or create_s256_code_challenge(verifier) != authorization.code_challenge:  # type: ignore[no-untyped-call]
            raise InvalidGrantError("code_verifier does not match the code_challenge.")
        if not self.request.client.check_redirect_uri(authorization.redirect_uri):
            raise InvalidGrantError("The client has given this redirect URI up.")
        self.request.resource = resources(request.form, authorization.resource)
        store.use_once(authorization)

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


server.register_grant(AuthorizationCodeGrant)
server.register_grant(RefreshTokenGrant)
server.register_grant(ClientCredentialsGrant)


# ---- The endpoints.


@oauth.route("/authorize", methods=["GET", "POST"])
def authorize() -> ResponseReturnValue:
    client, redirect_uri = known_client()
    if session.get("user") not in USERS:  # RFC 9700 section 4.11.2: first of all, even if an error follows
        return sign_in()
    if request.method == "POST" and not is_own_form():
        raise InvalidRequestError("The form did not come from this server. Are cookies allowed?")
    try:
        scope, resource = authorization_parameters(client)
        if request.method != "POST":
            return consent_page(client, redirect_uri, scope, resource)
        if request.form.get("decision") == "sign_out":
            session.clear()
            return redirect(same_page(), 303)
        if request.form.get("decision") != "allow":
            raise AccessDeniedError()
    except OAuth2Error as error:
        address, name = response_uri(redirect_uri, **dict(error.get_body())), destination(redirect_uri)
        if request.method == "POST" or is_on_this_device(redirect_uri):
            return redirect(address, 303)
        # RFC 9700 section 4.11.2: whoever registers could have this server send people anywhere, unasked.
        return render_template("quickstart/return.html", address=address, name=name), 400
    code = store.new_code(
        client_id=client.client_id,
        subject=session["user"],
        scope=scope,
        resource=resource,
        code_challenge=request.args["code_challenge"],
        redirect_uri=redirect_uri,
        redirect_uri_sent=bool(request.args.get("redirect_uri")),
    )
    return redirect(response_uri(redirect_uri, code=code), 303)


def sign_in() -> ResponseReturnValue:
    name, password = request.form.get("username", ""), request.form.get("password", "")
    if is_own_form() and name in USERS and secrets.compare_digest(password.encode(), USERS[name].encode()):
        session.clear()
        session["user"] = name
        return redirect(same_page(), 303)
    failed = request.method == "POST"
    page = render_template("quickstart/sign_in.html", csrf_token=csrf_token(), failed=failed)
    return page, 403 if failed else 200


def consent_page(client: Any, redirect_uri: str, scope: str, resource: str) -> str:
    """Asks every time: a client that registered itself has no name that anybody vouches for (RFC 8252 section 8.6)."""
    facts = dynreg.trust_facts(client)
    return render_template(
        "quickstart/consent.html",
        client=client,
        facts=facts,
        links=LINKS,
        user=session["user"],
        destination=destination(redirect_uri),
        registered_at=datetime.fromtimestamp(facts.registered_at, UTC).date(),
        scopes=[SCOPES.get(name, name) for name in scope.split()],
        resources=resource.split(),
        csrf_token=csrf_token(),
    )


def destination(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    if parts.scheme not in ("http", "https"):
        return f"{parts.scheme}:{'//' + parts.netloc if parts.netloc else ''} (an app on this device)"
    return f"{parts.hostname} (this computer)" if is_on_this_device(redirect_uri) else str(parts.hostname)


def is_on_this_device(redirect_uri: str) -> bool:
    parts = urlsplit(redirect_uri)
    return parts.scheme != "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


def csrf_token() -> str:
    return str(session.setdefault("csrf_token", secrets.token_urlsafe(32)))


def is_own_form() -> bool:
    sent, expected = request.form.get("csrf_token", ""), session.get("csrf_token", "")
    return bool(expected) and secrets.compare_digest(sent.encode(), expected.encode())


def same_page() -> str:
    return f"{request.script_root}{request.path}?{urlencode(list(request.args.items(multi=True)))}"


@oauth.get("/link")
def link() -> ResponseReturnValue:
    """RFC 9700 section 4.2.4: the consent page has no links that lead away from here at once."""
    name = request.args.get("name", "")
    client = dynreg.query_client(request.args.get("client_id", ""))
    address = client and name in LINKS and client.localized(name, request.accept_languages.values())
    if not address:
        raise InvalidRequestError("There is no such address.", status_code=404)
    return render_template("quickstart/link.html", client=client, label=LINKS[name], address=address)


@oauth.post("/token")
def token() -> Any:
    refuse_repeated(request.form)
    grant_type = request.form.get("grant_type")
    if grant_type not in GRANT_TYPES:
        error = "unsupported_grant_type" if grant_type else "invalid_request"
        raise OAuth2Error(f"grant_type must be one of {', '.join(GRANT_TYPES)}.", error=error)
    return server.create_token_response()


@oauth.post("/revoke")
def revoke() -> ResponseReturnValue:
    """RFC 7009: a refresh token takes along all that was issued with it; an unknown token is revoked already."""
    client, token = client_and_token(AUTH_METHODS, "access_token", "refresh_token")
    if token and not token.check_client(client):
        raise InvalidGrantError("The token was issued to another client.")
    if token:
        store.revoke(token)
    return {}


@oauth.post("/introspect")
def introspect() -> ResponseReturnValue:
    """RFC 7662, of access tokens only: a resource server that hears of a refresh token would take it for one."""
    _, token = client_and_token(CONFIDENTIAL, "access_token")
    if not token:
        return {"active": False}
    owner, audience = token.authorization, token.resource.split()
    return {
        "active": True,
        "iss": dynreg.server_metadata()["issuer"],
        "token_type": "Bearer",
        "client_id": owner.client_id,
        "sub": owner.subject or owner.client_id,
        "scope": token.scope,
        "exp": token.expires_at,
        **({"username": owner.subject} if owner.subject else {}),
        **({"aud": audience if len(audience) > 1 else audience[0]} if audience else {}),
    }


def client_and_token(methods: Collection[str], *kinds: str) -> tuple[Any, store.Token | None]:
    refuse_repeated(request.form)
    client = server.authenticate(methods)
    if not request.form.get("token"):
        raise InvalidRequestError("token is missing.")
    return client, store.find_token(request.form["token"], *kinds)


@oauth.errorhandler(OAuth2Error)
def answer_error(error: OAuth2Error) -> ResponseReturnValue:
    if request.endpoint in PAGES:
        return render_template("quickstart/error.html", description=error.description), error.status_code
    response: Response = server.handle_response(*error())
    return response


@oauth.errorhandler(DBAPIError)
def answer_later(_: DBAPIError) -> ResponseReturnValue:
    store.db.session.rollback()
    return answer_error(TemporarilyUnavailableError())


@oauth.after_request
def add_headers(response: Response) -> Response:
    response.headers.update(PAGE_HEADERS if request.endpoint in PAGES else CORS_HEADERS)
    response.headers["Cache-Control"] = "no-store"
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="clients"'
    return response


# ---- The app.


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    app = Flask(__name__, instance_path=str(Path(os.environ.get("FLASK_INSTANCE_PATH", "instance")).absolute()))
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI="sqlite:///quickstart.sqlite",
        SESSION_COOKIE_NAME="quickstart",
        SESSION_COOKIE_SAMESITE="Lax",
        OAUTH2_ACCESS_TOKEN_GENERATOR=store.random_token,
        OAUTH2_REFRESH_TOKEN_GENERATOR=store.random_token,
        OAUTH2_TOKEN_EXPIRES_IN=dict.fromkeys(GRANT_TYPES, store.LIFETIMES["access_token"]),
        DYNREG_ACCESS=["open"],
        DYNREG_DEFAULT_SCOPES=["mcp:read"],
        DYNREG_SERVER_METADATA={},
    )
    app.config.from_prefixed_env()
    app.config.from_mapping(config or {})
    context = click.get_current_context(silent=True)
    served = context.params.get("port") if context and context.info_name == "run" else None  # flask run --port
    port = served or app.config.get("RUN_PORT", 5000)
    metadata = app.config["DYNREG_SERVER_METADATA"]
    issuer = metadata.get("issuer", f"http://127.0.0.1:{port}")
    app.config["DYNREG_SERVER_METADATA"] = server_metadata(issuer) | metadata
    app.config["SESSION_COOKIE_SECURE"] |= issuer.startswith("https:")
    app.config["APPLICATION_ROOT"] = urlsplit(issuer).path or "/"
    store.db.init_app(app)
    migrate.init_app(app)
    dynreg.init_app(app)
    server.init_app(app, query_client=dynreg.query_client, save_token=store.save_token)
    app.register_blueprint(oauth)
    store.prepare(app)
    if served and not os.environ.get("WERKZEUG_RUN_MAIN"):
        say_what_to_try(app.config)
    return app


def say_what_to_try(config: Config) -> None:
    issuer, is_open = config["DYNREG_SERVER_METADATA"]["issuer"], "open" in config["DYNREG_ACCESS"]
    metadata = {"client_name": "Mine", "redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"}
    bearer, option = ("", "") if is_open else (" -H 'Authorization: Bearer TOKEN'", " --initial-access-token TOKEN")
    commands = os.path.relpath(Path(sys.executable).parent)  # of the environment that has what the examples need
    click.echo("Register a client:")
    click.echo(
        f"  curl {issuer}/oauth2/register{bearer} -H 'Content-Type: application/json' -d '{json.dumps(metadata)}'"
    )
    click.echo("Start an MCP server that trusts this one:")
    click.echo(f"  {commands}/python examples/mcp_server.py --issuer {issuer} --port 8000{option}")
    if not is_open:
        same = (
            f"FLASK_RUN_PORT={urlsplit(issuer).port or ''} FLASK_DYNREG_ACCESS='{json.dumps(config['DYNREG_ACCESS'])}'"
        )
        click.echo("with a TOKEN from this, in the environment that this server was started with:")
        click.echo(f"  {same} {commands}/flask --app examples/quickstart.py dynreg issue-token --uses 10")
