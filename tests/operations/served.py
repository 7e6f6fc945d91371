"""A host's app, for commands and workers in processes of their own. Its settings are in the environment: see `settings`."""

import json
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration
from tests.conftest import SERVER_METADATA

db = SQLAlchemy()
dynreg = DynamicRegistration(db)


def settings(**config: Any) -> dict[str, str]:
    """Environment variables that say what `make_app` would be told."""
    told = {"DYNREG_ACCESS": ["open"], "DYNREG_SERVER_METADATA": SERVER_METADATA, **config}
    return {f"FLASK_{name}": json.dumps(value) for name, value in told.items()}


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_prefixed_env()
    db.init_app(app)
    dynreg.init_app(app)
    return app
