"""Ids, secrets and tokens: how they are made, kept, compared and found out to be mistyped."""

import hashlib
import hmac
import re
import string
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from flask_dynreg.registry import credentials
from flask_dynreg.registry.credentials import Credentials, digest, is_client_id, is_token, matches_digest, new_token
from tests.hostile import json_values

PREFIXES = [credentials.CLIENT_SECRET, credentials.REGISTRATION_ACCESS_TOKEN, credentials.INITIAL_ACCESS_TOKEN]
ALPHABET = string.ascii_letters + string.digits + "-_"
OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
DIGESTS, ENCRYPTED = Credentials(), Credentials([NEW])

tokens = st.sampled_from(PREFIXES).map(new_token)


# ---- Shape


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_token_can_be_recognised_and_holds_256_random_bits(prefix: str) -> None:
    made = {new_token(prefix) for _ in range(100)}
    assert len(made) == 100
    for token in made:
        assert re.fullmatch("dynreg_(sec|rat|iat)_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}", token)
        assert is_token(token, prefix)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_token_of_one_kind_is_none_of_another(prefix: str) -> None:
    assert [is_token(new_token(prefix), other) for other in PREFIXES] == [prefix == other for other in PREFIXES]


@given(tokens, st.data())
def test_a_typing_mistake_is_found_out(token: str, data: st.DataObject) -> None:
    prefix = next(prefix for prefix in PREFIXES if token.startswith(prefix))
    place = data.draw(st.integers(0, len(token) - 1))
    wrong = data.draw(st.sampled_from(ALPHABET).filter(lambda char: char != token[place]))
    assert not is_token(token[:place] + wrong + token[place + 1 :], prefix)
    assert not is_token(token[:place] + token[place + 1 :], prefix)
    assert not is_token(token[:place] + wrong + token[place:], prefix)
    if token[place : place + 1] != token[place + 1 : place + 2] and place + 1 < len(token):
        assert not is_token(token[:place] + token[place + 1] + token[place] + token[place + 2 :], prefix)


@given(st.text() | tokens.map(lambda token: token + "x" * 300) | st.text().map(lambda text: PREFIXES[0] + text))
def test_whatever_is_presented_as_a_token_nothing_breaks(presented: str) -> None:
    assert not any(is_token(presented, prefix) for prefix in PREFIXES)


