"""How often clients may register."""

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_dynreg import ConfigurationError
from flask_dynreg.access.rates import Rates, network
from flask_dynreg.errors import TooManyRequestsError
from tests.access.rate_race import raced
from tests.access.redis_server import RedisServer
from tests.conformance.exchange import bearer, delete, issue_token, read, registered
from tests.conftest import CLIENT, MakeApp
from tests.statements import statement, trusted

BOTH = ["open", "initial_access_token"]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.kill()


@pytest.fixture(params=["memory", "redis"])
def storage(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    server: RedisServer = request.getfixturevalue("redis")
    return server.url


def post(http: FlaskClient, address: str = "192.0.2.1", token: str | None = None, **metadata: Any) -> TestResponse:
    headers = bearer(token) if token else {}
    environ = {"REMOTE_ADDR": address}
    return http.post("/oauth2/register", json=CLIENT | metadata, headers=headers, environ_base=environ)


def statuses(http: FlaskClient, count: int, *arguments: Any, **options: Any) -> list[int]:
    return [post(http, *arguments, **options).status_code for _ in range(count)]


# ---- What is counted


def test_an_address_registers_so_often(make_app: MakeApp, storage: str) -> None:
    http = make_app(DYNREG_LIMITS=["address 2/hour"], DYNREG_LIMITS_STORAGE=storage).test_client()
    assert statuses(http, 3) == [201, 201, 429]
    assert statuses(http, 1, "192.0.2.2") == [201]


def test_the_answer_says_when_to_come_back(make_app: MakeApp) -> None:
    http = make_app(DYNREG_LIMITS=["address 1/hour"]).test_client()
    statuses(http, 1)
    answer = http.post(
        "/oauth2/register",
        json=CLIENT,
        headers={"Origin": "https://app.example"},
        environ_base={"REMOTE_ADDR": "192.0.2.1"},
    )
    assert (answer.status_code, answer.mimetype) == (429, "application/json")
    assert answer.get_json() == {
        "error": "temporarily_unavailable",
        "error_description": "There are too many registrations. Try again later.",
    }
    wait = int(answer.headers["Retry-After"])
    assert 3590 < wait <= 3600 and answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["RateLimit-Policy"] == '"address";q=1;w=3600'
    assert answer.headers["RateLimit"] == f'"address";r=0;t={wait}'
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_of_ipv6_a_network_is_one_address(first: str, second: str, same: bool) -> None:
    assert (network(first) == network(second)) is same


def test_what_is_no_address_is_not_counted(make_app: MakeApp) -> None:
    assert network(None) is network("") is network("unix:") is None
    http = make_app(DYNREG_LIMITS=["address 1/hour"]).test_client()
    assert statuses(http, 3, "") == [201] * 3


def test_all_strangers_together_register_so_often_and_who_has_a_token_does_not_mind(make_app: MakeApp) -> None:
    app = make_app(DYNREG_LIMITS=["server 2/hour"], DYNREG_ACCESS=BOTH)
    http, token = app.test_client(), issue_token(app)
    assert [post(http, f"192.0.2.{number}").status_code for number in range(3)] == [201, 201, 429]
    assert statuses(http, 3, token=token) == [201] * 3


def test_a_token_registers_so_often(make_app: MakeApp, storage: str) -> None:
    app = make_app(DYNREG_LIMITS=["token 2/hour", "address 1/hour"], DYNREG_ACCESS=BOTH, DYNREG_LIMITS_STORAGE=storage)
    http = app.test_client()
    assert statuses(http, 3, token=issue_token(app)) == [201, 201, 429]
    assert statuses(http, 1, token=issue_token(app)) == [201]


def test_a_software_registers_so_often(make_app: MakeApp) -> None:
    app = make_app(DYNREG_LIMITS=["software_id 1/hour"], DYNREG_ACCESS=BOTH)
    http = app.test_client()
    assert statuses(http, 2, software_id="a") == [201, 429]
    assert statuses(http, 2, software_id="a", token=issue_token(app)) == [201, 429]  # whom strangers do not shut out
    assert statuses(http, 2) == [201, 201]
    assert statuses(http, 1, software_id="b") == [201]


def test_clients_of_an_issuer_of_statements_register_so_often(make_app: MakeApp) -> None:
    http = make_app(DYNREG_LIMITS=["issuer 1/hour"], DYNREG_STATEMENT_ISSUERS=[trusted()]).test_client()
    assert statuses(http, 2, software_statement=statement()) == [201, 429]
    assert statuses(http, 2) == [201, 201]


def test_what_one_limit_refuses_does_not_use_up_another(make_app: MakeApp) -> None:
    http = make_app(DYNREG_LIMITS=["address 1/hour", "server 2/hour"]).test_client()
    assert statuses(http, 5) == [201, 429, 429, 429, 429]
    assert statuses(http, 1, "192.0.2.2") == [201]


def test_who_manages_a_client_is_not_counted(make_app: MakeApp) -> None:
    http = make_app(DYNREG_LIMITS=["address 1/hour", "server 1/hour"]).test_client()
    client = registered(http, **CLIENT)
    assert [read(http, client).status_code for _ in range(3)] == [200] * 3
    assert delete(http, client).status_code == 204


def test_without_limits_nothing_is_counted(make_app: MakeApp) -> None:
    http = make_app(DYNREG_LIMITS=[], DYNREG_LIMITS_STORAGE="redis://192.0.2.1").test_client()
    assert statuses(http, 5) == [201] * 5


@pytest.mark.parametrize(
    "limits", [["address"], ["client 1/hour"], ["address 0/hour"], ["address often"], ["address  /hour"], [""]]
)
def test_a_limit_that_is_none_stops_the_start(make_app: MakeApp, limits: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"DYNREG_LIMITS\[0\]"):
        make_app(DYNREG_LIMITS=limits)


@pytest.mark.parametrize("storage", ["nowhere://", "x"])
def test_a_storage_that_is_none_stops_the_start(make_app: MakeApp, storage: str) -> None:
    with pytest.raises(ConfigurationError, match="DYNREG_LIMITS_STORAGE"):
        make_app(DYNREG_LIMITS=["address 1/hour"], DYNREG_LIMITS_STORAGE=storage)


# ---- Many workers, and a Redis that goes away


def test_many_workers_let_through_exactly_so_many(redis: RedisServer) -> None:
    assert raced(redis.url, "address 100/hour", processes=4, threads=4, attempts=20) == 100


def test_many_threads_let_through_exactly_so_many() -> None:
    rates = Rates(["server 50/hour"], "memory://", "https://as.example", [])

    def count(_: int) -> bool:
        try:
            rates.count("open", server="all")
        except TooManyRequestsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(count, range(200))) == 50


