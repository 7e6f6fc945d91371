"""The use cases, without HTTP: check, register, update, delete, find."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from authlib.oauth2 import OAuth2Error
from flask import Flask
from joserfc.jwk import KeySet
from marshmallow import Schema
from sqlalchemy.exc import DBAPIError, TimeoutError

from flask_dynreg import signals
from flask_dynreg.access.doors import STATED, Doors
from flask_dynreg.config import Settings
from flask_dynreg.errors import ConfigurationError, Problem, TemporarilyUnavailableError, UnknownTokenError
from flask_dynreg.metadata import key_sets
from flask_dynreg.metadata.check import CheckedMetadata, MetadataCheck
from flask_dynreg.metadata.jwts import JWT
from flask_dynreg.metadata.key_rules import SECRET_OCTETS
from flask_dynreg.metadata.lookalikes import ReservedNames, names
from flask_dynreg.metadata.redirect_uris import RedirectRules
from flask_dynreg.metadata.remote_keys import RemoteKeySets, imported
from flask_dynreg.metadata.schema import Vocabulary
from flask_dynreg.metadata.server import ServerSupport
from flask_dynreg.metadata.software_statement import SoftwareStatements, VerifiedStatement, used_before
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.outbound import Fetched, Fetcher
from flask_dynreg.policies.examination import Examination, Explanation, principal_of
from flask_dynreg.policies.policy import Policies, Policy, Profile
from flask_dynreg.policies.profiles import PROFILES
from flask_dynreg.policies.shipped import all_policies, read_policies
from flask_dynreg.registry.client import RegisteredClient, dump
from flask_dynreg.registry.clients import ClientRecord, Clients
from flask_dynreg.registry.credentials import (
    REGISTRATION_ACCESS_TOKEN,
    Clock,
    Credentials,
    digest,
    is_client_id,
    is_token,
    matches_digest,
    new_client_id,
    new_token,
)
from flask_dynreg.registry.issuers import StatementIssuers
from flask_dynreg.registry.models import Models, RegisteredClientMixin
from flask_dynreg.registry.principals import NO_FACTS, NO_TERMS, OPEN, Principal, RequestFacts, Terms
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.tokens import InitialAccessTokens
from flask_dynreg.registry.trust import Trust, TrustFacts, vouched_skeleton
from flask_dynreg.registry.used_statements import UsedStatements

ClientInformation = dict[str, Any]
"""RFC 7591 section 3.2.1: what the server adds to the metadata."""

ClientColumns = Callable[[Mapping[str, Any], Principal], Mapping[str, Any]]
"""A host's own columns of a new client: from its metadata and from who registers it, to values by the name of the column."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What a client no longer has: what was issued for it must end. `everything` when the client is deleted."""

    client_id: str
    everything: bool
    redirect_uris: frozenset[str] = frozenset()
    grant_types: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()


class RaceLostError(Exception):
    """Somebody else changed the client meanwhile. Nothing was written: read again, and try again."""


class Registered(NamedTuple):
    """A client, and what is known of its credentials only now."""

    client: ClientRecord
    client_secret: str | None
    registration_access_token: str


def configured_issuers(values: Iterable[Mapping[str, Any]]) -> list[StatementIssuer]:
    """Raises ConfigurationError."""
    issuers: list[StatementIssuer] = []
    for number, value in enumerate(values):
        try:
            issuers.append(StatementIssuer.from_json(value))
        except ValueError as fault:
            raise ConfigurationError(f"DYNREG_STATEMENT_ISSUERS[{number}]: {fault}") from None
    if len({issuer.issuer for issuer in issuers}) != len(issuers):
        raise ConfigurationError("DYNREG_STATEMENT_ISSUERS must have an issuer once.")
    return issuers


def _end(issued_at: int, checked: CheckedMetadata) -> int | None:
    return None if checked.lifetime is None else issued_at + checked.lifetime


