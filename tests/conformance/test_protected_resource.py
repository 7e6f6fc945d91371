"""RFC 9728: what a protected resource says of itself."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flask_dynreg import ConfigurationError, ProtectedResource
from tests.conformance.requirements import requirement
from tests.conftest import ISSUER

RESOURCE = "https://mcp.example/mcp"
WELL_KNOWN = "/.well-known/oauth-protected-resource"


def serving(*resources: ProtectedResource) -> FlaskClient:
    app = Flask(__name__)
    for resource in resources:
        app.register_blueprint(resource.blueprint)
    return app.test_client()


@requirement("RFC9728-2-01", "RFC9728-3.1-02", "RFC9728-3.2-01", "RFC9728-2-02", "RFC9728-2-04")
@requirement("RFC9728-7.10-01", "MCP2025-06-18-Authorization_Server_Location-01")
def test_the_document_is_json_for_get() -> None:
    members: dict[str, Any] = {
        "scopes_supported": ["mcp:read"],
        "resource_name": "Tools",
        "jwks_uri": "https://r.example/",
    }
    http = serving(ProtectedResource(RESOURCE, [ISSUER], **members, authorization_details_types_supported=[]))
    answer = http.get(f"{WELL_KNOWN}/mcp", base_url="https://mcp.example")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.get_json() == {
        "resource": RESOURCE,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        **members,
    }
    assert re.search(r"max-age=[1-9]", answer.headers["Cache-Control"])
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert http.post(f"{WELL_KNOWN}/mcp").status_code == 405


@requirement("RFC9728-2.1-01")
def test_names_may_have_a_language() -> None:
    names = {"resource_name": "Tools", "resource_name#fr": "Outils", "resource_tos_uri#fr": "https://mcp.example/cgu"}
    document = serving(ProtectedResource(RESOURCE, [ISSUER], **names)).get(f"{WELL_KNOWN}/mcp").get_json()
    assert {name: document[name] for name in names} == names


@requirement("RFC9728-3-01", "RFC9728-3.1-01", "RFC9728-3.3-01")
@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("https://h.example", ""),
        ("https://h.example/", ""),
        ("https://h.example/mcp", "/mcp"),
        ("https://h.example/mcp/", "/mcp"),
        ("https://h.example/a/b", "/a/b"),
        ("https://h.example/?x=1", "?x=1"),
        ("https://h.example/mcp?x=1", "/mcp?x=1"),
        ("http://127.0.0.1:8000/mcp", "/mcp"),
    ],
)
def test_the_document_lies_between_host_and_path(resource: str, path: str) -> None:
    http = serving(ProtectedResource(resource, [ISSUER]))
    answer = http.get(WELL_KNOWN + path)
    assert answer.status_code == 200
    assert answer.get_json()["resource"] == resource


@requirement("RFC9728-3.3-01")
def test_each_resource_has_a_document_of_its_own() -> None:
    http = serving(*(ProtectedResource(f"https://h.example{path}", [ISSUER]) for path in ("", "/mcp", "/api")))
    for path in ("", "/mcp", "/api"):
        assert http.get(WELL_KNOWN + path).get_json()["resource"] == f"https://h.example{path}"
    assert http.get(f"{WELL_KNOWN}/other").status_code == 404


@requirement("RFC9728-2-03")
@pytest.mark.parametrize(
    "members",
    [
        {"jwks_uri": "http://mcp.example/jwks"},
        {"resource_signing_alg_values_supported": ["RS256", "none"]},
    ],
)
def test_keys_and_algorithms_are_sound(members: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(members))):
        ProtectedResource(RESOURCE, [ISSUER], **members)


@pytest.mark.parametrize(
    "resource", ["http://mcp.example/mcp", "https://mcp.example/#x", "/mcp", "", "https://a@b.example/"]
)
def test_a_resource_is_an_https_url(resource: str) -> None:
    with pytest.raises(ConfigurationError):
        ProtectedResource(resource, [ISSUER])


@requirement("MCP2025-11-25-Protected_Resource_Metadata_Discovery-01", "RFC9728-5.1-01")
@pytest.mark.parametrize("resource", [RESOURCE, "https://mcp.example", "https://mcp.example/mcp?x=1"])
def test_the_challenge_leads_to_the_document(resource: str) -> None:
    described = ProtectedResource(resource, [ISSUER])
    challenge = described.challenge(error="invalid_token", scope="mcp:read mcp:write")
    parameters = dict(re.findall(r'(\w+)="([^"]*)"', challenge.removeprefix("Bearer ")))
    assert (parameters["error"], parameters["scope"]) == ("invalid_token", "mcp:read mcp:write")
    url = parameters["resource_metadata"]
    assert url.startswith(f"https://mcp.example{WELL_KNOWN}")
    assert serving(described).get(url).get_json()["resource"] == resource
    assert described.challenge() == f'Bearer resource_metadata="{url}"'


@pytest.mark.parametrize("value", ['"', "\\", "a\r\nX: y", "\u00e9"])
def test_a_challenge_is_well_formed(value: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        ProtectedResource(RESOURCE, [ISSUER]).challenge(scope=value)
