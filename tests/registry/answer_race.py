"""Many processes of many threads that send the same registrations, each until it has an answer.

`python -m tests.registry.answer_race URL TOKEN KEYS PROCESSES THREADS` prints how often each key was answered, and with how
many different answers.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import bearer
from tests.conftest import CLIENT, SERVER_METADATA

AGAIN = {409, 503}

Answers = list[tuple[int, int, str]]
"""Of each answer the number of the key, the status and the body."""


def host(url: str) -> Flask:
    app, db = Flask(__name__), SQLAlchemy()
    app.config.update(
        PREFERRED_URL_SCHEME="https",
        SQLALCHEMY_DATABASE_URI=url,
        DYNREG_IDEMPOTENCY=True,
        DYNREG_SERVER_METADATA=SERVER_METADATA,
    )
    db.init_app(app)
    DynamicRegistration(db).init_app(app)
    return app


def answered(url: str, token: str, keys: int, threads: int) -> Answers:
    app = host(url)

    def send_all(_: int) -> Iterator[tuple[int, int, str]]:
        http = app.test_client()
        for number in range(keys):
            headers = bearer(token) | {"Idempotency-Key": f"the-key-with-the-number-{number}"}
            while (answer := http.post("/oauth2/register", json=CLIENT, headers=headers)).status_code in AGAIN:
                pass
            yield number, answer.status_code, answer.text

    with ThreadPoolExecutor(threads) as pool:
        return [each for answers in pool.map(lambda _: list(send_all(_)), range(threads)) for each in answers]


def raced(url: str, token: str, keys: int, processes: int, threads: int) -> Answers:
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        results = [pool.submit(answered, url, token, keys, threads) for _ in range(processes)]
        return [answer for result in results for answer in result.result()]


if __name__ == "__main__":
    url, token, *numbers = sys.argv[1:]
    answers = raced(url, token, *map(int, numbers))
    for number in range(int(numbers[0])):
        own = [answer for answer in answers if answer[0] == number]
        print(number, len(own), len(set(own)))
