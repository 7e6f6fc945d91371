"""Versions of a client's metadata: who changed what, what differs, and back to an older one."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from flask_dynreg import ConfigurationError
from flask_dynreg.errors import RaceLostError, RefusedMetadataError
from flask_dynreg.lifecycle.clients import Registered, Withdrawal
from flask_dynreg.lifecycle.history import Version
from flask_dynreg.registry.chains import Found
from tests.registry.conftest import StartHost
from tests.registry.host import Host, client_id
from tests.registry.update_race import raced


def change(host: Host, registered: Registered, **metadata: Any) -> None:
    host.clock.now += 10
    host.registrar.update(host.record(registered), host.checked(**metadata))
    host.session.commit()


def versions(host: Host, registered: Registered) -> list[Version]:
    return host.registrar.versions(client_id(registered))


def named(host: Host, registered: Registered) -> list[tuple[int, str | None]]:
    """Each version with the name of the client, `-` where it is not kept."""
    return [
        (each.version, "-" if each.metadata is None else each.metadata.get("client_name"))
        for each in versions(host, registered)
    ]


def test_every_version_tells_who_when_how_and_what_changed(host: Host) -> None:
    registered = host.registered(client_name="One", contacts=["ann@client.example"])
    change(host, registered, client_name="Two", tos_uri="https://client.example")
    host.dynreg.suspend_client(client_id(registered), "odd")
    host.session.commit()
    first, second = versions(host, registered)
    assert (first.version, first.type, first.source, first.by, first.changed) == (1, "registered", "open", None, ())
    assert (second.version, second.type, second.source, second.by) == (2, "updated", "open", None)
    assert second.changed == ("client_name", "contacts", "tos_uri")
    assert second.occurred_at - first.occurred_at == 10
    assert first.metadata and first.metadata["contacts"] == ["ann@client.example"]
    assert second.metadata == host.record(registered).client_metadata


def test_an_update_that_changes_nothing_is_no_version(sqlite_host: Host) -> None:
    registered = sqlite_host.registered()
    change(sqlite_host, registered)
    assert named(sqlite_host, registered) == [(1, None)]
    assert sqlite_host.events()[1]["metadata_before"] is None


def test_what_an_operator_does_is_in_their_name(sqlite_url: str, start_host: StartHost) -> None:
    host = start_host(sqlite_url, DYNREG_POLICIES=["approval"])
    registered = host.registered(client_name="One")
    host.dynreg.approve_client(client_id(registered), "fine", version=1, by="ann")
    host.session.commit()
    change(host, registered, client_name="Two")
    assert named(host, registered) == [(1, "One")]
    host.dynreg.approve_client(client_id(registered), "fine", version=3, by="bob")
    host.session.commit()
    assert named(host, registered) == [(1, "One"), (4, "Two")]
    last = versions(host, registered)[-1]
    assert (last.type, last.by, last.changed) == ("approved", "bob", ("client_name",))
    assert host.registrar.diff(client_id(registered), 1, 4) == {"client_name": ("One", "Two")}


@pytest.mark.parametrize(("kept", "names"), [(0, "---D"), (1, "--CD"), (2, "-BCD"), (20, "ABCD")])
def test_no_more_versions_are_kept_than_the_setting_says(
    any_database_url: str, start_host: StartHost, kept: int, names: str
) -> None:
    host = start_host(any_database_url, DYNREG_HISTORY=kept)
    registered = host.registered(client_name="A")
    for name in "BCD":
        change(host, registered, client_name=name)
    assert named(host, registered) == list(enumerate(names, 1))
    assert len(versions(host, registered)[-1].changed) == 1
    assert list(host.registrar.chains.verify(Found())) == []


def with_names(host: Host, names: str) -> Registered:
    """A client that was called so, one name after the other."""
    registered = host.registered(client_name=names[0])
    for name in names[1:]:
        change(host, registered, client_name=name)
    return registered


@pytest.mark.parametrize(("kept", "names", "erased"), [(0, "---D", 6), (1, "--CD", 4), (2, "-BCD", 2), (3, "ABCD", 0)])
def test_what_the_setting_keeps_no_more_is_erased_at_once(
    any_database_url: str,
    start_host: StartHost,
    monkeypatch: pytest.MonkeyPatch,
    kept: int,
    names: str,
    erased: int,
) -> None:
    monkeypatch.setattr("flask_dynreg.registry.retention.AT_ONCE", 3)
    earlier = start_host(any_database_url)
    clients = [with_names(earlier, "ABCD"), earlier.registered(client_name="A"), with_names(earlier, "ABCD")]
    earlier.dynreg.suspend_client(client_id(clients[0]), "odd")
    earlier.dynreg.close_registration("x")
    earlier.session.commit()
    host = start_host(any_database_url, DYNREG_HISTORY=kept)
    assert sum(host.registrar.retention.erase_older("ann")) == erased
    host.session.commit()
    for registered, right in zip(clients, (names, "A", names), strict=True):
        assert named(host, registered) == list(enumerate(right, 1))
    told = [json.loads(row["details"]) for row in host.rows(host.models.event) if row["type"] == "versions_erased"]
    assert sum(each["versions"] for each in told) == erased and {each["by"] for each in told} <= {"ann"}
    assert list(host.registrar.retention.erase_older()) == []
    assert list(host.registrar.chains.verify(Found())) == []


def test_what_a_version_before_which_was_pruned_had_is_reached(any_database_url: str, start_host: StartHost) -> None:
    host = start_host(any_database_url)
    registered = with_names(host, "ABC")
    host.clock.now += 100
    list(host.registrar.retention.prune(host.clock.now))
    host.session.commit()
    assert named(host, registered) == [(3, "C")]
    change(host, registered, client_name="D")
    assert named(host, registered) == [(3, "C"), (4, "D")]
    assert [each.type for each in versions(host, registered)] == ["pruned", "updated"]
    assert host.registrar.diff(client_id(registered), 3, 4) == {"client_name": ("C", "D")}
    with pytest.raises(ValueError, match="not kept"):
        host.registrar.diff(client_id(registered), 2, 4)
    host.registrar.roll_back(client_id(registered), 3)
    host.session.commit()
    assert named(host, registered)[-1] == (5, "C")


def test_clients_change_while_versions_are_erased(
    any_database_url: str, start_host: StartHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flask_dynreg.registry.retention.AT_ONCE", 3)
    earlier = start_host(any_database_url)
    clients = [with_names(earlier, "ABCD") for _ in range(3)]
    host = start_host(any_database_url, DYNREG_HISTORY=1)
    for number, _ in enumerate(host.registrar.retention.erase_older()):
        host.session.commit()
        change(host, clients[number % 3], client_name=f"E{number}")
    host.session.commit()
    for registered in clients:
        metadata = [each.metadata for each in versions(host, registered)]
        assert sum(each is not None for each in metadata) == 2 and None not in metadata[-2:]
    assert list(host.registrar.chains.verify(Found())) == []


def test_the_setting_is_a_whole_number(start_host: StartHost, sqlite_url: str) -> None:
    with pytest.raises(ConfigurationError, match="DYNREG_HISTORY must be a whole number"):
        start_host(sqlite_url, DYNREG_HISTORY=-1)


def test_of_what_happened_before_the_trail_no_metadata_are_known(sqlite_host: Host) -> None:
    registered = sqlite_host.registered(client_name="One")
    change(sqlite_host, registered, client_name="Two")
    before = (
        "UPDATE dynreg_event SET link = NULL, previous = NULL, version = NULL, details = NULL, metadata_before = NULL"
    )
    for statement in (before, "UPDATE dynreg_client SET trail_head = NULL"):
        sqlite_host.session.execute(text(statement))
    sqlite_host.session.commit()
    change(sqlite_host, registered, client_name="Three")
    assert named(sqlite_host, registered) == [(3, "Three")]
    assert sqlite_host.registrar.diff(client_id(registered), 3, 3) == {}
    assert list(sqlite_host.registrar.chains.verify(Found())) == []


def test_the_versions_of_a_client_that_is_gone_are_not_those_of_another_with_its_id(sqlite_host: Host) -> None:
    sqlite_host.dynreg.create_client({"redirect_uris": ["https://a.example"]}, client_id="ours")
    sqlite_host.registrar.delete(sqlite_host.registrar.known_client("ours"))
    sqlite_host.clock.now += sqlite_host.registrar.settings.tombstone_retention
    assert sqlite_host.registrar.clear_tombstones(10) == 1
    sqlite_host.dynreg.create_client({"redirect_uris": ["https://b.example"]}, client_id="ours")
    sqlite_host.session.commit()
    (version,) = sqlite_host.registrar.versions("ours")
    assert version.metadata and version.metadata["redirect_uris"] == ["https://b.example"]
    assert list(sqlite_host.registrar.chains.verify(Found())) == []


# ---- Back


def roll_back(host: Host, registered: Registered, version: int) -> None:
    host.registrar.roll_back(client_id(registered), version, "ann")
    host.session.commit()


def test_an_older_version_comes_back_as_a_new_one(host: Host) -> None:
    registered = host.registered(client_name="One", contacts=["ann@client.example"])
    before = host.record(registered).client_metadata
    change(host, registered, client_name="Two")
    roll_back(host, registered, 1)
    record = host.record(registered)
    assert (record.client_metadata, record.version) == (before, 3)
    last = versions(host, registered)[-1]
    assert (last.type, last.by, last.changed) == ("rolled_back", "ann", ("client_name", "contacts"))
    assert json.loads(host.events()[-1]["details"])["to"] == 1
    roll_back(host, registered, 2)
    assert named(host, registered) == [(1, "One"), (2, "Two"), (3, "One"), (4, "Two")]
    assert list(host.registrar.chains.verify(Found())) == []


def test_what_is_given_up_on_the_way_back_is_withdrawn(sqlite_url: str, start_host: StartHost) -> None:
    told: list[Withdrawal] = []
    host = start_host(sqlite_url, on_withdrawal=told.append)
    registered = host.registered()
    change(host, registered, redirect_uris=["https://other.example/cb"])
    roll_back(host, registered, 1)
    assert told[-1].redirect_uris == {"https://other.example/cb"}


@pytest.mark.parametrize(
    ("version", "right"), [(2, "like that already"), (3, "version 3 are not kept"), (0, "version 0 are not kept")]
)
def test_only_another_version_that_is_kept_comes_back(sqlite_host: Host, version: int, right: str) -> None:
    registered = sqlite_host.registered()
    change(sqlite_host, registered, client_name="Two")
    with pytest.raises(ValueError, match=right):
        roll_back(sqlite_host, registered, version)
    sqlite_host.dynreg.suspend_client(client_id(registered), "odd")
    with pytest.raises(ValueError, match="must be active"):
        roll_back(sqlite_host, registered, 1)
    with pytest.raises(LookupError):
        sqlite_host.registrar.roll_back("nobody", 1)


def test_todays_rules_and_policies_judge_what_comes_back(sqlite_url: str, start_host: StartHost) -> None:
    earlier = start_host(sqlite_url)
    registered = earlier.registered(client_name="Claude", scope="mcp:write")
    change(earlier, registered, client_name="Mine")
    host = start_host(sqlite_url, DYNREG_POLICIES=[{"policy": "forbidden_names", "names": ["Claude"]}])
    with pytest.raises(RefusedMetadataError):
        roll_back(host, registered, 1)
    narrower = start_host(sqlite_url, DYNREG_POLICIES=[{"policy": "scope_ceiling", "scopes": ["mcp:read"]}])
    with pytest.raises(ValueError, match="something else"):
        roll_back(narrower, registered, 1)
    assert named(host, registered) == [(1, "Claude"), (2, "Mine")]


def test_who_changes_the_client_meanwhile_wins(sqlite_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    registered = sqlite_host.registered()
    change(sqlite_host, registered, client_name="Two")
    looked_at = sqlite_host.registrar._as_today

    def late(*arguments: Any) -> Any:
        change(sqlite_host, registered, client_name="Three")
        return looked_at(*arguments)

    monkeypatch.setattr(sqlite_host.registrar, "_as_today", late)
    with pytest.raises(RaceLostError):
        roll_back(sqlite_host, registered, 1)
    sqlite_host.session.rollback()
    assert sqlite_host.record(registered).client_name == "Three"


def test_a_secret_goes_and_comes_with_the_method(sqlite_host: Host) -> None:
    registered = sqlite_host.registered()
    change(sqlite_host, registered, token_endpoint_auth_method="none")
    roll_back(sqlite_host, registered, 1)
    assert sqlite_host.clients()[0]["client_secret"] is None
    information = sqlite_host.registrar.update(sqlite_host.record(registered), sqlite_host.checked())
    assert information["client_secret"]
    roll_back(sqlite_host, registered, 2)
    assert sqlite_host.clients()[0]["client_secret"] is None


def test_many_processes_update_one_client_and_each_update_is_a_version(
    any_database_url: str, start_host: StartHost
) -> None:
    """With more updates: `python -m tests.registry.update_race`."""
    host = start_host(any_database_url)
    registered = host.registered()
    made = raced(any_database_url, client_id(registered), registered.registration_access_token, 8, 2)
    host.session.expire_all()
    versions = host.registrar.versions(client_id(registered))
    assert made == 16 and [each.version for each in versions] == list(range(1, 18))
    names = [each.metadata and each.metadata.get("client_name") for each in versions]
    assert sorted(str(name) for name in names[1:]) == sorted(
        f"{process} {number}" for process in range(8) for number in range(2)
    )
    assert list(host.registrar.chains.verify(Found())) == []
