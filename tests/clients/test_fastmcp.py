"""The client of `fastmcp`: it listens for its own redirect and opens a browser, which is played here."""

import webbrowser
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from fastmcp import Client
from fastmcp.client.auth import OAuth
from fastmcp.client.auth.oauth import TokenStorageAdapter
from key_value.aio.stores.memory import MemoryStore
from mcp.shared.auth import OAuthClientInformationFull
from pydantic import AnyUrl

from tests.clients.user import User

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Using in-memory token storage:UserWarning"),
]


class Browser:
    """Opens an address in the background, as `webbrowser.open` does."""

    def __init__(self, user: User, thread: ThreadPoolExecutor) -> None:
        self.user, self.thread = user, thread
        self.opened: list[Future[None]] = []

    def open(self, url: str) -> bool:
        self.opened.append(self.thread.submit(self.user.go, url))
        return True


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    with ThreadPoolExecutor(max_workers=1) as thread:
        browser = Browser(User(), thread)
        monkeypatch.setattr(webbrowser, "open", browser.open)
        yield browser
        for visit in browser.opened:
            visit.result()


async def test_the_whole_path(mcp_server: str, browser: Browser) -> None:
    async with Client(mcp_server, auth="oauth") as client:
        total = (await client.call_tool("add", {"a": 20, "b": 22})).structured_content
        who = (await client.call_tool("whoami")).structured_content
    assert total == {"result": 42}
    assert who is not None
    assert who["subject"] == "alice"
    assert who["scopes"] == ["mcp:read", "offline_access"]
    assert "FastMCP Client asks for access" in browser.user.pages[-1]
    assert "localhost (this computer)" in browser.user.pages[-1]
    assert len(browser.opened) == 1


async def test_denied_consent_is_an_error_of_the_client(mcp_server: str, browser: Browser) -> None:
    browser.user.decision = "deny"
    with pytest.raises(RuntimeError, match="Access was denied by the authorization server"):
        async with Client(mcp_server, auth="oauth"):
            pass


async def test_a_client_that_is_no_longer_known_registers_anew(mcp_server: str, browser: Browser) -> None:
    store = MemoryStore()
    gone = OAuthClientInformationFull(client_id="gone", redirect_uris=[AnyUrl("http://localhost/callback")])
    await TokenStorageAdapter(store, mcp_server).set_client_info(gone)
    async with Client(mcp_server, auth=OAuth(token_storage=store)) as client:
        who = (await client.call_tool("whoami")).structured_content
    registered = await TokenStorageAdapter(store, mcp_server).get_client_info()
    assert registered is not None
    assert who is not None
    assert who["client_id"] == registered.client_id != "gone"
    assert len(browser.opened) == 1
