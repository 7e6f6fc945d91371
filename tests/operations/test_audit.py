"""`flask dynreg audit`, and the versions of clients, in the hands of operators."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text

from flask_dynreg import DynamicRegistration, Operator, Permission
from tests.conformance.exchange import Client, delete, registered, replaced
from tests.conftest import CLIENT, MakeApp
from tests.registry.host import Clock

KEY = "A" * 43 + "="
DAY = 86400


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def dynreg(clock: Clock) -> DynamicRegistration:
    dynreg = DynamicRegistration(SQLAlchemy(), clock=clock)
    dynreg.operator(lambda name: Operator(name or "web", frozenset(Permission)))
    return dynreg


@pytest.fixture
def app(make_app: MakeApp, dynreg: DynamicRegistration, any_database_url: str) -> Flask:
    config = {"DYNREG_AUDIT_KEYS": [KEY], "DYNREG_OPERATORS_API": True}
    return make_app(dynreg._db, dynreg, SQLALCHEMY_DATABASE_URI=any_database_url, **config)


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["dynreg", *words])


def done(app: Flask, *words: str) -> str:
    result = run(app, *words)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def failed(app: Flask, *words: str) -> str:
    result = run(app, *words)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.output
    return result.output


def execute(app: Flask, dynreg: DynamicRegistration, statement: str, **values: Any) -> None:
    with app.app_context():
        dynreg._db.session.execute(text(statement), values)
        dynreg._db.session.commit()


def lived(app: Flask, clock: Clock) -> Client:
    """A client with three versions, a day apart, beside one that is gone."""
    http = app.test_client()
    client, gone = registered(http, **CLIENT, client_name="One"), registered(http, **CLIENT)
    for name in ("Two", "Three"):
        clock.now += DAY
        replaced(http, client, **CLIENT, client_name=name)
    delete(http, gone)
    done(app, "registration", "close", "--reason", "x", "--as", "ann")
    return client


# ---- Verify


def test_a_trail_that_is_sound_is_counted(app: Flask, clock: Clock) -> None:
    client = lived(app, clock)
    assert done(app, "audit", "verify") == "6 events in 3 chains.\n"
    assert done(app, "audit", "verify", "--client-id", client["client_id"]) == "3 events in 1 chain.\n"


def test_what_can_be_no_name_is_told_by_every_database_alike(app: Flask) -> None:
    for words in (
        ["audit", "verify", "--client-id", "é"],
        ["audit", "verify", "--client-id", "x "],
        ["secrets", "reencrypt", "--after", "é"],
        ["issuer", "withdraw", "é"],
        ["issuer", "withdraw", "https://issuer.example "],
    ):
        result = run(app, *words)
        assert result.exit_code == 2 and "must be the i" in result.stderr, result.output
    for words in (
        ["show", "é"],
        ["delete", "é"],
        ["history", "é"],
        ["diff", "é", "1", "2"],
        ["reissue-token", "é"],
        ["approve", "é", "--version", "1", "--reason", "x"],
    ):
        assert "There is no client" in failed(app, "clients", *words)


def test_each_break_is_named(app: Flask, dynreg: DynamicRegistration, clock: Clock) -> None:
    client = lived(app, clock)
    execute(app, dynreg, "UPDATE dynreg_event SET type = 'approved' WHERE id = 1")
    execute(app, dynreg, "DELETE FROM dynreg_event WHERE id = 3")
    execute(app, dynreg, "DELETE FROM dynreg_event WHERE client_id = ''")
    told = failed(app, "audit", "verify").splitlines()
    assert told[:2] == [
        f"{client['client_id']}: Event 1 is not what was written.",
        f"{client['client_id']}: Event 4 does not follow the one before: something was removed, put in or moved.",
    ]
    assert told[2].startswith("registration: The chain does not end where it should") and len(told) == 4


def test_who_has_no_keys_and_events_from_before_are_told(
    make_app: MakeApp, sqlite_url: str, clock: Clock, dynreg: DynamicRegistration
) -> None:
    app = make_app(dynreg._db, dynreg, SQLALCHEMY_DATABASE_URI=sqlite_url)
    registered(app.test_client(), **CLIENT)
    execute(app, dynreg, "UPDATE dynreg_event SET link = NULL")
    execute(app, dynreg, "UPDATE dynreg_client SET trail_head = NULL")
    told = done(app, "audit", "verify")
    assert "1 event in 1 chain.\n1 event from before the trail" in told and "DYNREG_AUDIT_KEYS is empty" in told


# ---- Seals


@pytest.fixture
def sealed(app: Flask, clock: Clock, tmp_path: Path) -> str:
    """The name of a file with a seal."""
    client = lived(app, clock)
    clock.now += DAY
    file = tmp_path / "seals"
    file.write_text(done(app, "audit", "seal"))
    replaced(app.test_client(), client, **CLIENT, client_name="Four")
    return str(file)


def test_a_seal_says_how_much_there_was(app: Flask, clock: Clock, sealed: str) -> None:
    seal = json.loads(Path(sealed).read_text())
    assert (seal["sealed_at"], seal["events"], seal["chains"]) == (clock.now, 6, 3)
    assert "all of its 6 events are there" in done(app, "audit", "verify", "--seal", sealed)


def test_what_happened_in_the_last_minute_is_not_sealed_yet(app: Flask) -> None:
    registered(app.test_client(), **CLIENT)
    assert json.loads(done(app, "audit", "seal"))["events"] == 0


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["DELETE FROM dynreg_event WHERE id IN (2, 5)"], "2 of its 6 events are gone that were not pruned"),
        (["DELETE FROM dynreg_event WHERE client_id = ''", "DELETE FROM dynreg_trail_head"], "1 of its 6 events"),
    ],
)
def test_chains_that_are_gone_with_their_heads_are_missed(
    app: Flask, dynreg: DynamicRegistration, sealed: str, statements: list[str], told: str
) -> None:
    for statement in statements:
        execute(app, dynreg, statement)
    assert done(app, "audit", "verify")
    assert told in failed(app, "audit", "verify", "--seal", sealed)


@pytest.mark.parametrize("change", [{"events": 5}, {"issuer": "https://other.example"}, {"seal": "x"}, {"until": None}])
def test_a_seal_that_was_altered_says_nothing(app: Flask, sealed: str, change: dict[str, Any]) -> None:
    Path(sealed).write_text(json.dumps(json.loads(Path(sealed).read_text()) | change))
    assert "Seal: it is not of this server" in failed(app, "audit", "verify", "--seal", sealed)


def test_a_seal_is_compared_with_nothing_less_than_all_chains(app: Flask, sealed: str) -> None:
    result = run(app, "audit", "verify", "--seal", sealed, "--client-id", "any")
    assert result.exit_code == 2 and "verify it without --client-id" in result.output


# ---- Export


def test_events_are_exported_as_lines(app: Flask, clock: Clock) -> None:
    client = lived(app, clock)
    lines = [json.loads(line) for line in done(app, "audit", "export").splitlines()]
    assert [line["type"] for line in lines] == [
        *("registered", "registered", "updated", "updated", "deleted", "registration_closed")
    ]
    assert lines[2]["details"]["changed"] == ["client_name"] and lines[2]["previous"] == lines[0]["link"]
    assert "Two" not in str(lines) and client["registration_access_token"] not in str(lines)
    since = done(app, "audit", "export", "--since", str(clock.now)).splitlines()
    assert [json.loads(line) for line in since] == lines[3:]


# ---- Prune


def test_what_is_pruned_leaves_chains_that_are_sound(app: Flask, clock: Clock, sealed: str) -> None:
    assert done(app, "audit", "prune", "--older-than", str(DAY * 2 - 1), "--as", "ann") == "3 events are removed.\n"
    assert done(app, "audit", "verify") == "7 events in 4 chains.\n"
    assert "all of its 6 events are there or were pruned since" in done(app, "audit", "verify", "--seal", sealed)
    rows = [json.loads(line) for line in done(app, "audit", "export").splitlines()]
    assert [row["details"]["removed"] for row in rows if row["type"] == "pruned"] == [1, 2]
    told = {"subject": "trail", "by": "ann", "events": 3, "older_than": clock.now - DAY * 2 + 1}
    assert rows[-1]["type"] == "trail_pruned" and rows[-1]["details"] == told
    assert done(app, "audit", "prune", "--older-than", str(DAY * 2 - 1)) == "0 events are removed.\n"


def test_pruning_goes_on_where_it_was_and_ends_with_a_client(app: Flask, clock: Clock) -> None:
    client = lived(app, clock)
    for name in ("Four", "Five"):
        clock.now += DAY * 10
        done(app, "audit", "prune", "--older-than", str(DAY))
        replaced(app.test_client(), client, **CLIENT, client_name=name)
    assert done(app, "audit", "verify") == "5 events in 3 chains.\n"
    rows = [json.loads(line) for line in done(app, "audit", "export").splitlines()]
    told = [(row["client_id"], row["type"], row["details"].get("removed")) for row in rows]
    assert sorted(told, key=str) == sorted(
        [
            ("", "pruned", 1),
            ("", "trail_pruned", None),
            ("", "trail_pruned", None),
            (client["client_id"], "pruned", 4),
            (client["client_id"], "updated", None),
        ],
        key=str,
    )
    versions = [json.loads(line) for line in done(app, "clients", "history", client["client_id"]).splitlines()]
    assert [(each["version"], each["type"], each["metadata"]["client_name"]) for each in versions] == [
        *((4, "pruned", "Four"), (5, "updated", "Five"))
    ]


def test_what_was_pruned_is_not_to_be_altered_either(app: Flask, dynreg: DynamicRegistration, sealed: str) -> None:
    done(app, "audit", "prune", "--older-than", str(DAY * 2 - 1))
    execute(app, dynreg, "UPDATE dynreg_event SET details = replace(details, ': 2', ': 3') WHERE type = 'pruned'")
    assert "is not what was written" in failed(app, "audit", "verify")


def test_a_chain_that_is_broken_is_not_pruned(app: Flask, dynreg: DynamicRegistration, clock: Clock) -> None:
    lived(app, clock)
    clock.now += DAY * 10
    execute(app, dynreg, "UPDATE dynreg_event SET type = 'approved' WHERE id = 1")
    told = failed(app, "audit", "prune", "--older-than", str(DAY))
    assert "Event 1 is not what was written" in told and "3 events are removed" in told
    assert "Event 1 is not what was written" in failed(app, "audit", "verify")


# ---- Versions


def test_versions_that_are_not_kept_any_more_are_erased(
    make_app: MakeApp, app: Flask, clock: Clock, any_database_url: str
) -> None:
    client = lived(app, clock)
    db = SQLAlchemy()
    config = {"DYNREG_AUDIT_KEYS": [KEY], "DYNREG_HISTORY": 0, "SQLALCHEMY_DATABASE_URI": any_database_url}
    narrower = make_app(db, DynamicRegistration(db, clock=clock), **config)
    assert done(narrower, "audit", "erase-versions") == "2 versions are erased.\n"
    assert done(narrower, "audit", "erase-versions") == "0 versions are erased.\n"
    rows = [json.loads(line) for line in done(app, "clients", "history", client["client_id"]).splitlines()]
    assert [row["metadata"] and row["metadata"]["client_name"] for row in rows] == [None, None, "Three"]
    assert done(app, "audit", "verify") == "7 events in 4 chains.\n"


def test_versions_are_listed_compared_and_brought_back(app: Flask, clock: Clock) -> None:
    client = lived(app, clock)
    this = client["client_id"]
    rows = [json.loads(line) for line in done(app, "clients", "history", this).splitlines()]
    assert [(row["version"], row["changed"], row["metadata"]["client_name"]) for row in rows] == [
        *((1, [], "One"), (2, ["client_name"], "Two"), (3, ["client_name"], "Three"))
    ]
    assert json.loads(done(app, "clients", "diff", this, "1", "3")) == {"client_name": {"from": "One", "to": "Three"}}
    assert done(app, "clients", "roll-back", this, "1", "--as", "ann") == "The client is rolled back.\n"
    answer = app.test_client().get(f"/oauth2/operators/clients/{this}/history")
    last = answer.get_json()["versions"][-1]
    assert (last["version"], last["type"], last["by"]) == (4, "rolled_back", "ann")
    back = app.test_client().post(f"/oauth2/operators/clients/{this}/roll-back", json={"version": 3})
    assert (back.status_code, back.get_json()["metadata"]["client_name"]) == (200, "Three")
    again = app.test_client().post(f"/oauth2/operators/clients/{this}/roll-back", json={"version": 3})
    assert again.status_code == 409 and "already" in failed(app, "clients", "roll-back", this, "3")
    assert done(app, "audit", "verify")
