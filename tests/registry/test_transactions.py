"""The host's session: what it has begun is neither committed nor rolled back, and what is only read leaves nothing open."""

from collections.abc import Callable
from typing import Any

import pytest

from flask_dynreg.registrar import RaceLostError, Registered
from tests.conftest import CLIENT
from tests.hosts import heard
from tests.registry.conftest import StartHost
from tests.registry.host import Host

Call = Callable[[Host, Registered], Any]

READS: dict[str, Call] = {
    "authenticate": lambda host, client: host.record(client),
    "find a token": lambda host, client: host.registrar.tokens.find(client.registration_access_token),
    "check": lambda host, client: host.checked(),
}
WRITES: dict[str, Call] = {
    "register": lambda host, client: host.register(),
    "update": lambda host, client: host.registrar.update(host.record(client), host.checked(client_name="New")),
    "delete": lambda host, client: host.registrar.delete(host.record(client)),
    "issue a token": lambda host, client: host.dynreg.issue_initial_access_token(),
}
CALLS = READS | WRITES | {"query_client": lambda host, client: host.dynreg.query_client(client.client.client_id)}


def state(host: Host) -> list[Any]:
    """All that everybody sees."""
    return [
        list(host.rows(model)) for model in (host.models.client, host.models.event, host.models.initial_access_token)
    ]


def lost_race(host: Host, client: Registered) -> None:
    stale = host.record(client)
    host.registrar.update(host.record(client), host.checked(client_name="New"))
    with pytest.raises(RaceLostError):
        host.registrar.update(stale, host.checked())


# ---- What the host has begun


def test_what_a_host_has_pending_is_not_committed(host: Host) -> None:
    client = host.registered()
    before = state(host)
    for name, call in CALLS.items():
        host.session.add(host.Note(text="pending"))
        call(host, client)
        assert host.notes() == [] and state(host) == before, name
        host.session.rollback()
        assert host.notes() == [] and state(host) == before, name


def test_what_a_host_has_pending_is_not_rolled_back(host: Host) -> None:
    for name, call in CALLS.items():
        client = host.registered()
        before = state(host)
        host.session.add(host.Note(text=f"flushed: {name}"))
        host.session.flush()
        host.session.add(host.Note(text=f"pending: {name}"))
        call(host, client)
        host.session.commit()
        assert {f"flushed: {name}", f"pending: {name}"} <= set(host.notes())
        assert (state(host) != before) is (name in WRITES)


def test_a_race_that_is_lost_rolls_nothing_back(host: Host) -> None:
    client = host.registered()
    host.session.add(host.Note(text="pending"))
    lost_race(host, client)
    host.session.commit()
    assert host.notes() == ["pending"]
    assert host.clients()[0]["version"] == 2


def test_a_read_sees_what_the_hosts_transaction_has_written(host: Host) -> None:
    registered = host.register(client_name="Not committed")
    assert host.record(registered).client_name == "Not committed"
    assert host.dynreg.query_client(registered.client.client_id)
    token = host.dynreg.issue_initial_access_token()
    assert host.registrar.tokens.find(token) is not None
    assert host.clients() == host.tokens() == []


def test_only_a_request_commits(sqlite_host: Host) -> None:
    for name, write in WRITES.items():
        client = sqlite_host.registered()
        with heard(sqlite_host.db.engine) as words:
            write(sqlite_host, client)
        assert "COMMIT" not in words, name
        sqlite_host.session.rollback()
    with heard(sqlite_host.db.engine) as words:
        assert sqlite_host.app.test_client().post("/oauth2/register", json=CLIENT).status_code == 201
    assert words.count("COMMIT") == 1


# ---- What is only read


def test_a_read_leaves_no_transaction_open_and_commits_nothing(host: Host) -> None:
    client = host.registered()
    host.session.close()
    for name, read in READS.items():
        with heard(host.db.engine) as words:
            read(host, client)
        assert not host.session.in_transaction(), name
        assert set(words) <= {"SELECT"}, name
        assert host.db.engine.pool.status().find("Current Checked out connections: 0") >= 0, name


def test_reads_come_to_see_what_others_commit(host: Host) -> None:
    registered = host.registered()
    assert host.record(registered).client_name is None
    with host.app.app_context():
        host.registrar.update(host.record(registered), host.checked(client_name="New"))
        host.session.commit()
    assert host.record(registered).client_name == "New"


def test_a_database_in_memory_is_read_through_the_one_connection_that_knows_it(start_host: StartHost) -> None:
    host = start_host("sqlite://")
    registered = host.registered()
    assert host.record(registered).client_id == registered.client.client_id


# ---- Instances that the session holds


def test_an_instance_in_the_session_follows_what_is_written_beside_it(host: Host) -> None:
    registered = host.registered()
    instance = host.dynreg.query_client(registered.client.client_id)
    assert instance and instance.client_name is None
    host.registrar.update(host.record(registered), host.checked(client_name="New"))
    assert instance.client_name == "New" and instance.version == 2
    host.session.rollback()
    assert instance.client_name is None and instance.version == 1


def test_an_instance_of_a_deleted_client_stands_in_nobodys_way(host: Host) -> None:
    registered, other = host.registered(), host.registered()
    instances = [host.dynreg.query_client(each.client.client_id) for each in (registered, other)]
    host.session.commit()  # which makes them read their rows again
    host.registrar.delete(host.record(registered))
    assert host.dynreg.query_client(registered.client.client_id) is None
    host.registrar.delete(host.record(other))
    host.session.commit()
    assert all(instances) and host.clients() == []


def test_what_a_host_changed_about_an_instance_stays(host: Host) -> None:
    registered = host.registered()
    instance = host.dynreg.query_client(registered.client.client_id)
    assert instance
    instance.source = "moved"
    host.registrar.update(host.record(registered), host.checked(client_name="New"))
    host.session.commit()
    (row,) = host.clients()
    assert (row["source"], row["version"]) == ("moved", 2)
    assert instance.client_name == "New"


def test_an_instance_of_another_client_is_left_alone(host: Host) -> None:
    registered, other = host.registered(), host.registered()
    instance = host.dynreg.query_client(other.client.client_id)
    assert instance
    with heard(host.db.engine) as words:
        host.registrar.update(host.record(registered), host.checked())
        words.clear()
        assert instance.client_id == other.client.client_id
    assert words == []
