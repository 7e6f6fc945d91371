import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration
from tests import databases, servers

ISSUER = "https://as.example"
SERVER_METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/oauth2/authorize",
    "token_endpoint": f"{ISSUER}/oauth2/token",
    "scopes_supported": ["mcp:read", "mcp:write", "offline_access"],
    "response_types_supported": ["code"],
    "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
    "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
    "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
}
CLIENT = {"redirect_uris": ["https://client.example/cb"]}

MakeApp = Callable[..., Flask]
Register = Callable[..., dict[str, Any]]
StartQuickstart = Callable[..., str]

# Several workers share the cores: the time of one example says nothing.
hypothesis.settings.register_profile("flask_dynreg", deadline=None)
hypothesis.settings.load_profile("flask_dynreg")


# ---- Apps in this process


@pytest.fixture
def make_app() -> Iterator[MakeApp]:
    """make_app(DYNREG_ACCESS=[]), or make_app(db, DynamicRegistration(db, clock=...)) with objects of one's own."""
    with ExitStack() as stack:

        def make(db: SQLAlchemy | None = None, dynreg: DynamicRegistration | None = None, **config: Any) -> Flask:
            app = Flask(__name__)
            app.config.from_mapping(
                PREFERRED_URL_SCHEME="https",  # of the test client's requests
                SQLALCHEMY_DATABASE_URI="sqlite://",
                DYNREG_ACCESS=["open"],
                DYNREG_LIMITS=[],
                DYNREG_SERVER_METADATA=SERVER_METADATA,
            )
            app.config.update(config)
            db = db or SQLAlchemy()
            dynreg = dynreg or DynamicRegistration(db)
            db.init_app(app)
            dynreg.init_app(app)
            with app.app_context():
                db.create_all()
                for engine in db.engines.values():
                    stack.callback(engine.dispose)
            return app

        yield make


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()


@pytest.fixture
def http(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def register(http: FlaskClient) -> Register:
    def register(**metadata: Any) -> dict[str, Any]:
        response = http.post("/oauth2/register", json=CLIENT | metadata)
        assert response.status_code == 201, response.get_data(as_text=True)
        information: dict[str, Any] = response.get_json()
        return information

    return register


# ---- The quickstart in processes of its own


@pytest.fixture(scope="session")
def quickstart_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The issuer of a quickstart that all tests share."""
    with servers.example("quickstart", tmp_path_factory.mktemp("quickstart")) as issuer:
        yield issuer


@pytest.fixture(scope="session")
def openid_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The issuer of an OpenID Provider that all tests share."""
    with servers.example("openid_provider", tmp_path_factory.mktemp("openid_provider")) as issuer:
        yield issuer


@pytest.fixture
def start_quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartQuickstart]:
    """start_quickstart(FLASK_DYNREG_ACCESS="[]") gives the issuer of a quickstart with settings of its own."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp
        yield lambda **env: stack.enter_context(servers.example("quickstart", folder("quickstart"), **env))


# ---- Fresh databases


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'dynreg.sqlite'}"


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    with databases.fresh_database(databases.POSTGRESQL) as url:
        yield url


@pytest.fixture
def mysql_url() -> Iterator[str]:
    with databases.fresh_database(databases.MYSQL) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def any_database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


# ---- What pytest says at the end


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        report.sections += [(f"Log of {url}", servers.last_lines(log)) for url, log in servers.logs.items()]
    return report


def not_run(reporter: pytest.TerminalReporter) -> Counter[str]:
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in reporter.stats.get("skipped", [])]
    reasons += [f"expected to fail: {report.wasxfail}" for report in reporter.stats.get("xfailed", [])]
    return Counter(reasons)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not_run(reporter) and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if reasons := not_run(terminalreporter):
        verdict = ", which fails where CI is set" if os.environ.get("CI") else ""
        terminalreporter.section(f"not run{verdict}")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count} {'test' if count == 1 else 'tests'}: {reason}")
