"""The client of the `mcp` package, from a 401 of a real MCP server to a tool call."""

import re
import time

import httpx2
import pytest
from mcp.client.auth import OAuthFlowError

from tests.clients.conftest import StartMcpServer, issue_token
from tests.clients.mcp_application import Application
from tests.clients.user import Page, User
from tests.conftest import StartQuickstart
from tests.servers import logs

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("auth_method", [None, "none", "client_secret_basic", "client_secret_post"])
async def test_the_whole_path(quickstart_server: str, mcp_server: str, auth_method: str | None) -> None:
    user = User()
    application = Application(mcp_server, user, auth_method=auth_method)
    async with application.session() as client:
        total = await client.call_tool("add", {"a": 2, "b": 3})
        who = await client.call_tool("whoami")
    registered = application.storage.client
    assert registered is not None
    assert registered.token_endpoint_auth_method == (auth_method or "client_secret_basic")
    assert (registered.client_secret is None) == (auth_method == "none")
    assert total.structured_content == {"result": 5}
    assert who.structured_content == {
        "subject": "alice",
        "client_id": registered.client_id,
        "scopes": ["mcp:read", "offline_access"],
    }
    assert application.response["iss"] == registered.issuer == quickstart_server
    assert application.steps[:6] == [
        "POST /mcp 401",
        "GET /.well-known/oauth-protected-resource/mcp 200",
        "GET /.well-known/oauth-authorization-server 200",
        "POST /oauth2/register 201",
        "POST /oauth2/token 200",
        "POST /mcp 200",
    ]
    assert "An MCP client asks for access" in user.pages[-1]
    assert "127.0.0.1 (this computer)" in user.pages[-1]
    assert f"at: {mcp_server}" in user.pages[-1]


async def test_a_second_start_needs_no_user_and_no_registration(mcp_server: str) -> None:
    first = Application(mcp_server, User())
    await first.call("whoami")
    second = Application(mcp_server, User(), first.storage)
    assert await second.call("add", a=1, b=1) == {"result": 2}
    assert not [step for step in second.steps if "/oauth2/" in step]


async def test_it_refreshes_when_the_access_token_is_over(quickstart_server: str, mcp_server: str) -> None:
    user = User()
    application = Application(mcp_server, user, auth_method="none")
    await application.call("whoami")
    before, registered, shown = application.storage.tokens, application.storage.client, len(user.pages)
    assert before is not None
    assert registered is not None
    revocation = {"token": before.access_token, "client_id": registered.client_id}
    httpx2.post(f"{quickstart_server}/oauth2/revoke", data=revocation).raise_for_status()
    application.provider.context.token_expiry_time = time.time() - 1
    application.steps.clear()
    assert (await application.call("whoami"))["subject"] == "alice"
    after = application.storage.tokens
    assert after is not None
    assert application.steps[:2] == ["POST /oauth2/token 200", "POST /mcp 200"]
    assert {after.access_token, after.refresh_token}.isdisjoint({before.access_token, before.refresh_token})
    assert len(user.pages) == shown


async def test_denied_consent_is_an_error_of_the_client(quickstart_server: str, mcp_server: str) -> None:
    application = Application(mcp_server, User(decision="deny"))
    with pytest.RaisesGroup(OAuthFlowError, flatten_subgroups=True, allow_unwrapped=True):
        await application.call("whoami")
    assert application.response["error"] == "access_denied"
    assert application.response["iss"] == quickstart_server
    assert application.storage.tokens is None


async def test_a_token_for_another_server_is_refused(
    quickstart_server: str, mcp_server: str, start_mcp_server: StartMcpServer
) -> None:
    application = Application(mcp_server, User())
    await application.call("whoami")
    assert application.storage.tokens is not None
    bearer = {"Authorization": f"Bearer {application.storage.tokens.access_token}"}
    with start_mcp_server(quickstart_server) as other:
        refused = httpx2.post(other, headers=bearer, json={})
    assert refused.status_code == 401
    assert refused.json()["error"] == "invalid_token"
    metadata_url = other.replace("/mcp", "/.well-known/oauth-protected-resource/mcp")
    assert f'resource_metadata="{metadata_url}"' in refused.headers["WWW-Authenticate"]
    assert httpx2.post(mcp_server, headers=bearer, json={}).status_code != 401


def test_the_mcp_server_deletes_its_registration_at_its_end(
    quickstart_server: str, start_mcp_server: StartMcpServer
) -> None:
    def answer_to(client_id: str) -> str:
        page = httpx2.get(f"{quickstart_server}/oauth2/authorize", params={"client_id": client_id})
        return Page(page.text).text

    with start_mcp_server(quickstart_server) as mcp_url:
        log = logs[mcp_url.removesuffix("/mcp")].read_text()
        (client_id,) = re.findall(r"is its client (\S+)\.$", log, re.MULTILINE)
        assert "did not register the address for its answer" in answer_to(client_id)
    assert "is not registered" in answer_to(client_id)


async def test_the_mcp_server_needs_a_token_where_the_door_is_closed(
    start_quickstart: StartQuickstart, start_mcp_server: StartMcpServer
) -> None:
    issuer = start_quickstart(FLASK_DYNREG_ACCESS='["initial_access_token"]')
    with (
        pytest.raises(RuntimeError, match="Does it want an --initial-access-token"),
        start_mcp_server(issuer),
    ):
        pass
    token = issue_token(issuer)
    with start_mcp_server(issuer, f"--initial-access-token={token}") as mcp_url:
        assert httpx2.post(mcp_url, json={}).status_code == 401
