"""Rotation of registration access tokens: new ones come, old ones die, and nobody is shut out who has lost an answer."""

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import select
from werkzeug.test import TestResponse

from flask_dynreg import DynamicRegistration, RaceLostError, client_spent_token_used
from tests.conformance.exchange import PUBLIC, Client, bearer, read, registered, update
from tests.conformance.requirements import requirement
from tests.conftest import MakeApp
from tests.hosts import heard
from tests.protocol.rotation_race import raced

TOKEN = "registration_access_token"


class Server:
    """An app with a clock, and what it says of tokens."""

    def __init__(self, make_app: MakeApp, rotation: str, url: str = "sqlite://", **config: Any) -> None:
        self.now = 1_000_000
        self.db = SQLAlchemy()
        self.dynreg = DynamicRegistration(self.db, clock=lambda: self.now)
        config |= {"DYNREG_REGISTRATION_TOKEN_ROTATION": rotation, "SQLALCHEMY_DATABASE_URI": url}
        self.app: Flask = make_app(self.db, self.dynreg, **config)
        self.http: FlaskClient = self.app.test_client()

    def read(self, client: Client, token: str) -> TestResponse:
        return read(self.http, client | {TOKEN: token})

    def update(self, client: Client, token: str, **metadata: Any) -> TestResponse:
        return update(self.http, client | {TOKEN: token}, {**PUBLIC, "client_id": client["client_id"], **metadata})

    def row(self, client: Client) -> Any:
        table = self.dynreg_table
        with self.app.app_context():
            return self.db.session.execute(select(table).where(table.c.client_id == client["client_id"])).one()

    @property
    def dynreg_table(self) -> Any:
        with self.app.app_context():
            return self.dynreg.models.client.__table__

    def events(self) -> list[str]:
        with self.app.app_context():
            event = self.dynreg.models.event
            return list(self.db.session.scalars(select(event.type).order_by(event.id)))


def token_of(answer: TestResponse) -> str:
    assert answer.status_code == 200, answer.text
    token: str = answer.get_json()[TOKEN]
    return token


