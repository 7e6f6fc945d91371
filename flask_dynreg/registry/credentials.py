"""Ids, secrets and tokens: how they are made, kept and compared."""

import hashlib
import hmac
import re
import secrets
import time
import zlib
from collections.abc import Callable, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

Clock = Callable[[], float]
"""Seconds since the epoch."""

CLIENT_SECRET = "dynreg_sec_"
REGISTRATION_ACCESS_TOKEN = "dynreg_rat_"
INITIAL_ACCESS_TOKEN = "dynreg_iat_"

_DIGEST = "sha256:"
ENCRYPTED = "fernet:"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM_LENGTH = 6
_RANDOM_BYTES = 32
_CLIENT_ID = re.compile(r"[!-~]{1,255}")
_CHOSEN = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TOKEN = re.compile(r"dynreg_[a-z]+_[A-Za-z0-9_-]{43,}")


def new_client_id() -> str:
    return secrets.token_hex(16)


def new_token(prefix: str, random_bytes: int = _RANDOM_BYTES) -> str:
    """A prefix by which scanners find a leaked one, random bits, and a checksum that a typing mistake breaks."""
    body = prefix + secrets.token_urlsafe(random_bytes)
    return body + _checksum(body)


def _checksum(body: str) -> str:
    number, text = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_BASE62))
        text = _BASE62[digit] + text
    return text


def is_token(presented: str, prefix: str) -> bool:
    """Whether it could be one of ours: told without asking the database."""
    body, checksum = presented[:-_CHECKSUM_LENGTH], presented[-_CHECKSUM_LENGTH:]
    return (
        presented.startswith(prefix)
        and len(presented) <= 255
        and _TOKEN.fullmatch(presented) is not None
        and hmac.compare_digest(_checksum(body).encode(), checksum.encode())
    )


def is_client_id(presented: str) -> bool:
    """Whether a client could have this id: RFC 6749 appendix A.1, and short enough for its column."""
    return _CLIENT_ID.fullmatch(presented) is not None


def may_be_chosen(client_id: str) -> bool:
    """Whether an operator may give a client this id: of the characters that ours have."""
    return _CHOSEN.fullmatch(client_id) is not None


def digest(value: str) -> str:
    """What is kept of a random value: SHA-256, under a name, so that another scheme can follow."""
    return _DIGEST + hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()


def matches_digest(kept: str | None, presented: str) -> bool:
    return kept is not None and hmac.compare_digest(kept.encode(), digest(presented).encode())


class Credentials:
    """How one app keeps client secrets: as digests, or encrypted where `secret_keys` (Fernet, newest first) are given."""

    def __init__(self, secret_keys: Sequence[str] = (), clock: Clock = time.time) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in secret_keys]) if secret_keys else None
        self._newest = Fernet(secret_keys[0]) if secret_keys else None
        self._clock = clock

    def now(self) -> int:
        """Seconds since the epoch."""
        return int(self._clock())

    def new_client_secret(self, octets: int) -> str:
        """One of at least so many octets."""
        return new_token(CLIENT_SECRET, max(octets, _RANDOM_BYTES))

    def kept(self, secret: str) -> str:
        """What goes into the database."""
        return ENCRYPTED + self._fernet.encrypt(secret.encode()).decode() if self._fernet else digest(secret)

    def revealed(self, kept: str | None) -> str | None:
        """The secret itself, where it is kept encrypted and one of the keys fits."""
        if not kept or not kept.startswith(ENCRYPTED) or not self._fernet:
            return None
        try:
            return self._fernet.decrypt(kept.removeprefix(ENCRYPTED).encode()).decode()
        except InvalidToken:
            return None

    def reencrypted(self, kept: str) -> str | None:
        """What is kept, under the newest key: the same text where it is, or is not encrypted. None if no key opens it."""
        if not kept.startswith(ENCRYPTED):
            return kept
        if not self._fernet or not self._newest:
            return None
        token = kept.removeprefix(ENCRYPTED).encode()
        try:
            self._newest.decrypt(token)
            return kept
        except InvalidToken:
            pass
        try:
            return ENCRYPTED + self._fernet.rotate(token).decode()
        except InvalidToken:
            return None

    def can_check(self, kept: str) -> bool:
        """Whether a secret can be compared with it: not if it is encrypted under a key that is gone."""
        return not kept.startswith(ENCRYPTED) or self.revealed(kept) is not None

    def is_key(self, kept: str, octets: int) -> bool:
        """Whether the secret can be read again, and has at least so many octets."""
        return len(self.revealed(kept) or "") >= octets

    def matches(self, kept: str | None, presented: object) -> bool:
        """Whether this is the secret that is kept as a digest, encrypted, or in the clear by an earlier client model."""
        if not kept or not isinstance(presented, str):
            return False
        if kept.startswith(_DIGEST):
            return matches_digest(kept, presented)
        secret = self.revealed(kept) if kept.startswith(ENCRYPTED) else kept
        return secret is not None and hmac.compare_digest(
            secret.encode(errors="surrogatepass"), presented.encode(errors="surrogatepass")
        )
