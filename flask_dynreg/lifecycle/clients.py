"""A client is registered, updated and deleted: each change with its event, its signal and what it withdraws."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flask import Flask
from sqlalchemy.exc import IntegrityError

from flask_dynreg import signals
from flask_dynreg.config import Settings
from flask_dynreg.errors import DecisionError, ForbiddenError, RaceLostError, UnknownClientError, UnknownTokenError
from flask_dynreg.metadata.check import CheckedMetadata
from flask_dynreg.metadata.key_rules import secret_octets
from flask_dynreg.metadata.lookalikes import ReservedNames, names
from flask_dynreg.metadata.schema import Vocabulary
from flask_dynreg.metadata.software_statement import MEMBER, SoftwareStatements, VerifiedStatement, used_before
from flask_dynreg.policies.examination import Examination, principal_of
from flask_dynreg.registry.client import dump
from flask_dynreg.registry.clients import ClientRecord, Clients
from flask_dynreg.registry.credentials import (
    REGISTRATION_ACCESS_TOKEN,
    Credentials,
    digest,
    is_client_id,
    new_client_id,
    new_token,
)
from flask_dynreg.registry.issuers import StatementIssuers
from flask_dynreg.registry.models import LONGEST_TEXT
from flask_dynreg.registry.principals import NO_FACTS, NO_TERMS, Principal
from flask_dynreg.registry.quotas import Names, Quotas
from flask_dynreg.registry.secrets import ClientSecrets
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.tokens import InitialAccessTokens
from flask_dynreg.registry.tombstones import DELETED, Tombstones
from flask_dynreg.registry.trust import vouched_skeleton
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


class Registered(NamedTuple):
    """A client, and what is known of its credentials only now."""

    client: ClientRecord
    client_secret: str | None
    registration_access_token: str


def _kept_reason(reason: str | None) -> str | None:
    """A policy of a host's may say more than is kept."""
    return reason[:LONGEST_TEXT] if reason else reason


def _end(issued_at: int, checked: CheckedMetadata) -> int | None:
    return None if checked.lifetime is None else issued_at + checked.lifetime


def _statement_issuer(checked: CheckedMetadata) -> str | None:
    return checked.statement.issuer.issuer if checked.statement else None


def _told_of(fresh: ClientInformation) -> dict[str, Any]:
    """What an event says of a new secret."""
    return {"new_secret": True} if fresh else {}


