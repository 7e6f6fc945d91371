"""Many processes that clean up while others register clients, read them and use some of those that are dead.

`python -m tests.registry.cleaning_race URL CLIENTS CLEANERS OTHERS` prints what came of it.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, TypeVar

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import func, select, update
from sqlalchemy.exc import DBAPIError

from flask_dynreg import DynamicRegistration, TemporarilyUnavailableError
from flask_dynreg.operations.cleaning import clean_up
from flask_dynreg.protocol.transactions import in_one_transaction
from flask_dynreg.registrar import Registrar
from flask_dynreg.registry.chains import Found
from flask_dynreg.registry.principals import OPEN
from tests.conftest import CLIENT, SERVER_METADATA

BEGIN, UNUSED, BATCH = 1_800_000_000, 100, 10
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Outcome:
    """Of the clients that were used or are new, how many are `lost`; of the dead ones how many are `left` or were removed
    `twice`; how often one was `removed`, or was used before that; how many clients the quota has `counted`; how many `breaks`
    the trail has."""

    lost: int
    left: int
    twice: int
    removed: int
    used: int
    counted: int
    breaks: int


def host(url: str, now: int) -> tuple[Flask, DynamicRegistration, SQLAlchemy]:
    app, db = Flask(__name__), SQLAlchemy()
    dynreg = DynamicRegistration(db, clock=lambda: now)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=url,
        DYNREG_CLIENT_LIFETIMES={"open": {"unused": UNUSED}},
        DYNREG_QUOTAS={"open": 10**6},
        DYNREG_SERVER_METADATA=SERVER_METADATA,
    )
    db.init_app(app)
    dynreg.init_app(app)
    return app, dynreg, db


def at_last(registrar: Registrar, operation: Callable[[], Answer]) -> Answer:
    while True:
        try:
            return in_one_transaction(registrar.sessions, operation)
        except TemporarilyUnavailableError:
            continue  # too many at once for SQLite: a client would come again


def register(registrar: Registrar) -> str:
    checked = registrar.check(CLIENT)
    return registrar.register(registrar.new_client_information(checked), checked, OPEN).client.client_id


def use(dynreg: DynamicRegistration, db: SQLAlchemy, client_id: str) -> bool:
    """False for a client that is gone, be it now: what is issued to others is issued by the same transaction."""
    client: Any = dynreg.query_client(client_id)
    if client is None:
        return False
    client.touch()
    model = dynreg.models.client
    hold = update(model).where(model.client_id == client_id).values(version=model.version)
    return bool(db.session.connection().execute(hold).rowcount)


def clean(url: str) -> int:
    """How many one worker has removed, until it finds nobody."""
    app, dynreg, _ = host(url, BEGIN + UNUSED)
    removed = 0
    with app.app_context():
        while True:
            try:
                found = 0
                for done in clean_up(dynreg.registrar, BATCH, dry_run=False):
                    removed += done.removed.total()
                    found += done.removed.total() + done.passed_over
            except (TemporarilyUnavailableError, DBAPIError):
                continue
            if not found:
                return removed


def live(url: str, dead: Sequence[str]) -> tuple[list[str], list[str]]:
    """The clients that one worker has registered, and those of the dead ones that it could use."""
    app, dynreg, db = host(url, BEGIN + UNUSED)
    made: list[str] = []
    used: list[str] = []
    with app.app_context():
        for client_id in dead:
            made.append(at_last(dynreg.registrar, lambda: register(dynreg.registrar)))
            assert at_last(dynreg.registrar, lambda: dynreg.query_client(made[-1]))
            if at_last(dynreg.registrar, lambda client_id=client_id: use(dynreg, db, client_id)):  # type: ignore[misc]
                used.append(client_id)
    return made, used


def raced(url: str, clients: int, cleaners: int, others: int) -> Outcome:
    """Of `clients` that are dead, every fifth is used by one of the others as well."""
    app, dynreg, db = host(url, BEGIN)
    with app.app_context():
        db.create_all()
        dead = [at_last(dynreg.registrar, lambda: register(dynreg.registrar)) for _ in range(clients)]
        db.engine.dispose()
    sought = dead[::5]
    with ProcessPoolExecutor(cleaners + others, mp_context=get_context("spawn")) as pool:
        living = [pool.submit(live, url, sought[number::others]) for number in range(others)]
        cleaning = [pool.submit(clean, url) for _ in range(cleaners)]
        lives = [each.result() for each in living]
        removed = sum(each.result() for each in cleaning)
    made = {client_id for each, _ in lives for client_id in each}
    used = {client_id for _, each in lives for client_id in each}
    with app.app_context():
        client, event, quota = dynreg.models.client, dynreg.models.event, dynreg.models.quota
        there = set(db.session.scalars(select(client.client_id)))
        ends = Counter(db.session.scalars(select(event.client_id).where(event.type == "removed")))
        counted = db.session.scalar(select(func.sum(quota.clients)))
        db.session.rollback()
        breaks = list(dynreg.registrar.chains.verify(Found()))
        db.engine.dispose()
    assert removed == ends.total()
    return Outcome(
        lost=len((made | used) - there),
        left=len(there - made - used),
        twice=sum(number > 1 for number in ends.values()),
        removed=removed,
        used=len(used),
        counted=int(counted or 0),
        breaks=len(breaks),
    )


if __name__ == "__main__":
    url, *numbers = sys.argv[1:]
    print(raced(url, *map(int, numbers)))
