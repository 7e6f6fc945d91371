"""Names that look alike (UTS #39 section 4), and those that a server reserves."""

import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_dynreg import ConfigurationError
from flask_dynreg.metadata import lookalikes
from flask_dynreg.metadata.lookalikes import ReservedNames, skeleton
from tools.confusables import NOTICE, table

SHIPPED = Path(lookalikes.__file__).with_name("confusables.txt")
CIRCLED = "\u24b8\u24c5\u24c7\u24db\u24ea"  # taken for the letters they are, not for other signs
ANY_TEXT = st.text(st.characters(), max_size=40)  # halves of characters too
INVISIBLE = "\u00ad\u034f\u200b\u200c\u200d\u2060\u2064\u202e\u2066\u3164\ufe0f\ufeff\U000e0041\U000e0100"


@pytest.mark.parametrize(
    ("name", "attack"),
    [
        ("Claude", "CIaude"),
        ("Claude", "C1aude"),
        ("Claude", "C|aude"),
        ("Claude", "CLAUDE"),
        ("Claude", "claude"),
        ("Claude", " Claude "),
        ("Claude", "C l a u d e"),
        ("Claude", "C\u00a0l\u2003a\u3000u\u202fd e"),
        ("Claude", "C.l-a_u\u00b7d/e"),
        ("Claude", "\u201cClaude\u201d!"),
        ("Claude", "Claude\u2122"),
        ("Claude", "Claude \u2705"),
        ("Claude", "\u0421laude"),  # Cyrillic es
        ("Claude", "\u04211aude"),
        ("Claude", "\u0441l\u0430ud\u0435"),  # Cyrillic es, a, ie
        ("Claude", "Cl\u03b1ude"),  # Greek alpha
        ("Claude", "\u13dfl\uab7aude"),  # Cherokee
        ("Claude", "Cl\u00e1\u00fcd\u00e9"),
        ("Claude", "Cla\u0336u\u0336d\u0336e\u0336"),
        ("Claude", "\uff23\uff4c\uff41\uff55\uff44\uff45"),  # full width
        ("Claude", "\U0001d402\U0001d425\U0001d41a\U0001d42e\U0001d41d\U0001d41e"),  # mathematical bold
        ("Claude", "\u24b8\u24db\u24d0\u24e4\u24d3\u24d4"),  # in circles
        ("Claude", "\u1d04\u029f\u1d00\u1d1c\u1d05\u1d07"),  # small capitals
        ("Microsoft", "rnicrosoft"),
        ("Microsoft", "Mlcrosoft"),
        ("Microsoft", "\u039c\u0399CR\u039fSOFT"),  # Greek mu, iota, omicron
        ("Microsoft", "\u043cicrosoft"),  # Cyrillic em
        ("Google", "G00gle"),
        ("Google", "\u0262oogle"),
        ("Notion", "\u039dOTION"),  # Greek nu
        ("WWW", "vvVVw"),
        ("PayPal", "\u0420\u0430\u0443\u0420\u0430l"),  # Cyrillic er, a, u
        ("Beta", "\u0412\u0435\u0442\u0430"),  # Cyrillic ve, ie, te, a
    ],
)
def test_what_looks_like_a_name_has_its_skeleton(name: str, attack: str) -> None:
    assert skeleton(attack) == skeleton(name)


