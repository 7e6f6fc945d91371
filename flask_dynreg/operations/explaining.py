"""`flask dynreg explain`: what would become of a registration, and why."""

import json
from typing import Any, TextIO

import click
from authlib.oauth2 import OAuth2Error
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import DBAPIError, TimeoutError

from flask_dynreg.errors import Problem
from flask_dynreg.policies.examination import Explanation
from flask_dynreg.registrar import Registrar


@click.command("explain")
@click.argument("file", type=click.File(encoding="utf-8"))
@with_appcontext
def explain(file: TextIO) -> None:
    """Tell what would become of a registration with the client metadata in FILE (- for standard input).

    The answer is a JSON object: what would be registered, or the errors that the client would be told; which policies changed or
    refused what; what would be taken away or ignored. Nothing is kept or fetched. Ends with 1 if it would be refused.
    """
    registrar: Registrar = current_app.extensions["dynreg"]
    try:
        sent = json.load(file)
    except ValueError as fault:
        raise click.ClickException("FILE must be JSON.") from fault
    if not isinstance(sent, dict):
        raise click.ClickException("FILE must be a JSON object.")
    try:
        explanation = registrar.explain(sent)
    except OAuth2Error as error:
        raise click.ClickException(f"It would be refused: {error.error}: {error.description}") from error
    except (DBAPIError, TimeoutError) as error:
        raise click.ClickException("The database could not be read. Are its tables there and up to date?") from error
    click.echo(json.dumps(as_json(explanation), indent=2, ensure_ascii=False))
    if explanation.metadata is None:
        raise SystemExit(1)


def as_json(explanation: Explanation) -> dict[str, Any]:
    return {
        "registered": explanation.metadata,
        "errors": [_problem(problem) for problem in explanation.problems],
        "policies": [
            {
                "policy": decision.policy,
                "changed": {name: {"from": old, "to": new} for name, (old, new) in decision.changed.items()},
                "errors": [_problem(problem) for problem in decision.problems],
            }
            for decision in explanation.decisions
        ],
        "taken": explanation.taken,
        "ignored": explanation.ignored,
        "approval": explanation.approval,
        "lifetime": explanation.lifetime,
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {"pointer": problem.pointer, "description": problem.description, "section": problem.section}
