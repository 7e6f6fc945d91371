"""Signals about the store: after the commit of what they tell, and never about what was not committed."""

import logging
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from flask_dynreg import client_registered, client_token_reissued, event_noted
from flask_dynreg.lifecycle.clients import Registered
from tests.registry.host import Heard, Host, client_id


@pytest.fixture
def host(sqlite_host: Host) -> Host:
    return sqlite_host


def test_a_signal_comes_after_the_commit_and_once(host: Host, heard: Heard) -> None:
    registered = host.register()
    assert heard == []
    host.session.flush()
    assert heard == []
    host.session.commit()
    assert heard == [("client-registered", client_id(registered))]
    host.session.commit()
    host.session.rollback()
    host.session.close()
    assert len(heard) == 1


def test_signals_come_in_the_order_of_what_happened(host: Host, heard: Heard) -> None:
    registered, other = host.register(), host.register()
    host.registrar.update(host.record(registered), host.checked(client_name="New"))
    host.registrar.delete(host.record(registered))
    host.session.commit()
    assert heard == [
        ("client-registered", client_id(registered)),
        ("client-registered", client_id(other)),
        ("client-updated", client_id(registered)),
        ("client-deleted", client_id(registered)),
    ]


@pytest.mark.parametrize("end", ["rollback", "close", "invalidate", "remove", "reset"])
def test_what_is_not_committed_is_not_told_then_or_later(host: Host, heard: Heard, end: str) -> None:
    host.register()
    getattr(host.db.session if end == "remove" else host.session, end)()
    assert heard == [] and host.clients() == []
    registered = host.registered()
    assert heard == [("client-registered", client_id(registered))]


def test_what_an_app_context_leaves_uncommitted_is_not_told(host: Host, heard: Heard) -> None:
    with host.app.app_context():
        host.register()
    assert heard == [] and host.clients() == []


def test_a_commit_that_fails_tells_nothing(host: Host, heard: Heard) -> None:
    host.session.add(host.Note(id=1, text="first"))
    host.session.commit()
    host.register()
    host.session.expunge_all()
    host.session.add(host.Note(id=1, text="second"))
    with pytest.raises(IntegrityError):
        host.session.commit()
    host.session.rollback()
    assert heard == [] and host.clients() == []
    registered = host.registered()
    assert heard == [("client-registered", client_id(registered))]


# ---- Receivers


def test_a_receiver_finds_the_client_and_may_use_the_session(host: Host) -> None:
    found: list[str | None] = []

    def receiver(sender: object, client_id: str, source: str) -> None:
        client = host.dynreg.query_client(client_id)
        found.append(client.client_name if client else None)
        host.session.add(host.Note(text=source))
        host.session.commit()

    with client_registered.connected_to(receiver, host.app):
        host.registered(client_name="A client")
    assert found == ["A client"]
    assert host.notes() == ["open"]


def test_a_receiver_may_register_another_client(host: Host, heard: Heard) -> None:
    made: list[Registered] = []

    def receiver(sender: object, **_: Any) -> None:
        if not made:
            made.append(host.register())
            host.session.commit()

    with client_registered.connected_to(receiver, host.app):
        host.registered()
    assert len(host.clients()) == len(heard) == 2


def test_a_receiver_that_fails_stops_nobody_and_nothing(
    host: Host, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    def receiver(sender: object, **_: Any) -> None:
        raise ZeroDivisionError

    with client_registered.connected_to(receiver, host.app), caplog.at_level(logging.ERROR, "flask_dynreg"):
        one, other = host.register(), host.register()
        host.session.commit()
    assert heard == [("client-registered", client_id(one)), ("client-registered", client_id(other))]
    assert len(host.clients()) == 2
    assert [record.getMessage() for record in caplog.records] == ["A receiver of client-registered failed."] * 2


def test_the_sender_is_the_app_and_a_registration_tells_its_door(host: Host) -> None:
    told: list[tuple[object, dict[str, Any]]] = []

    def receiver(sender: object, **arguments: Any) -> None:
        told.append((sender, arguments))

    with client_registered.connected_to(receiver):
        registered = host.registered()
    assert told == [(host.app, {"client_id": client_id(registered), "source": "open"})]
    assert told[0][0] is host.app


def test_what_is_no_client_is_told_too(host: Host) -> None:
    told: list[tuple[str, str, Any]] = []

    def hear(sender: Any, type: str, subject: str, details: Any) -> None:
        told.append((type, subject, details))

    with event_noted.connected_to(hear, host.app):
        host.dynreg.issue_initial_access_token(owner="bank", by="ann")
        host.session.rollback()
        token = host.dynreg.issue_initial_access_token(owner="bank", by="ann")
        assert told == []
        host.session.commit()
        ((known),) = host.dynreg.initial_access_tokens()
        host.dynreg.revoke_initial_access_token(known.id, by="ann")
        host.dynreg.close_registration("Maintenance", by="ann")
        host.session.commit()
    subject = f"token {known.id}"
    assert told == [
        ("token_issued", subject, {"owner": "bank", "by": "ann"}),
        ("token_revoked", subject, {"by": "ann"}),
        ("registration_closed", "registration", {"reason": "Maintenance", "by": "ann"}),
    ]
    assert token not in str(told)


def test_a_token_that_is_issued_anew_is_told(host: Host) -> None:
    told: list[tuple[str, Any]] = []

    def hear(sender: Any, client_id: str, owner: Any) -> None:
        told.append((client_id, owner))

    registered = host.registered()
    with client_token_reissued.connected_to(hear, host.app):
        host.dynreg.reissue_registration_access_token(registered.client.client_id)
        assert told == []
        host.session.commit()
    assert told == [(registered.client.client_id, None)]
