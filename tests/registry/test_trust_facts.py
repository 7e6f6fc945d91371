"""What is known of a client beside what it says of itself, and the names that are flagged."""

import json
from typing import Any

import pytest
from sqlalchemy import event, update

from flask_dynreg import LookAlike, Principal, TemporarilyUnavailableError, TrustFacts
from flask_dynreg.lifecycle.clients import Registered
from flask_dynreg.registry.models import table_of
from tests.conftest import SERVER_METADATA
from tests.hosts import app_whose_database_is_down
from tests.registry.conftest import StartHost
from tests.registry.host import OPEN, Host

OPERATOR = Principal("operator")
DAY = 24 * 3600


@pytest.fixture
def reserving_host(start_host: StartHost, sqlite_url: str) -> Host:
    return start_host(sqlite_url, DYNREG_RESERVED_NAMES=["Claude", "Example Bank"])


def facts(host: Host, registered: Registered) -> TrustFacts:
    """As the page that asks for consent gets them."""
    client = host.dynreg.query_client(registered.client.client_id)
    assert client
    return host.dynreg.trust_facts(client)


def facts_of(host: Host, **metadata: Any) -> TrustFacts:
    return facts(host, host.registered(**metadata))


def change(host: Host, registered: Registered, **metadata: Any) -> None:
    host.registrar.update(host.record(registered), host.checked(**metadata))
    host.session.commit()


def write(host: Host, registered: Registered, **columns: Any) -> None:
    table = table_of(host.models.client)
    host.session.execute(update(table).where(table.c.client_id == registered.client.client_id).values(columns))
    host.session.commit()


# ---- Where it came from


def test_a_client_has_a_door_and_an_age(sqlite_host: Host) -> None:
    registered = sqlite_host.registered()
    sqlite_host.clock.now += DAY
    found = facts(sqlite_host, registered)
    assert (found.source, found.registered_at, found.age) == ("open", sqlite_host.clock.now - DAY, DAY)
    assert found.vouched_by is None
    sqlite_host.clock.now -= 2 * DAY  # a clock that was put right
    assert facts(sqlite_host, registered).age == 0


def test_the_facts_are_the_same_whichever_way_a_client_was_read(sqlite_host: Host) -> None:
    registered = sqlite_host.registered(client_name="Mine")
    assert sqlite_host.dynreg.trust_facts(sqlite_host.record(registered)) == facts(sqlite_host, registered)
    with pytest.raises(AttributeError):
        facts(sqlite_host, registered).source = "operator"  # type: ignore[misc]


def test_an_operator_vouches_for_a_client_until_it_takes_another_name(sqlite_host: Host) -> None:
    named, nameless = sqlite_host.registered(OPERATOR, client_name="Mine"), sqlite_host.registered(OPERATOR)
    assert facts(sqlite_host, named).vouched_by == facts(sqlite_host, nameless).vouched_by == "operator"
    for registered, name in ((named, "Mine"), (named, "Yours"), (nameless, "Yours")):
        change(sqlite_host, registered, client_name=name, client_uri="https://client.example/")
        assert facts(sqlite_host, registered).vouched_by == ("operator" if name == "Mine" else None)


def test_the_issuer_of_a_software_statement_vouches_for_its_client(sqlite_host: Host) -> None:
    registered = sqlite_host.registered()
    write(sqlite_host, registered, statement_issuer="https://trade.example")
    assert facts(sqlite_host, registered).vouched_by == "https://trade.example"


def test_a_client_that_was_there_before_has_no_door(sqlite_host: Host) -> None:
    registered = sqlite_host.registered()
    write(sqlite_host, registered, source=None)
    assert facts(sqlite_host, registered).source is None


# ---- Where its answers go


@pytest.mark.parametrize(
    ("uris", "hosts", "only_this_device"),
    [
        (["https://client.example/cb"], ("client.example",), False),
        (["https://B.example:8443/1", "https://a.example/", "https://b.example/2"], ("b.example", "a.example"), False),
        (
            ["http://127.0.0.1/cb", "http://[::1]:8000/cb", "http://localhost/cb"],
            ("127.0.0.1", "[::1]", "localhost"),
            True,
        ),
        (["com.example.app:/cb", "cursor://anysphere.cursor-mcp/cb"], ("com.example.app:", "cursor:"), True),
        (["https://127.0.0.2/", "https://app.localhost/", "https://[0:0:0:0:0:0:0:1]/"], None, True),
        (["https://127.example/", "https://localhost.example/"], ("127.example", "localhost.example"), False),
        (["http://localhost/cb", "https://client.example/cb"], ("localhost", "client.example"), False),
    ],
)
def test_redirect_uris_lead_to_hosts_or_to_this_device(
    sqlite_host: Host, uris: list[str], hosts: tuple[str, ...] | None, only_this_device: bool
) -> None:
    found = facts_of(sqlite_host, redirect_uris=uris)
    assert found.redirect_hosts == hosts or hosts is None
    assert found.only_this_device is only_this_device


