"""Answers that are kept for clients that lose them, and what is noted of a client's use."""

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import RowMapping, select
from werkzeug.test import TestResponse

from flask_dynreg import TemporarilyUnavailableError
from flask_dynreg.registry.claims import CLEARING
from flask_dynreg.registry.clients import USES_NOTED_EVERY
from flask_dynreg.registry.kept_answers import LIFETIME
from tests.conformance.exchange import bearer, read
from tests.conftest import CLIENT, ISSUER, SERVER_METADATA
from tests.hosts import app_whose_database_is_down, heard
from tests.registry.answer_race import raced
from tests.registry.conftest import StartHost
from tests.registry.host import Host

KEY, OTHER_KEY = "b7c1e0d2-6a0f-4d53-9d0e-0f6d3c1b9a44", "5f1e7c0a-2b0d-4c8e-8a67-3f0f3b8f0c11"
ON = {"DYNREG_IDEMPOTENCY": True, "DYNREG_LIMITS": []}


@pytest.fixture
def keeping(any_database_url: str, start_host: StartHost) -> Host:
    """A host that keeps answers, on each of the databases."""
    return start_host(any_database_url, **ON)


def post(host: Host, key: str = KEY, **headers: str) -> TestResponse:
    return host.app.test_client().post("/oauth2/register", json=CLIENT, headers={"Idempotency-Key": key, **headers})


def kept(host: Host) -> list[RowMapping]:
    table: Any = host.models.kept_answer.__table__
    with host.db.engine.connect() as connection:
        return list(connection.execute(select(table)).mappings())


# ---- Answers


def test_nothing_secret_is_readable(keeping: Host) -> None:
    token = keeping.dynreg.issue_initial_access_token()
    keeping.session.commit()
    client = post(keeping, **bearer(token)).get_json()
    (row,) = kept(keeping)
    text = " ".join(map(str, row.values()))
    for secret in (
        client["client_secret"],
        client["registration_access_token"],
        KEY,
        token,
        CLIENT["redirect_uris"][0],
    ):
        assert secret not in text
    assert (row["issuer"], row["client_id"]) == (ISSUER, client["client_id"])
    assert row["expires_at"] == client["client_id_issued_at"] + LIFETIME


def test_a_row_of_one_attempt_is_none_of_another(keeping: Host) -> None:
    for key in (KEY, OTHER_KEY):
        post(keeping, key)
    first, second = kept(keeping)
    for name in ("digest", "client_id", "answer"):
        assert first[name] != second[name]


def test_an_answer_is_kept_for_ten_minutes(keeping: Host) -> None:
    first = post(keeping)
    keeping.clock.now += LIFETIME - 1
    assert post(keeping).data == first.data
    keeping.clock.now += 1
    second = post(keeping)
    assert second.status_code == 201 and second.get_json()["client_id"] != first.get_json()["client_id"]
    assert post(keeping).data == second.data
    assert len(kept(keeping)) == 1 and len(keeping.clients()) == 2


def test_a_key_is_used_up_for_as_long(keeping: Host) -> None:
    read(keeping.app.test_client(), post(keeping).get_json())
    keeping.clock.now += LIFETIME - 1
    assert post(keeping).status_code == 409
    keeping.clock.now += 1
    assert post(keeping).status_code == 201


def test_what_is_over_is_removed_on_the_way(keeping: Host) -> None:
    for number in range(3):
        post(keeping, f"{KEY}-{number}")
    keeping.clock.now += LIFETIME + CLEARING
    post(keeping, OTHER_KEY)
    assert len(kept(keeping)) == 1


def test_a_key_is_that_of_its_authorization_server(any_database_url: str, start_host: StartHost) -> None:
    other = {"DYNREG_SERVER_METADATA": SERVER_METADATA | {"issuer": "https://other.example"}}
    hosts = [start_host(any_database_url, **ON), start_host(any_database_url, **ON, **other)]
    answers = [post(host).get_json() for host in hosts]
    assert answers[0]["client_id"] != answers[1]["client_id"]
    assert [post(host).get_json() for host in hosts] == answers


def test_of_many_at_once_one_registers_and_all_are_told_the_same(keeping: Host, any_database_url: str) -> None:
    """With 200 keys and 4 processes of 20 threads it takes minutes: `python -m tests.registry.answer_race`."""
    token = keeping.dynreg.issue_initial_access_token(uses=5)
    keeping.session.commit()
    answers = raced(any_database_url, token, keys=5, processes=2, threads=4)
    assert Counter((number, status) for number, status, _ in answers) == {(number, 201): 8 for number in range(5)}
    assert len({body for _, _, body in answers}) == len(keeping.clients()) == len(keeping.events()) == 5
    assert [row["uses"] for row in keeping.tokens()] == [5]


# ---- Use


def touched(host: Host, client_id: str) -> list[str]:
    """What was said to the database."""
    client = host.dynreg.query_client(client_id)
    assert client
    with heard(host.db.engine) as words:
        client.touch()
        assert not host.session.dirty
        host.session.commit()
    return words


def test_the_use_of_a_client_is_noted_once_an_hour(host: Host) -> None:
    client_id = host.registered().client.client_id
    (before,) = host.clients()
    start = host.clock.now
    assert before["last_used_at"] is None
    assert touched(host, client_id) == ["UPDATE", "COMMIT"]
    host.clock.now += USES_NOTED_EVERY - 1
    assert "UPDATE" not in touched(host, client_id)
    assert [*host.clients()] == [{**before, "last_used_at": start}]
    host.clock.now += 1
    assert touched(host, client_id) == ["UPDATE", "COMMIT"]
    assert [*host.clients()] == [{**before, "last_used_at": host.clock.now}]
    assert [row["type"] for row in host.events()] == ["registered"]


def test_it_is_noted_in_the_hosts_transaction(host: Host) -> None:
    client = host.dynreg.query_client(host.registered().client.client_id)
    assert client
    client.touch()
    assert client.last_used_at == host.clock.now and host.clients()[0]["last_used_at"] is None
    host.session.rollback()
    assert client.last_used_at is None and host.clients()[0]["last_used_at"] is None


def test_another_worker_that_has_noted_it_is_not_undone(host: Host) -> None:
    client = host.dynreg.query_client(host.registered().client.client_id)
    assert client and client.last_used_at is None
    with host.app.app_context():  # with a session of its own
        host.clock.now += 1
        touched(host, client.client_id)
    host.clock.now -= 1
    client.touch()
    host.session.commit()
    assert host.clients()[0]["last_used_at"] == host.clock.now + 1


def test_a_database_that_is_down_is_told_as_authlib_answers_it() -> None:
    with app_whose_database_is_down() as (app, dynreg), app.app_context():
        client = dynreg.models.client()
        client.client_id = "a"
        with pytest.raises(TemporarilyUnavailableError):
            client.touch()
        assert client.last_used_at is None
