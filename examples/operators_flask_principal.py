"""Operators whose permissions are needs of Flask-Principal, `ActionNeed("clients:read")`. How to try it: see operators.py."""

from typing import Any

import flask_principal  # type: ignore[import-untyped]
from flask import Flask, current_app, g
from flask_principal import ActionNeed, Identity, Principal, identity_changed, identity_loaded
from flask_sqlalchemy import SQLAlchemy

from examples.operators import MAY, new_app
from flask_dynreg import DynamicRegistration, Operator, Permission

db = SQLAlchemy()
dynreg = DynamicRegistration(db)
principal = Principal()


@identity_loaded.connect  # type: ignore[untyped-decorator]
def provide(sender: Flask, identity: Identity) -> None:
    identity.provides.update(ActionNeed(permission) for permission in MAY.get(identity.id, ()))


@dynreg.operator
def operator(name: str | None) -> Operator | None:
    if name is None:
        identity = g.identity
    else:
        identity = Identity(name)
        provide(current_app, identity)
    may = {each for each in Permission if identity.can(flask_principal.Permission(ActionNeed(each)))}
    return Operator(identity.id, frozenset(may)) if may else None


def create_app(**config: Any) -> Flask:
    app = new_app(db, dynreg, lambda name: identity_changed.send(app, identity=Identity(name)), **config)
    principal.init_app(app)
    return app
