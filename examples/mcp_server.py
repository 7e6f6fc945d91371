"""An MCP server that trusts the quickstart: it registers itself there, and asks it about every token that it is shown.

python examples/mcp_server.py --issuer http://127.0.0.1:5000 --port 8000
"""

import argparse
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx2
import uvicorn
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer

SCOPE = "mcp:read"
PATIENCE = 30  # seconds that the authorization server may need to come up


@dataclass(frozen=True)
class Registration:
    """What RFC 7591 gives to a client: who it is, and with what it manages its own registration (RFC 7592)."""

    client_id: str
    client_secret: str
    registration_client_uri: str
    registration_access_token: str

    def delete(self) -> None:
        bearer = {"Authorization": f"Bearer {self.registration_access_token}"}
        try:
            httpx2.delete(self.registration_client_uri, headers=bearer, timeout=10).raise_for_status()
        except httpx2.HTTPError as error:
            print(f"The registration of {self.client_id} stays behind: {error}", file=sys.stderr)


def discover(issuer: str) -> dict[str, Any]:
    """RFC 8414 section 3: the well-known part goes before the path of the issuer, and the document names the issuer."""
    parts = urlsplit(issuer)
    url = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path.rstrip('/')}"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            answer = httpx2.get(url, timeout=10).raise_for_status()
            break
        except httpx2.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    metadata: dict[str, Any] = answer.json()
    if metadata["issuer"] != issuer:
        sys.exit(f"{url} describes {metadata['issuer']}, not {issuer}.")
    return metadata


def register(metadata: dict[str, Any], name: str, initial_access_token: str | None) -> Registration:
    if "registration_endpoint" not in metadata:
        sys.exit(f"{metadata['issuer']} lets nobody register.")
    client_metadata = {"client_name": name, "grant_types": ["client_credentials"], "response_types": [], "scope": SCOPE}
    bearer = {"Authorization": f"Bearer {initial_access_token}"} if initial_access_token else {}
    answer = httpx2.post(metadata["registration_endpoint"], json=client_metadata, headers=bearer, timeout=10)
    if answer.status_code != 201:
        hint = " Does it want an --initial-access-token?" if answer.status_code == 401 else ""
        sys.exit(f"The registration was refused ({answer.status_code}): {answer.text}{hint}")
    client = answer.json()
    return Registration(**{field: client[field] for field in Registration.__dataclass_fields__})


class Introspection:
    """RFC 7662. Only tokens for this very resource are good, or one made for another server would open this one too."""

    def __init__(self, metadata: dict[str, Any], registration: Registration, resource: str) -> None:
        self.issuer, self.resource = metadata["issuer"], resource
        self.endpoint = metadata["introspection_endpoint"]
        self.http = httpx2.AsyncClient(auth=(registration.client_id, registration.client_secret), timeout=10)

    async def verify_token(self, token: str) -> AccessToken | None:
        answer = await self.http.post(self.endpoint, data={"token": token, "token_type_hint": "access_token"})
        claims = answer.raise_for_status().json()
        audience = claims.get("aud", [])
        if not claims["active"] or self.resource not in ([audience] if isinstance(audience, str) else audience):
            return None
        return AccessToken(
            token=token,
            client_id=claims["client_id"],
            scopes=claims.get("scope", "").split(),
            expires_at=claims.get("exp"),
            resource=self.resource,
            subject=claims.get("sub"),
            claims={"iss": self.issuer},
        )


def mcp_server(metadata: dict[str, Any], registration: Registration, resource: str) -> MCPServer[Any]:
    """RFC 9728: the protected resource metadata, and a 401 that points to it, are the library's."""
    server: MCPServer[Any] = MCPServer(
        "quickstart",
        token_verifier=Introspection(metadata, registration, resource),
        auth=AuthSettings(
            issuer_url=metadata["issuer"],
            resource_server_url=resource,  # type: ignore[arg-type]
            required_scopes=[SCOPE],
            validate_token_resource=True,
        ),
    )

    @server.tool()
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    @server.tool()
    def whoami() -> dict[str, Any]:
        """Says in whose name, by which client and with which scopes this was called."""
        token = get_access_token()
        assert token is not None
        return {"subject": token.subject, "client_id": token.client_id, "scopes": token.scopes}

    return server


def stop(signal_number: int, frame: object) -> NoReturn:
    """uvicorn hands SIGTERM on when it has closed: this way the registration is deleted before the end."""
    sys.exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--issuer", default="http://127.0.0.1:5000", help="the authorization server")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--initial-access-token", help="when the authorization server is not open to everybody")
    options = parser.parse_args()
    resource = f"http://127.0.0.1:{options.port}/mcp"
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    metadata = discover(options.issuer)
    registration = register(metadata, f"MCP server {resource}", options.initial_access_token)
    print(f"{resource} trusts {options.issuer}, and is its client {registration.client_id}.", flush=True)
    try:
        app = mcp_server(metadata, registration, resource).streamable_http_app()
        config = uvicorn.Config(app, host="127.0.0.1", port=options.port, timeout_graceful_shutdown=3)
        uvicorn.Server(config).run()
    finally:
        registration.delete()


if __name__ == "__main__":
    main()
