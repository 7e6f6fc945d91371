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
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import click
from authlib.integrations.flask_oauth2 import client_authenticated
from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Error,
    UnauthorizedClientError,
)
from flask import Blueprint, Config, Flask, Response, current_app, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_migrate import Migrate
from sqlalchemy.exc import DBAPIError, TimeoutError
from werkzeug.exceptions import MethodNotAllowed

from examples import quickstart_store as store
from examples.quickstart_server import (
    AUTH_METHODS,
    CONFIDENTIAL,
    CORS_HEADERS,
    PAGE_HEADERS,
    SIGNING_ALGORITHMS,
    AuthorizationServer,
)
from examples.quickstart_store import USERS
from examples.quickstart_tokens import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    RefreshTokenGrant,
    allowed_scope,
    refuse_repeated,
    resources,
)
from flask_dynreg import DynamicRegistration, TemporarilyUnavailableError

SCOPES = {
    "mcp:read": "read through MCP servers",
    "mcp:write": "change things through MCP servers",
    "offline_access": "stay connected while you are away",
}
GRANT_TYPES = ["authorization_code", "refresh_token", "client_credentials"]
LINKS = {"client_uri": "home page", "tos_uri": "terms of service", "policy_uri": "privacy policy"}
PAGES = ("oauth.authorize", "oauth.link", "oauth.sign_out")  # the last is the OpenID Provider's

dynreg = DynamicRegistration(store.db)
dynreg.on_withdrawal(store.end_withdrawn)
dynreg.in_use(store.with_live_tokens)
migrate = Migrate(db=store.db, directory=str(Path(__file__).with_name("migrations")))
server = AuthorizationServer(dynreg)
server.register_grant(AuthorizationCodeGrant)
server.register_grant(RefreshTokenGrant)
server.register_grant(ClientCredentialsGrant)
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


def known_client() -> tuple[Any, str]:
    """RFC 6749 section 4.1.2.1: nobody is sent to an address before it is known to be the client's."""
    asked = request.args
    client = dynreg.query_client(asked.get("client_id", ""))
    if not client or client.is_over or any(len(asked.getlist(name)) > 1 for name in ("client_id", "redirect_uri")):
        raise InvalidRequestError("The client that sent you here is not registered.")
    if not client.is_active:
        raise InvalidRequestError("The client that sent you here waits for approval, or is suspended.")
    redirect_uri = asked.get("redirect_uri") or client.get_default_redirect_uri()
    if not redirect_uri or not client.check_redirect_uri(redirect_uri):
        raise InvalidRequestError("The client that sent you here did not register the address for its answer.")
    return client, redirect_uri


def check_authorization_request(client: Any) -> None:
    asked = request.args
    refuse_repeated(asked)
    if asked.get("response_type") != "code":
        error = "unsupported_response_type" if asked.get("response_type") else "invalid_request"
        raise OAuth2Error("response_type must be code.", error=error)
    if not client.check_response_type("code") or not client.check_grant_type("authorization_code"):
        raise UnauthorizedClientError("The client did not register for authorization codes.")


def check_code_challenge() -> None:
    challenge = re.fullmatch(r"[\w-]{43}", request.args.get("code_challenge", ""), re.ASCII)
    if not challenge or request.args.get("code_challenge_method") != "S256":
        raise InvalidRequestError("PKCE is required: a code_challenge, and code_challenge_method=S256.")


def authorization_parameters(client: Any) -> tuple[str, str]:
    """The scope and the resources of an authorization request that is in order."""
    check_authorization_request(client)
    check_code_challenge()
    return allowed_scope(client, request.args.get("scope")), resources(request.args)


def response_uri(redirect_uri: str, **parameters: str | None) -> str:
    """A registered query stays byte for byte (RFC 6749 section 3.1.2); iss goes with every answer (RFC 9207)."""
    parameters |= {"state": request.args.get("state"), "iss": dynreg.server_metadata()["issuer"]}
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{query}"


# ---- The endpoints.


@oauth.route("/authorize", methods=["GET", "POST"])
def authorize() -> ResponseReturnValue:
    client, redirect_uri = known_client()
    if session.get("user") not in USERS:  # RFC 9700 section 4.11.2: first of all, even if an error follows
        return sign_in()
    return decide(client, redirect_uri, authorization_parameters)


