"""`flask dynreg db`: the history of the default tables, on every database."""

import json
import logging
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, Integer, MetaData, create_engine, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flask_dynreg import DynamicRegistration, define_models
from flask_dynreg.registry.credentials import REGISTRATION_ACCESS_TOKEN, digest, new_token
from tests.conformance.exchange import bearer, delete, issue_token, read, registered, replaced
from tests.conftest import CLIENT
from tests.hosts import own_models
from tests.operations.conftest import MakeBareApp

FIRST_TABLES = {"dynreg_client", "dynreg_event", "dynreg_initial_access_token"}
TABLES = {*FIRST_TABLES, "dynreg_statement_issuer", "dynreg_used_statement", "dynreg_runtime_setting", "dynreg_quota"}
TABLES |= {"dynreg_kept_answer", "dynreg_tombstone", "dynreg_trail_head"}
VERSION_TABLE = "dynreg_alembic_version"
COMMANDS = ["upgrade", "downgrade", "current", "check", "stamp"]


# As SQLAlchemy's and Alembic's documentation advise.
CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["dynreg", "db", *words])


def done(app: Flask, *words: str) -> str:
    result = run(app, *words)
    assert result.exit_code == 0, f"{words}: {result.output} {result.exception!r}"
    return result.output


class Host:
    """An app with a table of its own, which no command of ours touches."""

    def __init__(self, make_bare_app: MakeBareApp, url: str) -> None:
        self.db = db = SQLAlchemy()

        class Base(DeclarativeBase):
            metadata = db.metadata

        class Mine(Base):
            __tablename__ = "mine"
            id: Mapped[int] = mapped_column(primary_key=True)

        self.app = make_bare_app(url, db)
        with self.app.app_context():
            self.engine = db.engine
        Base.metadata.tables["mine"].create(self.engine)
        self.execute("INSERT INTO mine (id) VALUES (7)")

    def execute(self, statement: str) -> list[Any]:
        with self.engine.begin() as connection:
            result = connection.execute(text(statement))
            return list(result.scalars()) if result.returns_rows else []

    def tables(self) -> set[str]:
        return set(inspect(self.engine).get_table_names())

    def use(self) -> None:
        """Every operation, and some rows that stay."""
        http = self.app.test_client()
        token = issue_token(self.app)
        assert http.post("/oauth2/register", json=CLIENT, headers=bearer(token)).status_code == 201
        client = registered(http, **CLIENT, client_name="é" * 255)
        replaced(http, client, **CLIENT)
        assert delete(http, client).status_code == 204
        assert self.execute("SELECT count(*) FROM dynreg_event") == [5]


@pytest.fixture
def host(make_bare_app: MakeBareApp, any_database_url: str) -> Host:
    return Host(make_bare_app, any_database_url)


def test_up_and_down_and_up_again_with_rows_in_the_tables(host: Host) -> None:
    for _ in range(2):
        done(host.app, "upgrade")
        assert host.tables() == {*TABLES, VERSION_TABLE, "mine"}
        assert "No new upgrade operations" in done(host.app, "check")
        assert "(head)" in done(host.app, "current")
        host.use()
        done(host.app, "upgrade")
        assert host.execute("SELECT count(*) FROM dynreg_client") == [1]
        done(host.app, "check")
        done(host.app, "downgrade", "base")
        assert host.tables() == {VERSION_TABLE, "mine"}
        assert "(head)" not in done(host.app, "current")
    assert host.execute("SELECT id FROM mine") == [7]


def test_each_step_can_be_taken_by_itself(host: Host) -> None:
    done(host.app, "upgrade", "+1")
    assert TABLES & host.tables() == FIRST_TABLES
    done(host.app, "downgrade")
    assert not TABLES & host.tables()


def test_rows_go_along_with_every_step(host: Host) -> None:
    """More clients than are filled in at once."""
    done(host.app, "upgrade", "0001")
    described: dict[str, str | None] = {
        f"c{number}": json.dumps({"software_id": f"é{number}"}) for number in range(1200)
    }
    described |= {"without": "{}", "nothing": None}
    added = text(
        "INSERT INTO dynreg_client (client_id, client_id_issued_at, client_secret_expires_at, client_metadata)"
        " VALUES (:client_id, 1, 0, :metadata)"
    )
    with host.engine.begin() as connection:
        rows = [{"client_id": client_id, "metadata": metadata} for client_id, metadata in described.items()]
        connection.execute(added, rows)
    for _ in range(2):
        done(host.app, "upgrade")
        assert host.execute("SELECT DISTINCT status FROM dynreg_client") == ["active"]
        assert host.execute("SELECT count(*) FROM dynreg_client WHERE software_id IS NULL") == [2]
        assert host.execute("SELECT software_id FROM dynreg_client WHERE client_id = 'c1199'") == ["é1199"]
        registered(host.app.test_client(), **CLIENT)
        host.execute("DELETE FROM dynreg_client WHERE issuer IS NOT NULL")
        done(host.app, "downgrade", "0001")
        assert TABLES & host.tables() == FIRST_TABLES
        assert host.execute("SELECT count(*) FROM dynreg_client") == [len(described)]


