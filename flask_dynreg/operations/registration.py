"""`flask dynreg registration`: closing it, and opening it again, while the server runs."""

import click
from flask.cli import AppGroup

from flask_dynreg.operations.commands import Desk, operated, short

registration = AppGroup("registration", help="Close registration without a restart, and open it again; count clients.")


@registration.command()
@click.option("--reason", required=True, callback=short, help="Why; for operators.")
@operated("settings:write")
def close(desk: Desk, reason: str) -> str:
    """Close registration: new clients get a 404. Those that are there are managed as before."""
    desk.registrar.switch.close(reason, desk.by)
    return "Registration is closed. All workers know within 5 seconds."


@registration.command("open")
@operated("settings:write")
def open_(desk: Desk) -> str:
    """Open registration again."""
    if not desk.registrar.switch.open(desk.by):
        raise click.ClickException("Registration was not closed by this switch.")
    return "Registration is open, as far as DYNREG_ACCESS has doors. All workers know within 5 seconds."


@registration.command("count")
@operated("settings:write")
def count(desk: Desk) -> str:
    """Count the clients that are there, for quotas that are new. Close registration meanwhile."""
    return f"The clients are counted, in {desk.registrar.count_for_quotas()} rows."


@registration.command()
@operated("settings:write")
def status(desk: Desk) -> str:
    """Say whether registration is closed, and why."""
    reason = desk.registrar.switch.now()
    doors = ", ".join(desk.registrar.settings.access) or "none: DYNREG_ACCESS is empty"
    return f"Closed: {reason}" if reason is not None else f"Doors that are open: {doors}."
