"""The operators' API: clients, initial access tokens and the switch over HTTP, for whom the host says may. Off by default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError
from flask import Blueprint, Flask, Response, current_app, request
from marshmallow import Schema, ValidationError, fields, validate
from sqlalchemy.exc import DBAPIError, TimeoutError

from flask_dynreg.access.permissions import MissingPermissionError
from flask_dynreg.errors import (
    ConfigurationError,
    DecisionError,
    ForbiddenError,
    RefusedMetadataError,
    TemporarilyUnavailableError,
    UnknownClientError,
)
from flask_dynreg.lifecycle.decisions import Decisions, Verdict
from flask_dynreg.metadata.json_objects import JSONFault, parsed_object
from flask_dynreg.operations import clients, explaining, tokens
from flask_dynreg.protocol import requests, responses, views
from flask_dynreg.protocol.endpoints import RegistrationServer
from flask_dynreg.protocol.routes import add_route, answer, answer_errors, exempt_from_csrf
from flask_dynreg.protocol.transactions import afterwards, in_one_transaction
from flask_dynreg.registrar import Registrar
from flask_dynreg.registry.models import LONGEST_TEXT
from flask_dynreg.registry.pages import Waiting, place_of
from flask_dynreg.registry.principals import Terms

NAME = "dynreg_operators"
SETTING = "DYNREG_OPERATORS_API"

Answer = tuple[int, Mapping[str, Any] | None]

_MESSAGES = {"required": "must be there.", "null": "must not be null."}


def _text(**options: Any) -> fields.String:
    """For what has a column, in which PostgreSQL takes no U+0000."""
    right = f"must be a string of 1 to {LONGEST_TEXT} characters."
    rules = validate.And(validate.Length(1, LONGEST_TEXT, error=right), validate.ContainsNoneOf("\0", error=right))
    return fields.String(validate=rules, error_messages={**_MESSAGES, "invalid": right}, **options)


def _number(least: int = 1, **options: Any) -> fields.Integer:
    right = f"must be a whole number, {least} or more."
    rule = validate.Range(least, 2**31 - 1, error=right)
    return fields.Integer(strict=True, validate=rule, error_messages={**_MESSAGES, "invalid": right}, **options)


def _object(**options: Any) -> fields.Dict:
    return fields.Dict(error_messages={**_MESSAGES, "invalid": "must be a JSON object."}, **options)


def _place(pattern: str) -> fields.String:
    """Where a page has ended."""
    return fields.String(validate=validate.Regexp(rf"{pattern}\Z", error="must be the next of another page."))


_NOTHING = Schema()
_WHICH = Schema.from_dict({"after": _place("[!-~]{1,255}"), "owner": _text(), "software_id": _text()})()
_WHO_WAITS = Schema.from_dict({"after": _place(r"[0-9]{1,18}\.[!-~]{1,255}")})()
_WHICH_TOKENS = Schema.from_dict({"after": _place("[0-9]{1,18}")})()
_METADATA = Schema.from_dict({"metadata": _object(required=True)})()
_CLIENT = Schema.from_dict({"metadata": _object(required=True), "owner": _text(), "client_id": _text()})()
_REASON = Schema.from_dict({"reason": _text(required=True)})()
_APPROVAL = Schema.from_dict({"reason": _text(required=True), "version": _number(required=True)})()
_VERSION = Schema.from_dict({"version": _number(required=True)})()
_KEEP = Schema.from_dict({"keep": _number(0)})()
_TOKEN = Schema.from_dict(
    {"label": _text(), "owner": _text(), "expires_in": _number(), "uses": _number(), "terms": _object()}
)()
_SWITCH = Schema.from_dict({"closed": _text(required=True, allow_none=True)})()


class InvalidOperationError(OAuth2Error):
    """What an operator wants cannot be done now: RFC 9110 section 15.5.10."""

    error = "invalid_request"
    status_code = 409


class _InvalidTermsError(OAuth2Error):
    """Its text names what is wrong, which may have any character: Authlib would not take it."""

    error = "invalid_request"

    def __init__(self, description: str) -> None:
        super().__init__()
        self.description = description


class NotFoundError(OAuth2Error):
    error = "invalid_request"
    status_code = 404


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API, by an operator who may make it."""

    server: RegistrationServer
    by: str
    sent: Mapping[str, Any]

    @property
    def registrar(self) -> Registrar:
        return self.server.registrar


# ---- What can be done


def list_clients(call: Call) -> Answer:
    which = _read(_WHICH, request.args, "query")
    page = call.registrar.find_clients(which.get("after", ""), which.get("owner"), which.get("software_id"))
    return 200, {"clients": list(map(clients.as_json, page)), "next": page[-1].client_id if page else None}


def list_waiting(call: Call) -> Answer:
    since, _, client_id = _read(_WHO_WAITS, request.args, "query").get("after", "0.").partition(".")
    page = call.registrar.waiting(Waiting(int(since), client_id))
    last = place_of(page[-1]) if page else None
    return 200, {"clients": list(map(clients.as_json, page)), "next": last and f"{last.since}.{last.client_id}"}


