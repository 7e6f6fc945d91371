"""Registration access tokens: rotation that shuts out no client that has lost an answer, and recovery.

At most two are live: the confirmed one and, from when it is handed out, the next one. The confirmed one dies when the next one is
used, for then the client has it. Of the dead ones the last are known, until each was used once: then an operator was told.
"""

from collections.abc import Mapping
from typing import Any

from authlib.oauth2.rfc6749 import InvalidClientError

from flask_dynreg import signals
from flask_dynreg.access.client_assertions import one_time, read_assertion
from flask_dynreg.errors import DecisionError, RaceLostError, SpentTokenError, UnknownTokenError, UnprovenClientError
from flask_dynreg.lifecycle.clients import ClientChanges
from flask_dynreg.metadata.algorithms import SIGNATURES, names_of
from flask_dynreg.metadata.jwts import JWT, InvalidJWTError
from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.credentials import (
    REGISTRATION_ACCESS_TOKEN,
    digest,
    is_client_id,
    is_token,
    matches_digest,
    new_token,
)
from flask_dynreg.registry.kept_answers import KeptAnswers

KEYS_SETTLE = 86400
"""Seconds after which keys count as the client's own: who has stolen its token can change them."""

MOST_DEAD = 10
"""Dead tokens of a client that are known, the last ones."""

_ROTATING: Mapping[str, tuple[str, ...]] = {"never": (), "update": ("update",), "read": ("read", "update")}


