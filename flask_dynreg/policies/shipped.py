"""The policies that ship. What has settings is a class whose instances are policies; `SHIPPED` has them all by their names."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from flask_dynreg.errors import ConfigurationError, Problem, refusal
from flask_dynreg.metadata.algorithms import MACS, can_verify
from flask_dynreg.metadata.lookalikes import ReservedNames
from flask_dynreg.metadata.places import leads_to_this_device, redirect_hosts, redirects_of, strange_pages
from flask_dynreg.metadata.redirect_uris import RedirectRules
from flask_dynreg.metadata.server import grants_of
from flask_dynreg.policies.policy import Metadata, Policy, PolicyContext, Profile, refused, violation
from flask_dynreg.policies.terms import with_scopes, without_translations
from flask_dynreg.registry.client import CONSENTED

_NAMES = re.compile(r"client_name(#.*)?")


def _refused_if(problems: Sequence[Problem], metadata: Metadata) -> Metadata:
    if problems:
        raise refusal(problems)
    return metadata


# ---- Redirect URIs and pages


@dataclass(frozen=True)
class TrustedRedirectHosts:
    """Redirect URIs are at these hosts alone. A name with `*.` before it stands for all names below it; a private-use scheme is
    written as `com.example.app:`."""

    hosts: Sequence[str]

    def __call__(self, metadata: Metadata, context: PolicyContext) -> Metadata:
        strange = [
            violation(f"redirect_uris/{number}", "must be at a host that this server trusts.")
            for number, value in enumerate(metadata["redirect_uris"])
            if not all(map(self._trusts, redirect_hosts({"redirect_uris": [value]})))
        ]
        return _refused_if(strange, metadata)

    def _trusts(self, host: str) -> bool:
        _, _, above = host.partition(".")
        return host in self.hosts or (
            bool(above)
            and any(f"*.{above}" == name or host.endswith(name[1:]) for name in self.hosts if name.startswith("*."))
        )


def require_https(metadata: Metadata, context: PolicyContext) -> Metadata:
    """Redirect URIs are https at a host of the network: none leads to a program on the user's device."""
    local = [
        violation(f"redirect_uris/{number}", "must be https, and not lead to the user's device.")
        for number, value in enumerate(metadata["redirect_uris"])
        if any(map(leads_to_this_device, redirects_of({"redirect_uris": [value]})))
    ]
    return _refused_if(local, metadata)


def no_localhost_name(metadata: Metadata, context: PolicyContext) -> Metadata:
    """Loopback redirect URIs have an address, not the name localhost (RFC 8252 section 8.3)."""
    named = [
        violation(f"redirect_uris/{number}", "must have 127.0.0.1 or [::1] in the place of localhost.")
        for number, value in enumerate(metadata["redirect_uris"])
        if redirect_hosts({"redirect_uris": [value]}) == ("localhost",)
    ]
    return _refused_if(named, metadata)


@dataclass(frozen=True)
class PrivateUseSchemes:
    """Private-use URI schemes of redirect URIs are among these; `[]` for none."""

    schemes: Sequence[str]

    def __call__(self, metadata: Metadata, context: PolicyContext) -> Metadata:
        strange = [
            violation(
                f"redirect_uris/{number}",
                f"must be https, http on loopback, or have one of the schemes: {', '.join(self.schemes) or 'none'}.",
            )
            for number, value in enumerate(metadata["redirect_uris"])
            for uri in redirects_of({"redirect_uris": [value]})
            if uri.scheme not in ("https", "http", *self.schemes)
        ]
        return _refused_if(strange, metadata)


def agreeing_hosts(metadata: Metadata, context: PolicyContext) -> Metadata:
    """Pages and logo have the scheme and host of a redirect URI (RFC 7591 section 5), where the client has one on the web."""
    strange = strange_pages(metadata) or []
    return _refused_if(
        [violation(name, "must have the scheme and host of a redirect URI.") for name in strange], metadata
    )


