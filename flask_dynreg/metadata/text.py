"""Human-readable text, and the language tags it comes with (RFC 7591 section 2.2)."""

import re

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
