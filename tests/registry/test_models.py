"""The tables: the default models, and those of hosts on every kind of base that Flask-SQLAlchemy and SQLAlchemy know."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from authlib.integrations.sqla_oauth2 import OAuth2ClientMixin
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    DeclarativeBase,
    DeclarativeBaseNoMeta,
    Mapped,
    MappedAsDataclass,
    mapped_column,
    scoped_session,
    sessionmaker,
)
from sqlalchemy.schema import CreateColumn

from flask_dynreg import (
    ClientEventMixin,
    ConfigurationError,
    DynamicRegistration,
    InitialAccessTokenMixin,
    KeptAnswerMixin,
    Models,
    QuotaMixin,
    RegisteredClientMixin,
    RuntimeSettingMixin,
    StatementIssuerMixin,
    TombstoneMixin,
    TrailHeadMixin,
    UsedStatementMixin,
    define_models,
)
from flask_dynreg.registry.models import table_of
from tests.conformance.exchange import delete, read, registered, replaced
from tests.conftest import CLIENT, SERVER_METADATA, MakeApp

DEFAULT_TABLES = [
    "dynreg_client",
    "dynreg_event",
    "dynreg_initial_access_token",
    "dynreg_kept_answer",
    "dynreg_quota",
    "dynreg_runtime_setting",
    "dynreg_statement_issuer",
    "dynreg_tombstone",
    "dynreg_trail_head",
    "dynreg_used_statement",
]


HOSTS: dict[str, Callable[[], SQLAlchemy]] = {
    "classic": SQLAlchemy,
    # A base of its own for each, as the tables of two hosts have the same names.
    "declarative": lambda: SQLAlchemy(model_class=type("Base", (DeclarativeBase,), {})),
    "without metaclass": lambda: SQLAlchemy(model_class=type("Base", (DeclarativeBaseNoMeta,), {})),
}


@pytest.fixture(params=HOSTS)
def db(request: pytest.FixtureRequest) -> SQLAlchemy:
    return HOSTS[request.param]()


def client_on(base: Any, **options: Any) -> type[Any]:
    """A host's client model, with columns of which one has a default and one changes with every update."""

    class Client(RegisteredClientMixin, base):  # type: ignore[misc]
        __tablename__ = "host_client"
        __bind_key__ = options.get("bind_key")
        id: Mapped[int] = mapped_column(primary_key=True)
        owner: Mapped[str | None]
        tier: Mapped[str] = mapped_column(default=lambda: "free")
        seen: Mapped[int | None] = mapped_column(onupdate=lambda: 7)

    return Client


def lives(app: Flask, dynreg: DynamicRegistration) -> None:
    """A client of the app registers, is read, updated, found and deleted."""
    http = app.test_client()
    client = registered(http, **CLIENT, client_name="Before")
    assert read(http, client).get_json()["client_name"] == "Before"
    assert replaced(http, client, **CLIENT, client_name="After")["client_name"] == "After"
    with app.app_context():
        found = dynreg.query_client(client["client_id"])
        assert isinstance(found, dynreg.models.client) and found.client_name == "After"
    assert delete(http, client).status_code == 204
    with app.app_context():
        assert dynreg.query_client(client["client_id"]) is None


# ---- Default models


def test_the_default_models_go_with_every_base(make_app: MakeApp, db: SQLAlchemy) -> None:
    models = define_models(db)
    assert define_models(db) is models
    dynreg = DynamicRegistration(db)
    app = make_app(db, dynreg)
    lives(app, dynreg)
    with app.app_context():
        assert dynreg.models is models
        assert sorted(inspect(db.engine).get_table_names()) == DEFAULT_TABLES


def test_default_models_are_one_set_for_each_metadata_and_bind_key() -> None:
    db = SQLAlchemy()
    default, elsewhere = define_models(db), define_models(db, bind_key="elsewhere")
    assert default is not elsewhere and define_models(db, bind_key="elsewhere") is elsewhere
    assert table_of(elsewhere.client).metadata.info["bind_key"] == "elsewhere"


