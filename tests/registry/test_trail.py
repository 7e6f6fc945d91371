"""The trail: what is altered, removed, moved or put in by whoever can write to the database is found."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, insert, select, text

from flask_dynreg.errors import ForbiddenError
from flask_dynreg.metadata.statement_issuers import StatementIssuer
from flask_dynreg.protocol.transactions import in_one_transaction
from flask_dynreg.registry.chains import Break, Found
from flask_dynreg.registry.models import table_of
from flask_dynreg.registry.trail import COVERED, Links
from tests.conftest import CLIENT, SERVER_METADATA
from tests.registry.conftest import StartHost
from tests.registry.host import Host, client_id
from tests.statements import trusted

KEYS = ["A" * 43 + "=", "B" * 43 + "="]
THREADS = 8


def breaks(host: Host, only: str | None = None, *, unkeyed: bool = False) -> list[Break]:
    return list(host.registrar.chains.verify(Found(), only, unkeyed=unkeyed))


def kinds(host: Host) -> set[str]:
    return {each.kind for each in breaks(host)}


def live(host: Host) -> None:
    """Clients, a token, an issuer and the switch, with all that happens to them."""
    registered = host.registered(client_name="One", contacts=["ann@client.example"])
    for name in ("Two", "Three"):
        host.registrar.update(host.record(registered), host.checked(client_name=name))
        host.session.commit()
    host.dynreg.suspend_client(client_id(registered), "odd", by="ann")
    gone = host.registered()
    host.registrar.update(host.record(gone), host.checked(contacts=["bob@client.example"]))
    host.registrar.delete(host.record(gone))
    host.registered()
    token = host.dynreg.issue_initial_access_token(owner="them", by="ann")
    principal = host.registrar.tokens.find(token)
    assert principal
    assert principal and principal.initial_access_token_id
    host.registered(principal)
    host.dynreg.revoke_initial_access_token(principal.initial_access_token_id, by="bob")
    for change in (host.registrar.issuers.add, host.registrar.issuers.replace):
        change(StatementIssuer.from_json(trusted()), "ann")
        host.session.commit()
    host.registrar.issuers.remove(trusted()["issuer"])
    host.dynreg.close_registration("Too many", by="ann")
    host.dynreg.open_registration()
    host.session.commit()


def test_what_nobody_has_touched_is_sound(host: Host) -> None:
    live(host)
    found = Found()
    assert list(host.registrar.chains.verify(found)) == []
    assert (found.events, found.chains, found.before, found.unkeyed) == (16, 7, 0, 0)
    heads = {
        row["subject"]: row["events"]
        for row in host.session.execute(text("SELECT * FROM dynreg_trail_head")).mappings()
    }
    assert heads == {"token 1": 2, f"issuer {trusted()['issuer']}": 3, "registration": 2}


def test_events_about_no_client_tell_what_and_who(host: Host) -> None:
    live(host)
    told = [(row["type"], json.loads(row["details"])) for row in host.rows(host.models.event) if row["client_id"] == ""]
    issuer = f"issuer {trusted()['issuer']}"
    assert told == [
        ("token_issued", {"subject": "token 1", "by": "ann", "owner": "them"}),
        ("token_revoked", {"subject": "token 1", "by": "bob"}),
        ("issuer_added", {"subject": issuer, "by": "ann"}),
        ("issuer_changed", {"subject": issuer, "by": "ann"}),
        ("issuer_withdrawn", {"subject": issuer}),
        ("registration_closed", {"subject": "registration", "by": "ann", "reason": "Too many"}),
        ("registration_opened", {"subject": "registration"}),
    ]


@pytest.fixture(params=[[], KEYS], ids=["unkeyed", "keyed"])
def lived(request: pytest.FixtureRequest, sqlite_url: str, start_host: StartHost) -> Host:
    host = start_host(sqlite_url, DYNREG_AUDIT_KEYS=request.param)
    live(host)
    return host


def other(value: Any) -> Any:
    return 1 if value is None else value + 1 if isinstance(value, int) else f"{value}x"


def tampered(draw: Callable[..., Any], host: Host) -> str:
    """Does one thing to the rows, in the session's transaction, and says what."""
    events = [dict(row) for row in host.rows(host.models.event)]

    def execute(statement: str, **values: Any) -> None:
        host.session.execute(text(statement), values)

    event = draw(st.sampled_from(events))
    what: str = draw(st.sampled_from(["alter", "remove", "swap", "insert", "unlink", "head", "count"]))
    if what == "alter":
        name = draw(st.sampled_from([*COVERED, "link", "metadata_before"]))
        execute(f"UPDATE dynreg_event SET {name} = :value WHERE id = :id", value=other(event[name]), id=event["id"])
        return f"{what} {name} of {event['type']}"
    if what == "remove":
        execute("DELETE FROM dynreg_event WHERE id = :id", id=event["id"])
    elif what == "unlink":
        execute("UPDATE dynreg_event SET link = NULL WHERE id = :id", id=event["id"])
    elif what == "swap":
        chain = [each for each in events if each["client_id"] == events[0]["client_id"]]
        one, two = draw(st.lists(st.sampled_from(chain), min_size=2, max_size=2, unique_by=lambda each: each["id"]))
        for old, new in ((one["id"], -9), (two["id"], one["id"]), (-9, two["id"])):
            execute("UPDATE dynreg_event SET id = :new WHERE id = :old", new=new, old=old)
    elif what == "insert":
        names = ", ".join(name for name in event if name != "id")
        place = draw(st.sampled_from([-1, 0, 1000]))
        execute(
            f"INSERT INTO dynreg_event (id, {names}) SELECT {place}, {names} FROM dynreg_event WHERE id = :id",
            id=event["id"],
        )
        if draw(st.booleans()):
            execute("UPDATE dynreg_event SET type = 'approved' WHERE id = :id", id=place)
    elif what == "head":
        head = draw(st.sampled_from([None, *(each["link"] for each in events)]))
        row = draw(st.sampled_from(host.clients()))
        execute("UPDATE dynreg_client SET trail_head = :head WHERE client_id = :id", head=head, id=row["client_id"])
        if head == row["trail_head"]:
            execute("DELETE FROM dynreg_trail_head WHERE subject = 'token 1'")
    else:
        execute("UPDATE dynreg_trail_head SET events = events + 1 WHERE subject = 'registration'")
    return what


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_done_to_a_row_is_found(lived: Host, data: st.DataObject) -> None:
    assert breaks(lived) == []
    what = tampered(data.draw, lived)
    try:
        assert breaks(lived), what
    finally:
        lived.session.rollback()


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("UPDATE dynreg_event SET details = '{}' WHERE id = 2", {"altered"}),
        ("UPDATE dynreg_event SET metadata_before = '{}' WHERE id = 2", {"altered"}),
        ("DELETE FROM dynreg_event WHERE id = 2", {"removed"}),
        ("DELETE FROM dynreg_event WHERE id = 4", {"head"}),
        ("DELETE FROM dynreg_event WHERE type = 'deleted'", {"head"}),
        ("DELETE FROM dynreg_event WHERE id < 5", {"head"}),
        ("DELETE FROM dynreg_event WHERE client_id = ''", {"head"}),
        ("DELETE FROM dynreg_client", {"head"}),
        ("UPDATE dynreg_event SET metadata_before = NULL", set()),
    ],
)
def test_it_is_told_what_was_done(sqlite_host: Host, statement: str, kind: set[str]) -> None:
    live(sqlite_host)
    sqlite_host.session.execute(text(statement))
    assert kinds(sqlite_host) == kind