def test_the_dead_token_that_was_known_is_known_still(host: Host) -> None:
    done(host.app, "upgrade")
    http = host.app.test_client()
    client = registered(http, **CLIENT)
    dead, older = (new_token(REGISTRATION_ACCESS_TOKEN) for _ in range(2))
    done(host.app, "downgrade", "0007")
    host.execute(f"UPDATE dynreg_client SET spent_registration_access_token = '{digest(dead)}'")
    done(host.app, "upgrade")
    host.execute(
        f"UPDATE dynreg_client SET spent_registration_access_token = '{digest(dead)} {digest(older)} {digest(older)}'"
    )
    done(host.app, "downgrade", "0007")
    done(host.app, "upgrade")
    for token in (older, dead):
        assert read(http, client | {"registration_access_token": token}).status_code == 401
    assert host.execute("SELECT count(*) FROM dynreg_event WHERE type = 'spent_token_used'") == [1]
    assert host.execute("SELECT spent_registration_access_token FROM dynreg_client") == [None]


def described(engine: Engine) -> dict[str, Any]:
    """The tables as the database has them; create_all leaves the names of primary keys to it."""
    inspector = inspect(engine)
    return {
        name: {
            "columns": [
                {key: str(value) for key, value in column.items() if key not in ("autoincrement", "comment")}
                for column in inspector.get_columns(name)
            ],
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "indexes": sorted(
                (str(index["name"]), index["column_names"], index["unique"]) for index in inspector.get_indexes(name)
            ),
            "unique": sorted(str(unique["name"]) for unique in inspector.get_unique_constraints(name)),
        }
        for name in sorted(TABLES)
    }


def test_the_history_makes_what_the_models_say(host: Host) -> None:
    done(host.app, "upgrade")
    migrated = described(host.engine)
    done(host.app, "downgrade", "base")
    with host.app.app_context():
        host.db.create_all()
    assert described(host.engine) == migrated


def test_tables_that_are_there_already_are_stamped(host: Host) -> None:
    with host.app.app_context():
        host.db.create_all()
    host.use()
    assert run(host.app, "upgrade").exit_code != 0
    done(host.app, "stamp")
    assert "(head)" in done(host.app, "current")
    done(host.app, "check")
    done(host.app, "upgrade")
    assert host.execute("SELECT count(*) FROM dynreg_client") == [1]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE dynreg_client ADD COLUMN extra INTEGER",
        "ALTER TABLE dynreg_client DROP COLUMN updated_at",
        "DROP TABLE dynreg_event",
    ],
)
def test_the_check_finds_what_is_not_as_it_should_be(
    make_bare_app: MakeBareApp, database_url: str, change: str
) -> None:
    host = Host(make_bare_app, database_url)
    assert run(host.app, "check").exit_code == 1
    done(host.app, "upgrade")
    done(host.app, "check")
    host.execute(change)
    result = run(host.app, "check")
    assert result.exit_code == 1 and "New upgrade operations detected" in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_keys_are_compared_exactly_where_databases_would_not(make_bare_app: MakeBareApp, mysql_url: str) -> None:
    host = Host(make_bare_app, mysql_url)
    done(host.app, "upgrade")
    exact = host.execute(
        "SELECT concat(table_name, '.', column_name) FROM information_schema.columns"
        " WHERE table_schema = database() AND collation_name = 'ascii_bin' ORDER BY 1"
    )
    assert exact == [
        "dynreg_client.client_id",
        "dynreg_client.issuer",
        "dynreg_client.statement_issuer",
        "dynreg_event.client_id",
        "dynreg_event.issuer",
        "dynreg_initial_access_token.digest",
        "dynreg_initial_access_token.issuer",
        "dynreg_kept_answer.body_digest",
        "dynreg_kept_answer.client_id",
        "dynreg_kept_answer.digest",
        "dynreg_kept_answer.issuer",
        "dynreg_quota.issuer",
        "dynreg_quota.name",
        "dynreg_runtime_setting.issuer",
        "dynreg_statement_issuer.issuer",
        "dynreg_statement_issuer.statement_issuer",
        "dynreg_tombstone.client_id",
        "dynreg_tombstone.issuer",
        "dynreg_trail_head.issuer",
        "dynreg_trail_head.subject",
        "dynreg_used_statement.digest",
        "dynreg_used_statement.issuer",
    ]
    binary = host.execute(
        "SELECT concat(table_name, '.', column_name) FROM information_schema.columns"
        " WHERE table_schema = database() AND collation_name = 'utf8mb4_bin' AND table_name <> 'dynreg_alembic_version'"
        " AND data_type = 'varchar' ORDER BY 1"
    )
    assert binary == [
        "dynreg_client.name_skeleton",
        "dynreg_client.owned_by",
        "dynreg_client.software_id",
        "dynreg_initial_access_token.owner",
    ]


