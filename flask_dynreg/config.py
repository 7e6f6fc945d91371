"""Every `DYNREG_` key, declared once: name, default, meaning and check."""

import copy
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from flask_dynreg.errors import ConfigurationError
from flask_dynreg.server_metadata import checked_server_metadata

Check = Callable[[Any], str | None]
"""Says what would be right, or None if the value is."""

PREFIX = "DYNREG_"
DOORS = ("open", "initial_access_token", "software_statement", "session", "mutual_tls")
CLOCKS = ("absolute", "pending", "unused", "idle", "secret")
"""What may end the life of a client. Of several that are over, the first is told as the reason."""
OPERATIONS = ("read", "update", "delete")

_HOST = r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?"
# These editors hand the URI to the extension that its authority names. Their own extensions run commands.
_EXTENSION = r"(?!vscode\.|ms-vscode|anysphere\.cursor-deeplink)[a-z0-9][a-z0-9-]*\.[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?"
PRIVATE_SCHEMES = {
    "cursor": _EXTENSION,
    "vscode": _EXTENSION,
    "vscode-insiders": _EXTENSION,
    "vscodium": _EXTENSION,
    "windsurf": _EXTENSION,
    "claude": _HOST,
    "jetbrains": _HOST,
    "oc": _HOST,
    "grokbot": _HOST,
}


def _strings(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def list_of(*choices: str) -> Check:
    def check(value: Any) -> str | None:
        if _strings(value) and set(value) <= set(choices) and len(set(value)) == len(value):
            return None
        return f"must be a list, in JSON {json.dumps(list(choices))} or some of it"

    return check


def list_of_strings(value: Any) -> str | None:
    return None if _strings(value) else 'must be a list of strings, in JSON ["..."]'


def one_of(*choices: str) -> Check:
    return lambda value: None if value in choices else f"must be one of {', '.join(choices)}"


def header_name(value: Any) -> str | None:
    right = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9-]*", value)
    return None if right else "must be the name of a header"


def networks(value: Any) -> str | None:
    try:
        right = _strings(value) and all(ipaddress.ip_network(item) for item in value)
    except ValueError:
        right = False
    return None if right else 'must be a list of networks, in JSON ["10.0.0.0/8"]'


def quotas(value: Any) -> str | None:
    kinds = [*DOORS, "owner", "software_id", "pending"]
    right = isinstance(value, Mapping) and all(
        kind in kinds and isinstance(most, int) and not isinstance(most, bool) and 0 <= most < 2**31
        for kind, most in value.items()
    )
    return None if right else f"must map some of {', '.join(kinds)} to whole numbers"


def client_lifetimes(value: Any) -> str | None:
    right = isinstance(value, Mapping) and all(
        door in (*DOORS, "all")
        and isinstance(clocks, Mapping)
        and all(
            clock in CLOCKS and isinstance(seconds, int) and not isinstance(seconds, bool) and 0 < seconds < 2**31
            for clock, seconds in clocks.items()
        )
        for door, clocks in value.items()
    )
    if right:
        return None
    return f"must map some of {', '.join(DOORS)}, all to objects of seconds for some of {', '.join(CLOCKS)}"


def text(value: Any) -> str | None:
    return None if isinstance(value, str) and value else "must be a text"


def boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def whole_number(least: int) -> Check:
    def check(value: Any) -> str | None:
        right = isinstance(value, int) and not isinstance(value, bool) and value >= least
        return None if right else f"must be a whole number, {least} or more"

    return check


def url_prefix(value: Any) -> str | None:
    right = isinstance(value, str) and re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)*", value)
    return None if right else "must be empty or a path such as /oauth2, without a slash at its end"


def origins(value: Any) -> str | None:
    if value == "*" or (
        _strings(value) and all(re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\sA-Z*]+", item) for item in value)
    ):
        return None
    return 'must be "*" or a list of origins as browsers send them, in JSON ["https://app.example"]'


def scheme_patterns(value: Any) -> str | None:
    right = isinstance(value, Mapping) and all(isinstance(item, str) for pair in value.items() for item in pair)
    if not right or not all(re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) for scheme in value):
        return "must map schemes in small letters to regular expressions of their authority"
    for pattern in value.values():
        try:
            re.compile(pattern)
        except re.error as error:
            return f"has a regular expression that does not compile: {error}"
    return None


def list_of_objects(value: Any) -> str | None:
    right = isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value)
    return (
        None if right else "must be a list of JSON objects, as docs/software-statements.md and docs/tokens.md show them"
    )


def policy_names(value: Any) -> str | None:
    right = isinstance(value, list | tuple) and all(isinstance(item, str | Mapping) for item in value)
    return None if right else "must be a list of names and JSON objects, as docs/policies.md shows them"


def fernet_keys(value: Any) -> str | None:
    right = _strings(value) and all(re.fullmatch(r"[A-Za-z0-9_-]{43}=", item) for item in value)
    return None if right else "must be a list of keys as cryptography.fernet.Fernet.generate_key() makes them"


def server_metadata(value: Any) -> str | None:
    return (
        None if isinstance(value, Mapping) else 'must be a JSON object of RFC 8414, at least {"issuer": "https://..."}'
    )