def test_a_skeleton_is_stable() -> None:
    """Skeletons are kept in databases: these are not to change from one release to the next."""
    assert skeleton("Claude") == "claude"
    assert skeleton("My W 10 Bank") == "rnyvvlobank"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Claude", "Claudia"),
        ("Claude", "Cloud"),
        ("Example Bank", "Example Banking"),
        ("\u9280\u884c", "\u5927\u5b66"),
        ("\u0634\u06a9\u0631", "\u0634\u06cc\u0631"),
        ("\U0001f98a", "\U0001f43b"),
    ],
)
def test_other_names_have_another(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@pytest.mark.parametrize("text", ["", " ", "\u3000\u00a0", "\u200d\u2060", "\x00\n", "\ud800", "\u0301"])
def test_where_nothing_is_seen_nothing_is_left(text: str) -> None:
    assert skeleton(text) == ""


def test_signs_are_kept_where_there_is_nothing_else() -> None:
    assert skeleton("\U0001f98a") == skeleton("\U0001f98a\ufe0f \u200d") == "\U0001f98a"
    assert skeleton("\U0001f98a Bank") == "bank"


@pytest.mark.parametrize("char", ["m", "\ufdfa", "\u0390"])
def test_a_long_text_has_a_skeleton_of_a_bounded_length(char: str) -> None:
    long = skeleton(char * 10_000)
    assert 800 < len(long) <= 1024 and skeleton(long) == long


@given(ANY_TEXT)
def test_the_skeleton_of_a_skeleton_is_itself(text: str) -> None:
    once = skeleton(text)
    assert skeleton(once) == once
    once.encode()


@given(ANY_TEXT, st.sampled_from(["NFC", "NFD"]))
def test_equivalent_spellings_have_one_skeleton(text: str, form: Literal["NFC", "NFD"]) -> None:
    assert skeleton(unicodedata.normalize(form, text)) == skeleton(text)


@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_case_counts_for_nothing(text: str) -> None:
    assert skeleton(text.upper()) == skeleton(text.lower()) == skeleton(text)


@given(st.text(st.characters(codec="ascii"), max_size=20), st.sampled_from(INVISIBLE), st.integers(0, 20))
def test_what_cannot_be_seen_counts_for_nothing(text: str, invisible: str, where: int) -> None:
    assert skeleton(text[:where] + invisible + text[where:]) == skeleton(text)


def test_every_pair_of_the_table_is_alike() -> None:
    lines = [line for line in SHIPPED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) > 2000
    for line in lines:
        prototype, characters = (part.split() for part in line.split(":"))
        text = "".join(chr(int(point, 16)) for point in prototype)
        for character in (chr(int(point, 16)) for point in characters):
            alike = skeleton(character) == skeleton(text)
            assert alike or character in CIRCLED or "\u0300" <= character <= "\u036f", line


def test_the_table_is_made_of_unicodes_own_and_has_its_notice() -> None:
    source = (
        "\ufeff# confusables.txt\n# Version: 99.0.0\n#\n"
        "0049 ;\t006C ;\tMA\t# ( I \u2192 l ) LATIN CAPITAL LETTER I \u2192 LATIN SMALL LETTER L\t# \n"
        "0031 ;\t006C ;\tMA\t# ( 1 \u2192 l ) DIGIT ONE \u2192 LATIN SMALL LETTER L\t# \n"
        "0022 ;\t0027 0027 ;\tMA\t#* ( \" \u2192 '' ) QUOTATION MARK \u2192 APOSTROPHE, APOSTROPHE\t# \n"
        "0340 ;\t0300 ;\tMA\t# ( \u2192 ) COMBINING GRAVE TONE MARK \u2192 COMBINING GRAVE ACCENT\t# \n"  # NFD leaves none
        "\n# total: 4\n"
    )
    made = table(source)
    assert [line for line in made.splitlines() if not line.startswith("#")] == ["27 27: 22", "6C: 49 31"]
    assert "version 99.0.0" in made
    for text in (made, SHIPPED.read_text(encoding="utf-8")):
        commented = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
        assert "\n".join(line.strip() for line in NOTICE.read_text(encoding="utf-8").splitlines()) in "\n".join(
            commented
        )


# ---- Reserved names

RESERVED = ReservedNames(["Claude", "Example Bank", "\u4f8b\u9280\u884c", "\U0001f98a"])


def reserved_in(name: str) -> str | None:
    return RESERVED.found({"client_name": name}).get("client_name")


@pytest.mark.parametrize(
    ("name", "reserved"),
    [
        ("Claude", "Claude"),
        ("C1aude", "Claude"),
        ("Cl aude", "Claude"),
        ("The claude app", "Claude"),
        ("Cl aude Official", "Claude"),
        ("Claude's helper", "Claude"),
        ("(\u0421laude)", "Claude"),
        ("Claude\u2122", "Claude"),
        ("Claude-Desktop", "Claude"),
        ("ClaudeDesktop", "Claude"),
        ("Claude\u30a2\u30d7\u30ea", "Claude"),
        ("EXAMPLE BANK AG", "Example Bank"),
        ("my-example-bank", "Example Bank"),
        ("ExampleBank", "Example Bank"),
        ("\u65b0\u4f8b\u9280\u884c\u30a2\u30d7\u30ea", "\u4f8b\u9280\u884c"),
        ("\U0001f98a", "\U0001f98a"),
    ],
)
def test_a_name_with_a_reserved_one_in_it_is_found(name: str, reserved: str) -> None:
    assert reserved_in(name) == reserved


@pytest.mark.parametrize(
    "name",
    [
        "Claudette",
        "Claudes",
        "Jean-Claudel",
        "Eclaude",
        "Cl",
        "Example Banking",
        "Example",
        "Bank Example",
        "\u9280\u884c",
    ],
)
def test_only_whole_words_count(name: str) -> None:
    assert reserved_in(name) is None


def test_names_in_every_language_count_and_other_members_do_not() -> None:
    metadata = {
        "client_name": "Mine",
        "client_name#ja": "CLAUDE",
        "client_name#fr": "Example Bank",
        "client_uri": "https://claude",
        "software_id": "Claude",
        "client_names": "Claude",
    }
    assert RESERVED.found(metadata) == {"client_name#ja": "Claude", "client_name#fr": "Example Bank"}
    assert ReservedNames([]).found(metadata) == {}


@given(ANY_TEXT)
def test_any_name_can_be_reserved_and_is_found_in_itself(name: str) -> None:
    if skeleton(name):
        assert ReservedNames([name]).found({"client_name": name}) == {"client_name": name}
    else:
        with pytest.raises(ConfigurationError, match="DYNREG_RESERVED_NAMES"):
            ReservedNames([name])
