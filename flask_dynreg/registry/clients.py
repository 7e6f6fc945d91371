"""Reads and writes of clients, and of the event that goes with each write. SQLAlchemy Core, prepared once for an app."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    Executable,
    FromClause,
    bindparam,
    case,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.sql.dml import Delete, Update

from flask_dynreg.errors import RaceLostError
from flask_dynreg.registry.client import RegisteredClient
from flask_dynreg.registry.models import Models, RegisteredClientMixin, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.stretches import is_named, unindexed
from flask_dynreg.registry.trail import COVERED, Trail


@dataclass
class ClientRecord(RegisteredClient):
    """A client as it was read for one request, outside of the session."""

    client_id: str
    client_secret: str | None
    client_id_issued_at: int
    client_secret_expires_at: int
    _client_metadata: str | None
    issuer: str | None
    source: str | None
    initial_access_token_id: int | None
    registration_access_token: str | None
    version: int
    status: str
    status_reason: str | None
    statement_issuer: str | None
    name_skeleton: str | None
    owned_by: str | None
    policies: str | None
    terms: str | None
    expires_at: int | None
    requested_metadata: str | None
    waiting_since: int | None
    next_registration_access_token: str | None = None
    spent_registration_access_token: str | None = None
    registration_access_token_expires_at: int | None = None
    keys_changed_at: int | None = None
    older_client_secrets: str | None = None
    trail_head: str | None = None
    last_used_at: int | None = None

    has_other_secrets = False
    """Whether they have changed since it was read: others are not written, as they may have been encrypted anew meanwhile."""

    def __post_init__(self) -> None:
        self.metadata_before = self._client_metadata
        """As they were read, whatever is set since."""


_CLIENT = [field.name.removeprefix("_") for field in fields(ClientRecord)]
_SECRETS = ["client_secret", "client_secret_expires_at", "older_client_secrets"]
_TOKENS = ["registration_access_token", "next_registration_access_token"]
_TOKENS_END = "registration_access_token_expires_at"
_DEAD_TOKENS = "spent_registration_access_token"
_SWAPPED = [*_TOKENS, _DEAD_TOKENS, _TOKENS_END, "trail_head"]
_LATER = {_TOKENS[1], _DEAD_TOKENS, _TOKENS_END, "keys_changed_at", "older_client_secrets", "last_used_at"}
"""What a new client does not have."""
_WRITTEN = [*(name for name in _CLIENT if name not in _LATER), "updated_at", "software_id"]
_CHANGED = [
    "client_metadata",
    "status",
    "status_reason",
    "statement_issuer",
    "updated_at",
    "software_id",
    "name_skeleton",
    "policies",
    "expires_at",
    "requested_metadata",
    "waiting_since",
    "keys_changed_at",
    "registration_access_token_expires_at",
    "trail_head",
]
_SUSPENDED = ["client_id", "version", "source", "initial_access_token_id", "trail_head", "owned_by"]
_LONGEST_SKELETON = 255
MOST_AT_ONCE = 200
"""Clients of one page, or that are suspended in one transaction: registering has to wait no longer than that takes."""
USES_NOTED_EVERY = 3600
"""Seconds within which a client that is used again is not written again, unless it would be idle too long by then."""
_EVENT = [*COVERED, "metadata_before", "link"]
_FIRST_EVENT = {f"e_{name}": name for name in _EVENT if name not in ("previous", "metadata_before")}
"""What may be there of the first event of a client: each column costs time."""


def kept_skeleton(skeleton: str) -> str:
    """As much of it as the column holds."""
    return skeleton[:_LONGEST_SKELETON]


def _binds(table: FromClause, prefix: str, names: list[str]) -> dict[str, BindParameter[Any]]:
    return {name: bindparam(prefix + name, type_=table.c[name].type) for name in names}


def _values(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in values.items()}


class Clients:
    """The clients of one issuer. With `tokens_end`, the registration access token of a new one has an end."""

    def __init__(
        self, sessions: Sessions, models: Models, issuer: str, trail: Trail, *, tokens_end: bool = False
    ) -> None:
        self._sessions = sessions
        self._trail = trail
        self._issuer = issuer
        client, event = table_of(models.client), table_of(models.event)
        this = client.c.client_id == bindparam("w_this", type_=client.c.client_id.type)
        unchanged = this & (client.c.version == bindparam("w_seen", type_=client.c.version.type))
        # Each event of a client is linked to the one before: nobody else may have written one.
        head = bindparam("w_trail_head", type_=client.c.trail_head.type)
        unchanged &= client.c.trail_head.is_not_distinct_from(head)
        # Nobody goes on with a token that has died since the row was read.
        token, next_token = (
            client.c[name].is_not_distinct_from(seen) for name, seen in _binds(client, "w_", _TOKENS).items()
        )
        self._swap_tokens = update(client).where(unchanged, token, next_token).values(_binds(client, "c_", _SWAPPED))
        self._find = select(*(client.c[name] for name in _CLIENT)).where(this)
        self._load = select(models.client).where(this)
        # A condition on the issuer would lead some databases to read all of its clients.
        self._vouched = (
            select(client.c.client_id, client.c.issuer)
            .where(client.c.name_skeleton.in_(bindparam("w_skeletons", expanding=True)))
            .order_by(client.c.issuer != issuer, client.c.client_id_issued_at, client.c.client_id)
            .limit(1)
        )
        self._written = [*_WRITTEN, *([_TOKENS_END] if tokens_end else [])]
        self._add = insert(client).inline().values(_binds(client, "c_", self._written))
        has_others = bindparam("c_other_secrets", type_=Boolean())
        secrets = {
            name: case((has_others, bind), else_=client.c[name])
            for name, bind in _binds(client, "c_", _SECRETS).items()
        }
        self._replace = (
            update(client)
            .where(unchanged, token)
            .values(version=client.c.version + 1, **_binds(client, "c_", _CHANGED), **secrets)
        )
        self._remove = delete(client).where(unchanged, token)
        last_used_at = client.c.last_used_at
        seen_use = last_used_at.is_not_distinct_from(bindparam("w_last_used_at", type_=last_used_at.type))
        self._remove_unused = delete(client).where(unchanged, seen_use)
        is_due = or_(last_used_at.is_(None), last_used_at <= bindparam("w_due", type_=last_used_at.type))
        self._touch = update(client).where(this, is_due).values(_binds(client, "c_", ["last_used_at"]))
        told = _binds(event, "e_", _EVENT)
        self._tell = insert(event).inline().values(told)
        # PostgreSQL does both in one statement, which saves a round trip.
        self._tell_first = insert(event).inline().values({name: told[name] for name in _FIRST_EVENT.values()})
        self._add_and_tell = self._tell_first.add_cte(self._add.cte("client"))
        self._replace_and_tell, self._remove_and_tell = (
            insert(event)
            .inline()
            .from_select(_EVENT, select(*told.values()).select_from(change.returning(client.c.client_id).cte("client")))
            .execution_options(preserve_rowcount=True)  # SQLAlchemy keeps it of UPDATE and DELETE only
            for change in (self._replace, self._remove)
        )
        # Locked where the database can: then nobody changes them before they are suspended.
        stated = client.c.issuer == issuer, client.c.statement_issuer == bindparam("w_statement_issuer")
        self._suspendable = (
            select(*(client.c[name] for name in _SUSPENDED))
            .where(client.c.client_id.in_(bindparam("w_these", expanding=True)))
            .where(client.c.status.in_(("active", "pending")), *map(unindexed, stated))
            .order_by(client.c.client_id)
            .with_for_update()
        )
        self._software_id = unindexed(is_named(client.c.software_id, "w_software_id"))
        changed = _binds(client, "c_", ["status", "status_reason", "updated_at", "trail_head"])
        # Its token does not end meanwhile, unless it is over already.
        end, following = client.c[_TOKENS_END], client.c[_TOKENS[1]]
        is_over = following.is_(None) & (end <= changed["updated_at"])
        ended = {_TOKENS_END: case((is_over, end), else_=None)}
        self._suspend = update(client).where(unchanged).values(version=client.c.version + 1, **changed, **ended)
        # A default that Python computes does not come into force inside of another statement.
        others = [column for column in client.c if column.name not in _WRITTEN]
        self._added_apart = any(column.default is not None for column in others)
        self._changed_apart = any(column.onupdate is not None for column in others)

    def find(self, client_id: str) -> ClientRecord | None:
        """For a request about the client itself."""
        row = self._sessions.first(self._find, {"w_this": client_id})
        return ClientRecord(*tuple(row)) if row and row.issuer in (self._issuer, None) else None

    def is_free(self, client_id: str) -> bool:
        """Whether no client has this id, of whatever issuer."""
        return self._sessions.first(self._find, {"w_this": client_id}) is None

    def load(self, client_id: str) -> RegisteredClientMixin | None:
        """The instance of the client model, in the session."""
        client = self._sessions.session.scalar(self._load, {"w_this": client_id})
        return client if client and client.issuer in (self._issuer, None) else None

    def vouched(self, skeletons: Collection[str]) -> str | None:
        """The id of a client for whose name an operator vouches, if the name has one of these skeletons."""
        if not skeletons:
            return None
        row = self._sessions.first(self._vouched, {"w_skeletons": [kept_skeleton(text) for text in skeletons]})
        return row.client_id if row and row.issuer in (self._issuer, None) else None

    def add(self, client: ClientRecord, event: Mapping[str, Any], columns: Mapping[str, Any]) -> None:
        """A new client, with what the host wants in columns of its own."""
        told = self._told(client, event, client.version)
        client.trail_head = told["link"]
        values = {name: getattr(client, attribute) for name, attribute in _ATTRIBUTES.items()}
        values |= {"updated_at": client.client_id_issued_at, "software_id": client.software_id}
        values = {name: values[name] for name in self._written}
        connection = self._sessions.connection()
        told = {parameter: told[name] for parameter, name in _FIRST_EVENT.items()}
        if columns or self._added_apart or connection.dialect.name != "postgresql":
            connection.execute(self._add.values(**columns) if columns else self._add, _values("c_", values))
            connection.execute(self._tell_first, told)
        else:
            connection.execute(self._add_and_tell, _values("c_", values) | told)

    def replace(self, client: ClientRecord, now: int, event: Mapping[str, Any]) -> bool:
        """Writes what may change of a client; False if somebody else changed it since it was read."""
        values = {
            "c_client_secret": client.client_secret,
            "c_client_secret_expires_at": client.client_secret_expires_at,
            "c_older_client_secrets": client.older_client_secrets,
            "c_other_secrets": client.has_other_secrets,
            "c_client_metadata": client._client_metadata,
            "c_status": client.status,
            "c_status_reason": client.status_reason,
            "c_statement_issuer": client.statement_issuer,
            "c_name_skeleton": client.name_skeleton,
            "c_policies": client.policies,
            "c_expires_at": client.expires_at,
            "c_requested_metadata": client.requested_metadata,
            "c_waiting_since": client.waiting_since,
            "c_keys_changed_at": client.keys_changed_at,
            f"c_{_TOKENS_END}": client.registration_access_token_expires_at,
            "c_updated_at": now,
            "c_software_id": client.software_id,
        }
        event = self._trail.of_update(event, client.metadata_before, client._client_metadata)
        told = self._told(client, event, client.version + 1)
        values["c_trail_head"] = told["link"]
        done = self._change(client, self._replace, self._replace_and_tell, values, told)
        if done:
            client.version, client.trail_head, client.metadata_before = (
                client.version + 1,
                told["link"],
                client._client_metadata,
            )
            if told["metadata_before"] is not None:
                self._trail.keep_versions(client.client_id, client.version)
        return done

    def swap_tokens(
        self, client: ClientRecord, event: Mapping[str, Any] | None = None, **tokens: str | int | None
    ) -> bool:
        """Writes other registration access tokens, as digests, and the end; False if somebody else changed the client since it
        was read. Its version stays: what it has registered does. Not every swap is an `event`."""
        values = {f"w_{name}": getattr(client, name) for name in (*_TOKENS, "trail_head")}
        values |= {"w_this": client.client_id, "w_seen": client.version}
        told = self._told(client, event, client.version) if event else None
        for name, value in tokens.items():
            setattr(client, name, value)
        if told:
            client.trail_head = told["link"]
        values |= {f"c_{name}": getattr(client, name) for name in _SWAPPED}
        connection = self._sessions.connection()
        done = connection.execute(self._swap_tokens, values).rowcount == 1
        if done and told:
            connection.execute(self._tell, _values("e_", told))
        self._sessions.forget(client.client_id, gone=False)
        return done

    def touch(self, client: RegisteredClientMixin, now: int, noted_every: int) -> None:
        """Notes that a client is used now, unless that was noted less than so many seconds ago."""
        due = now - noted_every
        if client.last_used_at is None or client.last_used_at <= due:
            values = {"w_this": client.client_id, "w_due": due, "c_last_used_at": now}
            self._sessions.connection().execute(self._touch, values)
            set_committed_value(client, "last_used_at", now)

    def remove(self, client: ClientRecord, event: Mapping[str, Any]) -> bool:
        """Deletes a client; False if somebody else changed it since it was read."""
        done = self._change(client, self._remove, self._remove_and_tell, {}, self._told(client, event, None))
        if done:
            self._trail.erase_versions([client])
        return done

    def remove_all(self, events: Sequence[tuple[ClientRecord, Mapping[str, Any]]]) -> bool:
        """Deletes clients, each with its event; False if somebody else changed or used one of them since it was read."""
        connection = self._sessions.connection()
        seen = [
            {
                "w_this": client.client_id,
                "w_seen": client.version,
                "w_trail_head": client.trail_head,
                "w_last_used_at": client.last_used_at,
            }
            for client, _ in events
        ]
        if connection.execute(self._remove_unused, seen).rowcount != len(seen):
            return False
        connection.execute(self._tell, [_values("e_", self._told(client, event, None)) for client, event in events])
        self._trail.erase_versions([client for client, _ in events])
        for client, _ in events:
            self._sessions.forget(client.client_id, gone=True)
        return True

    def suspend(
        self,
        these: Sequence[str],
        statement_issuer: str,
        software_id: str | None,
        reason: str,
        event: Mapping[str, Any],
    ) -> Mapping[str, str | None]:
        """Suspends those of these clients that may be used or wait, and still have a statement of this issuer (about this
        software, if it is named): by their ids, whom they belong to. Each has such an event.

        Raises RaceLostError if somebody else changes one of them at this moment.
        """
        connection = self._sessions.connection()
        which = self._suspendable if software_id is None else self._suspendable.where(self._software_id)
        found = {"w_these": these, "w_statement_issuer": statement_issuer, "w_software_id": software_id}
        clients = [dict(row) for row in connection.execute(which, found).mappings()]
        values = {"c_status": "suspended", "c_status_reason": reason, "c_updated_at": event["occurred_at"]}
        told = []
        for client in clients:
            row = self._row(client, event, client["version"] + 1)
            this = {"w_this": client["client_id"], "w_seen": client["version"], "w_trail_head": client["trail_head"]}
            if connection.execute(self._suspend, values | this | {"c_trail_head": row["link"]}).rowcount != 1:
                raise RaceLostError()
            told.append(_values("e_", row))
            self._sessions.forget(client["client_id"], gone=False)
        if told:
            connection.execute(self._tell, told)
        return {client["client_id"]: client["owned_by"] for client in clients}

    def _change(
        self,
        client: ClientRecord,
        alone: Update | Delete,
        together: Executable,
        values: dict[str, Any],
        event: Mapping[str, Any],
    ) -> bool:
        values |= {"w_this": client.client_id, "w_seen": client.version}
        values |= {
            "w_registration_access_token": client.registration_access_token,
            "w_trail_head": client.trail_head,
        }
        told = _values("e_", event)
        connection = self._sessions.connection()
        if connection.dialect.name == "postgresql" and not self._changed_apart:
            done = connection.execute(together, values | told).rowcount == 1
        else:
            done = connection.execute(alone, values).rowcount == 1
            if done:
                connection.execute(self._tell, told)
        self._sessions.forget(client.client_id, gone=alone is self._remove)
        return done

    def _told(self, client: ClientRecord, event: Mapping[str, Any], version: int | None) -> dict[str, Any]:
        """The row of an event, after which the client has this version; None after its end."""
        return self._row(vars(client), event, version)

    def _row(self, client: Mapping[str, Any], event: Mapping[str, Any], version: int | None) -> dict[str, Any]:
        details = event["details"]
        row = {
            "issuer": self._issuer,
            "client_id": client["client_id"],
            "source": client["source"],
            "initial_access_token_id": client["initial_access_token_id"],
            "version": version,
            "metadata_before": None,
            "previous": client["trail_head"],
            **event,
            "details": json.dumps(details) if details else None,
        }
        row["link"] = self._trail.link_of(row)
        return row


_ATTRIBUTES = dict(zip(_CLIENT, (field.name for field in fields(ClientRecord)), strict=True))
