"""A user at a browser, over plain HTTP: reads the forms of a page, fills them in and sends them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2

PAGES = 10  # more than any way from a client and back to it has


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(attributes.get("method", "get"), attributes.get("action", "")))
        elif tag in ("input", "button") and self.forms and (name := attributes.get("name")):
            value = attributes.get("value", "")
            if attributes.get("type", "submit" if tag == "button" else "text") == "submit":
                self.forms[-1].buttons.append((name, value))
            else:
                self.forms[-1].fields[name] = value

    def handle_data(self, data: str) -> None:
        self.words += data.split()


class User:
    """Decides the same way each time, and stays signed in; `pages` are the texts that were shown."""

    def __init__(self, decision: str = "allow", username: str = "alice", password: str = "password") -> None:
        self.decision = decision
        self.credentials = {"username": username, "password": password}
        self.cookies = CookieJar()
        self.pages: list[str] = []

    def browser(self) -> httpx2.Client:
        return httpx2.Client(cookies=self.cookies, transport=httpx2.HTTPTransport(retries=5), timeout=30)

    def answer(self, authorization_url: str) -> str:
        """Where the server sends the browser when all is said: an address of the client, which is not opened."""
        server = urlsplit(authorization_url)[:2]
        with self.browser() as http:
            response = http.get(authorization_url)
            for _ in range(PAGES):
                if response.is_redirect:
                    location = urljoin(str(response.url), response.headers["Location"])
                    if urlsplit(location)[:2] != server:
                        return location
                    response = http.get(location)
                else:
                    response = http.request(**self.filled_in(response))
        raise AssertionError(f"After {PAGES} pages the user is still at {response.url}.")

    def go(self, authorization_url: str) -> None:
        """Opens the client's address as well. The client may not listen there yet: a connection is tried again."""
        location = self.answer(authorization_url)
        with self.browser() as http:
            http.get(location)

    def filled_in(self, response: httpx2.Response) -> dict[str, Any]:
        page = Page(response.text)
        self.pages.append(page.text)
        assert response.status_code == 200, f"{response.status_code} {response.url}: {page.text}"
        (form,) = page.forms
        sent = form.fields | {name: self.credentials[name] for name in form.fields.keys() & self.credentials.keys()}
        sent |= {name: value for name, value in form.buttons if value == self.decision}
        return {"method": form.method, "url": urljoin(str(response.url), form.action), "data": sent}