def test_what_is_wrong_with_one_client_is_found_by_its_id(sqlite_host: Host) -> None:
    one, two = sqlite_host.registered(), sqlite_host.registered()
    sqlite_host.session.execute(text("UPDATE dynreg_event SET type = 'x' WHERE id = 1"))
    assert breaks(sqlite_host, client_id(one)) == [Break(client_id(one), "altered", 1)]
    assert breaks(sqlite_host, client_id(two)) == []


# ---- Keys


def test_links_are_good_under_any_key_and_made_under_the_first() -> None:
    event = dict.fromkeys(COVERED)
    old, new, both = Links(KEYS[1:]), Links(KEYS[:1]), Links(KEYS)
    assert both.of(event) == new.of(event) != old.of(event)
    assert both.is_of(event, old.of(event)) and both.is_of(event, new.of(event))
    assert not new.is_of(event, old.of(event)) and not both.is_of(event, Links([]).of(event))


def test_who_has_no_key_can_make_no_link(lived: Host) -> None:
    forger = Links([])
    previous = None
    for row in lived.events()[:4]:
        event = {**row, "type": "approved", "previous": previous}
        previous = forger.of(event)
        values = {"id": row["id"], "previous": event["previous"], "link": previous, "client": row["client_id"]}
        lived.session.execute(
            text("UPDATE dynreg_event SET type = 'approved', previous = :previous, link = :link WHERE id = :id"), values
        )
        lived.session.execute(text("UPDATE dynreg_client SET trail_head = :link WHERE client_id = :client"), values)
    assert bool(breaks(lived)) == bool(lived.registrar.settings.audit_keys)


