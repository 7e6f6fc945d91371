"""Clients in the hands of operators: `flask dynreg clients`."""

import json
from collections.abc import Callable
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup

from flask_dynreg.lifecycle.decisions import Verdict
from flask_dynreg.lifecycle.history import Version
from flask_dynreg.lifecycle.secrets import LONGEST_KEEP
from flask_dynreg.operations import cleaning
from flask_dynreg.operations.commands import NUMBER, Desk, json_object, operated, short
from flask_dynreg.protocol import views
from flask_dynreg.protocol.endpoints import RegistrationServer
from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.pages import FIRST, place_of

clients = AppGroup("clients", help="Create clients, find them, and decide about those that are there.")
clients.add_command(cleaning.command)


@clients.command()
@click.argument("metadata", metavar="FILE", type=click.File("rb"), callback=json_object)
@click.option("--owner", callback=short, help="Whom the client belongs to.")
@click.option("--client-id", help="Its id; a new one by default.")
@operated("clients:write")
def create(desk: Desk, metadata: dict[str, Any], owner: str | None, client_id: str | None) -> str:
    """Register a client with the metadata in a JSON file (- for standard input).

    Prints what the client has to know, its secret and its registration access token among it: they are not shown again.
    """
    server: RegistrationServer = current_app.extensions[views.SERVER]
    told = server.told(desk.registrar.create(metadata, owner, client_id, desk.by))
    return json.dumps(told, indent=2, ensure_ascii=False)


@clients.command("list")
@click.option("--owner", help="Those of this owner alone.")
@click.option("--software-id", help="Those of this software alone.")
@operated("clients:read")
def list_clients(desk: Desk, owner: str | None, software_id: str | None) -> None:
    """List the clients, one JSON object a line, in the order of their ids."""
    last = ""
    while page := desk.registrar.find_clients(last, owner, software_id):
        for client in page:
            click.echo(json.dumps(as_json(client), ensure_ascii=False))
        last = page[-1].client_id


@clients.command()
@click.argument("client_id")
@operated("clients:read")
def show(desk: Desk, client_id: str) -> str:
    """Show what is known of a client: its metadata, where it came from, and what it waits for."""
    return json.dumps(as_json(desk.registrar.known_client(client_id)), indent=2, ensure_ascii=False)


@clients.command()
@operated("clients:read")
def waiting(desk: Desk) -> None:
    """List what waits for approval, one JSON object a line, the longest first: new clients, and changes that clients ask for."""
    last = FIRST
    while page := desk.registrar.waiting(last):
        for client in page:
            click.echo(json.dumps(as_json(client), ensure_ascii=False))
        last = place_of(page[-1])


@clients.command()
@click.argument("client_id")
@operated("clients:delete")
def delete(desk: Desk, client_id: str) -> str:
    """Delete a client, and end what was issued for it."""
    desk.registrar.delete(desk.registrar.known_client(client_id), desk.by)
    return "The client is deleted."


@clients.command("reissue-token")
@click.argument("client_id")
@operated("clients:write")
def reissue_token(desk: Desk, client_id: str) -> str:
    """Give a client a new token to manage itself; its older ones are dead. It is printed once; only its digest is kept."""
    return desk.registrar.reissue_token(client_id, desk.by)


@clients.command("rotate-secret")
@click.argument("client_id")
@click.option(
    "--keep",
    type=click.IntRange(0, LONGEST_KEEP),
    default=0,
    help="How long the secrets before it stay good, in seconds; not at all by default.",
)
@operated("clients:write")
def rotate_secret(desk: Desk, client_id: str, keep: int) -> str:
    """Give a client a new secret. It is printed once, with the time of its end (0: none)."""
    return json.dumps(desk.registrar.rotate_secret(client_id, keep, desk.by), indent=2)


@clients.command("drop-secrets")
@click.argument("client_id")
@operated("clients:write")
def drop_secrets(desk: Desk, client_id: str) -> str:
    """Leave a client its newest secret alone: those before it are good for nothing any more."""
    desk.registrar.drop_older_secrets(client_id, desk.by)
    return "The client has its newest secret alone."


@clients.command()
@click.argument("client_id")
@click.option(
    "--version", type=NUMBER, required=True, help="That of the client when its wish was looked at: see waiting."
)
@click.option("--reason", required=True, callback=short, help="Why; kept for operators and told to the client's owner.")
@operated("clients:approve")
def approve(desk: Desk, client_id: str, version: int, reason: str) -> str:
    """Let a client that waits be used, or put its change in force."""
    desk.registrar.approve(client_id, version, Verdict(reason, desk.by))
    return "The client is approved."


@clients.command()
@click.argument("client_id")
@operated("clients:read")
def history(desk: Desk, client_id: str) -> None:
    """List the versions of a client's metadata, one JSON object a line, the oldest first."""
    for version in desk.registrar.versions(client_id):
        click.echo(json.dumps(version_as_json(version), ensure_ascii=False))


@clients.command()
@click.argument("client_id")
@click.argument("one", metavar="FROM", type=NUMBER)
@click.argument("other", metavar="TO", type=NUMBER)
@operated("clients:read")
def diff(desk: Desk, client_id: str, one: int, other: int) -> str:
    """Show what differs between two versions of a client's metadata."""
    members = desk.registrar.diff(client_id, one, other)
    told = {name: {"from": old, "to": new} for name, (old, new) in members.items()}
    return json.dumps(told, indent=2, ensure_ascii=False)


@clients.command("roll-back")
@click.argument("client_id")
@click.argument("version", type=NUMBER)
@operated("clients:write")
def roll_back(desk: Desk, client_id: str, version: int) -> str:
    """Put an older version of a client's metadata in force, if today's rules and policies allow it."""
    desk.registrar.roll_back(client_id, version, desk.by)
    return "The client is rolled back."


def _decision(name: str, done: str, text: str, decide: Callable[[Desk], Callable[[str, Verdict], None]]) -> None:
    @clients.command(name, help=text)
    @click.argument("client_id")
    @click.option("--reason", required=True, callback=short, help="Why; kept for operators and told to the owner.")
    @operated("clients:approve")
    def command(desk: Desk, client_id: str, reason: str) -> str:
        decide(desk)(client_id, Verdict(reason, desk.by))
        return f"The client is {done}."


_decision("refuse", "refused", "Refuse a client that waits, or its change.", lambda desk: desk.registrar.refuse)
_decision("suspend", "suspended", "Let a client not be used until it is resumed.", lambda desk: desk.registrar.suspend)
_decision("resume", "resumed", "Let a suspended client be used again.", lambda desk: desk.registrar.resume)


def as_json(client: ClientRecord) -> dict[str, Any]:
    """What operators see of a client: all but its secrets. Times are seconds since the epoch."""
    return {
        "client_id": client.client_id,
        "version": client.version,
        "status": client.status,
        "reason": client.status_reason,
        "source": client.source,
        "initial_access_token_id": client.initial_access_token_id,
        "owner": client.owned_by,
        "statement_issuer": client.statement_issuer,
        "policies": json.loads(client.policies or "[]"),
        "terms": json.loads(client.terms or "{}"),
        "registered_at": client.client_id_issued_at,
        "expires_at": client.expires_at,
        "waiting_since": client.waiting_since,
        "last_used_at": client.last_used_at,
        "metadata": client.client_metadata,
        "requested": client.requested,
    }


def version_as_json(version: Version) -> dict[str, Any]:
    """A version of a client's metadata, which are null where they are not kept any more."""
    return {name: getattr(version, name) for name in Version.__slots__}
