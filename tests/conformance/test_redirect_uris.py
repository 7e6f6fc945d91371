"""RFC 8252, RFC 9700, RFC 6749 section 3.1.2: which redirect URIs can be registered."""

import pytest
from flask.testing import FlaskClient

from tests.conformance.exchange import REGISTER, post, refused
from tests.conformance.requirements import requirement
from tests.conftest import MakeApp, Register


def is_refused(http: FlaskClient, *uris: str, **metadata: str) -> None:
    body = refused(post(http, {"redirect_uris": list(uris), **metadata}), "invalid_redirect_uri")
    assert all(problem["pointer"].startswith("/redirect_uris") for problem in body["errors"])


@requirement("RFC7591-2-01", "RFC7591-5-03", "RFC8252-7-01", "RFC8252-7.1-01", "RFC8252-7.1-02")
@requirement("MCP2026-07-28-Client_Registration_Application_Type-01")
@pytest.mark.parametrize("type_and_method", [{}, {"token_endpoint_auth_method": "none", "application_type": "native"}])
def test_all_kinds_are_registered_as_they_were_sent(register: Register, type_and_method: dict[str, str]) -> None:
    uris = [
        "https://app.example/cb",
        "https://app.example:8443/cb?x=%2F&y=1",
        "HTTPS://App.Example/CB",
        "https://app.example",
        "http://127.0.0.1:1234/cb",
        "http://127.0.0.1",
        "http://[::1]/cb",
        "http://localhost:3000/cb",
        "com.example.app:/cb",
        "com.example.app://cb",
        "com.example.app:/oauth2redirect/example-provider",
        "cursor://anysphere.cursor-mcp/oauth/callback",
    ]
    client = register(redirect_uris=uris, **type_and_method)
    assert client["redirect_uris"] == uris
    assert client.get("application_type") == type_and_method.get("application_type")


@requirement("OIDCREG-6-01")
def test_escapes_of_json_are_undone_before_anything_is_compared(http: FlaskClient) -> None:
    body = r'{"redirect_uris": ["https:\/\/a.example\/c\u0062"], "client_name": "e\u0301", "client_name#fr": "\u00e9"}'
    answer = http.post(REGISTER, data=body, content_type="application/json")
    client = answer.get_json()
    assert client["redirect_uris"] == ["https://a.example/cb"]
    assert client["client_name"] == "e\u0301" and client["client_name#fr"] == "\u00e9"


@requirement("RFC6749-3.1.2-01")
@pytest.mark.parametrize(
    "uri", ["/cb", "//a.example/cb", "a.example/cb", "cb", "https:", "https:///cb", "https:/a.example"]
)
def test_a_reference_without_scheme_or_host_is_refused(http: FlaskClient, uri: str) -> None:
    is_refused(http, uri)


@requirement("RFC6749-3.1.2-02")
@pytest.mark.parametrize("uri", ["https://a.example/cb#x", "https://a.example/cb#", "com.example.app:/cb#x"])
def test_a_fragment_is_refused(http: FlaskClient, uri: str) -> None:
    is_refused(http, uri)


@requirement("RFC7591-5-03", "RFC9700-2.6-02", "RFC8252-8.3-01")
@pytest.mark.parametrize(
    "uri",
    [
        "http://client.example.com/cb",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.1/cb",
        "http://0.0.0.0/cb",
        "http://10.0.0.1/cb",
        "http://[::2]/cb",
        "http://[::ffff:127.0.0.1]/cb",
    ],
)
def test_plain_http_is_for_loopback_alone(http: FlaskClient, uri: str) -> None:
    is_refused(http, uri)
    is_refused(http, uri, application_type="native", token_endpoint_auth_method="none")


@requirement("RFC8252-8.4-04")
@pytest.mark.parametrize("before", ["", " ", "\t", "\x00", "\x01", "\n"])
@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "JavaScript://app.example/%0aalert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "FILE://a.example/cb",
        "blob:https://a.example/1",
        "filesystem:https://a.example/temporary/x",
        "about:blank",
        "view-source:https://a.example/",
        "intent://a.example/#Intent;end",
    ],
)
def test_dangerous_schemes_are_never_accepted(http: FlaskClient, before: str, uri: str) -> None:
    answer = post(http, {"redirect_uris": [before + uri], "application_type": "native"})
    refused(answer, "invalid_client_metadata" if "\x00" in before else "invalid_redirect_uri")


