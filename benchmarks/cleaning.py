"""How fast the clean-up removes clients, and how long registrations take meanwhile; see README.md."""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from apps import SERVER_METADATA, dynreg
from databases import POSTGRESQL, fresh_databases
from flask import Flask
from measure import METADATA
from sqlalchemy import insert, text

from flask_dynreg.operations.cleaning import clean_up
from flask_dynreg.registry.principals import OPEN

DAY = 86400
LIFETIMES = {"open": {"unused": DAY}}
AT_ONCE = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "all"], default="all")
    parser.add_argument("--clients", type=int, default=100_000, help="of which nine tenths are dead (%(default)s)")
    parser.add_argument("--batch", type=int, default=200, help="clients of one transaction (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="that clean up at the same time (%(default)s)")
    parser.add_argument("--rate", type=int, default=50, help="registrations per second (%(default)s)")
    parser.add_argument("--seconds", type=int, default=10, help="of registrations before the clean-up (%(default)s)")
    parser.add_argument("--postgresql", default=POSTGRESQL, metavar="URL", help="where to make databases (%(default)s)")
    arguments = parser.parse_args()
    print(
        "| Database | Clients | Removed | Seconds | Removed per second | Registrations | p50, ms | p99, ms | most, ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for database in ["sqlite", "postgresql"] if arguments.database == "all" else [arguments.database]:
        with (
            tempfile.TemporaryDirectory(prefix="dynreg-benchmark-") as directory,
            fresh_databases(database, ["cleaning"], Path(directory), arguments.postgresql) as urls,
        ):
            os.environ["BENCHMARK_DATABASE"] = urls["cleaning"]
            for row in measured(arguments):
                print(f"| {database} | {' | '.join(row)} |", flush=True)
    return 0


def measured(arguments: argparse.Namespace) -> Iterator[list[str]]:
    """A row for the time before the clean-up, and one for that in which it runs."""
    app = new_app()
    fill(app, arguments.clients)
    context = multiprocessing.get_context("spawn")
    with context.Pool(arguments.workers + 1) as pool, context.Manager() as manager:
        enough: Any = manager.Event()
        before = pool.apply_async(registrations, (arguments.rate, enough))
        time.sleep(arguments.seconds)
        enough.set()
        yield [str(arguments.clients), "", "", "", *latencies(before.get())]
        enough.clear()
        during = pool.apply_async(registrations, (arguments.rate, enough))
        begin = time.perf_counter()
        removed = sum(pool.map(clean, [arguments.batch] * arguments.workers, chunksize=1))
        seconds = time.perf_counter() - begin
        enough.set()
        speed = [str(removed), f"{seconds:.1f}", f"{removed / seconds:.0f}"]
        yield [str(arguments.clients), *speed, *latencies(during.get())]
    if removed != arguments.clients * 9 // 10:
        raise RuntimeError(f"{removed} were removed, of {arguments.clients} clients.")


def new_app() -> Flask:
    return dynreg(DYNREG_CLIENT_LIFETIMES=LIFETIMES)


def fill(app: Flask, clients: int) -> None:
    """One in ten was registered now, the others are dead."""
    with app.app_context():
        registrar = app.extensions["dynreg"]
        checked, now = registrar.check(METADATA), int(time.time())
        information = registrar.new_client_information(checked)
        engine = registrar.sessions.engine
        table = registrar.models.client.__table__
        registrar.register(information, checked, OPEN)
        registrar.sessions.session.flush()
        connection = registrar.sessions.connection()
        like = dict(connection.execute(table.select()).mappings().one())
        registrar.sessions.session.rollback()
        with engine.begin() as connection:
            for first in range(0, clients, AT_ONCE):
                rows = [
                    like | dict.fromkeys(("client_id_issued_at", "updated_at"), now if not number % 10 else now - DAY)
                    for number in range(first, min(first + AT_ONCE, clients))
                ]
                connection.execute(insert(table), [row | {"client_id": os.urandom(16).hex()} for row in rows])
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        engine.dispose()


def registrations(rate: int, enough: Event) -> list[float]:
    """How long each took, in seconds, one after the other."""
    http = new_app().test_client()
    taken: list[float] = []
    begin = time.perf_counter()
    while not enough.is_set():
        due = begin + len(taken) / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        start = time.perf_counter()
        answer = http.post("/oauth2/register", json=METADATA, base_url=SERVER_METADATA["issuer"])
        taken.append(time.perf_counter() - start)
        if answer.status_code != 201:
            raise RuntimeError(f"A registration was answered with {answer.status_code}: {answer.text}")
    return taken


def clean(batch: int) -> int:
    """How many one worker has removed."""
    app = new_app()
    with app.app_context():
        return sum(each.removed.total() for each in clean_up(app.extensions["dynreg"], batch, dry_run=False))


def latencies(seconds: list[float]) -> list[str]:
    """How many there are, and their percentiles in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100)
    return [str(len(seconds)), *(f"{value * 1000:.1f}" for value in (cuts[49], cuts[98], max(seconds)))]


if __name__ == "__main__":
    sys.exit(main())