def strict_application_type(metadata: Metadata, context: PolicyContext) -> Metadata:
    """A stated `application_type` narrows the redirect URIs (OpenID Connect Registration section 2)."""
    rules: RedirectRules = context.server.redirect_rules.strictly()
    stated = metadata.get("application_type")
    faults = [
        violation(f"redirect_uris/{number}", fault)
        for number, value in enumerate(metadata["redirect_uris"])
        if (fault := rules.type_fault(value, stated, metadata["grant_types"]))
    ]
    return _refused_if(faults, metadata)


# ---- What a client may do


@dataclass(frozen=True)
class ScopeCeiling:
    """A client gets none but these scopes: what else it asks for is dropped."""

    scopes: Sequence[str]

    def __call__(self, metadata: Metadata, context: PolicyContext) -> Metadata:
        return with_scopes(metadata, tuple(self.scopes))


@dataclass(frozen=True)
class DefaultScopes:
    """A client gets these scopes besides, as far as no ceiling takes them away, so that it can ask for more later without
    registering again."""

    scopes: Sequence[str]
    asked_once: ClassVar[bool] = True

    def __call__(self, metadata: Metadata, context: PolicyContext) -> Metadata:
        known = [scope for scope in self.scopes if scope in context.server.scopes]
        wanted = dict.fromkeys([*metadata.get("scope", "").split(), *known])
        return {**metadata, "scope": " ".join(wanted)} if wanted else metadata


@dataclass(frozen=True)
class GrantCeiling:
    """A client gets none but these grant types: others are taken away, and one that is left with none is refused."""

    grant_types: Sequence[str]

    def __call__(self, metadata: Metadata, context: PolicyContext) -> Metadata:
        left = [name for name in metadata["grant_types"] if name in self.grant_types]
        if not left:
            raise refused("grant_types", f"must have one of {', '.join(self.grant_types)}.")
        types = [name for name in metadata["response_types"] if grants_of(name) <= set(left)]
        return {**metadata, "grant_types": left, "response_types": types}


@dataclass(frozen=True)
class AuthMethodCeiling:
    """A client authenticates in one of these ways."""

    methods: Sequence[str]

    def __call__(self, metadata: Metadata, context: PolicyContext) -> Metadata:
        if metadata["token_endpoint_auth_method"] in self.methods:
            return metadata
        raise refused("token_endpoint_auth_method", f"must be one of {', '.join(self.methods)}.")


@dataclass(frozen=True)
class SigningAlgorithms:
    """Whatever is signed for or by a client is signed by one of these algorithms: a default that is none of them gives way to the
    first that the server has, what a client states is refused. A client that authenticates by a JWT and states none gets the
    first that it has a key for: otherwise any of the server's would do (OpenID Connect Registration section 2)."""

    algorithms: Sequence[str]

    def __call__(self, metadata: Metadata, context: PolicyContext) -> Metadata:
        signed = {name: value for name, value in metadata.items() if name.endswith(("_signed_response_alg", _SIGNED))}
        if metadata["token_endpoint_auth_method"] in _JWT_METHODS and context.server.declares(_listed(_AUTHENTICATION)):
            signed.setdefault(_AUTHENTICATION, None)
        better = {
            name: self._default(name, metadata, context)
            for name, value in signed.items()
            if value not in self.algorithms and not context.sent.get(name)
        }
        chosen = signed | better
        wrong = [
            violation(name, f"must be one of {', '.join(self.algorithms)}.")
            for name, value in chosen.items()
            if value not in self.algorithms
        ]
        return _refused_if(wrong, {**metadata, **chosen})

    def _default(self, name: str, metadata: Metadata, context: PolicyContext) -> str | None:
        supported, offered = context.server.values(_listed(name)), context.sent.get(_listed(name))
        possible = [algorithm for algorithm in self.algorithms if algorithm in supported]
        if offered and isinstance(offered, list):  # what the client can do, by OpenID Connect RP Metadata Choices
            possible = [algorithm for algorithm in possible if algorithm in offered]
        if name == _AUTHENTICATION:
            by_secret = metadata["token_endpoint_auth_method"] == "client_secret_jwt"
            possible = [algorithm for algorithm in possible if (algorithm in MACS) == by_secret]
        if name.endswith(_SIGNED):
            keys = metadata.get("jwks", {"keys": ()})["keys"]
            possible.sort(key=lambda algorithm: not can_verify(keys, [algorithm]))
        return next(iter(possible), None)


