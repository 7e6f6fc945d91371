"""JSON from strangers: one object that has one reading (RFC 8259), as a body, in a JWT or in a document."""

import json
import math
from typing import Any, NoReturn

DEEPEST = 16


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JSONFault("must have each member of an object once.")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise JSONFault("must have finite numbers only.")
    return number


def _constant(_: str) -> NoReturn:
    raise JSONFault("must have finite numbers only.")


class JSONFault(ValueError):  # noqa: N818 - what is wrong with a value, which its caller makes an error of
    """Says what would be right, as the end of a sentence."""


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_float=_finite, parse_constant=_constant)


def parsed_object(data: bytes) -> dict[str, Any]:
    """No duplicate member, no bottomless depth, no character that is none. Raises JSONFault."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise JSONFault("must be UTF-8.") from None
    try:
        value = _DECODER.decode(text)
    except JSONFault:
        raise
    except (ValueError, RecursionError):  # ValueError: not JSON, or a number of too many digits
        raise JSONFault("must be one JSON object.") from None
    if not isinstance(value, dict):
        raise JSONFault("must be one JSON object.")
    # Only deep nesting or an escape can hide what has to be looked for value by value.
    if text.count("{") + text.count("[") > DEEPEST or "\\u" in text:
        _walk(value, 1)
    return value


def _walk(value: Any, depth: int) -> None:
    if depth > DEEPEST and isinstance(value, dict | list):
        raise JSONFault(f"must have at most {DEEPEST} levels.")
    if isinstance(value, dict):
        for name, item in value.items():
            _walk(name, depth)
            _walk(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _walk(item, depth + 1)
    elif isinstance(value, str) and any(char == "\0" or "\ud800" <= char <= "\udfff" for char in value):
        raise JSONFault("must have no U+0000 and no lone surrogate.")
