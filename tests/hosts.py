"""What hosts bring along: tables of their own, a database that is down; and what an app says to its database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_dynreg import DynamicRegistration, Models, RegisteredClientMixin, define_models
from tests.conftest import SERVER_METADATA
from tests.servers import reserved_port


def own_models(db: SQLAlchemy) -> Models:
    """The default ones, but for a client model with more columns."""

    class Base(DeclarativeBase):
        metadata = db.metadata

    class Client(RegisteredClientMixin, Base):
        __tablename__ = "client"
        id: Mapped[int] = mapped_column(primary_key=True)
        owner: Mapped[str | None]
        tier: Mapped[str] = mapped_column(default="free")

    return define_models(db, Client)


@contextmanager
def app_whose_database_is_down(
    dynreg: DynamicRegistration | None = None, **config: Any
) -> Iterator[tuple[Flask, DynamicRegistration]]:
    """Nobody listens at the port of its URL."""
    with reserved_port() as port:
        app = Flask(__name__)
        app.config.from_mapping(
            PREFERRED_URL_SCHEME="https",
            SQLALCHEMY_DATABASE_URI=f"postgresql+psycopg://nobody:hunter2@127.0.0.1:{port}/none",
            DYNREG_ACCESS=["open", "initial_access_token"],
            DYNREG_SERVER_METADATA=SERVER_METADATA,
            **config,
        )
        dynreg = dynreg or DynamicRegistration(SQLAlchemy())
        db: SQLAlchemy = dynreg._db
        db.init_app(app)
        dynreg.init_app(app)
        yield app, dynreg
        with app.app_context():
            db.engine.dispose()


@contextmanager
def heard(engine: Engine) -> Iterator[list[str]]:
    """The first words of the statements that reach the database meanwhile, and COMMIT for each transaction that wrote."""
    words: list[str] = []

    def statement(connection: Any, cursor: Any, text: str, *rest: Any) -> None:
        words.append(text.split(maxsplit=1)[0])

    def commit(connection: Any) -> None:
        words.append("COMMIT")

    event.listen(engine, "before_cursor_execute", statement)
    event.listen(engine, "commit", commit)
    try:
        yield words
    finally:
        event.remove(engine, "before_cursor_execute", statement)
        event.remove(engine, "commit", commit)
