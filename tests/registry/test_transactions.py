"""The host's session: what it has begun is neither committed nor rolled back, and what is only read leaves nothing open."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.pool import QueuePool

from flask_dynreg import Fetched, TemporarilyUnavailableError
from flask_dynreg.errors import RaceLostError
from flask_dynreg.lifecycle.clients import Registered
from tests.conftest import CLIENT, SERVER_METADATA
from tests.hosts import heard
from tests.metadata.keys import ec_jwk
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


# ---- What is held while a document is fetched

JWKS_URI = "https://client.example/jwks.json"
JWK_SET = json.dumps({"keys": [ec_jwk(kid="one")]}).encode()


class Fetches:
    """A host's own fetcher, which tells what the host held of its database meanwhile."""

    def __init__(self) -> None:
        self.held: list[int] = []
        self.host: Host | None = None

    def __call__(self, url: str, *, client_id: str | None = None) -> Fetched:
        assert self.host
        pool = self.host.db.engine.pool
        assert isinstance(pool, QueuePool)
        self.held.append(pool.checkedout())
        return Fetched(JWK_SET, "application/json", None)


@pytest.fixture
def fetches() -> Fetches:
    return Fetches()


@pytest.fixture
def fetching_host(any_database_url: str, start_host: StartHost, fetches: Fetches) -> Host:
    metadata = SERVER_METADATA | {
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
    }
    fetches.host = start_host(any_database_url, fetcher=fetches, DYNREG_SERVER_METADATA=metadata)
    return fetches.host


def client_with_keys(host: Host) -> Any:
    registered = host.registered(token_endpoint_auth_method="private_key_jwt", jwks_uri=JWKS_URI)
    client = host.dynreg.query_client(registered.client.client_id)
    assert client
    return client


def test_who_has_only_read_holds_no_connection_while_keys_are_fetched(fetching_host: Host, fetches: Fetches) -> None:
    client = client_with_keys(fetching_host)
    fetching_host.session.scalars(select(fetching_host.Note)).all()
    fetching_host.session.execute(text("SELECT 1"))
    assert fetching_host.session.in_transaction()
    assert [key.kid for key in client.key_set().keys] == ["one"]
    assert fetches.held == [0]
    with heard(fetching_host.db.engine) as words:
        assert client.client_name == CLIENT.get("client_name") and client.source == "open"
    assert words == []  # it was not read again
    assert fetching_host.session.expire_on_commit


def flushed(host: Host, instance: Any) -> None:
    host.session.add(instance)
    host.session.flush()


WRITTEN: dict[str, Callable[[Host], Any]] = {
    "pending": lambda host: host.session.add(host.Note(text="mine")),
    "flushed": lambda host: flushed(host, host.Note(text="mine")),
    "in bulk": lambda host: host.session.bulk_save_objects([host.Note(text="mine")]),
    "past the session": lambda host: host.session.connection().execute(insert(host.Note.__table__).values(text="mine")),
    "inserted": lambda host: host.session.execute(insert(host.Note).values(text="mine")),
    "updated": lambda host: host.session.execute(update(host.Note).values(text="mine")),
    "in words": lambda host: host.session.execute(text("UPDATE note SET text = 'mine'")),
    "locked": lambda host: host.session.execute(text("SELECT 1 /* FOR UPDATE */")),
    "by us": lambda host: host.dynreg.issue_initial_access_token(),
    "in a savepoint": lambda host: host.session.begin_nested(),
    "before a savepoint": lambda host: (host.dynreg.issue_initial_access_token(), host.session.begin_nested().commit()),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_is_fetched_while_something_is_not_committed(fetching_host: Host, fetches: Fetches, name: str) -> None:
    client = client_with_keys(fetching_host)
    WRITTEN[name](fetching_host)
    with pytest.raises(TemporarilyUnavailableError):
        client.key_set()
    assert fetches.held == [] and fetching_host.session.in_transaction()
    fetching_host.session.rollback()
    assert client.key_set() and fetches.held == [0]


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
