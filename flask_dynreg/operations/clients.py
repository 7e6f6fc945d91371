"""Clients in the hands of operators: `flask dynreg clients`."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import click
from authlib.oauth2 import OAuth2Error
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import DBAPIError, TimeoutError

from flask_dynreg.errors import RefusedMetadataError
from flask_dynreg.lifecycle import RaceLostError
from flask_dynreg.protocol import views
from flask_dynreg.protocol.endpoints import RegistrationServer
from flask_dynreg.registrar import Registrar

clients = AppGroup("clients", help="Create clients, and decide about those that are there.")

LONGEST = 255


@contextmanager
def _registrar() -> Iterator[Registrar]:
    registrar: Registrar = current_app.extensions["dynreg"]
    try:
        yield registrar
        registrar.sessions.session.commit()
    except RaceLostError as error:
        raise click.ClickException("Somebody else changes the client at this moment. Try again.") from error
    except (DBAPIError, TimeoutError) as error:
        raise click.ClickException("The database could not do it. Are its tables there and up to date?") from error


@clients.command()
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--owner", help="Whom the client belongs to.")
@click.option("--client-id", help="Its id; a new one by default.")
@with_appcontext
def create(file: TextIO, owner: str | None, client_id: str | None) -> None:
    """Register a client with the metadata in a JSON file (- for standard input).

    Prints what the client has to know, its secret and its registration access token among it: they are not shown again.
    """
    try:
        metadata = json.load(file)
    except ValueError as fault:
        raise click.BadParameter("must be JSON.", param_hint="FILE") from fault
    if not isinstance(metadata, dict):
        raise click.BadParameter("must be a JSON object.", param_hint="FILE")
    server: RegistrationServer = current_app.extensions[views.SERVER]
    with _registrar() as registrar:
        try:
            told = server.told(registrar.create(metadata, owner, client_id))
        except RefusedMetadataError as error:
            raise click.ClickException(f"The client is refused: {_told(error)}") from error
        except OAuth2Error as error:
            raise click.ClickException(f"The client is refused: {error.error}") from error
        except ValueError as fault:
            raise click.BadParameter(str(fault), param_hint="--client-id") from fault
    click.echo(json.dumps(told, indent=2, ensure_ascii=False))


@clients.command()
@with_appcontext
def waiting() -> None:
    """List what waits for approval, one JSON object a line: new clients, and changes that clients ask for."""
    with _registrar() as registrar:
        for client in registrar.waiting():
            click.echo(json.dumps(client, ensure_ascii=False))


def _told(error: RefusedMetadataError) -> str:
    return f"{error.error}" + "".join(
        f"\n  {problem.pointer or '/'} {problem.description}" for problem in error.problems
    )


def _decision(name: str, done: str, text: str, decide: Callable[[Registrar], Callable[[str, str], None]]) -> None:
    @clients.command(name, help=text)
    @click.argument("client_id")
    @click.option("--reason", required=True, help="Why; kept for operators and told to the client's owner.")
    @with_appcontext
    def command(client_id: str, reason: str) -> None:
        if len(reason) > LONGEST:
            raise click.BadParameter(f"must be of at most {LONGEST} characters.", param_hint="--reason")
        with _registrar() as registrar:
            try:
                decide(registrar)(client_id, reason)
            except (LookupError, ValueError) as fault:
                raise click.ClickException(str(fault)) from fault
            except RefusedMetadataError as error:
                raise click.ClickException(f"Today's rules refuse it: {_told(error)}") from error
            except OAuth2Error as error:
                raise click.ClickException(f"Today's rules refuse it: {error.error}") from error
        click.echo(f"The client is {done}.")


_decision(
    "approve", "approved", "Let a client that waits be used, or put its change in force.", lambda made: made.approve
)
_decision("refuse", "refused", "Refuse a client that waits, or its change.", lambda made: made.refuse)
_decision("suspend", "suspended", "Let a client not be used until it is resumed.", lambda made: made.suspend)
_decision("resume", "resumed", "Let a suspended client be used again.", lambda made: made.resume)
