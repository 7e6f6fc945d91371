"""Who may sign software statements, in the hands of operators: `flask dynreg issuer`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import DBAPIError, IntegrityError, TimeoutError

from flask_dynreg.metadata.json_objects import parsed_object
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.registrar import Registrar

issuer = AppGroup("issuer", help="Trust those who sign software statements, or no longer.")

SETTING = "DYNREG_STATEMENT_ISSUERS"


@contextmanager
def _registrar() -> Iterator[Registrar]:
    registrar: Registrar = current_app.extensions["dynreg"]
    try:
        yield registrar
    except IntegrityError as error:
        raise click.ClickException("It is there already; --replace puts this in its place.") from error
    except (DBAPIError, TimeoutError) as error:
        raise click.ClickException("The database could not do it. Are its tables there and up to date?") from error


@issuer.command()
@click.argument("file", type=click.File("rb"))
@click.option("--replace", is_flag=True, help="Change an issuer that is there already.")
@with_appcontext
def add(file: IO[bytes], replace: bool) -> None:
    """Trust the issuer that a JSON file describes (- is the standard input)."""
    try:
        described = StatementIssuer.from_json(parsed_object(file.read()))
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="FILE") from fault
    with _registrar() as registrar:
        if described.issuer in registrar.issuers.configured:
            raise click.ClickException(f"{described.issuer} is in {SETTING}, which wins.")
        if not replace:
            registrar.issuers.add(described)
        elif not registrar.issuers.replace(described):
            raise click.ClickException("It is not there, or somebody else changes it at this moment.")
        registrar.sessions.session.commit()
    click.echo(f"Software statements of {described.issuer} are taken.")


@issuer.command("list")
@click.option("--json", "as_json", is_flag=True, help="All that is known of each, as a JSON array.")
@with_appcontext
def list_issuers(as_json: bool) -> None:
    """Show who is trusted."""
    with _registrar() as registrar:
        trusted = [(SETTING, known) for known in registrar.issuers.configured.values()]
        trusted += [("database", known) for known in registrar.issuers.kept().values()]
    if as_json:
        click.echo(json.dumps([{**known.to_json(), "from": place} for place, known in trusted], indent=2))
        return
    for place, known in trusted:
        click.echo(f"{known.issuer}\t{place}")


@issuer.command()
@click.argument("name", metavar="ISSUER")
@with_appcontext
def withdraw(name: str) -> None:
    """Trust an issuer no longer, and suspend all clients with a software statement of it."""
    with _registrar() as registrar:
        if name in registrar.issuers.configured:
            raise click.ClickException(f"{name} is in {SETTING}: take it out there first.")
        was_there = registrar.issuers.remove(name)
        registrar.sessions.session.commit()
        suspended = _suspend(registrar, name, None, "The issuer of its software statement is not trusted any more.")
    if not was_there and not suspended:
        raise click.ClickException("There is no such issuer, and no client of it.")
    click.echo(f"{suspended} clients are suspended.")


@issuer.command()
@click.argument("name", metavar="ISSUER")
@click.argument("software_id")
@with_appcontext
def approve(name: str, software_id: str) -> None:
    """Take statements about a software (again). Clients that are suspended stay so."""
    with _registrar() as registrar:
        _decide(registrar, name, software_id, approved=True)
        registrar.sessions.session.commit()


@issuer.command()
@click.argument("name", metavar="ISSUER")
@click.argument("software_id")
@with_appcontext
def disapprove(name: str, software_id: str) -> None:
    """Take no more statements about a software, and suspend its clients."""
    with _registrar() as registrar:
        _decide(registrar, name, software_id, approved=False)
        registrar.sessions.session.commit()
        reason = "The software of its software statement is not approved any more."
        suspended = _suspend(registrar, name, software_id, reason)
    click.echo(f"{suspended} clients are suspended.")


def _decide(registrar: Registrar, name: str, software_id: str, *, approved: bool) -> None:
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
    if not registrar.issuers.replace(changed):
        raise click.ClickException("Somebody else changes the issuer at this moment. Try again.")


def _suspend(registrar: Registrar, name: str, software_id: str | None, reason: str) -> int:
    """A part at a time, each in a transaction of its own: clients that register meanwhile do not wait for all."""
    suspended = 0
    while part := registrar.suspend_stated(name, software_id, reason):
        registrar.sessions.session.commit()
        suspended += part
    registrar.sessions.session.rollback()
    return suspended
