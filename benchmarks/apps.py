"""The servers that are compared: `floor`, `authlib` and `dynreg`, and `dynreg` with one feature more.

All have the same paths, the same database settings and the same kind of table, so that what differs is the work
between Flask and the database.
"""

import base64
import json
import os
import secrets
import time
from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Column, Integer, String, Table, Text, event, insert, select, update

SERVER_METADATA = {
    "issuer": "http://127.0.0.1:5000",
    "authorization_endpoint": "http://127.0.0.1:5000/authorize",
    "token_endpoint": "http://127.0.0.1:5000/token",
    "grant_types_supported": ["authorization_code", "refresh_token"],
    "response_types_supported": ["code"],
    "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
    "scopes_supported": ["mcp:read"],
}

# For a file: readers do not wait for a writer, a writer waits for another one, a commit does not wait for the disk.
SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000")


def floor() -> Flask:
    """A view per path with one SQLAlchemy Core statement: what Flask and the database cost before any OAuth."""
    app, db = Flask(__name__), SQLAlchemy()
    clients = Table(
        "client",
        db.metadata,
        Column("id", Integer, primary_key=True),
        Column("client_id", String(255), unique=True, nullable=False),
        Column("client_id_issued_at", Integer, nullable=False),
        Column("client_metadata", Text, nullable=False),
    )

    @app.post("/oauth2/register")
    def register() -> tuple[dict[str, Any], int]:
        metadata = _json_body()
        if any("#" in uri for uri in metadata["redirect_uris"]):
            return {"error": "invalid_redirect_uri", "error_description": "A redirect URI must have no fragment."}, 400
        row = {
            "client_id": secrets.token_urlsafe(32),
            "client_id_issued_at": int(time.time()),
            "client_metadata": json.dumps(metadata),
        }
        db.session.execute(insert(clients).inline(), row)
        db.session.commit()
        return _answer(metadata, row), 201

    @app.get("/oauth2/clients/<client_id>")
    def read(client_id: str) -> dict[str, Any]:
        row = db.session.execute(select(clients).where(clients.c.client_id == client_id)).mappings().one()
        return _answer(json.loads(row["client_metadata"]), row)

    @app.put("/oauth2/clients/<client_id>")
    def replace(client_id: str) -> dict[str, Any]:
        metadata = _json_body()
        row = {"client_id": client_id, "client_id_issued_at": 0, "client_metadata": json.dumps(metadata)}
        change = update(clients).where(clients.c.client_id == client_id)
        db.session.execute(change.values(client_metadata=row["client_metadata"]))
        db.session.commit()
        return _answer(metadata, row)

    return _with_database(app, db)


def authlib() -> Flask:
    """Authlib's two endpoints, filled in as its documentation shows."""
    from bare_authlib import db, init_app

    app = Flask(__name__)
    init_app(app, SERVER_METADATA)
    return _with_database(app, db)


OFTEN = 10**9
AUDIT_KEYS = [base64.urlsafe_b64encode(bytes(range(32))).decode()]
LIFETIMES = {"all": {"unused": OFTEN, "idle": OFTEN}}
FEATURES: Mapping[str, Mapping[str, Any]] = {
    "profile": {"DYNREG_POLICIES": ["mcp"]},
    "policies": {
        "DYNREG_POLICIES": [
            "mcp",
            "require_name",
            "reserved_names",
            {"policy": "trusted_redirect_hosts", "hosts": ["127.0.0.1", "localhost"]},
            {"policy": "scope_ceiling", "scopes": ["mcp:read"]},
        ],
        "DYNREG_RESERVED_NAMES": ["Example Bank"],
    },
    "limits": {"DYNREG_LIMITS": [f"address {OFTEN}/hour", f"server {OFTEN}/hour"]},
    "limits_redis": {
        "DYNREG_LIMITS": [f"address {OFTEN}/hour", f"server {OFTEN}/hour"],
        "DYNREG_LIMITS_STORAGE": os.environ.get("BENCHMARK_REDIS", "redis://127.0.0.1:6379"),
    },
    "idempotency": {"DYNREG_IDEMPOTENCY": True},
    "no_history": {"DYNREG_HISTORY": 0},
    "audit_keys": {"DYNREG_AUDIT_KEYS": AUDIT_KEYS},
    "lifetimes": {"DYNREG_CLIENT_LIFETIMES": LIFETIMES},
    "rotation": {"DYNREG_REGISTRATION_TOKEN_ROTATION": "update"},
    "lives": {
        "DYNREG_AUDIT_KEYS": AUDIT_KEYS,
        "DYNREG_CLIENT_LIFETIMES": LIFETIMES,
        "DYNREG_REGISTRATION_TOKEN_ROTATION": "update",
    },
    "quotas": {"DYNREG_QUOTAS": {"open": OFTEN, "owner": OFTEN}},
}
"""By name, the settings that turn on something that is off by default, or off what is on."""


def made(name: str) -> Flask:
    """For gunicorn: `apps:made("limits")`."""
    if name in FEATURES:
        return dynreg(**FEATURES[name])
    return {"floor": floor, "authlib": authlib, "dynreg": dynreg}[name]()


def dynreg(**config: Any) -> Flask:
    """This extension with its default settings and open registration, as often as somebody likes."""
    from flask_dynreg import DynamicRegistration

    app, db = Flask(__name__), SQLAlchemy()
    defaults = {"DYNREG_ACCESS": ["open"], "DYNREG_LIMITS": [], "DYNREG_SERVER_METADATA": SERVER_METADATA}
    app.config.update(defaults | config)
    registration = DynamicRegistration(db)
    return _with_database(app, db, registration)


def _with_database(app: Flask, db: SQLAlchemy, *extensions: Any) -> Flask:
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["BENCHMARK_DATABASE"]
    db.init_app(app)
    for extension in extensions:
        extension.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", _set_pragmas)
        db.create_all()
        db.engine.dispose()
    return app


def _set_pragmas(connection: Any, _record: object) -> None:
    for pragma in SQLITE_PRAGMAS:
        connection.execute(f"PRAGMA {pragma}").close()


def _json_body() -> dict[str, Any]:
    from flask import request

    body: dict[str, Any] = request.get_json()
    return body


def _answer(metadata: dict[str, Any], row: Mapping[Any, Any]) -> dict[str, Any]:
    return {**metadata, "client_id": row["client_id"], "client_id_issued_at": row["client_id_issued_at"]}
