"""A client that is gone looks everywhere like one that never was, and is told in a way that makes it register anew."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples import quickstart as example
from examples import quickstart_store as store
from tests.conformance.conftest import quickstart_in
from tests.conformance.exchange import PUBLIC, Client, delete, read, update
from tests.conformance.test_client_authentication import POST_METHOD, by_basic, by_post, is_unknown
from tests.conformance.visitor import Visitor
from tests.registry.host import Clock

DAY = 86400
REFRESHING = {**PUBLIC, "grant_types": ["authorization_code", "refresh_token"]}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clock.now = int(time.time())
    monkeypatch.setattr(example.dynreg, "_clock", clock)
    return clock


@pytest.fixture
def visitor(tmp_path: Path, clock: Clock) -> Iterator[Visitor]:
    lifetimes = {"open": {"unused": DAY, "idle": 30 * DAY}}
    with quickstart_in(tmp_path, DYNREG_CLIENT_LIFETIMES=lifetimes) as app:
        yield Visitor(app)


def cleaned(visitor: Visitor) -> dict[str, Any]:
    result = visitor.app.test_cli_runner().invoke(args=["dynreg", "clients", "clean-up"])
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return told


def never(client: Client) -> Client:
    """The same, if it had never been."""
    unknown = "0" * len(client["client_id"])
    return {
        name: value.replace(client["client_id"], unknown) if isinstance(value, str) else value
        for name, value in client.items()
    }


def removed(visitor: Visitor, clock: Clock, **metadata: Any) -> Client:
    client = visitor.register(**metadata)
    clock.now += DAY
    assert cleaned(visitor)["clients"] == 1
    return client


def gone(visitor: Visitor, clock: Clock, way: str, **metadata: Any) -> Client:
    if way == "removed":
        return removed(visitor, clock, **metadata)
    client = visitor.register(**metadata)
    assert delete(visitor.http, client).status_code == 204
    return client


@pytest.mark.parametrize("way", ["removed", "deleted"])
def test_the_token_endpoint_knows_no_such_client(visitor: Visitor, clock: Clock, way: str) -> None:
    client = gone(visitor, clock, way, **POST_METHOD)
    for ask in (by_basic, by_post):
        answers = [ask(visitor, each) for each in (client, never(client))]
        for answer in answers:
            is_unknown(answer)
        assert answers[0].data == answers[1].data
    public = gone(visitor, clock, way, **REFRESHING)
    for each in (public, never(public)):
        request = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": each["client_id"]}
        is_unknown(visitor.token(**request))
        is_unknown(visitor.exchange(each, "x"))


@pytest.mark.parametrize("way", ["removed", "deleted"])
def test_the_visitor_sees_the_same_page(visitor: Visitor, clock: Clock, way: str) -> None:
    client = gone(visitor, clock, way, **PUBLIC)
    pages = [visitor.open(each) for each in (client, never(client))]
    assert [page.status_code for page in pages] == [400, 400] and "Location" not in pages[0].headers
    assert pages[0].data == pages[1].data and "is not registered" in pages[0].text
    links = [visitor.http.get(f"/oauth2/link?client_id={each['client_id']}&name=x") for each in (client, never(client))]
    assert links[0].data == links[1].data and links[0].status_code == links[1].status_code == 404


@pytest.mark.parametrize("way", ["removed", "deleted"])
def test_nobody_manages_it(visitor: Visitor, clock: Clock, way: str) -> None:
    client = gone(visitor, clock, way, **PUBLIC)
    other = never(client)
    for answers in (
        [read(visitor.http, each) for each in (client, other)],
        [update(visitor.http, each, {**PUBLIC, "client_id": each["client_id"]}) for each in (client, other)],
        [delete(visitor.http, each) for each in (client, other)],
    ):
        assert [answer.status_code for answer in answers] == [401, 401]
        assert answers[0].data == answers[1].data
        assert answers[0].headers["WWW-Authenticate"] == answers[1].headers["WWW-Authenticate"]


def test_who_is_over_and_not_yet_removed_looks_so_too(tmp_path: Path, clock: Clock) -> None:
    with quickstart_in(tmp_path, DYNREG_POLICIES=[{"policy": "lifetime", "seconds": DAY}]) as app:
        visitor = Visitor(app)
        client = visitor.register(**PUBLIC)
        code = visitor.code(client)
        clock.now += DAY
        is_unknown(visitor.exchange(client, code))
        assert visitor.open(client).data == visitor.open(never(client)).data


def test_who_has_used_its_token_is_not_unused(visitor: Visitor, clock: Clock) -> None:
    client = visitor.register(**REFRESHING)
    tokens = visitor.exchange(client, visitor.code(client)).get_json()
    clock.now += 20 * DAY
    assert cleaned(visitor)["clients"] == 0
    again = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert visitor.token(**again, client_id=client["client_id"]).status_code == 200
    clock.now += 30 * DAY - 1
    assert cleaned(visitor) == {"dry_run": False, "clients": 0, "in_use": 0, "passed_over": 0, "tombstones": 0}


def test_who_has_live_tokens_stays_until_they_are_gone(visitor: Visitor, clock: Clock) -> None:
    client = visitor.register(**REFRESHING)
    tokens = visitor.exchange(client, visitor.code(client)).get_json()
    clock.now += 40 * DAY  # the store goes by the time of the day
    assert cleaned(visitor)["in_use"] == 1
    itself = {"client_id": client["client_id"]}
    revoked = visitor.http.post("/oauth2/revoke", data={"token": tokens["refresh_token"], **itself})
    assert revoked.status_code == 200 and cleaned(visitor)["clients"] == 1
    is_unknown(visitor.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"], **itself))


def test_a_store_that_is_down_makes_nobody_register_anew(visitor: Visitor, clock: Clock) -> None:
    client = removed(visitor, clock, **POST_METHOD)
    with visitor.app.app_context():
        store.db.drop_all()
    for each in (client, never(client)):
        for ask in (by_basic, by_post):
            answer = ask(visitor, each)
            assert (answer.status_code, answer.get_json()["error"]) == (503, "temporarily_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        assert visitor.open(each).status_code == 503
        assert read(visitor.http, each).status_code == 503
