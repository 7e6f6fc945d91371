"""Key sets that lie elsewhere: how long one is kept, and when it is looked at anew."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

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
from flask_dynreg.outbound import Fetched, FetchError
from tests.metadata.keys import Jwk, ec_jwk, okp_jwk, private_parts, rsa_jwk

URL = "https://keys.client.example/jwks"


class Elsewhere:
    """A document that changes, a clock that is moved, and how often the document was asked for."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.max_age: int | None = None
        self.asked: list[tuple[str, str | None]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.serve(ec_jwk(kid="first"))
        self.sets = RemoteKeySets(self._fetch, lambda: self.now)

    def serve(self, *keys: Any) -> None:
        self.body: bytes | None = json.dumps({"keys": keys}).encode()

    def _fetch(self, url: str, client_id: str | None) -> Fetched:
        self.asked.append((url, client_id))
        self.meanwhile()
        if self.body is None:
            raise FetchError("The server cannot be reached.")
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
    assert elsewhere.kids() == ["third"]


def test_a_failure_is_not_kept_here(elsewhere: Elsewhere) -> None:
    """The fetcher waits longer each time; what it says is passed on."""
    elsewhere.body = None
    for _ in range(2):
        with pytest.raises(FetchError):
            elsewhere.kids()
    assert len(elsewhere.asked) == 2


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
