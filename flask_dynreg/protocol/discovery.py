"""What clients read before they register: the document of RFC 8414, and of OpenID Connect Discovery on request."""

import copy
import json
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, request

from flask_dynreg.protocol import responses
from flask_dynreg.protocol.addresses import Addresses, well_known
from flask_dynreg.protocol.routes import add_route, answer, answer_errors
from flask_dynreg.registrar import Registrar

NAME = "dynreg_discovery"
METHODS = ["GET", "HEAD"]
MAX_AGE = 300
"""How long a document may be kept by who asked, in seconds."""


def document(registrar: Registrar, addresses: Addresses) -> dict[str, Any]:
    """The server metadata; `registration_endpoint` is in it exactly when a door is open."""
    metadata = copy.deepcopy(dict(registrar.settings.server_metadata))
    if not registrar.doors.are_closed:
        metadata["registration_endpoint"] = addresses.registration
    return metadata


def paths(registrar: Registrar) -> dict[str, str]:
    """Where the document is, from the root of the issuer's host, each with the setting that wants it there."""
    issuer = registrar.issuer
    found = {well_known(issuer, "oauth-authorization-server"): "DYNREG_DISCOVERY"}
    if registrar.settings.openid_discovery:
        # OpenID Connect Discovery appends where RFC 8414 section 3.1 inserts; without a path both are the same.
        found[well_known(issuer, "openid-configuration")] = "DYNREG_OPENID_DISCOVERY"
        found[f"{urlsplit(issuer).path.rstrip('/')}/.well-known/openid-configuration"] = "DYNREG_OPENID_DISCOVERY"
    return found


def serve_document(text: str) -> Response:
    """A public document, for GET and HEAD."""
    headers = [("Content-Type", "application/json"), ("Cache-Control", f"public, max-age={MAX_AGE}")]
    return answer(METHODS, lambda: Response(text, 200, headers))


def share(blueprint: Blueprint, origins: str | tuple[str, ...]) -> None:
    """Lets scripts of these origins read what the blueprint answers, be it an error of the host's."""
    answer_errors(blueprint)
    blueprint.after_request(lambda response: responses.allow_origin(request, response, origins, METHODS))


def install(app: Flask, registrar: Registrar, addresses: Addresses) -> None:
    """Raises ConfigurationError if the app has such paths already."""
    blueprint = Blueprint(NAME, __name__)

    def view() -> Response:
        return serve_document(json.dumps(document(registrar, addresses)))

    for number, (path, setting) in enumerate(paths(registrar).items()):
        add_route(blueprint, path, f"document_{number}", view, setting)
    share(blueprint, registrar.settings.cors_origins)
    app.register_blueprint(blueprint)
