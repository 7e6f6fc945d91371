"""What a registered client can be asked, whichever way it was read: RFC 7591's metadata, and Authlib's `ClientMixin`."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from authlib.oauth2.rfc6749 import ClientMixin, InvalidClientError
from flask import current_app
from joserfc.jwk import KeySet

from flask_dynreg.errors import TemporarilyUnavailableError
from flask_dynreg.metadata import redirect_uris
from flask_dynreg.metadata.key_rules import secret_octets
from flask_dynreg.metadata.sectors import sector_identifier
from flask_dynreg.metadata.server import CERTIFICATE_SUBJECTS, words
from flask_dynreg.metadata.text import localized
from flask_dynreg.outbound import FetchError

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


CONSENTED = frozenset(
    {
        "redirect_uris",
        "client_name",
        "logo_uri",
        "scope",
        "grant_types",
        "token_endpoint_auth_method",
        "jwks",
        "jwks_uri",
        *CERTIFICATE_SUBJECTS,
    }
)
"""The members of the metadata that users agree to and trust in; those with a language tag too."""


def dump(metadata: Mapping[str, Any]) -> str:
    """Client metadata as the text that is kept: ASCII, so that no database changes a character of it."""
    return _encode(metadata)


class OlderSecret(NamedTuple):
    """A secret that a newer one has followed: as it is kept, until when it is good, and the end of which the client was told.

    `is_promised` where an operator has given the newer one, and knows where it went.
    """

    kept: str
    ends_at: int
    told: int
    is_promised: bool = False


def load_older(text: str | None) -> list[OlderSecret]:
    return [OlderSecret(*older) for older in json.loads(text or "[]")]


def dump_older(secrets: Sequence[OlderSecret]) -> str | None:
    """Older secrets as the text that is kept."""
    return _encode(secrets) if secrets else None


class RegisteredClient(ClientMixin):
    """The readers of a client. Times are seconds since the epoch."""

    if TYPE_CHECKING:
        client_id: Any
        client_secret: Any
        client_id_issued_at: Any
        client_secret_expires_at: Any
        older_client_secrets: Any
        _client_metadata: Any
        source: Any
        status: Any
        statement_issuer: Any
        name_skeleton: Any
        policies: Any
        expires_at: Any
        requested_metadata: Any
        waiting_since: Any

    _parsed: tuple[str | None, dict[str, Any]] | None = None

    @property
    def client_metadata(self) -> dict[str, Any]:
        """The registered metadata, by the names of RFC 7591. Not to be changed: see `set_client_metadata`."""
        text = self._client_metadata
        if self._parsed is None or self._parsed[0] != text:
            self._parsed = (text, json.loads(text) if text else {})
        return self._parsed[1]

    def set_client_metadata(self, value: Mapping[str, Any]) -> None:
        self._client_metadata = dump(value)

    @property
    def client_info(self) -> dict[str, Any]:
        """What RFC 7591 section 3.2.1 adds to the metadata. The secret is not among it: it may not be known any more."""
        return {"client_id": self.client_id, "client_id_issued_at": self.client_id_issued_at}

    @property
    def is_active(self) -> bool:
        """Whether it may be used. One that waits for approval, is suspended or over can be read and deleted, and gets nothing."""
        return self.status in ("active", None) and not self.is_over  # None: not written yet

    @property
    def is_over(self) -> bool:
        """Whether its time is over, as a policy wanted it: it has to register anew, as one that is not there any more.

        The time of one that waits for approval has not begun.
        """
        if self.expires_at is None or self.was_never_approved:
            return False
        is_over: bool = self.expires_at <= _registrar().credentials.now()
        return is_over

    @property
    def requested(self) -> dict[str, Any] | None:
        """The metadata that it has asked to have, if that waits for an operator."""
        wish: dict[str, Any] = json.loads(self.requested_metadata or "{}")
        return wish.get("metadata")

    @property
    def was_never_approved(self) -> bool:
        """Whether it has waited for an operator since it was registered; it may have been suspended meanwhile."""
        return self.waiting_since is not None and self.requested_metadata is None

    def is_under(self, policy: str) -> bool:
        """Whether the policy of this name, or of this name in a profile, held when the client registered or changed."""
        held: bool = _registrar().holds(self.policies, policy)
        return held

    @property
    def consent_fingerprint(self) -> str:
        """Changes when anything does that a user has agreed to, for a host that remembers consent: SHA-256 in hexadecimal of the
        redirect URIs, names, logos, scopes, grant types, authentication method, keys and subject of the certificate."""
        agreed = {
            name: value for name, value in sorted(self.client_metadata.items()) if name.partition("#")[0] in CONSENTED
        }
        return sha256(dump(agreed).encode()).hexdigest()

    @property
    def redirect_uris(self) -> list[str]:
        return list(self.client_metadata.get("redirect_uris", ()))

    @property
    def token_endpoint_auth_method(self) -> str:
        return str(self.client_metadata.get("token_endpoint_auth_method", "client_secret_basic"))

    @property
    def grant_types(self) -> list[str]:
        return list(self.client_metadata.get("grant_types", ()))

    @property
    def response_types(self) -> list[str]:
        return list(self.client_metadata.get("response_types", ()))

    @property
    def client_name(self) -> str | None:
        return self.client_metadata.get("client_name")

    def localized(self, member: str, languages: Iterable[str] = ()) -> str | None:
        """The value of a member such as `client_name` or `client_uri` for somebody who reads these languages, the best first.

        RFC 7591 section 2.2: what suits a language best, else the value without a language, else any; None if there is none.
        Languages are BCP 47 tags, `flask.request.accept_languages.values()` for example.
        """
        value: str | None = localized(self.client_metadata, member, languages)
        return value

    @property
    def client_uri(self) -> str | None:
        return self.client_metadata.get("client_uri")

    @property
    def logo_uri(self) -> str | None:
        return self.client_metadata.get("logo_uri")

    @property
    def scope(self) -> str:
        return str(self.client_metadata.get("scope", ""))

    @property
    def contacts(self) -> list[str]:
        return list(self.client_metadata.get("contacts", ()))

    @property
    def tos_uri(self) -> str | None:
        return self.client_metadata.get("tos_uri")

    @property
    def policy_uri(self) -> str | None:
        return self.client_metadata.get("policy_uri")

    @property
    def jwks_uri(self) -> str | None:
        return self.client_metadata.get("jwks_uri")

    @property
    def jwks(self) -> dict[str, Any]:
        """A JWK Set; empty where the client brought none."""
        return dict(self.client_metadata.get("jwks", {"keys": []}))

    def key_set(self, kid: str | None = None) -> KeySet:
        """The client's public keys, for the `private_key_jwt` and the request objects that it signs.

        Those at its `jwks_uri` are fetched when they are needed and kept in this process; they are looked at anew if none has
        this `kid`. A session that has only read gives its connection back meanwhile.

        Raises TemporarilyUnavailableError (503) where trying again later is right: the host of the keys fails, or the session
        holds changes that are not committed; InvalidClientError (401) where only another `jwks_uri` or document will do.
        """
        try:
            keys: KeySet = _registrar().key_set(self.client_metadata, self.client_id, kid)
        except FetchError as error:
            if error.retry_after:
                raise TemporarilyUnavailableError(retry_after=error.retry_after) from error
            description = f"The keys at the client's jwks_uri cannot be had. {error}"
            raise InvalidClientError(description, status_code=401) from error
        return keys

    @property
    def sector_identifier(self) -> str | None:
        """The host for which the client gets pairwise subjects (OpenID Connect Core 1.0 section 8.1)."""
        return sector_identifier(self.client_metadata)

    @property
    def software_id(self) -> str | None:
        return self.client_metadata.get("software_id")

    @property
    def software_statement(self) -> str | None:
        """The software statement in force, as it was sent (RFC 7591 section 2.3)."""
        return self.client_metadata.get("software_statement")

    @property
    def software_version(self) -> str | None:
        return self.client_metadata.get("software_version")

    def get_client_id(self) -> str:
        return str(self.client_id)

    def get_default_redirect_uri(self) -> str | None:  # type: ignore[override]
        """The redirect URI of a request that names none: only where there is no choice (RFC 6749 section 3.1.2.3)."""
        registered = self.redirect_uris
        return registered[0] if len(registered) == 1 else None

    def get_allowed_scope(self, scope: Collection[str] | str | None) -> str:
        """Of these scopes, those that are registered."""
        registered = set(self.scope.split())
        asked = scope.split() if isinstance(scope, str) else scope or ()
        return " ".join(name for name in asked if name in registered)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether it is registered; any port will do on loopback (RFC 8252 section 7.3)."""
        return redirect_uris.matches(self.redirect_uris, redirect_uri)

    def check_client_secret(self, client_secret: object) -> bool:
        """Whether it is the client's newest secret, or an older one, and not over. Each is compared, and in constant time."""
        credentials = _registrar().credentials
        matches = [credentials.matches(kept, client_secret) for kept in self._good_secrets(credentials.now())]
        return any(matches)

    def symmetric_key(self) -> str | None:
        """The newest client secret itself, the key of what the server signs and encrypts for it (OpenID Connect Core 10).

        None where it is over, or only its digest is kept: `DYNREG_SECRET_KEYS` keeps it so that it can be read.
        """
        credentials = _registrar().credentials
        return None if self.is_secret_over(credentials.now()) else credentials.revealed(self.client_secret)

    def symmetric_keys(self) -> list[str]:
        """The client secrets with which the client may have signed, for `client_secret_jwt` for example: the newest first, then
        the older ones that are good beside it. Those are left out that are too short for the algorithms that it registered.

        Empty where only digests are kept, as with `symmetric_key`.
        """
        credentials, octets = _registrar().credentials, secret_octets(self.client_metadata)
        keys = map(credentials.revealed, self._good_secrets(credentials.now()))
        return [key for key in keys if key and len(key) >= octets]

    @property
    def older_secrets(self) -> list[OlderSecret]:
        """Those before the newest that are remembered, be they over."""
        return load_older(self.older_client_secrets)

    def is_secret_over(self, now: int) -> bool:
        """Whether the newest secret is."""
        return 0 < (self.client_secret_expires_at or 0) <= now

    def _good_secrets(self, now: int) -> list[str]:
        """As they are kept."""
        newest = [self.client_secret] if self.client_secret and not self.is_secret_over(now) else []
        return newest + [older.kept for older in self.older_secrets if older.ends_at > now]

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Whether the client registered this method, which holds for every endpoint where it authenticates."""
        return self.is_active and method == self.token_endpoint_auth_method

    def check_response_type(self, response_type: str) -> bool:
        return self.is_active and words(response_type) in map(words, self.response_types)

    def check_grant_type(self, grant_type: str) -> bool:
        return self.is_active and grant_type in self.grant_types


def _registrar() -> Any:
    return current_app.extensions["dynreg"]
