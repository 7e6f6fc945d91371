"""An OpenID Provider with which relying parties register themselves: the quickstart, and what OpenID Connect adds to it.

    flask --app examples/openid_provider.py run

Sign in as alice with the password "password". What signs ID tokens is made at the first start and kept in ./instance or
FLASK_INSTANCE_PATH, with the database. Configuration and production are as in quickstart.py:

    FLASK_DYNREG_SERVER_METADATA__issuer=https://op.example gunicorn 'examples.openid_provider:create_app()'
"""

import json
import os
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import click
from authlib.oauth2.rfc6749 import InvalidRequestError, InvalidScopeError, OAuth2Error
from authlib.oidc.core.errors import ConsentRequiredError, LoginRequiredError, RegistrationNotSupportedError
from flask import Blueprint, Flask, Response, g, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from joserfc.jwk import KeySet
from sqlalchemy.exc import DBAPIError, TimeoutError
from werkzeug.datastructures import ImmutableMultiDict

from examples import quickstart
from examples import quickstart_store as store
from examples.openid_server import (
    ACR,
    ALGORITHMS,
    CLAIMS,
    SCOPES,
    EndUser,
    allowed_scope,
    new_signing_keys,
    server,
    signed_parameters,
    signing_keys,
)
from examples.quickstart import csrf_token, is_own_form
from examples.quickstart_server import CORS_HEADERS
from examples.quickstart_tokens import refuse_repeated, resources

SECONDS = re.compile(r"\d{1,10}", re.ASCII)

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
        "request_parameter_supported": True,
        "request_object_signing_alg_values_supported": ALGORITHMS,
        "request_uri_parameter_supported": False,  # where this is absent, it is taken to be true
    }


# ---- The endpoints. Those that the quickstart has too are its own.

oauth.add_url_rule("/link", view_func=quickstart.link)
oauth.add_url_rule("/revoke", view_func=quickstart.revoke, methods=["POST"])
oauth.register_error_handler(OAuth2Error, quickstart.answer_error)
oauth.register_error_handler(DBAPIError, quickstart.answer_later)
oauth.register_error_handler(TimeoutError, quickstart.answer_later)
oauth.after_request(quickstart.add_headers)
openid.register_error_handler(DBAPIError, quickstart.answer_later)
openid.register_error_handler(TimeoutError, quickstart.answer_later)


@oauth.route("/authorize", methods=["GET", "POST"])
def authorize() -> ResponseReturnValue:
    if is_sent_by_client():
        return redirect(as_link(), 303)
    take_signed_parameters()
    client, redirect_uri = quickstart.known_client()
    due = sign_in_is_due(client)
    if prompts() == {"none"}:
        # Core section 3.1.2.1: no page is shown, the client is told at once. Consent is asked for each time, so it is missing.
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


def as_link() -> str:
    return quickstart.page_with(urlencode(list(request.form.items(multi=True))))


def take_signed_parameters() -> None:
    """From here on the parameters are those that the client signed. What is wrong with them is said once it is known to whom."""
    try:
        refuse_repeated(request.args)
        signed = signed_parameters(request.args.to_dict())
    except OAuth2Error as error:
        g.refusal = error
    else:
        if "request" in request.args:
            request.args = ImmutableMultiDict(signed)


def prompts() -> set[str]:
    return set(request.args.get("prompt", "").split())


def this_request() -> str:
    return store.digest(urlencode(list(request.args.items(multi=True))))


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
    if "refusal" in g:
        raise g.refusal
    asked = request.args
    quickstart.check_authorization_request(client)
    # RFC 9700 section 2.1.1: with a secret of its own a client may trust in nonce, which it has to compare, instead.
    if client.token_endpoint_auth_method == "none" or "code_challenge" in asked or not asked.get("nonce"):
        quickstart.check_code_challenge()
    if "registration" in asked:
        raise RegistrationNotSupportedError()
    if "none" in prompts():
        raise InvalidRequestError("prompt must be none alone, or without none.")
    if asked.get("max_age") and not SECONDS.fullmatch(asked["max_age"]):
        raise InvalidRequestError("max_age must be a number of seconds.")
    if not asked.get("nonce", "").isprintable():
        raise InvalidRequestError("nonce must have no control characters.")
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
        return redirect(as_link(), 303)
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
