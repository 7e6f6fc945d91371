"""RFC 8414: what the authorization server says of itself."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from flask_dynreg import ConfigurationError
from tests.conformance.exchange import PUBLIC, REDIRECT_URI, post, registered, server_metadata
from tests.conformance.requirements import requirement
from tests.conformance.visitor import Visitor
from tests.conftest import ISSUER, SERVER_METADATA, MakeApp

WELL_KNOWN = "/.well-known/oauth-authorization-server"


def with_issuer(issuer: str) -> dict[str, Any]:
    endpoints = {name: f"{issuer.rstrip('/')}/{name}" for name in ("authorization_endpoint", "token_endpoint")}
    return server_metadata(issuer=issuer, **endpoints)


@requirement(
    "RFC8414-3.2-01", "RFC8414-3.1-02", "RFC9700-2.6-01", "MCP2025-11-25-Overview-03", "MCP2025-06-18-Overview-02"
)
def test_the_document_is_json_for_get(http: FlaskClient) -> None:
    answer = http.get(WELL_KNOWN)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert isinstance(answer.get_json(), dict)
    head = http.head(WELL_KNOWN)
    assert (head.status_code, head.data, head.content_length) == (200, b"", len(answer.data))
    assert http.options(WELL_KNOWN).status_code in (200, 204)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        refusal = http.open(WELL_KNOWN, method=method)
        assert (refusal.status_code, refusal.mimetype) == (405, "application/json")
        assert "GET" in refusal.headers["Allow"]


@requirement("RFC8414-2-01", "RFC8414-2-02", "RFC8414-2-03", "RFC8414-2-04", "RFC8414-2-07", "RFC8414-2-12")
def test_what_has_to_be_there_is_there(http: FlaskClient) -> None:
    document = http.get(WELL_KNOWN).get_json()
    assert document["issuer"] == ISSUER
    for name in ("authorization_endpoint", "token_endpoint", "registration_endpoint"):
        assert document[name].startswith(f"{ISSUER}/")
    assert document["response_types_supported"] == ["code"]
    assert document["scopes_supported"] == SERVER_METADATA["scopes_supported"]
    assert "S256" in document["code_challenge_methods_supported"]


@requirement("RFC8705-5-01", "RFC9449-5.1-01")
def test_what_a_server_says_of_its_extensions_is_published(make_app: MakeApp) -> None:
    stated = {
        "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.as.example/token"},
        "dpop_signing_alg_values_supported": ["ES256", "PS256"],
    }
    http = make_app(DYNREG_SERVER_METADATA=server_metadata(**stated)).test_client()
    assert stated.items() <= http.get(WELL_KNOWN).get_json().items()
    assert not stated.keys() & make_app().test_client().get(WELL_KNOWN).get_json().keys()


@requirement("RFC8414-2-02", "RFC8414-2-03")
@pytest.mark.parametrize("missing", ["authorization_endpoint", "token_endpoint"])
def test_a_server_without_its_endpoints_does_not_start(make_app: MakeApp, missing: str) -> None:
    metadata = {name: value for name, value in SERVER_METADATA.items() if name != missing}
    with pytest.raises(ConfigurationError, match=missing):
        make_app(DYNREG_SERVER_METADATA=metadata)


@requirement("RFC8414-2-02", "RFC8414-2-03")
def test_the_endpoints_of_the_quickstart_answer(visitor: Visitor) -> None:
    document = visitor.http.get(WELL_KNOWN).get_json()
    client = visitor.register()
    assert visitor.open(client).status_code == 200
    assert visitor.url.startswith(document["authorization_endpoint"].removeprefix("https://as.example"))
    assert visitor.http.post(document["token_endpoint"]).get_json()["error"] == "invalid_request"
    for name in ("revocation_endpoint", "introspection_endpoint"):
        assert visitor.http.post(document[name]).get_json()["error"] == "invalid_client"


@requirement("RFC8414-2-01")
@pytest.mark.parametrize(
    "issuer",
    ["https://as.example?x=1", "https://as.example#x", "ftp://as.example", "as.example", "", None, 1, "https://"],
)
def test_an_issuer_is_an_https_url_without_query_and_fragment(make_app: MakeApp, issuer: Any) -> None:
    with pytest.raises(ConfigurationError, match="issuer"):
        make_app(DYNREG_SERVER_METADATA=server_metadata(issuer=issuer))


@requirement("RFC8414-2-05")
def test_jwks_uri_of_the_server_is_https(make_app: MakeApp) -> None:
    with pytest.raises(ConfigurationError, match="jwks_uri"):
        make_app(DYNREG_SERVER_METADATA=server_metadata(jwks_uri="http://as.example/jwks"))
    http = make_app(DYNREG_SERVER_METADATA=server_metadata(jwks_uri="https://as.example/jwks")).test_client()
    assert http.get(WELL_KNOWN).get_json()["jwks_uri"] == "https://as.example/jwks"


@requirement("RFC8414-2-10", "RFC8414-2-11")
@pytest.mark.parametrize("endpoint", ["token", "revocation", "introspection"])
@pytest.mark.parametrize("method", ["private_key_jwt", "client_secret_jwt"])
@pytest.mark.parametrize("algorithms", [None, [], ["none"], ["RS256", "none"]])
def test_methods_with_signatures_need_the_list_of_algorithms(
    make_app: MakeApp, endpoint: str, method: str, algorithms: list[str] | None
) -> None:
    name = f"{endpoint}_endpoint_auth_signing_alg_values_supported"
    metadata = server_metadata(**{f"{endpoint}_endpoint_auth_methods_supported": ["none", method], name: algorithms})
    if algorithms is None:
        del metadata[name]
    with pytest.raises(ConfigurationError, match=name):
        make_app(DYNREG_SERVER_METADATA=metadata, DYNREG_SECRET_KEYS=["7Bd1qYcQ2bXyTn0eGv3m5RkWj8sHfLpZ4uAaC9oIiDg="])


@requirement("RFC8414-2-10", "RFC8414-2-11")
def test_the_quickstart_lists_its_algorithms(visitor: Visitor) -> None:
    document = visitor.http.get(WELL_KNOWN).get_json()
    for endpoint in ("token", "revocation", "introspection"):
        assert "private_key_jwt" in document[f"{endpoint}_endpoint_auth_methods_supported"]
        algorithms = document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert "RS256" in algorithms and "none" not in algorithms


@requirement("RFC8414-3-01", "RFC8414-3.1-01", "RFC8414-3.3-01")
@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        ("https://h.example", ""),
        ("https://h.example/", ""),
        ("https://h.example/tenant1", "/tenant1"),
        ("https://h.example/t/", "/t"),
        ("https://h.example/a/b", "/a/b"),
        ("https://h.example:8443/t%C3%A9", "/t%C3%A9"),
    ],
)
def test_the_document_lies_between_host_and_path(make_app: MakeApp, issuer: str, path: str) -> None:
    http = make_app(DYNREG_SERVER_METADATA=with_issuer(issuer)).test_client()
    answer = http.get(WELL_KNOWN + path)
    assert answer.status_code == 200
    assert answer.get_json()["issuer"] == issuer
    if path:
        assert http.get(WELL_KNOWN).status_code == 404
    assert http.get(f"{WELL_KNOWN}/other").status_code == 404


@requirement("RFC8414-3.3-01")
def test_the_document_is_the_same_whatever_host_is_asked(http: FlaskClient) -> None:
    answer = http.get(WELL_KNOWN, base_url="https://evil.example")
    assert answer.data == http.get(WELL_KNOWN).data
    assert "evil" not in post(http, PUBLIC, Host="evil.example").text


@requirement("RFC8414-3.3-01")
def test_the_issuer_is_the_one_in_tokens_and_answers(visitor: Visitor) -> None:
    issuer = visitor.http.get(WELL_KNOWN).get_json()["issuer"]
    assert f"iss={issuer.replace(':', '%3A').replace('/', '%2F')}" in visitor.allow(visitor.register()).location


@requirement("RFC8414-3.2-02", "RFC8414-3.2-03")
def test_lists_are_arrays_and_never_empty(make_app: MakeApp) -> None:
    metadata = server_metadata(
        scopes_supported=["mcp:read"], ui_locales_supported=[], response_types_supported=["code"]
    )
    document = make_app(DYNREG_SERVER_METADATA=metadata).test_client().get(WELL_KNOWN).get_json()
    lists = {name: value for name, value in document.items() if name.endswith("_supported")}
    assert lists and all(isinstance(value, list) and value for value in lists.values())
    assert "ui_locales_supported" not in document
    with pytest.raises(ConfigurationError, match="scopes_supported"):
        make_app(DYNREG_SERVER_METADATA=server_metadata(scopes_supported="mcp:read"))


@requirement("RFC8414-2-06", "MCP2025-03-26-Overview-01", "MCP2026-07-28-Client_Registration-01")
@pytest.mark.parametrize("access", [["open"], ["initial_access_token"], []])
def test_the_registration_endpoint_is_there_when_registration_is_on(make_app: MakeApp, access: list[str]) -> None:
    http = make_app(DYNREG_ACCESS=access).test_client()
    document = http.get(WELL_KNOWN).get_json()
    assert ("registration_endpoint" in document) == bool(access)
    answer = http.post(document.get("registration_endpoint", "/oauth2/register"), json=PUBLIC)
    assert answer.status_code == {"open": 201, "initial_access_token": 401, "": 404}["".join(access)]


@requirement("RFC8414-2-08", "RFC8414-2-09")
@pytest.mark.parametrize("left_out", ["grant_types_supported", "token_endpoint_auth_methods_supported"])
def test_lists_whose_default_would_mislead_are_written_out(make_app: MakeApp, left_out: str) -> None:
    metadata = {name: value for name, value in SERVER_METADATA.items() if name != left_out}
    http = make_app(DYNREG_SERVER_METADATA=metadata).test_client()
    document = http.get(WELL_KNOWN).get_json()
    assert "implicit" not in document["grant_types_supported"]
    for method in ("none", "client_secret_basic", "client_secret_post"):
        answer = post(http, {"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": method})
        assert (answer.status_code == 201) == (method in document["token_endpoint_auth_methods_supported"])


@requirement("RFC8414-5-01", "OIDCDISC-3-01", "OIDCDISC-4-01", "MCP2025-11-25-Authorization_Code_Protection-01")
def test_the_openid_addresses_are_there_on_request(make_app: MakeApp) -> None:
    metadata = with_issuer("https://h.example/t")
    paths = ("/.well-known/openid-configuration/t", "/t/.well-known/openid-configuration")
    plain = make_app(DYNREG_SERVER_METADATA=metadata).test_client()
    assert [plain.get(path).status_code for path in paths] == [404, 404]
    http = make_app(DYNREG_SERVER_METADATA=metadata, DYNREG_OPENID_DISCOVERY=True).test_client()
    expected = http.get(f"{WELL_KNOWN}/t").get_json()
    assert [http.get(path).get_json() for path in paths] == [expected, expected]
    assert expected["registration_endpoint"].startswith("https://")
    assert expected["code_challenge_methods_supported"] == ["S256"]


@requirement("OIDCREG-3-03", "OIDCREG-4-01", "RFC9700-2.6-03")
def test_scripts_may_use_the_endpoints(http: FlaskClient) -> None:
    client = registered(http, **PUBLIC)
    asked = {"Origin": "https://app.example", "Access-Control-Request-Headers": "authorization, mcp-protocol-version"}
    for path, method in (
        (WELL_KNOWN, "GET"),
        ("/oauth2/register", "POST"),
        *((client["registration_client_uri"], method) for method in ("GET", "PUT", "DELETE")),
    ):
        answer = http.options(path, headers={**asked, "Access-Control-Request-Method": method})
        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert method in answer.headers["Access-Control-Allow-Methods"]
        assert {"authorization", "mcp-protocol-version"} <= set(
            answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        )
        assert "Access-Control-Allow-Credentials" not in answer.headers
        for actual in (http.open(path, method=method, headers=asked), http.patch(path, headers=asked)):
            assert actual.headers["Access-Control-Allow-Origin"] == "*"
            exposed = actual.headers["Access-Control-Expose-Headers"].split(", ")
            assert {"WWW-Authenticate", "Retry-After", "ETag"} <= set(exposed)


def test_scripts_of_some_origins_may_use_the_endpoints(make_app: MakeApp) -> None:
    http = make_app(DYNREG_CORS_ORIGINS=["https://app.example"]).test_client()
    for path in ("/oauth2/register", WELL_KNOWN):
        for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
            answer = http.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            assert "Origin" in answer.headers["Vary"]
    none = make_app(DYNREG_CORS_ORIGINS=[]).test_client()
    assert "Access-Control-Allow-Origin" not in post(none, PUBLIC, Origin="https://app.example").headers
