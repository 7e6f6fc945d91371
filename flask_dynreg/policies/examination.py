"""From a request to what would be registered for it: the statement, the terms, the metadata and the policies together."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from flask_dynreg.errors import ConfigurationError, Problem, RefusedMetadataError
from flask_dynreg.metadata.check import CheckedMetadata, Judge, MetadataCheck, Remake
from flask_dynreg.metadata.lookalikes import ReservedNames
from flask_dynreg.metadata.server import ServerSupport, words
from flask_dynreg.metadata.software_statement import VerifiedStatement
from flask_dynreg.policies.policy import Decision, Judgement, Outcome, Policies, Policy, PolicyContext, judged
from flask_dynreg.policies.shipped import Forced
from flask_dynreg.policies.terms import beyond, keep_terms, without_translations
from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.principals import NO_TERMS, Principal, RequestFacts, Terms


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a request, and why: for operators."""

    metadata: Mapping[str, Any] | None
    """The client metadata that would be registered; None if they would be refused."""
    problems: tuple[Problem, ...]
    """Why they would be refused: what the client would be told."""
    decisions: tuple[Decision, ...]
    """The policies that changed or refused something, in their order."""
    taken: Mapping[str, list[str]]
    """What would be taken away because the server does not support it, by the name of the member."""
    ignored: tuple[str, ...]
    """The names that are no client metadata here."""
    approval: str | None
    """Why an operator would have to approve of it, if so."""
    lifetime: int | None
    """Seconds for which the registration would be good; None for ever."""


class Examination:
    """Made once for an app. Raises ConfigurationError for a policy that forces what can never be registered."""

    def __init__(
        self, check: MetadataCheck, policies: Policies, server: ServerSupport, reserved_names: ReservedNames
    ) -> None:
        self._check = check
        self._policies = policies
        self._server = server
        self._reserved_names = reserved_names
        for name, policy in policies.named([]):
            if isinstance(policy, Forced):
                try:
                    self._settled(name, policy.metadata)
                except ValueError as fault:
                    raise ConfigurationError(f"DYNREG_POLICIES: {fault}") from None

    def remembered(self, principal: Principal, before: str | None = None) -> str | None:
        """The names of the policies that hold for a client, as it keeps them: those that held `before` go on to hold."""
        names = {
            **dict.fromkeys(_names(before)),
            **dict.fromkeys([*self._policies.everybody, *principal.terms.policies]),
        }
        return json.dumps(list(names)) if names else None

    def check_terms(self, terms: Terms) -> None:
        """Raises ValueError, naming the member: for what is no terms, and for some that nobody could ever meet."""
        said = {each.name: getattr(terms, each.name) for each in fields(terms)}
        Terms.from_object({name: value for name, value in said.items() if value != getattr(NO_TERMS, name)})
        if missing := self._policies.unknown(terms.policies):
            raise ValueError(f"policies: {missing[0]} is not the name of a policy.")
        if terms.scopes and self._server.scopes.isdisjoint(terms.scopes):
            raise ValueError("scopes must have one of this server, or none at all.")
        self._check_grants("grant_types", terms.grant_types)
        self._settled("defaults", terms.defaults)
        forced = self._settled("forced", terms.forced)
        for problem in beyond(terms, forced):
            raise ValueError(f"forced: {problem.member} {problem.description}")
        if terms.scopes is not None and not set(forced.get("scope", "").split()) <= set(terms.scopes):
            raise ValueError("forced: scope must be some of the scopes of the terms.")

    def _check_grants(self, name: str, grants: Collection[str] | None) -> None:
        if grants is not None and self._server.grant_types.intersection(grants) <= {"refresh_token"}:
            raise ValueError(f"{name} must have one of this server beside refresh_token.")

    def _settled(self, name: str, members: Mapping[str, Any]) -> Mapping[str, Any]:
        """Client metadata that somebody else sets for a client. Raises ValueError for what is none, or is wrong by itself."""
        if ignored := sorted(self._check.vocabulary.ignored(members)):
            raise ValueError(f"{name}: {ignored[0]} is not client metadata here.")
        metadata, problems = self._check.alone(members)
        for problem in problems:
            raise ValueError(f"{name}: {problem.member} {problem.description}")
        self._check_grants(f"{name}: grant_types", metadata.get("grant_types"))
        if not all(words(value) in self._server.response_types for value in metadata.get("response_types", ())):
            raise ValueError(f"{name}: response_types must be some that this server supports.")
        return metadata

    def holds(self, policies: str | None, name: str) -> bool:
        """Whether a policy is among those that a client keeps, be it in a profile."""
        return any(
            part in (name, f"{part.rpartition('/')[0]}/{name}") for part in self._policies.parts(_names(policies))
        )

    def __call__(
        self,
        sent: Mapping[str, Any],
        statement: VerifiedStatement | None,
        client: ClientRecord | None,
        principal: Principal,
        facts: RequestFacts,
        *,
        is_new: bool = False,
    ) -> CheckedMetadata:
        """With `is_new`, policies hear of the client as of one that registers: nobody has approved of it yet.

        Raises RefusedMetadataError with all that is wrong, ForbiddenError for a policy that is gone, and what policies do.
        """
        policies = self._policies_of(client, principal)
        if not policies:  # the way of most servers
            return self._checked(sent, statement, client, principal, None)
        hearing = _Hearing(self, policies, statement, None if is_new else client, principal, facts)
        checked = self._checked(sent, statement, client, principal, hearing)
        return hearing.completed(checked)

    def explain(
        self,
        sent: Mapping[str, Any],
        statement: VerifiedStatement | None,
        principal: Principal,
        facts: RequestFacts,
    ) -> Explanation:
        """The same for a registration, without a fetch, and with what led to it. Raises what is no refusal of metadata."""
        hearing = _Hearing(self, self._policies_of(None, principal), statement, None, principal, facts)
        checked, problems = None, tuple[Problem, ...]()
        try:
            checked = self._checked(sent, statement, None, principal, hearing, fetches=False)
        except RefusedMetadataError as error:
            problems = error.problems
        return Explanation(
            metadata=checked.metadata if checked else None,
            problems=problems,
            decisions=hearing.decisions,
            taken=checked.taken if checked else {},
            ignored=tuple(sorted(hearing.ignored)),
            approval=hearing.outcome.approval,
            lifetime=hearing.outcome.lifetime,
        )

    def _policies_of(self, client: ClientRecord | None, principal: Principal) -> list[tuple[str, Policy]]:
        remembered = _names(client.policies) if client else []
        policies = self._policies.named([*remembered, *principal.terms.policies])
        return policies if principal.terms == NO_TERMS else [*policies, ("terms", keep_terms)]

    def _checked(
        self,
        sent: Mapping[str, Any],
        statement: VerifiedStatement | None,
        client: ClientRecord | None,
        principal: Principal,
        judge: Judge | None,
        *,
        fetches: bool = True,
    ) -> CheckedMetadata:
        if principal.terms.defaults or principal.terms.forced:
            stated = {name: value for name, value in sent.items() if value not in (None, "", [])}
            template, forced = {**principal.terms.defaults, **stated}, principal.terms.forced
            sent = {**without_translations(template, forced), **forced}
        if client is None:
            return self._check(sent, statement=statement, judge=judge, fetches=fetches)
        return self._check(sent, client.client_metadata, statement, client.client_id, judge, fetches)

    def context(self, **known: Any) -> PolicyContext:
        return PolicyContext(server=self._server, reserved_names=self._reserved_names, **known)


