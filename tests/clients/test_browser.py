"""The pages of the quickstart in a real browser, with and without scripts."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

VERIFIER = "v" * 43
NAME = "<b onclick=alert()>A client</b> & more"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if not executable:
        pytest.skip("Chromium is not there")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=executable) as browser:
        yield browser


@pytest.fixture(params=[True, False], ids=["scripts", "no scripts"])
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    with chromium.new_context(java_script_enabled=request.param) as context:
        context.set_default_timeout(15_000)
        yield context.new_page()


class Site(BaseHTTPRequestHandler):
    """The client's own site, another one than the server's: it links to the server, frames it, and takes the answer."""

    authorization_url = ""

    def do_GET(self) -> None:
        address = escape(self.authorization_url)
        body = {"/": f'<a href="{address}">Connect</a>', "/framing": f'<iframe src="{address}"></iframe>'}
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html>" + body.get(self.path, "That is all.").encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def site_of_a_client(issuer: str) -> Iterator[str]:
    class OwnSite(Site):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), OwnSite) as server:
        url = f"http://localhost:{server.server_port}"
        metadata = {"client_name": NAME, "redirect_uris": [f"{url}/callback"], "client_uri": "https://client.example/"}
        registered = httpx2.post(f"{issuer}/oauth2/register", json=metadata).raise_for_status().json()
        query = {
            "response_type": "code",
            "client_id": registered["client_id"],
            "state": "a state",
            "scope": "mcp:read",
            "code_challenge": create_s256_code_challenge(VERIFIER),  # type: ignore[no-untyped-call]
            "code_challenge_method": "S256",
        }
        OwnSite.authorization_url = f"{issuer}/oauth2/authorize?{urlencode(query)}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield url
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def client(quickstart_server: str) -> Iterator[str]:
    with site_of_a_client(quickstart_server) as url:
        yield url


def response_at(page: Page, client: str) -> dict[str, list[str]]:
    """The authorization response, once the browser has come back to the client."""
    page.wait_for_url(f"{client}/callback?*")
    expect(page.get_by_text("That is all.")).to_be_visible()
    return parse_qs(urlsplit(page.url).query)


def test_sign_in_and_consent(page: Page, client: str, quickstart_server: str) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(client)
    page.get_by_role("link", name="Connect").click()
    expect(page).to_have_title("Sign in")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading")).to_have_text(f"{NAME} asks for access")
    expect(page.locator(".warning")).to_contain_text(["This client is unverified", "can only go to a program on this"])
    expect(page.get_by_role("definition").filter(has_text="localhost")).to_have_text(
        ["localhost (this computer)", "localhost"]
    )
    expect(page.get_by_role("listitem")).to_have_text("read through MCP servers")
    page.get_by_role("button", name="Allow").click()
    response = response_at(page, client)
    assert response.pop("code")[0]
    assert response == {"state": ["a state"], "iss": [quickstart_server]}
    assert complaints == []


def test_who_is_signed_in_is_asked_again_and_may_deny(page: Page, client: str, quickstart_server: str) -> None:
    page.goto(client)
    page.get_by_role("link").click()
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Allow").click()
    assert "code" in response_at(page, client)
    page.goto(client)
    page.get_by_role("link").click()
    page.get_by_role("button", name="Deny").click()
    response = response_at(page, client)
    assert response["error"] == ["access_denied"]
    assert response["iss"] == [quickstart_server]
    assert "code" not in response


def test_a_wrong_password_and_another_user(page: Page, client: str) -> None:
    page.goto(client)
    page.get_by_role("link").click()
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("That did not work.")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="I am not alice").click()
    expect(page).to_have_title("Sign in")


def test_an_address_of_the_client_is_not_opened_at_once(page: Page, client: str) -> None:
    page.goto(client)
    page.get_by_role("link").click()
    page.get_by_role("button", name="Sign in").click()
    with page.expect_popup() as popup:
        page.get_by_role("link", name="https://client.example/").click()
    expect(popup.value.get_by_role("heading")).to_have_text("Leaving this server")
    expect(popup.value.get_by_role("link")).to_have_attribute("href", "https://client.example/")


def test_it_is_not_shown_in_a_frame(page: Page, client: str) -> None:
    def is_a_refusal(message: ConsoleMessage) -> bool:
        return message.type == "error" and "frame" in message.text

    with page.expect_console_message(is_a_refusal):
        page.goto(f"{client}/framing")
    expect(page.frame_locator("iframe").get_by_role("button", name="Sign in")).to_have_count(0)


IN_THE_BROWSER = """async ({issuer, redirect_uri}) => {
  const send = async (url, {body, token, ...init} = {}) => {
    const headers = {"MCP-Protocol-Version": "2025-11-25"};
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers["Authorization"] = `Bearer ${token}`;
    const response = await fetch(url, {...init, headers, body: body && JSON.stringify(body)});
    const text = await response.text();
    const challenge = response.headers.get("WWW-Authenticate");
    return {status: response.status, challenge, body: text && JSON.parse(text)};
  };
  const metadata = (await send(`${issuer}/.well-known/oauth-authorization-server`)).body;
  const endpoint = metadata.registration_endpoint;
  const refused = await send(endpoint, {method: "POST", body: {redirect_uris: ["http://client.example/cb"]}});
  const registered = await send(endpoint, {method: "POST", body: {redirect_uris: [redirect_uri]}});
  const {registration_client_uri: uri, registration_access_token: token} = registered.body;
  const read = await send(uri, {token});
  const deleted = await send(uri, {token, method: "DELETE"});
  const gone = await send(uri, {token});
  const form = new URLSearchParams({grant_type: "authorization_code", code: "none", client_id: registered.body.client_id});
  const unknown = await fetch(metadata.token_endpoint, {method: "POST", body: form});
  return {refused, registered, read, deleted, gone, unknown: {status: unknown.status, body: await unknown.json()}};
}"""


def test_a_client_that_runs_in_the_browser(chromium: Browser, client: str, quickstart_server: str) -> None:
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(client)
        seen = page.evaluate(IN_THE_BROWSER, {"issuer": quickstart_server, "redirect_uri": f"{client}/callback"})
    assert seen["refused"]["status"] == 400
    assert seen["refused"]["body"]["error"] == "invalid_redirect_uri"
    assert seen["registered"]["status"] == 201
    assert seen["read"]["status"] == 200
    assert seen["read"]["body"]["client_id"] == seen["registered"]["body"]["client_id"]
    assert seen["deleted"] == {"status": 204, "challenge": None, "body": ""}
    assert seen["gone"]["status"] == 401
    assert seen["gone"]["challenge"].startswith("Bearer ")
    assert seen["gone"]["body"]["error"] == "invalid_token"
    assert seen["unknown"]["status"] == 401
    assert seen["unknown"]["body"]["error"] == "invalid_client"