def key(default: Any, meaning: str, check: Check) -> Any:
    return field(metadata={"default": default, "meaning": meaning, "check": check})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the `DYNREG_` keys of one app say: checked, copied, never changed.

    Raises ConfigurationError, naming the key, when a value is wrong or a `DYNREG_` key does not exist.
    """

    access: tuple[str, ...] = key(
        ["initial_access_token"],
        "The doors that are open to a client that registers: `open` for everybody, `initial_access_token` for who holds "
        "a token, `software_statement` for who brings one that fixes the redirect URIs, `session` for who is signed in, "
        "`mutual_tls` for who has a client certificate (docs/doors.md). `[]` closes registration: 404, and no "
        "`registration_endpoint` in discovery.",
        list_of(*DOORS),
    )
    token_issuers: tuple[Mapping[str, Any], ...] = key(
        [],
        "Who else may sign initial access tokens, as JSON objects (docs/tokens.md).",
        list_of_objects,
    )
    certificate_header: str = key(
        "",
        "The header in which a proxy passes on the client certificate that it has checked, for the door `mutual_tls`: "
        "`Client-Cert`, or one with PEM.",
        header_name,
    )
    trusted_proxies: tuple[str, ...] = key(
        [],
        "Networks of the proxies whose `DYNREG_CERTIFICATE_HEADER` is believed.",
        networks,
    )
    server_metadata: Mapping[str, Any] = key(
        None,
        "What the authorization server is and can do, in the names of RFC 8414: the one truth against which "
        "registrations are checked and that discovery publishes. `issuer` is required.",
        server_metadata,
    )
    url_prefix: str = key("/oauth2", "The path below which the endpoints are.", url_prefix)
    discovery: bool = key(
        True,
        "Serve the RFC 8414 document. `false` for an app that has its own: it merges `dynreg.server_metadata()`.",
        boolean,
    )
    openid_discovery: bool = key(
        False, "Serve the same document at the addresses of OpenID Connect Discovery as well.", boolean
    )
    policies: tuple[str | Mapping[str, Any], ...] = key(
        [],
        "The policies that hold for every client, by name: those that ship (docs/policies.md), profiles such as `mcp`, your own. "
        'One that has settings is an object: `{"policy": "scope_ceiling", "scopes": ["mcp:read"]}`.',
        policy_names,
    )
    default_scopes: tuple[str, ...] = key(
        [], "Scopes that every client gets; some of `scopes_supported`.", list_of_strings
    )
    unsupported: str = key(
        "narrow",
        "Grant types and response types that the server does not support are taken away (`narrow`) or refused (`reject`).",
        one_of("narrow", "reject"),
    )
    application_type: str = key(
        "lenient",
        "Whether a stated `application_type` narrows the redirect URIs as OpenID Connect says (`strict`).",
        one_of("lenient", "strict"),
    )
    private_schemes: Mapping[str, str] = key(
        PRIVATE_SCHEMES,
        "Private-use URI schemes without a period that may stand in redirect URIs, each with a regular expression for "
        "the authority (what stands between `//` and the next `/`). They take the place of the known ones.",
        scheme_patterns,
    )
    reserved_names: tuple[str, ...] = key(
        [],
        "Names such as your own, of which consent pages warn when a client has one, or what looks like one, in its name. "
        "Nobody is refused for it.",
        list_of_strings,
    )
    statement_issuers: tuple[Mapping[str, Any], ...] = key(
        [],
        "Who may sign software statements, as JSON objects (docs/software-statements.md), beside those that operators add by "
        "`flask dynreg issuer add`. Where there is nobody, software statements are ignored.",
        list_of_objects,
    )
    secret_keys: tuple[str, ...] = key(
        [],
        "Fernet keys, the newest first. With them client secrets are kept encrypted instead of as digests: needed for "
        "`client_secret_jwt`, and for answers to reads that repeat the secret.",
        fernet_keys,
    )
    audit_keys: tuple[str, ...] = key(
        [],
        "Keys for the links of the trail, made like those of `DYNREG_SECRET_KEYS`, the newest first. Without any, whoever can "
        "write to the database can make links (docs/trail.md).",
        fernet_keys,
    )
    history: int = key(20, "How many older versions of its metadata are kept for each client.", whole_number(0))
    client_secret_lifetime: int = key(0, "How long a client secret is good, in seconds; 0 for ever.", whole_number(0))
    client_secret_rotation_window: int = key(
        0,
        "How long before its end an update brings a client a new secret, in seconds; 0 for not before (docs/secrets.md).",
        whole_number(0),
    )
    client_secret_overlap: int = key(
        0,
        "How long an older client secret stays good beside the new one, in seconds, and never beyond its own end.",
        whole_number(0),
    )
    registration_token_rotation: str = key(
        "never",
        "When a client gets a new registration access token: `never`, with every `update`, or with every `read` as well "
        "(docs/rotation.md).",
        one_of("never", "update", "read"),
    )
    registration_token_lifetime: int = key(
        0, "How long a registration access token is good, in seconds; 0 for ever.", whole_number(0)
    )
    client_lifetimes: Mapping[str, Mapping[str, int]] = key(
        {},
        "After how many seconds clients are removed by `flask dynreg clients clean-up`, for each door or `all`: "
        '`{"open": {"unused": 86400, "idle": 7776000}}`, also `absolute`, `secret` and `pending` (docs/clean-up.md).',
        client_lifetimes,
    )
    tombstone_retention: int = key(
        7776000,
        "For how many seconds after its end the id of a client is known to have been one.",
        whole_number(1),
    )
    limits: tuple[str, ...] = key(
        ["address 600/hour", "server 6000/hour"],
        "How often clients may register: by `address`, `token`, `software_id` and `issuer` of a software statement, and all "
        "strangers together (`server`). `[]` for no limits. See docs/limits.md.",
        list_of_strings,
    )
    limits_storage: str = key(
        "memory://",
        "Where registrations are counted: `memory://` of each worker, or `redis://HOST:PORT` for all of them.",
        text,
    )
    quotas: Mapping[str, int] = key(
        {},
        "How many clients there may be: by a door, for each `owner` and `software_id`, and of those that wait for approval "
        "(`pending`). See docs/limits.md.",
        quotas,
    )
    limits_on_failure: tuple[str, ...] = key(
        ["open", "software_statement"],
        "The doors that let nobody in (503) while the storage of the limits cannot be asked. Through the others clients come in "
        "without being counted.",
        list_of(*DOORS),
    )
    operators_api: bool = key(
        False,
        "Serve the operators' API below `DYNREG_URL_PREFIX` (docs/operators.md), for whom `dynreg.operator` names.",
        boolean,
    )
    management: tuple[str, ...] = key(
        list(OPERATIONS),
        "What a client may do at its client configuration endpoint (RFC 7592). `[]` turns it off.",
        list_of(*OPERATIONS),
    )
    cors_origins: str | tuple[str, ...] = key(
        "*", "Origins whose scripts may call the endpoints of this extension: `*` or a list; `[]` for none.", origins
    )
    idempotency: bool = key(
        False,
        "Keep answers for ten minutes, encrypted, for clients that register with an `Idempotency-Key` and lose the answer "
        "(docs/idempotency.md).",
        boolean,
    )
    max_request_bytes: int = key(65536, "The size of the largest request body, in bytes.", whole_number(1024))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Settings":
        names = {PREFIX + setting.name.upper(): setting for setting in fields(cls)}
        for name in config:
            if name.startswith(PREFIX) and name not in names:
                near = get_close_matches(name, names, 1)
                raise ConfigurationError(f"{name} is not a setting" + (f"; is {near[0]} meant?" if near else "."))
        values: dict[str, Any] = {}
        for name, setting in names.items():
            value = copy.deepcopy(config.get(name, setting.metadata["default"]))
            if fault := setting.metadata["check"](value):
                raise ConfigurationError(f"{name} {fault}.")
            values[setting.name] = tuple(value) if isinstance(value, list) else value
        try:
            values["server_metadata"] = checked_server_metadata(
                values["server_metadata"], discovery=values["discovery"]
            )
        except ValueError as fault:
            raise ConfigurationError(f"{PREFIX}SERVER_METADATA: {fault}") from None
        settings = cls(**values)
        settings._check_together()
        return settings

    def _check_together(self) -> None:
        if self.certificate_header and not self.trusted_proxies:
            raise ConfigurationError("DYNREG_TRUSTED_PROXIES must name who may send DYNREG_CERTIFICATE_HEADER.")
        if "mutual_tls" in self.access and not self.certificate_header:
            raise ConfigurationError(
                "DYNREG_CERTIFICATE_HEADER must be there for the door mutual_tls in DYNREG_ACCESS."
            )
        window, lifetime = self.client_secret_rotation_window, self.client_secret_lifetime
        if window and window >= lifetime:
            raise ConfigurationError(
                "DYNREG_CLIENT_SECRET_ROTATION_WINDOW must be shorter than DYNREG_CLIENT_SECRET_LIFETIME."
            )
        if lifetime and self.client_secret_overlap > lifetime:
            raise ConfigurationError(
                "DYNREG_CLIENT_SECRET_OVERLAP must be no longer than DYNREG_CLIENT_SECRET_LIFETIME."
            )
        if window and not self.client_secret_overlap:
            raise ConfigurationError(
                "DYNREG_CLIENT_SECRET_OVERLAP must be 1 or more with DYNREG_CLIENT_SECRET_ROTATION_WINDOW: who loses the answer "
                "with the new secret has the older one alone."
            )
        supported = self.server_metadata.get("scopes_supported", ())
        if not set(self.default_scopes) <= set(supported):
            raise ConfigurationError(
                "DYNREG_DEFAULT_SCOPES must be some of scopes_supported in DYNREG_SERVER_METADATA."
            )
        methods = self.server_metadata["token_endpoint_auth_methods_supported"]
        if "client_secret_jwt" in methods and not self.secret_keys:
            raise ConfigurationError(
                "DYNREG_SECRET_KEYS must hold a key: client_secret_jwt in DYNREG_SERVER_METADATA needs secrets that can be read."
            )
