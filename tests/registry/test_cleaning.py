"""The clean-up: who is dead by which clock is removed, and nobody else; what it leaves behind, and for how long."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, event, update

from flask_dynreg import CleanUp, ConfigurationError, Principal, Removal, Withdrawal, client_removed
from flask_dynreg.config import CLOCKS, DOORS
from flask_dynreg.lifecycle.repair import Change
from flask_dynreg.registry import stretches
from tests.conftest import SERVER_METADATA
from tests.hosts import heard
from tests.registry.cleaning_race import raced
from tests.registry.conftest import StartHost
from tests.registry.host import OPEN, Host, client_id
from tests.registry.test_quotas import counts

SECONDS = 100
SECRET = 60
SIGNING = {"token_endpoint_auth_method": "client_secret_jwt", "token_endpoint_auth_signing_alg": "HS512"}
SIGNED = {
    "DYNREG_SECRET_KEYS": ["A" * 42 + "E="],
    "DYNREG_SERVER_METADATA": SERVER_METADATA
    | {
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["HS512"],
    },
}
BY_HAND = {"redirect_uris": ["https://client.example/cb"]}

Make = Callable[..., Host]


@pytest.fixture
def make(any_database_url: str, start_host: StartHost) -> Make:
    """make(open={"idle": 1}, policies=[...]) gives a host whose clients have these lives."""

    def made(lifetimes: Any = None, **config: Any) -> Host:
        return start_host(any_database_url, DYNREG_CLIENT_LIFETIMES=lifetimes or {}, **config)

    return made


def use(host: Host, client_id: str) -> None:
    client = host.dynreg.query_client(client_id)
    assert client
    client.touch()
    host.session.commit()


def removed(host: Host, **options: Any) -> dict[tuple[str, str], int]:
    return dict(host.dynreg.clean_up(**options).removed)


def there(host: Host) -> set[str]:
    return {row["client_id"] for row in host.clients()}


# ---- The clocks


@pytest.mark.parametrize("name", CLOCKS)
def test_a_clock_ends_the_life_of_the_clients_of_its_door(make: Make, name: str) -> None:
    lifetimes = {door: {name: SECONDS * (number + 1)} for number, door in enumerate(DOORS)}
    policies = ["approval"] if name == "pending" else []
    host = make(lifetimes, DYNREG_POLICIES=policies, DYNREG_CLIENT_SECRET_LIFETIME=SECRET)
    host.dynreg.create_client(BY_HAND)
    clients = [host.registered(Principal(door)).client.client_id for door in DOORS]
    if name == "idle":
        host.clock.now += 5
        for each in clients:
            use(host, each)
    if name == "secret":
        host.clock.now += SECRET
    for number, door in enumerate(DOORS):
        host.clock.now += SECONDS - 1
        assert removed(host) == {}
        host.clock.now += 1
        assert removed(host) == {(door, name): 1} and clients[number] not in there(host)
    assert [row["source"] for row in host.clients()] == ["operator"]


def test_what_a_door_has_of_its_own_wins(make: Make) -> None:
    host = make({"all": {"unused": 10}, "session": {"absolute": 20}, "mutual_tls": {}})
    for door in DOORS:
        host.registered(Principal(door))
    host.dynreg.create_client(BY_HAND)
    host.session.commit()
    host.clock.now += 10
    assert removed(host) == {(door, "unused"): 1 for door in ("open", "initial_access_token", "software_statement")}
    host.clock.now += 10
    assert removed(host) == {("session", "absolute"): 1}
    host.clock.now += 10**6
    assert removed(host) == {} and {row["source"] for row in host.clients()} == {"mutual_tls", "operator"}


def test_by_default_nobody_dies(make: Make) -> None:
    host = make()
    host.registered()
    host.clock.now += 10**8
    assert host.dynreg.clean_up() == CleanUp()


def test_who_is_over_by_a_policy_is_dead(make: Make) -> None:
    host = make(DYNREG_POLICIES=[{"policy": "lifetime", "seconds": 50}])
    gone = client_id(host.registered())
    by_hand = host.dynreg.create_client(BY_HAND)["client_id"]
    host.session.commit()
    host.clock.now += 49
    client = host.dynreg.query_client(gone)
    assert client and not client.is_over and removed(host) == {}
    host.clock.now += 1
    assert client.is_over
    assert removed(host) == {("open", "lifetime"): 1} and there(host) == {by_hand}


def test_use_begins_the_idle_clock_anew_and_ends_the_other_one(make: Make) -> None:
    host = make({"open": {"unused": 50, "idle": 100}})
    used, unused = client_id(host.registered()), client_id(host.registered())
    host.clock.now += 49
    use(host, used)
    host.clock.now += 1
    assert removed(host) == {("open", "unused"): 1} and unused not in there(host)
    for _ in range(3):
        host.clock.now += 98
        use(host, used)
        assert removed(host) == {}
    host.clock.now += 100
    assert removed(host) == {("open", "idle"): 1}


def test_a_use_is_written_once_half_of_the_idle_clock_has_gone(make: Make) -> None:
    host = make({"open": {"idle": 100}, "session": {"idle": 10**6}})
    start = host.clock.now
    for principal, step in ((OPEN, 50), (Principal("session"), 3600)):
        host.clock.now = start
        registered = client_id(host.registered(principal))
        use(host, registered)
        for after, noted in ((step - 1, 0), (step, step)):
            host.clock.now = start + after
            use(host, registered)
            assert {row["client_id"]: row["last_used_at"] for row in host.clients()}[registered] == start + noted


def test_who_was_decided_on_or_has_no_secret_has_no_such_clock(make: Make) -> None:
    clocks = {"open": {"pending": 10, "secret": 10}}
    host = make(clocks, DYNREG_POLICIES=["approval"], DYNREG_CLIENT_SECRET_LIFETIME=50)
    approved = client_id(host.registered(token_endpoint_auth_method="none"))
    host.dynreg.approve_client(approved, "known", version=1)
    refused = client_id(host.registered())
    host.dynreg.refuse_client(refused, "not known")
    suspended = client_id(host.registered())
    host.dynreg.suspend_client(approved, "for now")
    host.session.commit()
    host.clock.now += 10
    assert removed(host) == {("open", "pending"): 1} and there(host) == {approved, refused}
    host.clock.now += 50
    assert removed(host) == {} and there(host) == {approved, refused}
    assert suspended not in there(host)


def test_a_client_lives_while_one_of_its_secrets_is_good(make: Make) -> None:
    """Be it an older one: it may be good for longer than the newest, or there may be no newest."""
    host = make(
        {"open": {"secret": SECONDS}},
        DYNREG_CLIENT_SECRET_LIFETIME=SECRET,
        DYNREG_CLIENT_SECRET_OVERLAP=SECRET - 20,
        **SIGNED,
    )
    keeps, endless, retired = (host.registered() for _ in range(3))
    model = host.models.client
    lasting = model.client_id.in_([client_id(keeps), client_id(endless)])
    host.session.execute(update(model).where(lasting).values(client_secret_expires_at=0))
    host.session.commit()
    start, ends = host.clock.now, {client_id(retired): SECRET, client_id(keeps): 1000}
    host.dynreg.rotate_client_secret(client_id(keeps), keep=1000)
    host.registrar.repair(
        host.record(retired), Change(members=SIGNING), apply=True
    )  # needs a longer one, and has none by now
    host.session.commit()
    assert [row["client_secret"] for row in host.clients()].count(None) == 1
    host.clock.now += SECRET
    # It is changed after the end of its secret, and lives from then on.
    host.registrar.repair(host.record(retired), Change(members={"client_name": "New"}), apply=True)
    host.session.commit()
    for gone, seconds in ends.items():
        host.clock.now = start + seconds + SECONDS - 1
        assert removed(host) == {} and gone in there(host)
        host.clock.now += 1
        assert removed(host) == {("open", "secret"): 1} and gone not in there(host)
    host.clock.now += 10**8
    assert removed(host) == {} and there(host) == {client_id(endless)}


def test_who_has_approval_and_waits_for_a_change_stays(make: Make) -> None:
    host = make({"open": {"pending": 10}}, DYNREG_POLICIES=["approval"])
    registered = host.registered()
    host.dynreg.approve_client(client_id(registered), "known", version=1)
    host.session.commit()
    client = host.record(registered)
    wish = host.registrar.check({**BY_HAND, "client_name": "New"}, client)
    host.registrar.update(client, wish)
    host.session.commit()
    host.clock.now += 10
    assert removed(host) == {} and host.clients()[0]["requested_metadata"]


def test_clients_of_another_issuer_and_those_of_before_stay(
    any_database_url: str, start_host: StartHost, make: Make
) -> None:
    host = make({"all": {"absolute": 1}})
    host.registered()
    host.registered()
    model = host.models.client
    changes: list[dict[str, Any]] = [{"issuer": "https://other.example"}, {"source": None}]
    for row, change in zip(host.clients(), changes, strict=True):
        host.session.execute(update(model).where(model.client_id == row["client_id"]).values(**change))
    host.session.commit()
    host.clock.now += 10
    assert removed(host) == {} and len(there(host)) == 2


# ---- What a removal is


def test_a_removal_is_noted_told_and_takes_all_along(make: Make) -> None:
    told: list[Any] = []
    host = make({"open": {"unused": 10}}, on_withdrawal=told.append, DYNREG_QUOTAS={"open": 10, "software_id": 10})
    gone = [client_id(host.registered(software_id=name)) for name in ("a", "b", "b")]
    start = host.clock.now
    host.clock.now += 10
    live = client_id(host.registered(software_id="b"))

    def hear(sender: object, client_id: str, reason: str) -> None:
        told.append((client_id, reason, client_id in there(host)))

    with client_removed.connected_to(hear, host.app):
        assert host.dynreg.clean_up(batch=2) == CleanUp(Counter({("open", "unused"): 3}))
    assert there(host) == {live} and counts(host) == [1, 1]
    assert sorted(told[:2] + told[4:5], key=str) == [Withdrawal(each, everything=True) for each in sorted(gone)]
    assert sorted(told[2:4] + told[5:]) == [(each, "unused", False) for each in sorted(gone)]
    events = [row for row in host.events() if row["type"] == "removed"]
    assert sorted(row["client_id"] for row in events) == sorted(gone)
    assert {row["details"] for row in events} == {json.dumps({"reason": "unused"})}
    for each in gone:
        assert host.dynreg.removal(each) == Removal(each, start, host.clock.now, "unused")
    assert host.dynreg.removal(live) is None


def test_a_hook_that_raises_keeps_the_whole_batch(make: Make) -> None:
    def fail(withdrawal: Withdrawal) -> None:
        raise LookupError

    host = make({"open": {"unused": 10}}, on_withdrawal=fail)
    kept = {client_id(host.registered()) for _ in range(2)}
    host.clock.now += 10
    with pytest.raises(LookupError):
        host.dynreg.clean_up()
    assert there(host) == kept and len(host.events()) == 2 and host.rows(host.models.tombstone) == []


def test_a_dry_run_tells_the_same_and_writes_nothing(make: Make) -> None:
    host = make({"open": {"unused": 10}})
    host.registered()
    host.clock.now += 10
    with heard(host.db.engine) as words:
        assert removed(host, dry_run=True) == {("open", "unused"): 1}
    assert set(words) <= {"SELECT"} and len(there(host)) == 1
    assert removed(host) == {("open", "unused"): 1}


def test_no_statement_looks_at_more_than_a_stretch_and_none_is_in_a_transaction_of_another(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "MOST_LOOKED_AT", 3)

    def in_use(client_ids: Sequence[str]) -> Sequence[str]:
        host.session.execute(host.models.client.__table__.select())
        return ()

    host = make({"open": {"unused": 10}}, in_use=in_use)
    for waits in (0, 10):
        host.clock.now += waits
        for _ in range(5):
            host.registered()
    ids, looked = sorted(there(host)), []

    def look(connection: Connection, _: object, words: str, __: object, context: Any, ___: object) -> None:
        found = context.compiled_parameters[0] if context.compiled else {}
        if "w_after" in found and "w_most" in found:
            looked.append(bool(host.session.in_transaction()))
            assert found["w_most"] <= 3
        if "w_now" in found and "dynreg_client " in words:
            assert "w_last" in found or any(name.startswith("w_these") for name in found)
        if "w_last" in found:
            assert sum(found["w_after"] < each <= found["w_last"] for each in ids) <= 3

    event.listen(host.db.engine, "before_cursor_execute", look)
    assert sum(map(host.registrar.count_dead, host.registrar.stretches.behind(""))) == 5
    assert removed(host, batch=2, dry_run=True) == removed(host, batch=2) == {("open", "unused"): 5}
    assert len(looked) > 3 * 4 and not any(looked)


def test_what_the_host_says_is_in_use_stays(make: Make) -> None:
    used: set[str] = set()
    asked: list[Sequence[str]] = []

    def in_use(client_ids: Sequence[str]) -> Sequence[str]:
        asked.append(client_ids)
        host.session.execute(host.models.client.__table__.select())  # a host reads by its session
        return [each for each in client_ids if each in used]

    host = make({"open": {"unused": 10}}, in_use=in_use)
    clients = sorted(client_id(host.registered()) for _ in range(5))
    used |= set(clients[1:3])
    host.clock.now += 10
    for dry_run in (True, False):
        done = host.dynreg.clean_up(batch=2, dry_run=dry_run)
        assert done == CleanUp(Counter({("open", "unused"): 3}), in_use=2)
    assert there(host) == used and asked == [clients[:2], clients[2:4], clients[4:]] * 2
    used.clear()
    assert removed(host) == {("open", "unused"): 2}


@pytest.mark.parametrize("deed", ["use", "update", "delete"])
def test_who_is_used_or_changed_meanwhile_stays(make: Make, deed: str) -> None:
    def in_use(client_ids: Sequence[str]) -> Sequence[str]:
        with host.app.app_context():  # another worker
            if deed == "use":
                use(host, client_id(changed))
            else:
                client = host.record(changed)
                if deed == "update":
                    host.registrar.update(client, host.checked(client_name="New"))
                else:
                    host.registrar.delete(client)
                host.session.commit()
        return ()

    host = make({"open": {"unused": 10}}, in_use=in_use)
    changed, other = host.registered(), client_id(host.registered())
    host.clock.now += 10
    done = host.dynreg.clean_up()
    assert done == CleanUp(Counter({("open", "unused"): 1}), passed_over=1)
    assert there(host) == (set() if deed == "delete" else {client_id(changed)})
    assert [row["client_id"] for row in host.events() if row["type"] == "removed"] == [other]


def test_what_the_host_has_not_committed_is_not_ours_to_commit(make: Make) -> None:
    host = make({"open": {"unused": 10}})
    host.registered()
    host.session.add(host.Note(text="mine"))
    with pytest.raises(ConfigurationError, match="session"):
        host.dynreg.clean_up()
    host.session.rollback()
    assert host.notes() == []


def test_who_asks_comes_before_the_app(host: Host) -> None:
    with pytest.raises(ConfigurationError, match="in_use"):
        host.dynreg.in_use(lambda client_ids: ())


# ---- Tombstones


def test_the_id_of_a_client_that_is_gone_is_kept_for_a_while(make: Make) -> None:
    host = make(DYNREG_TOMBSTONE_RETENTION=1000)
    host.dynreg.create_client(BY_HAND, client_id="ours")
    host.registrar.delete(host.registrar.known_client("ours"))
    host.session.commit()
    assert host.dynreg.removal("ours") == Removal("ours", host.clock.now, host.clock.now, "deleted")
    with pytest.raises(LookupError, match=r"removed at \d+, for the reason: deleted"):
        host.registrar.known_client("ours")
    with pytest.raises(ValueError, match="taken"):
        host.dynreg.create_client(BY_HAND, client_id="ours")
    host.clock.now += 999
    assert host.dynreg.clean_up() == CleanUp()
    host.clock.now += 1
    assert host.dynreg.clean_up(dry_run=True) == CleanUp()
    assert host.dynreg.clean_up(batch=1) == CleanUp(tombstones=1)
    assert host.dynreg.removal("ours") is None
    host.dynreg.create_client(BY_HAND, client_id="ours")
    host.session.commit()


def test_tombstones_go_in_the_order_of_their_index(make: Make) -> None:
    """No database reads all of them to find the last that are over."""
    host = make(DYNREG_TOMBSTONE_RETENTION=10)
    for name in ("b", "a", "c"):
        host.dynreg.create_client(BY_HAND, client_id=name)
        host.registrar.delete(host.registrar.known_client(name))
        host.session.commit()
        host.clock.now += 1
    host.clock.now += 10
    for left in ({"a", "c"}, {"c"}, set()):
        assert host.registrar.clear_tombstones(1) == 1
        host.session.commit()
        assert {row["client_id"] for row in host.rows(host.models.tombstone)} == left


def test_nothing_else_is_known_of_who_is_gone(make: Make) -> None:
    host = make()
    registered = host.registered(client_name="Mine", contacts=["me@client.example"])
    host.registrar.delete(host.record(registered))
    host.session.commit()
    (row,) = host.rows(host.models.tombstone)
    assert dict(row) == {
        "client_id": client_id(registered),
        "issuer": host.registrar.issuer,
        "registered_at": host.clock.now,
        "removed_at": host.clock.now,
        "reason": "deleted",
        "expires_at": host.clock.now + 90 * 24 * 3600,
    }


@pytest.mark.parametrize("unknown", ["never", "a b", "", "x" * 300])
def test_nobody_was_removed_who_never_was(make: Make, unknown: str) -> None:
    host = make()
    assert host.dynreg.removal(unknown) is None
    with pytest.raises(LookupError, match=r"with this id\.$"):
        host.registrar.known_client(unknown)


# ---- Many at once


def test_many_clean_up_while_others_register_read_and_use(any_database_url: str, start_host: StartHost) -> None:
    """With more of all: `python -m tests.registry.cleaning_race`."""
    host = start_host(any_database_url)
    result = raced(any_database_url, clients=200, cleaners=8, others=8)
    assert result.lost == result.left == result.twice == result.breaks == 0
    assert result.removed + result.used == 200 and result.counted == len(host.clients())
