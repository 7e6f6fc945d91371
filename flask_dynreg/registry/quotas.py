"""How many clients there may be: counted in rows of their own, in the transaction that makes, changes or ends a client."""

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256

from sqlalchemy import bindparam, case, delete, insert, select, update

from flask_dynreg.registry.clients import ClientRecord
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.principals import share_of
from flask_dynreg.registry.sessions import Sessions

OWNER, SOFTWARE, PENDING = "owner", "software_id", "pending"
"""What may have a quota beside the doors: each owner, each `software_id`, and who waits for approval and has no owner."""

Names = Mapping[str, str]
"""By the kind of a quota, the name of the row in which a client is counted for it."""


class Quotas:
    """The quotas of one issuer: `most` has, for a kind, how many clients there may be."""

    def __init__(self, sessions: Sessions, models: Models, issuer: str, most: Mapping[str, int]) -> None:
        self._sessions = sessions
        self._issuer = issuer
        self._most = dict(most)
        self._table = table = table_of(models.quota)
        self._client = table_of(models.client)
        this = (table.c.issuer == issuer) & (table.c.name == bindparam("w_name", type_=table.c.name.type))
        is_free = table.c.clients < bindparam("w_most", type_=table.c.clients.type)
        self._there = select(table.c.clients).where(this)
        self._take = update(table).where(this & is_free).values(clients=table.c.clients + 1)
        fewer = table.c.clients - bindparam("c_gone", type_=table.c.clients.type)
        self._give_back = update(table).where(this).values(clients=case((fewer > 0, fewer), else_=0))
        self._begin = insert(table).inline()

    def of(self, client: ClientRecord) -> Names:
        """Where a client is counted. Nothing, and no work, where there are no quotas."""
        if not self._most:
            return {}
        return self._names(client.source, client.owned_by, client.software_id, client.was_never_approved)

    def _names(self, source: str | None, owner: str | None, software_id: str | None, is_pending: bool) -> Names:
        pending = "all" if is_pending and owner is None else None
        counted = {source or "": "all", OWNER: owner, SOFTWARE: share_of(software_id, source), PENDING: pending}
        return {
            kind: sha256(f"{kind} {value}".encode()).hexdigest()
            for kind, value in counted.items()
            if value is not None and kind in self._most
        }

    def move(self, before: Names, after: Names) -> str | None:
        """Counts a client for what it is now, and no more for what it was. Gives the kind of which there are too many, if one is
        full.

        Raises IntegrityError if somebody else begins to count the same at this moment.
        """
        lost = [name for kind, name in before.items() if after.get(kind) != name]
        gained = {name: kind for kind, name in after.items() if before.get(kind) != name}
        connection = self._sessions.connection() if lost or gained else None
        for name in sorted([*lost, *gained]):  # in one order, so that nobody waits for who waits for them
            assert connection is not None
            if name not in gained:
                connection.execute(self._give_back, {"w_name": name, "c_gone": 1})
                continue
            kind = gained[name]
            if connection.execute(self._take, {"w_name": name, "w_most": self._most[kind]}).rowcount == 1:
                continue
            if not self._most[kind] or connection.execute(self._there, {"w_name": name}).first():
                return kind
            connection.execute(self._begin, {"issuer": self._issuer, "name": name, "clients": 1})
        return None

    def give_back(self, clients: Iterable[ClientRecord]) -> None:
        """Counts clients no more that are gone."""
        counts = Counter(name for client in clients for name in self.of(client).values())
        for name, gone in sorted(counts.items()):
            self._sessions.connection().execute(self._give_back, {"w_name": name, "c_gone": gone})

    def count_anew(self) -> int:
        """Counts the clients that are there, for quotas that are new; how many rows there are then.

        Nobody may register meanwhile.
        """
        client = self._client
        was_never_approved = client.c.waiting_since.is_not(None) & client.c.requested_metadata.is_(None)
        told = (client.c.source, client.c.owned_by, client.c.software_id, was_never_approved)
        connection = self._sessions.connection()
        counts: Counter[str] = Counter()
        for row in connection.execute(select(*told).where(client.c.issuer == self._issuer)):
            counts.update(self._names(*tuple(row)).values())
        connection.execute(delete(self._table).where(self._table.c.issuer == self._issuer))
        for name, clients in sorted(counts.items()):
            connection.execute(self._begin, {"issuer": self._issuer, "name": name, "clients": clients})
        return len(counts)
