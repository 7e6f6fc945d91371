"""What operators may do, by `--as`: checked for every command, and noted in the trail."""

import json
from typing import Any

import click
import pytest
from click.testing import Result
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import ConfigurationError, DynamicRegistration, Operator, Permission
from flask_dynreg.operations import cli
from tests.conformance.exchange import PUBLIC, Client, read, registered
from tests.conftest import CLIENT, MakeApp
from tests.statements import trusted

NEEDED = {
    "clients create -": "clients:write",
    "clients list": "clients:read",
    "clients show ID": "clients:read",
    "clients waiting": "clients:read",
    "clients approve ID --version 1 --reason x": "clients:approve",
    "clients refuse ID --reason x": "clients:approve",
    "clients suspend ID --reason x": "clients:approve",
    "clients resume ID --reason x": "clients:approve",
    "clients rotate-secret ID": "clients:write",
    "clients drop-secrets ID": "clients:write",
    "clients delete ID": "clients:delete",
    "clients migrate -": "clients:write",
    "clients revalidate": "clients:read",
    "clients reissue-token ID": "clients:write",
    "clients history ID": "clients:read",
    "clients diff ID 1 2": "clients:read",
    "clients roll-back ID 1": "clients:write",
    "clients clean-up": "clients:delete",
    "issue-token": "tokens:issue",
    "tokens": "tokens:issue",
    "revoke-token 1": "tokens:revoke",
    "explain -": "clients:write",
    "issuer add -": "issuers:manage",
    "issuer list": "issuers:manage",
    "issuer withdraw ID": "issuers:manage",
    "issuer approve ID x": "issuers:manage",
    "issuer disapprove ID x": "issuers:manage",
    "audit verify": "audit:read",
    "audit seal": "audit:read",
    "audit export": "audit:read",
    "audit prune --older-than 1": "settings:write",
    "audit erase-versions": "settings:write",
    "registration close --reason x": "settings:write",
    "registration open": "settings:write",
    "registration count": "settings:write",
    "registration status": "settings:write",
    "secrets reencrypt": "settings:write",
    "doctor": "settings:write",
}
"""The permission that each command needs."""

APART = ("db", "statement")
"""Groups whose commands ask nobody: they make tables, and statements of one's own."""


@pytest.fixture
def dynreg() -> DynamicRegistration:
    dynreg = DynamicRegistration(SQLAlchemy())

    @dynreg.operator
    def operator(name: str | None) -> Operator | None:
        """One who may all, one for each permission, and one who has all others."""
        if name == "all":
            return Operator(name, frozenset(Permission))
        if name in list(Permission):
            return Operator(name, frozenset([name]))
        without = (name or "").removeprefix("not ")
        return Operator(str(name), frozenset(Permission) - {without}) if without in list(Permission) else None

    return dynreg


@pytest.fixture
def app(make_app: MakeApp, dynreg: DynamicRegistration, sqlite_url: str) -> Flask:
    access = ["open", "initial_access_token"]
    return make_app(dynreg._db, dynreg, DYNREG_ACCESS=access, SQLALCHEMY_DATABASE_URI=sqlite_url)


def run(app: Flask, *words: str, stdin: str = json.dumps(CLIENT)) -> Result:
    return app.test_cli_runner().invoke(args=["dynreg", *words], input=stdin)


def details(app: Flask, dynreg: DynamicRegistration) -> list[tuple[str, Any]]:
    db = dynreg._db
    with app.app_context():
        events = db.session.scalars(db.select(dynreg.models.event).order_by(dynreg.models.event.id))
        return [(event.type, json.loads(event.details or "{}").get("by")) for event in events]


def leaves(group: click.Group, *above: str) -> list[str]:
    found: list[str] = []
    for name, command in group.commands.items():
        found += leaves(command, *above, name) if isinstance(command, click.Group) else [" ".join([*above, name])]
    return found


def test_the_list_above_has_every_command() -> None:
    for command in leaves(cli.group):
        assert any(f"{line} ".startswith(f"{command} ") for line in NEEDED) or command.startswith(APART), command


