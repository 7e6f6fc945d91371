"""`flask dynreg doctor`: every finding, and that there is none where all is as it should be."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text
from sqlalchemy.orm import Mapped, mapped_column

from flask_dynreg import DynamicRegistration, RegisteredClientMixin, define_models
from flask_dynreg.config import Settings
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.operations import cli, doctor
from tests.conformance.exchange import delete, registered
from tests.conftest import CLIENT, ISSUER, SERVER_METADATA, MakeApp
from tests.hosts import app_whose_database_is_down, heard, own_models
from tests.operations.conftest import MakeBareApp
from tests.registry.host import Clock
from tests.servers import ROOT
from tests.statements import trusted
from tests.test_examples import run as run_example

AUDIT_KEY, SECRET_KEY, OLD_KEY = ("A" * 42 + "E=", "B" * 42 + "E=", "C" * 42 + "E=")
SOUND: dict[str, Any] = {
    "DYNREG_AUDIT_KEYS": [AUDIT_KEY],
    "DYNREG_SECRET_KEYS": [SECRET_KEY],
    "DYNREG_CLIENT_LIFETIMES": {"open": {"absolute": 86400}},
    "DYNREG_LIMITS": [],
}
NOTHING = ["Nothing is to be mended."]
PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
DAY = 86400


def said(app: Flask) -> list[str]:
    """The lines; and the exit status is as they say."""
    result = app.test_cli_runner().invoke(args=["dynreg", "doctor"])
    lines = result.stdout.splitlines()
    assert result.stderr == "" and result.exit_code == any(line.startswith("To mend: ") for line in lines), (
        result.output
    )
    assert (result.exit_code == 0) == (lines[-1:] == NOTHING)
    return lines


def upgraded(app: Flask, *revision: str) -> None:
    result = app.test_cli_runner().invoke(args=["dynreg", "db", "upgrade", *revision])
    assert result.exit_code == 0, result.output


# ---- Where all is as it should be


def test_nothing_is_said_where_all_is_as_it_should_be(make_bare_app: MakeBareApp, any_database_url: str) -> None:
    app = make_bare_app(any_database_url, **SOUND)
    upgraded(app)
    registered(app.test_client(), **CLIENT)
    assert said(app) == NOTHING


def test_it_writes_nothing(make_app: MakeApp, sqlite_url: str) -> None:
    db = SQLAlchemy()
    app = make_app(db, SQLALCHEMY_DATABASE_URI=sqlite_url, **SOUND)
    with app.app_context():
        engine = db.engine
    with heard(engine) as words:
        assert said(app) == NOTHING
    assert "SELECT" in words and not {"INSERT", "UPDATE", "DELETE", "CREATE"}.intersection(words)


def test_the_page_tells_what_is_said_of_the_quickstart(tmp_path: Path) -> None:
    printed = run_example("quickstart", tmp_path, "dynreg", "doctor", expected=1)
    assert PAGE.endswith(f"```\n{printed}```\n")


def test_every_setting_and_command_that_is_named_is_there_and_on_the_page() -> None:
    source = Path(doctor.__file__).read_text(encoding="utf-8")
    settings = set(re.findall(r"DYNREG_[A-Z_]+", source))
    assert settings <= {f"DYNREG_{setting.name.upper()}" for setting in fields(Settings)}
    commands = set(re.findall(r"`(flask dynreg [^`]+)`", source.partition('"""\n')[2]))
    for words in commands:
        command: Any = cli.group
        for word in words.split()[2:]:
            command = command.commands[word]
    assert len(settings) > 5 < len(commands)
    assert all(f"`{name}`" in PAGE for name in settings | commands)


# ---- By the settings


def tenant(issuer: str = f"{ISSUER}/tenant") -> dict[str, Any]:
    return SERVER_METADATA | {"issuer": issuer}


