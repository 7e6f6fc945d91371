"""What the extension tells, after the fact. The app is the sender of every signal.

A signal about the store is sent once the transaction that it tells of is committed, and never if it is rolled back. A
receiver cannot undo anything; one that fails is logged, and the others are still called.
"""

import logging
from typing import Any

from blinker import NamedSignal, Namespace

logger = logging.getLogger("flask_dynreg")

_signals = Namespace()

client_registered = _signals.signal("client-registered")
"""A client was registered. Arguments: `client_id: str`, `source: str` (the door it came in by). It may have to wait
for an operator before it can be used: `client.is_active` tells."""

client_updated = _signals.signal("client-updated")
"""A client replaced its metadata (RFC 7592 section 2.2), or an operator brought older ones back or changed them with those of
many clients. Arguments: `client_id: str`."""

client_operator_metadata_set = _signals.signal("client-operator-metadata-set")
"""An operator set metadata of a client that are operators' alone, or removed them. Arguments: `client_id: str`,
`owner: str | None`, `members: tuple[str, ...]` (their names)."""

client_secret_rotated = _signals.signal("client-secret-rotated")
"""A client has a new secret in place of one before, by an update of its own or by an operator. Arguments: `client_id: str`,
`owner: str | None`."""

client_older_secrets_dropped = _signals.signal("client-older-secrets-dropped")
"""An operator left a client its newest secret alone. Arguments: `client_id: str`, `owner: str | None`."""

client_update_requested = _signals.signal("client-update-requested")
"""A client has asked for a change that an operator has to approve of. Arguments: `client_id: str`, `owner: str | None`."""

client_approved = _signals.signal("client-approved")
"""An operator approved of a client, or of its change. Arguments: `client_id: str`, `owner: str | None`, `reason: str`."""

client_refused = _signals.signal("client-refused")
"""An operator refused a client, or its change. Arguments: `client_id: str`, `owner: str | None`, `reason: str`."""

client_suspended = _signals.signal("client-suspended")
"""An operator suspended a client. Arguments: `client_id: str`, `owner: str | None`, `reason: str`."""

client_resumed = _signals.signal("client-resumed")
"""An operator lets a suspended client be used again. Arguments: `client_id: str`, `owner: str | None`, `reason: str`."""

DECISIONS = {
    "approved": client_approved,
    "refused": client_refused,
    "suspended": client_suspended,
    "resumed": client_resumed,
}
"""By what an operator has done."""

client_spent_token_used = _signals.signal("client-spent-token-used")
"""Somebody used a registration access token of a client that was good before, as a thief or an old copy of the client does, or
the client itself after its end. Told once for a token, of the last ten that have died. Arguments: `client_id: str`."""

client_recovered = _signals.signal("client-recovered")
"""A client that had lost its registration access token got a new one for its own key. Arguments: `client_id: str`."""

client_deleted = _signals.signal("client-deleted")
"""A client deleted itself (RFC 7592 section 2.3), or an operator deleted it. Arguments: `client_id: str`."""

client_removed = _signals.signal("client-removed")
"""The clean-up removed a client whose time was over. Arguments: `client_id: str`, `reason: str` (the clock)."""

client_token_reissued = _signals.signal("client-token-reissued")
"""An operator gave a client a new registration access token; its older ones are dead. Arguments: `client_id: str`,
`owner: str | None`."""

event_noted = _signals.signal("event-noted")
"""The trail has an event about what is no client: an initial access token, an issuer of software statements, registration as a
whole. Arguments: `type: str` and `subject: str` (docs/trail.md), `details: dict[str, object]`."""

registration_refused = _signals.signal("registration-refused")
"""A registration, a read, an update or a deletion was answered with an error. Arguments: `error: str` (its OAuth code),
`members: tuple[str, ...]` (what was wrong: names of client metadata), `client_id: str | None` (that of the URL, if any)."""


def send(signal: NamedSignal, app: object, **arguments: Any) -> None:
    """Tells every receiver, whatever the others do."""
    for receiver in list(signal.receivers_for(app)):
        try:
            receiver(app, **arguments)
        except Exception:
            logger.exception("A receiver of %s failed.", signal.name)
