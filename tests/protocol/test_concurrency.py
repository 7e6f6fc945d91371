"""Many at once, against several processes with several threads each, on SQLite and PostgreSQL."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from tests.conformance.requirements import requirement
from tests.conftest import StartQuickstart
from tests.servers import ROOT

DOORS = '["open", "initial_access_token"]'
REGISTRATIONS, USES, UPDATES, DELETIONS = 50, 10, 12, 4

Request = tuple[str, str, str | None, object]
"""Method, URL, token and body."""


@dataclass
class Answer:
    status: int
    body: Any


def send(request: Request, start: Barrier | None = None) -> Answer:
    method, url, token, body = request
    connection = HTTPConnection(urlsplit(url).netloc, timeout=60)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection.connect()
    if start:
        start.wait(60)
    try:
        connection.request(method, urlsplit(url).path, json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
        return Answer(response.status, json.loads(content) if content else None)
    finally:
        connection.close()


def at_once(requests: Sequence[Request]) -> list[Answer]:
    start = Barrier(len(requests))
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda request: send(request, start), requests))


@dataclass
class Quickstart:
    issuer: str
    database_url: str
    environment: dict[str, str]

    def initial_access_token(self) -> str:
        """As an operator makes it."""
        command = [sys.executable, "-m", "flask", "--app", "examples/quickstart.py", "dynreg", "issue-token"]
        result = subprocess.run(
            [*command, "--uses", str(USES)], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=True
        )
        return result.stdout.strip()

    def register(self, **metadata: Any) -> dict[str, Any]:
        answer = send(
            ("POST", f"{self.issuer}/oauth2/register", None, {"redirect_uris": ["https://a.example/0"]} | metadata)
        )
        assert answer.status == 201
        client: dict[str, Any] = answer.body
        return client

    def count(self, table: str, **where: str) -> int:
        conditions = " AND ".join(f"{name} = :{name}" for name in where) or "1 = 1"
        with create_engine(self.database_url, poolclass=NullPool).connect() as connection:
            return int(connection.scalar(text(f"SELECT count(*) FROM {table} WHERE {conditions}"), where) or 0)


@pytest.fixture
def quickstart(database_url: str, start_quickstart: StartQuickstart, tmp_path: Path) -> Quickstart:
    settings = {"FLASK_SQLALCHEMY_DATABASE_URI": database_url, "FLASK_DYNREG_ACCESS": DOORS}
    issuer = start_quickstart(**settings)
    command = settings | {"FLASK_DYNREG_SERVER_METADATA__issuer": issuer, "FLASK_INSTANCE_PATH": str(tmp_path)}
    return Quickstart(issuer, database_url, os.environ | command)


def managing(client: dict[str, Any], method: str, body: object = None) -> Request:
    return method, client["registration_client_uri"], client["registration_access_token"], body


def updating(client: dict[str, Any], number: int) -> Request:
    """Members that belong together, so that a mixture of two updates would show."""
    metadata = {"redirect_uris": [f"https://a.example/{number}"], "client_name": str(number), "contacts": [str(number)]}
    return managing(client, "PUT", {"client_id": client["client_id"], **metadata})


def test_a_token_of_ten_uses_makes_ten_clients(quickstart: Quickstart) -> None:
    token = quickstart.initial_access_token()
    metadata = {"redirect_uris": ["https://a.example/cb"]}
    registration: Request = ("POST", f"{quickstart.issuer}/oauth2/register", token, metadata)
    answers = at_once([registration] * REGISTRATIONS)
    assert Counter(answer.status for answer in answers) == {201: USES, 401: REGISTRATIONS - USES}
    clients = [answer.body for answer in answers if answer.status == 201]
    assert {answer.body["error"] for answer in answers if answer.status == 401} == {"invalid_token"}
    for name in ("client_id", "client_secret", "registration_access_token"):
        assert len({client[name] for client in clients}) == USES
    assert all(send(managing(client, "GET")).status == 200 for client in clients)
    assert quickstart.count("dynreg_client") == quickstart.count("dynreg_event", type="registered") == USES


@requirement("RFC7591-3.2.1-02", "RFC7591-3.2.1-03")
def test_many_registrations_are_many_clients(quickstart: Quickstart) -> None:
    metadata = {"redirect_uris": ["https://a.example/cb"]}
    answers = at_once([("POST", f"{quickstart.issuer}/oauth2/register", None, metadata)] * REGISTRATIONS)
    assert {answer.status for answer in answers} == {201}
    for name in ("client_id", "client_secret", "registration_access_token"):
        assert len({answer.body[name] for answer in answers}) == REGISTRATIONS


@requirement("RFC7592-2.2-20")
def test_updates_at_once_leave_one_of_them(quickstart: Quickstart) -> None:
    client = quickstart.register()
    answers = at_once([updating(client, number) for number in range(1, UPDATES + 1)])
    assert {answer.status for answer in answers} == {200}
    kept = send(managing(client, "GET")).body
    assert kept in [answer.body for answer in answers]
    assert kept["contacts"] == [kept["client_name"]] and kept["redirect_uris"] == [
        f"https://a.example/{kept['client_name']}"
    ]
    assert quickstart.count("dynreg_event", type="updated", client_id=client["client_id"]) == UPDATES


@requirement("RFC7592-2.2-20")
def test_a_refused_update_at_the_same_time_changes_nothing(quickstart: Quickstart) -> None:
    client = quickstart.register()
    refused = {"client_id": client["client_id"], "redirect_uris": ["ftp://a.example/"], "client_name": "refused"}
    requests = [updating(client, number) for number in range(1, UPDATES + 1)]
    answers = at_once([request for sound in requests for request in (sound, managing(client, "PUT", refused))])
    assert [answer.status for answer in answers] == [200, 400] * UPDATES
    assert send(managing(client, "GET")).body in [answer.body for answer in answers if answer.status == 200]


def test_a_client_is_deleted_once_whatever_else_happens_to_it(quickstart: Quickstart) -> None:
    client, bystander = quickstart.register(), quickstart.register()
    updates = [updating(client, number) for number in range(1, UPDATES + 1)]
    answers = at_once([*updates, *[managing(client, "DELETE")] * DELETIONS, *[managing(client, "GET")] * DELETIONS])
    assert {answer.status for answer in answers} <= {200, 204, 401}
    assert [answer.status for answer in answers[UPDATES : UPDATES + DELETIONS]].count(204) == 1
    assert send(managing(client, "GET")).status == 401
    assert send(updating(client, 1)).status == 401
    assert quickstart.count("dynreg_client", client_id=client["client_id"]) == 0
    assert quickstart.count("dynreg_event", type="deleted", client_id=client["client_id"]) == 1
    updated = [answer.status for answer in answers[:UPDATES]].count(200)
    assert quickstart.count("dynreg_event", type="updated", client_id=client["client_id"]) == updated
    assert send(managing(bystander, "GET")).status == 200
