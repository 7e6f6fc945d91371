"""What a policy is: a callable that looks at client metadata before they are registered, and changes or refuses them.

@dynreg.policy
def partners_only(metadata, context):
    if metadata.get("software_id") not in PARTNERS:
        raise refused("software_id", "must be that of a partner.")
    return metadata
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from authlib.oauth2 import OAuth2Error

from flask_dynreg.errors import (
    ConfigurationError,
    ForbiddenError,
    Problem,
    RefusedMetadataError,
    ServerFailureError,
    refusal,
)
from flask_dynreg.metadata.check import Remade, Remake
from flask_dynreg.metadata.lookalikes import ReservedNames
from flask_dynreg.metadata.server import ServerSupport
from flask_dynreg.registry.client import RegisteredClient
from flask_dynreg.registry.principals import Principal, RequestFacts
from flask_dynreg.signals import logger

Metadata = Mapping[str, Any]

SECTION = "The policy of this server"


@dataclass(slots=True)
class Outcome:
    """What policies ask for beside the metadata, each by what it was asked last."""

    reasons: dict[str, str] = field(default_factory=dict)
    lifetimes: dict[str, int] = field(default_factory=dict)
    asked: str = ""
    """The policy that is asked now."""

    def ask(self, policy: str) -> None:
        """What it has asked for before is forgotten: the metadata were others then."""
        self.asked = policy
        self.reasons.pop(policy, None)
        self.lifetimes.pop(policy, None)

    @property
    def approval(self) -> str | None:
        """Why an operator has to approve of it, if so."""
        return next(iter(self.reasons.values()), None)

    @property
    def lifetime(self) -> int | None:
        """Seconds for which the registration is good; None for ever."""
        return min(self.lifetimes.values(), default=None)


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """All that a policy may know of a request. Nothing in it may be changed but by `require_approval` and `limit_lifetime`."""

    operation: Literal["register", "update"]
    principal: Principal
    """Who registers the client, or has registered it."""
    client: RegisteredClient | None
    """The client as it is now; None when it registers."""
    sent: Metadata
    """The request itself, with what a software statement says laid over it: names that nobody knows are still in it."""
    ignored: frozenset[str]
    """The names in it that are not client metadata here."""
    statement: Metadata | None
    """What a verified software statement says of the client; None without one."""
    locked: frozenset[str]
    """The members that it decides: they may be refused, not changed."""
    facts: RequestFacts
    server: ServerSupport
    reserved_names: ReservedNames
    """`DYNREG_RESERVED_NAMES`"""
    outcome: Outcome = field(default_factory=Outcome)

    def require_approval(self, reason: str) -> None:
        """An operator has to approve of the registration. `reason` is for operators."""
        self.outcome.reasons.setdefault(self.outcome.asked, reason)

    def limit_lifetime(self, seconds: int) -> None:
        """The registration ends after so many seconds, or sooner. Raises ValueError for less than 1."""
        if seconds < 1:
            raise ValueError("seconds must be 1 or more.")
        outcome = self.outcome
        outcome.lifetimes[outcome.asked] = min(seconds, outcome.lifetimes.get(outcome.asked, seconds))


Policy = Callable[[Metadata, PolicyContext], Metadata]
"""Gives the metadata that are to be registered: those that it got, or others in their place, which it must not change. Refuses by
an error of OAuth, best one that `refused` makes."""


def refused(member: str, description: str) -> RefusedMetadataError:
    """The error to raise for what is wrong with a member: `description` tells the client what would be right."""
    return refusal([violation(member, description)])


def violation(member: str, description: str) -> Problem:
    """What is wrong with a member of the metadata by a policy. `description` is told to the client: what would be right."""
    return Problem(f"/{member}", description, SECTION)


class Profile(dict[str, Policy]):
    """Policies under one name: each has a name of its own in it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one policy did: for operators."""

    policy: str
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """By the name of the member, its value before and after; None for no value."""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What all policies did together."""

    metadata: Metadata
    decisions: tuple[Decision, ...]

    @property
    def problems(self) -> list[Problem]:
        return [problem for decision in self.decisions for problem in decision.problems]


