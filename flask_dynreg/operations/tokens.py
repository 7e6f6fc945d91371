"""`flask dynreg issue-token`, `tokens` and `revoke-token`: initial access tokens."""

import json
from typing import Any

import click

from flask_dynreg.operations.commands import NUMBER, Desk, json_object, operated, short
from flask_dynreg.registry.principals import NO_TERMS, Terms
from flask_dynreg.registry.tokens import TokenRecord


@click.command("issue-token")
@click.option("--label", callback=short, help="What it is for; shown to operators only.")
@click.option("--owner", callback=short, help="Whom the clients belong to that register with it.")
@click.option("--expires-in", type=NUMBER, help="How long it is good, in seconds; for ever by default.")
@click.option("--uses", type=NUMBER, help="How many clients it may register; any number by default.")
@click.option(
    "--terms",
    type=click.File("rb"),
    callback=json_object,
    help="What its clients keep to: a JSON file (- for standard input), as docs/tokens.md shows it.",
)
@operated("tokens:issue")
def issue_token(
    desk: Desk,
    label: str | None,
    owner: str | None,
    expires_in: int | None,
    uses: int | None,
    terms: dict[str, Any] | None,
) -> str:
    """Issue an initial access token. It is printed once; only its digest is kept."""
    if "initial_access_token" not in desk.registrar.settings.access:
        raise click.ClickException("DYNREG_ACCESS does not have initial_access_token: nobody could use the token.")
    try:
        stated = NO_TERMS if terms is None else Terms.from_object(terms)
        return desk.registrar.issue_token(label, expires_in, uses, owner, stated, desk.by)
    except ValueError as fault:
        raise click.BadParameter(str(fault), param_hint="--terms") from fault


@click.command("tokens")
@operated("tokens:issue")
def tokens(desk: Desk) -> None:
    """List the initial access tokens, one JSON object a line. The tokens themselves are not known."""
    for token in desk.registrar.tokens.all():
        click.echo(json.dumps(as_json(token), ensure_ascii=False))


@click.command("revoke-token")
@click.argument("token_id", metavar="ID", type=NUMBER)
@operated("tokens:revoke")
def revoke_token(desk: Desk, token_id: int) -> str:
    """Make an initial access token good for nothing, by its number in the list. The clients that came with it stay."""
    if not desk.registrar.tokens.revoke(token_id, desk.by):
        raise click.ClickException("There is no such token, or it was revoked before.")
    return "The token is revoked."


def as_json(token: TokenRecord) -> dict[str, Any]:
    told = {name: getattr(token, name) for name in TokenRecord.__slots__}
    return told | {"terms": json.loads(token.terms.to_json())}
