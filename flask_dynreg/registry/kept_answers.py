"""Answers to registrations that may be sent again: kept for a while, and readable by who has the Idempotency-Key alone."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import bindparam, delete, select, update

from flask_dynreg.errors import InFlightError
from flask_dynreg.registry.claims import Claims
from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.credentials import Credentials, digest
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.principals import Principal
from flask_dynreg.registry.sessions import Sessions

LIFETIME = 600
"""Seconds that an answer is kept at most."""

_KEY_OCTETS = 32


def _derived(key: str, use: str, whose: str) -> bytes:
    return HKDF(SHA256(), _KEY_OCTETS, salt=None, info=f"flask_dynreg {use} {whose}".encode()).derive(key.encode())


class Attempt:
    """A registration that may be sent again: with which Idempotency-Key, by whom, and what was sent.

    `token` is the initial access token that was presented. The same key of somebody else is another.
    """

    def __init__(self, key: str, issuer: str, principal: Principal, token: str | None, body: bytes) -> None:
        whose = json.dumps([issuer, principal.source, principal.owner, token and digest(token)])
        self.digest = _derived(key, "digest", whose).hex()
        self.body_digest = sha256(body).hexdigest()
        self._fernet = Fernet(urlsafe_b64encode(_derived(key, "encryption", whose)))

    def sealed(self, answer: Mapping[str, Any]) -> str:
        return self._fernet.encrypt(json.dumps(answer).encode()).decode()

    def opened(self, sealed: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._fernet.decrypt(sealed))
        return answer


class KeptAnswers:
    """The answers of one authorization server. Takes part in the transaction of the session."""

    def __init__(self, sessions: Sessions, models: Models, credentials: Credentials, issuer: str) -> None:
        self._sessions = sessions
        self._credentials = credentials
        self._issuer = issuer
        table, client = table_of(models.kept_answer), table_of(models.client)
        self._claims = Claims(sessions, credentials, table)
        this = table.c.digest == bindparam("w_this", type_=table.c.digest.type)
        is_new = (client.c.client_id == table.c.client_id) & (client.c.version == 1) & client.c.last_used_at.is_(None)
        self._find = (
            select(table.c.body_digest, table.c.answer, table.c.expires_at, client.c.client_id.label("new_client"))
            .select_from(table.outerjoin(client, is_new))
            .where(this)
        )
        self._end = delete(table).where(this, table.c.expires_at <= bindparam("w_now"))
        self._keep = update(table).where(this).values(answer=bindparam("c_answer"))
        kept = (table.c.client_id == bindparam("w_client")) & table.c.answer.is_not(None)
        self._of_client = select(table.c.digest).where(kept)
        self._drop = update(table).where(kept).values(answer=None)

    def attempt(self, key: str, principal: Principal, token: str | None, body: bytes) -> Attempt:
        return Attempt(key, self._issuer, principal, token, body)

    def find(self, attempt: Attempt) -> dict[str, Any] | None:
        """The answer to the first attempt; None if there was none, or it was too long ago.

        Raises InvalidRequestError: 422 if something else was sent then, 409 if the answer is known to have arrived.
        """
        row = self._sessions.first(self._find, {"w_this": attempt.digest})
        if row is None or row.expires_at <= self._credentials.now():
            return None
        if row.body_digest != attempt.body_digest:
            raise InvalidRequestError("Another request had this Idempotency-Key: each needs its own.", status_code=422)
        if row.answer is None or row.new_client is None:
            description = (
                "The answer is not kept any more: the client was read, changed, used or deleted. "
                "A new Idempotency-Key registers a new client."
            )
            raise InvalidRequestError(description, status_code=409)
        return attempt.opened(row.answer)

    def claim(self, attempt: Attempt, information: Mapping[str, Any]) -> None:
        """From here on until the transaction is over, this attempt is the only one. `information` is that of the new client.

        Raises InFlightError if there is another, be it one that has just ended.
        """
        row = {
            "digest": attempt.digest,
            "issuer": self._issuer,
            "client_id": information["client_id"],
            "body_digest": attempt.body_digest,
            "answer": None,
            "expires_at": information["client_id_issued_at"] + LIFETIME,
        }
        if not (self._claims.take(row) or (self._is_ended(attempt) and self._claims.take(row))):
            raise InFlightError()

    def _is_ended(self, attempt: Attempt) -> bool:
        """Whether one is over that was not cleared yet: then it is now."""
        parameters = {"w_this": attempt.digest, "w_now": self._credentials.now()}
        return self._sessions.connection().execute(self._end, parameters).rowcount == 1

    def keep(self, attempt: Attempt, answer: Mapping[str, Any]) -> None:
        parameters = {"w_this": attempt.digest, "c_answer": attempt.sealed(answer)}
        self._sessions.connection().execute(self._keep, parameters)

    def drop(self, client: ClientRecord) -> None:
        """Keeps the answer to a client no longer: it is known to have arrived. Older clients are not looked for."""
        if client.client_id_issued_at + LIFETIME <= self._credentials.now():
            return
        this = {"w_client": client.client_id}
        if self._sessions.first(self._of_client, this):
            self._sessions.connection().execute(self._drop, this)