def test_a_host_with_a_client_model_of_its_own_shares_the_other_default_models() -> None:
    db = SQLAlchemy()
    own = client_on(db.Model)
    models = define_models(db, own)
    assert models.client is own and define_models(db, own) is models
    default = define_models(db)
    assert default.client is not own
    assert (default.initial_access_token, default.event) == (models.initial_access_token, models.event)


def test_models_do_not_change() -> None:
    models = define_models(SQLAlchemy())
    with pytest.raises(AttributeError):
        models.client = RegisteredClientMixin  # type: ignore[misc]


# ---- A host's own


def test_a_client_model_may_be_on_every_base_and_have_more_columns(
    make_app: MakeApp, db: SQLAlchemy, database_url: str
) -> None:
    client = client_on(db.Model)
    dynreg = DynamicRegistration(
        db, models=define_models(db, client), client_columns=lambda metadata, _: {"owner": metadata["client_name"]}
    )
    app = make_app(db, dynreg, SQLALCHEMY_DATABASE_URI=database_url)
    lives(app, dynreg)
    http = app.test_client()
    information = registered(http, **CLIENT, client_name="Someone")
    with app.app_context():
        found: Any = dynreg.query_client(information["client_id"])
        assert (found.owner, found.tier, found.seen) == ("Someone", "free", None)
    replaced(http, information, **CLIENT, client_name="Someone else")
    with app.app_context():
        found = dynreg.query_client(information["client_id"])
        assert (found.owner, found.tier, found.seen) == ("Someone", "free", 7)


def test_a_client_model_may_be_in_another_database_and_takes_the_other_tables_along(
    make_app: MakeApp, db: SQLAlchemy, sqlite_url: str, tmp_path: Path
) -> None:
    dynreg = DynamicRegistration(db, models=define_models(db, client_on(db.Model, bind_key="clients")))
    binds = {"clients": f"sqlite:///{tmp_path / 'clients.sqlite'}"}
    app = make_app(db, dynreg, SQLALCHEMY_DATABASE_URI=sqlite_url, SQLALCHEMY_BINDS=binds)
    lives(app, dynreg)
    with app.app_context():
        assert inspect(db.engine).get_table_names() == []
        assert sorted(inspect(db.engines["clients"]).get_table_names()) == [*DEFAULT_TABLES[1:], "host_client"]


def test_all_models_may_be_a_hosts_own(make_app: MakeApp) -> None:
    db = SQLAlchemy()

    class Base(DeclarativeBase):
        metadata = db.metadata

    class Token(InitialAccessTokenMixin, Base):
        __tablename__ = "host_token"
        team: Mapped[str] = mapped_column(default="nobody")

    class Event(ClientEventMixin, Base):
        __tablename__ = "host_event"
        host: Mapped[str] = mapped_column(default=lambda: "here")

    class Issuer(StatementIssuerMixin, Base):
        __tablename__ = "host_issuer"

    class Used(UsedStatementMixin, Base):
        __tablename__ = "host_used"

    class Setting(RuntimeSettingMixin, Base):
        __tablename__ = "host_setting"

    class Quota(QuotaMixin, Base):
        __tablename__ = "host_quota"

    class Kept(KeptAnswerMixin, Base):
        __tablename__ = "host_kept"

    class Tombstone(TombstoneMixin, Base):
        __tablename__ = "host_tombstone"

    class Head(TrailHeadMixin, Base):
        __tablename__ = "host_head"

    models = Models(client_on(Base), Token, Event, Issuer, Used, Setting, Quota, Kept, Tombstone, Head)
    dynreg = DynamicRegistration(db, models=models)
    app = make_app(db, dynreg)
    lives(app, dynreg)
    with app.app_context():
        dynreg.issue_initial_access_token()
        assert [token.team for token in db.session.scalars(db.select(Token))] == ["nobody"]
        assert [(event.type, event.host) for event in db.session.scalars(db.select(Event))] == [
            ("registered", "here"),
            ("updated", "here"),
            ("deleted", "here"),
            ("token_issued", "here"),
        ]


def test_models_in_two_databases_stop_the_start() -> None:
    db = SQLAlchemy()
    here, there = define_models(db), define_models(db, bind_key="there")
    with pytest.raises(ConfigurationError, match="bind key"):
        replace(here, client=there.client)


