"""Clients in the store, with the event of each change: what is written, by whom it is found, and who loses a race."""

import json
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from flask_dynreg import Principal
from flask_dynreg.errors import RaceLostError, UnknownTokenError
from flask_dynreg.registry.models import table_of
from tests.conftest import CLIENT, ISSUER, SERVER_METADATA
from tests.registry.conftest import StartHost
from tests.registry.host import Host


def test_a_client_and_its_event_are_written_in_one_transaction(host: Host) -> None:
    registered = host.register()
    assert host.clients() == host.events() == []
    host.session.commit()
    (client,), (event,) = host.clients(), host.events()
    assert client["client_id"] == event["client_id"] == registered.client.client_id
    assert event["type"] == "registered"


def test_what_is_rolled_back_leaves_nothing(host: Host) -> None:
    registered = host.register()
    host.session.rollback()
    assert host.clients() == host.events() == []
    with pytest.raises(UnknownTokenError):
        host.record(registered)


def test_a_row_holds_what_is_known_of_a_client_and_no_secret_in_the_clear(sqlite_host: Host) -> None:
    registered = sqlite_host.registered(Principal("open"), client_name="A client")
    (row,) = sqlite_host.clients()
    assert json.loads(row["client_metadata"]) == {
        **CLIENT,
        "client_name": "A client",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic",
    }
    assert row["client_secret"].startswith("sha256:") and row["registration_access_token"].startswith("sha256:")
    assert (row["issuer"], row["source"], row["initial_access_token_id"]) == (ISSUER, "open", None)
    assert (row["version"], row["client_secret_expires_at"]) == (1, 0)
    assert row["client_id_issued_at"] == row["updated_at"] == sqlite_host.clock.now
    kept = " ".join(map(str, row.values()))
    assert registered.client_secret and registered.client_secret not in kept
    assert registered.registration_access_token not in kept


def test_a_public_client_has_no_secret(sqlite_host: Host) -> None:
    registered = sqlite_host.registered(token_endpoint_auth_method="none")
    assert registered.client_secret is None
    assert sqlite_host.clients()[0]["client_secret"] is None


def test_an_event_tells_when_through_which_door_and_what_was_taken(sqlite_host: Host) -> None:
    token = sqlite_host.dynreg.issue_initial_access_token()
    principal = sqlite_host.registrar.tokens.find(token)
    assert principal
    token_id = principal.initial_access_token_id
    sqlite_host.registered(principal, grant_types=["password", "authorization_code"])
    sqlite_host.registered()
    first, second = sqlite_host.events()
    assert first["source"] == "initial_access_token" and first["initial_access_token_id"] == token_id
    assert json.loads(first["details"]) == {"taken": {"grant_types": ["password"]}}
    assert second["source"] == "open" and second["initial_access_token_id"] is second["details"] is None
    assert {event["issuer"] for event in (first, second)} == {ISSUER}
    assert {event["occurred_at"] for event in (first, second)} == {sqlite_host.clock.now}


@pytest.mark.parametrize(
    "metadata",
    [
        {
            "client_name": "\U0001f468\u200d\U0001f469 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 e\u0301 \u00e9 %s '\"\\"
        },
        {"contacts": ["\U0010fffd" * 255] * 100},
        {"redirect_uris": [f"https://client.example/{number}/{'x' * 1000}" for number in range(100)]},
        {"client_name#ja": "\u65e5\u672c"},
    ],
    ids=["characters", "large", "many", "tagged"],
)
def test_metadata_comes_back_as_it_was_whatever_the_database(host: Host, metadata: dict[str, Any]) -> None:
    registered = host.registered(**metadata)
    for client in (host.record(registered), host.dynreg.query_client(registered.client.client_id)):
        assert client
        assert {name: client.client_metadata[name] for name in metadata} == metadata


# ---- Who finds a client


def test_a_client_is_found_by_its_id_and_its_own_token(sqlite_host: Host) -> None:
    one, other = sqlite_host.registered(), sqlite_host.registered()
    assert sqlite_host.record(one).client_id == one.client.client_id
    wrong = other.registration_access_token
    mistyped = one.registration_access_token[:-1] + ("a" if one.registration_access_token[-1] != "a" else "b")
    for client_id, token in [
        (one.client.client_id, wrong),
        (one.client.client_id, mistyped),
        (one.client.client_id, one.client_secret or ""),
        (one.client.client_id, ""),
        (one.client.client_id.upper(), one.registration_access_token),
        (one.client.client_id + "\0", one.registration_access_token),
        ("\u00e9", one.registration_access_token),
        ("", one.registration_access_token),
        ("x" * 256, one.registration_access_token),
    ]:
        with pytest.raises(UnknownTokenError):
            sqlite_host.registrar.authenticate(client_id, token)


def test_ids_that_differ_in_case_alone_are_different_clients(host: Host) -> None:
    table = table_of(host.models.client)
    for client_id in ("abc", "ABC"):
        host.session.execute(
            insert(table).values(client_id=client_id, client_metadata=json.dumps({"client_name": client_id}))
        )
    host.session.commit()
    for client_id in ("abc", "ABC"):
        client = host.dynreg.query_client(client_id)
        assert client and client.client_name == client_id
    assert host.dynreg.query_client("Abc") is None


