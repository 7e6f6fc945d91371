"""Compare the CPU time per request of this extension with a bare Flask view and with bare Authlib; see README.md."""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from apps import FEATURES
from databases import POSTGRESQL
from measure import STATUSES, Cell, Setup, measured

APPS = ["floor", "authlib", "dynreg"]
DATABASES = ["sqlite", "postgresql"]
TARGETS = {
    "sqlite": {"register": 1.6, "read": 1.5, "update": 1.8, "refusal": 1.4},
    "postgresql": {"register": 1.7, "read": 1.4, "update": 1.9, "refusal": 1.4},
}


def main() -> int:
    arguments = parsed_arguments()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return refused("Two cores are needed: one for the server, one for the load.")
    for tool in ("wrk", "taskset"):
        if shutil.which(tool) is None:
            return refused(f"{tool} is missing; on Debian: apt install wrk util-linux")
    os.sched_setaffinity(0, {cores[-1]})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the servers and databases go as on Ctrl-C
    setup = Setup(
        apps=arguments.apps,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        threads=arguments.threads,
        connections=arguments.connections,
        server_core=cores[0],
        load_core=cores[-1],
        postgresql=arguments.postgresql,
    )
    cells = []
    for database in DATABASES if arguments.database == "all" else [arguments.database]:
        with tempfile.TemporaryDirectory(prefix="dynreg-benchmark-") as directory:
            for cell in measured(database, setup, Path(directory)):
                print(progress(cell), file=sys.stderr)
                cells += [cell] if cell.round else []
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(cell) for cell in cells], indent=1) + "\n")
    print("\n".join(table(cells, arguments.apps)))
    return 0


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=[*DATABASES, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each cell (%(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="length of one measurement (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the server (%(default)s)")
    parser.add_argument("--connections", type=int, default=4, help="connections of the load (%(default)s)")
    parser.add_argument("--apps", type=lambda names: names.split(","), default=APPS, help=f"some of {','.join(APPS)}")
    parser.add_argument("--features", action="store_true", help="compare each feature with the server that has none")
    parser.add_argument("--postgresql", default=POSTGRESQL, metavar="URL", help="where to make databases (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to this file")
    arguments = parser.parse_args()
    if arguments.features:
        arguments.apps = ["dynreg", *FEATURES]
    if unknown := {*arguments.apps} - {*APPS, *FEATURES}:
        parser.error(f"there is no app {', '.join(sorted(unknown))}")
    return arguments


def refused(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


def progress(cell: Cell) -> str:
    name = f"{cell.database} {cell.path} {cell.app}, round {cell.round or 'to warm up'}"
    return f"{name}: {cell.requests} requests, {cell.microseconds:.0f} us"


def table(cells: list[Cell], apps: list[str]) -> Iterator[str]:
    """The results in Markdown; the ratio to the first server is taken within each round."""
    yield f"| Database | Path | Server | CPU per request, µs | Ratio to {apps[0]} | To reach |"
    yield "|---|---|---|---|---|---|"
    for database in dict.fromkeys(cell.database for cell in cells):
        for path in STATUSES:
            taken = {app: by_round(cells, database, path, app) for app in apps}
            first = taken[apps[0]]
            for app, times in taken.items():
                ratio = spread([times[number] / first[number] for number in first], ".2f") if app != apps[0] else ""
                target = str(TARGETS[database][path]) if app == "dynreg" and apps[0] == "floor" else ""
                yield f"| {database} | {path} | {app} | {spread(list(times.values()), '.0f')} | {ratio} | {target} |"


def by_round(cells: list[Cell], database: str, path: str, app: str) -> dict[int, float]:
    wanted = (database, path, app)
    return {cell.round: cell.microseconds for cell in cells if (cell.database, cell.path, cell.app) == wanted}


def spread(values: list[float], form: str) -> str:
    """The median and, in brackets, the least and the greatest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


if __name__ == "__main__":
    sys.exit(main())
