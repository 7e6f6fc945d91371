from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration
from tests.conftest import SERVER_METADATA

MakeBareApp = Callable[..., Flask]


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
