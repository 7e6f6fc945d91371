"""Alembic's environment. Logging is left to the app: fileConfig would silence the loggers that exist already."""

from alembic import context
from flask import current_app

migrate = current_app.extensions["migrate"]
options = {"target_metadata": migrate.db.metadata, **migrate.configure_args}

if context.is_offline_mode():
    url = migrate.db.engine.url.render_as_string(hide_password=False)
    context.configure(url=url, literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()
else:
    with migrate.db.engine.connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()
