"""The use cases, without HTTP: check, explain, find; and what changes a client, by the rooms of `lifecycle`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from logging import INFO
from typing import Any, TypeVar

from authlib.oauth2 import OAuth2Error
from flask import Flask
from joserfc.jwk import KeySet
from marshmallow import Schema
from sqlalchemy.exc import DBAPIError, IntegrityError, TimeoutError

from flask_dynreg import signals
from flask_dynreg.access.certificates import CertificateHeader
from flask_dynreg.access.doors import STATED, Doors, SessionUser
from flask_dynreg.access.permissions import OperatorOf, Permissions
from flask_dynreg.access.rates import Rates
from flask_dynreg.access.signed_tokens import SignedTokens
from flask_dynreg.config import Settings
from flask_dynreg.errors import (
    ConfigurationError,
    DecisionError,
    Problem,
    RaceLostError,
    RefusedMetadataError,
    TemporarilyUnavailableError,
    UnknownClientError,
)
from flask_dynreg.lifecycle.cleaning import Cleaning, InUse
from flask_dynreg.lifecycle.clients import ClientColumns, Registered, Withdrawal
from flask_dynreg.lifecycle.history import History
from flask_dynreg.lifecycle.repair import Repair
from flask_dynreg.lifecycle.rotation import Rotation
from flask_dynreg.lifecycle.secrets import SecretChanges
from flask_dynreg.metadata import key_sets
from flask_dynreg.metadata.check import CheckedMetadata, MetadataCheck
from flask_dynreg.metadata.jwts import JWT
from flask_dynreg.metadata.lookalikes import ReservedNames
from flask_dynreg.metadata.redirect_uris import RedirectRules
from flask_dynreg.metadata.remote_keys import RemoteKeySets, imported
from flask_dynreg.metadata.schema import Vocabulary
from flask_dynreg.metadata.server import ServerSupport
from flask_dynreg.metadata.signers import Signer
from flask_dynreg.metadata.software_statement import SoftwareStatements
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.outbound import Fetched, Fetcher
from flask_dynreg.policies.examination import Examination, Explanation, principal_of
from flask_dynreg.policies.policy import Policies, Policy, Profile
from flask_dynreg.policies.profiles import PROFILES
from flask_dynreg.policies.shipped import all_policies, read_policies
from flask_dynreg.registry.chains import Chains
from flask_dynreg.registry.client import RegisteredClient
from flask_dynreg.registry.clients import ClientRecord, Clients
from flask_dynreg.registry.credentials import Clock, Credentials, is_client_id, may_be_chosen
from flask_dynreg.registry.issuers import StatementIssuers
from flask_dynreg.registry.kept_answers import KeptAnswers
from flask_dynreg.registry.lifetimes import Lifetimes
from flask_dynreg.registry.models import LONGEST_TEXT, Models, RegisteredClientMixin
from flask_dynreg.registry.pages import FIRST, Pages, Waiting
from flask_dynreg.registry.principals import NO_FACTS, OPEN, Principal, RequestFacts, Terms
from flask_dynreg.registry.quotas import Quotas
from flask_dynreg.registry.reencryption import Reencryption
from flask_dynreg.registry.retention import Retention
from flask_dynreg.registry.seals import Seals
from flask_dynreg.registry.secrets import ClientSecrets
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.stretches import Stretches
from flask_dynreg.registry.switch import RegistrationSwitch
from flask_dynreg.registry.tokens import InitialAccessTokens, subject_of
from flask_dynreg.registry.tombstones import Removal, Tombstones
from flask_dynreg.registry.trail import Links, Trail
from flask_dynreg.registry.trust import OPERATOR, Trust, TrustFacts
from flask_dynreg.registry.used_statements import UsedStatements

Kind = TypeVar("Kind", bound=Signer)


def configured_issuers(kind: type[Kind], key: str, values: Iterable[Mapping[str, Any]]) -> list[Kind]:
    """Those that a `DYNREG_` key names. Raises ConfigurationError."""
    issuers: list[Kind] = []
    for number, value in enumerate(values):
        try:
            issuers.append(kind.from_json(value))
        except ValueError as fault:
            raise ConfigurationError(f"{key}[{number}]: {fault}") from None
    if len({issuer.issuer for issuer in issuers}) != len(issuers):
        raise ConfigurationError(f"{key} must have an issuer once.")
    return issuers


class Registrar(Cleaning, History, Repair, Rotation, SecretChanges):
    """Everything of one app. It is in `app.extensions["dynreg"]`, and never changes."""

    def __init__(
        self,
        app: Flask,
        settings: Settings,
        db: Any,
        models: Models,
        *,
        withdrawal_hooks: tuple[Callable[[Withdrawal], None], ...],
        client_columns: ClientColumns | None,
        clock: Clock,
        schema: Schema,
        fetcher: Fetcher,
        policies: Mapping[str, Policy | Profile],
        session_user: SessionUser | None,
        operator_of: OperatorOf | None,
        in_use: InUse | None,
    ) -> None:
        self._app = app
        self.issuer = str(settings.server_metadata["issuer"])
        self.settings = settings
        self.models = models
        self.credentials = Credentials(settings.secret_keys, clock)
        self.secrets = ClientSecrets(self.credentials, settings)
        self.sessions = Sessions(db, models.client)
        tokens_end = settings.registration_token_lifetime > 0
        links = Links(settings.audit_keys)
        self.trail = Trail(app, self.sessions, models, self.credentials, self.issuer, links, settings.history)
        self.chains = Chains(self.sessions, models, self.issuer, links)
        self.retention = Retention(self.sessions, models, self.issuer, links, self.trail, self.chains, settings.history)
        self.seals = Seals(self.sessions, models, self.issuer, links, self.credentials)
        self._clients = Clients(self.sessions, models, self.issuer, self.trail, tokens_end=tokens_end)
        self._pages = Pages(self.sessions, models, self.issuer)
        self.tokens = InitialAccessTokens(self.sessions, models, self.credentials, self.issuer, self.trail)
        self.permissions = Permissions(operator_of)
        self.certificates = CertificateHeader(settings.certificate_header, settings.trusted_proxies)
        rates = Rates(settings.limits, settings.limits_storage, self.issuer, settings.limits_on_failure)
        self._quotas = Quotas(self.sessions, models, self.issuer, settings.quotas)
        self._tombstones = Tombstones(
            self.sessions, models, self.credentials, self.issuer, settings.tombstone_retention
        )
        self.stretches = Stretches(self.sessions, models)
        self._lifetimes = Lifetimes(self.sessions, models, self.issuer, settings.client_lifetimes)
        self._in_use = in_use
        self.switch = RegistrationSwitch(self.sessions, models, self.credentials, self.issuer, self.trail)
        self._reserved_names = ReservedNames(settings.reserved_names)
        self.reencryption = Reencryption(self.sessions, models, self.credentials, self.issuer)
        self._trust = Trust(self._clients, self._reserved_names, self.credentials)
        trusted = configured_issuers(StatementIssuer, "DYNREG_STATEMENT_ISSUERS", settings.statement_issuers)
        self.issuers = StatementIssuers(self.sessions, models, self.credentials, self.issuer, trusted, self.trail)
        self._used = UsedStatements(self.sessions, models, self.credentials, self.issuer)
        self.kept_answers = (
            KeptAnswers(self.sessions, models, self.credentials, self.issuer) if settings.idempotency else None
        )
        self._withdrawal_hooks = withdrawal_hooks
        self._client_columns = client_columns
        self._fetcher = fetcher
        self._remote_keys = RemoteKeySets(self._fetch, self._stand_back, clock)
        self._statements, self._known_statements = (
            SoftwareStatements(self.issuers, keys_at, self.issuer, self.credentials.now)
            for keys_at in (self._remote_keys.get, self._remote_keys.known)
        )
        rules = RedirectRules(settings.private_schemes, strict=settings.application_type == "strict")
        support = ServerSupport(
            settings.server_metadata, settings.default_scopes, rules, reads_secrets=bool(settings.secret_keys)
        )
        self._vocabulary = Vocabulary(schema, support)
        check = MetadataCheck(
            self._vocabulary, support, reject_unsupported=settings.unsupported == "reject", fetch=self._fetch
        )
        names, made = read_policies(settings.policies)
        known = Policies(all_policies(PROFILES, policies, made), names)
        self._examination = Examination(check, known, support, self._reserved_names)
        signers = configured_issuers(Signer, "DYNREG_TOKEN_ISSUERS", settings.token_issuers)
        signed_tokens = SignedTokens(
            signers, self._remote_keys.get, self._examination.check_terms, self.issuer, self.credentials.now
        )
        self.doors = Doors(settings.access, self.tokens, signed_tokens, rates, self.switch, session_user)

    def check(
        self,
        sent: Mapping[str, Any],
        client: ClientRecord | None = None,
        signed: JWT | None = None,
        *,
        principal: Principal = OPEN,
        facts: RequestFacts = NO_FACTS,
    ) -> CheckedMetadata:
        """Client metadata as they would be registered by the principal, or for this client if it is an update.

        `signed` is the JWT that they came as. Raises RefusedMetadataError with all that is wrong, ForbiddenError where a policy
        of the client's is gone, what policies raise, MissingTokenError where a software statement that is not there would have
        opened the door, and TemporarilyUnavailableError where a document would have to be fetched while the host's session
        holds changes, or the keys of the issuer of a statement cannot be fetched.
        """
        kept, who = (client.software_statement, principal_of(client)) if client else (None, principal)
        statement = self._statements.of(sent, signed, kept)
        if who.source != STATED.source:
            return self._examination(sent, statement, client, who, facts)
        self.doors.admit_statement(statement, kept)
        checked = self._examination(sent, statement, client, who, facts)
        self.doors.confine(checked, client.client_metadata if client else {})
        return checked

    def explain(
        self, sent: Mapping[str, Any], *, principal: Principal = OPEN, facts: RequestFacts = NO_FACTS
    ) -> Explanation:
        """What would become of a registration, by the same code. Leaves no trace, and fetches nothing.

        Raises what `check` raises of a software statement, and TemporarilyUnavailableError where the keys of its issuer are not
        known.
        """
        statement = self._known_statements.of(sent, None, None)
        if principal.source != STATED.source:
            return self._examination.explain(sent, statement, principal, facts)
        self.doors.admit_statement(statement, None)
        found = self._examination.explain(sent, statement, principal, facts)
        try:
            if found.metadata is not None:
                self.doors.confine(CheckedMetadata(dict(found.metadata), {}, statement=statement), {})
        except RefusedMetadataError as error:
            return replace(found, metadata=None, problems=error.problems, taken={})
        return found

    def holds(self, policies: str | None, name: str) -> bool:
        """Whether a policy is among those that a client keeps, be it in a profile."""
        return self._examination.holds(policies, name)

    def key_set(self, metadata: Mapping[str, Any], client_id: str, kid: str | None) -> KeySet:
        """A client's public keys; those at its `jwks_uri` are looked at anew if none has this `kid`. Raises FetchError."""
        if "jwks_uri" in metadata:
            return self._remote_keys.get(metadata["jwks_uri"], kid, client_id)
        return imported(key_sets.sound_keys(metadata.get("jwks")))

    def _fetch(self, url: str, client_id: str | None = None) -> Fetched:
        """Raises FetchError, and TemporarilyUnavailableError where the session holds what is not committed."""
        self._stand_back()
        return self._fetcher(url, client_id=client_id)

    def _stand_back(self) -> None:
        """Nobody waits for a stranger's server with a connection to the database in hand."""
        try:
            if self.sessions.stop_reading():
                return
        except (DBAPIError, TimeoutError) as error:
            raise TemporarilyUnavailableError() from error
        raise TemporarilyUnavailableError()

    def refused(self, error: OAuth2Error, client_id: str | None = None) -> None:
        """Tells of a refusal, if anybody listens. A stranger's writes nothing."""
        if not (signals.registration_refused.receivers or signals.logger.isEnabledFor(INFO)):
            return
        problems: Sequence[Problem] = getattr(error, "problems", ())
        members = tuple(dict.fromkeys(problem.member for problem in problems))
        policies = dict.fromkeys(problem.policy for problem in problems if problem.policy)
        by = f" by {', '.join(policies)}" if policies else ""
        signals.logger.info("Refused%s: %s %s", by, error.error, ", ".join(members))
        signals.send(signals.registration_refused, self._app, error=error.error, members=members, client_id=client_id)

    def note_refusal(self, error: OAuth2Error, principal: Principal, client_id: str | None = None) -> None:
        """Writes an event about a registration that was refused to somebody who is known, or about a change that was refused to a
        client of theirs, in the session's transaction: by which token, or who. Names alone, no values. Raises RaceLostError."""
        token_id, problems = principal.initial_access_token_id, getattr(error, "problems", ())
        members = dict.fromkeys(problem.member.partition("#")[0] for problem in problems if problem.member)
        self.trail.note(
            "refusals" if token_id is None else subject_of(token_id),
            "registration_refused" if client_id is None else "change_refused",
            source=principal.source,
            initial_access_token_id=token_id,
            client=client_id,
            owner=principal.owner,
            error=error.error,
            members=list(members) or None,
            policies=list(dict.fromkeys(problem.policy for problem in problems if problem.policy)) or None,
        )

    def note_forbidden(self, by: str, permission: str) -> None:
        """Writes an event about an operator who wanted what they may not, in the session's transaction. Raises RaceLostError."""
        self.trail.note("operators", "operation_refused", by=by, permission=permission)

    def create(
        self, metadata: Mapping[str, Any], owner: str | None, client_id: str | None, by: str | None = None
    ) -> Registered:
        """A client by the operator's hand: the same rules and policies, but nobody has to approve of it.

        Raises what `check` raises, ValueError for an id that is none, or is taken, and RaceLostError.
        """
        if client_id is not None and not (may_be_chosen(client_id) and self._is_free(client_id)):
            raise DecisionError(
                "client_id must be of the characters A-Z a-z 0-9 - _, at most 255 of them, and not be taken."
            )
        if owner is not None and not 0 < len(owner) <= LONGEST_TEXT:
            raise DecisionError(f"owner must be of 1 to {LONGEST_TEXT} characters.")
        principal = Principal(OPERATOR, owner=owner)
        checked = replace(self.check(metadata, principal=principal), approval=None)
        information = self.new_client_information(checked) | ({"client_id": client_id} if client_id else {})
        try:
            return self.register(information, checked, principal, by)
        except IntegrityError as error:  # somebody else takes the id at this moment
            raise RaceLostError() from error

    def _is_free(self, client_id: str) -> bool:
        """In this order: a client that goes meanwhile has its tombstone by then."""
        return self._clients.is_free(client_id) and not self._tombstones.has(client_id)

    def count_for_quotas(self) -> int:
        """Counts the clients that are there, for quotas that are new, in the session's transaction."""
        return self._quotas.count_anew()

    def waiting(self, after: Waiting = FIRST) -> Sequence[ClientRecord]:
        """A page of those that wait for an operator, themselves or with a change for which they ask, the longest first."""
        return self._pages.waiting(after)

    def find_clients(self, after: str, owner: str | None, software_id: str | None) -> Sequence[ClientRecord]:
        """A page of clients, in the order of their ids, from the one behind `after`."""
        return self._pages.by_id(after, owner, software_id)

    def stated_clients(self, after: str, statement_issuer: str, software_id: str | None) -> Sequence[str]:
        """The ids behind `after`, not all at once, of clients with a statement of this issuer (about this software, if named)."""
        return self._pages.stated(after, statement_issuer, software_id)

    def known_client(self, client_id: str) -> ClientRecord:
        """Raises LookupError if it is not there, which says what has become of it."""
        try:
            return self._for_operator(client_id)
        except UnknownClientError:
            removal = self.removal(client_id)
            if removal is None:
                raise
            raise UnknownClientError(removal.removed_at, removal.reason) from None

    def issue_token(
        self,
        label: str | None,
        expires_in: int | None,
        uses: int | None,
        owner: str | None,
        terms: Terms,
        by: str | None = None,
    ) -> str:
        """A new initial access token. Raises ValueError for terms that could never be met, naming what is wrong."""
        for name, value in (("label", label), ("owner", owner)):
            if value is not None and not 0 < len(value) <= LONGEST_TEXT:
                raise ValueError(f"{name} must be of 1 to {LONGEST_TEXT} characters.")
        self._examination.check_terms(terms)
        return self.tokens.issue(label, expires_in, uses, owner, terms, by)

    def query_client(self, client_id: str | None) -> RegisteredClientMixin | None:
        """The client for Authlib's AuthorizationServer. Raises TemporarilyUnavailableError when the store is down."""
        if not isinstance(client_id, str) or not is_client_id(client_id):
            return None
        try:
            return self._clients.load(client_id)
        except (DBAPIError, TimeoutError) as error:
            raise TemporarilyUnavailableError() from error

    def removal(self, client_id: str) -> Removal | None:
        """That a client with this id was removed. Raises TemporarilyUnavailableError when the store is down."""
        try:
            return self._tombstones.find(client_id) if is_client_id(client_id) else None
        except (DBAPIError, TimeoutError) as error:
            raise TemporarilyUnavailableError() from error

    def touch(self, client: RegisteredClientMixin) -> None:
        """Notes that a client is used, in the session's transaction.

        Raises TemporarilyUnavailableError when the store is down.
        """
        try:
            self._clients.touch(client, self.credentials.now(), self._lifetimes.noted_every(client.source))
        except (DBAPIError, TimeoutError) as error:
            raise TemporarilyUnavailableError() from error

    def trust_facts(self, client: RegisteredClient) -> TrustFacts:
        """What is known of a client beside what it says of itself. Raises TemporarilyUnavailableError when the store is down."""
        try:
            return self._trust.facts(client)
        except (DBAPIError, TimeoutError) as error:
            raise TemporarilyUnavailableError() from error