def everything_of(answer: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    return answer.status_code, answer.data, [pair for pair in answer.headers if pair[0] != "Date"]


# ---- When there is a new one


@requirement("RFC7592-2.1-02", "RFC7592-5-02", "RFC7592-A.1-02")
def test_there_is_never_a_new_one_by_default(http: FlaskClient) -> None:
    client = registered(http, **PUBLIC)
    for answer in (read(http, client), update(http, client, client), read(http, client)):
        assert token_of(answer) == client[TOKEN]


@requirement("RFC7592-2.1-02", "RFC7592-5-02", "RFC7592-A.1-03")
@pytest.mark.parametrize(("rotation", "by_read"), [("update", False), ("read", True)])
def test_a_new_one_comes_with_what_the_setting_says(make_app: MakeApp, rotation: str, by_read: bool) -> None:
    server = Server(make_app, rotation)
    client = registered(server.http, **PUBLIC)
    first = client[TOKEN]
    assert (token_of(server.read(client, first)) != first) is by_read
    client = registered(server.http, **PUBLIC)
    first = client[TOKEN]
    second = token_of(server.update(client, first))
    third = token_of(server.update(client, second))
    assert len({first, second, third}) == 3
    assert [server.read(client, token).status_code for token in (first, second, third)] == [401, 200, 200]


def test_a_head_has_no_room_for_a_new_one(make_app: MakeApp) -> None:
    server = Server(make_app, "read")
    client = registered(server.http, **PUBLIC)
    headers = bearer(client[TOKEN])
    assert server.http.head(client["registration_client_uri"], headers=headers).status_code == 200
    assert server.row(client).next_registration_access_token is None


def test_the_next_one_is_kept_when_the_setting_is_gone(make_app: MakeApp, sqlite_url: str) -> None:
    server = Server(make_app, "update", sqlite_url)
    client = registered(server.http, **PUBLIC)
    second = token_of(server.update(client, client[TOKEN]))
    server = Server(make_app, "never", sqlite_url)
    assert token_of(server.read(client, second)) == second
    assert server.read(client, client[TOKEN]).status_code == 401


# ---- Which ones are live


def test_the_old_one_is_good_until_the_new_one_is_used(make_app: MakeApp, any_database_url: str) -> None:
    server = Server(make_app, "update", any_database_url)
    client = registered(server.http, **PUBLIC)
    first = client[TOKEN]
    second = token_of(server.update(client, first))
    server.now += 10 * 365 * 86400  # there is no timer
    for answer in (
        server.read(client, first),
        server.update(client, first, client_name="Lost"),
        server.read(client, first),
    ):
        assert token_of(answer) == first
    assert token_of(server.read(client, second)) == second
    assert server.read(client, first).status_code == 401
    row = server.row(client)
    assert row.version == 3 and row.next_registration_access_token is None
    third = token_of(server.update(client, second))
    assert third not in (first, second) and server.read(client, second).status_code == 200


def test_a_client_that_has_lost_the_new_one_goes_on_with_the_old_one(make_app: MakeApp) -> None:
    server = Server(make_app, "read")
    client = registered(server.http, **PUBLIC)
    server.read(client, client[TOKEN])  # its answer is lost
    for number in range(3):
        answer = server.update(client, client[TOKEN], client_name=f"Name {number}")
        assert token_of(answer) == client[TOKEN] and answer.get_json()["client_name"] == f"Name {number}"


def test_a_request_that_is_refused_confirms_nothing_and_makes_nothing_new(make_app: MakeApp) -> None:
    server = Server(make_app, "update")
    client = registered(server.http, **PUBLIC)
    assert server.update(client, client[TOKEN], redirect_uris=["x"]).status_code == 400
    assert server.row(client).next_registration_access_token is None
    second = token_of(server.update(client, client[TOKEN]))
    assert server.update(client, second, redirect_uris=["x"]).status_code == 400
    assert [server.read(client, token).status_code for token in (client[TOKEN], second)] == [200, 200]


def test_each_of_the_two_deletes_the_client(make_app: MakeApp) -> None:
    server = Server(make_app, "update")
    for use_next in (False, True):
        client = registered(server.http, **PUBLIC)
        second = token_of(server.update(client, client[TOKEN]))
        headers = bearer(second if use_next else client[TOKEN])
        assert server.http.delete(client["registration_client_uri"], headers=headers).status_code == 204


@pytest.mark.parametrize("presented", [0, 1])
@pytest.mark.parametrize("sent_back", [0, 1])
def test_a_client_sends_back_its_answer_with_either(make_app: MakeApp, presented: int, sent_back: int) -> None:
    server = Server(make_app, "update")
    client = registered(server.http, **PUBLIC)
    answers = [client, server.update(client, client[TOKEN]).get_json()]
    answer = update(server.http, answers[presented], answers[sent_back])
    assert answer.status_code == 200
    other = registered(server.http, **PUBLIC)
    wrong = update(server.http, answer.get_json(), client | {TOKEN: other[TOKEN]})
    assert (wrong.status_code, wrong.get_json()["errors"][0]["pointer"]) == (400, f"/{TOKEN}")


# ---- The dead


def test_the_use_of_a_dead_one_is_told_once_and_to_nobody_but_the_operator(
    make_app: MakeApp, any_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(make_app, "update", any_database_url)
    client = registered(server.http, **PUBLIC)
    first = client[TOKEN]
    second = token_of(server.update(client, first))
    server.read(client, second)
    told: list[str] = []

    def receive(sender: Flask, client_id: str) -> None:
        told.append(client_id)

    unknown = everything_of(server.read(client, "dynreg_rat_" + "x" * 49))
    with client_spent_token_used.connected_to(receive, server.app), caplog.at_level(logging.WARNING, "flask_dynreg"):
        for _ in range(3):
            assert everything_of(server.update(client, first)) == unknown
    assert told == [client["client_id"]]
    assert server.events() == ["registered", "updated", "spent_token_used"]
    assert len(caplog.messages) == 1 and client["client_id"] in caplog.text and first not in caplog.text
    assert server.read(client, second).status_code == 200
    with server.app.app_context(), heard(server.db.engine) as words:
        server.read(client, first)
    assert words == ["SELECT"]


def test_what_the_host_has_begun_is_not_in_the_way_of_noting_a_dead_one(make_app: MakeApp) -> None:
    server = Server(make_app, "update")

    @server.app.before_request
    def begin() -> None:
        server.db.session.execute(select(1))

    client = registered(server.http, **PUBLIC)
    second = token_of(server.update(client, client[TOKEN]))
    assert token_of(server.read(client, second)) == second
    assert server.read(client, client[TOKEN]).status_code == 401
    assert server.events() == ["registered", "updated", "spent_token_used"]


def test_each_of_the_last_ten_dead_ones_is_told_once(make_app: MakeApp, any_database_url: str) -> None:
    server = Server(make_app, "read", any_database_url)
    client = registered(server.http, **PUBLIC)
    tokens = [client[TOKEN]]
    for _ in range(13):
        tokens.append(token_of(server.read(client, tokens[-1])))
    dead = tokens[:12]  # the last two are good

    def alarms() -> int:
        return server.events().count("spent_token_used")

    for token in dead[:2] * 2:
        assert server.read(client, token).status_code == 401
    assert alarms() == 0
    for number, token in enumerate([dead[7], dead[2], *dead[8:], *dead[3:7]], 1):
        for _ in range(2):
            assert server.read(client, token).status_code == 401
            assert alarms() == number
    assert server.row(client).spent_registration_access_token is None
    assert [server.read(client, token).status_code for token in tokens[12:]] == [200, 200]


def test_the_next_one_dies_with_the_confirmed_one_by_an_operators_hand(make_app: MakeApp) -> None:
    server = Server(make_app, "update")
    client = registered(server.http, **PUBLIC)
    following = token_of(server.update(client, client[TOKEN]))
    with server.app.app_context():
        fresh = server.dynreg.reissue_registration_access_token(client["client_id"])
        server.db.session.commit()
    for token in (client[TOKEN], following) * 2:
        assert server.read(client, token).status_code == 401
    assert server.events() == ["registered", "updated", "token_reissued", *["spent_token_used"] * 2]
    assert token_of(server.read(client, fresh)) == fresh


# ---- Many at once


def at_once(server: Server, client: Client, tokens: list[str], *, update: bool) -> list[TestResponse]:
    together = Barrier(len(tokens))

    def ask(number: int) -> TestResponse:
        together.wait(30)
        http, own = server.app.test_client(), client | {TOKEN: tokens[number]}
        if not update:
            return read(http, own)
        sent = {**PUBLIC, "client_id": client["client_id"], "client_name": f"Name {number}"}
        return http.put(client["registration_client_uri"], json=sent, headers=bearer(tokens[number]))

    with ThreadPoolExecutor(len(tokens)) as pool:
        return list(pool.map(ask, range(len(tokens))))


@pytest.mark.parametrize("by_update", [False, True], ids=["read", "update"])
def test_of_many_at_once_one_makes_the_next_one(make_app: MakeApp, any_database_url: str, by_update: bool) -> None:
    server = Server(make_app, "read", any_database_url)
    client = registered(server.http, **PUBLIC)
    first = client[TOKEN]
    answers = at_once(server, client, [first] * 6, update=by_update)
    tokens = [token_of(answer) for answer in answers]
    (second,) = {*tokens} - {first}
    assert tokens.count(second) == 1
    assert server.read(client, first).status_code == server.read(client, second).status_code == 200


@pytest.mark.parametrize("by_update", [False, True], ids=["read", "update"])
def test_of_many_at_once_one_confirms_the_next_one(make_app: MakeApp, any_database_url: str, by_update: bool) -> None:
    server = Server(make_app, "update", any_database_url)
    client = registered(server.http, **PUBLIC)
    first = client[TOKEN]
    second = token_of(server.update(client, first))
    answers = at_once(server, client, [first, second] * 3, update=by_update)
    assert {answer.status_code for answer in answers[::2]} <= {200, 401}
    tokens = {token_of(answer) for answer in answers[1::2]}
    assert second in tokens and len(tokens) == (2 if by_update else 1)
    assert server.read(client, first).status_code == 401
    for token in sorted(tokens, key=lambda token: token != second):  # using the next one ends it
        assert server.read(client, token).status_code == 200
    assert server.events().count("spent_token_used") == 1


def test_of_several_processes_one_makes_the_next_one_and_one_confirms_it(
    make_app: MakeApp, any_database_url: str
) -> None:
    server = Server(make_app, "never", any_database_url)
    client = registered(server.http, **PUBLIC)
    first, uri = client[TOKEN], client["registration_client_uri"]
    answers = raced(any_database_url, "read", uri, [first], processes=2, threads=4)
    assert {status for _, status, _ in answers} == {200}
    given = [token for _, _, token in answers]
    (second,) = {*given} - {first}
    assert second and given.count(second) == 1
    answers = raced(any_database_url, "update", uri, [second, first], processes=2, threads=4)
    assert {answer for answer in answers if answer[0] == second} == {(second, 200, second)}
    assert {answer for answer in answers if answer[0] == first} == {(first, 401, None)}
    assert server.events() == ["registered", "spent_token_used"]


def test_an_update_with_a_token_that_dies_meanwhile_changes_nothing(make_app: MakeApp, any_database_url: str) -> None:
    server = Server(make_app, "update", any_database_url)
    client = registered(server.http, **PUBLIC)
    second = token_of(server.update(client, client[TOKEN]))
    with server.app.app_context():
        registrar = server.dynreg.registrar
        late = registrar.authenticate(client["client_id"], client[TOKEN])
        checked = registrar.check({**PUBLIC, "client_name": "Late"}, late)
    assert server.read(client, second).status_code == 200
    with server.app.app_context(), pytest.raises(RaceLostError):
        registrar.update(late, checked)
    assert "client_name" not in server.read(client, second).get_json()