def decide(
    client: Any, redirect_uri: str, parameters: Callable[[Any], tuple[str, str]], **kept: Any
) -> ResponseReturnValue:
    """Asks the user who is signed in, and gives a code. `kept` is what the authorization remembers beside the rest."""
    if request.method == "POST" and not is_own_form():
        raise InvalidRequestError("The form did not come from this server. Are cookies allowed?")
    try:
        scope, resource = parameters(client)
        decision, has_changed = request.form.get("decision"), request.form.get("version") != str(client.version)
        if request.method != "POST" or (decision == "allow" and has_changed):
            return consent_page(client, redirect_uri, scope, resource)
        if decision == "sign_out":
            session.clear()
            return redirect(same_page(), 303)
        if decision != "allow":
            raise AccessDeniedError()
    except OAuth2Error as error:
        address, name = response_uri(redirect_uri, **dict(error.get_body())), destination(redirect_uri)
        if request.method == "POST" or is_on_this_device(redirect_uri):
            return redirect(address, 303)
        # RFC 9700 section 4.11.2: whoever registers could have this server send people anywhere, unasked.
        return render_template("quickstart/return.html", address=address, name=name), 400
    store.hold(client)  # as the page showed it
    client.touch()  # who has just been given a code is in use
    code = store.new_code(
        client_id=client.client_id,
        subject=session["user"],
        scope=scope,
        resource=resource,
        code_challenge=request.args.get("code_challenge"),
        redirect_uri=redirect_uri,
        redirect_uri_sent=bool(request.args.get("redirect_uri")),
        **kept,
    )
    return redirect(response_uri(redirect_uri, code=code), 303)


def sign_in(**remembered: Any) -> ResponseReturnValue:
    """Asks who the user is. `remembered` is kept with the session of one who tells."""
    name, password = request.form.get("username", ""), request.form.get("password", "")
    if is_own_form() and name in USERS and secrets.compare_digest(password.encode(), USERS[name].encode()):
        session.clear()
        session.update(remembered, user=name)
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
        scopes=[current_app.config["SCOPES"].get(name, name) for name in scope.split()],
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
    return page_with(request.query_string.decode(errors="replace"))


def page_with(query: str) -> str:
    return f"{request.script_root}{request.path}?{query}"


@oauth.get("/link")
def link() -> ResponseReturnValue:
    """RFC 9700 section 4.2.4: the consent page has no links that lead away from here at once."""
    name = request.args.get("name", "")
    client = dynreg.query_client(request.args.get("client_id", ""))
    address = (
        client and client.is_active and name in LINKS and client.localized(name, request.accept_languages.values())
    )
    if not address:
        raise InvalidRequestError("There is no such address.", status_code=404)
    return render_template("quickstart/link.html", client=client, label=LINKS[name], address=address)


@oauth.post("/token")
def token() -> Any:
    return token_response(server)


def token_response(server: AuthorizationServer) -> Any:
    refuse_repeated(request.form)
    grant_types, grant_type = dynreg.server_metadata()["grant_types_supported"], request.form.get("grant_type")
    if grant_type not in grant_types:
        error = "unsupported_grant_type" if grant_type else "invalid_request"
        raise OAuth2Error(f"grant_type must be one of {', '.join(grant_types)}.", error=error)
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
    asking, token = client_and_token(CONFIDENTIAL, "access_token")
    asking.touch()  # Authlib tells of the token endpoint alone
    store.db.session.commit()
    issued_to = dynreg.query_client(token.authorization.client_id) if token else None
    if not token or not issued_to or not (issued_to.is_active and asking.is_active):
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


@oauth.errorhandler(TimeoutError)
@oauth.errorhandler(DBAPIError)
def answer_later(_: Exception) -> ResponseReturnValue:
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
    app = new_app("quickstart", config or {}, server_metadata, SCOPES=SCOPES, DYNREG_DEFAULT_SCOPES=["mcp:read"])
    start(app, server, oauth)
    if served_port() and not os.environ.get("WERKZEUG_RUN_MAIN"):
        with app.app_context():
            say_what_to_try(app.config)
    return app


