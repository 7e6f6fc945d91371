"""What goes over many clients finds them by the index that keeps it short, be there statistics or not."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event

from flask_dynreg.registry.stretches import Stretch
from tests.registry.host import Host

STRETCH = Stretch("a", "b")
BY_ID = "SEARCH dynreg_client USING INDEX sqlite_autoindex_dynreg_client_1 (client_id>?"
SOME_SORTED = re.compile("USE TEMP B-TREE FOR (RIGHT|LAST)")
BY_IDS = f"{BY_ID} AND client_id<?)"


@pytest.mark.parametrize(
    ("reads", "plan"),
    [
        (lambda host: host.registrar.dead(STRETCH, 2), [BY_IDS]),
        (lambda host: host.registrar.count_dead(STRETCH), [BY_IDS]),
        (lambda host: host.registrar.reencryption.count(STRETCH), [BY_IDS]),
        (lambda host: host.registrar.reencryption.next_part(STRETCH), [BY_IDS]),
        (lambda host: host.registrar.find_clients("a", None, None), [f"{BY_ID})"]),
        (
            lambda host: list(host.registrar.waiting()),
            ["SEARCH dynreg_client USING INDEX ix_dynreg_client_waiting_since (waiting_since>?)"],
        ),
        (
            lambda host: host.registrar.clear_tombstones(2),
            ["SEARCH dynreg_tombstone USING INDEX ix_dynreg_tombstone_expires_at (expires_at<?)"],
        ),
    ],
    ids=["dead", "count_dead", "count", "next_part", "find_clients", "waiting", "clear_tombstones"],
)
def test_the_plan_of_sqlite(sqlite_host: Host, reads: Callable[[Host], Any], plan: list[str]) -> None:
    """It has no statistics, as on most machines: nobody has run ANALYZE."""
    steps: list[str] = []

    def explain(connection: Connection, _: object, words: str, parameters: Any, *rest: object) -> None:
        if words.startswith("SELECT"):
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", parameters)
            steps.extend(row.detail for row in found if not SOME_SORTED.match(row.detail))

    event.listen(sqlite_host.db.engine, "before_cursor_execute", explain)
    reads(sqlite_host)
    assert steps == plan
