"""The policies that ship: what each lets through, changes and refuses."""

from typing import Any

import pytest

from flask_dynreg import ConfigurationError
from flask_dynreg.policies.shipped import PLAIN, WITH_SETTINGS
from tests.conformance.exchange import post, refused, registered
from tests.conftest import SERVER_METADATA, MakeApp
from tests.statements import statement, trusted

WEB, APP, LOOPBACK, LOCALHOST = (
    "https://app.example/cb",
    "com.example.app:/cb",
    "http://127.0.0.1:8080/cb",
    "http://localhost/cb",
)
NAMED = {"policy": "trusted_redirect_hosts", "hosts": ["app.example", "*.sub.example", "com.example.app:"]}
PAGE = "https://app.example/about"


def at(*uris: str, **more: Any) -> dict[str, Any]:
    return {"redirect_uris": list(uris), **more}


FINE: list[tuple[Any, dict[str, Any]]] = [
    (NAMED, at(WEB, APP, "https://a.sub.example/", "https://b.a.sub.example/")),
    ("require_https", at(WEB)),
    ("no_localhost_name", at(WEB, LOOPBACK, APP)),
    ({"policy": "private_use_schemes", "schemes": ["com.example.app"]}, at(APP, WEB, LOCALHOST)),
    ({"policy": "private_use_schemes", "schemes": []}, at(WEB, LOCALHOST)),
    ("agreeing_hosts", at(WEB, client_uri=PAGE)),
    ("agreeing_hosts", at(APP, client_uri="https://other.example")),
    ("strict_application_type", at(WEB, application_type="web")),
    ("strict_application_type", at(LOOPBACK, application_type="native")),
    ("strict_application_type", at(LOOPBACK)),
    ({"policy": "auth_method_ceiling", "methods": ["none"]}, at(WEB, token_endpoint_auth_method="none")),
    ({"policy": "signing_algorithms", "algorithms": ["PS256"]}, at(WEB)),
    ("require_pkce", at(WEB)),
    ("require_consent", at(WEB)),
    ("separate_machines", at(WEB, grant_types=["authorization_code", "refresh_token"])),
    ("separate_machines", {"grant_types": ["client_credentials"]}),
    ({"policy": "forbidden_names", "names": ["Claude"]}, at(WEB, client_name="Cloud")),
    ("reserved_names", at(WEB, client_name="Mine")),
    ("require_name", at(WEB, **{"client_name#ja": "\u540d"})),
    ("require_statement", at(WEB, software_statement=statement())),
    ("known_names_only", at(WEB, client_name="Mine", **{"client_name#ja": "\u540d"})),
    ("known_names_only", at(WEB, software_statement=statement(jti="x"))),
]
REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (NAMED, at(WEB, "https://other.example/cb"), "/redirect_uris/1"),
    (NAMED, at("https://sub.example/"), "/redirect_uris/0"),
    (NAMED, at("https://evilsub.example/"), "/redirect_uris/0"),
    (NAMED, at(LOOPBACK), "/redirect_uris/0"),
    (NAMED, at("com.example.other:/cb"), "/redirect_uris/0"),
    ("require_https", at(WEB, LOOPBACK), "/redirect_uris/1"),
    ("require_https", at(APP), "/redirect_uris/0"),
    ("require_https", at("https://localhost/cb"), "/redirect_uris/0"),
    ("no_localhost_name", at(LOCALHOST), "/redirect_uris/0"),
    ({"policy": "private_use_schemes", "schemes": ["com.example.other"]}, at(APP), "/redirect_uris/0"),
    ({"policy": "private_use_schemes", "schemes": []}, at(WEB, APP), "/redirect_uris/1"),
    ("agreeing_hosts", at(WEB, client_uri="https://other.example"), "/client_uri"),
    ("agreeing_hosts", at(WEB, **{"tos_uri#ja": "http://app.example"}), "/tos_uri#ja"),
    ("strict_application_type", at(LOOPBACK, application_type="web"), "/redirect_uris/0"),
    ({"policy": "grant_ceiling", "grant_types": ["client_credentials"]}, at(WEB), "/grant_types"),
    ({"policy": "auth_method_ceiling", "methods": ["none"]}, at(WEB), "/token_endpoint_auth_method"),
    (
        {"policy": "signing_algorithms", "algorithms": ["PS256"]},
        at(WEB, id_token_signed_response_alg="RS256"),
        "/id_token_signed_response_alg",
    ),
    (
        "require_pkce",
        at(WEB, response_types=["code", "id_token"], grant_types=["authorization_code", "implicit"]),
        "/response_types/1",
    ),
    ("separate_machines", at(WEB, grant_types=["authorization_code", "client_credentials"]), "/grant_types"),
    ({"policy": "forbidden_names", "names": ["Claude"]}, at(WEB, client_name="CIaude"), "/client_name"),
    (
        {"policy": "forbidden_names", "names": ["Claude"]},
        at(WEB, **{"client_name#fr": "Mon Claude"}),
        "/client_name#fr",
    ),
    ("reserved_names", at(WEB, client_name="\u0410cme Ltd"), "/client_name"),
    ("require_name", at(WEB), "/client_name"),
    ("require_statement", at(WEB), "/software_statement"),
    ("known_names_only", at(WEB, department="x"), "/department"),
    ("known_names_only", at(WEB, **{"a/b": "x"}), "/a~1b"),
]
METADATA = SERVER_METADATA | {
    "response_types_supported": ["code", "id_token"],
    "grant_types_supported": ["authorization_code", "implicit", "refresh_token", "client_credentials"],
    "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
}


