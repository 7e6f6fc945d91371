"""The example of webhooks: news of clients arrive, signed, however often the receiver fails; and nobody waits for them."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from examples.webhooks import SIGNALS, Webhooks
from tests.conformance.exchange import PUBLIC, delete, registered, replaced

KEY = b"k" * 32
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


class Receiver(ThreadingHTTPServer):
    """It fails so many times before it takes anything, and not before it may."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures, self.attempts, self.taken = failures, list[str](), list[Any]()
        self.may = threading.Event()
        self.may.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.may.wait(30)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        identifier, sent_at = self.headers["webhook-id"], self.headers["webhook-timestamp"]
        signed = hmac.digest(KEY, f"{identifier}.{sent_at}.".encode() + body, hashlib.sha256)
        assert self.headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
        self.server.attempts.append(identifier)
        fails = len(self.server.attempts) <= self.server.failures
        if not fails:
            self.server.taken.append(json.loads(body))
        self.send_response(503 if fails else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_news_arrive_in_their_order_and_nobody_waits_for_them(app: Flask, receiver: Receiver) -> None:
    webhooks = Webhooks(receiver.url, SECRET, first_pause=0)
    webhooks.init_app(app)
    receiver.may.clear()
    http = app.test_client()
    client = registered(http, **PUBLIC)
    replaced(http, client, **PUBLIC, client_name="New")
    assert delete(http, client).status_code == 204 and receiver.taken == []
    receiver.may.set()
    webhooks.queue.join()
    assert [news["type"] for news in receiver.taken] == ["client_registered", "client_updated", "client_deleted"]
    assert {news["data"]["client_id"] for news in receiver.taken} == {client["client_id"]}
    assert "registration_access_token" not in json.dumps(receiver.taken)


def test_a_receiver_that_fails_is_asked_again(app: Flask, receiver: Receiver) -> None:
    receiver.failures = 3
    webhooks = Webhooks(receiver.url, SECRET, first_pause=0)
    webhooks.init_app(app)
    registered(app.test_client(), **PUBLIC)
    webhooks.queue.join()
    assert len(receiver.taken) == 1 and len(receiver.attempts) == 4 and len(set(receiver.attempts)) == 1


def test_what_cannot_be_sent_is_logged_and_the_next_goes_on(
    app: Flask, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.failures = 2
    webhooks = Webhooks(receiver.url, SECRET, first_pause=0, attempts=2)
    webhooks.init_app(app)
    first, second = (registered(app.test_client(), **PUBLIC)["client_id"] for _ in range(2))
    webhooks.queue.join()
    assert [news["data"]["client_id"] for news in receiver.taken] == [second]
    assert "client_registered was not sent" in caplog.text and first not in caplog.text


def test_a_command_ends_when_its_news_is_sent(receiver: Receiver) -> None:
    receiver.failures = 1
    process = (
        "from flask import Flask; from flask_dynreg import client_suspended; from examples.webhooks import Webhooks;"
        f"app = Flask('app'); Webhooks({receiver.url!r}, {SECRET!r}, first_pause=0.01).init_app(app);"
        "client_suspended.send(app, client_id='a', owner=None, reason='odd')"
    )
    subprocess.run([sys.executable, "-c", process], cwd=Path(__file__).parents[1], check=True, timeout=60)
    assert [news["data"]["client_id"] for news in receiver.taken] == ["a"]


def test_a_process_does_not_wait_for_ever_for_a_receiver(app: Flask, receiver: Receiver) -> None:
    webhooks = Webhooks(receiver.url, SECRET, first_pause=0)
    webhooks.init_app(app)
    receiver.may.clear()
    registered(app.test_client(), **PUBLIC)
    webhooks.finish(0.01)
    assert receiver.taken == []
    receiver.may.set()
    webhooks.finish(30)
    assert len(receiver.taken) == 1


def test_strangers_do_not_drive_out_what_happens_to_clients(
    app: Flask, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("examples.webhooks.MOST", 4)
    webhooks = Webhooks(receiver.url, SECRET, first_pause=0)
    webhooks.init_app(app)
    receiver.may.clear()
    http = app.test_client()
    for _ in range(10):
        assert http.post("/oauth2/register", json={}).status_code == 400
    registered(http, **PUBLIC)
    receiver.may.set()
    webhooks.queue.join()
    types = [news["type"] for news in receiver.taken]
    assert types[-1] == "client_registered" and 2 <= types.count("registration_refused") <= 3
    assert "registration_refused is dropped" in caplog.text


def test_every_signal_is_news() -> None:
    assert {"client_registered", "client_approved", "registration_refused"} <= SIGNALS.keys()
