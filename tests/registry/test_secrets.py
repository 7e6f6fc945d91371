"""The life of client secrets: new ones in time, older ones beside them, and an end to them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, event

from flask_dynreg import client_secret_rotated
from flask_dynreg.registry.secrets import MOST_OLDER
from tests.conformance.exchange import Client, read, registered, replaced, update
from tests.conftest import CLIENT, SERVER_METADATA
from tests.registry.conftest import StartHost
from tests.registry.host import Host

CLOCKS = {
    "DYNREG_CLIENT_SECRET_LIFETIME": 100,
    "DYNREG_CLIENT_SECRET_ROTATION_WINDOW": 30,
    "DYNREG_CLIENT_SECRET_OVERLAP": 20,
}
OLD_KEY, NEW_KEY = "A" * 42 + "E=", "B" * 42 + "E="
METHODS = ["client_secret_basic", "client_secret_jwt", "none"]
SIGNING = SERVER_METADATA | {
    "token_endpoint_auth_methods_supported": METHODS,
    "token_endpoint_auth_signing_alg_values_supported": ["HS256", "HS512"],
}


@pytest.fixture(params=[[], [NEW_KEY]], ids=["digest", "encrypted"])
def host(request: pytest.FixtureRequest, sqlite_url: str, start_host: StartHost) -> Host:
    return start_host(sqlite_url, DYNREG_SECRET_KEYS=request.param, **CLOCKS)


@pytest.fixture
def http(host: Host) -> FlaskClient:
    return host.app.test_client()


@contextmanager
def listening(engine: Engine, note: Callable[..., None]) -> Iterator[None]:
    event.listen(engine, "before_cursor_execute", note)
    yield
    event.remove(engine, "before_cursor_execute", note)


def good(host: Host, client: Client, *secrets: str) -> list[bool]:
    host.session.expire_all()
    found = host.dynreg.query_client(client["client_id"])
    assert found
    answers = [found.check_client_secret(secret) for secret in secrets]
    host.session.rollback()
    return answers


def sent(http: FlaskClient, client: Client, **changes: Any) -> Client:
    """The answer to an update with what the client knows."""
    answer = update(http, client, client | changes)
    assert answer.status_code == 200, answer.text
    told: Client = answer.get_json()
    return told


def secret(client: Client) -> str:
    return str(client["client_secret"])


def test_an_update_brings_a_new_secret_within_the_window(host: Host, http: FlaskClient) -> None:
    first = registered(http, **CLIENT)
    host.clock.now += 69
    assert sent(http, first).get("client_secret") in (None, secret(first))
    host.clock.now += 1
    second = sent(http, first)
    assert secret(second) != secret(first) and second["client_secret_expires_at"] == host.clock.now + 100
    assert good(host, first, secret(first), secret(second)) == [True, True]
    assert sent(http, second).get("client_secret") in (None, secret(second))
    host.clock.now += 19
    assert good(host, first, secret(first), secret(second)) == [True, True]
    host.clock.now += 1
    assert good(host, first, secret(first), secret(second)) == [False, True]


def test_a_secret_is_not_good_beyond_its_own_end(host: Host, http: FlaskClient) -> None:
    first = registered(http, **CLIENT)
    host.clock.now += 95
    second = sent(http, first)
    host.clock.now += 4
    assert good(host, first, secret(first), secret(second)) == [True, True]
    host.clock.now += 1
    assert good(host, first, secret(first), secret(second)) == [False, True]


@pytest.mark.parametrize("lateness", [10, 1000], ids=["within the overlap", "long after"])
@pytest.mark.parametrize("begins", [70, 100], ids=["within the window", "once it is over"])
def test_a_client_that_lost_the_answer_gets_another_secret(
    host: Host, http: FlaskClient, begins: int, lateness: int
) -> None:
    first = registered(http, **CLIENT)
    host.clock.now += begins
    lost = sent(http, first)
    host.clock.now += lateness
    third = sent(http, first)
    assert len({secret(first), secret(lost), secret(third)}) == 3
    assert good(host, first, secret(third)) == [True]
    assert good(host, first, secret(lost)) == [lateness < 100]
    host.clock.now += 20
    assert good(host, first, secret(first), secret(lost), secret(third)) == [False, False, True]


def test_answers_that_get_lost_never_drive_out_the_secret_that_the_client_has(host: Host, http: FlaskClient) -> None:
    first = registered(http, **CLIENT)
    host.clock.now += 70
    issued = [secret(sent(http, first)) for _ in range(7)]
    assert good(host, first, secret(first)) == [True]
    assert good(host, first, *issued).count(True) == MOST_OLDER
    assert good(host, first, issued[-1]) == [True]


def test_updates_without_a_secret_do_not_drive_it_out_either(sqlite_url: str, start_host: StartHost) -> None:
    clocks = {"DYNREG_CLIENT_SECRET_ROTATION_WINDOW": 99, "DYNREG_CLIENT_SECRET_OVERLAP": 100}
    host = start_host(sqlite_url, **CLOCKS | clocks)
    http = host.app.test_client()
    first = registered(http, **CLIENT)
    for _ in range(8):
        host.clock.now += 1
        replaced(http, first, **CLIENT)
        assert good(host, first, secret(first)) == [True]


def test_a_secret_that_was_never_the_clients_is_refused_as_before(host: Host, http: FlaskClient) -> None:
    first, other = registered(http, **CLIENT), registered(http, **CLIENT)
    host.clock.now += 70
    sent(http, first)
    for changes in (
        {"client_secret": secret(other)},
        {"client_secret_expires_at": first["client_secret_expires_at"] + 1},
    ):
        answer = update(http, first, first | changes)
        assert answer.status_code == 400
        assert [each["pointer"] for each in answer.get_json()["errors"]] == [f"/{next(iter(changes))}"]


def test_all_secrets_go_with_the_last_method_that_needs_one(host: Host, http: FlaskClient) -> None:
    first = registered(http, **CLIENT)
    host.clock.now += 70
    second = sent(http, first)
    replaced(http, first, **CLIENT, token_endpoint_auth_method="none")
    assert good(host, first, secret(first), secret(second)) == [False, False]
    third = replaced(http, first, **CLIENT)
    assert good(host, first, secret(first), secret(second), secret(third)) == [False, False, True]
    assert host.clients()[0]["older_client_secrets"] is None


def test_a_read_repeats_the_newest_that_is_kept_encrypted(host: Host, http: FlaskClient) -> None:
    first = registered(http, **CLIENT)
    host.clock.now += 70
    second = sent(http, first)
    told = read(http, first).get_json()
    assert told.get("client_secret") == (secret(second) if host.registrar.settings.secret_keys else None)


def test_signal_and_event_tell_of_a_new_secret_and_not_which(host: Host, http: FlaskClient) -> None:
    heard: list[str] = []

    def hear(sender: object, client_id: str, owner: str | None) -> None:
        heard.append(client_id)

    with client_secret_rotated.connected_to(hear, host.app):
        first = registered(http, **CLIENT)
        replaced(http, first, **CLIENT, token_endpoint_auth_method="none")
        first |= replaced(http, first, **CLIENT)
        assert heard == []
        host.clock.now += 70
        second = sent(http, first)
    assert heard == [first["client_id"]]
    assert json.loads(host.events()[-1]["details"]) == {"new_secret": True}
    told = str([*host.events()])
    assert secret(first) not in told and secret(second) not in told


def test_registering_writes_no_more_and_reading_asks_no_more_often(host: Host, http: FlaskClient) -> None:
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        statements.append(statement)

    with listening(host.db.engine, note):
        client = registered(http, **CLIENT)
        assert any("INSERT" in each for each in statements) and "older_client_secrets" not in "".join(statements)
        statements.clear()
        read(http, client)
    assert len(statements) == 1


# ---- As keys


def test_a_client_may_sign_with_each_secret_that_is_good(sqlite_url: str, start_host: StartHost) -> None:
    host = start_host(sqlite_url, DYNREG_SECRET_KEYS=[NEW_KEY], DYNREG_SERVER_METADATA=SIGNING, **CLOCKS)
    http = host.app.test_client()
    basic = registered(http, **CLIENT)

    def keys() -> list[str]:
        host.session.expire_all()
        found = host.dynreg.query_client(basic["client_id"])
        assert found and found.symmetric_key() == next(iter(found.symmetric_keys()), None)
        return found.symmetric_keys()

    first = sent(http, basic, token_endpoint_auth_method="client_secret_jwt")
    assert secret(first) != secret(basic)
    assert keys() == [secret(first)] and good(host, basic, secret(basic)) == [True]  # too short for HS512
    host.clock.now += 70
    second = sent(http, first)
    assert keys() == [secret(second), secret(first)]
    host.clock.now += 20
    assert keys() == [secret(second)]
    host.clock.now += 80
    assert keys() == []


# ---- Approval


def test_a_change_that_waits_does_not_keep_a_client_from_a_new_secret(sqlite_url: str, start_host: StartHost) -> None:
    host = start_host(sqlite_url, DYNREG_POLICIES=["approval"], **CLOCKS)
    http = host.app.test_client()
    first = registered(http, **CLIENT)
    host.dynreg.approve_client(first["client_id"], "known", version=1)
    host.session.commit()
    host.clock.now += 75
    second = sent(http, first, client_name="Another")
    assert secret(second) != secret(first) and "client_name" not in second
    host.dynreg.approve_client(first["client_id"], "fine", version=3)
    host.session.commit()
    assert good(host, first, secret(first), secret(second)) == [True, True]


def test_an_approval_within_the_window_takes_no_secret_away(sqlite_url: str, start_host: StartHost) -> None:
    host = start_host(sqlite_url, DYNREG_POLICIES=["approval"], **CLOCKS)
    http = host.app.test_client()
    first = registered(http, **CLIENT)
    host.dynreg.approve_client(first["client_id"], "known", version=1)
    host.session.commit()
    sent(http, first, client_name="Another")
    host.clock.now += 75
    host.dynreg.approve_client(first["client_id"], "fine", version=3)
    host.session.commit()
    assert good(host, first, secret(first)) == [True]


# ---- Operators


@pytest.mark.parametrize("keep", [0, 5])
def test_an_operator_gives_a_client_a_new_secret(host: Host, http: FlaskClient, keep: int) -> None:
    first = registered(http, **CLIENT)
    host.clock.now += 70
    second = sent(http, first)
    third = host.dynreg.rotate_client_secret(first["client_id"], keep=keep, by="ann")
    host.session.commit()
    assert good(host, first, secret(first), secret(second), third) == [keep > 0, keep > 0, True]
    host.clock.now += keep
    assert good(host, first, secret(first), secret(second), third) == [False, False, True]
    told = host.events()[-1]
    assert (told["type"], json.loads(told["details"])) == ("secret_rotated", {"keep": keep, "by": "ann"})
    assert update(http, first, first | {"client_secret": secret(second)}).status_code == (200 if keep else 400)
    assert update(http, first, CLIENT | {"client_id": first["client_id"], "client_secret": third}).status_code == 200


def test_an_operator_ends_the_older_ones(host: Host, http: FlaskClient) -> None:
    first = registered(http, **CLIENT)
    host.clock.now += 70
    second = sent(http, first)
    for _ in range(2):
        host.dynreg.drop_older_client_secrets(first["client_id"], by="ann")
        host.session.commit()
    assert good(host, first, secret(first), secret(second)) == [False, True]
    assert [told["type"] for told in host.events()] == ["registered", "updated", "older_secrets_dropped"]
    assert update(http, first, first).status_code == 400


def test_what_cannot_be_done_is_said(sqlite_host: Host) -> None:
    public = sqlite_host.registered(token_endpoint_auth_method="none").client.client_id
    confidential = sqlite_host.registered().client.client_id
    rotate = sqlite_host.dynreg.rotate_client_secret
    with pytest.raises(ValueError, match="needs a secret"):
        rotate(public)
    with pytest.raises(ValueError, match="keep must be 0"):
        rotate(confidential, keep=-1)
    for change in (rotate, sqlite_host.dynreg.drop_older_client_secrets):
        with pytest.raises(LookupError):
            change("gone")