class Policies:
    """The policies of one app, by their names. Raises ConfigurationError for a name in `everybody` that is not there."""

    def __init__(self, known: Mapping[str, Policy | Profile], everybody: Sequence[str]) -> None:
        self._known = dict(known)
        self.everybody = tuple(dict.fromkeys(everybody))
        if missing := self.unknown(everybody):
            raise ConfigurationError(f"DYNREG_POLICIES must name policies that are there; {missing[0]} is not.")

    def unknown(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name not in self._known]

    def named(self, names: Sequence[str]) -> list[tuple[str, Policy]]:
        """The policies with these names, beside those for everybody.

        Raises ForbiddenError if one is gone that a client was registered under: nobody knows any more what it forbade.
        """
        if not names and not self.everybody:
            return []
        wanted = tuple(dict.fromkeys([*self.everybody, *names]))
        if missing := self.unknown(wanted):
            logger.error("Refused: the policy %s is not there any more.", missing[0])
            raise ForbiddenError("A policy under which the client was registered is not there.")
        return [each for name in wanted for each in self._parts(name)]

    def parts(self, names: Iterable[str]) -> list[str]:
        """The names of those that are there, and of what profiles have in them."""
        return [part for name in names if name in self._known for part, _ in self._parts(name)]

    def _parts(self, name: str) -> Iterator[tuple[str, Policy]]:
        policy = self._known[name]
        if isinstance(policy, Profile):
            yield from ((f"{name}/{part}", each) for part, each in policy.items())
        else:
            yield name, policy


ROUNDS = 5
"""So often policies may change what others have changed before they have to agree."""


def judged(
    policies: Sequence[tuple[str, Policy]], metadata: Metadata, context: PolicyContext, remake: Remake
) -> Judgement:
    """Asks one policy after the other, each with what the one before has made of the metadata, and all of them again until none
    changes anything: so what is registered is as every one of them wants it, whatever their order.

    One with `asked_once = True` only fills in what others may take away again: it is asked in the first round, and what it
    refuses there is refused. Raises what a policy raises, but for RefusedMetadataError: what these refuse is collected. A policy
    that fails refuses, and so do policies that never agree.
    """
    decided: list[Decision] = []
    once = {name for name, policy in policies if getattr(policy, "asked_once", False)}
    for _ in range(ROUNDS):
        metadata, decisions = _one_round(policies, metadata, context, remake)
        refusals = [decision for decision in decisions if decision.problems]
        if len(refusals) == len(decisions):
            return Judgement(metadata, (*decided, *refusals))
        decided += [decision for decision in decisions if not decision.problems or decision.policy in once]
        policies = [(name, policy) for name, policy in policies if name not in once]
    logger.error("The policies %s do not agree.", ", ".join(dict.fromkeys(change.policy for change in decisions)))
    raise ServerFailureError()


def _one_round(
    policies: Sequence[tuple[str, Policy]], metadata: Metadata, context: PolicyContext, remake: Remake
) -> tuple[Metadata, list[Decision]]:
    decisions: list[Decision] = []
    for name, policy in policies:
        context.outcome.ask(name)
        try:
            wanted = _changed(metadata, policy(metadata, context))
        except RefusedMetadataError as error:
            decisions.append(Decision(name, problems=tuple(replace(each, policy=name) for each in error.problems)))
            continue
        except OAuth2Error:
            logger.info("Refused by the policy %s.", name)
            raise
        except Exception as error:
            logger.exception("The policy %s failed.", name)
            raise ServerFailureError() from error
        if not wanted:
            continue
        made = remake(metadata, {member: after for member, (_, after) in wanted.items()})
        changed = _changed(metadata, made.metadata)
        problems = [*made.problems, *_impossible(changed, made, context)]
        if changed or problems:
            decisions.append(Decision(name, changed, tuple(replace(each, policy=name) for each in problems)))
        if not problems:
            metadata = made.metadata
    return metadata, decisions


def _changed(before: Metadata, after: Metadata) -> dict[str, tuple[Any, Any]]:
    return {
        member: (before.get(member), after.get(member))
        for member in sorted(before.keys() | after.keys())
        if before.get(member) != after.get(member)
    }


def _impossible(changed: Iterable[str], made: Remade, context: PolicyContext) -> Iterator[Problem]:
    """What no policy can do: change what a statement says, or take away what is in force where it is not stated."""
    for member in changed:
        if member.partition("#")[0] in context.locked:
            yield violation(member, "must be something else than the software statement says.")
    for member in sorted(made.defaults):
        yield violation(member, "must be stated, and allowed: its default is not.")
