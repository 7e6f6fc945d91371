"""The blueprint: `POST /register`, `GET|PUT|DELETE /clients/<client_id>` and `POST /clients/<client_id>/recover`."""

from authlib.common.security import is_secure_transport
from flask import Blueprint, Flask, Request, Response, current_app, request

from flask_dynreg.errors import ConfigurationError
from flask_dynreg.protocol import responses
from flask_dynreg.protocol.endpoints import ConfigurationEndpoint, RegistrationEndpoint, RegistrationServer
from flask_dynreg.protocol.recovery import RecoveryEndpoint
from flask_dynreg.protocol.routes import add_route, answer, answer_errors, exempt_from_csrf
from flask_dynreg.registrar import Registrar
from flask_dynreg.signals import logger

NAME = "dynreg"
SERVER = "dynreg.server"

_METHODS = {"read": ["GET", "HEAD"], "update": ["PUT"], "delete": ["DELETE"]}


def registration_methods(registrar: Registrar) -> list[str]:
    return [] if registrar.doors.are_closed else ["POST"]


def configuration_methods(registrar: Registrar) -> list[str]:
    return [method for operation in registrar.settings.management for method in _METHODS[operation]]


def recovery_methods(registrar: Registrar) -> list[str]:
    return ["POST"] if registrar.settings.management else []


def _respond(methods: list[str], server: RegistrationServer, name: str) -> Response:
    if not methods:
        return responses.not_found()
    if request.method != "OPTIONS" and is_insecure(server.registrar.issuer):
        return responses.insecure_transport()
    return answer(methods, lambda: server.create_endpoint_response(name))


def is_insecure(issuer: str) -> bool:
    """RFC 7591 section 5: TLS, but for a server on the own machine. By the rule of Authlib's other endpoints."""
    if not issuer.startswith("https:") or request.is_secure or is_secure_transport(request.host_url):
        return False
    logger.warning("Refused: a request by plain http. Does TLS end at a proxy? Then the app needs ProxyFix.")
    return True


def register() -> Response:
    server: RegistrationServer = current_app.extensions[SERVER]
    return _respond(registration_methods(server.registrar), server, RegistrationEndpoint.ENDPOINT_NAME)


def configure(client_id: str) -> Response:
    server: RegistrationServer = current_app.extensions[SERVER]
    return _respond(configuration_methods(server.registrar), server, ConfigurationEndpoint.ENDPOINT_NAME)


def recover(client_id: str) -> Response:
    server: RegistrationServer = current_app.extensions[SERVER]
    return _respond(recovery_methods(server.registrar), server, RecoveryEndpoint.ENDPOINT_NAME)


_METHODS_OF = {
    f"{NAME}.register": registration_methods,
    f"{NAME}.recover": recovery_methods,
}


def _share(response: Response) -> Response:
    registrar: Registrar = current_app.extensions[SERVER].registrar
    current: Request = request._get_current_object()  # type: ignore[attr-defined]  # each look through the proxy costs time
    methods = _METHODS_OF.get(str(current.endpoint), configuration_methods)(registrar)
    return responses.allow_origin(current, response, registrar.settings.cors_origins, methods)


def create_blueprint() -> Blueprint:
    """The same blueprint serves every app: its views find the app's own server."""
    blueprint = Blueprint(NAME, __name__)
    add_route(blueprint, "/register", "register", register, "DYNREG_URL_PREFIX")
    add_route(blueprint, "/clients/<dynreg_any:client_id>", "configure", configure, "DYNREG_URL_PREFIX")
    add_route(blueprint, "/clients/<dynreg_any:client_id>/recover", "recover", recover, "DYNREG_URL_PREFIX")
    blueprint.after_request(_share)
    answer_errors(blueprint)
    return blueprint


def install(app: Flask, blueprint: Blueprint, server: RegistrationServer) -> None:
    """Raises ConfigurationError if the app has such paths already."""
    if NAME in app.blueprints:
        raise ConfigurationError(f"The app has a blueprint {NAME} already: init_app is called once for an app.")
    app.extensions[SERVER] = server
    app.register_blueprint(blueprint, url_prefix=server.registrar.settings.url_prefix)
    exempt_from_csrf(app, blueprint)