def serve(make_app: MakeApp, policy: Any) -> Any:
    settings = {"DYNREG_RESERVED_NAMES": ["Acme"], "DYNREG_STATEMENT_ISSUERS": [trusted()]}
    return make_app(DYNREG_POLICIES=[policy], DYNREG_SERVER_METADATA=METADATA, **settings).test_client()


@pytest.mark.parametrize(("policy", "sent"), FINE)
def test_what_is_let_through(make_app: MakeApp, policy: Any, sent: dict[str, Any]) -> None:
    client = registered(serve(make_app, policy), **sent)
    assert client["redirect_uris"] == sent.get("redirect_uris", [])


@pytest.mark.parametrize(("policy", "sent", "pointer"), REFUSED)
def test_what_is_refused(make_app: MakeApp, policy: Any, sent: dict[str, Any], pointer: str) -> None:
    errors = ("invalid_client_metadata", "invalid_redirect_uri")
    (problem,) = refused(post(serve(make_app, policy), sent), *errors)["errors"]
    assert problem["pointer"] == pointer and problem["section"] == "The policy of this server"


@pytest.mark.parametrize(
    ("policy", "sent", "member", "expected"),
    [
        ({"policy": "scope_ceiling", "scopes": ["mcp:read"]}, {"scope": "mcp:write mcp:read"}, "scope", "mcp:read"),
        ({"policy": "scope_ceiling", "scopes": ["mcp:read"]}, {"scope": "mcp:write"}, "scope", None),
        ({"policy": "default_scopes", "scopes": ["mcp:read", "unknown"]}, {}, "scope", "mcp:read"),
        ({"policy": "default_scopes", "scopes": ["mcp:read"]}, {"scope": "mcp:write"}, "scope", "mcp:write mcp:read"),
        (
            {"policy": "grant_ceiling", "grant_types": ["authorization_code"]},
            {"grant_types": ["authorization_code", "refresh_token"]},
            "grant_types",
            ["authorization_code"],
        ),
        (
            {"policy": "grant_ceiling", "grant_types": ["authorization_code"]},
            {"grant_types": ["authorization_code", "implicit"], "response_types": ["code", "id_token"]},
            "response_types",
            ["code"],
        ),
        *(
            (
                {"policy": "signing_algorithms", "algorithms": algorithms},
                sent,
                "id_token_signed_response_alg",
                expected,
            )
            for algorithms, sent, expected in (
                (["PS256"], {}, "PS256"),
                (["PS256"], {"id_token_signed_response_alg": None}, "PS256"),
                (["PS256"], {"id_token_signed_response_alg": ""}, "PS256"),
                (["PS256", "RS256"], {}, "RS256"),
                (["PS256", "ES256"], {"id_token_signing_alg_values_supported": ["RS256", "ES256"]}, "ES256"),
            )
        ),
        ({"policy": "forced", "metadata": {"client_name": "Ours"}}, {"client_name": "Mine"}, "client_name", "Ours"),
    ],
)
def test_what_is_changed(make_app: MakeApp, policy: Any, sent: dict[str, Any], member: str, expected: Any) -> None:
    assert registered(serve(make_app, policy), redirect_uris=[WEB], **sent).get(member) == expected


def test_no_language_leads_around_what_is_forced(make_app: MakeApp) -> None:
    forced = {"client_name": "Ours", "client_name#ja": "\u540d", "tos_uri#fr": "https://tos.example"}
    http = serve(make_app, {"policy": "forced", "metadata": forced})
    tags = {
        f"{name}#{tag}": "https://mine.example" for name in ("client_name", "tos_uri") for tag in ("de", "JA", "FR")
    }
    client = registered(http, redirect_uris=[WEB], **tags, tos_uri="https://mine.example")
    named = {name: value for name, value in client.items() if name.partition("#")[0] in ("client_name", "tos_uri")}
    mine = dict.fromkeys(("tos_uri", "tos_uri#de", "tos_uri#JA"), "https://mine.example")
    assert named == forced | mine


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"no_member": "x"}, "no_member is not"),
        ({"client_nane": "x", "client_uri": "https://x.example"}, "client_nane is not"),
        ({"scope#ja": "x"}, "scope#ja is not"),
        ({"client_uri": "javascript:1"}, "client_uri must be"),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "token_endpoint_auth_method must be"),
        ({"redirect_uris": ["http://app.example"]}, "redirect_uris must be"),
    ],
)
def test_what_can_never_be_forced_stops_the_start(make_app: MakeApp, metadata: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"DYNREG_POLICIES: ours: {says}"):
        serve(make_app, {"policy": "forced", "name": "ours", "metadata": metadata})


def test_every_policy_is_in_these_tables() -> None:
    tried = {policy if isinstance(policy, str) else policy["policy"] for policy, *_ in [*FINE, *REFUSED]}
    changing = {"scope_ceiling", "default_scopes", "grant_ceiling", "forced"}
    elsewhere = {"approval", "lifetime"}
    assert {*PLAIN, *WITH_SETTINGS} == tried | changing | elsewhere
