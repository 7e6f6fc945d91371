"""The versions of a client's metadata: who changed what and when, what differs, and back to an older one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flask_dynreg import signals
from flask_dynreg.errors import DecisionError
from flask_dynreg.lifecycle.clients import ClientChanges
from flask_dynreg.metadata.key_rules import secret_octets
from flask_dynreg.registry.chains import PRUNED, Chains, details_of
from flask_dynreg.registry.clients import ClientRecord


@dataclass(frozen=True, slots=True)
class Version:
    """The metadata of a client since an event. The time is in seconds since the epoch."""

    version: int
    occurred_at: int
    type: str
    """What happened: `registered`, `updated`, `approved`, `set_by_operator`, `rolled_back`; `pruned` where that is gone."""
    source: str | None
    """The door by which the client had come in."""
    by: str | None
    """The operator, if one did it whose name is known."""
    changed: tuple[str, ...]
    """The members that were not so before."""
    metadata: Mapping[str, Any] | None
    """None where they are not kept any more."""


OF_TOKENS = ("spent_token_used", "token_reissued", "recovered")
"""Events after which a client has the version that it had before."""


class History(ClientChanges):
    """Versions are what is kept of them: `DYNREG_HISTORY`."""

    chains: Chains

    def versions(self, client_id: str) -> list[Version]:
        """Those of which an event tells, the oldest first; the last one is in force. Raises LookupError if there is no client."""
        return self._versions(self._for_operator(client_id))

    def _versions(self, client: ClientRecord) -> list[Version]:
        after: Mapping[str, Any] | None = client.client_metadata
        found: list[Version] = []
        expected = client.version
        for event in reversed(list(self.chains.events.of(client.client_id))):
            details, before = details_of(event), event["metadata_before"]
            if event["version"] is None:
                break  # from before the trail, or of another client that had this id
            if event["version"] < expected:
                after = None  # the host has changed it meanwhile, of which no event tells
            expected = event["version"] - (event["type"] not in OF_TOKENS)
            if event["type"] not in ("registered", PRUNED) and "before" not in details:
                continue
            known = {name: event[name] for name in ("version", "occurred_at", "type", "source")}
            found.append(
                Version(**known, by=details.get("by"), changed=tuple(details.get("changed", ())), metadata=after)
            )
            after = json.loads(before) if before else None
        return found[::-1]

    def diff(self, client_id: str, one: int, other: int) -> dict[str, tuple[Any, Any]]:
        """The members that differ, with the value in the one version and in the other; None for none.

        Raises LookupError if there is no client, and ValueError if a version is not kept.
        """
        client = self._for_operator(client_id)
        old, new = (self._metadata_of(client, number) for number in (one, other))
        return {
            name: (old.get(name), new.get(name))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        }

    def roll_back(self, client_id: str, version: int, by: str | None = None) -> None:
        """Puts older metadata in force again, if they would be registered like that today; nobody else has to approve of it.

        What operators have set stays. Where a client needs a secret by then and has none, it gets one when it sends its metadata
        again: nothing is handed out here. Raises LookupError if there is no client, ValueError if it is not active, the version
        is not kept or is in force, or today's rules and policies would register something else, RaceLostError, and what a
        registration raises.
        """
        client = self._for_operator(client_id)
        if client.status != "active":
            raise DecisionError(f"The client must be active; it is {client.status}.")
        before = client.client_metadata
        after = self.told(self._metadata_of(client, version))
        if after == self.told(before):
            raise DecisionError("The metadata are like that already.")
        checked = replace(self._as_today(client, after), approval=None)
        if checked.statement:
            self._use(checked.statement)
        counted, issuer = self._quotas.of(client), checked.statement.issuer.issuer if checked.statement else None
        self._replace(client, after, issuer)
        self.secrets.adapt(client, secret_octets(after))
        self._put_under(client, checked)
        self._count(counted, self._quotas.of(client))
        self._write(client, self._event("rolled_back", client, checked, by=by, to=version))
        self._withdraw_difference(client.client_id, before, after)
        self._tell(signals.client_updated, client_id=client.client_id)

    def _metadata_of(self, client: ClientRecord, number: int) -> Mapping[str, Any]:
        """Those in force when the client had this version: not every version comes with other metadata."""
        found = [each for each in self._versions(client) if each.version <= number <= client.version]
        if not found or found[-1].metadata is None:
            raise DecisionError(f"The metadata of version {number} are not kept.")
        return found[-1].metadata
