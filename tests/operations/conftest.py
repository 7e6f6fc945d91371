from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration
from tests.conftest import CLIENT, SERVER_METADATA, MakeApp

MakeBareApp = Callable[..., Flask]
OLD_KEY, NEW_KEY = "A" * 42 + "E=", "B" * 42 + "E="
LONG_AGO = 5
"""So many clients were registered then."""


@pytest.fixture
def make_bare_app() -> Iterator[MakeBareApp]:
    """make_bare_app(url, db, dynreg, DYNREG_ACCESS=[]): an app whose database has no tables yet."""
    with ExitStack() as stack:

        def make(
            url: str, db: SQLAlchemy | None = None, dynreg: DynamicRegistration | None = None, **config: Any
        ) -> Flask:
            app = Flask(__name__)
            app.config.from_mapping(
                PREFERRED_URL_SCHEME="https",
                SQLALCHEMY_DATABASE_URI=url,
                DYNREG_ACCESS=["open", "initial_access_token"],
                DYNREG_SERVER_METADATA=SERVER_METADATA,
            )
            app.config.update(config)
            db = db or SQLAlchemy()
            db.init_app(app)
            (dynreg or DynamicRegistration(db)).init_app(app)
            with app.app_context():
                for engine in db.engines.values():
                    stack.callback(engine.dispose)
            return app

        yield make


@pytest.fixture
def aged_database(make_app: MakeApp, sqlite_url: str) -> str:
    """One with clients that were registered long ago, their secrets encrypted under an old key."""
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db, clock=lambda: 1_000_000)
    app = make_app(db, dynreg, SQLALCHEMY_DATABASE_URI=sqlite_url, DYNREG_SECRET_KEYS=[OLD_KEY])
    for _ in range(LONG_AGO):
        assert app.test_client().post("/oauth2/register", json=CLIENT).status_code == 201
    return sqlite_url
