"""`flask dynreg registration`: closing it, and opening it again, while the server runs."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import DBAPIError, TimeoutError

from flask_dynreg.registrar import Registrar

registration = AppGroup("registration", help="Close registration without a restart, and open it again; count clients.")

LONGEST = 255


@contextmanager
def _registrar() -> Iterator[Registrar]:
    registrar: Registrar = current_app.extensions["dynreg"]
    try:
        yield registrar
        registrar.sessions.session.commit()
    except (DBAPIError, TimeoutError) as error:
        raise click.ClickException("The database could not do it. Are its tables there and up to date?") from error


@registration.command()
@click.option("--reason", required=True, help="Why; for operators.")
@with_appcontext
def close(reason: str) -> None:
    """Close registration: new clients get a 404. Those that are there are managed as before."""
    if not 0 < len(reason) <= LONGEST:
        raise click.BadParameter(f"must be of 1 to {LONGEST} characters.", param_hint="--reason")
    with _registrar() as registrar:
        registrar.switch.close(reason)
    click.echo("Registration is closed. All workers know within 5 seconds.")


@registration.command("open")
@with_appcontext
def open_() -> None:
    """Open registration again."""
    with _registrar() as registrar:
        if not registrar.switch.open():
            raise click.ClickException("Registration was not closed by this switch.")
    click.echo("Registration is open, as far as DYNREG_ACCESS has doors. All workers know within 5 seconds.")


@registration.command("count")
@with_appcontext
def count() -> None:
    """Count the clients that are there, for quotas that are new. Close registration meanwhile."""
    with _registrar() as registrar:
        rows = registrar.count_for_quotas()
    click.echo(f"The clients are counted, in {rows} rows.")


@registration.command()
@with_appcontext
def status() -> None:
    """Say whether registration is closed, and why."""
    with _registrar() as registrar:
        reason = registrar.switch.now()
    doors = ", ".join(registrar.settings.access) or "none: DYNREG_ACCESS is empty"
    click.echo(f"Closed: {reason}" if reason is not None else f"Doors that are open: {doors}.")