@pytest.mark.parametrize("command", NEEDED)
def test_a_command_needs_its_permission_and_no_other(app: Flask, command: str) -> None:
    client = registered(app.test_client(), **PUBLIC)
    words = [client["client_id"] if word == "ID" else word for word in command.split()]
    stdin = json.dumps(trusted() if command.startswith("issuer add") else CLIENT)
    for name, says in ((f"not {NEEDED[command]}", NEEDED[command]), ("nobody", "for operators")):
        result = run(app, *words, "--as", name, stdin=stdin)
        assert result.exit_code == 1 and says in result.stderr and result.stdout == ""
    assert "permission" not in run(app, *words, "--as", NEEDED[command], stdin=stdin).output
    assert "permission" not in run(app, *words, stdin=stdin).output


def test_what_is_refused_does_nothing(app: Flask, dynreg: DynamicRegistration) -> None:
    client = registered(app.test_client(), **PUBLIC)
    assert run(app, "clients", "delete", client["client_id"], "--as", "clients:read").exit_code == 1
    assert run(app, "clients", "create", "-", "--as", "clients:read").exit_code == 1
    assert details(app, dynreg) == [("registered", None)]


def test_the_trail_says_in_whose_name(app: Flask, dynreg: DynamicRegistration) -> None:
    client: Client = json.loads(run(app, "clients", "create", "-", "--as", "all").stdout)
    for word in ("suspend", "resume"):
        assert run(app, "clients", word, client["client_id"], "--reason", "x", "--as", "clients:approve").exit_code == 0
    assert run(app, "clients", "delete", client["client_id"], "--as", "clients:delete").exit_code == 0
    assert details(app, dynreg) == [
        ("registered", "all"),
        ("suspended", "clients:approve"),
        ("resumed", "clients:approve"),
        ("deleted", "clients:delete"),
    ]
    assert read(app.test_client(), client).status_code == 401


def test_without_a_function_of_the_hosts_nobody_is_an_operator(make_app: MakeApp) -> None:
    result = run(make_app(), "clients", "list", "--as", "all")
    assert result.exit_code == 2 and "dynreg.operator" in result.stderr


def test_the_function_comes_before_the_app(app: Flask, dynreg: DynamicRegistration) -> None:
    with pytest.raises(ConfigurationError, match="operator"):
        dynreg.operator(lambda name: None)


@pytest.mark.parametrize(("name", "permissions"), [("", []), ("x" * 256, []), ("ann", ["clients:reed"])])
def test_an_operator_has_a_name_and_permissions_that_there_are(name: str, permissions: list[str]) -> None:
    with pytest.raises(ValueError, match=r"must be (of 1|some)"):
        Operator(name, frozenset(permissions))


# ---- What operators see of clients


def test_clients_are_listed_page_by_page(app: Flask, dynreg: DynamicRegistration) -> None:
    with app.app_context():
        ids = {
            dynreg.create_client(CLIENT | {"software_id": f"s{number % 2}"}, owner=f"o{number % 3}")["client_id"]
            for number in range(402)
        }
        dynreg._db.session.commit()

    def listed(*options: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in run(app, "clients", "list", *options).stdout.splitlines()]

    assert {client["client_id"] for client in listed()} == ids and len(listed()) == 402
    assert len(listed("--owner", "o1")) == 134 and len(listed("--owner", "o1", "--software-id", "s0")) == 67
    assert listed("--owner", "nobody") == []


def test_nothing_secret_is_shown(app: Flask) -> None:
    client = json.loads(run(app, "clients", "create", "-", "--owner", "them").stdout)
    result = run(app, "clients", "show", client["client_id"])
    shown = json.loads(result.stdout)
    assert (shown["owner"], shown["source"], shown["status"], shown["version"]) == ("them", "operator", "active", 1)
    assert shown["metadata"]["redirect_uris"] == CLIENT["redirect_uris"] and shown["requested"] is None
    listing = result.stdout + run(app, "clients", "list").stdout
    assert client["client_secret"] not in listing and client["registration_access_token"] not in listing
    assert "sha256" not in listing
