"""`flask dynreg clients`: clients by the operator's hand, and decisions about those that are there."""

import json
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration
from flask_dynreg.errors import RefusedMetadataError
from tests.conformance.exchange import PUBLIC, Client, delete, read, registered, replaced, update
from tests.conftest import CLIENT, MakeApp


@pytest.fixture
def dynreg() -> DynamicRegistration:
    return DynamicRegistration(SQLAlchemy())


@pytest.fixture
def app(make_app: MakeApp, dynreg: DynamicRegistration, sqlite_url: str) -> Flask:
    policies = ["approval", {"policy": "forbidden_names", "names": ["Claude"]}]
    return make_app(dynreg._db, dynreg, DYNREG_POLICIES=policies, SQLALCHEMY_DATABASE_URI=sqlite_url)


@pytest.fixture
def http(app: Flask) -> FlaskClient:
    return app.test_client()


def run(app: Flask, *words: str, stdin: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=["dynreg", "clients", *words], input=stdin)


def created(app: Flask, *options: str, **metadata: Any) -> Client:
    result = run(app, "create", "-", *options, stdin=json.dumps(CLIENT | metadata))
    assert result.exit_code == 0, result.output
    client: Client = json.loads(result.stdout)
    return client


def waiting(app: Flask) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(app, "waiting").stdout.splitlines()]


def shown(app: Flask) -> list[str]:
    """The version of the one client that waits."""
    ((row),) = waiting(app)
    return ["--version", str(row["version"])]


def facts(app: Flask, dynreg: DynamicRegistration, client: Client) -> Any:
    with app.app_context():
        found = dynreg.query_client(client["client_id"])
        assert found
        return found.source, found.owned_by, found.is_active, found.status_reason


# ---- The operator's hand


def test_a_client_is_created_and_manages_itself(app: Flask, dynreg: DynamicRegistration, http: FlaskClient) -> None:
    client = created(app, "--owner", "them", "--client-id", "our-client", client_name="Mine")
    assert client["client_id"] == "our-client" and client["client_secret"] and client["client_secret_expires_at"] == 0
    assert facts(app, dynreg, client) == ("operator", "them", True, None)
    assert read(http, client).get_json()["client_name"] == "Mine"
    assert replaced(http, client, **CLIENT, client_name="Mine", tos_uri="https://client.example")["tos_uri"]
    assert delete(http, client).status_code == 204