_SIGNED = "_signing_alg"
_AUTHENTICATION = "token_endpoint_auth_signing_alg"
_JWT_METHODS = ("private_key_jwt", "client_secret_jwt")


def _listed(name: str) -> str:
    """The server metadata that lists the algorithms for a member."""
    return f"{name.replace('_signed_response_alg', _SIGNED)}_values_supported"


@dataclass(frozen=True)
class Forced:
    """A client has these values, whatever it says in whatever language: JSON values by the names of members."""

    metadata: Mapping[str, Any]

    def __call__(self, metadata: Metadata, context: PolicyContext) -> Metadata:
        return {**without_translations(metadata, self.metadata), **self.metadata}


def require_pkce(metadata: Metadata, context: PolicyContext) -> Metadata:
    """No response but a code comes through the browser; and `client.is_under("require_pkce")` tells the authorization endpoint to
    want a code challenge."""
    wrong = [
        violation(f"response_types/{number}", "must be code: PKCE protects nothing else.")
        for number, name in enumerate(metadata["response_types"])
        if name != "code"
    ]
    return _refused_if(wrong, metadata)


def require_consent(metadata: Metadata, context: PolicyContext) -> Metadata:
    """Changes nothing; `client.is_under("require_consent")` tells the authorization endpoint to ask the user each time."""
    return metadata


def separate_machines(metadata: Metadata, context: PolicyContext) -> Metadata:
    """A client acts for users or for itself, not both (RFC 7591 section 5): client_credentials stands alone."""
    if "client_credentials" in metadata["grant_types"] and len(metadata["grant_types"]) > 1:
        raise refused("grant_types", "must not have client_credentials beside other grant types.")
    return metadata


# ---- Who it is


@dataclass(frozen=True)
class ForbiddenNames:
    """No client has one of these names, or what looks like one, in its name."""

    names: Sequence[str]

    def __call__(self, metadata: Metadata, context: PolicyContext) -> Metadata:
        return _without(ReservedNames(self.names), metadata)


def reserved_names(metadata: Metadata, context: PolicyContext) -> Metadata:
    """No client has one of `DYNREG_RESERVED_NAMES`, or what looks like one, in its name."""
    return _without(context.reserved_names, metadata)


def _without(names: ReservedNames, metadata: Metadata) -> Metadata:
    found = names.found(metadata)
    return _refused_if([violation(member, "must be a name that is not taken.") for member in found], metadata)


def require_name(metadata: Metadata, context: PolicyContext) -> Metadata:
    """A client says how it is called."""
    if any(map(_NAMES.fullmatch, metadata)):
        return metadata
    raise refused("client_name", "must be there.")


def require_statement(metadata: Metadata, context: PolicyContext) -> Metadata:
    """A client comes with a software statement (RFC 7591 section 2.3)."""
    if context.statement is not None:
        return metadata
    raise refused("software_statement", "must be there, from an issuer that this server trusts.")


def known_names_only(metadata: Metadata, context: PolicyContext) -> Metadata:
    """What this server does not know is refused, not ignored. What clients send back of an answer is known."""
    unknown = sorted(context.ignored - _OWN)
    return _refused_if(
        [
            violation(name.replace("~", "~0").replace("/", "~1"), "must be client metadata that this server knows.")
            for name in unknown
        ],
        metadata,
    )


_OWN = frozenset(
    {"client_id", "client_secret", "client_id_issued_at", "client_secret_expires_at", "registration_access_token"}
    | {"registration_client_uri", "software_statement", "iss", "iat", "exp", "nbf", "aud", "jti", "sub"}
)


# ---- For how long


