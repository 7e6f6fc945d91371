"""Operators who sign in by Flask-Login; what they may do is the app's own business. How to try it: see operators.py."""

from typing import Any

from flask import Flask
from flask_login import LoginManager, UserMixin, current_user, login_user  # type: ignore[import-untyped]
from flask_sqlalchemy import SQLAlchemy

from examples.operators import MAY, new_app
from flask_dynreg import DynamicRegistration, Operator

db = SQLAlchemy()
dynreg = DynamicRegistration(db)
login_manager = LoginManager()


class User(UserMixin):  # type: ignore[misc]  # it has no types
    def __init__(self, name: str) -> None:
        self.id = name


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load_user(name: str) -> User | None:
    return User(name) if name in MAY else None


@dynreg.operator
def operator(name: str | None) -> Operator | None:
    user = current_user if name is None else load_user(name)
    return Operator(user.id, MAY[user.id]) if user and user.is_authenticated else None


def create_app(**config: Any) -> Flask:
    app = new_app(db, dynreg, lambda name: login_user(User(name)), **config)
    login_manager.init_app(app)
    return app
