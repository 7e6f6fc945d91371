"""`flask dynreg issue-token`, `tokens` and `revoke-token`: initial access tokens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import DBAPIError, TimeoutError

from flask_dynreg.registrar import Registrar
from flask_dynreg.registry.principals import NO_TERMS, Terms
from flask_dynreg.registry.tokens import TokenRecord

NUMBER = click.IntRange(1, 2**31 - 1)
LONGEST = 255


@contextmanager
def _database() -> Iterator[Registrar]:
    registrar: Registrar = current_app.extensions["dynreg"]
    try:
        yield registrar
        registrar.sessions.session.commit()
    except (DBAPIError, TimeoutError) as error:
        raise click.ClickException("The database could not do it. Are its tables there and up to date?") from error


def _short(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value and len(value) > LONGEST:
        raise click.BadParameter(f"must be of at most {LONGEST} characters.")
    return value


def _terms(context: click.Context, parameter: click.Parameter, file: TextIO | None) -> Terms:
    if file is None:
        return NO_TERMS
    try:
        return Terms.from_object(json.load(file))
    except ValueError as fault:
        stated = "must be JSON." if isinstance(fault, json.JSONDecodeError) else str(fault)
        raise click.BadParameter(stated) from fault


@click.command("issue-token")
@click.option("--label", callback=_short, help="What it is for; shown to operators only.")
@click.option("--owner", callback=_short, help="Whom the clients belong to that register with it.")
@click.option("--expires-in", type=NUMBER, help="How long it is good, in seconds; for ever by default.")
@click.option("--uses", type=NUMBER, help="How many clients it may register; any number by default.")
@click.option(
    "--terms",
    type=click.File(encoding="utf-8"),
    callback=_terms,
    help="What its clients keep to: a JSON file (- for standard input), as docs/tokens.md shows it.",
)
@with_appcontext
def issue_token(label: str | None, owner: str | None, expires_in: int | None, uses: int | None, terms: Terms) -> None:
    """Issue an initial access token. It is printed once; only its digest is kept."""
    with _database() as registrar:
        if "initial_access_token" not in registrar.settings.access:
            raise click.ClickException("DYNREG_ACCESS does not have initial_access_token: nobody could use the token.")
        try:
            token = registrar.issue_token(label, expires_in, uses, owner, terms)
        except ValueError as fault:
            raise click.BadParameter(str(fault), param_hint="--terms") from fault
    click.echo(token)


@click.command("tokens")
@with_appcontext
def tokens() -> None:
    """List the initial access tokens, one JSON object a line. The tokens themselves are not known."""
    with _database() as registrar:
        for token in registrar.tokens.all():
            click.echo(json.dumps(as_json(token), ensure_ascii=False))


@click.command("revoke-token")
@click.argument("token_id", metavar="ID", type=NUMBER)
@with_appcontext
def revoke_token(token_id: int) -> None:
    """Make an initial access token good for nothing, by its number in the list. The clients that came with it stay."""
    with _database() as registrar:
        if not registrar.tokens.revoke(token_id):
            raise click.ClickException("There is no such token, or it was revoked before.")
    click.echo("The token is revoked.")


def as_json(token: TokenRecord) -> dict[str, Any]:
    told = {name: getattr(token, name) for name in TokenRecord.__slots__}
    return told | {"terms": json.loads(token.terms.to_json())}