class Rotation(ClientChanges):
    """By which token a client manages itself."""

    kept_answers: KeptAnswers | None

    def authenticate(self, client_id: str, token: str) -> ClientRecord:
        """The client whose registration access token this is. Raises UnknownTokenError, whatever the reason; SpentTokenError is
        one, for a token that was good before and was not used since it died."""
        known = is_client_id(client_id) and is_token(token, REGISTRATION_ACCESS_TOKEN)
        client = self._clients.find(client_id) if known else None
        if client is None:
            raise UnknownTokenError()
        if not self.is_live(client, token):
            raise SpentTokenError() if self._without(client, token) else UnknownTokenError()
        return client

    def is_live(self, client: ClientRecord, token: object) -> bool:
        """Whether this is one of the client's tokens: the confirmed one, if it is not over, or the next one."""
        if not isinstance(token, str):
            return False
        if matches_digest(client.registration_access_token, token):
            return not self.settings.registration_token_lifetime or not self._is_token_over(client)
        return matches_digest(client.next_registration_access_token, token)

    def renewed(self, client: ClientRecord, token: str, operation: str | None) -> str:
        """The token for the answer to a client that has done this with a live one: that, or a new one.

        The first use of the next one confirms it. `operation` is one of `DYNREG_MANAGEMENT`, None where nobody sees the answer.
        Raises RaceLostError.
        """
        following, tokens = client.next_registration_access_token, {}
        is_first_use = matches_digest(following, token)
        rotates = operation in _ROTATING[self.settings.registration_token_rotation]
        if not is_first_use and (following or not rotates):
            return token
        if is_first_use:
            tokens = {
                "registration_access_token": following,
                "spent_registration_access_token": _dead(client, client.registration_access_token),
                "registration_access_token_expires_at": self._token_end(client.status),
            }
        fresh = new_token(REGISTRATION_ACCESS_TOKEN) if rotates else None
        self._swap_tokens(client, None, **tokens, next_registration_access_token=digest(fresh) if fresh else None)
        return fresh or token

    def note_spent_token(self, client_id: str, token: str) -> None:
        """Tells of the first use of a token since it died, and forgets the token. Raises RaceLostError."""
        client = self._clients.find(client_id)
        if client is None or self.is_live(client, token) or not (left := self._without(client, token)):
            return
        self._swap_tokens(client, self._event("spent_token_used", client), **left)
        self._tell(signals.client_spent_token_used, client_id=client.client_id)
        signals.logger.warning("A registration access token of the client %s was used that is dead.", client.client_id)

    def _without(self, client: ClientRecord, token: str) -> dict[str, str | None]:
        """What is left of the tokens of a client without this one, which is not live; nothing if it is not known."""
        if matches_digest(client.registration_access_token, token):
            return {"registration_access_token": None}
        known = _digests(client)
        left = [kept for kept in known if not matches_digest(kept, token)]
        return {"spent_registration_access_token": " ".join(left) or None} if len(left) < len(known) else {}

    def reissue_token(self, client_id: str, by: str | None = None) -> str:
        """A new token by the operator's hand; all older ones are dead.

        Raises LookupError if the client is not there, ValueError if nobody could use the token, and RaceLostError.
        """
        if not self.settings.management:
            raise DecisionError("DYNREG_MANAGEMENT must have something: nobody could use the token.")
        client = self._for_operator(client_id)
        token = self._only_token(client, self._event("token_reissued", client, by=by))
        self._tell(signals.client_token_reissued, client_id=client.client_id, owner=client.owned_by)
        return token

    def recover(self, client_id: str, assertion: object, audience: str) -> tuple[ClientRecord, str]:
        """The client, and a new token, for an assertion that is signed by the client's key (RFC 7523); all older ones are dead.

        Raises UnprovenClientError, whatever is wrong, TemporarilyUnavailableError where the keys cannot be fetched now, and
        RaceLostError.
        """
        try:
            client, proof = self._proven(client_id, assertion, audience)
            if not self._used.use(one_time(proof, audience)):
                raise InvalidJWTError("must not have been used before (jti).")
        except InvalidJWTError as fault:
            signals.logger.info("A client is not recovered: its assertion %s", fault)
            raise UnprovenClientError() from None
        token = self._only_token(client, self._event("recovered", client))
        self._tell(signals.client_recovered, client_id=client.client_id)
        return client, token

    def _proven(self, client_id: str, assertion: object, audience: str) -> tuple[ClientRecord, JWT]:
        """Nothing is asked of the database, and no key is fetched, for what is no good anyway. Raises InvalidJWTError and
        TemporarilyUnavailableError."""
        now, name = self.credentials.now(), "token_endpoint_auth_signing_alg"
        supported = self.settings.server_metadata.get(f"{name}_values_supported", SIGNATURES)
        algorithms = [same for algorithm in supported for same in names_of(algorithm)]
        proof = read_assertion(assertion, client_id, audience, algorithms, now)
        client = self._clients.find(client_id) if is_client_id(client_id) else None
        if client is None or not client.check_endpoint_auth_method("private_key_jwt", "recovery"):
            raise InvalidJWTError("must be of a client that is active and authenticates by private_key_jwt.")
        if client.keys_changed_at is not None and now <= client.keys_changed_at + KEYS_SETTLE:
            raise InvalidJWTError("must be of a client that has not changed its keys for a day.")
        if name in client.client_metadata:
            proof.check_algorithm(names_of(client.client_metadata[name]))
        try:
            keys = client.key_set(proof.kid)
        except InvalidClientError as error:
            raise InvalidJWTError(f"must be signed by a key that is there. {error.description}") from error
        proof.check_signature(keys)
        return client, proof

    def _only_token(self, client: ClientRecord, event: Mapping[str, Any]) -> str:
        """A new token: all others are dead, and an answer is not repeated that has another one. Raises RaceLostError."""
        token = new_token(REGISTRATION_ACCESS_TOKEN)
        self._swap_tokens(
            client,
            event,
            registration_access_token=digest(token),
            next_registration_access_token=None,
            spent_registration_access_token=_dead(
                client, client.next_registration_access_token, client.registration_access_token
            ),
            registration_access_token_expires_at=self._token_end(client.status),
        )
        if self.kept_answers:
            self.kept_answers.drop(client)
        return token

    def _swap_tokens(self, client: ClientRecord, event: Mapping[str, Any] | None, **tokens: str | int | None) -> None:
        """Raises RaceLostError."""
        if not self._clients.swap_tokens(client, event, **tokens):
            raise RaceLostError()


def _digests(client: ClientRecord) -> list[str]:
    """Those of the dead tokens that are known, the last one first."""
    return (client.spent_registration_access_token or "").split()


def _dead(client: ClientRecord, *died: str | None) -> str | None:
    """The same, as they are kept, when these have died."""
    return " ".join([*filter(None, died), *_digests(client)][:MOST_DEAD]) or None
