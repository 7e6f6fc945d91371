"""A client that waits for an operator gets nothing of the quickstart, and no change that waits is in force."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.conftest import quickstart_in
from tests.conformance.exchange import MACHINE, PUBLIC, Client, replaced
from tests.conformance.visitor import Visitor


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Visitor]:
    with quickstart_in(tmp_path, DYNREG_POLICIES=["mcp", "approval"]) as app:
        yield Visitor(app)


def decide(visitor: Visitor, word: str, client: Client) -> None:
    run = visitor.app.test_cli_runner().invoke
    arguments = ["dynreg", "clients", word, client["client_id"], "--reason", "for the test"]
    if word == "approve":
        shown = json.loads(run(args=["dynreg", "clients", "show", client["client_id"]]).stdout)
        arguments += ["--version", str(shown["version"])]
    result = run(args=arguments)
    assert result.exit_code == 0, result.output


def test_a_visitor_sees_a_page_until_it_is_approved(visitor: Visitor) -> None:
    client = visitor.register(**PUBLIC)
    page = visitor.open(client)
    assert page.status_code == 400 and "waits for approval" in page.text and "Location" not in page.headers
    decide(visitor, "approve", client)
    assert visitor.exchange(client, visitor.code(client)).status_code == 200


def test_nobody_is_led_to_its_pages_until_it_is_approved(visitor: Visitor) -> None:
    client = visitor.register(**PUBLIC, client_uri="https://app.example/")
    page = f"/oauth2/link?client_id={client['client_id']}&name=client_uri"
    assert visitor.http.get(page).status_code == 404
    decide(visitor, "approve", client)
    assert visitor.http.get(page).status_code == 200


@pytest.mark.parametrize("word", [None, "refuse"])
def test_a_machine_gets_no_token(visitor: Visitor, word: str | None) -> None:
    client = visitor.register(**MACHINE, token_endpoint_auth_method="client_secret_post")
    if word:
        decide(visitor, word, client)
    credentials = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    answer = visitor.token(grant_type="client_credentials", **credentials)
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_grant")
    answer = visitor.http.post("/oauth2/introspect", data={**credentials, "token": "x"})
    assert answer.get_json() == {"active": False}


def test_what_users_agreed_to_stays_until_the_change_is_approved(visitor: Visitor) -> None:
    client = visitor.register(**PUBLIC)
    decide(visitor, "approve", client)
    other = "https://other.example/cb"
    changed = replaced(visitor.http, client, **{**PUBLIC, "redirect_uris": [other]})
    assert changed["redirect_uris"] == PUBLIC["redirect_uris"]
    assert visitor.open(client, redirect_uri=other).status_code == 400
    code = visitor.code(client)
    decide(visitor, "approve", client)
    assert visitor.exchange(client, code).status_code == 400  # its redirect URI is gone, and the code with it
    assert visitor.open(client, redirect_uri=other).status_code == 200
