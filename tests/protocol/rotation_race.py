"""Many processes of many threads that read one client with the same tokens.

`python -m tests.protocol.rotation_race URL ROTATION CLIENT_URI PROCESSES THREADS TOKEN...` prints how often each answer came.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration
from tests.conformance.exchange import bearer
from tests.conftest import SERVER_METADATA

READS = 5
UNAVAILABLE = 503

Answer = tuple[str, int, str | None]
"""The token that was presented, the status, and the token of the answer."""


def answers(url: str, rotation: str, uri: str, tokens: Sequence[str], threads: int) -> list[Answer]:
    app, db = Flask(__name__), SQLAlchemy()
    app.config.update(
        PREFERRED_URL_SCHEME="https",
        SQLALCHEMY_DATABASE_URI=url,
        DYNREG_REGISTRATION_TOKEN_ROTATION=rotation,
        DYNREG_SERVER_METADATA=SERVER_METADATA,
    )
    db.init_app(app)
    DynamicRegistration(db).init_app(app)

    def read_often(_: int) -> list[Answer]:
        http, found = app.test_client(), []
        for token in [*tokens] * READS:
            while (answer := http.get(uri, headers=bearer(token))).status_code == UNAVAILABLE:
                pass  # too many at once for SQLite: a client would come again
            found.append((token, answer.status_code, answer.get_json().get("registration_access_token")))
        return found

    with ThreadPoolExecutor(threads) as pool:
        return [answer for found in pool.map(read_often, range(threads)) for answer in found]


def raced(url: str, rotation: str, uri: str, tokens: Sequence[str], *, processes: int, threads: int) -> list[Answer]:
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        results = [pool.submit(answers, url, rotation, uri, tokens, threads) for _ in range(processes)]
        return [answer for result in results for answer in result.result()]


if __name__ == "__main__":
    url, rotation, uri, processes, threads, *tokens = sys.argv[1:]
    print(Counter(raced(url, rotation, uri, tokens, processes=int(processes), threads=int(threads))))
