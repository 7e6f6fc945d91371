"""Names that look alike: the skeletons of Unicode's UTS #39, and the names that a server reserves.

Nothing is refused because of it: among the names of the world there are false alarms.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import accumulate

from flask_dynreg.errors import ConfigurationError

# What is not seen (Default_Ignorable_Code_Point), and what a reader overlooks: accents (Chromium takes host names so), TM and SM.
_OVERLOOKED = (
    "AD 300-36F 61C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 2120 2122 3164 FE00-FE0F FEFF FFA0 FFF0-FFF8 "
    "1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"
)
# Letters in a circle, which UTS #39 takes for other signs.
_CIRCLED = "\u24b8\u24c5\u24c7\u24db\u24ea"
_SMALL_CAPITALS = {f"LATIN LETTER SMALL CAPITAL {letter}": letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWYZ"}
# The prototypes of two of them, and of the Cyrillic letters that look like these.
_SMALL_CAPITALS |= {"LATIN SMALL LETTER KRA": "K", "LATIN SMALL LETTER TURNED W": "M"}
_LONGEST = 1024  # a name has 255 characters, and there are some that NFKD makes 18 of
_NAME = "client_name"


@cache
def _prototypes() -> dict[int, str | None]:
    """What `str.translate` puts in the place of a character; None for nothing."""
    table: dict[int, str | None] = {}
    for line in files(__package__).joinpath("confusables.txt").read_text(encoding="utf-8").splitlines():
        prototype, _, alike = line.partition(":")
        if not line.startswith("#"):
            table |= dict.fromkeys((int(point, 16) for point in alike.split()), _text(prototype))
    for points in _OVERLOOKED.split():
        first, _, last = points.partition("-")
        table |= dict.fromkeys(range(int(first, 16), int(last or first, 16) + 1))
    for letter in _CIRCLED:
        del table[ord(letter)]
    table |= {ord(unicodedata.lookup(name)): letter for name, letter in _SMALL_CAPITALS.items()}
    # UTS #39 takes case as it is. Where it counts for nothing, I is not only l but i too; and w is to vv as m to rn.
    return table | {ord("i"): "l", ord("w"): "vv"}


def _text(points: str) -> str:
    return "".join(chr(int(point, 16)) for point in points.split())


def skeleton(text: str) -> str:
    """The same for all texts that a hasty reader takes for each other, and never to be shown: "CIaude" gives "claude".

    UTS #39 section 4, and beyond it without regard to case, accents, compatibility forms (NFKD), white space, punctuation and
    symbols; only of a text that has nothing else, these are kept. Idempotent, of any text, and of at most 1024 characters.
    """
    return _letters(text) or _settled(text, "ZC")


def _letters(text: str) -> str:
    return _settled(text, "PSZC")


def _settled(text: str, left_out: str) -> str:
    before = None
    while text != before:
        before = text
        # Look-alikes first, as they stand: the small letters of other scripts look like something else.
        seen = unicodedata.normalize("NFD", text).translate(_prototypes())
        text = unicodedata.normalize("NFKD", seen).casefold()[:_LONGEST]
        if text == before:
            text = text.translate({ord(char): None for char in set(text) if _is_one_of(char, left_out)})
    return text


def _is_one_of(char: str, kinds: str) -> bool:
    category = unicodedata.category(char)
    # What is unassigned here may be a letter of a later Unicode: it stays.
    return category[0] in kinds and category not in ("Cn", "Co")


class ReservedNames:
    """Names that no client should have as its own or as a part of its own, whole words: `DYNREG_RESERVED_NAMES`.

    Raises ConfigurationError for a name of which nothing is seen.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._skeletons = {name: skeleton(name) for name in names}
        if not all(self._skeletons.values()):
            raise ConfigurationError("DYNREG_RESERVED_NAMES must have names that can be seen.")

    def found(self, metadata: Mapping[str, object]) -> dict[str, str]:
        """Of client metadata, the names that look like they had a reserved name in them, and the reserved name of each."""
        if not self._skeletons:
            return {}
        looks = {member: self._found_in(name) for member, name in names(metadata).items()}
        return {member: reserved for member, reserved in looks.items() if reserved is not None}

    def _found_in(self, name: str) -> str | None:
        whole = skeleton(name)
        bounds = {0, len(whole), *accumulate(len(_letters(word)) for word in _words(name))}
        for reserved, wanted in self._skeletons.items():
            starts = (at for at in bounds if whole.startswith(wanted, at))
            if any(at + len(wanted) in bounds for at in starts):
                return reserved
        return None


def names(metadata: Mapping[str, object]) -> dict[str, str]:
    """`client_name` in all its languages, by the name of the member."""
    return {
        member: name for member, name in metadata.items() if isinstance(name, str) and member.partition("#")[0] == _NAME
    }


def _words(text: str) -> Iterator[str]:
    """Parts of a text. One begins and ends at what is no letter or digit, at each letter of a script without spaces between
    words, and begins at a capital letter after a small one.
    """
    word, before, stood_alone = "", "", False
    for char in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(char)
        stands_alone = kind[0] in "PSZ" or unicodedata.east_asian_width(char) == "W"
        if kind[0] not in "MC":
            if stands_alone or stood_alone or (kind == "Lu" and before == "Ll"):
                yield word
                word = ""
            before, stood_alone = kind, stands_alone
        word += char
    yield word
