"""What operators decide, and the time of a client: none of its clocks runs out while it can do nothing about that."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from flask_dynreg.errors import SpentTokenError
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
