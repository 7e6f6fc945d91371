"""The way from what a client sends to what is registered: shape, defaults, what is taken away, policies, rules, fetches."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flask_dynreg.errors import Problem, refusal
from flask_dynreg.metadata import choices, key_rules, openid_rules, repairs, rules, sectors
from flask_dynreg.metadata.schema import Vocabulary
from flask_dynreg.metadata.server import ServerSupport
from flask_dynreg.metadata.software_statement import MEMBER, VerifiedStatement
from flask_dynreg.outbound import Fetched

Metadata = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Remade:
    """What becomes of client metadata of which a policy changes some."""

    metadata: Metadata
    defaults: frozenset[str]
    """The members that were taken away and have their default instead."""
    problems: list[Problem]
    """What is not sound."""


Remake = Callable[[Metadata, Metadata], Remade]
"""From the metadata, and the members that get another value; None for no value."""

Judge = Callable[[Metadata, Metadata, frozenset[str], Remake], tuple[Metadata, list[Problem]]]
"""What policies make of client metadata, and what they refuse: from the metadata, what was sent, and the names in it that nobody
knows."""

RULES = [*rules.RULES, *key_rules.RULES, *openid_rules.RULES]


@dataclass(frozen=True, slots=True)
class CheckedMetadata:
    """Client metadata as it will be registered; what was taken away from it, by the name of the member; the names of operators
    that the client tried to set; and the software statement in force."""

    metadata: dict[str, Any]
    taken: dict[str, list[str]]
    operator_names: tuple[str, ...] = ()
    statement: VerifiedStatement | None = None
    approval: str | None = None
    """Why an operator has to approve of it, if so."""
    lifetime: int | None = None
    """Seconds for which the registration is good; None for ever."""
    policies: Mapping[str, list[str]] = field(default_factory=dict)
    """The policies that changed something, each with the members."""

    @property
    def secret_octets(self) -> int:
        """How long the client secret has to be at least; 0 where none is needed."""
        return key_rules.secret_octets(self.metadata)


class MetadataCheck:
    """Made once for an app. `fetch(url, client_id)` gets a document at an https URL, for a client that is registered or for
    none, and raises FetchError."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        server: ServerSupport,
        *,
        reject_unsupported: bool,
        fetch: Callable[[str, str | None], Fetched],
    ) -> None:
        self.vocabulary = vocabulary
        self._server = server
        self._reject = reject_unsupported
        self._fetch = fetch

    def __call__(
        self,
        sent: Mapping[str, Any],
        registered: Mapping[str, Any] | None = None,
        statement: VerifiedStatement | None = None,
        client_id: str | None = None,
        judge: Judge | None = None,
        fetches: bool = True,
    ) -> CheckedMetadata:
        """Raises RefusedMetadataError with all that is wrong. `registered` is what the client has now, if it is an update of
        the client with this id. Where nothing may be fetched, a document is taken to be as it should.
        """
        vocabulary, server = self.vocabulary, self._server
        sent, beyond = statement.laid_over(sent) if statement else (sent, [])
        metadata, problems = vocabulary.read(sent)
        problems += beyond
        unsound = {problem.member for problem in problems}
        fits = partial(self._fits, metadata, unsound)
        problems += choices.negotiated(metadata, vocabulary.choices, server, fits)
        repairs.completed(metadata, server, vocabulary.defaults)
        taken = repairs.narrowed(metadata, server, vocabulary.supported)
        if self._reject:
            problems += [
                Problem(f"/{member}", "must have only what this server supports for the client.", "RFC 7591 section 2")
                for member in taken
                # a default stood in for what cannot be read
                if unsound.isdisjoint(repairs.NARROWED_BY.get(member, ()))
            ]
        taken |= repairs.cleared(metadata)
        repairs.encrypted(metadata, vocabulary.supported)
        repairs.scoped(metadata, server, statement.scopes if statement else None)
        if judge:
            judged, refused = judge(metadata, sent, vocabulary.ignored(sent), partial(self._remade, taken, statement))
            metadata = dict(judged)
            problems += [problem for problem in refused if problem.member not in unsound]
            problems += statement.beyond(metadata) if statement and not beyond else []
        problems += vocabulary.unsupported(metadata)
        problems += rules.broken(RULES, metadata, server, unsound)
        if not problems and fetches and sectors.is_to_be_fetched(metadata, registered or {}):
            problems += sectors.document_problems(metadata, lambda url: self._fetch(url, client_id))
        if problems:
            raise refusal(problems)
        if statement:
            metadata[MEMBER] = statement.text  # as it was sent (RFC 7591 section 3.2.1)
        return CheckedMetadata(metadata, taken, tuple(vocabulary.operator_names.intersection(sent)), statement)

    def alone(self, members: Metadata) -> tuple[dict[str, Any], list[Problem]]:
        """Members without the rest of the metadata: those that are there, and what is wrong with them whatever the rest is."""
        metadata, problems = self.vocabulary.read(members)
        about = [rule for rule in RULES if rule.reads <= metadata.keys()]
        broken = rules.broken(about, metadata, self._server, set())
        return metadata, [*problems, *self.vocabulary.unsupported(metadata), *broken]

    def _remade(
        self,
        taken: dict[str, list[str]],
        statement: VerifiedStatement | None,
        metadata: Metadata,
        wanted: Metadata,
    ) -> Remade:
        """As if the client had sent what is wanted: with defaults, and without what is to be `taken`, which is noted."""
        read, problems = self.vocabulary.read(wanted)
        stated = {name: value for name, value in metadata.items() if name not in wanted} | read
        filled = dict(stated)
        repairs.completed(filled, self._server, self.vocabulary.defaults)
        made = filled | stated  # a list that a policy has emptied is not filled again
        for member, names in {
            **repairs.narrowed(made, self._server, self.vocabulary.supported),
            **repairs.cleared(made),
        }.items():
            taken[member] = list(dict.fromkeys([*taken.get(member, ()), *names]))
        repairs.encrypted(made, self.vocabulary.supported)
        if statement and statement.scopes is not None:
            repairs.confined(made, statement.scopes)
        unsound = {problem.member for problem in problems}
        return Remade(
            made, frozenset(name for name in wanted.keys() - read.keys() - unsound if made.get(name)), problems
        )

    def _fits(self, metadata: Mapping[str, Any], unsound: set[str], member: str, value: str) -> bool:
        """Whether this value of a member goes with the rest, as far as the rules that read the member tell."""
        trial = {**metadata, member: value}
        repairs.completed(trial, self._server, self.vocabulary.defaults)
        repairs.cleared(trial)
        about = [rule for rule in RULES if member in rule.reads]
        return not rules.broken(about, trial, self._server, unsound)
