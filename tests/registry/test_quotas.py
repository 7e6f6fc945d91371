"""How many clients there may be."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from flask_dynreg import Principal
from flask_dynreg.errors import ForbiddenError
from flask_dynreg.protocol.transactions import in_one_transaction
from tests.registry.conftest import StartHost
from tests.registry.host import OPEN, Host, client_id

TOKEN = Principal("session", owner="them")


@pytest.fixture
def make(any_database_url: str, start_host: StartHost) -> Any:
    return lambda *policies, **quotas: start_host(
        any_database_url, DYNREG_QUOTAS=quotas, DYNREG_POLICIES=list(policies)
    )


def is_full(host: Host, principal: Principal = OPEN, **metadata: Any) -> bool:
    """Whether one more may not register; nothing of it is kept then."""
    before = len(host.clients())
    try:
        host.registered(principal, **metadata)
    except ForbiddenError:
        host.session.rollback()
        assert len(host.clients()) == len([event for event in host.events() if event["type"] == "registered"]) == before
        return True
    return False


def counts(host: Host) -> list[int]:
    return sorted(row["clients"] for row in host.rows(host.models.quota) if row["clients"])


def test_a_door_lets_so_many_in_and_the_others_have_room(make: Any) -> None:
    host = make(open=2)
    assert [is_full(host) for _ in range(3)] == [False, False, True]
    assert not is_full(host, TOKEN)
    assert counts(host) == [2]


def test_an_owner_and_a_software_have_so_many(make: Any) -> None:
    host = make(owner=1, software_id=2)
    assert [is_full(host, TOKEN), is_full(host, TOKEN), is_full(host, Principal("session", owner="us"))] == [
        False,
        True,
        False,
    ]
    assert [is_full(host, software_id="a") for _ in range(3)] == [False, False, True]
    assert not is_full(host, software_id="b") and not is_full(host)
    assert counts(host) == [1, 1, 1, 2]


def test_strangers_use_up_no_room_of_who_is_known(make: Any) -> None:
    host = make(software_id=1)
    assert [is_full(host, software_id="a"), is_full(host, software_id="a")] == [False, True]
    assert [is_full(host, TOKEN, software_id="a"), is_full(host, TOKEN, software_id="a")] == [False, True]


def test_who_is_deleted_makes_room(make: Any) -> None:
    host = make(open=1)
    registered = host.registered()
    assert is_full(host)
    host.registrar.delete(host.record(registered))
    host.session.commit()
    assert counts(host) == [] and not is_full(host)


def test_a_change_is_counted(make: Any) -> None:
    host = make(software_id=1)
    first, second = host.registered(software_id="a"), host.registered(software_id="b")
    client = host.record(second)
    with pytest.raises(ForbiddenError):
        host.registrar.update(client, host.checked(software_id="a"))
    host.session.rollback()
    client = host.record(first)
    host.registrar.update(client, host.checked(software_id="c"))
    host.session.commit()
    assert counts(host) == [1, 1] and not is_full(host, software_id="a") and is_full(host, software_id="c")


def test_so_many_strangers_wait_for_approval(make: Any) -> None:
    host = make("approval", pending=1)
    registered = host.registered()
    assert is_full(host) and not is_full(host, TOKEN)
    host.dynreg.approve_client(client_id(registered), "known", version=1)
    host.session.commit()
    second = host.registered()
    assert is_full(host)
    host.app.test_cli_runner().invoke(args=["dynreg", "registration", "count"])
    assert is_full(host)
    host.dynreg.refuse_client(client_id(second), "not known")
    host.session.commit()
    assert not is_full(host)


def test_none_means_none(make: Any) -> None:
    assert is_full(make(open=0))


def test_clients_that_were_there_before_can_be_counted(any_database_url: str, start_host: StartHost) -> None:
    before = start_host(any_database_url)
    for principal in (OPEN, OPEN, TOKEN):
        before.registered(principal, software_id="a")
    host = start_host(any_database_url, DYNREG_QUOTAS={"open": 3, "owner": 1, "software_id": 4})
    for _ in range(2):
        result = host.app.test_cli_runner().invoke(args=["dynreg", "registration", "count"])
        assert (result.exit_code, result.stdout) == (0, "The clients are counted, in 4 rows.\n")
        assert counts(host) == [1, 1, 2, 2]
    assert is_full(host, TOKEN) and not is_full(host) and is_full(host)


def test_what_is_counted_anew_is_what_was_counted_one_by_one(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_dynreg.registry.quotas.GROUPS", 2)
    host = make("approval", open=50, session=0, owner=50, software_id=50, pending=50, initial_access_token=50)
    for number in range(5):
        for principal in (OPEN, Principal("initial_access_token", owner=f"owner {number % 3}"), Principal("operator")):
            host.registered(principal, **({"software_id": f"software {number}"} if number else {}))
        host.registered(OPEN, software_id="software 1")
    before = {(row["name"], row["clients"]) for row in host.rows(host.models.quota)}
    assert sum(clients for _, clients in before) == 10 + 5 + 5 + 17 + 15
    assert host.registrar.count_for_quotas() == len(before) == 1 + 1 + 3 + 8 + 1
    host.session.commit()
    assert {(row["name"], row["clients"]) for row in host.rows(host.models.quota)} == before


def test_spaces_at_the_end_make_no_other_name(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_dynreg.registry.quotas.GROUPS", 2)
    host = make(software_id=4, owner=6)
    for name in ("y ", "x", "x ", "w", "x  ", "x"):
        host.registered(Principal("session", owner=name), software_id=name)
    assert is_full(host, TOKEN, software_id="x ") and counts(host) == [1, 1, 1, 1, 4, 4]
    assert host.registrar.count_for_quotas() == 6
    host.session.commit()
    assert is_full(host, TOKEN, software_id="x   ") and counts(host) == [1, 1, 1, 1, 4, 4]


def test_who_is_of_no_issuer_is_counted_by_nobody(make: Any) -> None:
    host = make("approval", open=50, session=50, owner=50, software_id=50, pending=50)
    for principal in (OPEN, TOKEN):
        host.registered(principal, software_id="a")
    adopted = [host.registered(principal, software_id="a") for principal in (OPEN, TOKEN, OPEN)]
    client, these = host.models.client.__table__, [client_id(registered) for registered in adopted]
    host.session.execute(client.update().where(client.c.client_id.in_(these)).values(issuer=None))
    host.registrar.count_for_quotas()
    host.session.commit()
    before = counts(host)
    host.dynreg.approve_client(these[0], "known", version=1)
    host.session.commit()
    host.registrar.update(host.record(adopted[0]), host.checked(software_id="b"))
    host.session.commit()
    for registered in adopted:
        host.registrar.delete(host.record(registered))
    host.session.commit()
    assert counts(host) == before == [1, 1, 1, 1, 1, 1]


def test_many_at_once_are_never_one_too_many(make: Any) -> None:
    host = make(open=5)
    together = Barrier(8)

    def register() -> bool:
        with host.app.app_context():
            together.wait(30)
            try:
                in_one_transaction(host.registrar.sessions, host.register)
            except ForbiddenError:
                return False
            return True

    with ThreadPoolExecutor(together.parties) as pool:
        results = [each.result() for each in [pool.submit(register) for _ in range(together.parties)]]
    assert sum(results) == len(host.clients()) == 5 and counts(host) == [5]


def test_without_quotas_nothing_is_counted(host: Host) -> None:
    host.registered(TOKEN, software_id="a")
    assert host.rows(host.models.quota) == []
