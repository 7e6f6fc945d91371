"""How hard a token is to guess, as far as tokens of its kind can tell."""

import math
import re


def entropy(token: str) -> float:
    """Bits, if every character is chosen freely among letters, digits, - and _."""
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    return len(token) * math.log2(64)


def unlike(first: str, second: str) -> str:
    """What is left of a token without the beginning that all tokens of its kind share."""
    assert len(first) == len(second)
    common = next(index for index in range(len(first)) if first[index] != second[index])
    same = sum(a == b for a, b in zip(first[common:], second[common:], strict=True))
    assert same < len(first[common:]) / 4
    return first[common:]
