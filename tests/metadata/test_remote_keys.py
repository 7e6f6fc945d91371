"""Key sets that lie elsewhere: how long one is kept, and when it is looked at anew."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from flask_dynreg.errors import TemporarilyUnavailableError
from flask_dynreg.metadata import remote_keys
from flask_dynreg.metadata.remote_keys import (
    DEFAULT_AGE,
    GREATEST_AGE,
    LEAST_AGE,
    LONGEST_STALE,
    PAUSE,
    RemoteKeySets,
    has_key,
)
from flask_dynreg.outbound import BusyError, Fetched, FetchError
from tests.conformance.requirements import requirement
from tests.metadata.keys import Jwk, ec_jwk, okp_jwk, private_parts, rsa_jwk

URL = "https://keys.client.example/jwks"


class Elsewhere:
    """A document that changes, a clock that is moved, and how often the document was asked for."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.max_age: int | None = None
        self.failure = FetchError("The server cannot be reached.")
        self.asked: list[tuple[str, str | None]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.serve(ec_jwk(kid="first"))
        self.is_free = True
        self.sets = RemoteKeySets(self._fetch, self._stand_back, lambda: self.now)

    def _stand_back(self) -> None:
        if not self.is_free:
            raise TemporarilyUnavailableError()

    def serve(self, *keys: Any) -> None:
        self.body: bytes | None = json.dumps({"keys": keys}).encode()

    def _fetch(self, url: str, client_id: str | None) -> Fetched:
        self.asked.append((url, client_id))
        self.meanwhile()
        if self.body is None:
            raise self.failure
        return Fetched(self.body, "application/json", self.max_age)

    def kids(self, kid: str | None = None, url: str = URL) -> list[str | None]:
        return [key.kid for key in self.sets.get(url, kid, "a client").keys]


@pytest.fixture
def elsewhere() -> Elsewhere:
    return Elsewhere()


def test_a_set_is_fetched_once_for_the_client_that_needs_it(elsewhere: Elsewhere) -> None:
    assert elsewhere.kids() == elsewhere.kids("first") == ["first"]
    assert elsewhere.asked == [(URL, "a client")]


@pytest.mark.parametrize(
    ("stated", "kept"),
    [(None, DEFAULT_AGE), (600, 600), (0, LEAST_AGE), (LEAST_AGE - 1, LEAST_AGE), (10**9, GREATEST_AGE)],
)
def test_a_set_is_kept_as_its_headers_say_within_bounds(elsewhere: Elsewhere, stated: int | None, kept: int) -> None:
    elsewhere.max_age = stated
    elsewhere.kids()
    elsewhere.serve(ec_jwk(kid="second"))
    elsewhere.now += kept - 1
    assert elsewhere.kids() == ["first"]
    elsewhere.now += 1
    assert elsewhere.kids() == ["second"]


def test_an_unknown_kid_is_looked_for_anew_but_not_at_once_again(elsewhere: Elsewhere) -> None:
    elsewhere.kids()
    elsewhere.serve(ec_jwk(kid="first"), rsa_jwk(kid="second"))
    elsewhere.now += PAUSE - 1
    assert elsewhere.kids("second") == ["first"]
    elsewhere.now += 1
    assert elsewhere.kids("second") == ["first", "second"]
    for number in range(10):
        assert elsewhere.kids(f"guessed {number}") == ["first", "second"]
    assert len(elsewhere.asked) == 2


def test_a_set_that_cannot_be_fetched_anew_serves_on_for_a_while(elsewhere: Elsewhere) -> None:
    elsewhere.kids()
    elsewhere.body = None
    elsewhere.now += DEFAULT_AGE
    for _ in range(3):
        assert elsewhere.kids() == ["first"]
    assert len(elsewhere.asked) == 2
    elsewhere.now += LONGEST_STALE
    with pytest.raises(FetchError, match="cannot be reached"):
        elsewhere.kids()
    elsewhere.serve(ec_jwk(kid="third"))
    elsewhere.now += PAUSE
    assert elsewhere.kids() == ["third"]


def test_after_a_failure_nobody_asks_for_a_while(elsewhere: Elsewhere) -> None:
    elsewhere.failure, elsewhere.body = FetchError("The server cannot be reached.", 10), None
    for _ in range(3):
        with pytest.raises(FetchError, match="cannot be reached") as caught:
            elsewhere.kids()
        assert caught.value.retry_after == 10
    assert len(elsewhere.asked) == 1
    elsewhere.serve(ec_jwk(kid="back"))
    elsewhere.now += PAUSE
    assert elsewhere.kids() == ["back"]


def test_who_waited_for_a_set_that_did_not_come_does_not_ask_again(elsewhere: Elsewhere) -> None:
    elsewhere.body = None
    others: list[FetchError] = []

    def ask() -> None:
        with pytest.raises(FetchError) as caught:
            elsewhere.kids()
        others.append(caught.value)

    threads = [threading.Thread(target=ask) for _ in range(5)]

    def start() -> None:
        for thread in threads:
            thread.start()

    elsewhere.meanwhile = start
    with pytest.raises(FetchError):
        elsewhere.kids()
    for thread in threads:
        thread.join(10)
    assert len(others) == 5 and len(elsewhere.asked) == 1


def test_a_server_that_is_busy_itself_asks_again_at_once(elsewhere: Elsewhere) -> None:
    elsewhere.failure, elsewhere.body = BusyError("There are too many.", 3), None
    for _ in range(2):
        with pytest.raises(BusyError):
            elsewhere.kids()
    assert len(elsewhere.asked) == 2


def test_a_set_serves_on_while_this_server_is_busy(elsewhere: Elsewhere) -> None:
    elsewhere.kids()
    elsewhere.failure, elsewhere.body = BusyError("There are too many.", 3), None
    elsewhere.now += DEFAULT_AGE
    assert elsewhere.kids() == elsewhere.kids() == ["first"]
    assert len(elsewhere.asked) == 3
    elsewhere.now += LONGEST_STALE
    with pytest.raises(BusyError):
        elsewhere.kids()


def test_who_cannot_stand_back_goes_on_with_what_is_there(elsewhere: Elsewhere) -> None:
    elsewhere.is_free = False
    with pytest.raises(TemporarilyUnavailableError):
        elsewhere.kids()
    elsewhere.is_free = True
    elsewhere.kids()
    elsewhere.is_free = False
    elsewhere.now += DEFAULT_AGE
    assert elsewhere.kids("unknown") == ["first"]
    elsewhere.is_free = True
    elsewhere.serve(ec_jwk(kid="second"))
    assert elsewhere.kids() == ["second"]
    elsewhere.is_free = False
    elsewhere.now += LONGEST_STALE + 1
    with pytest.raises(TemporarilyUnavailableError):
        elsewhere.kids()


def test_a_clock_that_is_set_back_makes_nothing_fresh_for_ever(elsewhere: Elsewhere) -> None:
    elsewhere.kids()
    elsewhere.now -= 1_000_000
    elsewhere.serve(ec_jwk(kid="second"))
    assert elsewhere.kids() == ["second"]
    elsewhere.body = None
    elsewhere.now -= 1_000_000
    assert elsewhere.kids() == ["second"]
    elsewhere.serve(ec_jwk(kid="third"))
    elsewhere.now -= 1_000_000
    assert elsewhere.kids() == ["third"]


def test_failures_are_forgotten_before_sets(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_keys, "MOST_SETS", 2)
    elsewhere.kids(url="a")
    elsewhere.body = None
    for url in ("b", "c", "d"):
        with pytest.raises(FetchError):
            elsewhere.kids(url=url)
    assert elsewhere.kids(url="a") == ["first"]
    assert [url for url, _ in elsewhere.asked] == ["a", "b", "c", "d"]


@requirement("RFC7591-2-26")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b'{"keys": {}}',
        b'{"keys": []}',
        json.dumps({"keys": [5, None, {}, {"kty": "oct", "k": "x"}, {"kty": "new"}]}).encode(),
        json.dumps({"keys": [rsa_jwk() | private_parts(rsa_jwk())]}).encode(),
    ],
)
def test_what_is_no_key_set_is_not_used(elsewhere: Elsewhere, body: bytes) -> None:
    elsewhere.body = body
    with pytest.raises(FetchError, match="must be a JWK Set with a public key"):
        elsewhere.kids()


