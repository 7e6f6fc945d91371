"""What a host gives to the extension, and that nothing of one app is seen by another."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, g, jsonify
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from flask_dynreg import (
    ConfigurationError,
    DynamicRegistration,
    Fetched,
    FetchError,
    Principal,
    RegisteredClientMixin,
    client_registered,
    define_models,
)
from tests.conformance.exchange import bearer, delete, read, registered, replaced, update
from tests.conftest import CLIENT, ISSUER, SERVER_METADATA, MakeApp
from tests.hosts import own_models

OTHER_ISSUER = "https://other.example/as"
OTHER_METADATA: dict[str, Any] = {
    "issuer": OTHER_ISSUER,
    "authorization_endpoint": f"{OTHER_ISSUER}/authorize",
    "token_endpoint": f"{OTHER_ISSUER}/token",
    "scopes_supported": ["read"],
    "token_endpoint_auth_methods_supported": ["none"],
}


def sqlite(path: Path) -> str:
    return f"sqlite:///{path}"


# ---- Two apps in one process


@pytest.fixture
def two_apps(make_app: MakeApp, tmp_path: Path) -> tuple[DynamicRegistration, Flask, Flask]:
    """With one extension, and unlike in all else."""
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    one = make_app(db, dynreg, SQLALCHEMY_DATABASE_URI=sqlite(tmp_path / "one.sqlite"))
    two = make_app(
        db,
        dynreg,
        SQLALCHEMY_DATABASE_URI=sqlite(tmp_path / "two.sqlite"),
        DYNREG_SERVER_METADATA=OTHER_METADATA,
        DYNREG_URL_PREFIX="/connect",
        DYNREG_MANAGEMENT=["read"],
        DYNREG_DEFAULT_SCOPES=["read"],
    )
    return dynreg, one, two


def test_each_app_has_its_own_settings_and_issuer(two_apps: tuple[DynamicRegistration, Flask, Flask]) -> None:
    _, one, two = two_apps
    asked = CLIENT | {"scope": "mcp:read read", "token_endpoint_auth_method": "none"}
    first = one.test_client().post("/oauth2/register", json=asked).get_json()
    second = two.test_client().post("/connect/register", json=asked).get_json()
    assert first["registration_client_uri"] == f"{ISSUER}/oauth2/clients/{first['client_id']}"
    assert second["registration_client_uri"] == f"https://other.example/connect/clients/{second['client_id']}"
    assert (first["scope"], second["scope"]) == ("mcp:read", "read")
    assert one.test_client().post("/connect/register", json=asked).status_code == 404
    assert replaced(one.test_client(), first, **asked)["client_id"] == first["client_id"]
    assert update(two.test_client(), second, asked).status_code == 405


def test_each_app_has_its_own_clients(two_apps: tuple[DynamicRegistration, Flask, Flask]) -> None:
    dynreg, one, two = two_apps
    client = registered(one.test_client(), **CLIENT)
    path, headers = f"/connect/clients/{client['client_id']}", bearer(client["registration_access_token"])
    assert two.test_client().get(path, headers=headers).status_code == 401
    assert read(one.test_client(), client).status_code == 200
    with two.app_context():
        assert dynreg.query_client(client["client_id"]) is None
    with one.app_context():
        assert dynreg.query_client(client["client_id"]) is not None


def test_each_app_has_its_own_discovery(two_apps: tuple[DynamicRegistration, Flask, Flask]) -> None:
    dynreg, one, two = two_apps
    first = one.test_client().get("/.well-known/oauth-authorization-server").get_json()
    second = two.test_client().get("/.well-known/oauth-authorization-server/as").get_json()
    assert first["registration_endpoint"] == f"{ISSUER}/oauth2/register"
    assert (second["issuer"], second["registration_endpoint"]) == (
        OTHER_ISSUER,
        "https://other.example/connect/register",
    )
    assert two.test_client().get("/.well-known/oauth-authorization-server").status_code == 404
    for app, document in ((one, first), (two, second)):
        with app.app_context():
            assert dynreg.server_metadata() == document


def test_a_signal_can_be_had_of_one_app_alone(two_apps: tuple[DynamicRegistration, Flask, Flask]) -> None:
    _, one, two = two_apps
    heard: list[str] = []

    def receive(sender: Flask, client_id: str, source: str) -> None:
        heard.append(client_id)

    with client_registered.connected_to(receive, sender=two):
        registered(one.test_client(), **CLIENT)
        assert two.test_client().post("/connect/register", json=CLIENT).status_code == 201
    assert len(heard) == 1


def test_two_issuers_in_one_database_have_clients_and_tokens_of_their_own(make_app: MakeApp, sqlite_url: str) -> None:
    apps = []
    for metadata in (SERVER_METADATA, SERVER_METADATA | {"issuer": "https://other.example"}):
        db = SQLAlchemy()
        config: dict[str, Any] = {"SQLALCHEMY_DATABASE_URI": sqlite_url, "DYNREG_SERVER_METADATA": metadata}
        dynreg = DynamicRegistration(db)
        apps.append((db, dynreg, make_app(db, dynreg, DYNREG_ACCESS=["open", "initial_access_token"], **config)))
    (db, dynreg, one), (_, other, two) = apps
    client = registered(one.test_client(), **CLIENT)
    path, headers = f"/oauth2/clients/{client['client_id']}", bearer(client["registration_access_token"])
    for answer in (two.test_client().get(path, headers=headers), two.test_client().delete(path, headers=headers)):
        assert answer.status_code == 401
    with two.app_context():
        assert other.query_client(client["client_id"]) is None
    with one.app_context():
        assert dynreg.query_client(client["client_id"]) is not None
        token = dynreg.issue_initial_access_token()
        db.session.commit()
    assert two.test_client().post("/oauth2/register", json=CLIENT, headers=bearer(token)).status_code == 401
    assert one.test_client().post("/oauth2/register", json=CLIENT, headers=bearer(token)).status_code == 201


# ---- Models


def count(db: SQLAlchemy, app: Flask, model: Any) -> int:
    with app.app_context():
        return int(db.session.scalar(select(func.count()).select_from(model)) or 0)


def test_a_host_gives_its_own_client_model(make_app: MakeApp) -> None:
    db = SQLAlchemy()
    models = own_models(db)
    dynreg = DynamicRegistration(db, models=models)
    app = make_app(db, dynreg)
    http = app.test_client()
    client = registered(http, **CLIENT, client_name="Mine")
    assert read(http, client).get_json()["client_name"] == "Mine"
    with app.app_context():
        assert dynreg.models is models
        found = dynreg.query_client(client["client_id"])
        assert isinstance(found, models.client) and found.client_name == "Mine"
        assert "dynreg_client" not in db.metadata.tables
        assert getattr(found, "tier", None) == "free"
    assert (count(db, app, models.client), count(db, app, models.event)) == (1, 1)
    assert delete(http, client).status_code == 204
    assert (count(db, app, models.client), count(db, app, models.event)) == (0, 2)


def test_models_of_init_app_win_over_those_of_the_constructor() -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db, models=define_models(db))
    chosen = own_models(db)
    app = Flask(__name__)
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite://",
        PREFERRED_URL_SCHEME="https",
        DYNREG_ACCESS=["open"],
        DYNREG_SERVER_METADATA=SERVER_METADATA,
    )
    db.init_app(app)
    dynreg.init_app(app, chosen)
    with app.app_context():
        db.create_all()
        client = registered(app.test_client(), **CLIENT)
        assert dynreg.models is chosen
        assert isinstance(dynreg.query_client(client["client_id"]), chosen.client)
        db.session.remove()
        db.engine.dispose()


def test_the_default_models_are_the_same_however_often_they_are_asked_for() -> None:
    db = SQLAlchemy()
    assert define_models(db) is define_models(db)
    assert define_models(db).client is not define_models(SQLAlchemy()).client
    assert sorted(db.metadata.tables) == [
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


def test_the_tables_may_be_in_a_database_of_their_own(make_app: MakeApp, tmp_path: Path) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db, models=define_models(db, bind_key="clients"))
    app = make_app(
        db,
        dynreg,
        SQLALCHEMY_DATABASE_URI=sqlite(tmp_path / "app.sqlite"),
        SQLALCHEMY_BINDS={"clients": sqlite(tmp_path / "clients.sqlite")},
        DYNREG_ACCESS=["initial_access_token"],
    )
    token = app.test_cli_runner().invoke(args=["dynreg", "issue-token", "--uses", "1"]).stdout.strip()
    http = app.test_client()
    answers = [http.post("/oauth2/register", json=CLIENT, headers=bearer(token)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 401]
    client = answers[0].get_json()
    assert replaced(http, client, **CLIENT, client_name="Mine")["client_name"] == "Mine"
    with app.app_context():
        assert db.metadata.tables.keys() == set()
        assert dynreg.query_client(client["client_id"]) is not None
    assert delete(http, client).status_code == 204


# ---- The order of things at the start


def test_the_extension_may_be_set_up_before_the_database() -> None:
    db, app = SQLAlchemy(), Flask(__name__)
    dynreg = DynamicRegistration(db)
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite://", DYNREG_ACCESS=["open"], DYNREG_SERVER_METADATA=SERVER_METADATA
    )
    dynreg.init_app(app)
    db.init_app(app)
    with app.app_context():
        db.create_all()
        answer = app.test_client().post("/oauth2/register", json=CLIENT, base_url=ISSUER)
        db.engine.dispose()
    assert answer.status_code == 201


def test_the_session_may_be_of_plain_sqlalchemy(sqlite_url: str) -> None:
    class Base(DeclarativeBase):
        pass

    engine = create_engine(sqlite_url)
    session = scoped_session(sessionmaker(engine))
    app = Flask(__name__)
    app.config.update(DYNREG_ACCESS=["open"], DYNREG_SERVER_METADATA=SERVER_METADATA, PREFERRED_URL_SCHEME="https")
    app.teardown_appcontext(lambda error: session.remove())
    dynreg = DynamicRegistration(SimpleNamespace(session=session, metadata=Base.metadata))
    dynreg.init_app(app)
    Base.metadata.create_all(engine)
    http = app.test_client()
    client = registered(http, **CLIENT)
    assert replaced(http, client, **CLIENT, client_name="Mine")["client_name"] == "Mine"
    with app.app_context():
        found = dynreg.query_client(client["client_id"])
        assert found and found.client_name == "Mine"
    assert delete(http, client).status_code == 204
    engine.dispose()


def test_the_session_may_be_there_in_an_app_context_only(sqlite_url: str) -> None:
    """As with Flask-SQLAlchemy-Lite: a plain session for each context, and models on a base of the host's."""
    engine = create_engine(sqlite_url)

    class Base(DeclarativeBase):
        pass

    class Client(RegisteredClientMixin, Base):
        __tablename__ = "client"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Database:
        @property
        def session(self) -> Session:
            if "session" not in g:
                g.session = Session(engine)
            session: Session = g.session
            return session

    app = Flask(__name__)
    app.config.update(DYNREG_ACCESS=["open"], DYNREG_SERVER_METADATA=SERVER_METADATA, PREFERRED_URL_SCHEME="https")
    app.teardown_appcontext(lambda error: g.session.close() if "session" in g else None)
    dynreg = DynamicRegistration(Database(), models=define_models(Base, Client))
    dynreg.init_app(app)
    Base.metadata.create_all(engine)
    heard: list[str] = []

    def receive(sender: Flask, client_id: str, source: str) -> None:
        heard.append(client_id)

    http = app.test_client()
    with client_registered.connected_to(receive, sender=app):
        client = registered(http, **CLIENT)
    assert heard == [client["client_id"]]
    assert replaced(http, client, **CLIENT, client_name="Mine")["client_name"] == "Mine"
    with app.app_context():
        found = dynreg.query_client(client["client_id"])
        assert isinstance(found, Client) and found.client_name == "Mine"
    assert delete(http, client).status_code == 204
    engine.dispose()