@pytest.mark.parametrize(
    ("config", "kind", "words"),
    [
        ({"DYNREG_AUDIT_KEYS": []}, "To mend", ["DYNREG_AUDIT_KEYS is empty"]),
        ({"DYNREG_AUDIT_KEYS": [SECRET_KEY]}, "To mend", ["DYNREG_AUDIT_KEYS is in DYNREG_SECRET_KEYS"]),
        ({"DYNREG_SECRET_KEYS": [SECRET_KEY, OLD_KEY]}, "To mend", ["older keys", "`flask dynreg secrets reencrypt`"]),
        (
            {"DYNREG_CERTIFICATE_HEADER": "Client-Cert", "DYNREG_TRUSTED_PROXIES": ["10.0.0.0/8", "::/0"]},
            "To mend",
            ["DYNREG_TRUSTED_PROXIES has every address"],
        ),
        ({"DYNREG_CLIENT_LIFETIMES": {}}, "To mend", ["DYNREG_CLIENT_LIFETIMES", "door open"]),
        ({"DYNREG_CLIENT_LIFETIMES": {"all": {"unused": DAY}, "open": {}}}, "To mend", ["door open"]),
        (
            {"DYNREG_CLIENT_LIFETIMES": {"open": {"pending": 1, "idle": DAY, "secret": DAY}}},
            "To mend",
            ["neither unused nor absolute for the door open"],
        ),
        (
            {
                "DYNREG_POLICIES": ["approval", {"policy": "lifetime", "seconds": DAY}],
                "DYNREG_CLIENT_LIFETIMES": {"all": {"unused": DAY, "idle": DAY}},
            },
            "To mend",
            ["neither pending nor absolute for the door open"],
        ),
        ({"DYNREG_LIMITS": ["server 5/hour"]}, "To know", ["DYNREG_LIMITS_STORAGE"]),
        (
            {"DYNREG_SERVER_METADATA": tenant()},
            "To know",
            [f" {ISSUER}/.well-known/oauth-authorization-server/tenant and {ISSUER}/oauth2/register:"],
        ),
        (
            {"DYNREG_SERVER_METADATA": tenant(), "APPLICATION_ROOT": "/tenant", "DYNREG_OPENID_DISCOVERY": True},
            "To know",
            [
                f" {ISSUER}/.well-known/openid-configuration/tenant, {ISSUER}/tenant/.well-known/openid-configuration and",
                f" {ISSUER}/tenant/oauth2/register:",
            ],
        ),
        ({"APPLICATION_ROOT": "/as"}, "To know", [f" {ISSUER}/.well-known/oauth-authorization-server and"]),
        (
            {"DYNREG_ACCESS": ["software_statement"], "DYNREG_CLIENT_LIFETIMES": {"all": {"absolute": 9}}},
            "To mend",
            ["sign"],
        ),
    ],
)
def test_what_a_setting_lacks_is_said(make_app: MakeApp, config: dict[str, Any], kind: str, words: list[str]) -> None:
    line, *rest = said(make_app(**SOUND | config))
    assert line.startswith(f"{kind}: ") and all(word in line for word in words), line
    assert rest == (NOTHING if kind == "To know" else [])
    assert not any(key in line for key in (AUDIT_KEY, SECRET_KEY, OLD_KEY))


@pytest.mark.parametrize(
    "config",
    [
        {"DYNREG_AUDIT_KEYS": [AUDIT_KEY, SECRET_KEY]},
        {"DYNREG_TRUSTED_PROXIES": ["0.0.0.0/0"]},
        {"DYNREG_CERTIFICATE_HEADER": "Client-Cert", "DYNREG_TRUSTED_PROXIES": ["10.0.0.0/8"]},
        {"DYNREG_CLIENT_LIFETIMES": {"all": {"absolute": DAY}}},
        {"DYNREG_CLIENT_LIFETIMES": {"open": {"unused": DAY}}},
        {"DYNREG_CLIENT_LIFETIMES": {}, "DYNREG_ACCESS": ["initial_access_token"]},
        {"DYNREG_CLIENT_LIFETIMES": {}, "DYNREG_POLICIES": [{"policy": "lifetime", "name": "trial", "seconds": DAY}]},
        {"DYNREG_CLIENT_LIFETIMES": {}, "DYNREG_SERVER_METADATA": tenant("http://127.0.0.1:5000")},
        {"DYNREG_LIMITS": ["server 5/hour"], "DYNREG_LIMITS_STORAGE": "redis://127.0.0.1:1/0"},
        {"DYNREG_SERVER_METADATA": tenant(), "DYNREG_DISCOVERY": False},
        {"DYNREG_ACCESS": ["software_statement", "open"], "DYNREG_STATEMENT_ISSUERS": [trusted()]}
        | {"DYNREG_CLIENT_LIFETIMES": {"all": {"absolute": DAY}}},
    ],
)
def test_what_a_setting_has_is_not_missed(make_app: MakeApp, config: dict[str, Any]) -> None:
    assert said(make_app(**SOUND | config)) == NOTHING


