"""Serves `flask dynreg db`, which passes a connection and what belongs to this history, and Flask-Migrate."""

from typing import Any

from alembic import context
from flask import current_app

attributes = context.config.attributes


def own_name(name: str | None, kind: str, parents: Any) -> bool:
    """Of what is in the database, only our tables are looked at."""
    return kind != "table" or name in attributes["tables"]


def own_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """The host's models are on the same MetaData, and none of our business."""
    return kind != "table" or name in attributes["tables"]


def run(connection: Any, **options: Any) -> None:
    context.configure(connection=connection, **{"render_as_batch": True, **options})
    with context.begin_transaction():
        context.run_migrations()


if "connection" in attributes:
    # No logging of Alembic's is set up here: it would silence the loggers that the app has made.
    run(
        attributes["connection"],
        target_metadata=attributes["target_metadata"],
        version_table=attributes["version_table"],
        include_name=own_name,
        include_object=own_object,
    )
    attributes["connection"].commit()
else:
    migrate = current_app.extensions["migrate"]
    with migrate.db.engine.connect() as connection:
        run(connection, target_metadata=migrate.db.metadata, **migrate.configure_args)
