"""The clean-up: removes clients whose time is over, batch by batch. `flask dynreg clients clean-up`."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import click

from flask_dynreg.errors import ConfigurationError
from flask_dynreg.operations.commands import NUMBER, Desk, operated, progress
from flask_dynreg.protocol.transactions import in_one_transaction
from flask_dynreg.registrar import Registrar
from flask_dynreg.registry.clients import MOST_AT_ONCE
from flask_dynreg.registry.lifetimes import DeadClient


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What a clean-up has done, or would do."""

    removed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many clients were removed, by the door by which they came and the clock that was over."""
    in_use: int = 0
    """Clients that are dead by a clock, of which the host says that they have live tokens or consents."""
    passed_over: int = 0
    """Clients that somebody has used, changed or removed meanwhile, or has in hand."""
    tombstones: int = 0
    """Tombstones that were over."""

    def __add__(self, other: "CleanUp") -> "CleanUp":
        return CleanUp(
            self.removed + other.removed,
            self.in_use + other.in_use,
            self.passed_over + other.passed_over,
            self.tombstones + other.tombstones,
        )


def clean_up(registrar: Registrar, batch: int, dry_run: bool, by: str | None = None) -> Iterator[CleanUp]:
    """What was done with each batch of at most so many clients, once that is committed.

    The host is asked for those that are in use while nothing is locked. Any number of workers may do this at the same time.
    Raises ConfigurationError where the session holds what is not committed, and TemporarilyUnavailableError or DBAPIError where
    the database cannot do it.
    """
    _stand_back(registrar)
    for dead in _found(registrar, batch):
        free = registrar.not_in_use(dead)
        _stand_back(registrar)
        if dry_run:
            removed = Counter((client.source, client.clock) for client in free)
        else:
            removed = in_one_transaction(registrar.sessions, partial(registrar.remove_dead, free, by))
        yield CleanUp(removed, len(dead) - len(free), len(free) - removed.total())
    while not dry_run and (
        cleared := in_one_transaction(registrar.sessions, partial(registrar.clear_tombstones, batch))
    ):
        yield CleanUp(tombstones=cleared)


def _found(registrar: Registrar, batch: int) -> Iterator[Sequence[DeadClient]]:
    """Those that are dead, at most so many at once."""
    for stretch in registrar.stretches.behind(""):
        while dead := registrar.dead(stretch, batch):
            yield dead
            stretch = stretch.behind(dead[-1].client_id)


def _stand_back(registrar: Registrar) -> None:
    """What others have begun with the session is not ours to commit."""
    if not registrar.sessions.stop_reading():
        raise ConfigurationError("The clean-up needs a session that holds nothing to be committed.")


@click.command("clean-up")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@click.option("--batch", type=NUMBER, default=MOST_AT_ONCE, show_default=True, help="How many clients at once.")
@operated("clients:delete")
def command(desk: Desk, dry_run: bool, batch: int) -> str:
    """Remove the clients whose time is over by DYNREG_CLIENT_LIFETIMES, and tombstones that are.

    Prints how many, one JSON object for each door and clock, and one for all. Each batch is committed by itself.
    """
    registrar, done = desk.registrar, CleanUp()
    with progress(lambda: sum(map(registrar.count_dead, registrar.stretches.behind("")))) as tell:
        for each in clean_up(registrar, batch, dry_run, desk.by):
            done += each
            tell(each.removed.total() + each.in_use + each.passed_over)
    lines = [
        {"source": source, "clock": clock, "clients": clients}
        for (source, clock), clients in sorted(done.removed.items())
    ]
    all_in_all = {
        "dry_run": dry_run,
        "clients": done.removed.total(),
        "in_use": done.in_use,
        "passed_over": done.passed_over,
        "tombstones": done.tombstones,
    }
    return "\n".join(map(json.dumps, [*lines, all_in_all]))
