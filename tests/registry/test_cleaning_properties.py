"""Whatever clients there are and whatever clocks: exactly the dead are gone after a clean-up."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from flask_dynreg.config import CLOCKS, DOORS
from flask_dynreg.registry import stretches
from flask_dynreg.registry.client import OlderSecret, dump_older
from flask_dynreg.registry.lifetimes import Lifetimes
from flask_dynreg.registry.secrets import MOST_OLDER
from tests.registry.host import Host

NUMBERS = count()
MOMENTS = st.integers(-12, 0)
Clocks = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Life:
    """What there is in the row of a client; times in seconds from now."""

    source: str | None
    client_id_issued_at: int
    updated_at: int | None
    status: str
    last_used_at: int | None
    client_secret: str | None
    client_secret_expires_at: int | None
    older_secrets: list[int]
    waiting_since: int | None
    requested_metadata: str | None
    expires_at: int | None


lives = st.builds(
    Life,
    source=st.sampled_from([*DOORS, "operator", None]),
    client_id_issued_at=MOMENTS,
    updated_at=st.none() | MOMENTS,
    status=st.sampled_from(["active", "active", "pending", "suspended"]),
    last_used_at=st.none() | MOMENTS,
    client_secret=st.sampled_from([None, "x"]),
    client_secret_expires_at=st.none() | st.integers(-12, 2),
    older_secrets=st.lists(st.integers(-12, 2), max_size=MOST_OLDER),
    waiting_since=st.none() | MOMENTS,
    requested_metadata=st.sampled_from([None, "{}"]),
    expires_at=st.none() | st.integers(-2, 2),
)
clocks = st.dictionaries(
    st.sampled_from([*DOORS, "all"]), st.dictionaries(st.sampled_from(CLOCKS), st.integers(1, 12)), max_size=4
)


def latest(ends: Sequence[int | None]) -> int | None:
    """None if there is none, or one of them is without an end."""
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def is_dead(life: Life, lifetimes: Clocks) -> bool:
    """The same once more, in words of Python."""
    if life.source not in DOORS:
        return False
    was_never_approved = life.waiting_since is not None and life.requested_metadata is None
    if life.expires_at is not None and life.expires_at <= 0 and not was_never_approved:
        return True
    changed_at = life.client_id_issued_at if life.updated_at is None else life.updated_at
    for clock, seconds in lifetimes.get(life.source, lifetimes.get("all", {})).items():
        begin: int | None
        if clock == "absolute":
            begin = life.client_id_issued_at
        elif clock == "unused":
            begin = changed_at if life.last_used_at is None and life.status == "active" else None
        elif clock == "idle":
            begin = None if life.last_used_at is None or life.status != "active" else max(life.last_used_at, changed_at)
        elif clock == "pending":
            begin = None if life.requested_metadata else life.waiting_since
        else:
            end = latest([*([life.client_secret_expires_at] if life.client_secret else []), *life.older_secrets])
            begin = None if end is None or life.status != "active" else max(end, changed_at)
        if begin is not None and begin + seconds <= 0:
            return True
    return False


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    some=st.lists(lives, max_size=12),
    lifetimes=clocks,
    batch=st.integers(1, 5),
    stretch=st.integers(1, 5),
    data=st.data(),
)
def test_exactly_the_dead_are_gone(
    host: Host, some: list[Life], lifetimes: Clocks, batch: int, stretch: int, data: st.DataObject
) -> None:
    host.registrar._lifetimes = Lifetimes(host.registrar.sessions, host.models, host.registrar.issuer, lifetimes)
    names = {f"client-{next(NUMBERS)}": life for life in some}
    used = set(data.draw(st.lists(st.sampled_from(sorted(names)), unique=True))) if names else set()
    host.registrar._in_use = lambda client_ids: used & set(client_ids)
    model = host.models.client
    host.session.execute(delete(model))
    for name, life in names.items():
        row: dict[str, Any] = {
            "client_id": name,
            "issuer": host.registrar.issuer,
            "client_metadata": "{}",
            "version": 1,
        }
        times = {
            column: value + host.clock.now if isinstance(value, int) else value
            for column, value in asdict(life).items()
            if column != "older_secrets"
        }
        older = [OlderSecret("x", end + host.clock.now, 0) for end in life.older_secrets]
        row["older_client_secrets"] = dump_older(older)
        times["client_secret_expires_at"] = times["client_secret_expires_at"] or 0
        host.session.execute(insert(model.__table__), row | times)  # type: ignore[arg-type]
    host.session.commit()
    dead = {name for name, life in names.items() if is_dead(life, lifetimes)}
    with patch.object(stretches, "MOST_LOOKED_AT", stretch):
        would = host.dynreg.clean_up(batch=batch, dry_run=True)
        done = host.dynreg.clean_up(batch=batch)
    assert done == would and done.removed.total() == len(dead - used) and done.in_use == len(dead & used)
    assert set(host.session.scalars(select(model.client_id))) == names.keys() - (dead - used)
    assert all(host.dynreg.removal(name) for name in dead - used)
    host.session.rollback()