def test_it_gets_an_id_if_it_has_none_and_no_secret_if_it_needs_none(app: Flask) -> None:
    client = created(app, token_endpoint_auth_method="none")
    assert client["client_id"] and "client_secret" not in client
    assert client["redirect_uris"] == CLIENT["redirect_uris"] and client["registration_client_uri"]


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("{", (), "must be one JSON object"),
        ("[]", (), "must be one JSON object"),
        ('{"client_name": "a", "client_name": "b"}', (), "must have each member"),
        ("[" * 100_000, (), "must be one JSON object"),
        (json.dumps(CLIENT), ("--owner", "x" * 256), "--owner"),
        ('{"redirect_uris": ["http://a.example"], "client_name": "CIaude"}', (), "/redirect_uris/0 must be https"),
        ('{"redirect_uris": ["https://a.example"], "client_name": "CIaude"}', (), "/client_name"),
        (json.dumps(CLIENT), ("--client-id", "a b"), "client_id must"),
        (json.dumps(CLIENT), ("--client-id", "taken"), "client_id must"),
        (json.dumps(CLIENT), ("--client-id", ""), "client_id must"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_kept(
    app: Flask, dynreg: DynamicRegistration, text: str, options: tuple[str, ...], says: str
) -> None:
    created(app, "--client-id", "taken")
    result = run(app, "create", "-", *options, stdin=text)
    assert result.exit_code != 0 and says in result.stderr and result.stdout == ""
    with app.app_context():
        assert len(dynreg._db.session.scalars(dynreg._db.select(dynreg.models.client)).all()) == 1


def test_a_hosts_own_code_does_the_same_in_its_transaction(app: Flask, dynreg: DynamicRegistration) -> None:
    with app.app_context():
        client = dynreg.create_client({**PUBLIC}, owner="them", client_id="mine")
        dynreg._db.session.rollback()
        assert dynreg.query_client("mine") is None
        client = dynreg.create_client({**PUBLIC}, owner="them", client_id="mine")
        dynreg._db.session.commit()
        with pytest.raises(ValueError, match="taken"):
            dynreg.create_client({**PUBLIC}, client_id="mine")
        with pytest.raises(RefusedMetadataError):
            dynreg.create_client({})
    assert read(app.test_client(), client).status_code == 200


# ---- Approval


def test_a_client_waits_until_it_is_approved(app: Flask, dynreg: DynamicRegistration, http: FlaskClient) -> None:
    client = registered(http, **PUBLIC)
    ((row),) = waiting(app)
    assert (row["client_id"], row["reason"], row["requested"]) == (client["client_id"], "It is new.", None)
    answer = update(http, client, {**PUBLIC, "client_id": client["client_id"]})
    assert (answer.status_code, answer.get_json()["error"]) == (403, "access_denied")
    assert read(http, client).get_json() == client
    result = run(app, "approve", client["client_id"], *shown(app), "--reason", "known")
    assert (result.exit_code, result.stdout) == (0, "The client is approved.\n")
    assert facts(app, dynreg, client) == ("open", None, True, "known") and waiting(app) == []


def test_a_change_waits_and_the_answer_shows_what_is_in_force(
    app: Flask, dynreg: DynamicRegistration, http: FlaskClient
) -> None:
    client = registered(http, **PUBLIC)
    assert run(app, "approve", client["client_id"], *shown(app), "--reason", "known").exit_code == 0
    assert replaced(http, client, **PUBLIC, client_name="Another") == client
    ((row),) = waiting(app)
    assert row["requested"]["client_name"] == "Another" and "client_name" not in row["metadata"]
    assert run(app, "refuse", client["client_id"], "--reason", "no").exit_code == 0
    assert read(http, client).get_json() == client and waiting(app) == []
    replaced(http, client, **PUBLIC, client_name="Another")
    assert run(app, "approve", client["client_id"], *shown(app), "--reason", "yes").exit_code == 0
    assert read(http, client).get_json()["client_name"] == "Another"


def test_a_client_is_suspended_and_resumed(app: Flask, dynreg: DynamicRegistration) -> None:
    client = created(app)
    for word, active in (("suspend", False), ("resume", True)):
        assert run(app, word, client["client_id"], "--reason", "why").exit_code == 0
        assert facts(app, dynreg, client)[2:] == (active, "why")


def test_a_client_gets_a_new_secret_and_the_older_one_ends(app: Flask, dynreg: DynamicRegistration) -> None:
    client = created(app)

    def takes(secret: str) -> bool:
        with app.app_context():
            found = dynreg.query_client(client["client_id"])
            return found is not None and found.check_client_secret(secret)

    result = run(app, "rotate-secret", client["client_id"], "--keep", "60")
    fresh = json.loads(result.stdout)
    assert fresh["client_secret_expires_at"] == 0 and takes(fresh["client_secret"]) and takes(client["client_secret"])
    assert run(app, "drop-secrets", client["client_id"]).stdout == "The client has its newest secret alone.\n"
    assert takes(fresh["client_secret"]) and not takes(client["client_secret"])
    assert run(app, "rotate-secret", client["client_id"]).exit_code == 0 and not takes(fresh["client_secret"])
    for word in ("rotate-secret", "drop-secrets"):
        assert "There is no client with this id." in run(app, word, "gone").stderr
    assert run(app, "rotate-secret", client["client_id"], "--keep", "-1").exit_code == 2


def test_a_client_gets_a_new_token_and_its_older_ones_are_dead(
    app: Flask, dynreg: DynamicRegistration, http: FlaskClient
) -> None:
    client = created(app)
    token = run(app, "reissue-token", client["client_id"]).stdout.strip()
    assert read(http, client | {"registration_access_token": token}).get_json()["registration_access_token"] == token
    assert read(http, client).status_code == 401
    with app.app_context():
        events = dynreg._db.session.scalars(dynreg._db.select(dynreg.models.event.type))
        assert list(events) == ["registered", "token_reissued", "spent_token_used"]
    assert "There is no client with this id." in run(app, "reissue-token", "gone").stderr


@pytest.mark.parametrize("word", ["approve", "refuse", "suspend", "resume"])
def test_what_cannot_be_decided_is_said(app: Flask, word: str) -> None:
    of = ["--version", "2"] if word == "approve" else []
    result = run(app, word, "gone", *of, "--reason", "x")
    assert result.exit_code == 1 and "There is no client with this id." in result.stderr
    assert run(app, word, "gone", *of).exit_code == 2
    assert run(app, word, "gone", *of, "--reason", "x" * 256).exit_code == 2
    client = registered(app.test_client(), **PUBLIC)
    run(app, "refuse", client["client_id"], "--reason", "x")
    result = run(app, word, client["client_id"], *of, "--reason", "x")
    assert result.exit_code == 1 and "client" in result.stderr


def test_nobody_gets_a_token_that_nobody_can_use(make_app: MakeApp, sqlite_url: str) -> None:
    app = make_app(DYNREG_MANAGEMENT=[], SQLALCHEMY_DATABASE_URI=sqlite_url)
    result = run(app, "reissue-token", registered(app.test_client(), **PUBLIC)["client_id"])
    assert result.exit_code == 1 and "DYNREG_MANAGEMENT" in result.stderr


def test_the_command_says_that_tables_are_missing(app: Flask, dynreg: DynamicRegistration) -> None:
    with app.app_context():
        dynreg._db.drop_all()
    for words in (["waiting"], ["refuse", "x", "--reason", "x"], ["create", "-"]):
        result = run(app, *words, stdin=json.dumps(CLIENT))
        assert result.exit_code == 1 and "tables" in result.stderr
