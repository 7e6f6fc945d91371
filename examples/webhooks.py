"""The quickstart, which tells a URL of yours what happens to clients, in the form of Standard Webhooks (standardwebhooks.com).

    WEBHOOK_URL=https://ops.example/hook WEBHOOK_SECRET=whsec_... flask --app examples/webhooks.py run

A signal comes after the commit, in the request that did it: it only puts the news into a queue. A thread sends them, again and
again if it has to, in the order of this process; news of two processes may pass each other. News may come twice, with the same
`webhook-id`, if an answer of the receiver got lost.

Nothing is kept on disk. A process that ends, after a command for example, waits a few seconds for what is in the queue; what is
left then is lost, as is what comes when too much waits, what was tried in vain so often, and all when a process is killed. The
table `dynreg_event` has what happened, so compare with it from time to time; but not what strangers were refused, which is in
the log alone.
"""

import atexit
import base64
import hashlib
import hmac
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Mapping
from queue import Queue
from typing import Any

import httpx2
from blinker import NamedSignal
from flask import Flask

import flask_dynreg
from examples import quickstart

SIGNALS = {name: signal for name, signal in vars(flask_dynreg).items() if isinstance(signal, NamedSignal)}
FIRST_PAUSE = 1.0
"""Seconds before the second attempt; each further pause is twice as long."""
ATTEMPTS = 10
MOST = 10_000
"""News that may wait; what comes then is dropped, and logged. Of refusals half as many: strangers make them, as many as they
like, and must not drive out the others."""
LAST = 5.0
"""Seconds for which a process that ends waits."""

logger = logging.getLogger("webhooks")


class Webhooks:
    def __init__(self, url: str, secret: str, *, first_pause: float = FIRST_PAUSE, attempts: int = ATTEMPTS) -> None:
        self._url, self._pauses = url, [first_pause * 2**number for number in range(attempts - 1)]
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self.queue: Queue[dict[str, Any]] = Queue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def init_app(self, app: Flask) -> None:
        for name, signal in SIGNALS.items():
            signal.connect(self._receiver(name), app, weak=False)

    def _receiver(self, name: str) -> Any:
        def receive(sender: Flask, **news: Any) -> None:
            self._start()
            if self.queue.qsize() >= (MOST // 2 if name == "registration_refused" else MOST):
                logger.error("Too much news waits: %s is dropped.", name)
            else:
                self.queue.put({"type": name, "timestamp": int(time.time()), "data": news})

        return receive

    def _start(self) -> None:
        """In the process that has the news: a server may have forked since the app was made."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)
                self._thread.start()
                atexit.register(self.finish)

    def finish(self, seconds: float = LAST) -> None:
        """Waits until everything is sent, but no longer than so."""
        with self.queue.all_tasks_done:
            self.queue.all_tasks_done.wait_for(lambda: not self.queue.unfinished_tasks, seconds)

    def _work(self) -> None:
        while True:
            news = self.queue.get()
            try:
                self._send(f"msg_{secrets.token_urlsafe(16)}", json.dumps(news))
            except Exception:
                logger.exception("%s was not sent.", news["type"])
            finally:
                self.queue.task_done()

    def _send(self, identifier: str, body: str) -> None:
        for pause in [*self._pauses, None]:
            try:
                answer = httpx2.post(self._url, content=body, headers=self._headers(identifier, body), timeout=10)
                answer.raise_for_status()
                return
            except httpx2.HTTPError:
                if pause is None:
                    raise
                time.sleep(pause)

    def _headers(self, identifier: str, body: str) -> dict[str, str]:
        now = str(int(time.time()))
        signature = hmac.digest(self._key, f"{identifier}.{now}.{body}".encode(), hashlib.sha256)
        return {
            "Content-Type": "application/json",
            "webhook-id": identifier,
            "webhook-timestamp": now,
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    app = quickstart.create_app(config)
    Webhooks(os.environ["WEBHOOK_URL"], os.environ["WEBHOOK_SECRET"]).init_app(app)
    return app
