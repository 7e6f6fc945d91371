"""Which requirements have a test: read from the decorators in the sources, written to docs/conformance.md."""

import ast
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.conformance.requirements import HERE, REQUIREMENTS, Requirement

TESTS = HERE.parent
DOCUMENT = TESTS.parent / "docs" / "conformance.md"
DEVIATIONS: Mapping[str, str] = json.loads((HERE / "deviations.json").read_text(encoding="utf-8"))
LEVELS = ("MUST", "SHOULD", "MAY")
INTRODUCTION = """\
# Conformance

Written by `python -m tests.conformance`. The rows are those of `tests/conformance/requirements.json`: what the standards
ask, in other words, with what a test has to see. A test names the rows it shows by `@requirement(...)`; a row that
restates others is shown when all of those are.
"""


def named_ids() -> dict[str, list[str]]:
    """The ids in the decorators of all tests, each with the tests that name it."""
    named: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for decorator in getattr(node, "decorator_list", ()):
                for id in ids_of(decorator):
                    named[id].append(f"{path.relative_to(TESTS.parent).as_posix()}::{getattr(node, 'name', '')}")
    return dict(named)


def ids_of(decorator: ast.expr) -> Iterator[str]:
    if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "requirement":
        yield from (ast.literal_eval(argument) for argument in decorator.args)


def is_shown(row: Requirement, named: Mapping[str, object]) -> bool:
    restated = bool(row.same_as) and all(is_shown(REQUIREMENTS[id], named) for id in row.same_as)
    return row.id in named or restated


def document() -> str:
    named = named_ids()
    profiles = list(dict.fromkeys(row.profile for row in REQUIREMENTS.values()))
    lines = [INTRODUCTION, f"| profile | {' | '.join(LEVELS)} |", "| --- | --- | --- | --- |"]
    for profile in profiles:
        cells = []
        for level in LEVELS:
            rows = [row for row in REQUIREMENTS.values() if (row.profile, row.level) == (profile, level)]
            cells.append(f"{sum(is_shown(row, named) for row in rows)} of {len(rows)}")
        lines.append(f"| {profile} | {' | '.join(cells)} |")
    lines += ["", "## Deviations", ""]
    lines += [f"* `{id}` {REQUIREMENTS[id].text} **Here:** {reason}" for id, reason in DEVIATIONS.items()]
    lines += ["", "## What must be, and has no test yet"]
    for profile in profiles:
        missing = [
            row
            for row in REQUIREMENTS.values()
            if (row.profile, row.level) == (profile, "MUST") and not is_shown(row, named) and row.id not in DEVIATIONS
        ]
        if missing:
            lines += ["", f"### {profile}", "", *(f"* `{row.id}` {row.text}" for row in missing)]
    return "\n".join(lines) + "\n"


def write(path: Path = DOCUMENT) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(document(), encoding="utf-8")
