"""RFC 6749, RFC 9700, RFC 8252: what happens at the authorization endpoint with what was registered (the quickstart)."""

import logging
import re
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conformance.entropy import entropy, unlike
from tests.conformance.exchange import MACHINE, PUBLIC, REDIRECT_URI, Client, bearer, delete, replaced, update
from tests.conformance.requirements import requirement
from tests.conformance.visitor import AUTHORIZE, Visitor, answered

ISSUER = "https://as.example"
BRAND = {
    "client_name": "A Famous Bank",
    "logo_uri": "https://bank.example/logo.png",
    "client_uri": "https://bank.example/",
    "tos_uri": "https://bank.example/terms",
    "policy_uri": "https://bank.example/privacy",
}


def is_error_page(visitor: Visitor, client: Client, **parameters: str | None) -> None:
    """An error for the visitor, who is sent nowhere."""
    page = visitor.open(client, **parameters)
    assert page.status_code == 400 and page.mimetype == "text/html"
    assert "Location" not in page.headers
    assert parameters.get("redirect_uri") is None or str(parameters["redirect_uri"]) not in unescape(page.text)


@requirement("OIDCREG-2-02", "RFC6749-3.1.2.4-01", "RFC9700-2.1-02")
@pytest.mark.parametrize(
    "near_miss",
    [
        "https://a.example/cb/",
        "https://a.example/CB",
        "https://a.example/cb?x",
        "https://a.example/cb#",
        "https://a.example:443/cb",
        "https://a.example:8443/cb",
        "HTTPS://a.example/cb",
        "https://A.example/cb",
        "http://a.example/cb",
        "//a.example/cb",
        "https://b.a.example/cb",
        "https://a.example.evil/cb",
        "https://a.example/cb/../cb",
        "https://a.example/%63b",
        "https://evil.example/?https://a.example/cb",
        "javascript:alert(1)",
        " https://a.example/cb",
    ],
)
def test_a_redirect_uri_is_a_registered_one_to_the_letter(visitor: Visitor, near_miss: str) -> None:
    client = visitor.register(**{**PUBLIC, "redirect_uris": ["https://a.example/cb"]})
    is_error_page(visitor, client, redirect_uri=near_miss)
    assert visitor.allow(client).location.startswith("https://a.example/cb?")


@requirement("RFC6749-3.1.2.4-01", "RFC9700-2.1-02")
@pytest.mark.parametrize("client_id", ["unknown", "", "\u00e9", "x" * 300, None])
def test_an_unknown_client_sends_nobody_anywhere(visitor: Visitor, client_id: str | None) -> None:
    is_error_page(visitor, visitor.register(), client_id=client_id)


@requirement("RFC8252-7.3-01", "RFC8252-8.4-02")
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
@pytest.mark.parametrize("port", ["", ":1234"])
def test_any_port_will_do_on_loopback_and_nothing_else(visitor: Visitor, host: str, port: str) -> None:
    client = visitor.register(**{**PUBLIC, "redirect_uris": [f"http://{host}{port}/cb?x=1"]})
    for other in ("", ":1234", ":51004"):
        requested = f"http://{host}{other}/cb?x=1"
        assert visitor.allow(client, redirect_uri=requested).location.startswith(f"{requested}&")
    others = {"127.0.0.1", "127.0.0.2", "[::1]", "localhost", "localhost.evil.example"} - {host}
    for elsewhere in (*others, f"user@{host}"):
        is_error_page(visitor, client, redirect_uri=f"http://{elsewhere}{port}/cb?x=1")
    for near_miss in ("/cb", "/cb?x=2", "/other?x=1", "/cb?x=1#", "/cb?x=1&y=2"):
        is_error_page(visitor, client, redirect_uri=f"http://{host}:51004{near_miss}")
    is_error_page(visitor, client, redirect_uri=f"https://{host}{port}/cb?x=1")
    is_error_page(visitor, client, redirect_uri=f"http://{host}:port/cb?x=1")