def test_a_model_without_a_table_stops_the_start() -> None:
    db = SQLAlchemy()

    class Abstract(RegisteredClientMixin, db.Model):  # type: ignore[name-defined, misc]
        __abstract__ = True

    with pytest.raises(ConfigurationError, match="Abstract must have a table"):
        define_models(db, Abstract)


# ---- Dataclasses: their bases take no mixin that is none, so our models stay outside of them, on the same metadata


def test_the_default_models_go_with_a_base_of_dataclasses(sqlite_url: str) -> None:
    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)

    engine = create_engine(sqlite_url)
    session = scoped_session(sessionmaker(engine))
    app = Flask(__name__)
    app.config.update(DYNREG_ACCESS=["open"], DYNREG_SERVER_METADATA=SERVER_METADATA, PREFERRED_URL_SCHEME="https")
    app.teardown_appcontext(lambda error: session.remove())
    dynreg = DynamicRegistration(SimpleNamespace(session=session, metadata=Base.metadata))
    dynreg.init_app(app)
    Base.metadata.create_all(engine)
    lives(app, dynreg)
    assert sorted(inspect(engine).get_table_names()) == [*DEFAULT_TABLES, "note"]
    engine.dispose()


def test_a_client_model_of_a_host_with_dataclasses_is_on_a_plain_base_with_their_metadata(make_app: MakeApp) -> None:
    db = SQLAlchemy()

    class Dataclasses(MappedAsDataclass, DeclarativeBase):
        metadata = db.metadata

    class Plain(DeclarativeBase):
        metadata = Dataclasses.metadata

    dynreg = DynamicRegistration(db, models=define_models(db, client_on(Plain)))
    lives(make_app(db, dynreg), dynreg)


def test_a_client_model_on_a_base_of_dataclasses_is_refused_by_sqlalchemy() -> None:
    class Dataclasses(MappedAsDataclass, DeclarativeBase):
        pass

    with pytest.raises((InvalidRequestError, DeprecationWarning)):
        client_on(Dataclasses)


# ---- A table that was Authlib's


def test_a_table_of_authlibs_keeps_its_rows_and_gets_more_columns(make_app: MakeApp, any_database_url: str) -> None:
    class Old(DeclarativeBase):
        pass

    class OldClient(OAuth2ClientMixin, Old):
        __tablename__ = "oauth2_client"
        id: Mapped[int] = mapped_column(primary_key=True)

    class New(DeclarativeBase):
        pass

    class Client(RegisteredClientMixin, New):
        __tablename__ = "oauth2_client"
        id: Mapped[int] = mapped_column(primary_key=True)

    engine = create_engine(any_database_url)
    Old.metadata.create_all(engine)
    metadata = {**CLIENT, "grant_types": ["authorization_code"], "response_types": ["code"], "scope": "mcp:read"}
    with sessionmaker(engine).begin() as session:
        old = OldClient(client_id="Old-1", client_id_issued_at=1_500_000_000, client_secret="s3cret")
        old.set_client_metadata(metadata)
        session.add(old)
    with engine.begin() as connection:
        there = {column["name"] for column in inspect(connection).get_columns("oauth2_client")}
        for column in table_of(Client).columns:
            if column.name not in there:
                connection.execute(
                    text(f"ALTER TABLE oauth2_client ADD {CreateColumn(column).compile(dialect=engine.dialect)}")
                )
    engine.dispose()

    db = SQLAlchemy(metadata=New.metadata)
    dynreg = DynamicRegistration(db, models=define_models(db, Client))
    app = make_app(db, dynreg, SQLALCHEMY_DATABASE_URI=any_database_url)
    with app.app_context():
        client = dynreg.query_client("Old-1")
        assert client and client.client_metadata == metadata
        assert client.check_client_secret("s3cret") and not client.check_client_secret("secret")
        assert client.get_allowed_scope("mcp:read mcp:write") == "mcp:read"
        assert client.check_redirect_uri("https://client.example/cb")
        assert (client.client_id_issued_at, client.version) == (1_500_000_000, 1)
        assert json.dumps(client.client_info)
        assert dynreg.query_client("old-1") is None or any_database_url.startswith(
            "mysql"
        )  # till the host says ascii_bin
    lives(app, dynreg)
