"""Human-readable text, and the language tags it comes with (RFC 7591 section 2.2)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

# Controls, and what turns text around or cannot be seen. U+200C and U+200D stay: Persian and emoji need them.
_DANGEROUS = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LANGUAGE_TAG = re.compile(
    # RFC 5646 section 2.1: language, script, region, variants, extensions, private use; or private use alone.
    r"(?:[a-z]{2,3}(?:-[a-z]{3}){0,3}|[a-z]{4,8})(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?"
    r"(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(?:-[a-wyz0-9](?:-[a-z0-9]{2,8})+)*(?:-x(?:-[a-z0-9]{1,8})+)?"
    r"|x(?:-[a-z0-9]{1,8})+",
    re.IGNORECASE | re.ASCII,
)
_LONGEST_TAG = 64


def is_dangerous(text: str) -> bool:
    """Whether it holds a character that could deceive who reads it."""
    return _DANGEROUS.search(text) is not None


def is_language_tag(tag: str) -> bool:
    """Whether it is well-formed (RFC 5646 section 2.2.9)."""
    return len(tag) <= _LONGEST_TAG and _LANGUAGE_TAG.fullmatch(tag) is not None


def localized(metadata: Mapping[str, Any], member: str, languages: Iterable[str]) -> Any:
    """The value of a member for somebody who reads these languages, the best first; None if there is no value.

    Lookup of RFC 4647 section 3.4: for ja-JP also ja. Clients tag with more than a browser asks for, so a tag that has all of a
    language and more will do as well (section 3.3.2): ja-Jpan-JP for ja and for ja-JP. If nothing suits, the value without a tag,
    else the first there is.
    """
    values: dict[str, Any] = {}
    for name, value in metadata.items():
        base, _, tag = name.partition("#")
        if base == member:
            values[tag.lower()] = value
    tags = [tag for tag in values if tag]
    suitable = chain.from_iterable(_suitable(language.lower(), tags) for language in languages)
    anything = next(iter(values), "")
    return values.get(next(suitable, "" if "" in values else anything))


def _suitable(language: str, tags: list[str]) -> Iterator[str]:
    subtags = language.split("-")
    if language in tags:
        yield language
    yield from (tag for tag in tags if _has_all(tag.split("-"), subtags))
    for length in range(len(subtags) - 1, 0, -1):
        shorter = "-".join(subtags[:length])
        if shorter in tags:
            yield shorter


def _has_all(tag: list[str], subtags: list[str]) -> bool:
    """Whether a tag begins like a language, and has its other subtags in the same order before any extension."""
    if tag[0] != subtags[0]:
        return False
    position = 1
    for subtag in subtags[1:]:
        while position < len(tag) and tag[position] != subtag and len(tag[position]) > 1:
            position += 1
        if position == len(tag) or tag[position] != subtag:
            return False
        position += 1
    return True
