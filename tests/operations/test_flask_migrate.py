"""A host with Flask-Migrate: our tables in its own history, or beside it; each in a process and a folder of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from tests.conftest import CLIENT, SERVER_METADATA

HOST = f"""
import os, sys
from importlib.resources import files

from flask import Flask
from flask_dynreg import DynamicRegistration, RegisteredClientMixin, define_models, include_object
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

db = SQLAlchemy()
app = Flask(__name__)
app.config["PREFERRED_URL_SCHEME"] = "https"
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
app.config["DYNREG_ACCESS"] = ["open"]
app.config["DYNREG_SERVER_METADATA"] = {SERVER_METADATA}


class Mine(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)


models = None
if "own client model" in os.environ["HOST"]:
    class Client(RegisteredClientMixin, db.Model):
        id: Mapped[int] = mapped_column(primary_key=True)
        owner: Mapped[int | None]
    models = define_models(db, Client)
db.init_app(app)
DynamicRegistration(db, models=models).init_app(app)
Migrate(
    app,
    db,
    directory=str(files("flask_dynreg.migrations")) if "our history" in os.environ["HOST"] else "history",
    include_object=include_object if "include_object" in os.environ["HOST"] else None,
)


@app.cli.command()
def register():
    http = app.test_client()
    answer = http.post("/oauth2/register", json={CLIENT})
    headers = {{"Authorization": "Bearer " + answer.get_json()["registration_access_token"]}}
    read = http.get(answer.get_json()["registration_client_uri"], headers=headers)
    print(answer.status_code, read.status_code)


for command in sys.argv[1:]:
    result = app.test_cli_runner().invoke(args=command.split())
    print(result.output)
    if result.exit_code:
        sys.exit(f"{{command}}: {{result.exception!r}}")
"""


@dataclass
class Host:
    folder: Path
    url: str
    kind: str

    def run(self, *commands: str) -> str:
        """In a new process: from `db migrate`, Flask-Migrate keeps what breaks a `db check` after it."""
        (self.folder / "host.py").write_text(HOST)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
        env = environment | {"DATABASE_URL": self.url, "HOST": self.kind}
        process = subprocess.run(
            [sys.executable, "host.py", *commands],
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.returncode == 0, process.stdout
        return process.stdout

    def revisions(self) -> list[str]:
        return [path.read_text() for path in sorted((self.folder / "history" / "versions").glob("*.py"))]

    def tables(self) -> set[str]:
        engine = create_engine(self.url)
        tables = set(inspect(engine).get_table_names())
        engine.dispose()
        return tables


@pytest.mark.parametrize(
    ("kind", "client_table"), [("default models", "dynreg_client"), ("own client model", "client")]
)
def test_the_hosts_own_history_holds_our_tables(
    tmp_path: Path, any_database_url: str, kind: str, client_table: str
) -> None:
    host = Host(tmp_path, any_database_url, kind)
    host.run("db init", "db migrate", "db upgrade")
    (revision,) = host.revisions()
    ours = {client_table, "dynreg_event", "dynreg_initial_access_token"}
    ours |= {"dynreg_statement_issuer", "dynreg_used_statement", "dynreg_runtime_setting", "dynreg_quota"}
    ours |= {"dynreg_kept_answer", "dynreg_tombstone", "dynreg_trail_head"}
    for table in {*ours, "mine"}:
        assert f"op.create_table('{table}'" in revision
    assert host.tables() == {*ours, "mine", "alembic_version"}
    assert "No new upgrade operations" in host.run("db check")
    assert host.run("register", "db migrate", "db downgrade", "db upgrade", "register").count("201 200") == 2
    assert len(host.revisions()) == 1


def test_our_history_beside_the_hosts_leaves_each_other_alone(tmp_path: Path, any_database_url: str) -> None:
    host = Host(tmp_path, any_database_url, "include_object")
    host.run("dynreg db upgrade", "db init", "db migrate", "db upgrade")
    (revision,) = host.revisions()
    assert "op.create_table('mine'" in revision
    assert "dynreg" not in revision and "drop_table" not in revision.partition("def downgrade")[0]
    assert {"dynreg_alembic_version", "alembic_version", "dynreg_client", "mine"} < host.tables()
    host.run("db check", "dynreg db check", "db downgrade base", "dynreg db check", "register")
    assert "201 200" in host.run("dynreg db downgrade base", "dynreg db upgrade", "db upgrade", "db check", "register")


def test_without_include_object_the_hosts_history_would_drop_our_version_table(tmp_path: Path, sqlite_url: str) -> None:
    host = Host(tmp_path, sqlite_url, "default models")
    host.run("dynreg db upgrade", "db init", "db migrate")
    assert "op.drop_table('dynreg_alembic_version')" in host.revisions()[0]


def test_flask_migrate_can_run_our_history(tmp_path: Path, any_database_url: str) -> None:
    host = Host(tmp_path, any_database_url, "our history")
    assert "201 200" in host.run("db upgrade", "register", "db downgrade base", "db upgrade", "register")
    assert {"dynreg_client", "alembic_version"} < host.tables() and "mine" not in host.tables()
