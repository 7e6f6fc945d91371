"""What a protected resource says of itself (RFC 9728), for the apps that clients want to reach in the end."""

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response

from flask_dynreg.errors import ConfigurationError
from flask_dynreg.protocol.addresses import well_known
from flask_dynreg.protocol.discovery import serve_document, share
from flask_dynreg.protocol.routes import add_route
from flask_dynreg.server_metadata import check_issuer, is_url

_PARAMETER = re.compile(r"[ !#-\[\]-~]*")


class ProtectedResource:
    """The metadata document of a resource, as a blueprint, and the challenge that leads clients to it.

        mcp = ProtectedResource("https://mcp.example/mcp", ["https://as.example"], scopes_supported=["mcp:read"])
        app.register_blueprint(mcp.blueprint)

    `resource` is the URL that clients use; `members` are further names of RFC 9728 section 2. Two resources of one app must
    differ in their path: a query does not lead to a document of its own. Raises ConfigurationError.
    """

    def __init__(self, resource: str, authorization_servers: Sequence[str], **members: Any) -> None:
        if not is_url(resource):
            raise ConfigurationError(
                "resource must be an https URL without fragment; plain http is for loopback alone."
            )
        if isinstance(authorization_servers, str) or not authorization_servers:
            raise ConfigurationError("authorization_servers must be a list of at least one issuer.")
        for issuer in authorization_servers:
            try:
                check_issuer(issuer)
            except ValueError as fault:
                raise ConfigurationError(f"authorization_servers: {fault}") from None
        if "none" in members.get("resource_signing_alg_values_supported", ()):
            raise ConfigurationError("resource_signing_alg_values_supported must not have none.")
        if "jwks_uri" in members and not str(members["jwks_uri"]).startswith("https://"):
            raise ConfigurationError("jwks_uri must be https.")
        stated = {"bearer_methods_supported": ["header"], **members}
        self.metadata: dict[str, Any] = {
            "resource": resource,
            "authorization_servers": list(authorization_servers),
            **{name: value for name, value in stated.items() if value != [] or name == "bearer_methods_supported"},
        }
        parts, path = urlsplit(resource), well_known(resource, "oauth-protected-resource")
        # RFC 9728 section 3.1 takes a slash away after the host alone; half of the clients take any that ends a path.
        exact = f"{path}/" if len(parts.path) > 1 and parts.path.endswith("/") else path
        self.metadata_url = f"{parts.scheme}://{parts.netloc}{exact}" + (f"?{parts.query}" if parts.query else "")
        text = json.dumps(self.metadata, allow_nan=False)

        def view() -> Response:
            return serve_document(text)

        # One name for each path: a blueprint's may have anything but a period.
        self.blueprint = Blueprint(f"protected_resource{path}".replace(".", " "), __name__)
        for number, place in enumerate({path, exact}):
            add_route(self.blueprint, place, f"document_{number}", view, "ProtectedResource")
        share(self.blueprint, "*")

    def challenge(self, error: str | None = None, scope: str | None = None) -> str:
        """The value of WWW-Authenticate for a 401 or 403 (RFC 9728 section 5.1, RFC 6750 section 3).

        `error` is a code of RFC 6750 section 3.1, absent when the request had no token; `scope` what the operation needs.
        Raises ValueError for a character that would break the header.
        """
        parameters = {"error": error, "scope": scope, "resource_metadata": self.metadata_url}
        stated = {name: value for name, value in parameters.items() if value is not None}
        for name, value in stated.items():
            if not _PARAMETER.fullmatch(value):
                raise ValueError(f"{name} must have ASCII characters without quotation mark and backslash.")
        return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in stated.items())
