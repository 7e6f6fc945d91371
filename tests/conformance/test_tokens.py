"""RFC 7636, RFC 9700, RFC 8707: codes and refresh tokens of registered clients, shown by the quickstart."""

import pytest
from werkzeug.test import TestResponse

from tests.conformance.exchange import PUBLIC, REDIRECT_URI, Client
from tests.conformance.requirements import requirement
from tests.conformance.visitor import CHALLENGE, VERIFIER, Visitor, answered

REFRESHING = {**PUBLIC, "grant_types": ["authorization_code", "refresh_token"]}
NATIVE = {**PUBLIC, "redirect_uris": ["http://127.0.0.1/cb"], "application_type": "native"}


def is_invalid_grant(answer: TestResponse) -> None:
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_grant")


def refreshed(visitor: Visitor, client: Client, token: str, **fields: str) -> TestResponse:
    request = {"grant_type": "refresh_token", "client_id": client["client_id"], "refresh_token": token}
    return visitor.token(**request | fields)


@requirement("RFC8252-6-01", "RFC9700-2.1.1-01", "RFC9700-2.1.1-02", "RFC9700-2.1.1-04")
@pytest.mark.parametrize("metadata", [PUBLIC, NATIVE])
def test_a_code_needs_the_verifier_of_its_challenge(visitor: Visitor, metadata: dict[str, object]) -> None:
    document = visitor.http.get("/.well-known/oauth-authorization-server").get_json()
    assert document["code_challenge_methods_supported"] == ["S256"]
    client = visitor.register(**metadata)
    uri = {"redirect_uri": client["redirect_uris"][0]}
    for wrong in ("", "x" * 43, CHALLENGE, VERIFIER + "x", VERIFIER.upper()):
        is_invalid_grant(visitor.exchange(client, visitor.code(client), code_verifier=wrong, **uri))
    assert visitor.exchange(client, visitor.code(client), **uri).status_code == 200


@requirement("RFC9700-2.1.1-03", "RFC9700-2.1.1-05", "RFC8252-8.1-01", "MCP2025-03-26-Implementation_Requirements-01")
@pytest.mark.parametrize("metadata", [PUBLIC, NATIVE, {"redirect_uris": [REDIRECT_URI]}])
@pytest.mark.parametrize(
    "missing",
    [
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge": "x"},
    ],
)
def test_there_is_no_code_without_a_challenge(
    visitor: Visitor, metadata: dict[str, object], missing: dict[str, str | None]
) -> None:
    answer = answered(visitor.consent_page(visitor.register(**metadata), **missing))
    assert answer["error"] == "invalid_request" and "code" not in answer


def test_a_code_is_good_once_and_for_its_client_and_redirect_uri(visitor: Visitor) -> None:
    client, other = visitor.register(**REFRESHING), visitor.register()
    code = visitor.code(client)
    is_invalid_grant(visitor.exchange(other, code))
    is_invalid_grant(visitor.exchange(client, code, redirect_uri="https://app.example/other"))
    used = visitor.code(client)
    token = visitor.exchange(client, used).get_json()
    is_invalid_grant(visitor.exchange(client, used))
    is_invalid_grant(refreshed(visitor, client, token["refresh_token"]))


@requirement("RFC9700-2.2.2-01")
def test_refresh_tokens_rotate_and_a_second_use_ends_them_all(visitor: Visitor) -> None:
    client = visitor.register(**REFRESHING)
    first = visitor.exchange(client, visitor.code(client)).get_json()["refresh_token"]
    second = refreshed(visitor, client, first).get_json()["refresh_token"]
    assert second != first
    is_invalid_grant(refreshed(visitor, client, first))
    is_invalid_grant(refreshed(visitor, client, second))


@requirement("RFC9700-4.14.2-01", "RFC9700-2.3-01")
def test_tokens_are_for_what_was_registered_and_allowed(visitor: Visitor) -> None:
    client = visitor.register(**PUBLIC, scope="mcp:read")
    assert "refresh_token" not in visitor.exchange(client, visitor.code(client)).get_json()
    answer = answered(visitor.consent_page(client, scope="mcp:write"))
    assert answer["error"] == "invalid_scope"
    client = visitor.register(**REFRESHING, scope="mcp:read mcp:write")
    resource = "https://mcp.example/mcp"
    token = visitor.exchange(client, visitor.code(client, scope="mcp:read", resource=resource)).get_json()
    assert token["scope"] == "mcp:read"
    answer = refreshed(visitor, client, token["refresh_token"], scope="mcp:read mcp:write").get_json()
    assert answer["error"] == "invalid_scope"
    other = refreshed(visitor, client, token["refresh_token"], resource="https://other.example/")
    assert other.get_json()["error"] == "invalid_target"


@requirement("RFC8707-2-01")
@pytest.mark.parametrize(
    "resource", ["foo", "/mcp", "https://mcp.example/#x", "https://mcp.example/ x", "//mcp.example"]
)
def test_a_resource_is_an_absolute_uri_without_fragment(visitor: Visitor, resource: str) -> None:
    client = visitor.register()
    assert answered(visitor.consent_page(client, resource=resource))["error"] == "invalid_target"
    answer = visitor.exchange(client, visitor.code(client), resource=resource)
    assert (answer.status_code, answer.get_json()["error"]) == (400, "invalid_target")