def test_client_ids_are_random_and_of_safe_characters() -> None:
    made = {credentials.new_client_id() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", client_id) and is_client_id(client_id) for client_id in made)


@pytest.mark.parametrize("client_id", ["a", "s6BhdRkqt3", "x" * 255, "!~", "https://client.example/"])
def test_any_id_of_visible_ascii_may_be_one_of_an_earlier_table(client_id: str) -> None:
    assert is_client_id(client_id)


@pytest.mark.parametrize("client_id", ["", "x" * 256, "a b", "a\n", "\x7f", "\u00e9", "\0", "\ud800"])
def test_what_no_client_can_have_is_no_id(client_id: str) -> None:
    assert not is_client_id(client_id)


@pytest.mark.parametrize("octets", [32, 64])
def test_a_secret_is_long_enough(octets: int) -> None:
    secret = DIGESTS.new_client_secret(octets)
    assert is_token(secret, credentials.CLIENT_SECRET)
    assert len(secret) >= octets * 4 / 3


# ---- Kept as a digest


def test_a_digest_names_its_scheme_and_is_sha256_of_the_whole() -> None:
    secret = new_token(credentials.CLIENT_SECRET)
    assert digest(secret) == DIGESTS.kept(secret) == "sha256:" + hashlib.sha256(secret.encode()).hexdigest()
    assert DIGESTS.revealed(DIGESTS.kept(secret)) is None
    assert not DIGESTS.is_key(DIGESTS.kept(secret), 1)


@given(st.text(), st.text())
def test_a_digest_matches_its_own_text_alone(secret: str, other: str) -> None:
    assert matches_digest(digest(secret), secret) and DIGESTS.matches(digest(secret), secret)
    assert matches_digest(digest(secret), other) is DIGESTS.matches(digest(secret), other) is (secret == other)
    assert not DIGESTS.matches(digest(secret), digest(secret))


def test_nothing_matches_where_nothing_is_kept() -> None:
    assert not matches_digest(None, "x")
    for kept in (None, ""):
        for presented in ("", "x", None):
            assert not DIGESTS.matches(kept, presented) and not ENCRYPTED.matches(kept, presented)


# ---- Kept encrypted


def test_a_secret_under_a_key_can_be_read_again_and_compared() -> None:
    secret = new_token(credentials.CLIENT_SECRET)
    kept = ENCRYPTED.kept(secret)
    assert kept.startswith("fernet:") and secret not in kept and len(kept) <= 255
    assert kept != ENCRYPTED.kept(secret)
    assert ENCRYPTED.revealed(kept) == secret
    assert (
        ENCRYPTED.matches(kept, secret)
        and not ENCRYPTED.matches(kept, secret + "x")
        and not ENCRYPTED.matches(kept, kept)
    )


def test_the_longest_secret_fits_into_its_column_and_signs() -> None:
    kept = ENCRYPTED.kept(ENCRYPTED.new_client_secret(64))
    assert len(kept) <= 255 and ENCRYPTED.is_key(kept, 64)
    assert not ENCRYPTED.is_key(ENCRYPTED.kept("x" * 63), 64)


def test_keys_are_rotated_by_putting_a_new_one_in_front() -> None:
    kept = Credentials([OLD]).kept("secret")
    rotated = Credentials([NEW, OLD])
    assert rotated.revealed(kept) == "secret" and rotated.matches(kept, "secret") and rotated.can_check(kept)
    newer = rotated.kept("secret")
    assert Credentials([NEW]).revealed(newer) == "secret"
    assert Credentials([OLD]).revealed(newer) is None


@pytest.mark.parametrize("later", [Credentials([OTHER]), Credentials()], ids=["other key", "no key"])
def test_a_secret_whose_key_is_gone_matches_nothing(later: Credentials) -> None:
    kept = ENCRYPTED.kept("secret")
    assert later.revealed(kept) is None and not later.can_check(kept)
    for presented in ("secret", "", kept):
        assert not later.matches(kept, presented)


@pytest.mark.parametrize(
    "spoiled", ["fernet:", "fernet:x", "fernet:\u00e9", "fernet:" + "A" * 140, ENCRYPTED.kept("x")[:-4]]
)
def test_a_spoiled_secret_matches_nothing(spoiled: str) -> None:
    assert ENCRYPTED.revealed(spoiled) is None
    assert not ENCRYPTED.matches(spoiled, "x") and not ENCRYPTED.matches(spoiled, spoiled)


def test_a_digest_stays_good_when_keys_come() -> None:
    kept = DIGESTS.kept("secret")
    assert ENCRYPTED.matches(kept, "secret") and ENCRYPTED.can_check(kept)
    assert ENCRYPTED.revealed(kept) is None


# ---- Kept in the clear, by an earlier client model


@pytest.mark.parametrize("secret", ["x", "s3cret", "\u00e9\U0001f511", "sha512:x", " ", "x" * 255])
def test_a_clear_secret_of_an_earlier_model_matches_itself_alone(secret: str) -> None:
    for kind in (DIGESTS, ENCRYPTED):
        assert kind.matches(secret, secret) and kind.can_check(secret)
        assert not kind.matches(secret, secret + "x") and not kind.matches(secret, digest(secret))
        assert kind.revealed(secret) is None


# ---- Comparing


@given(json_values)
def test_whatever_is_presented_it_is_compared_or_wrong(presented: Any) -> None:
    for kind, kept in ((DIGESTS, digest("secret")), (ENCRYPTED, ENCRYPTED.kept("secret")), (DIGESTS, "secret")):
        assert kind.matches(kept, presented) is (presented == "secret")


@pytest.mark.parametrize("presented", ["\u00e9", "\ud800", "\0", "\U0001f511", "", "x" * 100_000, b"secret", 1, None])
def test_odd_secrets_are_wrong_and_break_nothing(presented: object) -> None:
    for kind, kept in ((DIGESTS, digest("secret")), (ENCRYPTED, ENCRYPTED.kept("secret")), (DIGESTS, "s\u00e9cret")):
        assert not kind.matches(kept, presented)


def test_everything_is_compared_in_constant_time_on_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    token = new_token(credentials.INITIAL_ACCESS_TOKEN)
    encrypted = ENCRYPTED.kept("secret")
    questions: list[Callable[[], bool]] = [
        lambda: DIGESTS.matches(digest("secret"), "secret"),
        lambda: ENCRYPTED.matches(encrypted, "secret"),
        lambda: DIGESTS.matches("secret", "secret"),
        lambda: matches_digest(digest(token), token),
        lambda: is_token(token, credentials.INITIAL_ACCESS_TOKEN),
    ]
    compared: list[tuple[object, object]] = []

    def compare(left: object, right: object) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for question in questions:
        compared.clear()
        assert question()
        ((left, right),) = compared
        assert isinstance(left, bytes) and isinstance(right, bytes)


def test_the_time_is_in_whole_seconds() -> None:
    assert Credentials(clock=lambda: 1_800_000_000.9).now() == 1_800_000_000
