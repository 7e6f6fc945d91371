"""A program on the user's computer that uses the MCP SDK: what an application brings is a store and a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import anyio.to_thread
import httpx2
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.clients.user import User


@dataclass
class Storage(TokenStorage):
    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


@dataclass
class Application:
    mcp_url: str
    user: User
    storage: Storage = field(default_factory=Storage)
    auth_method: str | None = None
    response: dict[str, str] = field(default_factory=dict)
    """The last authorization response."""
    steps: list[str] = field(default_factory=list)
    """Every request that the SDK made, and how it was answered."""

    def __post_init__(self) -> None:
        metadata = {"client_name": "An MCP client", "redirect_uris": ["http://127.0.0.1/callback"]}
        self.provider = OAuthClientProvider(
            self.mcp_url,
            OAuthClientMetadata.model_validate(metadata | {"token_endpoint_auth_method": self.auth_method}),
            self.storage,
            self.open_browser,
            self.await_callback,
        )

    async def open_browser(self, authorization_url: str) -> None:
        location = await anyio.to_thread.run_sync(self.user.answer, authorization_url)
        self.response = dict(parse_qsl(urlsplit(location).query))

    async def await_callback(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult.model_validate({"code": ""} | self.response)

    async def note(self, response: httpx2.Response) -> None:
        self.steps.append(f"{response.request.method} {response.url.path} {response.status_code}")

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Client]:
        hooks: dict[str, Any] = {"response": [self.note]}
        async with (
            httpx2.AsyncClient(auth=self.provider, event_hooks=hooks, timeout=30) as http,
            Client(streamable_http_client(self.mcp_url, http_client=http)) as client,
        ):
            yield client

    async def call(self, tool: str, **arguments: Any) -> Any:
        """One tool call in a session of its own."""
        async with self.session() as client:
            result = await client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        return result.structured_content
