"""`DYNREG_SERVER_METADATA`: what an authorization server may say of itself (RFC 8414), and what is made of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import given
from hypothesis import strategies as st

from flask_dynreg import ConfigurationError, DynamicRegistration
from tests.conftest import ISSUER
from tests.hostile import json_values

ENDPOINTS = {"authorization_endpoint": f"{ISSUER}/authorize", "token_endpoint": f"{ISSUER}/token"}
MEMBERS = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "scopes_supported",
    "response_types_supported",
    "response_modes_supported",
    "grant_types_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "service_documentation",
    "ui_locales_supported",
    "op_policy_uri",
    "op_tos_uri",
    "revocation_endpoint",
    "revocation_endpoint_auth_methods_supported",
    "revocation_endpoint_auth_signing_alg_values_supported",
    "introspection_endpoint",
    "introspection_endpoint_auth_methods_supported",
    "code_challenge_methods_supported",
    "introspection_endpoint_auth_signing_alg_values_supported",
    "authorization_response_iss_parameter_supported",
    "registration_endpoint",
    "signed_metadata",
    "x_unknown",
]


@contextmanager
def serving(app: Flask) -> Iterator[DynamicRegistration]:
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    dynreg.init_app(app)
    db.init_app(app)
    with app.app_context():
        try:
            db.create_all()
            yield dynreg
        finally:
            db.engine.dispose()


def published(metadata: Any, **config: Any) -> dict[str, Any]:
    """The document, from `{"issuer": ..., and the two endpoints}` with changes."""
    app = Flask(__name__)
    stated = {"issuer": ISSUER, **ENDPOINTS} | metadata
    app.config.update(DYNREG_SERVER_METADATA={name: value for name, value in stated.items() if value is not ...})
    app.config.update(config)
    with serving(app) as dynreg:
        return dynreg.server_metadata()


def stopped(metadata: Any, **config: Any) -> str | None:
    """What the error says that stops the start, if one does."""
    try:
        published(metadata, **config)
    except ConfigurationError as error:
        return str(error)
    return None


def fault(metadata: Any, **config: Any) -> str:
    message = stopped(metadata, **config)
    assert message and message.startswith("DYNREG_SERVER_METADATA")
    return message


@pytest.mark.parametrize(
    "issuer",
    [
        "https://as.example",
        "https://as.example/",
        "https://as.example/tenant/1",
        "https://as.example:8443",
        "https://192.0.2.1",
        "https://[2001:db8::1]/x",
        "http://127.0.0.1:5000",
        "http://localhost",
        "http://[::1]:80",
    ],
)
def test_an_issuer_is_published_character_by_character(issuer: str) -> None:
    assert published({"issuer": issuer})["issuer"] == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        ...,
        None,
        "",
        1,
        True,
        ["https://as.example"],
        "as.example",
        "//as.example",
        "https://",
        "https:///x",
        "http://as.example",
        "http://192.168.0.1",
        "http://localhost.evil.example",
        "ftp://as.example",
        "https:as.example",
        "https://as.example?x=1",
        "https://as.example?",
        "https://as.example#x",
        "https://as.example#",
        "https://u@as.example",
        "https://u:p@as.example",
        "https://as.example:port",
        "https://as.example:99999",
        "https://as example",
        "https://as.example\n",
        " https://as.example",
        "https://as.ex\u00e4mple",
        "https://as\\x",
        "https://[::1",
        "HTTPS://as.example",
        "HTTP://localhost",
        "https://as.example/" + "x" * 237,
    ],
)
def test_what_is_no_issuer_stops_the_start(issuer: Any) -> None:
    assert "issuer must be" in fault({"issuer": issuer})


@pytest.mark.parametrize(
    ("metadata", "missing"),
    [
        ({"authorization_endpoint": ...}, "authorization_endpoint"),
        ({"authorization_endpoint": ..., "grant_types_supported": ["implicit"]}, "authorization_endpoint"),
        ({"token_endpoint": ...}, "token_endpoint"),
        ({"token_endpoint": ..., "grant_types_supported": ["client_credentials"]}, "token_endpoint"),
        ({"token_endpoint": ..., "grant_types_supported": ["implicit", "refresh_token"]}, "token_endpoint"),
    ],
)
def test_an_endpoint_that_the_grant_types_need_must_be_there(metadata: dict[str, Any], missing: str) -> None:
    message = fault(metadata)
    assert f"{missing} must be there" in message and "DYNREG_DISCOVERY" in message
    published(metadata, DYNREG_DISCOVERY=False)


def test_an_endpoint_that_no_grant_type_needs_may_be_absent() -> None:
    published({"authorization_endpoint": ..., "grant_types_supported": ["client_credentials"]})
    published({"token_endpoint": ..., "grant_types_supported": ["implicit"], "response_types_supported": ["token"]})


@pytest.mark.parametrize("endpoint", ["token", "revocation", "introspection"])
@pytest.mark.parametrize("method", ["private_key_jwt", "client_secret_jwt"])
def test_a_method_with_a_jwt_needs_its_algorithms(endpoint: str, method: str) -> None:
    methods = f"{endpoint}_endpoint_auth_methods_supported"
    algorithms = f"{endpoint}_endpoint_auth_signing_alg_values_supported"
    for wrong in (..., [], ["none"], ["ES256", "none"]):
        assert algorithms in fault({methods: [method], algorithms: wrong})
    keys = ["A" * 43 + "="]
    assert published({methods: [method], algorithms: ["ES256"]}, DYNREG_SECRET_KEYS=keys)[algorithms] == ["ES256"]


def test_the_registration_endpoint_is_filled_in_and_must_not_be_stated() -> None:
    assert "registration_endpoint" in fault({"registration_endpoint": f"{ISSUER}/register"})
    assert published({})["registration_endpoint"] == f"{ISSUER}/oauth2/register"
    assert published({}, DYNREG_URL_PREFIX="/x")["registration_endpoint"] == f"{ISSUER}/x/register"
    assert "registration_endpoint" not in published({}, DYNREG_ACCESS=[])


def test_defaults_are_written_out() -> None:
    assert published({}, DYNREG_ACCESS=[]) == {
        "issuer": ISSUER,
        **ENDPOINTS,
        "grant_types_supported": ["authorization_code"],
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
    }


def test_what_is_stated_wins_over_a_default() -> None:
    stated = {
        "grant_types_supported": ["authorization_code", "implicit"],
        "response_types_supported": ["code", "token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256", "plain"],
    }
    document = published(stated)
    assert {name: document[name] for name in stated} == stated


def test_pkce_is_not_spoken_of_without_the_authorization_code_grant() -> None:
    assert "code_challenge_methods_supported" not in published({"grant_types_supported": ["client_credentials"]})


def test_an_empty_list_is_left_out() -> None:
    document = published({"scopes_supported": [], "ui_locales_supported": [], "code_challenge_methods_supported": []})
    assert document.keys().isdisjoint(["scopes_supported", "ui_locales_supported", "code_challenge_methods_supported"])


def test_names_of_other_vocabularies_are_published_as_they_are() -> None:
    others = {
        "op_policy_uri": "https://as.example/policy",
        "authorization_response_iss_parameter_supported": True,
        "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.as.example/token"},
        "vp_formats_supported": {"jwt_vc_json": {"alg_values": ["ES256"]}},
        "credential_configurations_supported": {"degree": {"format": "jwt_vc_json"}},
        "x_number": 1,
    }
    document = published(others)
    assert {name: document[name] for name in others} == others


@pytest.mark.parametrize(
    "name",
    [
        "authorization_endpoint",
        "token_endpoint",
        "revocation_endpoint",
        "introspection_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
        "service_documentation",
    ],
)
@pytest.mark.parametrize("value", [None, 1, "", "/token", "http://as.example/token", "https://as.example/t#x", [], {}])
def test_an_endpoint_that_is_no_https_url_stops_the_start(name: str, value: Any) -> None:
    assert name in fault({name: value})


def test_an_endpoint_may_be_on_loopback_and_have_a_query() -> None:
    assert (
        published({"token_endpoint": "http://127.0.0.1:5000/t?x=1"})["token_endpoint"] == "http://127.0.0.1:5000/t?x=1"
    )


@pytest.mark.parametrize(
    "name",
    [
        "grant_types_supported",
        "response_types_supported",
        "scopes_supported",
        "response_modes_supported",
        "token_endpoint_auth_methods_supported",
        "token_endpoint_auth_signing_alg_values_supported",
        "code_challenge_methods_supported",
    ],
)
@pytest.mark.parametrize("value", [None, True, "code", 1, {"code": True}, [1], [["code"]], [None]])
def test_a_list_that_is_none_stops_the_start(name: str, value: Any) -> None:
    assert name in fault({name: value})


@pytest.mark.parametrize("name", ["grant_types_supported", "response_types_supported", "scopes_supported"])
@pytest.mark.parametrize("item", ['co"de', "co\\de", "c\u00f6de", "", "code\n"])
def test_a_name_that_no_client_could_register_stops_the_start(name: str, item: str) -> None:
    assert name in fault({name: [item]})


def test_a_scope_with_a_space_in_it_stops_the_start() -> None:
    assert "scopes_supported" in fault({"scopes_supported": ["mcp:read mcp:write"]})


@pytest.mark.parametrize(
    "value",
    [
        datetime.now(UTC),
        b"x",
        {"x"},
        float("nan"),
        float("inf"),
        object(),
        {"a": object()},
        [Ellipsis],
        {(1, 2): "x"},
    ],
)
def test_what_is_not_json_stops_the_start(value: Any) -> None:
    assert "x_other must be made of JSON" in fault({"x_other": value})


@given(st.sampled_from(MEMBERS), json_values)
def test_whatever_a_member_is_the_app_starts_or_the_error_names_it(name: str, value: Any) -> None:
    assert name in (stopped({name: value}) or name)


def test_what_is_done_to_the_document_changes_neither_the_next_nor_that_of_another_app() -> None:
    def spoiled() -> dict[str, Any]:
        app = Flask(__name__)
        app.config["DYNREG_SERVER_METADATA"] = {"issuer": ISSUER, **ENDPOINTS, "scopes_supported": ["one"]}
        with serving(app) as dynreg:
            document = dynreg.server_metadata()
            for name in ("grant_types_supported", "code_challenge_methods_supported", "scopes_supported"):
                document[name].append("spoiled")
            return dynreg.server_metadata()

    assert "spoiled" not in str(spoiled())
    assert "spoiled" not in str(published({}))