def test_what_was_linked_before_there_were_keys_is_taken_if_asked_for(sqlite_url: str, start_host: StartHost) -> None:
    registered = start_host(sqlite_url).registered()
    host = start_host(sqlite_url, DYNREG_AUDIT_KEYS=KEYS)
    host.registrar.update(host.record(registered), host.checked(client_name="Two"))
    host.session.commit()
    assert kinds(host) == {"altered"} and breaks(host, unkeyed=True) == []
    unkeyed = {**host.events()[1]}
    link = Links([]).of(unkeyed)
    for statement in (
        "UPDATE dynreg_event SET link = :link WHERE id = 2",
        "UPDATE dynreg_client SET trail_head = :link",
    ):
        host.session.execute(text(statement), {"link": link})
    host.session.commit()
    host.registrar.update(host.record(registered), host.checked(client_name="Three"))
    assert breaks(host, unkeyed=True) == [] and kinds(host) == {"altered"}


@pytest.mark.parametrize("old", [1, 2, 4])
def test_what_is_pruned_of_the_time_without_keys_makes_nothing_keyed_that_was_not(
    sqlite_url: str, start_host: StartHost, old: int
) -> None:
    first = start_host(sqlite_url)
    registered, begun = first.registered(), first.clock.now
    for name in ("Two", "Three"):
        first.clock.now += 10
        first.registrar.update(first.record(registered), first.checked(client_name=name))
    first.session.commit()
    host = start_host(sqlite_url, DYNREG_AUDIT_KEYS=KEYS)
    for name in ("Four", "Five"):
        first.clock.now += 10
        host.clock.now = first.clock.now
        host.registrar.update(host.record(registered), host.checked(client_name=name))
    host.session.commit()
    for until in range(1, old + 1):
        assert [faults for _, faults in host.registrar.retention.prune(begun + 10 * until, unkeyed=True)] == [[]]
    host.session.commit()
    assert breaks(host, unkeyed=True) == [] and bool(breaks(host)) == (old < 3)
    forged = {**host.events()[-1], "previous": host.events()[-1]["link"], "version": 6, "type": "approved"}
    forged |= {"link": Links([]).of(forged), "id": 99}
    host.session.execute(insert(table_of(host.models.event)).values(**forged))
    host.session.execute(text("UPDATE dynreg_client SET trail_head = :link"), {"link": forged["link"]})
    assert breaks(host, unkeyed=True) == [Break(client_id(registered), "altered", 99)]


