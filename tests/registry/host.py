"""A host's code that uses the registrar without HTTP, in an app context of its own."""

import json
from collections.abc import Sequence
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import RowMapping, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from flask_dynreg import DynamicRegistration, Models, Principal
from flask_dynreg.lifecycle.clients import Registered
from flask_dynreg.metadata.check import CheckedMetadata
from flask_dynreg.registrar import Registrar
from flask_dynreg.registry.clients import ClientRecord
from tests.conftest import CLIENT

OPEN = Principal("open")
Heard = list[tuple[str, str]]
"""Signals, each with its client."""


def client_id(registered: Registered) -> str:
    return registered.client.client_id


class Clock:
    now = 1_800_000_000

    def __call__(self) -> float:
        return self.now + 0.9


def define_notes(db: SQLAlchemy) -> type[Any]:
    """A model of the host's that has nothing to do with clients."""

    class Base(DeclarativeBase):
        metadata = db.metadata

    class Note(Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(String(50))

    return Note


class Host:
    def __init__(self, app: Flask, db: SQLAlchemy, dynreg: DynamicRegistration, clock: Clock, note: type[Any]) -> None:
        self.app = app
        self.db = db
        self.dynreg = dynreg
        self.clock = clock
        self.Note = note

    @property
    def registrar(self) -> Registrar:
        return self.dynreg.registrar

    @property
    def models(self) -> Models:
        return self.dynreg.models

    @property
    def session(self) -> Session:
        return self.db.session()

    def checked(self, **metadata: Any) -> CheckedMetadata:
        return self.registrar.check(CLIENT | metadata)

    def register(self, principal: Principal = OPEN, **metadata: Any) -> Registered:
        """A client that is not committed yet."""
        checked = self.checked(**metadata)
        information = self.registrar.new_client_information(checked)
        return self.registrar.register(information, checked, principal)

    def registered(self, principal: Principal = OPEN, **metadata: Any) -> Registered:
        registered = self.register(principal, **metadata)
        self.session.commit()
        return registered

    def record(self, registered: Registered) -> ClientRecord:
        """The client as a request with its registration access token reads it."""
        return self.registrar.authenticate(registered.client.client_id, registered.registration_access_token)

    def rows(self, model: Any) -> Sequence[RowMapping]:
        """What everybody sees of a table, in the order in which it was written."""
        table = model.__table__
        (order,) = [table.c[name] for name in ("id", "client_id_issued_at", "name", "client_id") if name in table.c][:1]
        with self.db.engine.connect() as connection:
            return connection.execute(select(table).order_by(order)).mappings().all()

    def clients(self) -> Sequence[RowMapping]:
        return self.rows(self.models.client)

    def events(self) -> Sequence[RowMapping]:
        """Those about clients."""
        return [row for row in self.rows(self.models.event) if row["client_id"]]

    def details(self) -> list[Any]:
        """Those of the events about clients, without what is said of every update."""
        every = [json.loads(row["details"] or "{}") for row in self.events()]
        said = [{name: each[name] for name in each.keys() - {"changed", "before"}} for each in every]
        return [each or None for each in said]

    def tokens(self) -> Sequence[RowMapping]:
        return self.rows(self.models.initial_access_token)

    def notes(self) -> list[str]:
        return [row["text"] for row in self.rows(self.Note)]