def create_client(call: Call) -> Answer:
    sent = call.sent
    registered = call.registrar.create(sent["metadata"], sent.get("owner"), sent.get("client_id"), call.by)
    return 201, call.server.told(registered)


def show_client(call: Call, client_id: str) -> Answer:
    return 200, clients.as_json(call.registrar.known_client(client_id))


def delete_client(call: Call, client_id: str) -> Answer:
    call.registrar.delete(call.registrar.known_client(client_id), call.by)
    return 204, None


def reissue_token(call: Call, client_id: str) -> Answer:
    return 201, call.server.registration_information(client_id, call.registrar.reissue_token(client_id, call.by))


def approve_client(call: Call, client_id: str) -> Answer:
    call.registrar.approve(client_id, call.sent["version"], Verdict(call.sent["reason"], call.by))
    return show_client(call, client_id)


def decide(decision: Callable[[Decisions, str, Verdict], None], call: Call, client_id: str) -> Answer:
    decision(call.registrar, client_id, Verdict(call.sent["reason"], call.by))
    return show_client(call, client_id)


def show_history(call: Call, client_id: str) -> Answer:
    return 200, {"versions": list(map(clients.version_as_json, call.registrar.versions(client_id)))}


def roll_back_client(call: Call, client_id: str) -> Answer:
    call.registrar.roll_back(client_id, call.sent["version"], call.by)
    return show_client(call, client_id)


def rotate_secret(call: Call, client_id: str) -> Answer:
    return 201, call.registrar.rotate_secret(client_id, call.sent.get("keep", 0), call.by)


def drop_secrets(call: Call, client_id: str) -> Answer:
    call.registrar.drop_older_secrets(client_id, call.by)
    return 204, None


def explain(call: Call) -> Answer:
    return 200, explaining.as_json(call.registrar.explain(call.sent["metadata"]))


def list_tokens(call: Call) -> Answer:
    page = call.registrar.tokens.page(int(_read(_WHICH_TOKENS, request.args, "query").get("after", "0")))
    return 200, {"tokens": list(map(tokens.as_json, page)), "next": page[-1].id if page else None}


def issue_token(call: Call) -> Answer:
    sent, registrar = call.sent, call.registrar
    if "initial_access_token" not in registrar.settings.access:
        raise InvalidOperationError("DYNREG_ACCESS must have initial_access_token: nobody could use the token.")
    try:
        terms = Terms.from_object(sent.get("terms", {}))
        token = registrar.issue_token(
            sent.get("label"), sent.get("expires_in"), sent.get("uses"), sent.get("owner"), terms, call.by
        )
    except ValueError as fault:
        raise _InvalidTermsError(f"terms: {fault}") from None
    return 201, {"initial_access_token": token}


def revoke_token(call: Call, token_id: str) -> Answer:
    if not (
        token_id.isascii()
        and token_id.isdecimal()
        and len(token_id) < 19
        and call.registrar.tokens.revoke(int(token_id), call.by)
    ):
        raise NotFoundError("There is no such token, or it was revoked before.")
    return 204, None


def show_registration(call: Call) -> Answer:
    return 200, {"closed": call.registrar.switch.now(), "doors": list(call.registrar.settings.access)}


def set_registration(call: Call) -> Answer:
    reason, switch = call.sent["closed"], call.registrar.switch
    if reason is None:
        switch.open(call.by)
    else:
        switch.close(reason, call.by)
    return show_registration(call)


@dataclass(frozen=True, slots=True)
class Operation:
    permission: str
    run: Callable[..., Answer]
    body: Schema = _NOTHING


def _decision(run: Callable[[Any, str, Verdict], None]) -> Mapping[str, Operation]:
    return {"POST": Operation("clients:approve", partial(decide, run), _REASON)}


OPERATIONS: Mapping[str, Mapping[str, Operation]] = {
    "/clients": {
        "GET": Operation("clients:read", list_clients),
        "POST": Operation("clients:write", create_client, _CLIENT),
    },
    "/clients/<client_id>": {
        "GET": Operation("clients:read", show_client),
        "DELETE": Operation("clients:delete", delete_client),
    },
    "/clients/<client_id>/approve": {
        "POST": Operation("clients:approve", approve_client, _APPROVAL),
    },
    "/clients/<client_id>/refuse": _decision(Registrar.refuse),
    "/clients/<client_id>/suspend": _decision(Registrar.suspend),
    "/clients/<client_id>/resume": _decision(Registrar.resume),
    "/clients/<client_id>/registration-access-token": {"POST": Operation("clients:write", reissue_token)},
    "/clients/<client_id>/history": {"GET": Operation("clients:read", show_history)},
    "/clients/<client_id>/roll-back": {"POST": Operation("clients:write", roll_back_client, _VERSION)},
    "/clients/<client_id>/client-secret": {"POST": Operation("clients:write", rotate_secret, _KEEP)},
    "/clients/<client_id>/older-client-secrets": {"DELETE": Operation("clients:write", drop_secrets)},
    "/waiting": {"GET": Operation("clients:read", list_waiting)},
    "/explain": {"POST": Operation("clients:write", explain, _METADATA)},
    "/tokens": {
        "GET": Operation("tokens:issue", list_tokens),
        "POST": Operation("tokens:issue", issue_token, _TOKEN),
    },
    "/tokens/<token_id>": {"DELETE": Operation("tokens:revoke", revoke_token)},
    "/registration": {
        "GET": Operation("settings:write", show_registration),
        "PUT": Operation("settings:write", set_registration, _SWITCH),
    },
}
"""By path and method, what can be done and what it needs."""