def test_events_from_before_the_trail_are_counted_and_not_judged(sqlite_host: Host) -> None:
    registered = sqlite_host.registered()
    sqlite_host.session.execute(text("UPDATE dynreg_event SET link = NULL, version = NULL"))
    sqlite_host.session.execute(text("UPDATE dynreg_client SET trail_head = NULL"))
    sqlite_host.session.commit()
    sqlite_host.registrar.update(sqlite_host.record(registered), sqlite_host.checked(client_name="Two"))
    found = Found()
    assert list(sqlite_host.registrar.chains.verify(found)) == [] and (found.events, found.before) == (2, 1)


def test_who_has_keys_takes_no_event_without_a_link_unless_asked_to(sqlite_url: str, start_host: StartHost) -> None:
    host = start_host(sqlite_url, DYNREG_AUDIT_KEYS=KEYS)
    registered = host.registered()
    host.registrar.update(host.record(registered), host.checked(client_name="Two"))
    host.session.execute(text("UPDATE dynreg_event SET link = NULL, previous = NULL, occurred_at = 1, id = -id"))
    host.session.execute(text("UPDATE dynreg_client SET trail_head = NULL"))
    host.session.commit()
    host.registrar.update(host.record(registered), host.checked(client_name="Three"))
    host.session.commit()
    found = Found()
    assert list(host.registrar.chains.verify(found)) == [
        Break(client_id(registered), "altered", number) for number in (-2, -1)
    ]
    assert found.before == 2 and breaks(host, unkeyed=True) == []


def test_a_client_of_no_issuer_is_verified_by_the_one_that_has_changed_it(
    sqlite_url: str, start_host: StartHost
) -> None:
    host = start_host(sqlite_url)
    registered = host.registered()
    host.session.execute(text("UPDATE dynreg_client SET issuer = NULL, trail_head = NULL"))
    host.session.execute(text("DELETE FROM dynreg_event"))
    host.session.commit()
    other = start_host(sqlite_url, DYNREG_SERVER_METADATA=SERVER_METADATA | {"issuer": "https://other.example"})
    other.dynreg.suspend_client(client_id(registered), "odd")
    other.session.commit()
    assert breaks(other) == []
    other.session.execute(text("UPDATE dynreg_client SET trail_head = 'x'"))
    assert breaks(other) == [Break(client_id(registered), "head")]
    other.session.rollback()
    with host.app.app_context():
        assert breaks(host) == []


@pytest.mark.parametrize(("column", "value"), [("link", "\u00e9" * 9), ("details", "[" * 50_000)])
def test_what_cannot_even_be_read_is_altered_and_hides_nothing_else(host: Host, column: str, value: str) -> None:
    one, other = sorted(client_id(host.registered()) for _ in range(2))
    alter = text(f"UPDATE dynreg_event SET {column} = :value WHERE client_id = :this")
    host.session.execute(alter, {"value": value, "this": one})
    host.session.execute(text("DELETE FROM dynreg_event WHERE client_id = :this"), {"this": other})
    host.session.commit()
    found = {(each.subject, each.kind) for each in breaks(host)}
    assert (one, "altered") in found and (other, "head") in found


def test_an_id_that_another_issuer_has_given_again_is_of_another_chain(sqlite_url: str, start_host: StartHost) -> None:
    host = start_host(sqlite_url)
    registered = host.registered()
    host.registrar.delete(host.record(registered))
    host.session.execute(text("DELETE FROM dynreg_tombstone"))
    host.session.commit()
    other = start_host(sqlite_url, DYNREG_SERVER_METADATA=SERVER_METADATA | {"issuer": "https://other.example"})
    other.dynreg.create_client(CLIENT, client_id=client_id(registered))
    other.session.commit()
    assert breaks(other) == []
    with host.app.app_context():
        assert breaks(host) == []


# ---- Many at once