def test_setting_up_one_app_twice_is_refused(make_app: MakeApp) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    app = make_app(db, dynreg)
    with pytest.raises(ConfigurationError, match="init_app is called once"):
        dynreg.init_app(app)
    with pytest.raises(ConfigurationError, match="init_app is called once"):
        DynamicRegistration(db).init_app(app)
    assert registered(app.test_client(), **CLIENT)["client_id"]


@pytest.mark.parametrize(
    ("rule", "config", "key"),
    [
        ("/oauth2/register", {}, "DYNREG_URL_PREFIX"),
        ("/register", {"DYNREG_URL_PREFIX": ""}, "DYNREG_URL_PREFIX"),
        ("/oauth2/clients/<path:client_id>", {}, "DYNREG_URL_PREFIX"),
        ("/oauth2/clients/<int:number>", {}, "DYNREG_URL_PREFIX"),
        ("/oauth2/clients/<name>", {}, "DYNREG_URL_PREFIX"),
        ("/.well-known/oauth-authorization-server", {}, "DYNREG_DISCOVERY"),
        ("/.well-known/openid-configuration", {"DYNREG_OPENID_DISCOVERY": True}, "DYNREG_OPENID_DISCOVERY"),
    ],
)
def test_a_rule_that_the_host_has_stops_the_start(rule: str, config: dict[str, Any], key: str) -> None:
    app = Flask(__name__)
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", DYNREG_SERVER_METADATA=SERVER_METADATA, **config)
    app.add_url_rule(rule, "mine", lambda **_: "mine")
    with pytest.raises(ConfigurationError, match=f"{key}.*{rule}.*mine"):
        DynamicRegistration(SQLAlchemy(app)).init_app(app)


