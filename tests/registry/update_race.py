"""Many processes that update one client.

`python -m tests.registry.update_race URL CLIENT_ID TOKEN PROCESSES UPDATES` prints how many updates were made.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context

from flask_dynreg import TemporarilyUnavailableError
from flask_dynreg.protocol.transactions import in_one_transaction
from flask_dynreg.registrar import Registrar
from tests.conftest import CLIENT
from tests.registry.token_race import host


def update(registrar: Registrar, client_id: str, token: str, name: str) -> None:
    client = registrar.authenticate(client_id, token)
    registrar.update(client, registrar.check({**CLIENT, "client_name": name}, client))


def updated(url: str, client_id: str, token: str, process: int, updates: int) -> int:
    """How many updates this process has made: each of them, however often others were first."""
    app, dynreg = host(url)
    for number in range(updates):
        is_made = False
        while not is_made:
            with (
                app.app_context(),
                suppress(TemporarilyUnavailableError),
            ):  # too many at once: a client would come again
                change = partial(update, dynreg.registrar, client_id, token, f"{process} {number}")
                in_one_transaction(dynreg.registrar.sessions, change)
                is_made = True
    return updates


def raced(url: str, client_id: str, token: str, processes: int, updates: int) -> int:
    """How many updates all of them have made."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        results = [pool.submit(updated, url, client_id, token, number, updates) for number in range(processes)]
        return sum(result.result() for result in results)


if __name__ == "__main__":
    url, client_id, token, processes, updates = sys.argv[1:]
    print(raced(url, client_id, token, int(processes), int(updates)))
