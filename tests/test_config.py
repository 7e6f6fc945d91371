"""The `DYNREG_` keys: what each is by default, and what stops the start."""

import dataclasses
import json
import re
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from hypothesis import given
from hypothesis import strategies as st

from flask_dynreg import ConfigurationError, DynamicRegistration
from flask_dynreg.config import Settings
from tests.conftest import ISSUER, SERVER_METADATA
from tests.hostile import json_values
from tests.statements import public, rsa_key, trusted

FERNET_KEY = urlsafe_b64encode(bytes(range(32))).decode()  # the same in every worker that collects the tests

DEFAULTS: dict[str, Any] = {
    "DYNREG_ACCESS": ("initial_access_token",),
    "DYNREG_TOKEN_ISSUERS": (),
    "DYNREG_CERTIFICATE_HEADER": "",
    "DYNREG_TRUSTED_PROXIES": (),
    "DYNREG_URL_PREFIX": "/oauth2",
    "DYNREG_DISCOVERY": True,
    "DYNREG_OPENID_DISCOVERY": False,
    "DYNREG_POLICIES": (),
    "DYNREG_DEFAULT_SCOPES": (),
    "DYNREG_UNSUPPORTED": "narrow",
    "DYNREG_APPLICATION_TYPE": "lenient",
    "DYNREG_RESERVED_NAMES": (),
    "DYNREG_STATEMENT_ISSUERS": (),
    "DYNREG_SECRET_KEYS": (),
    "DYNREG_AUDIT_KEYS": (),
    "DYNREG_HISTORY": 20,
    "DYNREG_CLIENT_SECRET_LIFETIME": 0,
    "DYNREG_CLIENT_SECRET_ROTATION_WINDOW": 0,
    "DYNREG_CLIENT_SECRET_OVERLAP": 0,
    "DYNREG_CLIENT_LIFETIMES": {},
    "DYNREG_TOMBSTONE_RETENTION": 7776000,
    "DYNREG_REGISTRATION_TOKEN_ROTATION": "never",
    "DYNREG_REGISTRATION_TOKEN_LIFETIME": 0,
    "DYNREG_LIMITS": ("address 600/hour", "server 6000/hour"),
    "DYNREG_LIMITS_STORAGE": "memory://",
    "DYNREG_QUOTAS": {},
    "DYNREG_LIMITS_ON_FAILURE": ("open", "software_statement"),
    "DYNREG_OPERATORS_API": False,
    "DYNREG_MANAGEMENT": ("read", "update", "delete"),
    "DYNREG_CORS_ORIGINS": "*",
    "DYNREG_IDEMPOTENCY": False,
    "DYNREG_MAX_REQUEST_BYTES": 65536,
}
KEYS = [*DEFAULTS, "DYNREG_SERVER_METADATA", "DYNREG_PRIVATE_SCHEMES"]