@requirement("RFC8252-8.4-05")
@pytest.mark.parametrize(
    "uri",
    [
        "https://user@a.example/cb",
        "https://user:password@a.example/cb",
        "com.example.app://user@a.example/cb",
        "https://a.example\\@b/cb",
        "https://a.example\\cb",
        "https://*.a.example/cb",
        "https://a.example/*",
        "https://a.example/c b",
        " https://a.example/cb",
        "https://a.example/cb ",
        "https://a.example/c\nb",
        "https://a.example/c\x7fb",
        "https://a.example/\u00e9",
        "https://\u00e9.example/cb",
        "https://a.example/%zz",
        "https://a.example/../cb",
        "https://a.example/%2e%2e/cb",
        "https://a.example:99999/cb",
    ],
)
def test_uris_that_readers_understand_differently_are_refused(http: FlaskClient, uri: str) -> None:
    is_refused(http, uri)


@requirement("RFC8252-8.4-03")
@pytest.mark.parametrize(
    "uri",
    [
        "myapp:/cb",
        "vscode:",
        "vscode:/cb",
        "localhost:3000",
        "app.example:8443/cb",
        "com.example.app:cb",
        "urn:ietf:wg:oauth:2.0:oob",
        "ftp://a.example/cb",
    ],
)
def test_a_private_use_scheme_has_a_period_or_is_known(http: FlaskClient, uri: str) -> None:
    is_refused(http, uri)


@pytest.mark.parametrize("scheme", ["vscode", "vscode-insiders", "vscodium", "windsurf", "cursor"])
@pytest.mark.parametrize(
    "authority", ["file", "settings", "vscode.git", "ms-vscode.cpptools", "ms-vscode-remote.ssh", ""]
)
def test_an_editor_is_not_sent_to_what_runs_things(http: FlaskClient, scheme: str, authority: str) -> None:
    is_refused(http, f"{scheme}://{authority}/cb")
    is_refused(http, f"{scheme.upper()}://{authority.upper()}/cb")


def test_a_server_says_itself_which_private_schemes_it_knows(make_app: MakeApp) -> None:
    http = make_app(DYNREG_PRIVATE_SCHEMES={"myapp": "auth"}).test_client()
    assert post(http, {"redirect_uris": ["myapp://auth/cb"]}).status_code == 201
    is_refused(http, "myapp://other/cb")
    is_refused(http, "cursor://anysphere.cursor-mcp/oauth/callback")


@requirement("OIDCREG-3.2-01")
def test_one_bad_uri_refuses_the_whole_list(http: FlaskClient) -> None:
    body = refused(
        post(http, {"redirect_uris": ["https://a.example/cb", "http://b.example/cb"]}), "invalid_redirect_uri"
    )
    assert [problem["pointer"] for problem in body["errors"]] == ["/redirect_uris/1"]


@pytest.mark.parametrize("item", ["", None, " "])
def test_an_empty_redirect_uri_is_an_error(http: FlaskClient, item: str | None) -> None:
    refused(post(http, {"redirect_uris": ["https://a.example/cb", item]}), "invalid_redirect_uri")


def test_a_stated_application_type_narrows_the_list_when_strict(make_app: MakeApp) -> None:
    http = make_app(DYNREG_APPLICATION_TYPE="strict").test_client()
    for uri in ("http://localhost:3000/cb", "http://127.0.0.1/cb", "com.example.app:/cb"):
        is_refused(http, uri, application_type="web")
        for stated in ({"application_type": "native"}, {}):
            assert post(http, {"redirect_uris": [uri], **stated}).status_code == 201
    for stated in ({"application_type": "native"}, {"application_type": "web"}):
        assert post(http, {"redirect_uris": ["https://a.example/cb"], **stated}).status_code == 201
