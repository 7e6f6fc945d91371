"""Makes flask_dynreg/metadata/confusables.txt from the confusables.txt of UTS #39, for a new version of Unicode:

    python tools/confusables.py confusables.txt > flask_dynreg/metadata/confusables.txt

The source is https://www.unicode.org/Public/security/latest/confusables.txt, which is also in the sources of ICU. Skeletons
that are kept in a database are those of the version they were made with: a release with another version says so.
"""

import re
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

_MAPPING = re.compile(r"([0-9A-F]+) ;\t([0-9A-F]+(?: [0-9A-F]+)*) ;\tMA")
NOTICE = Path(__file__).with_name("unicode_license.txt")
_HEADER = """\
# What looks alike, from the confusables.txt of Unicode Security Mechanisms (UTS #39), version {version}.
# Made by tools/confusables.py: a prototype, and the characters that look like it, as far as they are left by NFD.
#
"""


def table(source: str) -> str:
    """Of the text of a confusables.txt, what `lookalikes` reads: lines such as `6C: 31 49 7C`, under Unicode's notice."""
    (version,) = re.findall(r"^# Version: (.+)$", source, re.MULTILINE)
    alike: dict[str, list[str]] = defaultdict(list)
    for line in source.splitlines():
        if match := _MAPPING.match(line.removeprefix("\ufeff")):
            character = chr(int(match[1], 16))
            if unicodedata.normalize("NFD", character) == character:
                alike[_short(match[2])].append(_short(match[1]))
    notice = "".join(f"# {line}".rstrip() + "\n" for line in NOTICE.read_text(encoding="utf-8").splitlines())
    lines = [f"{prototype}: {' '.join(characters)}\n" for prototype, characters in sorted(alike.items(), key=_first)]
    return _HEADER.format(version=version) + notice + "".join(lines)


def _short(points: str) -> str:
    return " ".join(f"{int(point, 16):X}" for point in points.split())


def _first(entry: tuple[str, list[str]]) -> list[int]:
    return [int(point, 16) for point in entry[0].split()]


if __name__ == "__main__":
    sys.stdout.write(table(Path(sys.argv[1]).read_text(encoding="utf-8-sig")))
