"""Changes that operators make to many clients: by today's rules, with the same trail as a client's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask_dynreg import signals
from flask_dynreg.errors import Problem
from flask_dynreg.lifecycle.clients import ClientChanges
from flask_dynreg.registry.clients import ClientRecord


@dataclass(frozen=True, slots=True)
class Change:
    """What is to become of client metadata, before today's rules see it. Nothing: the rules alone decide."""

    scopes: tuple[str, ...] = ()
    """Scopes that are added."""
    members: Mapping[str, Any] = field(default_factory=dict)
    """Client metadata that take the place of what is there; None takes a member away."""

    @classmethod
    def from_object(cls, value: Mapping[str, Any]) -> "Change":
        """A change from JSON: `{"add_scopes": ["mcp:read"], "set": {"logo_uri": null}}`. Raises ValueError, naming the member."""
        scopes, members = value.get("add_scopes", []), value.get("set", {})
        if not value.keys() <= {"add_scopes", "set"}:
            raise ValueError("The change must have none but add_scopes, set.")
        if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
            raise ValueError("add_scopes must be a list of strings.")
        if not isinstance(members, Mapping):
            raise ValueError("set must be an object of client metadata.")
        return cls(tuple(scopes), members)

    def applied(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        changed = {name: value for name, value in {**metadata, **self.members}.items() if value is not None}
        wanted = dict.fromkeys([*changed.get("scope", "").split(), *self.scopes])
        return changed | {"scope": " ".join(wanted)} if self.scopes else changed


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of one client, or would become of it."""

    client_id: str
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """By the name of the member, its value before and after; None for no value."""
    problems: tuple[Problem, ...] = ()
    """Why it stays as it is."""


class Repair(ClientChanges):
    """Each client is changed by itself, and stays as it is if today's rules or policies refuse it."""

    def repair(self, client: ClientRecord, change: Change, *, apply: bool, by: str | None = None) -> Repaired:
        """What a change makes of a client; with `apply` it is made, in the session's transaction.

        A client that needs a secret by then and has none gets one when it sends its metadata again. Raises RaceLostError if
        somebody else changes the client, and what `Registrar.check` raises.
        """
        before = self.told(client.client_metadata)
        checked = self._today(client, change.applied(before))
        changed = {
            name: (before.get(name), checked.metadata.get(name))
            for name in sorted(before.keys() | checked.metadata.keys())
            if before.get(name) != checked.metadata.get(name)
        }
        if apply and changed:
            if checked.statement:
                self._use(checked.statement)
            counted, everything = self._quotas.of(client), client.client_metadata
            issuer = checked.statement.issuer.issuer if checked.statement else None
            self._replace(client, checked.metadata, issuer)
            self.secrets.adapt(client, checked.secret_octets)
            self._put_under(client, checked)
            self._count(counted, self._quotas.of(client))
            self._write(client, self._event("repaired", client, checked, by=by))
            self._withdraw_difference(client.client_id, everything, checked.metadata)
            self._tell(signals.client_updated, client_id=client.client_id)
        return Repaired(client.client_id, changed)
