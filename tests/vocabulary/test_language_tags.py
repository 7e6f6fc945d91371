"""RFC 7591 section 2.2: which names may have a language tag, and what becomes of it."""

from typing import Any

import pytest

from tests.conformance.requirements import requirement
from tests.vocabulary.provider import BASE, DEFAULTS, Provider, same
from tests.vocabulary.registry import LOCALIZABLE, SENT
from tests.vocabulary.values import SOUND, unsound

OTHERS = [name for name in SENT if name not in LOCALIZABLE]


@requirement("RFC7591-2.2-01")
@pytest.mark.parametrize("name", LOCALIZABLE)
def test_a_tagged_value_is_kept_with_its_tag_as_received(op: Provider, name: str) -> None:
    value = SOUND[name][0].value
    tagged = {f"{name}#{tag}": value for tag in ("ja-Jpan-JP", "FR", "de-ch-1996", "x-own")}
    client = op.registered({**BASE, **tagged})
    assert same({key: client[key] for key in tagged}, tagged) and name not in client
    assert op.updated(client, client) == client
    assert op.updated(client, {**BASE, name: value, f"{name}#fr": value}).keys() & tagged.keys() == set()


@pytest.mark.parametrize("name", LOCALIZABLE)
def test_a_tagged_value_is_checked_as_an_untagged_one(op: Provider, name: str) -> None:
    wrong = [7, *(sample.value for sample in unsound(name))]
    assert [value for value in wrong if f"{name}#ja" not in op.members({**BASE, f"{name}#ja": value})] == []
    for nothing in (None, ""):
        assert op.metadata({**BASE, f"{name}#ja": nothing}) == DEFAULTS


@requirement("RFC7591-2.2-02")
@pytest.mark.parametrize("name", LOCALIZABLE)
def test_a_tag_is_there_once_however_it_is_spelt(op: Provider, name: str) -> None:
    value = SOUND[name][0].value
    assert op.pointers({**BASE, f"{name}#ja-jp": value, f"{name}#JA-JP": value}) == [f"/{name}#ja-jp"]
    for nothing in (None, ""):
        sent: dict[str, Any] = {**BASE, f"{name}#ja-jp": nothing, f"{name}#JA-JP": value}
        assert op.metadata(sent)[f"{name}#JA-JP"] == value


@pytest.mark.parametrize("name", LOCALIZABLE)
def test_a_tag_that_is_none_makes_an_unknown_name(op: Provider, name: str) -> None:
    for tag in ("", "x_y", "fr#de", "j", "-", "ja-", "\u00e9", "a" * 65):
        assert op.metadata({**BASE, f"{name}#{tag}": 7}) == DEFAULTS


@pytest.mark.parametrize("name", OTHERS)
def test_a_tag_on_another_name_makes_an_unknown_name(op: Provider, name: str) -> None:
    value = SOUND[name][0].value if name in SOUND else ["RS256"]
    for ignored in (value, 7):
        assert op.metadata({**BASE, f"{name}#ja": ignored}) == DEFAULTS


def test_there_are_only_so_many_tags(op: Provider) -> None:
    tags = [f"{first}{second}" for first in "abcdefgh" for second in "abcdefgh"]
    fits = {f"client_name#{tag}": "x" for tag in tags}
    assert op.registered({**BASE, **fits}).keys() >= fits.keys()
    assert op.members({**BASE, **fits, "description#zz": "x"}) != set()
