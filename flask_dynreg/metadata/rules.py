"""The rules between members. Each is a function that refuses: it yields what is wrong, and changes nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flask_dynreg.errors import Problem
from flask_dynreg.metadata import key_sets
from flask_dynreg.metadata.schema import OIDC, RFC7591
from flask_dynreg.metadata.server import REDIRECT_GRANTS, ServerSupport

Metadata = dict[str, Any]
Check = Callable[[Metadata, ServerSupport], Iterator[Problem]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A check, and the members it reads: it is left out if one of these is not even of the right type."""

    check: Check
    reads: frozenset[str]


RULES: list[Rule] = []


def rule(*reads: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        RULES.append(Rule(check, frozenset(reads)))
        return check

    return add


@rule("redirect_uris", "grant_types")
def redirect_uris_where_needed(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if not metadata["redirect_uris"] and REDIRECT_GRANTS.intersection(metadata["grant_types"]):
        yield Problem("/redirect_uris", "must have at least one URI for a grant type that redirects.", RFC7591)


@rule("redirect_uris")
def redirect_uris_sound(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    for number, uri in enumerate(metadata["redirect_uris"]):
        if fault := server.redirect_rules.fault(uri):
            yield Problem(f"/redirect_uris/{number}", fault, "RFC 8252 section 7, RFC 9700 section 2.1 and 2.6")


@rule("redirect_uris", "application_type", "grant_types")
def redirect_uris_of_application_type(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    for number, uri in enumerate(metadata["redirect_uris"]):
        if fault := server.redirect_rules.type_fault(uri, metadata.get("application_type"), metadata["grant_types"]):
            yield Problem(f"/redirect_uris/{number}", fault, OIDC)


@rule("grant_types")
def some_grant_type(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    grants = set(metadata["grant_types"])
    if not grants:
        supported = ", ".join(sorted(server.grant_types))
        yield Problem("/grant_types", f"must have one that is supported for the client: {supported}.", RFC7591)
    elif grants == {"refresh_token"}:
        yield Problem("/grant_types", "must have one beside refresh_token.", "RFC 6749 section 6")


@rule("grant_types", "response_types")
def response_type_for_redirect_grant(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if not metadata["response_types"] and REDIRECT_GRANTS.intersection(metadata["grant_types"]):
        supported = ", ".join(sorted(" ".join(sorted(name)) for name in server.response_types))
        description = f"must have one that is supported for its grant types, of {supported}."
        yield Problem("/response_types", description, "RFC 7591 section 2.1")


@rule("token_endpoint_auth_method")
def supported_auth_method(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if metadata["token_endpoint_auth_method"] not in server.auth_methods:
        supported = ", ".join(server.auth_methods)
        yield Problem("/token_endpoint_auth_method", f"must be one that is supported: {supported}.", RFC7591)


@rule("jwks", "jwks_uri")
def one_source_of_keys(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if "jwks" in metadata and "jwks_uri" in metadata:
        yield Problem("/jwks", "must not be there beside jwks_uri.", RFC7591)


@rule("token_endpoint_auth_method", "jwks", "jwks_uri")
def key_for_private_key_jwt(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if metadata["token_endpoint_auth_method"] != "private_key_jwt" or "jwks_uri" in metadata:
        return
    if "jwks" not in metadata:
        yield Problem("/jwks", "must be there, or jwks_uri, for private_key_jwt.", "RFC 7523 section 2.2")
    elif not key_sets.can_verify(metadata["jwks"], server.signing_algorithms):
        yield Problem(
            "/jwks",
            "must have a key for signatures of a supported algorithm.",
            "RFC 7523 section 2.2",
        )


def broken(metadata: Metadata, server: ServerSupport, unsound: set[str]) -> list[Problem]:
    """All that the rules refuse; `unsound` names the members whose type was wrong, which nobody can reason about."""
    return [problem for rule in RULES if unsound.isdisjoint(rule.reads) for problem in rule.check(metadata, server)]