@requirement("RFC6749-3.1.2-03", "RFC8252-7.1-02")
@pytest.mark.parametrize(
    "uri", ["https://a.example/cb?t=1&u=%2F", "com.example.app:/oauth2redirect", "cursor://anysphere.cursor-mcp/cb"]
)
def test_an_answer_keeps_the_registered_uri(visitor: Visitor, uri: str) -> None:
    client = visitor.register(**{**PUBLIC, "redirect_uris": [uri]})
    location = visitor.allow(client).location
    assert location.startswith(f"{uri}{'&' if '?' in uri else '?'}code=")


@requirement("RFC6749-3.1.2.3-01")
def test_a_client_with_several_redirect_uris_names_one(visitor: Visitor) -> None:
    client = visitor.register(**{**PUBLIC, "redirect_uris": ["https://a.example/1", "https://a.example/2"]})
    is_error_page(visitor, client, redirect_uri=None)
    assert visitor.allow(client, redirect_uri="https://a.example/2").location.startswith("https://a.example/2?")
    assert visitor.allow(visitor.register(), redirect_uri=None).location.startswith(f"{REDIRECT_URI}?")


@requirement("RFC7591-5-02")
def test_a_client_without_redirect_uris_cannot_ask(visitor: Visitor) -> None:
    machine = visitor.register(grant_types=["client_credentials"])
    is_error_page(visitor, machine, redirect_uri=None)
    is_error_page(visitor, machine, redirect_uri=REDIRECT_URI)


@requirement("RFC7591-2-11")
@pytest.mark.parametrize("response_type", ["token", "id_token", "code token", "Code", "code "])
def test_a_response_type_is_the_registered_one(visitor: Visitor, response_type: str) -> None:
    answer = answered(visitor.consent_page(visitor.register(), response_type=response_type))
    assert answer["error"] in ("unsupported_response_type", "unauthorized_client")
    assert "code" not in answer


@requirement("RFC9207-2-01", "RFC9207-2.3-01")
def test_every_answer_names_the_issuer(visitor: Visitor) -> None:
    document = visitor.http.get("/.well-known/oauth-authorization-server").get_json()
    assert document["authorization_response_iss_parameter_supported"] is True
    client = visitor.register()
    assert answered(visitor.allow(client))["iss"] == document["issuer"] == ISSUER
    visitor.consent_page(client)
    denied = answered(visitor.press(decision="deny"))
    assert (denied["error"], denied["iss"], denied["state"]) == ("access_denied", ISSUER, "a state")
    assert answered(visitor.open(client, response_type="token"))["iss"] == ISSUER


@requirement("RFC9700-4.11.2-01")
@pytest.mark.parametrize("fault", [{"scope": "unknown"}, {"response_type": "token"}, {"code_challenge": None}, {}])
def test_nobody_is_bounced_without_having_signed_in(visitor: Visitor, fault: dict[str, str | None]) -> None:
    page = visitor.open(visitor.register(), **fault)
    assert page.status_code == 200 and 'name="password"' in page.text
    assert "Location" not in page.headers


@requirement("RFC9700-4.11.2-02")
@pytest.mark.parametrize("fault", [{"scope": "unknown"}, {"response_type": "token"}, {"code_challenge": None}])
def test_a_client_cannot_send_its_visitors_on_unasked(visitor: Visitor, fault: dict[str, str]) -> None:
    """Anybody may register, with any address: with an error for an answer this would be a bounce."""
    client = visitor.register()
    page = visitor.consent_page(client, **fault)
    assert page.status_code == 400 and "Location" not in page.headers
    assert str(urlsplit(REDIRECT_URI).hostname) in page.text


@requirement("RFC9700-2.1-03")
def test_what_follows_a_form_is_see_other(visitor: Visitor) -> None:
    client = visitor.register()
    visitor.open(client)
    assert visitor.sign_in().status_code == 303
    assert visitor.press(decision="allow").status_code == 303
    visitor.open(client)
    assert visitor.press(decision="deny").status_code == 303