# ---- Tables


def test_tables_and_columns_that_are_not_there_are_named(make_bare_app: MakeBareApp, any_database_url: str) -> None:
    app = make_bare_app(any_database_url, **SOUND)
    (line,) = said(app)
    assert line.startswith("To mend: The database lacks dynreg_client, dynreg_initial_access_token, dynreg_event, ")
    assert line.endswith(". Run `flask dynreg db upgrade`.")
    upgraded(app, "0001")
    (line,) = said(app)
    assert " dynreg_client.status, " in line and "dynreg_event," not in line and " dynreg_tombstone" in line
    assert line.endswith(". Run `flask dynreg db upgrade`.")
    upgraded(app)
    assert said(app) == NOTHING


@pytest.mark.parametrize("kind", ["default models", "own client model", "Flask-Migrate"])
def test_a_host_with_a_history_of_its_own_is_sent_there(
    make_bare_app: MakeBareApp, database_url: str, kind: str
) -> None:
    db = SQLAlchemy()
    models = own_models(db) if kind == "own client model" else define_models(db)
    app = make_bare_app(database_url, db, DynamicRegistration(db, models=models), **SOUND)
    if kind == "Flask-Migrate":
        Migrate(app, db)
        assert "`flask db upgrade`" in said(app)[0]
    with app.app_context():
        db.create_all()
        assert said(app) == NOTHING
        db.session.execute(text(f"ALTER TABLE {models.client.__tablename__} DROP COLUMN updated_at"))
        db.session.commit()
    (line,) = said(app)
    assert f"The database lacks {models.client.__tablename__}.updated_at. " in line and "`flask db migrate`" in line


@pytest.mark.parametrize("kind", ["default models", "own client model"])
def test_a_column_that_is_too_short_is_named(make_bare_app: MakeBareApp, any_database_url: str, kind: str) -> None:
    db = SQLAlchemy()

    class Own(RegisteredClientMixin, db.Model):  # type: ignore[misc,name-defined]
        id: Mapped[int] = mapped_column(primary_key=True)

    models = define_models(db, Own if kind == "own client model" else None)
    app = make_bare_app(any_database_url, db, DynamicRegistration(db, models=models), **SOUND)
    name = models.client.__tablename__
    with app.app_context():
        if kind == "own client model":
            db.create_all()
        else:
            upgraded(app)
        assert said(app) == NOTHING
        dialect = db.engine.dialect.name
        if dialect == "sqlite":  # it has no lengths
            return
        for column, type_ in (("spent_registration_access_token", "VARCHAR(255)"), ("policies", "VARCHAR(1000)")):
            words = f"ALTER COLUMN {column} TYPE" if dialect == "postgresql" else f"MODIFY {column}"
            db.session.execute(text(f"ALTER TABLE {name} {words} {type_}"))
        db.session.commit()
    (line,) = said(app)
    assert f" too short in the database: {name}.policies, {name}.spent_registration_access_token. " in line
    mended = "`flask db migrate`" if kind == "own client model" else "`flask dynreg db upgrade`"
    assert mended in line


