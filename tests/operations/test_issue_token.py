"""`flask dynreg issue-token`, and the same for a host's own code."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select

from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import bearer
from tests.conftest import CLIENT, MakeApp
from tests.hosts import app_whose_database_is_down
from tests.operations.conftest import MakeBareApp


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Server:
    def __init__(self, make_app: MakeApp, **config: Any) -> None:
        self.clock, self.db = Clock(), SQLAlchemy()
        self.dynreg = DynamicRegistration(self.db, clock=self.clock)
        self.app = make_app(self.db, self.dynreg, **{"DYNREG_ACCESS": ["initial_access_token"], **config})

    def status(self, token: str) -> int:
        """Of a registration with the token."""
        return self.app.test_client().post("/oauth2/register", json=CLIENT, headers=bearer(token)).status_code

    def kept(self) -> list[Any]:
        with self.app.app_context():
            return list(self.db.session.scalars(select(self.dynreg.models.initial_access_token)))


@pytest.fixture
def server(make_app: MakeApp, sqlite_url: str) -> Server:
    return Server(make_app, SQLALCHEMY_DATABASE_URI=sqlite_url)


def issue(app: Flask, *options: str) -> Result:
    return app.test_cli_runner().invoke(args=["dynreg", "issue-token", *options])


def issued(app: Flask, *options: str) -> str:
    result = issue(app, *options)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    assert re.fullmatch(r"dynreg_iat_[A-Za-z0-9_-]{49}\n", result.stdout)
    return result.stdout.strip()


def test_a_token_is_printed_and_good(server: Server) -> None:
    token = issued(server.app)
    assert [server.status(token) for _ in range(3)] == [201] * 3
    assert issued(server.app) != token


def test_a_token_is_good_for_so_many_clients(server: Server) -> None:
    token = issued(server.app, "--uses", "2")
    refused = server.app.test_client().post("/oauth2/register", json={}, headers=bearer(token))
    assert refused.status_code == 400  # which is no use of it
    assert [server.status(token) for _ in range(4)] == [201, 201, 401, 401]
    (row,) = server.kept()
    assert (row.uses, row.max_uses) == (2, 2)


def test_a_token_is_good_for_so_long(server: Server) -> None:
    token = issued(server.app, "--expires-in", "60")
    server.clock.now += 59
    assert server.status(token) == 201
    server.clock.now += 1
    assert server.status(token) == 401


def test_a_label_is_kept_for_operators(server: Server) -> None:
    issued(server.app, "--label", "partner é", "--uses", "1", "--expires-in", "60")
    (row,) = server.kept()
    assert (row.label, row.created_at, row.expires_at, row.max_uses) == ("partner é", 1_000_000, 1_000_060, 1)


def test_only_a_digest_is_kept(server: Server, sqlite_url: str) -> None:
    token = issued(server.app)
    assert token.encode() not in Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()
    (row,) = server.kept()
    assert row.digest == "sha256:" + hashlib.sha256(token.encode()).hexdigest()


@pytest.mark.parametrize("option", ["--uses", "--expires-in"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "", "2147483648", "9" * 30])
def test_what_is_no_number_of_seconds_or_clients_is_refused(server: Server, option: str, value: str) -> None:
    result = issue(server.app, option, value)
    assert result.exit_code == 2 and option in result.stderr and result.stdout == ""
    assert server.kept() == []


def test_a_label_that_no_database_could_keep_is_refused(make_app: MakeApp, any_database_url: str) -> None:
    server = Server(make_app, SQLALCHEMY_DATABASE_URI=any_database_url)
    issued(server.app, "--label", "é" * 255, "--uses", "2147483647", "--expires-in", "2147483647")
    result = issue(server.app, "--label", "é" * 256)
    assert result.exit_code == 2 and "--label" in result.stderr and result.stdout == ""
    assert len(server.kept()) == 1


@pytest.mark.parametrize("access", [[], ["open"]])
def test_a_token_for_a_door_that_is_not_there_is_not_issued(make_app: MakeApp, access: list[str]) -> None:
    server = Server(make_app, DYNREG_ACCESS=access)
    result = issue(server.app)
    assert result.exit_code == 1 and "DYNREG_ACCESS" in result.stderr and result.stdout == ""
    assert server.kept() == []


def test_missing_tables_are_told_without_a_trace(make_bare_app: MakeBareApp, database_url: str) -> None:
    result = issue(make_bare_app(database_url))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "tables" in result.stderr and "INSERT" not in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_a_database_that_is_down_is_told_without_a_trace() -> None:
    with app_whose_database_is_down() as (app, _):
        result = issue(app)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "database" in result.stderr and "hunter2" not in result.output
    assert isinstance(result.exception, SystemExit)


# ---- By a host's own code


def test_the_caller_commits(server: Server) -> None:
    with server.app.app_context():
        lost = server.dynreg.issue_initial_access_token(uses=1)
        server.db.session.rollback()
        token = server.dynreg.issue_initial_access_token(label="mine", uses=1, expires_in=60)
        server.db.session.commit()
    assert [server.status(lost), server.status(token), server.status(token)] == [401, 201, 401]


@pytest.mark.parametrize("options", [{"uses": 0}, {"uses": -1}, {"expires_in": 0}, {"uses": 1, "expires_in": -5}])
def test_the_caller_cannot_ask_for_a_number_below_one(server: Server, options: dict[str, Any]) -> None:
    with server.app.app_context(), pytest.raises(ValueError, match="1 or more"):
        server.dynreg.issue_initial_access_token(**options)
    assert server.kept() == []


# ---- Owners and terms, the list, and the end


def test_owner_and_terms_are_kept(server: Server) -> None:
    terms = '{"scopes": ["mcp:read"], "origins": ["https://app.example"]}'
    arguments = ["dynreg", "issue-token", "--owner", "them", "--terms", "-"]
    result = server.app.test_cli_runner().invoke(args=arguments, input=terms)
    assert result.exit_code == 0, result.output
    (row,) = server.kept()
    assert (row.owner, json.loads(row.terms)) == ("them", json.loads(terms))
    assert server.status(result.stdout.strip()) == 201


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ("{", "must be one JSON object"),
        ("[]", "must be one JSON object"),
        ('{"scope": "x"}', "none but"),
        ('{"policies": ["unknown"]}', "policies: unknown"),
    ],
)
def test_terms_that_are_none_are_refused(server: Server, terms: str, says: str) -> None:
    result = server.app.test_cli_runner().invoke(args=["dynreg", "issue-token", "--terms", "-"], input=terms)
    assert result.exit_code == 2 and "--terms" in result.stderr and says in result.stderr
    assert server.kept() == []


def test_tokens_are_listed_and_revoked(server: Server) -> None:
    tokens = [issued(server.app, "--label", label) for label in ("first", "second")]
    run = server.app.test_cli_runner().invoke
    assert server.status(tokens[0]) == 201
    listed = [json.loads(line) for line in run(args=["dynreg", "tokens"]).stdout.splitlines()]
    assert [(row["label"], row["uses"], row["is_good"]) for row in listed] == [("first", 1, True), ("second", 0, True)]
    assert tokens[0] not in json.dumps(listed) and listed[0]["last_used_at"] == 1_000_000
    assert run(args=["dynreg", "revoke-token", str(listed[0]["id"])]).exit_code == 0
    assert (server.status(tokens[0]), server.status(tokens[1])) == (401, 201)
    again = run(args=["dynreg", "revoke-token", str(listed[0]["id"])])
    assert again.exit_code == 1 and "revoked before" in again.stderr
