"""Secrets under the newest key: what is encrypted under an older one is encrypted anew, a part at a time."""

from collections import Counter
from typing import NamedTuple

from sqlalchemy import bindparam, func, or_, select, update

from flask_dynreg.errors import RaceLostError
from flask_dynreg.registry.client import dump_older, load_older
from flask_dynreg.registry.clients import MOST_AT_ONCE
from flask_dynreg.registry.credentials import ENCRYPTED, Credentials
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.stretches import Stretch, is_within, unindexed

_COLUMNS = ("client_secret", "older_client_secrets")
_DONE, _UNREADABLE = "done", "unreadable"


class Part(NamedTuple):
    """What was done at once: up to which client, for how many; secrets that were encrypted anew, and those that no key opens."""

    last: str
    clients: int
    done: int
    unreadable: int


class Reencryption:
    """The encrypted secrets of one issuer, in the order of the ids of their clients. Neither versions nor events tell of it."""

    def __init__(self, sessions: Sessions, models: Models, credentials: Credentials, issuer: str) -> None:
        self._sessions = sessions
        self._credentials = credentials
        client = table_of(models.client)
        columns = [client.c[name] for name in _COLUMNS]
        is_encrypted = or_(
            client.c.client_secret.startswith(ENCRYPTED), client.c.older_client_secrets.contains(f'"{ENCRYPTED}')
        )
        ours = unindexed(or_(client.c.issuer == issuer, client.c.issuer.is_(None)))
        self._count = select(func.count()).select_from(client).where(is_within(client), ours, is_encrypted)
        self._page = (
            select(client.c.client_id, *columns)
            .where(is_within(client), ours, is_encrypted)
            .order_by(client.c.client_id)
            .limit(MOST_AT_ONCE)
        )
        this = client.c.client_id == bindparam("w_this", type_=client.c.client_id.type)
        unchanged = (
            column.is_not_distinct_from(bindparam(f"w_{column.name}", type_=column.type)) for column in columns
        )
        anew = {column.name: bindparam(f"c_{column.name}", type_=column.type) for column in columns}
        self._write = update(client).where(this, *unchanged).values(**anew)

    def count(self, stretch: Stretch) -> int:
        """How many clients with encrypted secrets there are."""
        row = self._sessions.first(self._count, stretch.bounds)
        return int(row[0]) if row else 0

    def next_part(self, stretch: Stretch) -> Part | None:
        """The first clients with encrypted secrets, in the session's transaction; None when there are none.

        Raises RaceLostError if one of them changes at this moment.
        """
        rows = self._sessions.all(self._page, stretch.bounds)
        if not rows:
            return None
        counts: Counter[str] = Counter()
        changes = [
            {
                "w_this": client_id,
                "w_client_secret": newest,
                "w_older_client_secrets": older,
                "c_client_secret": newest and self._anew(newest, counts),
                "c_older_client_secrets": dump_older(
                    [each._replace(kept=self._anew(each.kept, counts)) for each in load_older(older)]
                ),
            }
            for client_id, newest, older in map(tuple, rows)
        ]
        for change in changes:
            is_same = all(change[f"w_{name}"] == change[f"c_{name}"] for name in _COLUMNS)
            if not is_same and self._sessions.connection().execute(self._write, change).rowcount != 1:
                raise RaceLostError()
        return Part(rows[-1].client_id, len(rows), counts[_DONE], counts[_UNREADABLE])

    def _anew(self, kept: str, counts: Counter[str]) -> str:
        anew = self._credentials.reencrypted(kept)
        if anew is None:
            counts[_UNREADABLE] += 1
            return kept
        counts[_DONE] += anew != kept
        return anew
