"""The terms of who let a client in, as a policy: ceilings that hold whenever the client registers or changes."""

from collections.abc import Collection

from flask_dynreg.errors import Problem, refusal
from flask_dynreg.metadata.places import redirect_hosts
from flask_dynreg.policies.policy import Metadata, PolicyContext, violation
from flask_dynreg.registry.principals import Terms


def keep_terms(metadata: Metadata, context: PolicyContext) -> Metadata:
    """Scopes are taken away, as always; what else goes beyond the terms is refused."""
    terms = context.principal.terms
    problems = beyond(terms, metadata)
    for member, value in terms.forced.items():
        if member.partition("#")[0] in context.locked and metadata.get(member) != value:
            problems.append(violation(member, "must be something else than the software statement says."))
    if problems:
        raise refusal(problems)
    kept = without_translations(metadata, terms.forced)
    ceilings = [terms.scopes] if terms.scopes is not None else []
    if "scope" in terms.forced:  # what every client gets besides is beyond it
        ceilings.append(tuple(terms.forced["scope"].split(" ")))
    for ceiling in ceilings:
        kept = with_scopes(kept, ceiling)
    return kept


def beyond(terms: Terms, metadata: Metadata) -> list[Problem]:
    """What is refused, of the members that are there."""
    problems = list[Problem]()
    if terms.grant_types is not None and not set(metadata.get("grant_types", ())) <= set(terms.grant_types):
        problems.append(violation("grant_types", f"must be some of {', '.join(terms.grant_types) or 'none'}."))
    if terms.redirect_hosts is not None and not set(redirect_hosts(metadata)) <= set(terms.redirect_hosts):
        problems.append(violation("redirect_uris", "must be at the hosts that are allowed for this client."))
    return problems


def without_translations(metadata: Metadata, members: Collection[str]) -> Metadata:
    """The metadata without these members in other languages: client_name#ja is what client_name says in Japanese."""
    lowered = {name.lower() for name in members}

    def is_one(name: str) -> bool:
        member, mark, _ = name.partition("#")
        return bool(mark) and name not in members and (member in members or name.lower() in lowered)

    return {name: value for name, value in metadata.items() if not is_one(name)}


def with_scopes(metadata: Metadata, ceiling: tuple[str, ...]) -> Metadata:
    """The metadata without scopes that are not among these."""
    left = [scope for scope in metadata.get("scope", "").split(" ") if scope in ceiling]
    without = {name: value for name, value in metadata.items() if name != "scope"}
    return without | {"scope": " ".join(left)} if left else without
