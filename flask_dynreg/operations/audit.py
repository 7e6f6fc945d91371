"""The trail in the hands of operators: `flask dynreg audit`."""

import json
from typing import IO, Any

import click
from flask.cli import AppGroup

from flask_dynreg.metadata.json_objects import JSONFault, parsed_object
from flask_dynreg.operations.commands import NUMBER, Desk, an_id, operated
from flask_dynreg.registry.chains import Break, Found, details_of
from flask_dynreg.registry.seals import Comparison
from flask_dynreg.registry.trail import COVERED

audit = AppGroup("audit", help="Verify the trail of events, seal it, export it, make it shorter.")

_KINDS = {
    "altered": "is not what was written.",
    "removed": "does not follow the one before: something was removed, put in or moved.",
    "head": "The chain does not end where it should: its last events were removed, or its head was altered.",
}
_UNKEYED = click.option(
    "--unkeyed", is_flag=True, help="Take events from before there were keys in DYNREG_AUDIT_KEYS, or links at all."
)


def seals(context: click.Context, parameter: click.Parameter, file: IO[bytes] | None) -> list[dict[str, Any]]:
    """A seal a line, as strictly read as a client's JSON."""
    try:
        return [parsed_object(line) for line in (file.read().splitlines() if file else ()) if line.strip()]
    except JSONFault as fault:
        raise click.BadParameter(str(fault)) from fault


@audit.command()
@click.option("--client-id", callback=an_id, help="The events of this client alone.")
@click.option(
    "--seal", "sealed", type=click.File("rb"), callback=seals, help="Compare with seals, one a line, as well."
)
@_UNKEYED
@operated("audit:read")
def verify(desk: Desk, client_id: str | None, sealed: list[dict[str, Any]], unkeyed: bool) -> None:
    """Find events that were altered, removed, put in or moved. Ends with 1 if there are any."""
    if client_id and sealed:
        raise click.UsageError("A seal is of all chains: verify it without --client-id.")
    registrar, found, is_sound = desk.registrar, Found(), True
    for fault in registrar.chains.verify(found, client_id, unkeyed=unkeyed):
        click.echo(_told(fault))
        is_sound = False
    click.echo(f"{_counted(found.events, 'event')} in {_counted(found.chains, 'chain')}.")
    if found.before:
        click.echo(f"{_counted(found.before, 'event')} from before the trail: nothing tells what was altered there.")
    if not registrar.settings.audit_keys:
        click.echo("DYNREG_AUDIT_KEYS is empty: whoever can write to the database can make links.")
    elif unkeyed and found.unkeyed:
        click.echo(f"{_counted(found.unkeyed, 'event')} with a link that was made without a key.")
    for seal, compared in zip(sealed, registrar.seals.compare(sealed), strict=True):
        click.echo(_told_of(seal, compared))
        is_sound = is_sound and compared.is_sound
    if not is_sound:
        raise SystemExit(1)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _told(fault: Break) -> str:
    event = f"Event {fault.event} " if fault.event else ""
    return f"{fault.subject}: {event}{_KINDS[fault.kind]}"


def _told_of(seal: dict[str, Any], compared: Comparison) -> str:
    if not compared.is_ours:
        return "Seal: it is not of this server, or was altered."
    name = f"Seal of {seal['sealed_at']}"
    if compared.is_whole:
        pruned = " or were pruned since" if compared.was_pruned else ""
        return f"{name}: all of its {seal['events']} events are there{pruned}."
    if compared.is_overtaken:
        return f"{name}: younger events were pruned since, so it tells nothing any more."
    heads = "" if compared.same_heads else " Chains end otherwise."
    return f"{name}: {compared.missing} of its {seal['events']} events are gone that were not pruned.{heads}"


@audit.command()
@operated("audit:read")
def seal(desk: Desk) -> str:
    """Print a JSON line that tells what the trail is now, to be kept elsewhere. The last minute is left to the next seal."""
    return json.dumps(desk.registrar.seals.make())


@audit.command()
@click.option("--since", type=click.IntRange(0), default=0, help="A time, in seconds since 1970.")
@operated("audit:read")
def export(desk: Desk, since: int) -> None:
    """Print the events, one JSON object a line, in the order in which they were written."""
    for event in desk.registrar.chains.events.since(since):
        told = {name: event[name] for name in ("id", *COVERED, "link")}
        click.echo(json.dumps(told | {"details": details_of(event)}))


@audit.command()
@click.option("--older-than", type=NUMBER, required=True, help="In seconds.")
@_UNKEYED
@operated("settings:write")
def prune(desk: Desk, older_than: int, unkeyed: bool) -> None:
    """Remove the oldest events, and leave chains that can be verified. One that is broken stays as it is: ends with 1 then."""
    retention, session = desk.registrar.retention, desk.registrar.sessions.session
    removed, is_sound = 0, True
    for count, faults in retention.prune(desk.registrar.credentials.now() - older_than, desk.by, unkeyed=unkeyed):
        for fault in faults:
            click.echo(_told(fault))
            is_sound = False
        if count:
            session.commit()
            removed += count
    click.echo(f"{removed} events are removed.")
    if not is_sound:
        raise SystemExit(1)


@audit.command("erase-versions")
@operated("settings:write")
def erase_versions(desk: Desk) -> str:
    """Erase the older versions of clients that DYNREG_HISTORY does not keep any more, some at a time, while others write."""
    erased = 0
    for count in desk.registrar.retention.erase_older(desk.by):
        desk.registrar.sessions.session.commit()
        erased += count
    return f"{erased} versions are erased."
