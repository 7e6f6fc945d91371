from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from blinker import NamedSignal
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import (
    ClientMetadataSchema,
    DynamicRegistration,
    Fetcher,
    client_deleted,
    client_registered,
    client_updated,
)
from tests.conftest import MakeApp
from tests.registry.host import Clock, Heard, Host, define_notes

StartHost = Callable[..., Host]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start_host(make_app: MakeApp, clock: Clock) -> Iterator[StartHost]:
    """start_host(url, DYNREG_...=...) gives a host in an app context, of which its database knows notes as well."""
    with ExitStack() as contexts:

        def start(
            url: str,
            fetcher: Fetcher | None = None,
            on_withdrawal: Any = None,
            policies: Any = None,
            in_use: Any = None,
            schema: type[ClientMetadataSchema] = ClientMetadataSchema,
            **config: Any,
        ) -> Host:
            db = SQLAlchemy()
            note = define_notes(db)
            dynreg = DynamicRegistration(db, clock=clock, fetcher=fetcher, policies=policies, schema=schema)
            if on_withdrawal:
                dynreg.on_withdrawal(on_withdrawal)
            if in_use:
                dynreg.in_use(in_use)
            config = {"DYNREG_ACCESS": ["open", "initial_access_token"], "SQLALCHEMY_DATABASE_URI": url} | config
            app = make_app(db, dynreg, **config)
            contexts.enter_context(app.app_context())
            return Host(app, db, dynreg, clock, note)

        yield start


@pytest.fixture
def host(any_database_url: str, start_host: StartHost) -> Host:
    """On each of the databases."""
    return start_host(any_database_url)


@pytest.fixture
def sqlite_host(sqlite_url: str, start_host: StartHost) -> Host:
    return start_host(sqlite_url)


@pytest.fixture
def heard(host: Host) -> Iterator[Heard]:
    """What was told of the host's app so far."""
    told: Heard = []

    def hearer(signal: NamedSignal) -> Callable[..., None]:
        return lambda sender, client_id, **_: told.append((signal.name, client_id))

    with ExitStack() as stack:
        for signal in (client_registered, client_updated, client_deleted):
            stack.enter_context(signal.connected_to(hearer(signal), host.app))
        yield told