def test_other_rules_of_the_host_stand_beside_ours(app: Flask) -> None:
    rules = ("/oauth2/<path:rest>", "/oauth2/clients", "/<path:rest>")
    for number, rule in enumerate(rules):
        app.add_url_rule(rule, f"mine{number}", lambda rule=rule, **_: rule, methods=["GET", "POST"])
    http = app.test_client()
    client = registered(http, **CLIENT)
    assert read(http, client).status_code == 200
    assert http.get("/.well-known/oauth-authorization-server").get_json()["issuer"] == ISSUER
    for path, rule in zip(("/oauth2/x/y", "/oauth2/clients", "/x/y"), rules, strict=True):
        assert http.get(path).text == rule


def test_a_host_that_has_the_document_serves_it_with_ours_in_it() -> None:
    app = Flask(__name__)
    app.config.update(
        SQLALCHEMY_DATABASE_URI="sqlite://",
        DYNREG_ACCESS=["open"],
        DYNREG_SERVER_METADATA=SERVER_METADATA,
        DYNREG_DISCOVERY=False,
    )
    dynreg = DynamicRegistration(SQLAlchemy(app))
    app.add_url_rule(
        "/.well-known/oauth-authorization-server", "mine", lambda: jsonify(dynreg.server_metadata() | {"mine": 1})
    )
    dynreg.init_app(app)
    document = app.test_client().get("/.well-known/oauth-authorization-server").get_json()
    assert (document["registration_endpoint"], document["mine"]) == (f"{ISSUER}/oauth2/register", 1)


