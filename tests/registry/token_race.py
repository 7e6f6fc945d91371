"""Many processes of many threads that use one initial access token.

`python -m tests.registry.token_race URL TOKEN PROCESSES THREADS` prints how many uses were good.
"""

import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_dynreg import DynamicRegistration, TemporarilyUnavailableError
from flask_dynreg.protocol.transactions import in_one_transaction
from tests.conftest import SERVER_METADATA


def host(url: str) -> tuple[Flask, DynamicRegistration]:
    app, db = Flask(__name__), SQLAlchemy()
    dynreg = DynamicRegistration(db)
    app.config.update(SQLALCHEMY_DATABASE_URI=url, DYNREG_SERVER_METADATA=SERVER_METADATA)
    db.init_app(app)
    dynreg.init_app(app)
    return app, dynreg


def used(url: str, token: str, threads: int) -> int:
    """How often the token was good for the threads of this process, each of which uses it until it is used up."""
    app, dynreg = host(url)
    with app.app_context():
        registrar = dynreg.registrar
        principal = registrar.tokens.find(token)
    token_id = principal and principal.initial_access_token_id

    def use_up(_: int) -> int:
        good = 0
        with app.app_context():
            while token_id:
                try:
                    if not in_one_transaction(registrar.sessions, partial(registrar.tokens.use, token_id)):
                        break
                    good += 1
                except TemporarilyUnavailableError:
                    continue  # too many at once for SQLite: a client would come again
        return good

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(use_up, range(threads)))


def raced(url: str, token: str, processes: int, threads: int) -> int:
    """How often it was good in all of them."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        results = [pool.submit(used, url, token, threads) for _ in range(processes)]
        return sum(result.result() for result in results)


if __name__ == "__main__":
    url, token, processes, threads = sys.argv[1:]
    print(raced(url, token, int(processes), int(threads)))
