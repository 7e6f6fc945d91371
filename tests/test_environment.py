"""The `DYNREG_` keys from the environment."""

import json
import os
import re
from typing import Any

import pytest
from flask import Flask

from flask_dynreg import ConfigurationError
from flask_dynreg.config import Settings
from tests.conftest import SERVER_METADATA
from tests.test_config import FERNET_KEY, in_force, start


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("FLASK_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def started_from_environment() -> Settings:
    app = Flask(__name__)
    app.config["DYNREG_SERVER_METADATA"] = dict(SERVER_METADATA)
    app.config.from_prefixed_env()
    return start(app)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("DYNREG_ACCESS", '["open"]', ("open",)),
        ("DYNREG_ACCESS", "[]", ()),
        ("DYNREG_URL_PREFIX", "/register-here", "/register-here"),
        ("DYNREG_DISCOVERY", "false", False),
        ("DYNREG_DEFAULT_SCOPES", '["mcp:read"]', ("mcp:read",)),
        ("DYNREG_UNSUPPORTED", "reject", "reject"),
        ("DYNREG_APPLICATION_TYPE", "strict", "strict"),
        ("DYNREG_PRIVATE_SCHEMES", '{"myapp": "[a-z]*"}', {"myapp": "[a-z]*"}),
        ("DYNREG_PRIVATE_SCHEMES__myapp", "[a-z]*", {"myapp": "[a-z]*"}),
        ("DYNREG_SECRET_KEYS", json.dumps([FERNET_KEY]), (FERNET_KEY,)),
        ("DYNREG_CLIENT_SECRET_LIFETIME", "3600", 3600),
        ("DYNREG_MANAGEMENT", '["read", "delete"]', ("read", "delete")),
        ("DYNREG_CORS_ORIGINS", "*", "*"),
        ("DYNREG_CORS_ORIGINS", "[]", ()),
        ("DYNREG_MAX_REQUEST_BYTES", "2048", 2048),
    ],
)
def test_every_key_can_come_from_the_environment(
    environment: pytest.MonkeyPatch, key: str, text: str, value: Any
) -> None:
    environment.setenv(f"FLASK_{key}", text)
    assert in_force(started_from_environment(), key.partition("__")[0]) == value


def test_the_server_metadata_can_come_from_the_environment_as_a_whole(environment: pytest.MonkeyPatch) -> None:
    whole = SERVER_METADATA | {"issuer": "https://whole.example", "scopes_supported": ["one"]}
    environment.setenv("FLASK_DYNREG_SERVER_METADATA", json.dumps(whole))
    assert started_from_environment().server_metadata["issuer"] == "https://whole.example"
    assert started_from_environment().server_metadata["scopes_supported"] == ["one"]


def test_the_server_metadata_can_come_from_the_environment_member_by_member(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FLASK_DYNREG_SERVER_METADATA__issuer", "https://other.example")
    environment.setenv("FLASK_DYNREG_SERVER_METADATA__scopes_supported", '["one"]')
    settings = started_from_environment()
    assert settings.server_metadata["issuer"] == "https://other.example"
    assert settings.server_metadata["scopes_supported"] == ["one"]
    assert settings.server_metadata["token_endpoint"] == SERVER_METADATA["token_endpoint"]


@pytest.mark.parametrize(
    ("key", "text", "form"),
    [
        ("DYNREG_ACCESS", "open", '["open", "initial_access_token", "software_statement", "session", "mutual_tls"]'),
        (
            "DYNREG_ACCESS",
            "open,initial_access_token",
            '["open", "initial_access_token", "software_statement", "session", "mutual_tls"]',
        ),
        ("DYNREG_MANAGEMENT", "read", '["read", "update", "delete"]'),
        ("DYNREG_DEFAULT_SCOPES", "mcp:read mcp:write", '["..."]'),
        ("DYNREG_CORS_ORIGINS", "https://app.example", '["https://app.example"]'),
        ("DYNREG_SERVER_METADATA", "https://as.example", '{"issuer": "https://..."}'),
        ("DYNREG_SERVER_METADATA__scopes_supported", "mcp:read", '["..."]'),
    ],
)
def test_a_bare_string_where_json_belongs_stops_the_start_and_shows_the_json(
    environment: pytest.MonkeyPatch, key: str, text: str, form: str
) -> None:
    environment.setenv(f"FLASK_{key}", text)
    with pytest.raises(ConfigurationError, match=re.escape(form)) as caught:
        started_from_environment()
    assert str(caught.value).startswith(key.partition("__")[0])


def test_a_key_for_secrets_without_a_list_around_it_stops_the_start_and_is_not_shown(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("FLASK_DYNREG_SECRET_KEYS", FERNET_KEY)
    with pytest.raises(ConfigurationError, match=r"^DYNREG_SECRET_KEYS must be a list") as caught:
        started_from_environment()
    assert FERNET_KEY not in str(caught.value)