def test_an_issuer_does_not_see_the_clients_of_another(any_database_url: str, start_host: StartHost) -> None:
    other = start_host(any_database_url, DYNREG_SERVER_METADATA=SERVER_METADATA | {"issuer": "https://other.example"})
    theirs = other.registered()
    host = start_host(any_database_url)
    assert host.dynreg.query_client(theirs.client.client_id) is None
    with pytest.raises(UnknownTokenError):
        host.record(theirs)
    ours = host.registered()
    assert host.dynreg.query_client(ours.client.client_id)
    assert [row["issuer"] for row in host.events()] == ["https://other.example", ISSUER]


def test_a_client_without_an_issuer_is_one_of_an_earlier_table_and_everybodys(sqlite_host: Host) -> None:
    registered = sqlite_host.registered()
    sqlite_host.session.execute(update(table_of(sqlite_host.models.client)).values(issuer=None))
    sqlite_host.session.commit()
    assert sqlite_host.dynreg.query_client(registered.client.client_id)
    assert sqlite_host.record(registered).client_id == registered.client.client_id


# ---- Update


def test_an_update_replaces_the_metadata_and_is_an_event(host: Host) -> None:
    registered = host.registered(client_name="Before", contacts=["a@client.example"])
    host.clock.now += 60
    record = host.record(registered)
    host.registrar.update(record, host.checked(client_name="After", response_types=["code", "token"]))
    assert json.loads(host.clients()[0]["client_metadata"])["client_name"] == "Before" and len(host.events()) == 1
    host.session.commit()
    (row,), (_, event) = host.clients(), host.events()
    metadata = json.loads(row["client_metadata"])
    assert metadata["client_name"] == "After" and "contacts" not in metadata
    assert (row["version"], row["updated_at"], row["client_id_issued_at"]) == (2, host.clock.now, host.clock.now - 60)
    assert row["registration_access_token"] == registered.client.registration_access_token
    assert row["client_secret"] == registered.client.client_secret
    assert (event["type"], event["occurred_at"]) == ("updated", host.clock.now)
    assert host.details()[1] == {"taken": {"response_types": ["token"]}}


def test_a_record_is_the_new_one_after_an_update(sqlite_host: Host) -> None:
    record = sqlite_host.record(sqlite_host.registered())
    for name in ("First", "Second"):
        sqlite_host.registrar.update(record, sqlite_host.checked(client_name=name))
        assert record.client_name == name
    sqlite_host.session.commit()
    assert sqlite_host.clients()[0]["version"] == 3


def test_of_two_updates_of_the_same_state_the_second_loses_and_writes_nothing(host: Host) -> None:
    registered = host.registered()
    first, second = host.record(registered), host.record(registered)
    host.registrar.update(first, host.checked(client_name="First"))
    with pytest.raises(RaceLostError):
        host.registrar.update(second, host.checked(client_name="Second"))
    host.session.commit()
    assert json.loads(host.clients()[0]["client_metadata"])["client_name"] == "First"
    assert [event["type"] for event in host.events()] == ["registered", "updated"]


# ---- Deletion


def test_a_deleted_client_is_gone_and_its_events_stay(host: Host) -> None:
    registered = host.registered()
    host.registrar.delete(host.record(registered))
    assert len(host.clients()) == 1
    host.session.commit()
    assert host.clients() == []
    assert [(event["type"], event["client_id"]) for event in host.events()] == [
        ("registered", registered.client.client_id),
        ("deleted", registered.client.client_id),
    ]
    assert host.dynreg.query_client(registered.client.client_id) is None
    with pytest.raises(UnknownTokenError):
        host.record(registered)


def test_a_client_that_changed_meanwhile_is_neither_deleted_nor_deleted_twice(host: Host) -> None:
    registered = host.registered()
    stale, record = host.record(registered), host.record(registered)
    host.registrar.update(record, host.checked(client_name="New"))
    with pytest.raises(RaceLostError):
        host.registrar.delete(stale)
    host.session.commit()
    record, twice = host.record(registered), host.record(registered)
    host.registrar.delete(record)
    with pytest.raises(RaceLostError):
        host.registrar.delete(twice)
    with pytest.raises(RaceLostError):
        host.registrar.update(twice, host.checked())
    host.session.commit()
    assert [event["type"] for event in host.events()] == ["registered", "updated", "deleted"]


def test_one_client_is_deleted_and_the_others_stay(sqlite_host: Host) -> None:
    one, other = sqlite_host.registered(), sqlite_host.registered()
    sqlite_host.registrar.delete(sqlite_host.record(one))
    sqlite_host.session.commit()
    assert [row["client_id"] for row in sqlite_host.clients()] == [other.client.client_id]


def test_an_id_is_there_once_and_a_collision_in_a_savepoint_harms_nothing_else(host: Host) -> None:
    registered = host.register()
    checked = host.checked()
    information = host.registrar.new_client_information(host.checked(token_endpoint_auth_method="none")) | {
        "client_id": registered.client.client_id
    }
    with pytest.raises(IntegrityError), host.session.begin_nested():
        host.registrar.register(information, checked, Principal("open"))
    host.session.commit()
    assert len(host.clients()) == len(host.events()) == 1
