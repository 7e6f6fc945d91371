"""The secrets of a client: the newest, and the older ones beside it. When a new one is due, and how long the others stay good."""

from typing import Any

from flask_dynreg.config import Settings
from flask_dynreg.metadata.key_rules import SECRET_OCTETS
from flask_dynreg.registry.client import OlderSecret, dump_older
from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.credentials import Credentials

MOST_OLDER = 3
"""Older secrets of a client that are remembered: one may be good at each of its instances that has not heard of the newest."""


class ClientSecrets:
    """What becomes of the secrets in a record; who calls writes it.

    An older secret is remembered after its end too, until a newer one comes: it authenticates nobody then, but an update that
    brings it tells that the answer with the newest never arrived.
    """

    def __init__(self, credentials: Credentials, settings: Settings) -> None:
        self._credentials = credentials
        self._lifetime = settings.client_secret_lifetime
        self._window = settings.client_secret_rotation_window
        self._overlap = settings.client_secret_overlap

    def new(self, octets: int) -> dict[str, Any]:
        """A secret of at least so many octets, with the time of its end (0: none)."""
        return {
            "client_secret": self._credentials.new_client_secret(octets),
            "client_secret_expires_at": self._end(self._credentials.now()),
        }

    def _end(self, begin: int) -> int:
        return begin + self._lifetime if self._lifetime else 0

    def knows(self, client: ClientRecord, presented: object) -> bool:
        """Whether it is the client's newest secret, or an older one that is remembered."""
        is_newest = self._credentials.matches(client.client_secret, presented)
        return is_newest or self._older(client, presented) is not None

    def end_told(self, client: ClientRecord, told: object) -> int:
        """This end, if it is that of a secret that is remembered, or was told before an approval; else that of the newest."""
        first = self._end(client.client_id_issued_at)
        ends = [client.client_secret_expires_at, *(older.told for older in client.older_secrets), first]
        return next((end for end in ends if end == told), client.client_secret_expires_at)

    def renew(self, client: ClientRecord, octets: int, presented: object = None) -> dict[str, Any]:
        """A new secret with its end, if an update of the client brings one; else nothing.

        One comes where there is none that fits; within the window before the end of the newest; and if the update brings an older
        one. With `octets` 0 the client needs none, and loses all.
        """
        if not octets:
            self.forget(client)
            return {}
        older, now = self._older(client, presented), self._credentials.now()
        is_lost = older is not None and not (older.is_promised and now < older.ends_at)
        if not is_lost and self._fits(client, octets) and not self._is_in_window(client):
            return {}
        self._retire(client, now + self._overlap, older)
        return self._next(client, octets)

    def replace(self, client: ClientRecord, octets: int, keep: int) -> dict[str, Any]:
        """A new secret with its end, by an operator's hand. All others are good for `keep` seconds more at most."""
        ends_at = self._credentials.now() + keep
        self._retire(client, ends_at)
        cut = [one._replace(ends_at=min(one.ends_at, ends_at), is_promised=True) for one in client.older_secrets]
        client.older_client_secrets = dump_older(cut) if keep else None
        return self._next(client, octets)

    def _next(self, client: ClientRecord, octets: int) -> dict[str, Any]:
        fresh = self.new(octets)
        client.client_secret = self._credentials.kept(fresh["client_secret"])
        client.client_secret_expires_at = fresh["client_secret_expires_at"]
        return fresh

    def adapt(self, client: ClientRecord, octets: int) -> None:
        """For metadata that need other secrets, where nothing can be handed out: the next update of the client brings one."""
        if not octets:
            self.forget(client)
        elif client.client_secret and not self._fits(client, octets):
            self._retire(client, self._credentials.now() + self._overlap)

    def forget(self, client: ClientRecord) -> None:
        client.client_secret, client.client_secret_expires_at = None, 0
        self.forget_older(client)

    def forget_older(self, client: ClientRecord) -> None:
        self._write_newest(client)
        client.older_client_secrets = None

    def begin_anew(self, client: ClientRecord) -> None:
        """The time of the newest is counted from now on."""
        if client.client_secret:
            self._write_newest(client)
            client.client_secret_expires_at = self._end(self._credentials.now())

    def _write_newest(self, client: ClientRecord) -> None:
        """It is written with what is said of it, and may have been encrypted anew since it was read."""
        if client.client_secret:
            client.client_secret = self._credentials.reencrypted(client.client_secret) or client.client_secret
        client.has_other_secrets = True

    def _fits(self, client: ClientRecord, octets: int) -> bool:
        """Whether the client can go on with its newest: it is not over, can be checked, and is long enough if it is a key."""
        kept = client.client_secret
        if kept is None or client.is_secret_over(self._credentials.now()) or not self._credentials.can_check(kept):
            return False
        return octets == SECRET_OCTETS or self._credentials.is_key(kept, octets)

    def _is_in_window(self, client: ClientRecord) -> bool:
        """Not while there are as many as can be: answers that got lost would drive out the one that the client has."""
        now, end = self._credentials.now(), client.client_secret_expires_at
        live = [older for older in client.older_secrets if older.ends_at > now]
        return bool(end) and now >= end - self._window and len(live) < MOST_OLDER

    def _older(self, client: ClientRecord, presented: object) -> OlderSecret | None:
        return next((older for older in client.older_secrets if self._credentials.matches(older.kept, presented)), None)

    def _retire(self, client: ClientRecord, ends_at: int, presented: OlderSecret | None = None) -> None:
        """The newest becomes an older one, good until then or until its own end. What the others were promised is kept."""
        now, anew = self._credentials.now(), self._credentials.reencrypted
        older = [one for one in client.older_secrets if one.ends_at > now or one == presented]
        if client.client_secret:
            told = client.client_secret_expires_at
            end = max(ends_at, presented.ends_at if presented else 0)  # no sooner than that which the client has
            older.insert(0, OlderSecret(client.client_secret, min(told or end, end), told))
        older.sort(key=lambda one: one != presented)  # the client has it, and perhaps no other
        older = [one._replace(kept=anew(one.kept) or one.kept) for one in older]
        client.older_client_secrets = dump_older(older[:MOST_OLDER])
        client.client_secret, client.client_secret_expires_at, client.has_other_secrets = None, 0, True
