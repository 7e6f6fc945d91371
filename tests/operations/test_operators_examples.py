"""The examples of operators: by Flask-Login and by Flask-Principal, over HTTP and with `--as`."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from flask import Flask

from tests.conformance.exchange import PUBLIC, registered

BASE = "/oauth2/operators"


@pytest.fixture(params=["operators_flask_login", "operators_flask_principal"])
def app(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setenv("FLASK_INSTANCE_PATH", str(tmp_path))
    example = import_module(f"examples.{request.param}")
    app: Flask = example.create_app()
    yield app
    with app.app_context():
        example.db.engine.dispose()


def sign_in(app: Flask, name: str, password: str = "password") -> int:
    return app.test_client().post("/sign-in", data={"name": name, "password": password}).status_code


def test_who_signs_in_does_what_they_may(app: Flask) -> None:
    client = registered(app.test_client(), **PUBLIC)["client_id"]
    for name, deletes in (("bob", 403), ("ann", 204)):
        http = app.test_client()
        assert http.get(f"{BASE}/waiting").status_code == 401
        assert http.post("/sign-in", data={"name": name, "password": "password"}).status_code == 204
        assert [each["client_id"] for each in http.get(f"{BASE}/waiting").get_json()["clients"]] == [client]
        assert http.delete(f"{BASE}/clients/{client}").status_code == deletes


def test_who_does_not_know_the_password_is_nobody(app: Flask) -> None:
    assert [sign_in(app, *who) for who in (("ann", "wrong"), ("eve", "password"), ("", ""))] == [403, 403, 403]


def test_commands_are_run_in_the_name_of_somebody(app: Flask) -> None:
    client = registered(app.test_client(), **PUBLIC)["client_id"]
    for name, code in (("eve", 1), ("bob", 1), ("ann", 0)):
        result = app.test_cli_runner().invoke(args=["dynreg", "clients", "delete", client, "--as", name])
        assert result.exit_code == code, result.output