@pytest.mark.parametrize(
    "words", [["upgrade", "nowhere"], ["downgrade", "nowhere"], ["stamp", "nowhere"], ["downgrade"]]
)
def test_a_step_that_there_is_not_is_told_without_a_trace(
    make_bare_app: MakeBareApp, sqlite_url: str, words: list[str]
) -> None:
    result = run(make_bare_app(sqlite_url), *words)
    assert result.exit_code == 1 and result.stderr.startswith("Error: ")
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_host_with_a_client_model_of_its_own_keeps_its_own_history(
    make_bare_app: MakeBareApp, sqlite_url: str, command: str
) -> None:
    db = SQLAlchemy()
    app = make_bare_app(sqlite_url, db, DynamicRegistration(db, models=own_models(db)))
    result = run(app, command)
    assert result.exit_code == 1 and "client model of its own" in result.stderr
    assert isinstance(result.exception, SystemExit)
    with app.app_context():
        assert inspect(db.engine).get_table_names() == []


def test_tables_of_a_bind_key_are_made_in_its_database(make_bare_app: MakeBareApp, tmp_path: Path) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db, models=define_models(db, bind_key="clients"))
    binds = {"clients": f"sqlite:///{tmp_path / 'clients.sqlite'}"}
    app = make_bare_app(f"sqlite:///{tmp_path / 'app.sqlite'}", db, dynreg, SQLALCHEMY_BINDS=binds)
    done(app, "upgrade")
    done(app, "check")
    registered(app.test_client(), **CLIENT)
    with app.app_context():
        assert inspect(db.engines["clients"]).get_table_names() == sorted({*TABLES, VERSION_TABLE})
        assert inspect(db.engine).get_table_names() == []


def test_a_host_may_name_constraints_by_a_convention_of_its_own(
    make_bare_app: MakeBareApp, any_database_url: str
) -> None:
    class Base(DeclarativeBase):
        pass

    db = SQLAlchemy(metadata=MetaData(naming_convention=CONVENTION))
    app = make_bare_app(any_database_url, db)
    done(app, "upgrade")
    done(app, "check")
    registered(app.test_client(), **CLIENT)


def test_the_loggers_of_the_app_are_left_alone(make_bare_app: MakeBareApp, sqlite_url: str) -> None:
    mine = logging.getLogger("mine.of.the.host")
    before = mine.level, list(logging.getLogger().handlers), logging.getLogger().level
    app = make_bare_app(sqlite_url)
    for words in (["upgrade"], ["check"], ["current"], ["downgrade", "base"]):
        done(app, *words)
    assert not mine.disabled and not app.logger.disabled
    assert before == (mine.level, list(logging.getLogger().handlers), logging.getLogger().level)


def test_the_revision_imports_nothing_that_may_change() -> None:
    versions = files("flask_dynreg.migrations") / "versions"
    revisions = [path for path in versions.iterdir() if path.name[0].isdigit()]
    assert revisions
    for revision in revisions:
        assert "flask_dynreg" not in revision.read_text()


def test_columns_of_the_database_are_wide_enough(host: Host) -> None:
    """A foreign engine, as an operator's tools would: the type of a column is the database's own."""
    done(host.app, "upgrade")
    engine = create_engine(host.engine.url)
    columns = {column["name"]: column["type"] for column in inspect(engine).get_columns("dynreg_client")}
    engine.dispose()
    for name in ("client_id", "client_secret", "registration_access_token", "issuer"):
        assert getattr(columns[name], "length", None) == 255
    for name in ("client_id_issued_at", "client_secret_expires_at"):
        assert isinstance(columns[name], Integer)


def test_tables_that_are_there_already_are_told_without_a_trace(make_bare_app: MakeBareApp, sqlite_url: str) -> None:
    host = Host(make_bare_app, sqlite_url)
    done(host.app, "upgrade")
    host.execute("DROP TABLE dynreg_alembic_version")
    result = run(host.app, "upgrade")
    assert result.exit_code == 1 and "flask dynreg db stamp" in result.stderr
    assert isinstance(result.exception, SystemExit)
