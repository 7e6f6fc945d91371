"""What the standards ask: the rows of requirements.json, and the decorator by which a test names the rows it shows."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

HERE = Path(__file__).resolve().parent
Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Requirement:
    id: str
    level: str
    profile: str
    text: str
    test: str
    same_as: tuple[str, ...] = ()


def read_requirements() -> dict[str, Requirement]:
    rows = json.loads((HERE / "requirements.json").read_text(encoding="utf-8"))
    return {row["id"]: Requirement(**row | {"same_as": tuple(row.get("same_as", ()))}) for row in rows}


REQUIREMENTS = read_requirements()


def requirement(*ids: str) -> Callable[[Test], Test]:
    """The rows that a test shows. An id that no row has stops the collection."""
    unknown = sorted(set(ids) - REQUIREMENTS.keys())
    if unknown or not ids:
        raise LookupError(f"requirements.json has no row {', '.join(unknown) or 'without an id'}.")
    return pytest.mark.requirement(*ids)
