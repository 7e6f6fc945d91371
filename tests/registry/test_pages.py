"""Pages of clients, on each of the databases: nobody is missed, and no page reads those before it again."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, text

from flask_dynreg import Principal
from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.pages import FIRST, place_of
from tests.registry.conftest import StartHost
from tests.registry.host import Host, client_id

THEM = Principal("session", owner="them")


@pytest.fixture
def host(any_database_url: str, start_host: StartHost, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr("flask_dynreg.registry.pages.MOST_AT_ONCE", 2)
    return start_host(any_database_url, DYNREG_POLICIES=["approval"])


def ids_of(next_page: Callable[[ClientRecord | None], Any]) -> Iterator[str]:
    last = None
    while page := next_page(last):
        assert len(page) <= 2
        yield from (client.client_id for client in page)
        last = page[-1]


def listed(host: Host, owner: str | None = None, software_id: str | None = None) -> list[str]:
    find = host.registrar.find_clients
    return list(ids_of(lambda last: find(last.client_id if last else "", owner, software_id)))


def waiting(host: Host) -> list[str]:
    return list(ids_of(lambda last: host.registrar.waiting(place_of(last) if last else FIRST)))


def test_all_are_there_once_and_those_of_no_issuer_as_well(host: Host) -> None:
    ids = [client_id(host.registered()) for _ in range(5)]
    host.session.execute(text(f"UPDATE dynreg_client SET issuer = NULL WHERE client_id = '{ids[0]}'"))
    host.session.execute(text(f"UPDATE dynreg_client SET issuer = 'other' WHERE client_id = '{ids[1]}'"))
    host.session.commit()
    assert sorted(listed(host)) == sorted([ids[0], *ids[2:]])


def test_those_of_an_owner_and_of_a_software(host: Host) -> None:
    ids = [client_id(host.registered(THEM, software_id=name)) for name in ("a", "b", "a", "a")]
    other = client_id(host.registered(software_id="a"))
    assert sorted(listed(host, "them")) == sorted(ids)
    assert sorted(listed(host, None, "a")) == sorted([ids[0], *ids[2:], other])
    assert sorted(listed(host, "them", "a")) == sorted([ids[0], *ids[2:]])


def test_spaces_at_the_end_make_another_owner_and_another_software(host: Host) -> None:
    ids = {name: client_id(host.registered(Principal("session", owner=name), software_id=name)) for name in ("a", "a ")}
    host.session.execute(text("UPDATE dynreg_client SET statement_issuer = 'them'"))
    host.session.commit()
    for name, found in ids.items():
        assert listed(host, name) == listed(host, None, name) == [found]
        assert host.registrar.stated_clients("", "them", name) == [found]
    assert host.registrar.suspend_stated(list(ids.values()), "them", "a", "It is not approved.") == 1


def test_who_waits_is_told_the_longest_first_though_many_began_at_once(host: Host) -> None:
    first = sorted(client_id(host.registered()) for _ in range(5))
    host.clock.now += 1
    last = client_id(host.registered())
    host.clock.now -= 2
    longest = client_id(host.registered())
    assert waiting(host) == [longest, *first, last]
    host.dynreg.refuse_client(first[1], "no")
    host.session.commit()
    assert waiting(host) == [longest, first[0], *first[2:], last]


@pytest.mark.parametrize(("read", "index"), [(listed, "(client_id>?)"), (waiting, "(waiting_since>?)")])
def test_a_page_begins_where_the_one_before_has_ended(
    sqlite_url: str, start_host: StartHost, read: Callable[[Host], list[str]], index: str
) -> None:
    """By an index in their order: not all clients are read and sorted for each."""
    host, asked = start_host(sqlite_url, DYNREG_POLICIES=["approval"]), list[tuple[str, Any]]()
    host.registered()

    def hear(connection: Any, cursor: Any, words: str, parameters: Any, *rest: Any) -> None:
        asked.append((words, parameters))

    event.listen(host.db.engine, "before_cursor_execute", hear)
    read(host)
    event.remove(host.db.engine, "before_cursor_execute", hear)
    with host.db.engine.connect() as connection:
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", said).all() for words, said in asked]
    steps = [row[3] for plan in plans for row in plan]
    assert len(plans) == 2 and "USE TEMP B-TREE FOR ORDER BY" not in steps
    assert len([step for step in steps if step.startswith("SEARCH") and step.endswith(index)]) == 2
