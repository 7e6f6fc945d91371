"""A person at a browser, and the client program that sent them: both sides of the quickstart's flows."""

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from flask import Flask
from werkzeug.test import TestResponse

from tests.conformance.exchange import PUBLIC, REDIRECT_URI, Client, registered

AUTHORIZE, TOKEN = "/oauth2/authorize", "/oauth2/token"
VERIFIER = "a-code-verifier-of-at-least-forty-three-characters"
CHALLENGE: str = create_s256_code_challenge(VERIFIER)  # type: ignore[no-untyped-call]


class Visitor:
    def __init__(self, app: Flask) -> None:
        self.app = app
        self.http = app.test_client()

    def register(self, **metadata: Any) -> Client:
        return registered(self.http, **(metadata or PUBLIC))

    def open(self, client: Client, **parameters: str | None) -> TestResponse:
        """Opens the authorization endpoint as the client's redirect would, but for some parameters; None leaves one out."""
        stated: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": client["redirect_uris"][0] if client["redirect_uris"] else None,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "a state",
        } | parameters
        self.url = f"{AUTHORIZE}?{urlencode({name: value for name, value in stated.items() if value is not None})}"
        self.page = self.http.get(self.url)
        return self.page

    def press(self, **fields: str) -> TestResponse:
        """Sends the form of the page."""
        hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', self.page.text))
        answer = self.http.post(self.url, data={name: unescape(value) for name, value in hidden.items()} | fields)
        if answer.status_code == 303 and answer.location.startswith(AUTHORIZE):
            self.page = self.http.get(answer.location)
        return answer

    def sign_in(self) -> TestResponse:
        return self.press(username="alice", password="password")

    def consent_page(self, client: Client, **parameters: str | None) -> TestResponse:
        """The page that asks, for which the visitor has to be signed in."""
        if 'name="password"' in self.open(client, **parameters).text:
            self.sign_in()
        return self.page

    def allow(self, client: Client, **parameters: str | None) -> TestResponse:
        page = self.consent_page(client, **parameters)
        assert page.status_code == 200, page.text
        return self.press(decision="allow")

    def code(self, client: Client, **parameters: str | None) -> str:
        return answered(self.allow(client, **parameters))["code"]

    def exchange(self, client: Client, code: str, **fields: str) -> TestResponse:
        """The token request of a public client, or with the fields that authenticate a confidential one."""
        request = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
        itself = {"client_id": client["client_id"], "redirect_uri": REDIRECT_URI}
        return self.token(**itself | request | fields)

    def token(self, headers: dict[str, str] | None = None, /, **fields: str) -> TestResponse:
        return self.http.post(TOKEN, data=fields, headers=headers)


def answered(response: TestResponse) -> dict[str, str]:
    """The parameters of an answer to the client, which the browser carries there at once or by a link on an error page."""
    if response.status_code == 400:
        (address,) = re.findall(r'href="([a-z.]+:[^"]+)"', response.text)
        return dict(parse_qsl(urlsplit(unescape(address)).query))
    assert response.status_code in (302, 303), response.text
    return dict(parse_qsl(urlsplit(response.location).query))