WRONG: dict[str, list[Any]] = {
    "DYNREG_ACCESS": ["open", None, True, 1, {"open"}, {"open": True}, ["opened"], ["open", "open"], [1], [["open"]]],
    "DYNREG_TOKEN_ISSUERS": [None, "x", {}, ["x"], [None], {"issuer": "x"}],
    "DYNREG_CERTIFICATE_HEADER": [None, 1, "a b", "a:", "\u00e9", ["Client-Cert"]],
    "DYNREG_TRUSTED_PROXIES": [None, "10.0.0.0/8", ["10.0.0.1/8"], ["proxy.example"], [1], {"10.0.0.0/8": True}],
    "DYNREG_SERVER_METADATA": [None, ISSUER, [], 1, [("issuer", ISSUER)]],
    "DYNREG_URL_PREFIX": [None, 1, "oauth2", "/", "/oauth2/", "/a//b", "/a b", "/<a>", "/a\n", "/\u00e9", "/a?b"],
    "DYNREG_DISCOVERY": [None, 0, 1, "true", "False", []],
    "DYNREG_OPENID_DISCOVERY": [None, 0, 1, "true", "False", []],
    "DYNREG_IDEMPOTENCY": [None, 0, 1, "true", "False", []],
    "DYNREG_DEFAULT_SCOPES": ["mcp:read", None, 1, [1], {"mcp:read": True}, ["mcp:other"]],
    "DYNREG_POLICIES": [
        "mcp",
        None,
        1,
        [1],
        ["unknown"],
        {"policy": "lifetime", "seconds": 1},
        [{"policy": "lifetime"}],
    ],
    "DYNREG_UNSUPPORTED": [None, True, "", "refuse", "Narrow", ["narrow"], {}],
    "DYNREG_APPLICATION_TYPE": [None, True, "", "web", "native", ["strict"]],
    "DYNREG_PRIVATE_SCHEMES": [
        None,
        "cursor",
        ["cursor"],
        {"cursor": None},
        {"cursor": 1},
        {1: ".*"},
        {b"cursor": ".*"},
        {"Cursor": ".*"},
        {"1cursor": ".*"},
        {"cursor:": ".*"},
        {"": ".*"},
        {"cursor\n": ".*"},
        {"cursor": "("},
    ],
    "DYNREG_RESERVED_NAMES": ["Claude", None, 1, True, [1], [None], {"Claude": True}, [""], ["Claude", " \u200d"]],
    "DYNREG_STATEMENT_ISSUERS": [
        None,
        trusted(),
        '[{"issuer": "https://directory.example"}]',
        ['{"issuer": "https://directory.example"}'],
        [[trusted()]],
        [{}],
        [trusted("")],
        [trusted(), trusted()],
        [trusted(jwks_uri="https://directory.example/jwks", jwks=public(rsa_key()))],
        [trusted(jwks_uri="http://directory.example/jwks")],
        [trusted(algorithms=["HS256"])],
        [trusted(anything=True)],
    ],
    "DYNREG_AUDIT_KEYS": [FERNET_KEY, [FERNET_KEY[:-1]], [b"x"], ["A" * 44]],
    "DYNREG_HISTORY": [-1, True, "20", None],
    "DYNREG_SECRET_KEYS": [
        FERNET_KEY,
        None,
        1,
        ["short"],
        [FERNET_KEY[:-1]],
        [FERNET_KEY.encode()],
        [FERNET_KEY, None],
        {FERNET_KEY: True},
    ],
    "DYNREG_CLIENT_SECRET_LIFETIME": [None, -1, 1.5, 60.0, True, "60", [60]],
    "DYNREG_CLIENT_SECRET_ROTATION_WINDOW": [None, -1, 1.5, 60.0, True, "60", [60], 60],
    "DYNREG_CLIENT_SECRET_OVERLAP": [None, -1, 1.5, 60.0, True, "60", [60]],
    "DYNREG_CLIENT_LIFETIMES": [
        None,
        ["open"],
        {"open": 1},
        {"operator": {"idle": 1}},
        {"open": {"old": 1}},
        {"open": {"idle": 0}},
        {"open": {"idle": True}},
        {"open": {"idle": 1.0}},
        {"all": {"idle": 2**31}},
        {1: {}},
    ],
    "DYNREG_TOMBSTONE_RETENTION": [None, 0, -1, True, "1", 1.0],
    "DYNREG_REGISTRATION_TOKEN_ROTATION": ["", "always", None, True, ["read"], {"read": True}],
    "DYNREG_REGISTRATION_TOKEN_LIFETIME": [None, -1, 1.5, 60.0, True, "60", [60]],
    "DYNREG_LIMITS": ["address 1/hour", None, 1, [1], ["address"], ["1/hour"], {"address": "1/hour"}],
    "DYNREG_LIMITS_STORAGE": [None, "", 1, ["memory://"], "nowhere://"],
    "DYNREG_QUOTAS": [None, 1, ["open"], {"open": "1"}, {"open": -1}, {"open": True}, {"client": 1}, {"open": 2**31}],
    "DYNREG_LIMITS_ON_FAILURE": ["open", None, ["refuse"], ["open", "open"], {"open": "refuse"}],
    "DYNREG_OPERATORS_API": [None, 0, 1, "true", "False", []],
    "DYNREG_MANAGEMENT": ["read", None, True, ["write"], ["read", "read"], [None]],
    "DYNREG_CORS_ORIGINS": [
        None,
        True,
        "https://app.example",
        ["*"],
        ["app.example"],
        ["https://app.example/"],
        [1],
        ["https://*.example"],
        ["https://app.example\n"],
        ["null"],
    ],
    "DYNREG_MAX_REQUEST_BYTES": [None, 0, -1, 1023, True, "65536", 65536.0],
}