def test_the_database_of_a_bind_key_is_the_one_that_is_looked_at(make_bare_app: MakeBareApp, tmp_path: Path) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db, models=define_models(db, bind_key="clients"))
    binds = {"clients": f"sqlite:///{tmp_path / 'clients.sqlite'}"}
    app = make_bare_app(f"sqlite:///{tmp_path / 'app.sqlite'}", db, dynreg, SQLALCHEMY_BINDS=binds, **SOUND)
    assert "The database lacks dynreg_client" in said(app)[0]
    upgraded(app)
    assert said(app) == NOTHING


def test_a_database_that_is_down_is_said_without_its_url() -> None:
    with app_whose_database_is_down(**SOUND | {"DYNREG_AUDIT_KEYS": []}) as (app, _):
        settings, database = said(app)
    assert "DYNREG_AUDIT_KEYS" in settings
    assert database == (
        "To mend: The database cannot be asked (OperationalError). Does it run, and is SQLALCHEMY_DATABASE_URI right?"
    )


# ---- What is in the tables


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dynreg(clock: Clock) -> DynamicRegistration:
    return DynamicRegistration(SQLAlchemy(), clock=clock)


def made(make_app: MakeApp, dynreg: DynamicRegistration, url: str, **config: Any) -> Flask:
    return make_app(dynreg._db, dynreg, SQLALCHEMY_DATABASE_URI=url, **SOUND | config)


def test_that_registration_is_closed_is_said(make_app: MakeApp, dynreg: DynamicRegistration, sqlite_url: str) -> None:
    app = made(make_app, dynreg, sqlite_url)
    with app.app_context():
        dynreg.close_registration("Maintenance")
        dynreg._db.session.commit()
    line, last = said(app)
    assert line.startswith("To know: An operator has closed registration.") and [last] == NOTHING
    with app.app_context():
        dynreg.open_registration()
        dynreg._db.session.commit()
    assert said(app) == NOTHING


def test_an_issuer_that_an_operator_added_is_one(
    make_app: MakeApp, dynreg: DynamicRegistration, sqlite_url: str
) -> None:
    clocks = {"all": {"absolute": DAY}}
    access = {"DYNREG_ACCESS": ["open", "software_statement"], "DYNREG_CLIENT_LIFETIMES": clocks}
    app = made(make_app, dynreg, sqlite_url, **access)
    assert "`flask dynreg issuer add`" in said(app)[0]
    with app.app_context():
        dynreg.registrar.issuers.add(StatementIssuer.from_json(trusted()))
        dynreg._db.session.commit()
    assert said(app) == NOTHING


def test_a_clean_up_that_does_not_run_is_missed_after_a_week(
    make_app: MakeApp, dynreg: DynamicRegistration, clock: Clock, any_database_url: str
) -> None:
    app = made(make_app, dynreg, any_database_url, DYNREG_TOMBSTONE_RETENTION=DAY)
    delete(app.test_client(), registered(app.test_client(), **CLIENT))
    clock.now += 8 * DAY - 1
    assert said(app) == NOTHING
    clock.now += 1
    (line,) = said(app)
    assert "`flask dynreg clients clean-up`" in line
    with app.app_context():
        dynreg.clean_up()
    assert said(app) == NOTHING


def test_that_no_client_was_ever_used_is_said_where_the_unused_die(
    make_app: MakeApp, dynreg: DynamicRegistration, any_database_url: str
) -> None:
    app = made(make_app, dynreg, any_database_url, DYNREG_CLIENT_LIFETIMES={"open": {"unused": DAY}})
    with app.app_context():
        ids = [dynreg.create_client(CLIENT)["client_id"] for _ in range(doctor.SAMPLE - 1)]
        dynreg._db.session.commit()
    assert said(app) == NOTHING
    registered(app.test_client(), **CLIENT)
    line, last = said(app)
    assert line.startswith("To know: Of 200 clients none was ever used") and [last] == NOTHING
    assert said(made(make_app, DynamicRegistration(SQLAlchemy()), any_database_url)) == NOTHING  # with another clock
    with app.app_context():
        client = dynreg.query_client(ids[0])
        assert client
        client.touch()
        dynreg._db.session.commit()
    assert said(app) == NOTHING
