"""Client metadata as an app would register it, without HTTP."""

from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration, RegisteredClientMixin, define_models
from flask_dynreg.errors import Problem, RefusedMetadataError
from tests.conftest import SERVER_METADATA

REDIRECT = {"redirect_uris": ["https://client.example/cb"]}


class App:
    """`App(DYNREG_UNSUPPORTED="reject")`; `server` changes members of the server metadata."""

    def __init__(self, server: dict[str, Any] | None = None, **config: Any) -> None:
        app = Flask(__name__)
        app.config.update({"DYNREG_SERVER_METADATA": SERVER_METADATA | (server or {})} | config)
        dynreg = DynamicRegistration(SQLAlchemy())
        dynreg.init_app(app)
        with app.app_context():
            self._registrar = dynreg.registrar

    def registered(self, **sent: Any) -> dict[str, Any]:
        """What is registered when a client sends this."""
        return self._registrar.check(sent).metadata

    def taken(self, **sent: Any) -> dict[str, list[str]]:
        """What is taken away from it."""
        return self._registrar.check(sent).taken

    def refusal(self, **sent: Any) -> RefusedMetadataError | None:
        try:
            self._registrar.check(sent)
        except RefusedMetadataError as error:
            return error
        return None

    def problems(self, **sent: Any) -> tuple[Problem, ...]:
        """All that is wrong with it, in the order of the answer."""
        error = self.refusal(**sent)
        return error.problems if error else ()

    def pointers(self, **sent: Any) -> list[str]:
        """Where something is wrong with it."""
        return [problem.pointer for problem in self.problems(**sent)]


APP = App()
"""With every setting at its default, and the server metadata of tests/conftest.py."""


_Client = define_models(SQLAlchemy()).client


def client(**metadata: Any) -> RegisteredClientMixin:
    """One that registered this."""
    registered = _Client()
    registered.set_client_metadata(metadata)
    return registered