RIGHT: list[tuple[str, Any]] = [
    ("DYNREG_ACCESS", []),
    ("DYNREG_ACCESS", ["open"]),
    ("DYNREG_ACCESS", ("initial_access_token", "open")),
    ("DYNREG_TOKEN_ISSUERS", [trusted("https://partners.example")]),
    ("DYNREG_CERTIFICATE_HEADER", ""),
    ("DYNREG_TRUSTED_PROXIES", ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]),
    ("DYNREG_URL_PREFIX", ""),
    ("DYNREG_URL_PREFIX", "/a/b-c_d.e~f"),
    ("DYNREG_DISCOVERY", False),
    ("DYNREG_OPENID_DISCOVERY", True),
    ("DYNREG_IDEMPOTENCY", True),
    ("DYNREG_DEFAULT_SCOPES", ["mcp:read", "offline_access"]),
    ("DYNREG_POLICIES", ["mcp", {"policy": "lifetime", "seconds": 1}]),
    ("DYNREG_UNSUPPORTED", "reject"),
    ("DYNREG_APPLICATION_TYPE", "strict"),
    ("DYNREG_PRIVATE_SCHEMES", {}),
    ("DYNREG_PRIVATE_SCHEMES", {"my-app+1": "", "com.example.app": "[a-z]+"}),
    ("DYNREG_RESERVED_NAMES", []),
    ("DYNREG_RESERVED_NAMES", ["Claude", "Example Bank", "\u4f8b\u9280\u884c"]),
    ("DYNREG_STATEMENT_ISSUERS", [trusted(), trusted("other", jwks_uri="https://other.example/jwks")]),
    ("DYNREG_AUDIT_KEYS", [FERNET_KEY]),
    ("DYNREG_HISTORY", 0),
    ("DYNREG_SECRET_KEYS", [FERNET_KEY]),
    ("DYNREG_SECRET_KEYS", (FERNET_KEY, FERNET_KEY)),
    ("DYNREG_CLIENT_SECRET_LIFETIME", 86400),
    ("DYNREG_CLIENT_SECRET_ROTATION_WINDOW", 0),
    ("DYNREG_CLIENT_SECRET_OVERLAP", 3600),
    ("DYNREG_CLIENT_LIFETIMES", {"all": {"absolute": 1, "secret": 2}, "open": {}, "session": {"pending": 3}}),
    ("DYNREG_TOMBSTONE_RETENTION", 1),
    ("DYNREG_REGISTRATION_TOKEN_ROTATION", "update"),
    ("DYNREG_REGISTRATION_TOKEN_ROTATION", "read"),
    ("DYNREG_REGISTRATION_TOKEN_LIFETIME", 86400),
    ("DYNREG_LIMITS", ["token 1/second", "software_id 100/5 minutes"]),
    ("DYNREG_LIMITS_STORAGE", "redis://127.0.0.1:6379/1"),
    ("DYNREG_QUOTAS", {"open": 10, "owner": 0, "software_id": 1, "pending": 5}),
    ("DYNREG_LIMITS_ON_FAILURE", []),
    ("DYNREG_OPERATORS_API", False),
    ("DYNREG_MANAGEMENT", []),
    ("DYNREG_MANAGEMENT", ["read"]),
    ("DYNREG_CORS_ORIGINS", []),
    ("DYNREG_CORS_ORIGINS", ["https://app.example", "http://localhost:3000", "app+x://y"]),
    ("DYNREG_MAX_REQUEST_BYTES", 1024),
]


