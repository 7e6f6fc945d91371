"""What operators decide about clients that wait, and about those that are to be stopped."""

import json
from dataclasses import dataclass

from flask_dynreg import signals
from flask_dynreg.errors import DecisionError
from flask_dynreg.lifecycle.clients import ClientChanges
from flask_dynreg.metadata.key_rules import secret_octets
from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.models import LONGEST_TEXT


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an operator has decided: why, and who, if that is known. Raises ValueError for a reason that is too long or none."""

    reason: str
    by: str | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.reason) <= LONGEST_TEXT:
            raise DecisionError(f"reason must be of 1 to {LONGEST_TEXT} characters.")


class Decisions(ClientChanges):
    """Each writes an event that says who has decided, and why."""

    def approve(self, client_id: str, version: int, verdict: Verdict) -> None:
        """Lets a client that waits be used, or puts in force what it has asked to be, if it would be registered like that today.

        `version` is that of the client whose wish was looked at: it may have sent another one since. A client that needs a secret
        by then and has none gets one when it sends its metadata again: nothing is handed out here. Raises LookupError if it is
        not there, ValueError if nothing of it waits, it has another version, or today's rules and policies would register
        something else, RaceLostError, and what `Registrar.check` raises.
        """
        client = self._for_operator(client_id)
        if client.version != version:
            raise DecisionError(f"The client has changed: its version must be {version}, and is {client.version}.")
        wish = client.client_metadata
        if client.status == "active" and client.requested:
            wish = client.requested
        elif client.status != "pending":
            raise DecisionError("Nothing of the client waits for approval.")
        wish = self.told(wish)
        checked = self._as_today(client, wish)
        if checked.statement:
            self._use(checked.statement)  # who has signed it must be trusted until all is done
        before = after = client.client_metadata
        counted = self._quotas.of(client)
        since = None
        if client.status == "pending":
            client.status, since = "active", self.credentials.now()  # its time begins only now, and that of what it has
            client.registration_access_token_expires_at = self._token_end(client.status)
            self.secrets.begin_anew(client)
        else:
            request, client.requested_metadata = json.loads(client.requested_metadata or "{}"), None
            after = request["metadata"]
            self._replace(client, after, request["statement_issuer"])
            self.secrets.adapt(client, secret_octets(after))
        self._put_under(client, checked, since)
        client.waiting_since = None
        self._count(counted, self._quotas.of(client))
        self._decided(client, "approved", verdict)
        self._withdraw_difference(client.client_id, before, after)

    def refuse(self, client_id: str, verdict: Verdict) -> None:
        """Refuses a client that waits, which can never be used then; or what it has asked to be: it stays as it is.

        Raises LookupError if it is not there, ValueError if nothing of it waits, and RaceLostError.
        """
        client = self._for_operator(client_id)
        counted = self._quotas.of(client)
        if client.status == "pending":
            client.status = "refused"
        elif client.requested_metadata:
            client.requested_metadata = None
        else:
            raise DecisionError("Nothing of the client waits for approval.")
        client.waiting_since = None
        self._count(counted, self._quotas.of(client))
        self._decided(client, "refused", verdict)

    def suspend(self, client_id: str, verdict: Verdict) -> None:
        """Lets a client not be used until it is resumed. Raises LookupError, ValueError if it is not active, RaceLostError."""
        client = self._for_operator(client_id)
        if client.status != "active":
            raise DecisionError(f"The client must be active; it is {client.status}.")
        client.status = "suspended"
        if not self._is_token_over(client):
            client.registration_access_token_expires_at = None
        self._decided(client, "suspended", verdict)

    def resume(self, client_id: str, verdict: Verdict) -> None:
        """Lets a suspended client be used again, or wait again if nobody has ever approved of it.

        Raises LookupError, ValueError if it is not suspended, RaceLostError.
        """
        client = self._for_operator(client_id)
        if client.status != "suspended":
            raise DecisionError(f"The client must be suspended; it is {client.status}.")
        client.status = "pending" if client.was_never_approved else "active"
        if not self._is_token_over(client):
            client.registration_access_token_expires_at = self._token_end(client.status)
        self._decided(client, "resumed", verdict)

    def _decided(self, client: ClientRecord, done: str, verdict: Verdict) -> None:
        if client.status != "suspended" or done == "suspended":  # why it is suspended stays
            client.status_reason = verdict.reason
        self._write(client, self._event(done, client, reason=verdict.reason, by=verdict.by))
        signal = signals.DECISIONS[done]
        self._tell(signal, client_id=client.client_id, owner=client.owned_by, reason=verdict.reason)