def test_a_client_without_redirect_uris_leads_nowhere(sqlite_host: Host) -> None:
    found = facts_of(
        sqlite_host, redirect_uris=None, grant_types=["client_credentials"], client_uri="https://client.example/"
    )
    assert (found.redirect_hosts, found.only_this_device, found.informational_hosts_agree) == ((), False, None)


@pytest.mark.parametrize(
    ("pages", "agree"),
    [
        ({}, None),
        ({"client_uri": "https://client.example/about"}, True),
        ({"client_uri": "https://CLIENT.example:8443/#about", "logo_uri": "https://other.example/logo"}, True),
        ({"client_uri": "https://client.example/", "tos_uri": "https://third.example/"}, False),
        ({"policy_uri": "http://client.example/"}, False),
        ({"logo_uri": "https://www.client.example/logo"}, False),
        ({"logo_uri": "https://example/logo"}, False),
        ({"client_uri#ja": "https://client.example/"}, True),
        ({"client_uri": "https://client.example/", "client_uri#ja": "https://third.example/"}, False),
    ],
)
def test_pages_agree_with_a_redirect_uri_or_not(sqlite_host: Host, pages: dict[str, str], agree: bool | None) -> None:
    uris = ["http://localhost/cb", "https://client.example/cb", "https://other.example/cb"]
    assert facts_of(sqlite_host, redirect_uris=uris, **pages).informational_hosts_agree is agree


@pytest.mark.parametrize("uri", ["http://localhost/cb", "com.example.app:/cb"])
def test_a_page_cannot_be_compared_with_a_program_on_this_device(sqlite_host: Host, uri: str) -> None:
    found = facts_of(sqlite_host, redirect_uris=[uri], client_uri="http://localhost/")
    assert found.informational_hosts_agree is None


@pytest.mark.parametrize(
    ("uris", "verified"),
    [
        (["https://sector.example/cb"], "sector.example"),
        (["https://other.example/cb", "https://SECTOR.example:8443/cb"], "sector.example"),
        (["https://client.example/cb"], None),
        (["https://www.sector.example/cb", "https://sector.example.other.example/cb"], None),
        (["https://sector.example/cb", "http://127.0.0.1/cb"], None),
        (["https://sector.example/cb", "com.example.app:/cb"], None),
        (["com.example.app://sector.example/cb"], None),
        ([], None),
    ],
)
def test_a_document_that_lists_the_redirect_uris_proves_its_host(
    sqlite_host: Host, uris: list[str], verified: str | None
) -> None:
    registered = sqlite_host.registered()
    assert facts(sqlite_host, registered).verified_host is None
    metadata = {"redirect_uris": uris, "sector_identifier_uri": "https://sector.example/uris.json"}
    write(sqlite_host, registered, client_metadata=json.dumps(metadata))
    assert facts(sqlite_host, registered).verified_host == verified
    write(sqlite_host, registered, source=None)  # nobody here has looked at the document
    assert facts(sqlite_host, registered).verified_host is None


# ---- Names


def test_reserved_names_are_flagged_and_nobody_is_refused(reserving_host: Host) -> None:
    registered = reserving_host.registered(OPEN, client_name="Mine", **{"client_name#fr": "CIaude officiel"})
    assert reserving_host.details() == [{"flagged": {"client_name#fr": "Claude"}}]
    assert facts(reserving_host, registered).flagged_name == LookAlike("client_name#fr", "Claude")
    change(reserving_host, registered, client_name="Mine")
    assert facts(reserving_host, registered).flagged_name is None
    change(reserving_host, registered, client_name="My Example-Bank", grant_types=["authorization_code", "other"])
    assert facts(reserving_host, registered).flagged_name == LookAlike("client_name", "Example Bank")
    reserving_host.registrar.delete(reserving_host.record(registered))
    reserving_host.session.commit()
    flagged = {"taken": {"grant_types": ["other"]}, "flagged": {"client_name": "Example Bank"}}
    assert reserving_host.details()[1:] == [None, flagged, None]


def test_a_name_that_an_operator_vouches_for_is_not_flagged(reserving_host: Host) -> None:
    registered = reserving_host.registered(OPERATOR, client_name="Claude")
    assert reserving_host.details() == [None]
    assert facts(reserving_host, registered).flagged_name is None
    change(reserving_host, registered, client_name="Claude 2")
    assert reserving_host.details() == [None, {"flagged": {"client_name": "Claude"}}]
    assert facts(reserving_host, registered).flagged_name == LookAlike("client_name", "Claude")