class _Hearing:
    """The policies that one request comes before, and what they said."""

    def __init__(
        self,
        examination: Examination,
        policies: Iterable[tuple[str, Policy]],
        statement: VerifiedStatement | None,
        client: ClientRecord | None,
        principal: Principal,
        facts: RequestFacts,
    ) -> None:
        self._examination = examination
        self._policies = list(policies)
        self._statement = statement
        self._client = client
        self._principal = principal
        self._facts = facts
        self.decisions: tuple[Decision, ...] = ()
        self.outcome = Outcome()
        self.ignored: frozenset[str] = frozenset()

    def __call__(
        self, metadata: Mapping[str, Any], sent: Mapping[str, Any], ignored: frozenset[str], remake: Remake
    ) -> tuple[Mapping[str, Any], list[Problem]]:
        self.ignored = ignored
        context = self._examination.context(
            operation="update" if self._client else "register",
            principal=self._principal,
            client=self._client,
            sent=sent,
            ignored=ignored,
            statement=self._statement.claims if self._statement else None,
            locked=self._statement.locked if self._statement else frozenset(),
            facts=self._facts,
            outcome=self.outcome,
        )
        judgement: Judgement = judged(self._policies, metadata, context, remake)
        self.decisions = judgement.decisions
        return judgement.metadata, judgement.problems

    def completed(self, checked: CheckedMetadata) -> CheckedMetadata:
        changed: dict[str, set[str]] = {}
        for decision in self.decisions:
            changed.setdefault(decision.policy, set()).update(decision.changed)
        policies = {policy: sorted(members) for policy, members in changed.items()}
        return replace(checked, approval=self.outcome.approval, lifetime=self.outcome.lifetime, policies=policies)


def principal_of(client: ClientRecord) -> Principal:
    """Who registered a client, as it remembers it."""
    return Principal(
        client.source or "", client.initial_access_token_id, client.owned_by, Terms.from_json(client.terms)
    )


def _names(kept: str | None) -> list[str]:
    return json.loads(kept) if kept else []