@requirement("RFC8252-8.6-01", "RFC8252-8.5-01")
@pytest.mark.parametrize("uri", ["http://127.0.0.1/cb", "com.example.app:/cb", REDIRECT_URI])
@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
def test_consent_is_asked_for_every_time(visitor: Visitor, uri: str, method: str) -> None:
    client = visitor.register(redirect_uris=[uri], token_endpoint_auth_method=method)
    for _ in range(2):
        assert 'value="allow"' in visitor.consent_page(client).text
        assert "code" in answered(visitor.press(decision="allow"))


@requirement("RFC7591-5-07", "OIDCREG-9.1-02", "MCP2025-11-25-Localhost_Redirect_URI_Risks-01")
def test_a_client_that_registered_itself_is_shown_as_unverified(visitor: Visitor) -> None:
    client = visitor.register(**PUBLIC, **BRAND)
    text = visitor.consent_page(client).text
    assert "A Famous Bank" in text and "unverified" in text
    assert str(urlsplit(REDIRECT_URI).hostname) in text


@requirement("MCP2025-11-25-Localhost_Redirect_URI_Risks-02")
def test_a_client_on_this_device_is_warned_of(visitor: Visitor) -> None:
    warning = "any\n  program on it can claim to be"
    client = visitor.register(**{**PUBLIC, "redirect_uris": ["http://localhost:3000/cb", "http://127.0.0.1/cb"]})
    assert warning in visitor.consent_page(client).text
    assert warning not in visitor.consent_page(visitor.register()).text


@requirement("RFC9700-4.16-01", "RFC9700-4.2.4-01")
def test_the_pages_cannot_be_framed_and_load_nothing_from_elsewhere(visitor: Visitor) -> None:
    client = visitor.register(**PUBLIC, **BRAND)
    for page in (visitor.open(client), visitor.consent_page(client), visitor.open(client, client_id="unknown")):
        assert page.headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert page.headers["Referrer-Policy"] == "no-referrer"
        addresses = re.findall(r'(?:href|src|action)="([^"]*)"', page.text)
        assert addresses and all(re.match(r"/(?!/)", address) for address in addresses)


@requirement("RFC7591-6-02")
def test_contacts_are_kept_out_of_pages_documents_and_logs(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    person = "jane.roe@app.example"
    client = visitor.register(**PUBLIC, contacts=[person])
    page = visitor.consent_page(client)
    document = visitor.http.get("/.well-known/oauth-authorization-server")
    replaced(visitor.http, client, **PUBLIC, contacts=[person, "+1 555 0100"])
    assert update(visitor.http, client, {"contacts": person}).status_code == 400
    assert person not in page.text + document.text + caplog.text


@requirement("RFC7591-2-15", "RFC7591-2-16", "RFC7591-5-10")
def test_the_pages_a_client_names_are_two_steps_away(visitor: Visitor) -> None:
    text = visitor.consent_page(visitor.register(**PUBLIC, **BRAND)).text
    for name in ("client_uri", "tos_uri", "policy_uri"):
        (link,) = [unescape(link) for link in re.findall(r'href="([^"]*)"', text) if f"name={name}" in link]
        page = visitor.http.get(link)
        assert page.status_code == 200 and "Nobody here has checked it" in page.text
        assert f'<a href="{BRAND[name]}" rel="noopener noreferrer nofollow">' in page.text


@requirement("RFC7591-5-18", "RFC7591-2.2-03")
@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u30af\u30e9 & \u00e9'"]
)
def test_a_name_is_shown_as_it_is_and_does_nothing(visitor: Visitor, name: str) -> None:
    text = visitor.consent_page(visitor.register(**PUBLIC, client_name=name)).text
    assert name not in text or not set(name) & set("<>\"'&")
    assert name in unescape(text)


@requirement("RFC7591-2-19")
def test_a_client_without_a_name_is_shown_by_its_id(visitor: Visitor) -> None:
    client = visitor.register()
    assert f"<bdi>{client['client_id']}</bdi>" in visitor.consent_page(client).text


