"""Key sets that lie elsewhere: fetched when a key is needed, kept for as long as their headers say, within bounds."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from joserfc.jwk import KeySet

from flask_dynreg.metadata import key_sets
from flask_dynreg.outbound import Fetched, FetchError

Fetch = Callable[[str, str | None], Fetched]
"""A URL and the client for which it is fetched in; raises FetchError."""

MOST_SETS = 1000
DEFAULT_AGE = 300
LEAST_AGE, GREATEST_AGE = 60, 86400
"""Seconds for which a set counts as fresh, whatever its headers say."""
PAUSE = 30
"""Seconds between two fetches of a set that is there: for an unknown `kid`, or after a failure."""
LONGEST_STALE = 7 * 86400
"""Seconds for which a set serves on while it cannot be fetched anew."""


class _Entry:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.keys: KeySet | None = None
        self.fetched_at = self.fresh_until = self.tried_at = 0.0

    def serves(self, kid: str | None, now: float) -> bool:
        """Whether the set is good without a fetch: it is fresh, and has the key or was looked at a moment ago."""
        if self.keys is None:
            return False
        paused = now < self.tried_at + PAUSE
        return paused or (now < self.fresh_until and (kid is None or has_key(self.keys, kid)))


def has_key(keys: KeySet, kid: str) -> bool:
    return any(key.kid == kid for key in keys.keys)


def imported(keys: Iterable[Mapping[str, Any]]) -> KeySet:
    """joserfc's form of public keys that are sound."""
    return KeySet.import_key_set({"keys": [{**key} for key in keys]})


class RemoteKeySets:
    """The key sets at `jwks_uri` of all clients and trusted issuers of one app, in this process."""

    def __init__(self, fetch: Fetch, clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, url: str, kid: str | None = None, client_id: str | None = None) -> KeySet:
        """The set, looked at anew if it has no key of this id. `client_id` is the client for which it is fetched.

        Raises FetchError if there is no set, not even an old one.
        """
        entry = self._entry(url)
        # One fetches; the others wait only where there is nothing to go on with.
        if not entry.serves(kid, self._clock()) and entry.lock.acquire(blocking=entry.keys is None):
            try:
                if not entry.serves(kid, self._clock()):
                    self._refresh(entry, url, client_id)
            finally:
                entry.lock.release()
        if entry.keys is None:
            raise FetchError("There is no key set.")
        return entry.keys

    def _entry(self, url: str) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(url, _Entry())
            self._entries.move_to_end(url)
            if len(self._entries) > MOST_SETS:
                self._entries.popitem(last=False)
            return entry

    def _refresh(self, entry: _Entry, url: str, client_id: str | None) -> None:
        try:
            fetched = self._fetch(url, client_id)
            keys = imported(_sound_keys(fetched.body))
        except FetchError:
            now = entry.tried_at = self._clock()
            if entry.keys is None or now > entry.fetched_at + LONGEST_STALE:
                entry.keys = None
                raise
            return
        age = DEFAULT_AGE if fetched.max_age is None else min(max(fetched.max_age, LEAST_AGE), GREATEST_AGE)
        entry.fetched_at = entry.tried_at = self._clock()
        entry.fresh_until = entry.fetched_at + age
        entry.keys = keys


def _sound_keys(body: bytes) -> list[dict[str, Any]]:
    """The public keys of a document that are sound by themselves; the others are ignored (RFC 7517 section 5)."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    keys = key_sets.sound_keys(value)
    if not keys:
        raise FetchError("The document must be a JWK Set with a public key.")
    return keys
