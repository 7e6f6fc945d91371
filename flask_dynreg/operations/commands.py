"""What commands have in common: in whose name they act, files of JSON, one transaction, and what goes wrong in words."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import IO, Any

import click
from authlib.oauth2 import OAuth2Error
from flask import current_app
from flask.cli import with_appcontext
from sqlalchemy.exc import DBAPIError, TimeoutError

from flask_dynreg.errors import DecisionError, RaceLostError, RefusedMetadataError, UnknownClientError
from flask_dynreg.metadata.json_objects import JSONFault, parsed_object
from flask_dynreg.registrar import Registrar
from flask_dynreg.registry.credentials import is_client_id
from flask_dynreg.registry.models import LONGEST_TEXT

NUMBER = click.IntRange(1, 2**31 - 1)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a command works: the registrar of the app, and in whose name, if that was said."""

    registrar: Registrar
    by: str | None


def operated(permission: str) -> Callable[[Callable[..., str | None]], Callable[..., None]]:
    """Makes a command of a function that gets a `Desk` first: checked with `--as`, in one transaction.

    Once that is committed, the text that the function gives is printed.
    """

    def decorate(function: Callable[..., str | None]) -> Callable[..., None]:
        @click.option("--as", "by", metavar="OPERATOR", help="In whose name: it is checked what they may, and noted.")
        @with_appcontext
        @wraps(function)
        def command(by: str | None, **options: Any) -> None:
            registrar: Registrar = current_app.extensions["dynreg"]
            with _in_words():
                if by is not None:
                    if not registrar.permissions.are_there:
                        raise click.BadParameter("needs dynreg.operator in the app.", param_hint="--as")
                    by = registrar.permissions.require(permission, by).name
                text = function(Desk(registrar, by), **options)
                registrar.sessions.session.commit()
            if text is not None:
                click.echo(text)

        return command

    return decorate


@contextmanager
def progress(clients: Callable[[], int]) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if somebody looks on; they are counted for that alone. Gives what is told how many more are done."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    with click.progressbar(length=clients(), label="Clients", file=sys.stderr) as bar:
        yield bar.update
        bar.finish()  # there may have been none, or others have done some
        bar.render_progress()


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (UnknownClientError, DecisionError) as fault:
        raise click.ClickException(str(fault)) from fault
    except RefusedMetadataError as error:
        said = [f"\n  {problem.pointer or '/'} {problem.description}" for problem in error.problems]
        raise click.ClickException(f"Refused: {error.error}{''.join(said)}") from error
    except OAuth2Error as error:
        raise click.ClickException(f"Refused: {error.error}: {error.description}") from error
    except RaceLostError as error:
        raise click.ClickException("Somebody else changes it at this moment. Try again.") from error
    except (DBAPIError, TimeoutError) as error:
        raise click.ClickException("The database could not do it. Are its tables there and up to date?") from error


def short(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """For a text of which there is a column."""
    if value is not None and not 0 < len(value) <= LONGEST_TEXT:
        raise click.BadParameter(f"must be of 1 to {LONGEST_TEXT} characters.")
    return value


def an_id(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """For the id of a client, which need not be there: not every database compares any other text with ids."""
    if value and not is_client_id(value):
        raise click.BadParameter("must be the id of a client.")
    return value


def json_object(context: click.Context, parameter: click.Parameter, file: IO[bytes] | None) -> dict[str, Any] | None:
    """What is in a file: one JSON object, as strictly read as a client's."""
    if file is None:
        return None
    try:
        return parsed_object(file.read())
    except JSONFault as fault:
        raise click.BadParameter(str(fault)) from fault
