"""`flask dynreg explain`: what would become of a registration, and why."""

import json
from collections.abc import Sequence
from typing import Any

import click

from flask_dynreg.errors import Problem
from flask_dynreg.operations.commands import Desk, json_object, operated
from flask_dynreg.policies.examination import Explanation


@click.command("explain")
@click.argument("metadata", metavar="FILE", type=click.File("rb"), callback=json_object)
@operated("clients:write")
def explain(desk: Desk, metadata: dict[str, Any]) -> None:
    """Tell what would become of a registration with the client metadata in FILE (- for standard input).

    The answer is a JSON object: what would be registered, or the errors that the client would be told; which policies changed or
    refused what; what would be taken away or ignored. Nothing is kept or fetched. Ends with 1 if it would be refused.
    """
    explanation = desk.registrar.explain(metadata)
    click.echo(json.dumps(as_json(explanation), indent=2, ensure_ascii=False))
    if explanation.metadata is None:
        raise SystemExit(1)


def as_json(explanation: Explanation) -> dict[str, Any]:
    return {
        "registered": explanation.metadata,
        "errors": problems_as_json(explanation.problems),
        "policies": [
            {
                "policy": decision.policy,
                "changed": {name: {"from": old, "to": new} for name, (old, new) in decision.changed.items()},
                "errors": problems_as_json(decision.problems),
            }
            for decision in explanation.decisions
        ],
        "taken": explanation.taken,
        "ignored": explanation.ignored,
        "approval": explanation.approval,
        "lifetime": explanation.lifetime,
    }


def problems_as_json(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [
        {"pointer": problem.pointer, "description": problem.description, "section": problem.section}
        for problem in problems
    ]
