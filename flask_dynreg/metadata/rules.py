"""The rules between members. Each is a function that refuses: it yields what is wrong, and changes nothing.

Here are those of RFC 7591 itself; those about keys and about OpenID are in rooms of their own, and `broken` asks all of them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flask_dynreg.errors import Problem
from flask_dynreg.metadata.openid import OIDC
from flask_dynreg.metadata.schema import RFC7591
from flask_dynreg.metadata.server import ServerSupport
from flask_dynreg.server_metadata import REDIRECT_GRANTS

Metadata = dict[str, Any]
Check = Callable[[Metadata, ServerSupport], Iterator[Problem]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A check, and the members it reads: it is left out if one of these is not even of the right type.

    `about` names the members without all of which there is nothing to check; empty for what holds for every client.
    """

    check: Check
    reads: frozenset[str]
    about: frozenset[str]


class Rules(list[Rule]):
    """A list that its functions enter by themselves."""

    def rule(self, *reads: str, about: Iterable[str] = ()) -> Callable[[Check], Check]:
        def add(check: Check) -> Check:
            self.append(Rule(check, frozenset([*reads, *about]), frozenset(about)))
            return check

        return add


def broken(rules: Iterable[Rule], metadata: Metadata, server: ServerSupport, unsound: set[str]) -> list[Problem]:
    """All that the rules refuse; `unsound` names the members whose type was wrong, which nobody can reason about."""
    there = metadata.keys()
    return [
        problem
        for rule in rules
        if (not rule.about or not rule.about.isdisjoint(there)) and (not unsound or unsound.isdisjoint(rule.reads))
        for problem in rule.check(metadata, server)
    ]


RULES = Rules()


@RULES.rule("redirect_uris", "grant_types")
def redirect_uris_where_needed(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if not metadata["redirect_uris"] and REDIRECT_GRANTS.intersection(metadata["grant_types"]):
        yield Problem("/redirect_uris", "must have at least one URI for a grant type that redirects.", RFC7591)


@RULES.rule("redirect_uris")
def redirect_uris_sound(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    for number, uri in enumerate(metadata["redirect_uris"]):
        if fault := server.redirect_rules.fault(uri):
            yield Problem(f"/redirect_uris/{number}", fault, "RFC 8252 section 7, RFC 9700 section 2.1 and 2.6")


@RULES.rule("redirect_uris", "application_type", "grant_types")
def redirect_uris_of_application_type(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    for number, uri in enumerate(metadata["redirect_uris"]):
        if fault := server.redirect_rules.type_fault(uri, metadata.get("application_type"), metadata["grant_types"]):
            yield Problem(f"/redirect_uris/{number}", fault, OIDC)


@RULES.rule("grant_types")
def some_grant_type(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    grants = set(metadata["grant_types"])
    if not grants:
        supported = ", ".join(sorted(server.grant_types))
        yield Problem("/grant_types", f"must have one that is supported for the client: {supported}.", RFC7591)
    elif grants == {"refresh_token"}:
        yield Problem("/grant_types", "must have one beside refresh_token.", "RFC 6749 section 6")


@RULES.rule("grant_types", "response_types")
def response_type_for_redirect_grant(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if not metadata["response_types"] and REDIRECT_GRANTS.intersection(metadata["grant_types"]):
        supported = ", ".join(sorted(map(" ".join, server.response_types)))
        description = f"must have one that is supported for its grant types, of {supported}."
        yield Problem("/response_types", description, "RFC 7591 section 2.1")


@RULES.rule("token_endpoint_auth_method")
def supported_auth_method(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    if metadata["token_endpoint_auth_method"] not in server.auth_methods:
        supported = ", ".join(server.auth_methods)
        yield Problem("/token_endpoint_auth_method", f"must be one that is supported: {supported}.", RFC7591)


@RULES.rule(about=["claims_redirect_uris"])
def claims_redirect_uris_sound(metadata: Metadata, server: ServerSupport) -> Iterator[Problem]:
    for number, uri in enumerate(metadata["claims_redirect_uris"]):
        if fault := server.redirect_rules.fault(uri):
            yield Problem(f"/claims_redirect_uris/{number}", fault, "UMA 2.0 Grant section 2")
