"""RFC 7591 sections 2.2 and 5: what the user who is asked for consent gets to know of a client (the quickstart)."""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

import pytest

from examples import quickstart as example
from examples import quickstart_store as store
from flask_dynreg import Principal
from tests.conformance.conftest import RESERVED_NAME
from tests.conformance.exchange import PUBLIC, replaced
from tests.conformance.requirements import requirement
from tests.conformance.visitor import Visitor, answered

ELSEWHERE = "Not all pages that it names as its own are where the answer goes"
UNVERIFIED = "This client is unverified"


def page_of(visitor: Visitor, languages: str = "", **metadata: Any) -> str:
    """The consent page of a client, as its text reads, with one space between two words."""
    client = visitor.register(**{**PUBLIC, **metadata})
    visitor.consent_page(client)
    page = visitor.http.get(visitor.url, headers={"Accept-Language": languages})
    assert page.status_code == 200, page.text
    return " ".join(unescape(re.sub(r"<[^>]*>", "", page.text.replace("</dt>", " "))).split())


def registered_by_operator(visitor: Visitor, **metadata: Any) -> str:
    with visitor.app.app_context():
        registrar = example.dynreg.registrar
        checked = registrar.check({**PUBLIC, **metadata})
        registered = registrar.register(registrar.new_client_information(checked), checked, Principal("operator"))
        store.db.session.commit()
        return registered.client.client_id


@requirement("RFC7591-2.2-02", "RFC7591-2.2-04")
@pytest.mark.parametrize(
    ("languages", "name"),
    [
        ("fr", "Le client"),
        ("FR-ca, en;q=0.5", "Le client"),
        ("de;q=0.2, ja;q=0.9", "\u30af\u30e9\u30a4\u30a2\u30f3\u30c8"),
        ("it", "The client"),
        ("", "The client"),
        ("*", "The client"),
    ],
)
def test_a_client_has_the_name_of_the_users_language(visitor: Visitor, languages: str, name: str) -> None:
    names = {
        "client_name": "The client",
        "client_name#FR": "Le client",
        "client_name#ja-Jpan-JP": "\u30af\u30e9\u30a4\u30a2\u30f3\u30c8",
    }
    assert f"{name} asks for access" in page_of(visitor, languages, **names)


@requirement("RFC7591-2.2-04")
def test_a_name_in_another_language_is_better_than_none(visitor: Visitor) -> None:
    assert "Der Client asks for access" in page_of(visitor, "fr", **{"client_name#de": "Der Client"})


def test_a_page_of_the_client_is_that_of_the_users_language_too(visitor: Visitor) -> None:
    pages = {"client_uri": "https://app.example/en", "client_uri#fr": "https://app.example/fr"}
    client = visitor.register(**PUBLIC, **pages, **{"client_name#fr": "Le client"})
    visitor.consent_page(client)
    headers = {"Accept-Language": "fr"}
    text = visitor.http.get(visitor.url, headers=headers).text
    assert pages["client_uri#fr"] in text and pages["client_uri"] not in text
    (link,) = (unescape(link) for link in re.findall(r'href="([^"]*)"', text) if "name=client_uri" in link)
    text = visitor.http.get(link, headers=headers).text
    assert f'href="{pages["client_uri#fr"]}"' in text and "Le client" in text


@requirement("RFC7591-5-08")
@pytest.mark.parametrize(
    ("metadata", "warned"),
    [
        ({}, False),
        ({"client_uri": "https://app.example/about", "logo_uri": "https://app.example/logo"}, False),
        ({"logo_uri": "https://bank.example/logo"}, True),
        ({"client_uri": "https://app.example/", "policy_uri#fr": "https://bank.example/"}, True),
        ({"redirect_uris": ["http://127.0.0.1/cb"], "client_uri": "https://bank.example/"}, False),
    ],
)
def test_pages_at_another_host_than_the_answer_are_warned_of(
    visitor: Visitor, metadata: Mapping[str, Any], warned: bool
) -> None:
    assert (ELSEWHERE in page_of(visitor, **metadata)) is warned


@requirement("RFC7591-5-08")
@pytest.mark.parametrize("member", ["client_name", "client_name#ja"])
def test_a_name_that_looks_like_a_reserved_one_is_warned_of(visitor: Visitor, member: str) -> None:
    name = RESERVED_NAME.replace("l", "I")
    text = page_of(visitor, **{member: f"{name} Mobile"})
    assert f"It calls itself {name} Mobile, which looks like {RESERVED_NAME}. Nobody has checked" in text
    assert "looks like" not in page_of(visitor, client_name="Mine")


@requirement("RFC7591-5-08")
def test_a_name_like_that_of_a_client_the_operator_knows_is_warned_of(visitor: Visitor) -> None:
    client_id = registered_by_operator(visitor, client_name="Ledger & Co")
    text = page_of(visitor, client_name="LEDGER&CO")
    assert "It calls itself LEDGER&CO, which looks like Ledger & Co. That is the name of another client" in text
    known = {"client_id": client_id, "redirect_uris": PUBLIC["redirect_uris"]}
    text = visitor.consent_page(known).text
    assert "looks like" not in text and UNVERIFIED not in text
    assert "by the operator of this server" in text and "<dt>Vouched for by</dt>" in text


def test_the_hosts_of_all_redirect_uris_are_told(visitor: Visitor) -> None:
    uris = ["https://b.example/cb", "https://a.example:8443/cb", "com.example.app:/cb"]
    text = page_of(visitor, redirect_uris=uris)
    assert "Registered for b.example, a.example, com.example.app:" in text
    assert UNVERIFIED in text and "any program on it can claim to be" not in text


def test_what_the_user_agrees_to_is_what_the_page_showed(visitor: Visitor) -> None:
    client = visitor.register(**{**PUBLIC, "scope": "mcp:read"})
    visitor.consent_page(client, scope="mcp:read mcp:write")
    replaced(visitor.http, client, **{**PUBLIC, "scope": "mcp:read mcp:write", "client_name": "Somebody else"})
    again = visitor.press(decision="allow")
    assert again.status_code == 200 and "Location" not in again.headers
    assert "Somebody else" in again.text and "change things" in again.text
    visitor.page = again
    assert answered(visitor.press(decision="allow"))["code"]


@pytest.mark.parametrize("decision", ["deny", "sign_out"])
def test_a_no_holds_whatever_has_changed(visitor: Visitor, decision: str) -> None:
    client = visitor.register(**PUBLIC)
    visitor.consent_page(client)
    replaced(visitor.http, client, **{**PUBLIC, "client_name": "Somebody else"})
    assert visitor.press(decision=decision).status_code == 303
