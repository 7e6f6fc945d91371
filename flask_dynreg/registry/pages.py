"""Clients, a page at a time: in the order of their ids, or of how long they wait. No page reads those before it again."""

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

from sqlalchemy import bindparam, or_, select

from flask_dynreg.registry.clients import MOST_AT_ONCE, ClientRecord
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.stretches import is_named, unindexed


class Waiting(NamedTuple):
    """The place of a client among those that wait: since when (seconds since the epoch), and which."""

    since: int
    client_id: str


FIRST = Waiting(0, "")
"""Before all of them."""
IDS_AT_ONCE = 10_000
"""Ids of a page that has nothing else: not every database has an index in their order, and sorting each time is dear."""


class Pages:
    """The clients of one issuer. A page has `MOST_AT_ONCE` of them at most; after the last one comes an empty one."""

    def __init__(self, sessions: Sessions, models: Models, issuer: str) -> None:
        self._sessions = sessions
        client = table_of(models.client)
        id_, since = client.c.client_id, client.c.waiting_since
        page = select(*(client.c[field.name.removeprefix("_")] for field in fields(ClientRecord))).limit(MOST_AT_ONCE)
        by_id = page.where(id_ > bindparam("w_after", type_=id_.type)).order_by(id_)
        is_ours = client.c.issuer == issuer
        self._all = by_id.where(unindexed(or_(is_ours, client.c.issuer.is_(None))))
        self._software_id = is_named(client.c.software_id, "w_software_id")
        self._of_software = by_id.where(or_(is_ours, client.c.issuer.is_(None)), self._software_id)
        self._owned_by = is_named(client.c.owned_by, "w_owner")
        self._stated = (
            select(id_)
            .where(is_ours, client.c.statement_issuer == bindparam("w_statement_issuer"))
            .where(id_ > bindparam("w_after", type_=id_.type))
            .order_by(id_)
            .limit(IDS_AT_ONCE)
        )
        begin, last = bindparam("w_since", type_=since.type), bindparam("w_after", type_=id_.type)
        self._waiting = (
            page.where(unindexed(is_ours), client.c.status.in_(("pending", "active")))
            .where(since >= begin, or_(since > begin, id_ > last))  # the first of these is where an index can begin
            .order_by(since, id_)
        )

    def by_id(self, after: str, owner: str | None, software_id: str | None) -> Sequence[ClientRecord]:
        """Those behind the id `after`, in the order of their ids."""
        page = self._all if software_id is None else self._of_software
        page = page if owner is None else page.where(self._owned_by)
        rows = self._sessions.all(page, {"w_after": after, "w_owner": owner, "w_software_id": software_id})
        return [ClientRecord(*tuple(row)) for row in rows]

    def stated(self, after: str, statement_issuer: str, software_id: str | None) -> Sequence[str]:
        """The ids of clients with a statement of this issuer (about this software, if it is named), behind the id `after`: in
        their order, `IDS_AT_ONCE` at most."""
        page = self._stated if software_id is None else self._stated.where(self._software_id)
        found = {"w_after": after, "w_statement_issuer": statement_issuer, "w_software_id": software_id}
        return [row.client_id for row in self._sessions.all(page, found)]

    def waiting(self, after: Waiting) -> Sequence[ClientRecord]:
        """Those that an operator has to approve of, or a change of theirs, behind that place: the longest first."""
        rows = self._sessions.all(self._waiting, {"w_since": after.since, "w_after": after.client_id})
        return [ClientRecord(*tuple(row)) for row in rows]


def place_of(client: ClientRecord) -> Waiting:
    """That of one that waits."""
    return Waiting(client.waiting_since or 0, client.client_id)
