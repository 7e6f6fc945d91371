"""Key sets that lie elsewhere: fetched when a key is needed, kept for as long as their headers say, within bounds."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from joserfc.jwk import KeySet

from flask_dynreg.errors import TemporarilyUnavailableError
from flask_dynreg.metadata import key_sets
from flask_dynreg.outbound import BusyError, Fetched, FetchError

Fetch = Callable[[str, str | None], Fetched]
"""A URL and the client for which it is fetched in; raises FetchError."""

MOST_SETS = 1000
DEFAULT_AGE = 300
LEAST_AGE, GREATEST_AGE = 60, 86400
"""Seconds for which a set counts as fresh, whatever its headers say."""
PAUSE = 30
"""Seconds between two fetches of a set that is there, for an unknown `kid`, and after a failure."""
LONGEST_STALE = 7 * 86400
"""Seconds for which a set serves on while it cannot be fetched anew."""


class _Entry:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.keys: KeySet | None = None
        self.failure: FetchError | None = None
        self.fetched_at = self.fresh_until = self.tried_at = 0.0

    def is_settled(self, kid: str | None, now: float) -> bool:
        """Whether nothing is to be fetched: a moment ago it was tried, or the set is fresh and has the key."""
        if self.keys is None and self.failure is None:
            return False
        if self.tried_at <= now < self.tried_at + PAUSE:  # unless the clock was set back
            return True
        is_fresh = self.keys is not None and self.fetched_at <= now < self.fresh_until
        return is_fresh and (kid is None or self.keys is None or has_key(self.keys, kid))

    def found(self) -> KeySet:
        if self.keys is None:
            failure = self.failure
            raise FetchError(str(failure), failure.retry_after) if failure else FetchError("There is no key set.")
        return self.keys


def has_key(keys: KeySet, kid: str) -> bool:
    return any(key.kid == kid for key in keys.keys)


def imported(keys: Iterable[Mapping[str, Any]]) -> KeySet:
    """joserfc's form of public keys that are sound."""
    return KeySet.import_key_set({"keys": [{**key} for key in keys]})


class RemoteKeySets:
    """The key sets at `jwks_uri` of all clients and trusted issuers of one app, in this process.

    Before anybody fetches, or waits for somebody who does, `stand_back()` gives back what others need meanwhile; it raises
    TemporarilyUnavailableError if it cannot.
    """

    def __init__(self, fetch: Fetch, stand_back: Callable[[], None], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._stand_back = stand_back
        self._clock = clock
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, url: str, kid: str | None = None, client_id: str | None = None) -> KeySet:
        """The set, looked at anew if it has no key of this id. `client_id` is the client for which it is fetched.

        Raises FetchError if there is no set, not even an old one, and then for a while without trying again; and
        TemporarilyUnavailableError.
        """
        entry = self._entry(url)
        if not entry.is_settled(kid, self._clock()):
            try:
                self._stand_back()
            except TemporarilyUnavailableError:
                if entry.keys is None or self._is_too_old(entry):
                    raise
            else:
                self._settle(entry, kid, url, client_id)
        return entry.found()

    def known(self, url: str, kid: str | None = None) -> KeySet:
        """The set as it was last seen. Raises FetchError if it never was."""
        with self._lock:
            entry = self._entries.get(url)
        return (entry or _Entry()).found()

    def _settle(self, entry: _Entry, kid: str | None, url: str, client_id: str | None) -> None:
        # One fetches; the others wait only where there is nothing to go on with.
        if entry.lock.acquire(blocking=entry.keys is None):
            try:
                if not entry.is_settled(kid, self._clock()):
                    self._refresh(entry, url, client_id)
            finally:
                entry.lock.release()

    def _entry(self, url: str) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(url, _Entry())
            self._entries.move_to_end(url)
            if len(self._entries) > MOST_SETS:
                others = (known for known, each in self._entries.items() if each.keys is None and known != url)
                self._entries.pop(next(others, next(iter(self._entries))))
            return entry

    def _is_too_old(self, entry: _Entry) -> bool:
        return self._clock() > entry.fetched_at + LONGEST_STALE

    def _refresh(self, entry: _Entry, url: str, client_id: str | None) -> None:
        try:
            fetched = self._fetch(url, client_id)
            keys = imported(_sound_keys(fetched.body))
        except BusyError:  # it was not asked
            if entry.keys is None or self._is_too_old(entry):
                raise
        except FetchError as error:
            entry.tried_at, entry.failure = self._clock(), error
            if self._is_too_old(entry):
                entry.keys = None
        else:
            age = DEFAULT_AGE if fetched.max_age is None else min(max(fetched.max_age, LEAST_AGE), GREATEST_AGE)
            entry.fetched_at = entry.tried_at = self._clock()
            entry.fresh_until = entry.fetched_at + age
            entry.keys, entry.failure = keys, None


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
