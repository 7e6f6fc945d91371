"""Signals of what happens in savepoints, and in two sessions at once."""

from contextlib import suppress

from flask_dynreg import client_registered
from tests.registry.conftest import StartHost
from tests.registry.host import Heard, Host, client_id


def test_a_savepoint_that_is_rolled_back_takes_its_signals_along(host: Host, heard: Heard) -> None:
    before = host.register()
    savepoint = host.session.begin_nested()
    host.register()
    savepoint.rollback()
    after = host.register()
    host.session.commit()
    assert heard == [("client-registered", client_id(before)), ("client-registered", client_id(after))]
    assert {row["client_id"] for row in host.clients()} == {client_id(before), client_id(after)}


def test_a_savepoint_that_an_exception_leaves_takes_its_signals_along(host: Host, heard: Heard) -> None:
    with suppress(ZeroDivisionError), host.session.begin_nested():
        host.register()
        raise ZeroDivisionError
    host.session.commit()
    assert heard == [] and host.clients() == []


def test_a_savepoint_that_is_released_tells_nothing_before_the_commit(host: Host, heard: Heard) -> None:
    with host.session.begin_nested():
        registered = host.register()
    assert heard == []
    host.session.commit()
    assert heard == [("client-registered", client_id(registered))]


def test_a_savepoint_that_is_released_in_one_that_is_rolled_back_tells_nothing(host: Host, heard: Heard) -> None:
    kept = host.register()
    outer = host.session.begin_nested()
    with host.session.begin_nested():
        host.register()
    outer.rollback()
    host.session.commit()
    assert heard == [("client-registered", client_id(kept))]


def test_a_savepoint_that_is_released_is_forgotten_with_the_whole(host: Host, heard: Heard) -> None:
    host.register()  # sqlite3 begins a transaction with the first write, and takes a savepoint before it for the whole
    with host.session.begin_nested():
        host.register()
    host.session.rollback()
    host.session.commit()
    assert heard == [] and host.clients() == []


def test_a_commit_releases_the_savepoints_that_are_open(host: Host, heard: Heard) -> None:
    host.session.begin_nested()
    registered = host.register()
    host.session.begin_nested()
    host.session.commit()
    assert heard == [("client-registered", client_id(registered))]
    assert len(host.clients()) == 1


def test_each_session_tells_of_its_own(start_host: StartHost, postgresql_url: str) -> None:
    host = start_host(postgresql_url)
    told: list[str] = []
    with client_registered.connected_to(lambda sender, client_id, **_: told.append(client_id), host.app):
        outer = host.register()
        with host.app.app_context():
            inner = host.registered()
            assert told == [client_id(inner)]
            host.register()
            host.session.rollback()
        host.session.commit()
    assert told == [client_id(inner), client_id(outer)]
