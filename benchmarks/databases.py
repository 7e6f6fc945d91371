"""Fresh databases, one for each server, gone afterwards."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"


@contextmanager
def fresh_databases(kind: str, apps: list[str], directory: Path, postgresql: str) -> Iterator[dict[str, str]]:
    """A URL for each app. `postgresql` is the URL of a database from which new ones can be made."""
    if kind == "sqlite":
        yield {app: f"sqlite:///{directory / app}.db" for app in apps}
        return
    names = {app: f"dynreg_bench_{os.getpid()}_{app}" for app in apps}
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        try:
            for name in names.values():
                connection.execute(text(f"CREATE DATABASE {name}"))
            url = make_url(postgresql)
            yield {app: url.set(database=name).render_as_string(hide_password=False) for app, name in names.items()}
        finally:
            for name in names.values():
                connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    engine.dispose()
