"""What operators do about the secrets of a client: a new one for it, and an end to the older ones."""

from flask_dynreg import signals
from flask_dynreg.errors import DecisionError
from flask_dynreg.lifecycle.clients import ClientChanges, ClientInformation
from flask_dynreg.metadata.key_rules import secret_octets

LONGEST_KEEP = 2**31 - 1
"""Seconds."""


class SecretChanges(ClientChanges):
    """Each writes an event that says who did it, and never a secret."""

    def rotate_secret(self, client_id: str, keep: int = 0, by: str | None = None) -> ClientInformation:
        """A new secret with its end (0: none), which is told this once. Those before it are good for `keep` seconds, if they do
        not end sooner; with 0 they are gone.

        Raises LookupError if the client is not there, ValueError for such a number and if the client needs no secret, and
        RaceLostError.
        """
        if not 0 <= keep <= LONGEST_KEEP:
            raise DecisionError(f"keep must be 0 to {LONGEST_KEEP} seconds.")
        client = self._for_operator(client_id)
        octets = secret_octets(client.client_metadata)
        if not octets:
            raise DecisionError("The client must be registered for a method or an algorithm that needs a secret.")
        fresh = self.secrets.replace(client, octets, keep)
        self._write(client, self._event("secret_rotated", client, keep=keep, by=by))
        self._tell(signals.client_secret_rotated, client_id=client.client_id, owner=client.owned_by)
        return fresh

    def drop_older_secrets(self, client_id: str, by: str | None = None) -> None:
        """Leaves the client its newest secret alone. Writes nothing where there is no other.

        Raises LookupError if the client is not there, and RaceLostError.
        """
        client = self._for_operator(client_id)
        if client.older_client_secrets:
            self.secrets.forget_older(client)
            self._write(client, self._event("older_secrets_dropped", client, by=by))
            self._tell(signals.client_older_secrets_dropped, client_id=client.client_id, owner=client.owned_by)
