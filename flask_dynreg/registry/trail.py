"""The trail: every event has a link, made of itself and of the link before about the same subject. So what is altered or
removed is found (docs/trail.md)."""

import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Protocol

from flask import Flask
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from flask_dynreg import signals
from flask_dynreg.errors import RaceLostError
from flask_dynreg.registry.credentials import Credentials
from flask_dynreg.registry.models import Exact, Models, table_of
from flask_dynreg.registry.sessions import Sessions

COVERED = (
    "issuer",
    "client_id",
    "type",
    "occurred_at",
    "source",
    "initial_access_token_id",
    "details",
    "version",
    "previous",
)
"""What a link is made of. Of the metadata before an update only a digest, in the details: they can be erased."""
NO_CLIENT = ""
"""The `client_id` of events that are about something else, which their details name as `subject`."""

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def digest_of(metadata: str) -> str:
    """What stays of metadata that are erased: SHA-256, in hexadecimal."""
    return sha256(metadata.encode()).hexdigest()


class Versioned(Protocol):
    """A client, with its last version."""

    client_id: str
    version: int


class Links:
    """Makes links: HMAC-SHA256 under the newest of the keys, or SHA-256 without any. In hexadecimal."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [urlsafe_b64decode(key) for key in keys]

    @property
    def are_keyed(self) -> bool:
        return bool(self._keys)

    def of(self, event: Mapping[str, Any]) -> str:
        """The link of an event, which has that before it as `previous`."""
        return self.sign([event[name] for name in COVERED])

    def sign(self, value: Any) -> str:
        """The same of any JSON value."""
        return self._under(self._keys[0] if self._keys else None, _encode(value).encode())

    def is_of(self, event: Mapping[str, Any], link: str, *, unkeyed: bool = False) -> bool:
        """Whether it is the link of this event, under any key; with `unkeyed` under none as well."""
        return self.has_signed([event[name] for name in COVERED], link, unkeyed=unkeyed)

    def has_signed(self, value: Any, link: str, *, unkeyed: bool = False) -> bool:
        """The same of any JSON value."""
        text = _encode(value).encode()
        keys: list[bytes | None] = [*self._keys] or [None]
        # As bytes: what somebody has put in may be no ASCII.
        found = any(hmac.compare_digest(self._under(key, text).encode(), link.encode()) for key in keys)
        return found or (unkeyed and self._under(None, text) == link)

    @staticmethod
    def _under(key: bytes | None, text: bytes) -> str:
        return hmac.digest(key, text, "sha256").hex() if key else sha256(text).hexdigest()


class Trail:
    """The events of one issuer. All take part in the session's transaction: who calls them commits.

    Those about a client have their chain's last link in its row, which `Clients` writes; all others in a row of `trail_head`.
    """

    def __init__(
        self,
        app: Flask,
        sessions: Sessions,
        models: Models,
        credentials: Credentials,
        issuer: str,
        links: Links,
        history: int,
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._credentials = credentials
        self._issuer = issuer
        self.link_of = links.of
        self._history = history
        head, event = table_of(models.trail_head), table_of(models.event)
        this = (head.c.issuer == issuer) & (head.c.subject == bindparam("w_subject", type_=Exact))
        # Locked where the database can: whoever waits for it reads what the other has written.
        self._find = select(head.c.link).where(this).with_for_update()
        self._begin = insert(head).inline()
        seen = head.c.link == bindparam("w_seen", type_=head.c.link.type)
        self._move = update(head).where(this, seen).values(link=bindparam("c_link"), events=head.c.events + 1)
        self._tell = insert(event).inline()
        there = (event.c.issuer == issuer) & event.c.metadata_before.is_not(None)
        kept = there & (event.c.client_id == bindparam("w_client_id", type_=Exact))
        # MySQL reads the table that it updates in a derived table alone.
        beyond = select(event.c.id).where(kept).order_by(event.c.id.desc()).offset(history).limit(1).subquery()
        erase = update(event).values(metadata_before=None)
        self._erase_beyond = erase.where(event.c.id == select(beyond.c.id).scalar_subquery())
        self._erase = erase.where(there, event.c.client_id.in_(bindparam("w_client_ids", expanding=True)))

    def note(
        self,
        subject: str,
        type_: str,
        *,
        source: str | None = None,
        initial_access_token_id: int | None = None,
        **details: Any,
    ) -> None:
        """Writes an event about what is no client; details that are None are left out.

        Raises RaceLostError if somebody else writes one about the same at this moment.
        """
        connection, this = self._sessions.connection(), {"w_subject": subject}
        seen: str | None = connection.execute(self._find, this).scalar()
        stated = {"subject": subject, **details}
        event = {
            "issuer": self._issuer,
            "client_id": NO_CLIENT,
            "type": type_,
            "occurred_at": self._credentials.now(),
            "source": source,
            "initial_access_token_id": initial_access_token_id,
            "details": json.dumps({name: value for name, value in stated.items() if value is not None}),
            "version": None,
            "metadata_before": None,
            "previous": seen,
        }
        event["link"] = self.link_of(event)
        if seen is None:
            row = {"issuer": self._issuer, "subject": subject, "link": event["link"], "events": 1}
            try:
                connection.execute(self._begin, row)
            except IntegrityError as error:
                raise RaceLostError() from error
        elif connection.execute(self._move, this | {"w_seen": seen, "c_link": event["link"]}).rowcount != 1:
            raise RaceLostError()
        connection.execute(self._tell, event)
        if signals.event_noted.receivers:
            told = {name: value for name, value in details.items() if value is not None}
            self._sessions.after_commit(
                lambda: signals.send(signals.event_noted, self._app, type=type_, subject=subject, details=told)
            )

    def of_update(self, event: Mapping[str, Any], before: str | None, after: str | None) -> Mapping[str, Any]:
        """The event with the names of what has changed and with the metadata before, if anything has."""
        if before == after:
            return event
        old, new = json.loads(before or "{}"), json.loads(after or "{}")
        changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
        if not changed:
            return event
        before = before or "{}"
        details = {**(event["details"] or {}), "changed": changed, "before": digest_of(before)}
        return {**event, "details": details, "metadata_before": before if self._history else None}

    def keep_versions(self, client_id: str, version: int) -> None:
        """Erases the metadata of a client that are one more than `DYNREG_HISTORY` says; it has this version now."""
        if version - 1 > self._history:
            self._sessions.connection().execute(self._erase_beyond, {"w_client_id": client_id})

    def erase_versions(self, clients: Sequence[Versioned]) -> None:
        """Erases the metadata that clients had."""
        changed = [client.client_id for client in clients if client.version > 1]
        if changed:
            self._sessions.connection().execute(self._erase, {"w_client_ids": changed})
