"""Who may sign software statements, in the hands of operators: `flask dynreg issuer`."""

import json
from functools import partial
from typing import Any

import click
from flask.cli import AppGroup
from sqlalchemy.exc import IntegrityError

from flask_dynreg.metadata.signers import issuer_fault
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.operations.commands import Desk, json_object, operated
from flask_dynreg.protocol.transactions import in_one_transaction
from flask_dynreg.registry.clients import MOST_AT_ONCE

issuer = AppGroup("issuer", help="Trust those who sign software statements, or no longer.")

SETTING = "DYNREG_STATEMENT_ISSUERS"


@issuer.command()
@click.argument("description", metavar="FILE", type=click.File("rb"), callback=json_object)
@click.option("--replace", is_flag=True, help="Change an issuer that is there already.")
@operated("issuers:manage")
def add(desk: Desk, description: dict[str, Any], replace: bool) -> str:
    """Trust the issuer that a JSON file describes (- is the standard input)."""
    issuers = desk.registrar.issuers
    try:
        described = StatementIssuer.from_json(description)
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="FILE") from fault
    if described.issuer in issuers.configured:
        raise click.ClickException(f"{described.issuer} is in {SETTING}, which wins.")
    if replace:
        if not issuers.replace(described, desk.by):
            raise click.ClickException("It is not there, or somebody else changes it at this moment.")
    else:
        try:
            issuers.add(described, desk.by)
        except IntegrityError as error:
            raise click.ClickException("It is there already; --replace puts this in its place.") from error
    return f"Software statements of {described.issuer} are taken."


@issuer.command("list")
@click.option("--json", "as_json", is_flag=True, help="All that is known of each, as a JSON array.")
@operated("issuers:manage")
def list_issuers(desk: Desk, as_json: bool) -> str | None:
    """Show who is trusted."""
    trusted = [(SETTING, known) for known in desk.registrar.issuers.configured.values()]
    trusted += [("database", known) for known in desk.registrar.issuers.kept().values()]
    if as_json:
        return json.dumps([{**known.to_json(), "from": place} for place, known in trusted], indent=2)
    return "\n".join(f"{known.issuer}\t{place}" for place, known in trusted) or None


@issuer.command()
@click.argument("name", metavar="ISSUER")
@operated("issuers:manage")
def withdraw(desk: Desk, name: str) -> str:
    """Trust an issuer no longer, and suspend all clients with a software statement of it."""
    registrar = desk.registrar
    if fault := issuer_fault(name):
        raise click.BadParameter(fault, param_hint="ISSUER")
    if name in registrar.issuers.configured:
        raise click.ClickException(f"{name} is in {SETTING}: take it out there first.")
    was_there = registrar.issuers.remove(name, desk.by)
    registrar.sessions.session.commit()
    suspended = _suspend(desk, name, None, "The issuer of its software statement is not trusted any more.")
    if not was_there and not suspended:
        raise click.ClickException("There is no such issuer, and no client of it.")
    return f"{suspended} clients are suspended."


@issuer.command()
@click.argument("name", metavar="ISSUER")
@click.argument("software_id")
@operated("issuers:manage")
def approve(desk: Desk, name: str, software_id: str) -> None:
    """Take statements about a software (again). Clients that are suspended stay so."""
    _decide(desk, name, software_id, approved=True)


@issuer.command()
@click.argument("name", metavar="ISSUER")
@click.argument("software_id")
@operated("issuers:manage")
def disapprove(desk: Desk, name: str, software_id: str) -> str:
    """Take no more statements about a software, and suspend its clients."""
    _decide(desk, name, software_id, approved=False)
    desk.registrar.sessions.session.commit()
    reason = "The software of its software statement is not approved any more."
    return f"{_suspend(desk, name, software_id, reason)} clients are suspended."


def _decide(desk: Desk, name: str, software_id: str, *, approved: bool) -> None:
    registrar = desk.registrar
    configured = registrar.issuers.configured.get(name)
    if configured:
        if configured.approves(software_id) != approved:
            raise click.ClickException(f"{name} is in {SETTING}: change its software_ids there first.")
        return
    known = registrar.issuers.kept().get(name)
    if known is None:
        raise click.ClickException("There is no such issuer.")
    try:
        changed = StatementIssuer.from_json(known.with_software(software_id, approved=approved).to_json())
    except ValueError as fault:
        raise click.ClickException(str(fault)) from fault
    if not registrar.issuers.replace(changed, desk.by):
        raise click.ClickException("Somebody else changes the issuer at this moment. Try again.")


def _suspend(desk: Desk, name: str, software_id: str | None, reason: str) -> int:
    """A part at a time, each in a transaction of its own: clients that register meanwhile do not wait for all.

    None comes too late that goes by this issuer: since it was changed, nobody registers by what it was.
    """
    registrar, suspended, last = desk.registrar, 0, ""
    while ids := registrar.stated_clients(last, name, software_id):
        for begin in range(0, len(ids), MOST_AT_ONCE):
            these = ids[begin : begin + MOST_AT_ONCE]
            suspend = partial(registrar.suspend_stated, these, name, software_id, reason, desk.by)
            suspended += in_one_transaction(registrar.sessions, suspend)
        last = ids[-1]
    return suspended