def test_keys_that_are_not_sound_are_left_out(elsewhere: Elsewhere) -> None:
    leaked: Jwk = okp_jwk(kid="leaked") | private_parts(okp_jwk())
    elsewhere.serve({"kty": "new"}, leaked, ec_jwk(kid="sound"), {"kty": "RSA", "n": "AQAB", "e": "AQAB"})
    assert elsewhere.kids() == ["sound"]


def test_while_one_fetches_a_known_set_the_others_go_on_with_it(elsewhere: Elsewhere) -> None:
    elsewhere.kids()
    elsewhere.now += DEFAULT_AGE
    others: list[list[str | None]] = []

    def ask() -> None:
        thread = threading.Thread(target=lambda: others.append(elsewhere.kids()))
        thread.start()
        thread.join(10)

    elsewhere.meanwhile = ask
    assert elsewhere.kids() == ["first"]
    assert others == [["first"]] and len(elsewhere.asked) == 2


def test_while_one_fetches_an_unknown_set_the_others_wait_for_it(elsewhere: Elsewhere) -> None:
    others: list[list[str | None]] = []
    threads = [threading.Thread(target=lambda: others.append(elsewhere.kids())) for _ in range(5)]

    def start() -> None:
        for thread in threads:
            thread.start()

    elsewhere.meanwhile = start
    assert elsewhere.kids() == ["first"]
    for thread in threads:
        thread.join(10)
    assert others == [["first"]] * 5 and len(elsewhere.asked) == 1


def test_the_sets_that_were_not_needed_for_longest_are_forgotten(
    elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_keys, "MOST_SETS", 2)
    for url in ("a", "b", "a", "c", "a", "b"):
        elsewhere.kids(url=url)
    assert [url for url, _ in elsewhere.asked] == ["a", "b", "c", "b"]


def test_a_set_knows_its_keys(elsewhere: Elsewhere) -> None:
    keys = elsewhere.sets.get(URL)
    assert has_key(keys, "first") and not has_key(keys, "second")
