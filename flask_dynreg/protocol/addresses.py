"""The absolute URLs that clients are told: from the configured issuer, never from the Host of a request."""

from urllib.parse import quote, urlsplit

from flask import has_request_context, request


class Addresses:
    """`application_root` stands in for SCRIPT_NAME: where there is no request, and where the front server passes the root's
    `/.well-known/` paths on to an app that is mounted elsewhere."""

    def __init__(self, issuer: str, url_prefix: str, application_root: str) -> None:
        parts = urlsplit(issuer)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._url_prefix = url_prefix
        self._application_root = application_root.rstrip("/")

    @property
    def base(self) -> str:
        script_root = request.script_root if has_request_context() else ""
        return self._origin + (script_root or self._application_root) + self._url_prefix

    @property
    def registration(self) -> str:
        return f"{self.base}/register"

    def client_configuration(self, client_id: str) -> str:
        return f"{self.base}/clients/{quote(client_id, safe='')}"

    def recovery(self, client_id: str) -> str:
        return f"{self.client_configuration(client_id)}/recover"


def well_known(identifier: str, name: str) -> str:
    """Where a document about an issuer or a resource lies: between host and path (RFC 8414 and RFC 9728 section 3.1)."""
    return f"/.well-known/{name}{urlsplit(identifier).path.rstrip('/')}"
