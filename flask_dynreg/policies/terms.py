"""The terms of who let a client in, as a policy: ceilings that hold whenever the client registers or changes."""

from flask_dynreg.errors import Problem, refusal
from flask_dynreg.metadata.places import redirect_hosts
from flask_dynreg.policies.policy import Metadata, PolicyContext, violation


def keep_terms(metadata: Metadata, context: PolicyContext) -> Metadata:
    """Scopes are taken away, as always; what else goes beyond the terms is refused."""
    terms, problems = context.principal.terms, list[Problem]()
    if terms.grant_types is not None and not set(metadata["grant_types"]) <= set(terms.grant_types):
        problems.append(violation("grant_types", f"must be some of {', '.join(terms.grant_types) or 'none'}."))
    if terms.redirect_hosts is not None and not set(redirect_hosts(metadata)) <= set(terms.redirect_hosts):
        problems.append(violation("redirect_uris", "must be at the hosts that are allowed for this client."))
    for member, value in terms.forced.items():
        if member in context.locked and metadata.get(member) != value:
            problems.append(violation(member, "must be something else than the software statement says."))
    if problems:
        raise refusal(problems)
    return metadata if terms.scopes is None else with_scopes(metadata, terms.scopes)


def with_scopes(metadata: Metadata, ceiling: tuple[str, ...]) -> Metadata:
    """The metadata without scopes that are not among these."""
    left = [scope for scope in metadata.get("scope", "").split(" ") if scope in ceiling]
    without = {name: value for name, value in metadata.items() if name != "scope"}
    return without | {"scope": " ".join(left)} if left else without
