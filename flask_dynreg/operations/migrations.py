"""The history of the default tables, for hosts that have no Alembic of their own: `flask dynreg db`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import click
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import DBAPIError, TimeoutError

from flask_dynreg.registrar import Registrar

VERSION_TABLE = "dynreg_alembic_version"
PACKAGE = "flask_dynreg.migrations"

db = AppGroup("db", help="Make and change the tables of the default models.")


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """For a host's own Alembic `context.configure(include_object=...)`: leaves the version table of this history alone.

    Only needed by a host that runs `flask dynreg db` and generates revisions of its own as well.
    """
    return not (kind == "table" and name == VERSION_TABLE)


@contextmanager
def _config() -> Iterator[Config]:
    registrar: Registrar = current_app.extensions["dynreg"]
    tables = registrar.models.tables
    if tables[0].name != "dynreg_client":
        raise click.ClickException("The app has a client model of its own: its tables belong in the app's own history.")
    config = Config(stdout=sys.stdout)  # its own is the one there was when Alembic was imported
    config.set_main_option("script_location", str(files(PACKAGE)))
    config.set_main_option("path_separator", "newline")
    with registrar.sessions.engine.connect() as connection:
        config.attributes.update(
            connection=connection,
            target_metadata=tables[0].metadata,
            tables={table.name for table in tables},
            version_table=VERSION_TABLE,
        )
        yield config


def _run(task: Callable[[Config], None]) -> None:
    try:
        with _config() as config:
            task(config)
    except CommandError as error:
        raise click.ClickException(str(error)) from error
    except (DBAPIError, TimeoutError) as error:
        raise click.ClickException(
            "The database could not do it. Are the tables there already? Then `flask dynreg db stamp` notes their revision."
        ) from error


@db.command()
@click.argument("revision", default="head")
@with_appcontext
def upgrade(revision: str) -> None:
    """Bring the tables to a revision, the newest by default."""
    _run(lambda config: command.upgrade(config, revision))


@db.command()
@click.argument("revision", default="-1")
@with_appcontext
def downgrade(revision: str) -> None:
    """Take the tables back to a revision, one step by default. What is in them is lost with them."""
    _run(lambda config: command.downgrade(config, revision))


@db.command()
@with_appcontext
def current() -> None:
    """Show the revision of the tables."""
    _run(lambda config: command.current(config, verbose=True))


@db.command()
@with_appcontext
def check() -> None:
    """Fail if the tables are not what this version needs."""
    _run(command.check)


@db.command()
@click.argument("revision", default="head")
@with_appcontext
def stamp(revision: str) -> None:
    """Note a revision without changing a table."""
    _run(lambda config: command.stamp(config, revision))