@requirement("RFC9700-2.6-04", "OIDCDISC-3-03", "RFC9700-2.6-03")
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_scripts_of_others_cannot_use_the_authorization_endpoint(visitor: Visitor, method: str) -> None:
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = visitor.http.open(AUTHORIZE, method=method, headers=headers)
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]
    for path in ("/oauth2/token", "/oauth2/register", "/.well-known/oauth-authorization-server"):
        assert visitor.http.options(path, headers=headers).headers["Access-Control-Allow-Origin"] == "*"


@requirement("RFC6749-10.10-01")
def test_codes_and_tokens_cannot_be_guessed(visitor: Visitor) -> None:
    client = visitor.register(**PUBLIC, grant_types=["authorization_code", "refresh_token"])
    codes = [visitor.code(client) for _ in range(2)]
    assert entropy(unlike(*codes)) >= 128
    first, second = (visitor.exchange(client, code).get_json() for code in codes)
    for kind in ("access_token", "refresh_token"):
        assert entropy(unlike(first[kind], second[kind])) >= 128


@requirement("RFC7592-2.3-02", "RFC7592-2.3-03")
def test_what_was_issued_goes_with_the_client(visitor: Visitor) -> None:
    client = visitor.register(**PUBLIC, grant_types=["authorization_code", "refresh_token"])
    token = visitor.exchange(client, visitor.code(client)).get_json()
    pending = visitor.code(client)
    assert is_active(visitor, token["access_token"])
    assert delete(visitor.http, client).status_code == 204
    assert not is_active(visitor, token["access_token"])
    refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    for answer in (visitor.token(client_id=client["client_id"], **refresh), visitor.exchange(client, pending)):
        assert answer.get_json()["error"] == "invalid_client"
    is_error_page(visitor, client)


@requirement("RFC7592-2-04")
def test_an_access_token_does_not_open_the_configuration_endpoint(visitor: Visitor) -> None:
    client = visitor.register()
    access_token = visitor.exchange(client, visitor.code(client)).get_json()["access_token"]
    answer = visitor.http.get(client["registration_client_uri"], headers=bearer(access_token))
    assert answer.status_code == 401


@requirement("RFC7592-2.2-04")
def test_a_redirect_uri_that_was_given_up_is_unknown(visitor: Visitor) -> None:
    client = visitor.register()
    code = visitor.code(client)
    replaced(visitor.http, client, **{**PUBLIC, "redirect_uris": ["https://app.example/new"]})
    is_error_page(visitor, client)
    assert visitor.exchange(client, code).get_json()["error"] == "invalid_grant"


def is_active(visitor: Visitor, token: str) -> bool:
    active: bool = introspected(visitor, token)["active"]
    return active


def introspected(visitor: Visitor, token: str) -> dict[str, Any]:
    """What a resource server is told, which registers for the purpose."""
    resource_server = visitor.register(**MACHINE, token_endpoint_auth_method="client_secret_post")
    fields = {name: resource_server[name] for name in ("client_id", "client_secret")}
    claims: dict[str, Any] = visitor.http.post("/oauth2/introspect", data={**fields, "token": token}).get_json()
    return claims


@requirement("RFC9728-7.4-01", "RFC8707-2-02")
def test_a_token_is_for_the_resource_that_was_asked_for(visitor: Visitor) -> None:
    client = visitor.register()
    resource = "https://mcp.example/mcp"
    answer = visitor.exchange(client, visitor.code(client, resource=resource), resource=resource).get_json()
    claims = introspected(visitor, answer["access_token"])
    assert claims["aud"] == resource and claims["iss"] == ISSUER


@pytest.mark.parametrize("path", ["token", "revoke", "introspect"])
def test_another_method_is_refused_in_oauth_json(visitor: Visitor, path: str) -> None:
    answer = visitor.http.get(f"/oauth2/{path}")
    assert (answer.status_code, answer.mimetype, answer.headers["Allow"]) == (405, "application/json", "OPTIONS, POST")
    assert answer.get_json()["error"] == "invalid_request" and answer.headers["Access-Control-Allow-Origin"] == "*"