def test_updates_at_once_leave_a_chain(host: Host) -> None:
    registered = host.registered()
    host.session.close()

    def change(number: int) -> None:
        with host.app.app_context():

            def operation() -> None:
                record = host.registrar.authenticate(client_id(registered), registered.registration_access_token)
                host.registrar.update(record, host.checked(client_name=f"Number {number}"))

            in_one_transaction(host.registrar.sessions, operation)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(change, range(THREADS * 2)))
    assert breaks(host) == [] and len(host.events()) == 1 + THREADS * 2


def test_refusals_at_once_leave_a_chain(host: Host) -> None:
    token = host.dynreg.issue_initial_access_token()
    host.session.commit()
    principal = host.registrar.tokens.find(token)
    assert principal
    host.session.close()

    def refuse(_: int) -> None:
        with host.app.app_context():
            registrar = host.registrar
            in_one_transaction(registrar.sessions, lambda: registrar.note_refusal(ForbiddenError(), principal))

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(refuse, range(THREADS * 2)))
    assert breaks(host) == []
    assert [row["type"] for row in host.rows(host.models.event)] == ["token_issued"] + ["registration_refused"] * 16


def test_what_somebody_else_prunes_meanwhile_stays_sound(sqlite_host: Host) -> None:
    for registered in (sqlite_host.registered(), sqlite_host.registered()):
        sqlite_host.registrar.update(sqlite_host.record(registered), sqlite_host.checked(client_name="Two"))
    sqlite_host.session.commit()
    one, other = (sqlite_host.registrar.retention.prune(sqlite_host.clock.now + 1) for _ in range(2))
    pruned: list[Any] = []

    @event.listens_for(sqlite_host.db.engine, "before_cursor_execute")
    def interfere(_: object, __: object, words: str, *___: object) -> None:
        if words.startswith("UPDATE dynreg_event") and not pruned:
            pruned.append("just before")
            pruned.extend(other)

    assert list(one) == [] and pruned == ["just before", (4, [])]
    sqlite_host.session.commit()
    assert breaks(sqlite_host) == [] and [row["type"] for row in sqlite_host.events()] == ["pruned", "pruned"]


def test_clients_of_an_issuer_that_are_suspended_have_it_in_their_chains(host: Host) -> None:
    registered = [host.registered() for _ in range(3)]
    host.session.execute(text("UPDATE dynreg_client SET statement_issuer = 'directory'"))
    host.session.commit()
    ids = host.registrar.stated_clients("", "directory", None)
    assert host.registrar.suspend_stated(ids, "directory", None, "withdrawn") == 3
    host.session.commit()
    assert breaks(host) == [] and [row["version"] for row in host.events()] == [1, 1, 1, 2, 2, 2]
    host.dynreg.resume_client(client_id(registered[0]), "fine")
    host.session.commit()
    assert breaks(host) == []


# ---- What is in it


def test_no_row_has_a_secret(sqlite_host: Host) -> None:
    live(sqlite_host)
    token = sqlite_host.dynreg.issue_initial_access_token(label="L", by="ann")
    registered = sqlite_host.registered()
    sqlite_host.registrar.update(sqlite_host.record(registered), sqlite_host.checked(client_name="x"))
    sqlite_host.session.commit()
    kept = [
        row
        for model in (sqlite_host.models.event, sqlite_host.models.trail_head)
        for row in sqlite_host.session.execute(select(model.__table__)).all()
    ]
    words = str(kept)
    secrets = [token, registered.client_secret, registered.registration_access_token, registered.client.client_secret]
    assert not any(secret in words for secret in secrets if secret)
    assert str(registered.client.registration_access_token) not in words


def test_what_a_client_had_goes_with_it_and_the_chain_stays_sound(host: Host) -> None:
    registered = host.registered(contacts=["ann@client.example"])
    host.registrar.update(host.record(registered), host.checked())
    host.session.commit()
    assert "ann@client.example" in host.events()[1]["metadata_before"]
    host.registrar.delete(host.record(registered))
    host.session.commit()
    assert "ann@client.example" not in str(host.events()) and breaks(host) == []