class ClientChanges:
    """The changes of the clients of one app. All take part in the session's transaction: who calls them commits."""

    issuer: str
    settings: Settings
    credentials: Credentials
    secrets: ClientSecrets
    sessions: Sessions
    tokens: InitialAccessTokens
    issuers: StatementIssuers
    _app: Flask
    _clients: Clients
    _used: UsedStatements
    _statements: SoftwareStatements
    _vocabulary: Vocabulary
    _examination: Examination
    _reserved_names: ReservedNames
    _quotas: Quotas
    _tombstones: Tombstones
    _withdrawal_hooks: tuple[Callable[[Withdrawal], None], ...]
    _client_columns: ClientColumns | None

    def told(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """What a client is told of its metadata: all but what operators set."""
        hidden = self._vocabulary.operator_names
        return {name: value for name, value in metadata.items() if name not in hidden}

    def _today(self, client: ClientRecord, wish: Mapping[str, Any]) -> CheckedMetadata:
        """What today's rules and policies make of metadata that the client has, or has asked for, by an operator's hand.

        Policies hear nothing of a request. Raises what `Registrar.check` raises.
        """
        statement = self._statements.remembered(wish.get(MEMBER))
        principal = principal_of(client)
        return self._examination(wish, statement, client, principal, NO_FACTS, is_new=client.was_never_approved)

    def _as_today(self, client: ClientRecord, wish: Mapping[str, Any]) -> CheckedMetadata:
        """The same. Raises ValueError if that is something else than the wish."""
        checked = self._today(client, wish)
        if checked.metadata != wish:
            raise DecisionError(
                "Today's rules and policies would register something else: the client has to send it again."
            )
        return checked

    def new_client_information(self, checked: CheckedMetadata) -> ClientInformation:
        """A new id, the time and, where one is needed, a new secret with the time of its end (0: none)."""
        information: ClientInformation = {"client_id": new_client_id(), "client_id_issued_at": self.credentials.now()}
        if checked.secret_octets:
            information |= self.secrets.new(checked.secret_octets)
        return information

    def register(
        self,
        information: ClientInformation,
        checked: CheckedMetadata,
        principal: Principal,
        by: str | None = None,
    ) -> Registered:
        """Writes the client and its event, in the session's transaction. `by` is the operator who registers it, if one does.

        Raises UnknownTokenError if the principal's initial access token was used up meanwhile, InvalidStatementError if the
        software statement was, and RaceLostError if its issuer changes at this moment.
        """
        token_id = principal.initial_access_token_id
        if token_id is not None and not self.tokens.use(token_id):
            raise UnknownTokenError()
        if principal.signed_token and not self._used.use(principal.signed_token):
            raise UnknownTokenError()
        if checked.statement:
            self._use(checked.statement)
        registration_access_token = new_token(REGISTRATION_ACCESS_TOKEN)
        secret = information.get("client_secret")
        status = "pending" if checked.approval else "active"
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
            status=status,
            status_reason=_kept_reason(checked.approval),
            statement_issuer=_statement_issuer(checked),
            name_skeleton=vouched_skeleton(principal.source, checked.metadata),
            owned_by=principal.owner,
            policies=self._examination.remembered(principal),
            terms=principal.terms.to_json() if principal.terms != NO_TERMS else None,
            expires_at=_end(information["client_id_issued_at"], checked),
            requested_metadata=None,
            waiting_since=self.credentials.now() if checked.approval else None,
            registration_access_token_expires_at=self._token_end(status),
        )
        self._count({}, self._quotas.of(client))
        columns = self._client_columns(checked.metadata, principal) if self._client_columns else {}
        self._clients.add(client, self._event("registered", client, checked, by=by), columns)
        self._tell(signals.client_registered, client_id=client.client_id, source=principal.source)
        return Registered(client, secret, registration_access_token)

    def _token_end(self, status: str) -> int | None:
        """When a registration access token ends that is good from now on: only who is active can get another before."""
        lifetime = self.settings.registration_token_lifetime
        return self.credentials.now() + lifetime if lifetime and status == "active" else None

    def _is_token_over(self, client: ClientRecord) -> bool:
        """Whether the confirmed one is. While nobody has used the next one it is not: the client may not have that."""
        end = client.registration_access_token_expires_at
        return end is not None and client.next_registration_access_token is None and end <= self.credentials.now()

    def _use(self, statement: VerifiedStatement) -> None:
        """From here on until the transaction is over, the issuer stays trusted; and what is good once is used up."""
        if not self.issuers.confirm(statement.issuer):
            raise RaceLostError()
        for one_time in statement.one_time:
            if not self._used.use(one_time):
                raise used_before(one_time)

    def information(self, client: ClientRecord) -> ClientInformation:
        """What is known of a client later: its secret only where it is kept encrypted."""
        information = client.client_info
        secret = self.credentials.revealed(client.client_secret)
        if secret:
            information |= {"client_secret": secret, "client_secret_expires_at": client.client_secret_expires_at}
        return information

    def update(self, client: ClientRecord, checked: CheckedMetadata, client_secret: object = None) -> ClientInformation:
        """Replaces the metadata (RFC 7592 section 2.2), in the session's transaction; the record is the new one then.

        A secret goes with the last method that needs it and comes with the first, and is replaced when its time has come;
        `client_secret` is the one that the client sends. What an operator has to approve of waits, and the metadata stay as they
        are. Raises RaceLostError, and InvalidStatementError if a software statement was used before.
        """
        if checked.statement:
            self._use(checked.statement)
        if checked.approval:
            request = {"metadata": checked.metadata, "statement_issuer": _statement_issuer(checked)}
            client.requested_metadata, client.status_reason = dump(request), _kept_reason(checked.approval)
            client.waiting_since = self.credentials.now()
            fresh = self.secrets.renew(client, secret_octets(client.client_metadata), client_secret)
            self._write(client, self._event("update_requested", client, checked, **_told_of(fresh)))
            self._tell(signals.client_update_requested, client_id=client.client_id, owner=client.owned_by)
            self._tell_of_secret(client, fresh)
            return self.information(client) | fresh
        before, client.requested_metadata, client.waiting_since = client.client_metadata, None, None
        counted = self._quotas.of(client)
        fresh = self.secrets.renew(client, checked.secret_octets, client_secret)
        self._replace(client, checked.metadata, _statement_issuer(checked))
        self._put_under(client, checked)
        self._count(counted, self._quotas.of(client))
        self._write(client, self._event("updated", client, checked, **_told_of(fresh)))
        self._withdraw_difference(client.client_id, before, checked.metadata)
        self._tell(signals.client_updated, client_id=client.client_id)
        self._tell_of_secret(client, fresh)
        return self.information(client) | fresh

    def _put_under(self, client: ClientRecord, checked: CheckedMetadata, since: int | None = None) -> None:
        """Today's policies hold for a client from now on, and tell when it ends: counted from its registration, or `since` then.

        What it was given before is no less for it, as far as it goes beyond nothing that is given today.
        """
        client.policies = self._examination.remembered(principal_of(client), client.policies)
        end = _end(since or client.client_id_issued_at, checked)
        if end is not None and checked.lifetime is not None and client.expires_at is not None:
            end = max(end, min(client.expires_at, self.credentials.now() + checked.lifetime))
        client.expires_at = end

    def _replace(self, client: ClientRecord, metadata: Mapping[str, Any], statement_issuer: str | None) -> None:
        """Puts other metadata into the record."""
        before = client.client_metadata
        kept = {name: before[name] for name in self._vocabulary.operator_names & before.keys()}
        client.set_client_metadata({**metadata, **kept})
        if any(before.get(name) != metadata.get(name) for name in ("jwks", "jwks_uri")):
            client.keys_changed_at = self.credentials.now()
        if names(before) != names(metadata):
            client.name_skeleton = None  # nobody has vouched for what it calls itself now
        client.statement_issuer = statement_issuer

    def _count(self, before: Names, after: Names) -> None:
        """Raises ForbiddenError where there are too many clients, and RaceLostError."""
        try:
            full = self._quotas.move(before, after)
        except IntegrityError as error:
            raise RaceLostError() from error
        if full:
            signals.logger.warning("Refused: the quota of %s is used up.", full)
            raise ForbiddenError("There are as many clients of this kind as there may be.")

    def _write(self, client: ClientRecord, event: Mapping[str, Any]) -> None:
        """Raises RaceLostError."""
        if not self._clients.replace(client, self.credentials.now(), event):
            raise RaceLostError()

    def set_operator_metadata(self, client_id: str, members: Mapping[str, Any], by: str | None = None) -> None:
        """Sets members that are operators' names of the schema, or with None removes them. Writes nothing where nothing changes.

        Takes part in the session's transaction, after what waits in the session to be written. Raises ValueError, which names the
        member, LookupError if the client is not there, and RaceLostError.
        """
        self._vocabulary.check_operator_metadata(members)
        client = self._for_operator(client_id)
        before = client.client_metadata
        changed = {name: value for name, value in members.items() if before.get(name) != value}
        if not changed:
            return
        after = {name: value for name, value in {**before, **changed}.items() if value is not None}
        client.set_client_metadata(after)
        self._write(client, self._event("set_by_operator", client, members=sorted(changed), by=by))
        told = {"client_id": client.client_id, "owner": client.owned_by, "members": tuple(sorted(changed))}
        self._tell(signals.client_operator_metadata_set, **told)

    def _for_operator(self, client_id: str) -> ClientRecord:
        """Raises LookupError if the client is not there."""
        self.sessions.session.flush()  # what waits in the session to be written counts
        client = self._clients.find(client_id) if is_client_id(client_id) else None
        if client is None:
            raise UnknownClientError()
        return client

    def delete(self, client: ClientRecord, by: str | None = None) -> None:
        """Deletes the client and, by the host's hooks, what was issued for it. `by` is the operator who does, if one does. Raises
        RaceLostError."""
        if not self._clients.remove(client, self._event("deleted", client, by=by)):
            raise RaceLostError()
        self._tombstones.add([(client, DELETED)])
        self._count(self._quotas.of(client), {})
        self._withdraw(Withdrawal(client.client_id, everything=True))
        self._tell(signals.client_deleted, client_id=client.client_id)

    def suspend_stated(
        self,
        these: Sequence[str],
        statement_issuer: str,
        software_id: str | None,
        reason: str,
        by: str | None = None,
    ) -> int:
        """Suspends those of these clients that have a statement of this issuer (about this software, if it is named); how many.

        Raises RaceLostError.
        """
        details = {"reason": reason} | ({"by": by} if by else {})
        event = {"type": "suspended", "occurred_at": self.credentials.now(), "details": details}
        suspended = self._clients.suspend(these, statement_issuer, software_id, reason, event)
        for client_id, owner in suspended.items():
            self._tell(signals.client_suspended, client_id=client_id, owner=owner, reason=reason)
        return len(suspended)

    def _event(
        self,
        type_: str,
        client: ClientRecord,
        checked: CheckedMetadata | None = None,
        *,
        by: str | None = None,
        **details: Any,
    ) -> dict[str, Any]:
        if by:
            details["by"] = by
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
            "details": details,
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

    def _tell_of_secret(self, client: ClientRecord, fresh: ClientInformation) -> None:
        """Where an update has brought one in place of another."""
        if fresh and client.older_client_secrets:
            self._tell(signals.client_secret_rotated, client_id=client.client_id, owner=client.owned_by)

    def _tell(self, signal: Any, **arguments: Any) -> None:
        if signal.receivers:
            self.sessions.after_commit(lambda: signals.send(signal, self._app, **arguments))