def start(app: Flask) -> Settings:
    DynamicRegistration(SQLAlchemy()).init_app(app)
    settings: Settings = app.extensions["dynreg"].settings
    return settings


def started(**config: Any) -> Settings:
    app = Flask(__name__)
    app.config.update({"DYNREG_SERVER_METADATA": SERVER_METADATA} | config)
    return start(app)


def in_force(settings: Settings, key: str) -> Any:
    return getattr(settings, key.removeprefix("DYNREG_").lower())


def stopped(**config: Any) -> str | None:
    """What the error says that stops the start, if one does."""
    try:
        started(**config)
    except ConfigurationError as error:
        return str(error)
    return None


def fault(**config: Any) -> str:
    message = stopped(**config)
    assert message is not None
    return message


def test_every_key_is_tested_here() -> None:
    keys = {f"DYNREG_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    assert keys == set(KEYS) == set(WRONG)
    assert {key for key, _ in RIGHT} == keys - {"DYNREG_SERVER_METADATA"}


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_key_that_is_not_there_has_its_default(key: str) -> None:
    assert in_force(started(), key) == DEFAULTS[key]


def test_the_default_private_schemes_are_those_of_known_desktop_clients() -> None:
    assert set(started().private_schemes) == {
        "cursor",
        "vscode",
        "vscode-insiders",
        "vscodium",
        "windsurf",
        "claude",
        "jetbrains",
        "oc",
        "grokbot",
    }


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_wrong_value_stops_the_start_and_the_error_names_the_key(key: str, value: Any) -> None:
    assert re.match(rf"{key}\b", fault(**{key: value}))


@pytest.mark.parametrize(("key", "value"), RIGHT)
def test_a_right_value_is_in_force(key: str, value: Any) -> None:
    assert in_force(started(**{key: value}), key) == (tuple(value) if isinstance(value, list) else value)


@given(st.sampled_from(KEYS), json_values)
def test_whatever_value_a_key_has_the_app_starts_or_the_error_names_the_key(key: str, value: Any) -> None:
    assert key in (stopped(**{key: value}) or key)


@pytest.mark.parametrize(
    ("unknown", "near"),
    [
        ("DYNREG_ACESS", "DYNREG_ACCESS"),
        ("DYNREG_SCOPES_DEFAULT", "DYNREG_DEFAULT_SCOPES"),
        ("DYNREG_SECRET_KEY", "DYNREG_SECRET_KEYS"),
        ("DYNREG_SERVER_METADATA_", "DYNREG_SERVER_METADATA"),
        ("DYNREG_url_prefix", None),
        ("DYNREG_", None),
        ("DYNREG_0123456789", None),
    ],
)
def test_an_unknown_key_stops_the_start_and_the_error_names_the_near_one(unknown: str, near: str | None) -> None:
    message = fault(**{unknown: True})
    assert message.startswith(f"{unknown} is not a setting")
    if near:
        assert message.endswith(f"is {near} meant?")


def test_keys_of_others_are_nobodys_business() -> None:
    started(DYNREGISTRATION=1, dynreg_acess=1, MY_DYNREG_ACCESS=1)


# ---- Keys that have to fit together


def test_default_scopes_must_be_scopes_of_the_server() -> None:
    message = fault(DYNREG_DEFAULT_SCOPES=["mcp:read", "mcp:admin"])
    assert message.startswith("DYNREG_DEFAULT_SCOPES") and "scopes_supported" in message
    assert "DYNREG_DEFAULT_SCOPES" in fault(
        DYNREG_DEFAULT_SCOPES=["mcp:read"],
        DYNREG_SERVER_METADATA={name: value for name, value in SERVER_METADATA.items() if name != "scopes_supported"},
    )


def test_client_secret_jwt_needs_keys_for_secrets() -> None:
    server = SERVER_METADATA | {"token_endpoint_auth_methods_supported": ["client_secret_jwt"]}
    assert fault(DYNREG_SERVER_METADATA=server).startswith("DYNREG_SECRET_KEYS")
    started(DYNREG_SERVER_METADATA=server, DYNREG_SECRET_KEYS=[FERNET_KEY])


@pytest.mark.parametrize(
    ("lifetime", "window", "overlap", "wrong"),
    [
        (100, 100, 50, "ROTATION_WINDOW"),
        (0, 1, 50, "ROTATION_WINDOW"),
        (100, 30, 0, "OVERLAP"),
        (100, 30, 101, "OVERLAP"),
        (100, 0, 101, "OVERLAP"),
        (100, 99, 100, None),
        (100, 0, 100, None),
        (0, 0, 100, None),
    ],
)
def test_the_clocks_of_client_secrets_fit_together(lifetime: int, window: int, overlap: int, wrong: str | None) -> None:
    message = stopped(
        DYNREG_CLIENT_SECRET_LIFETIME=lifetime,
        DYNREG_CLIENT_SECRET_ROTATION_WINDOW=window,
        DYNREG_CLIENT_SECRET_OVERLAP=overlap,
    )
    assert message is None if wrong is None else (message or "").startswith(f"DYNREG_CLIENT_SECRET_{wrong} must")


def test_openid_discovery_needs_discovery() -> None:
    assert fault(DYNREG_DISCOVERY=False, DYNREG_OPENID_DISCOVERY=True).startswith("DYNREG_OPENID_DISCOVERY")


@pytest.mark.parametrize(
    "scheme",
    [
        "javascript",
        "data",
        "vbscript",
        "file",
        "blob",
        "filesystem",
        "about",
        "view-source",
        "intent",
        "http",
        "https",
        "ws",
        "wss",
        "ftp",
        "jar",
        "mailto",
        "tel",
        "sms",
        "ms-settings",
        "search-ms",
    ],
)
def test_a_scheme_that_runs_or_reads_things_cannot_be_allowed(scheme: str) -> None:
    message = fault(DYNREG_PRIVATE_SCHEMES={"cursor": ".*", scheme: ".*"})
    assert message.startswith("DYNREG_PRIVATE_SCHEMES") and scheme in message and "cursor" not in message


# ---- Copies


def test_what_a_host_does_to_its_dictionaries_afterwards_changes_nothing() -> None:
    server = json.loads(json.dumps(SERVER_METADATA))
    schemes, access, scopes = {"myapp": "a"}, ["open"], ["mcp:read"]
    settings = started(
        DYNREG_SERVER_METADATA=server,
        DYNREG_PRIVATE_SCHEMES=schemes,
        DYNREG_ACCESS=access,
        DYNREG_DEFAULT_SCOPES=scopes,
    )
    server["issuer"] = "https://evil.example"
    server["scopes_supported"].append("admin")
    schemes["other"] = ".*"
    access.clear()
    scopes.append("mcp:write")
    assert settings.server_metadata["issuer"] == ISSUER
    assert settings.server_metadata["scopes_supported"] == SERVER_METADATA["scopes_supported"]
    assert settings.private_schemes == {"myapp": "a"}
    assert settings.access == ("open",)
    assert settings.default_scopes == ("mcp:read",)


def test_two_apps_of_one_extension_have_settings_of_their_own() -> None:
    dynreg = DynamicRegistration(SQLAlchemy())
    shared = dict(SERVER_METADATA)
    settings = []
    for number in (1, 2):
        app = Flask(__name__)
        shared["issuer"] = f"https://{number}.example"
        app.config.update(DYNREG_SERVER_METADATA=shared, DYNREG_URL_PREFIX=f"/{number}")
        dynreg.init_app(app)
        settings.append(app.extensions["dynreg"].settings)
    assert [each.server_metadata["issuer"] for each in settings] == ["https://1.example", "https://2.example"]
    assert [each.url_prefix for each in settings] == ["/1", "/2"]


def test_settings_do_not_change() -> None:
    settings = started()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.access = ("open",)  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.server_metadata["issuer"] = "https://evil.example"  # type: ignore[index]
