"""The commands: `flask dynreg`."""

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import DBAPIError, TimeoutError

from flask_dynreg.operations import explaining, issuers, migrations, statements
from flask_dynreg.registrar import Registrar

group = AppGroup("dynreg", help="Dynamic client registration.")
for command in (migrations.db, issuers.issuer, statements.statement, explaining.explain):
    group.add_command(command)

NUMBER = click.IntRange(1, 2**31 - 1)
LONGEST_LABEL = 255


@group.command("issue-token")
@click.option("--label", help="What it is for; shown to operators only.")
@click.option("--expires-in", type=NUMBER, help="How long it is good, in seconds; for ever by default.")
@click.option("--uses", type=NUMBER, help="How many clients it may register; any number by default.")
@with_appcontext
def issue_token(label: str | None, expires_in: int | None, uses: int | None) -> None:
    """Issue an initial access token. It is printed once; only its digest is kept."""
    registrar: Registrar = current_app.extensions["dynreg"]
    if "initial_access_token" not in registrar.settings.access:
        raise click.ClickException("DYNREG_ACCESS does not have initial_access_token: nobody could use the token.")
    if label and len(label) > LONGEST_LABEL:
        raise click.BadParameter(f"must be of at most {LONGEST_LABEL} characters.", param_hint="--label")
    try:
        token = registrar.tokens.issue(label, expires_in, uses)
        registrar.sessions.session.commit()
    except (DBAPIError, TimeoutError) as error:
        raise click.ClickException(
            "The database could not keep the token. Are its tables there and up to date?"
        ) from error
    click.echo(token)
