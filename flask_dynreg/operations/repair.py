"""`flask dynreg clients migrate` and `revalidate`: many clients at once, by today's rules."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
from authlib.oauth2 import OAuth2Error

from flask_dynreg.errors import Problem, RaceLostError, RefusedMetadataError, UnknownClientError
from flask_dynreg.lifecycle.repair import Change, Repaired
from flask_dynreg.operations.commands import Desk, json_object, operated
from flask_dynreg.operations.explaining import problems_as_json
from flask_dynreg.registry.clients import ClientRecord

NOTHING = Change()
PATIENCE = 3
"""So often somebody else may change a client meanwhile."""


@click.command()
@click.argument("change", metavar="FILE", type=click.File("rb"), callback=json_object)
@click.option("--owner", help="The clients of this owner alone.")
@click.option("--software-id", help="Those of this software alone.")
@click.option("--apply", is_flag=True, help="Do it. Without, it is only told what would become of them.")
@operated("clients:write")
def migrate(desk: Desk, change: dict[str, Any], owner: str | None, software_id: str | None, apply: bool) -> None:
    """Change many clients, as a JSON file says (- for standard input): {"add_scopes": ["mcp:read"], "set": {"logo_uri": null}}.

    {} changes what today's rules and policies would. Prints one JSON object a line for each client that changes or cannot. Each
    is changed by itself: what was done before an interruption stays.
    """
    try:
        wanted = Change.from_object(change)
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="FILE") from fault
    _tell(desk, wanted, owner, software_id, apply=apply)


@click.command()
@click.option("--owner", help="The clients of this owner alone.")
@click.option("--software-id", help="Those of this software alone.")
@operated("clients:read")
def revalidate(desk: Desk, owner: str | None, software_id: str | None) -> None:
    """List the clients that today's rules and policies would refuse or change, one JSON object a line.

    Ends with 1 if there are any.
    """
    if _tell(desk, NOTHING, owner, software_id, apply=False):
        raise SystemExit(1)


def _tell(desk: Desk, change: Change, owner: str | None, software_id: str | None, *, apply: bool) -> bool:
    """Whether there was anything to tell."""
    counts: Counter[str] = Counter()
    for client in _selected(desk, owner, software_id):
        repaired = _repaired(desk, client, change, apply=apply)
        counts["refused" if repaired.problems else "changed" if repaired.changed else "same"] += 1
        if repaired.problems or repaired.changed:
            click.echo(json.dumps(as_json(repaired), ensure_ascii=False))
    done = "are" if apply else "would be"
    told = f"{counts['changed']} {done} changed, {counts['refused']} refused; {counts['same']} stay as they are."
    click.echo(told, err=True)
    return bool(counts["changed"] or counts["refused"])


def _selected(desk: Desk, owner: str | None, software_id: str | None) -> Iterator[ClientRecord]:
    last = ""
    while page := desk.registrar.find_clients(last, owner, software_id):
        yield from page
        last = page[-1].client_id


def _repaired(desk: Desk, client: ClientRecord, change: Change, *, apply: bool) -> Repaired:
    """Whatever becomes of one client, the others have their turn."""
    registrar, said = desk.registrar, "Others change the client all the time."
    for _ in range(PATIENCE):
        try:
            repaired = registrar.repair(client, change, apply=apply, by=desk.by)
            registrar.sessions.session.commit()
            return repaired
        except RaceLostError:
            registrar.sessions.session.rollback()
            try:
                client = registrar.known_client(client.client_id)
            except UnknownClientError:
                said = "The client is gone."
                break
        except RefusedMetadataError as error:
            registrar.sessions.session.rollback()
            return Repaired(client.client_id, problems=error.problems)
        except OAuth2Error as error:
            registrar.sessions.session.rollback()
            said = str(error.description or error.error)
            break
    return Repaired(client.client_id, problems=(Problem("", said, "The state of this server"),))


def as_json(repaired: Repaired) -> dict[str, Any]:
    return {
        "client_id": repaired.client_id,
        "changed": {name: {"from": old, "to": new} for name, (old, new) in repaired.changed.items()},
        "errors": [
            told | {"policy": problem.policy}
            for told, problem in zip(problems_as_json(repaired.problems), repaired.problems, strict=True)
        ],
    }