class Registrar:
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
    ) -> None:
        self._app = app
        self.settings = settings
        self.models = models
        self.credentials = Credentials(settings.secret_keys, clock)
        self.sessions = Sessions(db, models.client)
        self._clients = Clients(self.sessions, models, self.issuer)
        self.tokens = InitialAccessTokens(self.sessions, models, self.credentials, self.issuer)
        self.doors = Doors(settings.access, self.tokens)
        self._reserved_names = ReservedNames(settings.reserved_names)
        self._trust = Trust(self._clients, self._reserved_names, self.credentials)
        trusted = configured_issuers(settings.statement_issuers)
        self.issuers = StatementIssuers(self.sessions, models, self.credentials, self.issuer, trusted)
        self._used = UsedStatements(self.sessions, models, self.credentials, self.issuer)
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

    @property
    def issuer(self) -> str:
        return str(self.settings.server_metadata["issuer"])

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
        if principal.source == STATED.source:
            self.doors.admit_statement(statement, None)
        return self._examination.explain(sent, statement, principal, facts)

    def holds(self, policies: str | None, name: str) -> bool:
        """Whether a policy is among those that a client keeps, be it in a profile."""
        return self._examination.holds(policies, name)

    def told(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """What a client is told of its metadata: all but what operators set."""
        hidden = self._vocabulary.operator_names
        return {name: value for name, value in metadata.items() if name not in hidden}

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
        """Tells of a refusal. A stranger's writes nothing."""
        problems: Sequence[Problem] = getattr(error, "problems", ())
        members = tuple(dict.fromkeys(problem.member for problem in problems))
        policies = dict.fromkeys(problem.policy for problem in problems if problem.policy)
        by = f" by {', '.join(policies)}" if policies else ""
        signals.logger.info("Refused%s: %s %s", by, error.error, ", ".join(members))
        signals.send(signals.registration_refused, self._app, error=error.error, members=members, client_id=client_id)

    def new_client_information(self, checked: CheckedMetadata) -> ClientInformation:
        """A new id, the time and, where one is needed, a new secret with the time of its end (0: none)."""
        information: ClientInformation = {"client_id": new_client_id(), "client_id_issued_at": self.credentials.now()}
        if checked.secret_octets:
            information |= self._new_secret(checked.secret_octets)
        return information

    def _new_secret(self, octets: int) -> ClientInformation:
        lifetime = self.settings.client_secret_lifetime
        return {
            "client_secret": self.credentials.new_client_secret(octets),
            "client_secret_expires_at": self.credentials.now() + lifetime if lifetime else 0,
        }

    def register(self, information: ClientInformation, checked: CheckedMetadata, principal: Principal) -> Registered:
        """Writes the client and its event, in the session's transaction.

        Raises UnknownTokenError if the principal's initial access token was used up meanwhile, InvalidStatementError if the
        software statement was, and RaceLostError if its issuer changes at this moment.
        """
        token_id = principal.initial_access_token_id
        if token_id is not None and not self.tokens.use(token_id):
            raise UnknownTokenError()
        if checked.statement:
            self._use(checked.statement)
        registration_access_token = new_token(REGISTRATION_ACCESS_TOKEN)
        secret = information.get("client_secret")
        client = ClientRecord(
            client_id=information["client_id"],
            client_secret=self.credentials.kept(secret) if secret else None,
            client_id_issued_at=information["client_id_issued_at"],
            client_secret_expires_at=information.get("client_secret_expires_at", 0),
            _client_metadata=dump(checked.metadata),
            issuer=self.issuer,
            source=principal.source,
            initial_access_token_id=token_id,
            registration_access_token=digest(registration_access_token),
            version=1,
            status="active",
            statement_issuer=checked.statement.issuer.issuer if checked.statement else None,
            name_skeleton=vouched_skeleton(principal.source, checked.metadata),
            owned_by=principal.owner,
            policies=self._examination.remembered(principal),
            terms=principal.terms.to_json() if principal.terms != NO_TERMS else None,
            expires_at=_end(information["client_id_issued_at"], checked),
            requested_metadata=None,
        )
        columns = self._client_columns(checked.metadata, principal) if self._client_columns else {}
        self._clients.add(client, self._event("registered", client, checked), columns)
        self._tell(signals.client_registered, client_id=client.client_id, source=principal.source)
        return Registered(client, secret, registration_access_token)

    def _use(self, statement: VerifiedStatement) -> None:
        """From here on until the transaction is over, the issuer stays trusted; and what is good once is used up."""
        if not self.issuers.confirm(statement.issuer):
            raise RaceLostError()
        for one_time in statement.one_time:
            if not self._used.use(one_time):
                raise used_before(one_time)

    def issue_token(
        self, label: str | None, expires_in: int | None, uses: int | None, owner: str | None, terms: Terms
    ) -> str:
        """A new initial access token. Raises ValueError for terms that could never be met, naming what is wrong."""
        self._examination.check_terms(terms)
        return self.tokens.issue(label, expires_in, uses, owner, terms)

    def suspend(self, statement_issuer: str, software_id: str | None, reason: str) -> int:
        """Suspends some of the clients of an issuer of software statements, or of one software of it; 0 when none is left."""
        return self._clients.suspend(statement_issuer, software_id, reason, self.credentials.now())

    def authenticate(self, client_id: str, token: str) -> ClientRecord:
        """The client whose registration access token this is. Raises UnknownTokenError, whatever the reason."""
        known = is_client_id(client_id) and is_token(token, REGISTRATION_ACCESS_TOKEN)
        client = self._clients.find(client_id) if known else None
        if client is None or not matches_digest(client.registration_access_token, token):
            raise UnknownTokenError()
        return client

    def information(self, client: ClientRecord) -> ClientInformation:
        """What is known of a client later: its secret only where it is kept encrypted."""
        information = client.client_info
        secret = self.credentials.revealed(client.client_secret)
        if secret:
            information |= {"client_secret": secret, "client_secret_expires_at": client.client_secret_expires_at}
        return information

    def update(self, client: ClientRecord, checked: CheckedMetadata) -> ClientInformation:
        """Replaces the metadata (RFC 7592 section 2.2), in the session's transaction; the record is the new one then.

        A secret goes with the last method that needs it and comes with the first; one that is over is replaced. Raises
        RaceLostError, and InvalidStatementError if a software statement was used before.
        """
        if checked.statement:
            self._use(checked.statement)
        before, octets = client.client_metadata, checked.secret_octets
        fresh: ClientInformation = {}
        if not octets:
            client.client_secret, client.client_secret_expires_at = None, 0
        elif not self._has_secret_of(client, octets):
            fresh = self._new_secret(octets)
            client.client_secret = self.credentials.kept(fresh["client_secret"])
            client.client_secret_expires_at = fresh["client_secret_expires_at"]
        kept = {name: before[name] for name in self._vocabulary.operator_names & before.keys()}
        client.set_client_metadata(checked.metadata | kept)
        client.statement_issuer = checked.statement.issuer.issuer if checked.statement else None
        if names(before) != names(checked.metadata):
            client.name_skeleton = None  # nobody has vouched for what it calls itself now
        client.policies = self._examination.remembered(principal_of(client), client.policies)
        client.expires_at = _end(client.client_id_issued_at, checked)
        if not self._clients.replace(client, self.credentials.now(), self._event("updated", client, checked)):
            raise RaceLostError()
        self._withdraw_difference(client.client_id, before, checked.metadata)
        self._tell(signals.client_updated, client_id=client.client_id)
        return self.information(client) | fresh

    def _has_secret_of(self, client: ClientRecord, octets: int) -> bool:
        """Whether the client can go on with its secret: it is not over, can be checked, and is long enough if it is a key."""
        kept, expires_at = client.client_secret, client.client_secret_expires_at
        is_over = expires_at and self.credentials.now() >= expires_at
        if kept is None or is_over or not self.credentials.can_check(kept):
            return False
        return octets == SECRET_OCTETS or self.credentials.is_key(kept, octets)

    def set_operator_metadata(self, client_id: str, members: Mapping[str, Any]) -> None:
        """Sets members that are operators' names of the schema, or with None removes them. Writes nothing where nothing changes.

        Takes part in the session's transaction, after what waits in the session to be written. Raises ValueError, which names the
        member, LookupError if the client is not there, and RaceLostError.
        """
        self._vocabulary.check_operator_metadata(members)
        self.sessions.session.flush()
        client = self._clients.find(client_id) if is_client_id(client_id) else None
        if client is None:
            raise LookupError("There is no client with this id.")
        before = client.client_metadata
        changed = {name: value for name, value in members.items() if before.get(name) != value}
        if not changed:
            return
        after = {name: value for name, value in {**before, **changed}.items() if value is not None}
        client.set_client_metadata(after)
        event = self._event("set_by_operator", client, members=sorted(changed))
        if not self._clients.replace(client, self.credentials.now(), event):
            raise RaceLostError()

    def delete(self, client: ClientRecord) -> None:
        """Deletes the client and, by the host's hooks, what was issued for it. Raises RaceLostError."""
        if not self._clients.remove(client, self._event("deleted", client)):
            raise RaceLostError()
        self._withdraw(Withdrawal(client.client_id, everything=True))
        self._tell(signals.client_deleted, client_id=client.client_id)

    def query_client(self, client_id: str | None) -> RegisteredClientMixin | None:
        """The client for Authlib's AuthorizationServer. Raises TemporarilyUnavailableError when the store is down."""
        if not isinstance(client_id, str) or not is_client_id(client_id):
            return None
        try:
            return self._clients.load(client_id)
        except (DBAPIError, TimeoutError) as error:
            raise TemporarilyUnavailableError() from error

    def trust_facts(self, client: RegisteredClient) -> TrustFacts:
        """What is known of a client beside what it says of itself. Raises TemporarilyUnavailableError when the store is down."""
        try:
            return self._trust.facts(client)
        except (DBAPIError, TimeoutError) as error:
            raise TemporarilyUnavailableError() from error

    def _event(
        self, type_: str, client: ClientRecord, checked: CheckedMetadata | None = None, **details: Any
    ) -> dict[str, Any]:
        if checked and checked.taken:
            details["taken"] = checked.taken
        if checked and checked.policies:
            details["policies"] = checked.policies
        if checked and checked.statement:
            details["statement_issuer"] = checked.statement.issuer.issuer
        if checked and checked.operator_names:
            details["ignored"] = sorted(checked.operator_names)
        if checked and client.name_skeleton is None and (flagged := self._reserved_names.found(checked.metadata)):
            details["flagged"] = flagged
        return {
            "type": type_,
            "occurred_at": self.credentials.now(),
            "details": json.dumps(details) if details else None,
        }

    def _withdraw_difference(self, client_id: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        gone = {
            "redirect_uris": frozenset(before.get("redirect_uris", ())) - set(after["redirect_uris"]),
            "grant_types": frozenset(before.get("grant_types", ())) - set(after["grant_types"]),
            "scopes": frozenset(before.get("scope", "").split()) - set(after.get("scope", "").split()),
        }
        if any(gone.values()):
            self._withdraw(Withdrawal(client_id, everything=False, **gone))

    def _withdraw(self, withdrawal: Withdrawal) -> None:
        for hook in self._withdrawal_hooks:
            hook(withdrawal)

    def _tell(self, signal: Any, **arguments: Any) -> None:
        if signal.receivers:
            self.sessions.after_commit(lambda: signals.send(signal, self._app, **arguments))
