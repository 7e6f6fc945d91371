"""`ProtectedResource`: the document of RFC 9728, and the challenge that leads to it."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from werkzeug.http import parse_options_header

from flask_dynreg import ConfigurationError, ProtectedResource
from tests.conftest import ISSUER, MakeApp

WELL_KNOWN = "/.well-known/oauth-protected-resource"
RESOURCE = "https://mcp.example/mcp"


@pytest.mark.parametrize(
    ("resource", "url"),
    [
        ("https://mcp.example", f"https://mcp.example{WELL_KNOWN}"),
        ("https://mcp.example/", f"https://mcp.example{WELL_KNOWN}"),
        ("https://mcp.example?x=1&y=%20", f"https://mcp.example{WELL_KNOWN}?x=1&y=%20"),
        ("https://mcp.example:8443/a/b?x", f"https://mcp.example:8443{WELL_KNOWN}/a/b?x"),
        ("https://mcp.example/a%20b", f"https://mcp.example{WELL_KNOWN}/a%20b"),
        ("https://mcp.example/t%C3%A9", f"https://mcp.example{WELL_KNOWN}/t%C3%A9"),
        ("http://127.0.0.1:8000/mcp", f"http://127.0.0.1:8000{WELL_KNOWN}/mcp"),
        ("http://[::1]:8000/mcp", f"http://[::1]:8000{WELL_KNOWN}/mcp"),
    ],
)
def test_the_challenge_leads_to_the_document_of_that_very_resource(resource: str, url: str) -> None:
    app, described = Flask(__name__), ProtectedResource(resource, [ISSUER])
    app.register_blueprint(described.blueprint)
    assert described.metadata_url == url
    assert described.challenge() == f'Bearer resource_metadata="{url}"'
    answer = app.test_client().get(url)
    assert (answer.status_code, answer.get_json()) == (200, described.metadata)
    assert answer.get_json()["resource"] == resource


def test_a_resource_that_ends_with_a_slash_is_found_with_and_without(app: Flask) -> None:
    described = ProtectedResource("https://mcp.example/mcp/", [ISSUER])
    app.register_blueprint(described.blueprint)
    assert described.metadata_url == f"https://mcp.example{WELL_KNOWN}/mcp/"
    for url in (described.metadata_url, f"{WELL_KNOWN}/mcp"):
        answer = app.test_client().get(url)
        assert (answer.status_code, answer.get_json()["resource"]) == (200, "https://mcp.example/mcp/")


def test_two_resources_of_one_app_have_their_own_documents(app: Flask) -> None:
    paths = ["", "/mcp", "/mcp/admin", "/a-b", "/a_b", "/a.b"]
    for path in paths:
        app.register_blueprint(ProtectedResource(f"https://mcp.example{path}", [ISSUER], resource_name=path).blueprint)
    http = app.test_client()
    for path in paths:
        document = http.get(WELL_KNOWN + path).get_json()
        assert (document["resource"], document.get("resource_name", "")) == (f"https://mcp.example{path}", path)
    for path in ("/other", "/mcp/other", "/mcp/admin/x"):
        assert http.get(WELL_KNOWN + path).status_code == 404
    assert http.get("/.well-known/oauth-authorization-server").get_json()["issuer"] == ISSUER


def test_one_resource_is_served_by_two_apps() -> None:
    described = ProtectedResource(RESOURCE, [ISSUER])
    for _ in range(2):
        app = Flask(__name__)
        app.register_blueprint(described.blueprint)
        assert app.test_client().get(described.metadata_url).get_json()["resource"] == RESOURCE


def test_a_document_that_the_app_has_already_stops_the_start() -> None:
    app = Flask(__name__)
    app.add_url_rule(f"{WELL_KNOWN}/mcp", "mine", lambda: "mine")
    with pytest.raises(ConfigurationError, match=f"ProtectedResource.*{WELL_KNOWN}/mcp.*mine"):
        app.register_blueprint(ProtectedResource(RESOURCE, [ISSUER]).blueprint)


def test_scripts_of_every_origin_may_read_it_whatever_the_registration_says(make_app: MakeApp) -> None:
    app = make_app(DYNREG_CORS_ORIGINS=[])
    app.register_blueprint(ProtectedResource(RESOURCE, [ISSUER]).blueprint)
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    http = app.test_client()
    for answer, status in (
        (http.get(f"{WELL_KNOWN}/mcp", headers=headers), 200),
        (http.head(f"{WELL_KNOWN}/mcp", headers=headers), 200),
        (http.options(f"{WELL_KNOWN}/mcp", headers=headers), 204),
        (http.post(f"{WELL_KNOWN}/mcp", headers=headers), 405),
    ):
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, "*")
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_the_members_are_the_hosts_but_for_lists_without_values() -> None:
    members: dict[str, Any] = {
        "scopes_supported": [],
        "resource_name": "Tools",
        "resource_name#fr": "Outils",
        "bearer_methods_supported": [],
        "dpop_bound_access_tokens_required": False,
    }
    metadata = ProtectedResource(RESOURCE, [ISSUER, "https://other.example/tenant"], **members).metadata
    del members["scopes_supported"]
    assert metadata == {
        "resource": RESOURCE,
        "authorization_servers": [ISSUER, "https://other.example/tenant"],
        **members,
    }


@pytest.mark.parametrize(
    "resource",
    [
        *(
            "",
            "mcp.example",
            "//mcp.example",
            "ftp://mcp.example",
            "http://mcp.example",
            "https://",
            "https://a@b.example",
        ),
        *(
            "https://mcp.example/#",
            "https://mcp.example/a b",
            "https://mcp.\u00e9.example",
            "https://mcp.example:x",
            None,
            7,
        ),
        "http://localhost.example",
    ],
)
def test_a_resource_is_an_https_url_with_a_host(resource: Any) -> None:
    with pytest.raises(ConfigurationError, match="resource"):
        ProtectedResource(resource, [ISSUER])


@pytest.mark.parametrize("servers", [[], "https://as.example", ["as.example"], [f"{ISSUER}?x"], [f"{ISSUER}#"], [None]])
def test_authorization_servers_are_issuers(servers: Any) -> None:
    with pytest.raises(ConfigurationError, match="authorization_servers"):
        ProtectedResource(RESOURCE, servers)


def test_the_challenge_says_what_is_wrong_and_what_is_needed() -> None:
    described = ProtectedResource(RESOURCE, [ISSUER])
    scheme, _, parameters = described.challenge("insufficient_scope", "mcp:read mcp:write").partition(" ")
    assert (scheme, parse_options_header(f"x; {parameters.replace(', ', '; ')}")[1]) == (
        "Bearer",
        {
            "error": "insufficient_scope",
            "scope": "mcp:read mcp:write",
            "resource_metadata": described.metadata_url,
        },
    )
    assert urlsplit(described.metadata_url).netloc == "mcp.example"


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "a\r\nX: y", "\u00e9", "\x7f", "\0"])
@pytest.mark.parametrize("name", ["error", "scope"])
def test_what_would_break_the_header_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        ProtectedResource(RESOURCE, [ISSUER]).challenge(**{name: value})