def test_a_name_like_that_of_a_client_an_operator_vouches_for_is_flagged(host: Host) -> None:
    known = host.registered(OPERATOR, client_name="Caf\u00e9 \u4f8b")
    host.registered(client_name="CAFE\u4f8b")
    for name in ("Caf\u00e9 \u4f8b", "cafe \u4f8b!", "\u0421af\u0435\u4f8b"):
        assert facts_of(host, client_name=name).flagged_name == LookAlike(
            "client_name", "Caf\u00e9 \u4f8b", known.client.client_id
        )
    for metadata in (
        {},
        {"client_name": "Caf\u00e9"},
        {"client_name": "Caf\u00e9 \u4f8b 2"},
        {"client_name": "\u200d"},
    ):
        assert facts_of(host, **metadata).flagged_name is None
    tagged = facts_of(host, client_name="Mine", **{"client_name#ja": "caf\u00e9\u4f8b"}).flagged_name
    assert tagged and tagged.member == "client_name#ja"
    assert facts(host, known).flagged_name is None
    change(host, known, client_name="Another")
    assert facts_of(host, client_name="Caf\u00e9 \u4f8b").flagged_name is None
    assert facts_of(host, client_name="Another").flagged_name is None


def test_only_names_that_an_operator_vouches_for_have_a_skeleton(sqlite_host: Host) -> None:
    sqlite_host.registered(OPERATOR, client_name="Claude")
    sqlite_host.clock.now += 1
    sqlite_host.registered(client_name="Claude")
    sqlite_host.clock.now += 1
    sqlite_host.registered(OPERATOR)
    assert [row["name_skeleton"] for row in sqlite_host.clients()] == ["claude", None, None]


def test_a_name_whose_skeleton_is_longer_than_its_column_is_found_too(host: Host) -> None:
    name = "m" * 255
    known = host.registered(OPERATOR, client_name=name)
    flagged = facts_of(host, client_name=name.upper()).flagged_name
    assert flagged == LookAlike("client_name", name, known.client.client_id)


def test_of_two_clients_the_older_one_is_named(sqlite_host: Host) -> None:
    first = sqlite_host.registered(OPERATOR, client_name="Mine")
    sqlite_host.clock.now += 1
    sqlite_host.registered(OPERATOR, client_name="MINE")
    flagged = facts_of(sqlite_host, client_name="mine").flagged_name
    assert flagged == LookAlike("client_name", "Mine", first.client.client_id)


def test_clients_of_another_issuer_do_not_count(start_host: StartHost, sqlite_url: str) -> None:
    start_host(sqlite_url).registered(OPERATOR, client_name="Mine")
    other = start_host(sqlite_url, DYNREG_SERVER_METADATA={**SERVER_METADATA, "issuer": "https://other.example"})
    assert facts_of(other, client_name="Mine").flagged_name is None
    other.clock.now += 1
    own = other.registered(OPERATOR, client_name="Mine")
    flagged = facts_of(other, client_name="mine").flagged_name
    assert flagged == LookAlike("client_name", "Mine", own.client.client_id)


def test_the_look_up_uses_the_index_and_registering_asks_nothing(host: Host) -> None:
    host.registered(OPERATOR, client_name="Mine")
    statements: list[tuple[str, Any]] = []

    def hear(connection: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        statements.append((statement, parameters))

    event.listen(host.db.engine, "before_cursor_execute", hear)
    client = host.registered(client_name="Theirs")
    assert not any("name_skeleton IN" in statement for statement, _ in statements)
    assert facts(host, client).flagged_name is None
    event.remove(host.db.engine, "before_cursor_execute", hear)
    ((statement, parameters),) = [heard for heard in statements if "name_skeleton IN" in heard[0]]
    with host.db.engine.connect() as connection:
        dialect = connection.dialect.name
        if dialect == "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")  # a few rows are read as they come
            connection.exec_driver_sql("ANALYZE")
        explain = "EXPLAIN QUERY PLAN " if dialect == "sqlite" else "EXPLAIN "
        plan = connection.exec_driver_sql(explain + statement, parameters).mappings().all()
    used = [row.get("key", row) for row in plan]  # MariaDB also tells what it might have used
    assert "ix_dynreg_client_name_skeleton" in str(used)


def test_a_database_that_is_down_is_said_so() -> None:
    with app_whose_database_is_down() as (app, dynreg), app.app_context():
        client = dynreg.models.client()
        client.client_id_issued_at = 0
        client.set_client_metadata({"client_name": "Mine"})
        with pytest.raises(TemporarilyUnavailableError):
            dynreg.trust_facts(client)