# ---- A host's own fetcher


class Kept(dict[str, bytes]):
    """A fetcher that has documents, and is falsy while it has none."""

    def __call__(self, url: str, *, client_id: str | None = None) -> Fetched:
        raise FetchError(f"There are {len(self)} documents.")


def test_a_fetcher_that_is_falsy_is_used_all_the_same(make_app: MakeApp) -> None:
    db = SQLAlchemy()
    openid = {"subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"]}
    app = make_app(db, DynamicRegistration(db, fetcher=Kept()), DYNREG_SERVER_METADATA=SERVER_METADATA | openid)
    sent = CLIENT | {"sector_identifier_uri": "https://client.example/uris.json"}
    answer = app.test_client().post("/oauth2/register", json=sent)
    assert "There are 0 documents." in answer.get_json()["error_description"]


# ---- A host's own columns


@pytest.mark.parametrize("tier", [None, "gold"])
def test_a_host_fills_its_own_columns(make_app: MakeApp, database_url: str, tier: str | None) -> None:
    db = SQLAlchemy()
    models = own_models(db)

    def columns(metadata: Any, principal: Principal) -> dict[str, Any]:
        assert principal == Principal("open")
        return {"owner": metadata["contacts"][0]} | ({"tier": tier} if tier else {})

    dynreg = DynamicRegistration(db, models=models, client_columns=columns)
    app = make_app(db, dynreg, SQLALCHEMY_DATABASE_URI=database_url)
    client = registered(app.test_client(), **CLIENT, contacts=["ops@client.example"])
    assert not {"owner", "tier"} & client.keys()
    with app.app_context():
        found: Any = dynreg.query_client(client["client_id"])
        assert (found.owner, found.tier) == ("ops@client.example", tier or "free")
    replaced(app.test_client(), client, **CLIENT)
    with app.app_context():
        found = dynreg.query_client(client["client_id"])
        assert (found.owner, found.tier) == ("ops@client.example", tier or "free")


def test_the_columns_may_depend_on_who_registers(make_app: MakeApp) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(
        db,
        models=own_models(db),
        client_columns=lambda metadata, principal: {"owner": f"token {principal.initial_access_token_id}"},
    )
    app = make_app(db, dynreg, DYNREG_ACCESS=["initial_access_token"])
    with app.app_context():
        token = dynreg.issue_initial_access_token()
        db.session.commit()
        client = app.test_client().post("/oauth2/register", json=CLIENT, headers=bearer(token)).get_json()
        found: Any = dynreg.query_client(client["client_id"])
        assert found.owner == "token 1"