# ---- The way there


def _view(path: str) -> Callable[..., Response]:
    operations = OPERATIONS[path]

    def view(**arguments: str) -> Response:
        server: RegistrationServer = current_app.extensions[views.SERVER]
        if request.method != "OPTIONS" and views.is_insecure(server.registrar.issuer):
            return responses.insecure_transport()
        return answer(list(operations), lambda: _respond(server, operations[request.method], arguments))

    return view


def _respond(server: RegistrationServer, operation: Operation, arguments: Mapping[str, str]) -> Response:
    try:
        status, body = _run(server, operation, arguments)
    except (UnknownClientError, DecisionError) as fault:
        kind = NotFoundError if isinstance(fault, UnknownClientError) else InvalidOperationError
        return responses.oauth_error(kind(str(fault)))
    except RefusedMetadataError as error:
        status, body, _ = error()
        policies = [problem.policy for problem in error.problems]
        errors = [told | {"policy": policy} for told, policy in zip(body["errors"], policies, strict=True)]
        return responses.json_response(status, body | {"errors": errors}, responses.JSON_HEADERS)
    except OAuth2Error as error:
        return responses.oauth_error(error)
    if body is None:
        return responses.no_content([("Cache-Control", "no-store")])
    return responses.json_response(status, body, responses.JSON_HEADERS)


def _run(server: RegistrationServer, operation: Operation, arguments: Mapping[str, str]) -> Answer:
    registrar = server.registrar
    _look_where_from(registrar)
    try:
        operator = registrar.permissions.require(operation.permission)
        if not registrar.sessions.is_untouched:
            registrar.sessions.session.flush()  # what the host has begun is not undone with what is refused
    except MissingPermissionError as error:
        afterwards(registrar.sessions, partial(registrar.note_forbidden, error.by, error.permission))
        raise
    except (DBAPIError, TimeoutError) as error:
        raise TemporarilyUnavailableError() from error
    call = Call(server, operator.name, _body(operation.body, registrar.settings.max_request_bytes))
    try:
        return in_one_transaction(registrar.sessions, lambda: operation.run(call, **arguments))
    except ForbiddenError as error:  # not the operator: the client may not be like that
        raise InvalidOperationError(error.description) from None


def _look_where_from(registrar: Registrar) -> None:
    """A browser sends cookies for the pages of anybody: what it changes has to come from a page of this server."""
    facts = requests.HTTPFacts(request, registrar.issuer, registrar.certificates)
    is_by_browser = "Sec-Fetch-Site" in request.headers or facts.origin is not None
    if request.method != "GET" and is_by_browser and not facts.is_same_origin:
        raise ForbiddenError("The request must come from a page of this server.")


def _body(schema: Schema, limit: int) -> Mapping[str, Any]:
    if schema is _NOTHING:
        return {}
    if request.mimetype != "application/json":
        raise InvalidRequestError("The Content-Type must be application/json.")
    try:
        sent = parsed_object(requests.body(request, limit))
    except JSONFault as fault:
        raise InvalidRequestError(f"The request body {fault}") from None
    return _read(schema, sent, "request body")


def _read(schema: Schema, sent: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Raises InvalidRequestError, without a word of what was sent."""
    try:
        read: Mapping[str, Any] = schema.load(sent)
    except ValidationError as error:
        for name in schema.fields:
            if name in error.messages_dict:
                raise InvalidRequestError(f"{name}: {error.messages_dict[name][0]}") from None
        raise InvalidRequestError(f"The {where} must have none but {', '.join(schema.fields)}.") from None
    return read


def install(app: Flask, server: RegistrationServer) -> None:
    """Raises ConfigurationError if nobody says who operators are, or if the app has such paths already."""
    if not server.registrar.permissions.are_there:
        raise ConfigurationError(f"{SETTING}: a function has to say who operators are, by dynreg.operator.")
    blueprint = Blueprint(NAME, __name__)
    for number, path in enumerate(OPERATIONS):
        add_route(blueprint, path, f"operation_{number}", _view(path), SETTING)
    answer_errors(blueprint)
    app.register_blueprint(blueprint, url_prefix=f"{server.registrar.settings.url_prefix}/operators")
    exempt_from_csrf(app, blueprint)
