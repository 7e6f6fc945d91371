"""`flask dynreg clients migrate` and `revalidate`: many clients at once, by today's rules."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration, Withdrawal
from flask_dynreg.errors import RaceLostError
from flask_dynreg.lifecycle.repair import Change
from tests.conformance.exchange import PUBLIC, Client, read, registered
from tests.conftest import MakeApp

CEILING = {"policy": "scope_ceiling", "scopes": ["mcp:read"]}
NAMES = {"policy": "forbidden_names", "names": ["Claude"]}
Start = Callable[..., "Host"]


class Host:
    def __init__(self, make_app: MakeApp, url: str, policies: Any = None, **config: Any) -> None:
        self.db, self.withdrawn = SQLAlchemy(), list[Withdrawal]()
        self.dynreg = DynamicRegistration(self.db, policies=policies)
        self.dynreg.on_withdrawal(self.withdrawn.append)
        self.app: Flask = make_app(self.db, self.dynreg, SQLALCHEMY_DATABASE_URI=url, **config)
        self.http = self.app.test_client()

    def registered(self, **metadata: Any) -> Client:
        return registered(self.http, **{**PUBLIC, **metadata})

    def metadata(self, client: Client) -> dict[str, Any]:
        found: dict[str, Any] = read(self.http, client).get_json()
        return found

    def events(self) -> list[tuple[str, Any]]:
        with self.app.app_context():
            model = self.dynreg.models.event
            events = self.db.session.scalars(self.db.select(model).order_by(model.id))
            return [(event.type, json.loads(event.details or "{}")) for event in events]

    def run(self, *words: str, change: Any = None) -> Result:
        stdin = json.dumps(change) if not isinstance(change, str) else change
        return self.app.test_cli_runner().invoke(args=["dynreg", "clients", *words], input=stdin)

    def told(self, *words: str, change: Any = None, code: int = 0) -> list[dict[str, Any]]:
        result = self.run(*words, change=change)
        assert result.exit_code == code, result.output
        return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def start(make_app: MakeApp, any_database_url: str) -> Start:
    """start(DYNREG_POLICIES=[...]): an app on the same database."""
    return lambda *policies, **config: Host(make_app, any_database_url, *policies, **config)


def test_a_scope_is_added_once_it_was_looked_at(start: Start) -> None:
    host = start()
    some = [host.registered(scope=scope) for scope in ("mcp:read", "mcp:write", "mcp:read mcp:write")]
    change = {"add_scopes": ["mcp:write"]}
    would = host.told("migrate", "-", change=change)
    assert would == [
        {
            "client_id": some[0]["client_id"],
            "changed": {"scope": {"from": "mcp:read", "to": "mcp:read mcp:write"}},
            "errors": [],
        }
    ]
    assert host.metadata(some[0]) == some[0]
    assert host.told("migrate", "-", "--apply", change=change) == would
    assert host.metadata(some[0])["scope"] == "mcp:read mcp:write" and host.metadata(some[1]) == some[1]
    assert host.told("migrate", "-", "--apply", change=change) == []
    ((type_, details),) = host.events()[3:]
    assert (type_, details["changed"]) == ("repaired", ["scope"])


def test_what_a_client_loses_is_withdrawn(start: Start) -> None:
    client = start().registered(scope="mcp:read mcp:write")
    today = start(DYNREG_POLICIES=[CEILING])
    ((row),) = today.told("revalidate", code=1)
    assert row["changed"] == {"scope": {"from": "mcp:read mcp:write", "to": "mcp:read"}}
    today.told("migrate", "-", "--apply", change={})
    assert today.metadata(client)["scope"] == "mcp:read"
    assert [each.scopes for each in today.withdrawn] == [frozenset({"mcp:write"})]
    assert today.told("revalidate") == []


def test_who_would_be_refused_stays_and_is_told(start: Start) -> None:
    client, other = (start().registered(client_name=name) for name in ("Claude", "Mine"))
    today = start(DYNREG_POLICIES=[NAMES])
    ((row),) = today.told("revalidate", code=1)
    assert row["client_id"] == client["client_id"] and row["changed"] == {}
    assert [(error["pointer"], error["policy"]) for error in row["errors"]] == [("/client_name", "forbidden_names")]
    rows = today.told("migrate", "-", "--apply", change={"set": {"tos_uri": "https://app.example/tos"}})
    assert {row["client_id"]: bool(row["errors"]) for row in rows} == {
        client["client_id"]: True,
        other["client_id"]: False,
    }
    assert today.metadata(client) == client and today.metadata(other)["tos_uri"] == "https://app.example/tos"


def test_a_policy_that_is_gone_is_told(start: Start) -> None:
    client = start({"ours": lambda metadata, context: metadata}, DYNREG_POLICIES=["ours"]).registered()
    ((row),) = start().told("revalidate", code=1)
    assert row["client_id"] == client["client_id"] and "policy" in row["errors"][0]["description"]


def test_a_selection_is_changed_alone(start: Start) -> None:
    host = start()
    editor, reader = host.registered(software_id="editor"), host.registered(software_id="reader")
    host.told("migrate", "-", "--software-id", "editor", "--apply", change={"set": {"client_name": "Ours"}})
    assert host.metadata(editor)["client_name"] == "Ours" and host.metadata(reader) == reader
    assert host.told("migrate", "-", "--owner", "nobody", "--apply", change={"set": {"client_name": "Ours"}}) == []


def test_a_secret_that_a_change_needs_comes_to_the_client_alone(start: Start) -> None:
    host = start()
    client = host.registered()
    result = host.run("migrate", "-", "--apply", change={"set": {"token_endpoint_auth_method": "client_secret_basic"}})
    assert result.exit_code == 0 and "secret" not in result.stdout.replace("client_secret_basic", "")
    changed = host.metadata(client)
    assert changed["token_endpoint_auth_method"] == "client_secret_basic" and "client_secret" not in changed


def test_what_becomes_of_one_stops_none_of_the_others(start: Start) -> None:
    some = [start().registered() for _ in range(3)]
    host = start(DYNREG_QUOTAS={"software_id": 1})
    rows = host.told("migrate", "-", "--apply", change={"set": {"software_id": "editor"}})
    assert [bool(row["errors"]) for row in rows] == [False, True, True]
    assert sum("software_id" in host.metadata(client) for client in some) == 1


def test_who_goes_meanwhile_is_told(start: Start) -> None:
    def meddling(metadata: Any, context: Any) -> Any:
        if metadata.get("tos_uri") and waiting:  # the change is looked at: another worker deletes the client
            with host.app.app_context():
                registrar = host.dynreg.registrar
                registrar.delete(registrar.known_client(waiting.pop()))
                host.db.session.commit()
        return metadata

    waiting: list[str] = []
    host = start({"meddling": meddling}, DYNREG_POLICIES=["meddling"])
    first, second = sorted(host.registered()["client_id"] for _ in range(2))
    waiting.append(first)
    rows = host.told("migrate", "-", "--apply", change={"set": {"tos_uri": "https://app.example/tos"}})
    assert [(row["client_id"], bool(row["errors"])) for row in rows] == [(first, True), (second, False)]


def test_who_changes_meanwhile_is_looked_at_again(start: Start) -> None:
    host = start()
    client = host.registered(scope="mcp:read")
    with host.app.app_context():
        registrar = host.dynreg.registrar
        stale = registrar.known_client(client["client_id"])
        registrar.repair(registrar.known_client(client["client_id"]), Change(("mcp:write",)), apply=True)
        with pytest.raises(RaceLostError):
            registrar.repair(stale, Change(("offline_access",)), apply=True)
        host.db.session.rollback()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("{", "must be one JSON object"),
        ({"scopes": []}, "must have none but add_scopes, set"),
        ({"add_scopes": "mcp:read"}, "add_scopes must be a list"),
        ({"add_scopes": [1]}, "add_scopes must be a list"),
        ({"set": []}, "set must be an object"),
    ],
)
def test_a_change_that_is_none_is_refused(start: Start, change: Any, says: str) -> None:
    result = start().run("migrate", "-", change=change)
    assert result.exit_code == 2 and says in result.stderr


def test_a_summary_goes_where_the_list_does_not(start: Start) -> None:
    host = start()
    host.registered(scope="mcp:read")
    result = host.run("migrate", "-", "--apply", change={"add_scopes": ["mcp:write"]})
    assert result.stderr == "1 are changed, 0 refused; 0 stay as they are.\n"
