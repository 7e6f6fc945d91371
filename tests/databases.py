"""Fresh, empty databases on real servers, dropped when the block ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import uuid4

import pytest
from sqlalchemy import URL, Connection, create_engine, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool


@dataclass(frozen=True)
class Server:
    name: str
    variable: str
    default: str

    @property
    def url(self) -> URL:
        """Of a database whose user may make new ones."""
        return make_url(os.environ.get(self.variable, self.default))


POSTGRESQL = Server("PostgreSQL", "TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
MYSQL = Server("MariaDB or MySQL", "TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/mysql")


@contextmanager
def fresh_database(server: Server) -> Iterator[str]:
    name = f"dynreg_test_{uuid4().hex}"
    with connected(server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield server.url.set(database=name).render_as_string(hide_password=False)
    finally:
        with connected(server) as connection:
            drop(connection, name)


@contextmanager
def connected(server: Server) -> Iterator[Connection]:
    engine = create_engine(server.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        connection = engine.connect()
    except OperationalError:
        pytest.skip(f"{server.name} cannot be used at {server.url!r}; set {server.variable} to where it can")
    with connection:
        yield connection


def drop(connection: Connection, name: str) -> None:
    """Also when a session still uses it, which would make the DROP fail or wait."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        return
    sessions = connection.exec_driver_sql("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
    for session in sessions.scalars().all():
        with suppress(OperationalError):  # it ended by itself meanwhile
            connection.exec_driver_sql(f"KILL {session}")
    connection.exec_driver_sql(f"DROP DATABASE {name}")