def approval(metadata: Metadata, context: PolicyContext) -> Metadata:
    """An operator approves of a client before it can be used, and of what users see of it and trust in before it changes."""
    if context.client is None:
        context.require_approval("It is new.")
        return metadata
    before = context.client.client_metadata
    names = {name for name in {*before, *metadata} if name.partition("#")[0] in CONSENTED}
    changed = sorted(name for name in names if before.get(name) != metadata.get(name))
    if changed:
        context.require_approval(f"It changes {', '.join(changed)}.")
    return metadata


@dataclass(frozen=True)
class Lifetime:
    """A registration is good for so many seconds."""

    seconds: int

    def __call__(self, metadata: Metadata, context: PolicyContext) -> Metadata:
        context.limit_lifetime(self.seconds)
        return metadata


PLAIN: Mapping[str, Policy] = {
    policy.__name__: policy
    for policy in (
        require_https,
        no_localhost_name,
        agreeing_hosts,
        strict_application_type,
        require_pkce,
        require_consent,
        separate_machines,
        reserved_names,
        require_name,
        require_statement,
        known_names_only,
        approval,
    )
}
"""Those without settings."""

WITH_SETTINGS: Mapping[str, Callable[..., Policy]] = {
    "trusted_redirect_hosts": TrustedRedirectHosts,
    "private_use_schemes": PrivateUseSchemes,
    "scope_ceiling": ScopeCeiling,
    "default_scopes": DefaultScopes,
    "grant_ceiling": GrantCeiling,
    "auth_method_ceiling": AuthMethodCeiling,
    "signing_algorithms": SigningAlgorithms,
    "forced": Forced,
    "forbidden_names": ForbiddenNames,
    "lifetime": Lifetime,
}
"""Those with settings, which are the fields of their class."""


def _setting_fault(name: str, value: Any) -> str | None:
    """What would be right about a setting; None if it is."""
    if name == "seconds":
        right = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
        return None if right else "must be a whole number of seconds, of at least 1"
    if name == "metadata":
        return None if isinstance(value, Mapping) else "must be an object of client metadata"
    right = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    return None if right else "must be a list of strings"


def read_policies(wanted: Sequence[str | Mapping[str, Any]]) -> tuple[list[str], dict[str, Policy]]:
    """The names in `DYNREG_POLICIES`, and the policies that it makes: of `{"policy": NAME, ...settings}`, known as NAME or by
    a `name` of their own. Raises ConfigurationError."""
    names: list[str] = []
    made: dict[str, Policy] = {}
    for each in wanted:
        if isinstance(each, str):
            names.append(each)
            continue
        settings = dict(each)
        kind, name = settings.pop("policy", None), settings.pop("name", each.get("policy"))
        known = WITH_SETTINGS.get(kind) if isinstance(kind, str) else None
        if known is None:
            raise ConfigurationError(f"DYNREG_POLICIES: policy must be one of {', '.join(WITH_SETTINGS)}.")
        wants = sorted(setting.name for setting in fields(known))  # type: ignore[arg-type]
        if sorted(settings) != wants or not isinstance(name, str) or name in made:
            raise ConfigurationError(f"DYNREG_POLICIES: {kind} must have {', '.join(wants)}, and a name of its own.")
        for setting, value in settings.items():
            if fault := _setting_fault(setting, value):
                raise ConfigurationError(f"DYNREG_POLICIES: {setting} of {kind} {fault}.")
        made[name] = known(**settings)
        names.append(name)
    return names, made


def all_policies(
    profiles: Mapping[str, Profile], own: Mapping[str, Policy | Profile], made: Mapping[str, Policy]
) -> dict[str, Policy | Profile]:
    """All policies of an app by name. Raises ConfigurationError for a name that two have."""
    known: dict[str, Policy | Profile] = {}
    for group in (PLAIN, profiles, made, own):
        if taken := sorted(known.keys() & group.keys()):
            raise ConfigurationError(f"The policy {taken[0]} must be there once: its name is taken.")
        known.update(group)
    return known
