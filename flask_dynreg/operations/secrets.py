"""`flask dynreg secrets`: client secrets under the newest of `DYNREG_SECRET_KEYS`."""

from functools import partial

import click
from flask.cli import AppGroup

from flask_dynreg.operations.commands import Desk, an_id, operated, progress
from flask_dynreg.protocol.transactions import in_one_transaction

secrets = AppGroup("secrets", help="Client secrets and the keys under which they are kept.")


@secrets.command()
@click.option("--after", default="", metavar="CLIENT_ID", callback=an_id, help="Where to go on: behind this client.")
@operated("settings:write")
def reencrypt(desk: Desk, after: str) -> str:
    """Encrypt secrets anew that are not under the newest of DYNREG_SECRET_KEYS, the older secrets of clients too.

    Clients are registered and change meanwhile as ever. When it has ended, the older keys are not needed any more.
    """
    registrar, reencryption = desk.registrar, desk.registrar.reencryption
    if not registrar.settings.secret_keys:
        raise click.ClickException("DYNREG_SECRET_KEYS must hold a key.")
    last, done, unreadable = after, 0, 0
    try:
        with progress(lambda: sum(map(reencryption.count, registrar.stretches.behind(after)))) as tell:
            for stretch in registrar.stretches.behind(after):
                while part := in_one_transaction(registrar.sessions, partial(reencryption.next_part, stretch)):
                    last, stretch = part.last, stretch.behind(part.last)
                    done, unreadable = done + part.done, unreadable + part.unreadable
                    tell(part.clients)
    except BaseException:
        if last:
            click.echo(f"Not done to the end. Go on with --after {last}", err=True)
        raise
    return f"{done} secrets are encrypted anew. {unreadable} cannot be read by any key."
