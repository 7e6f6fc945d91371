"""Explaining: what would become of a registration, in Python and on the command line, without a trace."""

import json
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration, FetchError, Principal, TemporarilyUnavailableError, Terms
from flask_dynreg.errors import InvalidStatementError
from tests.conftest import CLIENT, MakeApp
from tests.statements import signed, statement, trusted

POLICIES = ["require_pkce", {"policy": "scope_ceiling", "scopes": ["mcp:read"]}, "approval", "require_name"]


class Nowhere:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, url: str, *, client_id: str | None = None) -> Any:
        self.asked.append(url)
        raise FetchError("There is nothing.")


@pytest.fixture
def nowhere() -> Nowhere:
    return Nowhere()


@pytest.fixture
def dynreg(nowhere: Nowhere) -> DynamicRegistration:
    return DynamicRegistration(SQLAlchemy(), fetcher=nowhere)


@pytest.fixture
def app(make_app: MakeApp, dynreg: DynamicRegistration) -> Flask:
    issuers = [trusted(), trusted("https://elsewhere.example", jwks_uri="https://elsewhere.example/jwks")]
    return make_app(dynreg._db, dynreg, DYNREG_POLICIES=POLICIES, DYNREG_STATEMENT_ISSUERS=issuers)


def rows(app: Flask, dynreg: DynamicRegistration) -> int:
    with app.app_context():
        session = dynreg.registrar.sessions.session
        return sum(len(session.execute(table.select()).all()) for table in dynreg.models.tables)


def test_what_would_be_registered_and_why(app: Flask, dynreg: DynamicRegistration) -> None:
    sent = {
        **CLIENT,
        "client_name": "Mine",
        "scope": "mcp:read mcp:write",
        "grant_types": ["authorization_code", "x"],
        "y": 1,
    }
    with app.app_context():
        found = dynreg.explain(sent)
    assert found.metadata and found.metadata["scope"] == "mcp:read" and found.problems == ()
    (decision,) = found.decisions
    assert (decision.policy, dict(decision.changed)) == ("scope_ceiling", {"scope": ("mcp:read mcp:write", "mcp:read")})
    assert (found.taken, found.ignored) == ({"grant_types": ["x"]}, ("y",))
    assert (found.approval, found.lifetime) == ("It is new.", None)
    assert rows(app, dynreg) == 0


def test_why_it_would_be_refused(app: Flask, dynreg: DynamicRegistration) -> None:
    with app.app_context():
        found = dynreg.explain({"redirect_uris": ["http://app.example"]})
    assert found.metadata is None
    assert [(problem.pointer, problem.policy) for problem in found.problems] == [
        ("/redirect_uris/0", None),
        ("/client_name", "require_name"),
    ]
    assert [decision.policy for decision in found.decisions] == ["require_name"]


def test_it_is_explained_for_whom(app: Flask, dynreg: DynamicRegistration) -> None:
    terms = Terms(
        forced={"client_name": "Theirs"},
        grant_types=("client_credentials",),
        defaults={"client_uri": "https://x.example"},
    )
    with app.app_context():
        found = dynreg.explain(CLIENT, principal=Principal("initial_access_token", 1, "them", terms))
    assert [(problem.pointer, problem.policy) for problem in found.problems] == [("/grant_types", "terms")]


def test_nothing_is_fetched(make_app: MakeApp, app: Flask, dynreg: DynamicRegistration, nowhere: Nowhere) -> None:
    elsewhere = {**CLIENT, "client_name": "Mine", "software_statement": signed({"iss": "https://elsewhere.example"})}
    with app.app_context():
        with pytest.raises(TemporarilyUnavailableError):
            dynreg.explain(elsewhere)
        with pytest.raises(InvalidStatementError):
            dynreg.explain({**CLIENT, "software_statement": statement()[:-3]})
    assert nowhere.asked == [] and rows(app, dynreg) == 0


def test_a_statement_is_not_used_up(make_app: MakeApp) -> None:
    dynreg = DynamicRegistration(SQLAlchemy())
    app = make_app(dynreg._db, dynreg, DYNREG_STATEMENT_ISSUERS=[trusted(one_time=True, max_age=60)])
    sent = {**CLIENT, "software_statement": statement(jti="once")}
    with app.app_context():
        for _ in range(2):
            assert dynreg.explain(sent).metadata
    assert app.test_client().post("/oauth2/register", json=sent).status_code == 201


def run(app: Flask, text: str) -> Result:
    return app.test_cli_runner().invoke(args=["dynreg", "explain", "-"], input=text)


def test_the_command_tells_it_as_json(app: Flask) -> None:
    result = run(app, json.dumps({**CLIENT, "client_name": "Mine", "scope": "mcp:write"}))
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["registered"]["client_name"] == "Mine" and told["errors"] == []
    assert told["policies"] == [
        {"policy": "scope_ceiling", "changed": {"scope": {"from": "mcp:write", "to": None}}, "errors": []}
    ]
    result = run(app, "{}")
    told = json.loads(result.stdout)
    assert result.exit_code == 1 and told["registered"] is None
    assert [error["pointer"] for error in told["errors"]] == ["/redirect_uris", "/client_name"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "must be one JSON object."),
        ("[]", "must be one JSON object."),
        (json.dumps({"software_statement": "x"}), "invalid_software_statement"),
    ],
)
def test_the_command_says_what_is_wrong(app: Flask, text: str, says: str) -> None:
    result = run(app, text)
    assert result.exit_code in (1, 2) and says in result.stderr


def test_the_command_says_that_tables_are_missing(make_app: MakeApp) -> None:
    db = SQLAlchemy()
    dynreg = DynamicRegistration(db)
    app = make_app(db, dynreg)
    with app.app_context():
        db.drop_all()
    result = run(app, json.dumps({**CLIENT, "software_statement": statement()}))
    assert result.exit_code == 1 and "tables" in result.stderr
