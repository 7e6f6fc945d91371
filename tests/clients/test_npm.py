"""Clients from npm. The scripts in node/ assert what the libraries see; here is what came of it."""

from typing import Any

import pytest

from tests.clients.conftest import RunScript, issue_token
from tests.conftest import StartQuickstart

METHODS = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
ALGORITHMS = ["RS256", "PS256", "ES256", "Ed25519", "EdDSA"]
MANAGEMENT = {"registration_access_token", "registration_client_uri"}
SECRET = {"client_secret", "client_secret_expires_at"}


def has_what_its_method_needs(registered: dict[str, Any], method: str) -> bool:
    secret = SECRET if method.startswith("client_secret") else set()
    jwks = {"jwks"} if method == "private_key_jwt" else set()
    return registered.keys() & (SECRET | {"jwks"}) == secret | jwks


@pytest.mark.parametrize(
    ("method", "algorithm"),
    [(method, "") for method in METHODS[:-1]] + [("private_key_jwt", algorithm) for algorithm in ALGORITHMS],
)
def test_openid_client(quickstart_server: str, run_script: RunScript, method: str, algorithm: str) -> None:
    seen = run_script("openid_client.mjs", quickstart_server, method, algorithm)
    registered, introspection = seen["registered"], seen["introspection"]
    assert registered["token_endpoint_auth_method"] == method
    assert has_what_its_method_needs(registered, method)
    assert ("client_credentials" in registered["grant_types"]) == (method != "none")
    assert seen["scope"] == "mcp:read"
    if method != "none":
        assert introspection["active"]
        assert introspection["sub"] == "alice"
        assert introspection["client_id"] == registered["client_id"]
        assert introspection["aud"] == "https://mcp.example/mcp"
        assert introspection["iss"] == quickstart_server


@pytest.mark.parametrize("method", METHODS)
def test_oauth4webapi(quickstart_server: str, run_script: RunScript, method: str) -> None:
    seen = run_script("oauth4webapi.mjs", quickstart_server, method)
    registered, read, renamed = seen["registered"], seen["read"], seen["renamed"]
    assert has_what_its_method_needs(registered, method)
    assert registered["grant_types"] == ["authorization_code"]
    assert registered["response_types"] == ["code"]
    assert registered["registration_client_uri"].startswith(f"{quickstart_server}/oauth2/clients/")
    assert without_secret(read) == without_secret(registered)
    assert without_secret(renamed) == without_secret(registered) | {"client_name": "oauth4webapi, renamed"}
    assert method == "none" or seen["introspection"]["sub"] == "alice"
    assert (seen["deleted"]["status"], seen["deleted"]["body"]) == (204, "")
    assert seen["gone"] == seen["stranger"]
    assert seen["gone"]["status"] == 401
    assert seen["gone"]["challenge"].startswith("Bearer ")


def without_secret(information: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in information.items() if name not in SECRET}


def test_oauth4webapi_with_an_initial_access_token(start_quickstart: StartQuickstart, run_script: RunScript) -> None:
    issuer = start_quickstart(FLASK_DYNREG_ACCESS='["initial_access_token"]')
    seen = run_script("oauth4webapi.mjs", issuer, "none", issue_token(issuer))
    assert seen["registered"].keys() >= MANAGEMENT


def test_mcp_sdk(quickstart_server: str, mcp_server: str, run_script: RunScript) -> None:
    seen = run_script("mcp_sdk.mjs", quickstart_server, mcp_server)
    clients = seen["registered"]["client_id"], seen["registered_anew"]["client_id"]
    assert clients[0] != clients[1]
    for call, client_id in (("first", clients[0]), ("refreshed", clients[0]), ("anew", clients[1])):
        assert seen[call]["sum"] == {"result": 5}
        assert seen[call]["who"] == {"subject": "alice", "client_id": client_id, "scopes": ["mcp:read"]}
    assert oauth_steps(seen["first"]) == ["POST /oauth2/register 201", "POST /oauth2/token 200"]
    assert oauth_steps(seen["refreshed"]) == ["POST /oauth2/token 200"]
    assert oauth_steps(seen["anew"]) == [
        "POST /oauth2/token 401",
        "POST /oauth2/register 201",
        "POST /oauth2/token 200",
    ]
    assert seen["first"]["steps"][:3] == [
        "POST /mcp 401",
        "GET /.well-known/oauth-protected-resource/mcp 200",
        "GET /.well-known/oauth-authorization-server 200",
    ]


def oauth_steps(call: dict[str, Any]) -> list[str]:
    return [step for step in call["steps"] if "/oauth2/" in step]