def new_app(
    name: str, config: Mapping[str, Any], metadata_of: Callable[[str], dict[str, Any]], **defaults: Any
) -> Flask:
    """An app with its configuration. `metadata_of` gives the server metadata of an issuer."""
    app = Flask(__name__, instance_path=str(Path(os.environ.get("FLASK_INSTANCE_PATH", "instance")).absolute()))
    app.config.from_mapping(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{name}.sqlite",
        SESSION_COOKIE_NAME=name,
        SESSION_COOKIE_SAMESITE="Lax",
        OAUTH2_ACCESS_TOKEN_GENERATOR=store.random_token,
        OAUTH2_REFRESH_TOKEN_GENERATOR=store.random_token,
        OAUTH2_TOKEN_EXPIRES_IN=dict.fromkeys(GRANT_TYPES, store.LIFETIMES["access_token"]),
        DYNREG_ACCESS=["open"],
        DYNREG_SERVER_METADATA={},
        **defaults,
    )
    app.config.from_prefixed_env()
    app.config.from_mapping(config)
    stated = app.config["DYNREG_SERVER_METADATA"]
    metadata = stated if isinstance(stated, dict) else {}
    issuer = metadata.get("issuer", f"http://127.0.0.1:{served_port() or app.config.get('RUN_PORT', 5000)}")
    if metadata is stated:  # what is wrong is told by dynreg
        app.config["DYNREG_SERVER_METADATA"] = metadata_of(issuer) | metadata
    if urlsplit(issuer).hostname in ("127.0.0.1", "localhost", "::1"):
        app.config.setdefault("DYNREG_LIMITS", [])  # to try it out
    app.config["SESSION_COOKIE_SECURE"] |= issuer.startswith("https:")
    app.config["APPLICATION_ROOT"] = urlsplit(issuer).path or "/"
    return app


def served_port() -> int | None:
    """The port of `flask run`, if that is what runs."""
    context = click.get_current_context(silent=True)
    return context.params.get("port") if context and context.info_name == "run" else None


def note_use(_: AuthorizationServer, client: Any, **__: Any) -> None:
    client.touch()


def start(app: Flask, server: AuthorizationServer, blueprint: Blueprint) -> None:
    store.db.init_app(app)
    migrate.init_app(app)
    dynreg.init_app(app)
    server.init_app(app, query_client=dynreg.query_client, save_token=store.save_token)
    client_authenticated.connect(note_use, server)
    app.register_blueprint(blueprint)
    app.register_error_handler(MethodNotAllowed, refuse_method)
    store.prepare(app)


def refuse_method(error: MethodNotAllowed) -> ResponseReturnValue:
    """No blueprint sees it, as it is raised before one is found."""
    methods = ", ".join(sorted(error.valid_methods or ()))
    body = {"error": "invalid_request", "error_description": f"The method must be one of {methods}."}
    return body, 405, {**CORS_HEADERS, "Allow": methods, "Cache-Control": "no-store"}


def say_what_to_try(config: Config) -> None:
    published, is_open = dynreg.server_metadata(), "open" in config["DYNREG_ACCESS"]
    if not {"open", "initial_access_token"}.intersection(config["DYNREG_ACCESS"]):
        return
    issuer = published["issuer"]
    metadata = {"client_name": "Mine", "redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"}
    bearer, option = ("", "") if is_open else (" -H 'Authorization: Bearer TOKEN'", " --initial-access-token TOKEN")
    commands = os.path.relpath(Path(sys.executable).parent)  # of the environment that has what the examples need
    click.echo("Register a client:")
    click.echo(
        f"  curl {published['registration_endpoint']}{bearer}"
        f" -H 'Content-Type: application/json' -d '{json.dumps(metadata)}'"
    )
    click.echo("Start an MCP server that trusts this one:")
    click.echo(f"  {commands}/python examples/mcp_server.py --issuer {issuer} --port 8000{option}")
    if not is_open:
        same = (
            f"FLASK_RUN_PORT={urlsplit(issuer).port or ''} FLASK_DYNREG_ACCESS='{json.dumps(config['DYNREG_ACCESS'])}'"
        )
        click.echo("with a TOKEN from this, in the environment that this server was started with:")
        click.echo(f"  {same} {commands}/flask --app examples/quickstart.py dynreg issue-token --uses 10")
