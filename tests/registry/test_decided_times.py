"""What operators decide, and the time of a client: none of its clocks runs out while it can do nothing about that."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from flask_dynreg.errors import SpentTokenError
from tests.conftest import CLIENT
from tests.registry.conftest import StartHost
from tests.registry.host import Host, client_id
from tests.registry.test_cleaning import removed, there, use

Make = Callable[..., Host]


@pytest.fixture
def make(any_database_url: str, start_host: StartHost) -> Make:
    def made(**config: Any) -> Host:
        return start_host(any_database_url, **config)

    return made


def suspend(host: Host, client_id: str) -> None:
    host.dynreg.suspend_client(client_id, "for now")
    host.session.commit()


def resume(host: Host, client_id: str) -> None:
    host.dynreg.resume_client(client_id, "fine")
    host.session.commit()


def test_who_is_resumed_is_idle_from_then_on(make: Make) -> None:
    host = make(DYNREG_CLIENT_LIFETIMES={"open": {"idle": 100}})
    registered = client_id(host.registered())
    use(host, registered)
    suspend(host, registered)
    host.clock.now += 1000
    assert removed(host) == {}
    resume(host, registered)
    host.clock.now += 99
    assert removed(host) == {} and there(host) == {registered}
    host.clock.now += 1
    assert removed(host) == {("open", "idle"): 1}


def test_who_manages_itself_is_not_idle(make: Make) -> None:
    host = make(DYNREG_CLIENT_LIFETIMES={"open": {"idle": 100}})
    registered = host.registered()
    use(host, client_id(registered))
    host.clock.now += 60
    host.registrar.update(host.record(registered), host.checked(client_name="New"))
    host.session.commit()
    host.clock.now += 99
    assert removed(host) == {}
    host.clock.now += 1
    assert removed(host) == {("open", "idle"): 1}


def test_nor_do_tokens_end_of_who_is_suspended_with_an_issuer(make: Make) -> None:
    host = make(DYNREG_REGISTRATION_TOKEN_LIFETIME=100)
    over = host.registered()
    host.clock.now += 100
    registered = host.registered()
    model, these = host.models.client, [client_id(over), client_id(registered)]
    host.session.execute(update(model).values(statement_issuer="https://issuer.example"))
    assert host.registrar.suspend_stated(these, "https://issuer.example", None, "withdrawn") == 2
    host.session.commit()
    host.clock.now += 100
    assert host.record(registered)
    for each in these:
        resume(host, each)
    host.clock.now += 99
    assert host.record(registered)
    with pytest.raises(SpentTokenError):
        host.record(over)
    host.clock.now += 1
    with pytest.raises(SpentTokenError):
        host.record(registered)


def test_the_secret_clock_runs_for_who_may_be_used_alone(make: Make) -> None:
    """Nobody else can get another one."""
    clocks = {"DYNREG_CLIENT_LIFETIMES": {"open": {"secret": 100}}, "DYNREG_CLIENT_SECRET_LIFETIME": 50}
    host = make(**clocks, DYNREG_POLICIES=["approval"])
    waits, suspended = (client_id(host.registered()) for _ in range(2))
    host.dynreg.approve_client(suspended, "known", version=1)
    suspend(host, suspended)
    host.clock.now += 1000
    assert removed(host) == {}
    resume(host, suspended)
    host.clock.now += 99
    assert removed(host) == {}
    host.clock.now += 1
    assert removed(host) == {("open", "secret"): 1} and there(host) == {waits}


def test_the_time_of_a_client_begins_with_its_approval(make: Make) -> None:
    host = make(
        DYNREG_CLIENT_LIFETIMES={"open": {"unused": 30, "secret": 30}},
        DYNREG_POLICIES=["approval", {"policy": "lifetime", "seconds": 50}],
        DYNREG_REGISTRATION_TOKEN_LIFETIME=20,
        DYNREG_CLIENT_SECRET_LIFETIME=10,
        DYNREG_SECRET_KEYS=["A" * 42 + "E="],
    )
    approved, waiting, suspended = (host.registered() for _ in range(3))
    host.clock.now += 60
    model = host.models.client
    with_an_issuer = update(model).where(model.client_id == client_id(suspended)).values(status="suspended")
    host.session.execute(with_an_issuer)
    host.session.commit()
    assert removed(host) == {} and host.record(waiting)
    assert not host.record(waiting).is_over
    host.dynreg.approve_client(client_id(approved), "known", version=1)
    host.session.commit()
    client = host.dynreg.query_client(client_id(approved))
    assert client and client.is_active and client.check_client_secret(approved.client_secret)
    ends = client.expires_at, client.registration_access_token_expires_at, client.client_secret_expires_at
    assert ends == (host.clock.now + 50, host.clock.now + 20, host.clock.now + 10)
    assert host.registrar.information(host.record(approved))["client_secret_expires_at"] == host.clock.now + 10
    host.session.rollback()
    host.clock.now += 29
    assert removed(host) == {}
    host.clock.now += 1
    assert removed(host) == {("open", "unused"): 1}
    assert there(host) == {client_id(waiting), client_id(suspended)}


def test_who_waits_for_a_change_is_over_by_a_policy_all_the_same(make: Make) -> None:
    host = make(DYNREG_POLICIES=["approval", {"policy": "lifetime", "seconds": 50}])
    registered = host.registered()
    host.dynreg.approve_client(client_id(registered), "known", version=1)
    host.session.commit()
    client = host.record(registered)
    host.registrar.update(client, host.registrar.check({**CLIENT, "client_name": "New"}, client))
    host.session.commit()
    host.clock.now += 50
    assert removed(host) == {("open", "lifetime"): 1}


def test_an_approved_client_may_send_back_the_end_of_its_secret_that_it_was_told(make: Make) -> None:
    host = make(DYNREG_POLICIES=["approval"], DYNREG_CLIENT_SECRET_LIFETIME=1000)
    http = host.app.test_client()
    told = http.post("/oauth2/register", json=CLIENT).get_json()
    host.clock.now += 60
    host.dynreg.approve_client(told["client_id"], "known", version=1)
    host.session.commit()
    headers = {"Authorization": f"Bearer {told['registration_access_token']}"}
    answer = http.put(told["registration_client_uri"], json=told, headers=headers)
    assert answer.status_code == 200, answer.text
    wish = told | {"client_secret_expires_at": told["client_secret_expires_at"] + 1}
    assert http.put(told["registration_client_uri"], json=wish, headers=headers).status_code == 400