def test_without_its_redis_the_open_door_is_shut_and_tokens_are_good(
    make_app: MakeApp, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    limits = ["address 3/hour", "token 3/hour"]
    app: Flask = make_app(DYNREG_LIMITS=limits, DYNREG_ACCESS=BOTH, DYNREG_LIMITS_STORAGE=redis.url)
    http, token = app.test_client(), issue_token(app)
    assert statuses(http, 1) == [201]
    redis.kill()
    answer = post(http)
    assert (answer.status_code, answer.get_json()["error"]) == (503, "temporarily_unavailable")
    assert "Retry-After" in answer.headers and "The storage of DYNREG_LIMITS cannot be asked" in caplog.text
    assert statuses(http, 5, token=token) == [201] * 5
    redis.start()
    assert statuses(http, 4) == [201, 201, 201, 429]


def test_an_operator_may_choose_otherwise(make_app: MakeApp, redis: RedisServer) -> None:
    settings: dict[str, Any] = {"DYNREG_LIMITS_ON_FAILURE": ["initial_access_token"], "DYNREG_ACCESS": BOTH}
    app = make_app(DYNREG_LIMITS=["address 1/hour", "token 1/hour"], DYNREG_LIMITS_STORAGE=redis.url, **settings)
    token = issue_token(app)
    redis.kill()
    assert statuses(app.test_client(), 2) == [201, 201]
    assert statuses(app.test_client(), 1, token=token) == [503]
    redis.start()


def test_a_redis_that_goes_and_comes_under_load_makes_no_other_answer(
    make_app: MakeApp, redis: RedisServer, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"DYNREG_LIMITS_STORAGE": redis.url, "SQLALCHEMY_DATABASE_URI": sqlite_url}
    app = make_app(DYNREG_LIMITS=["address 5/hour"], **settings)
    caplog.set_level(logging.CRITICAL)
    stop, met = Event(), Counter[int]()
    seen = {status: Event() for status in (201, 429, 503)}

    def load(_: int) -> None:
        while not stop.is_set():
            status = post(app.test_client()).status_code
            met[status] += 1
            seen.setdefault(status, Event()).set()

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(load, number) for number in range(4)]
        try:
            assert seen[201].wait(30) and seen[429].wait(30)
            redis.kill()
            assert seen[503].wait(30)
            redis.start()
            seen[429].clear()
            assert seen[429].wait(30)
        finally:
            stop.set()
        for each in running:
            each.result()
    assert met.keys() == {201, 429, 503} and met[201] <= 10  # five of each Redis: what it counts is gone with it
