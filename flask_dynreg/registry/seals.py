"""Seals: what the trail was at a time, to be kept elsewhere. They tell of chains that are gone with their heads."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import bindparam, func, select

from flask_dynreg.registry.chains import RUN, Chains, details_of, last_link, number_in
from flask_dynreg.registry.credentials import Credentials
from flask_dynreg.registry.models import Models, table_of
from flask_dynreg.registry.sessions import Sessions
from flask_dynreg.registry.trail import Links

SETTLED = 60
"""Seconds after which an event is sealed: by then transactions are over that had a number before and were not committed."""

_SIGNED = ("issuer", "sealed_at", "last_event", "events", "chains", "heads")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What has become of what was sealed."""

    is_ours: bool
    """Whether the seal itself is good: under one of our keys, of this issuer, and not altered."""
    missing: int = 0
    """How many of its events are not there any more; below 0 if there are more."""
    pruned: int = 0
    """How many events were pruned since, by what the trail says."""
    same_heads: bool = True

    @property
    def is_sound(self) -> bool:
        """Pruning explains what is missing, and other heads with it."""
        as_sealed = self.missing == 0 and self.same_heads
        return self.is_ours and (as_sealed or 0 <= self.missing <= self.pruned > 0)


class Seals:
    """The seals of one issuer."""

    def __init__(
        self, sessions: Sessions, models: Models, issuer: str, links: Links, chains: Chains, credentials: Credentials
    ) -> None:
        self._sessions = sessions
        self._issuer = issuer
        self._links = links
        self._chains = chains
        self._credentials = credentials
        event = table_of(models.event)
        self._last = select(func.max(event.c.id)).where(
            event.c.issuer == issuer, event.c.occurred_at <= bindparam("until", type_=event.c.occurred_at.type)
        )

    def make(self) -> dict[str, Any]:
        """How many events and chains there are, and a digest of the last link of each chain; signed as links are."""
        now = self._credentials.now()
        row = self._sessions.first(self._last, {"until": now - SETTLED})
        last = (row[0] if row else None) or 0
        seal = {"issuer": self._issuer, "sealed_at": now, "last_event": last, **self._counted(last)}
        return seal | {"seal": self._links.sign([seal[name] for name in _SIGNED])}

    def compare(self, seal: Mapping[str, Any]) -> Comparison:
        """What was sealed with what is there now."""
        signed = [seal.get(name) for name in _SIGNED]
        if seal.get("issuer") != self._issuer or not self._links.has_signed(signed, str(seal.get("seal"))):
            return Comparison(is_ours=False)
        now = self._counted(seal["last_event"])
        runs = [event for event in self._chains.events("") if event["type"] == RUN and event["id"] > seal["last_event"]]
        return Comparison(
            is_ours=True,
            missing=seal["events"] - now["events"],
            pruned=sum(number_in(details_of(event), "events") for event in runs),
            same_heads=(seal["chains"], seal["heads"]) == (now["chains"], now["heads"]),
        )

    def _counted(self, last: int) -> dict[str, Any]:
        heads: dict[str, str | None] = {}
        events = chains = total = 0
        current = ""
        for event in self._chains.events():
            if event["client_id"] != current:
                chains, total, heads, current = chains + len(heads), total + _sum(heads), {}, event["client_id"]
            if event["link"] is not None and event["id"] <= last:
                details = details_of(event)
                subject = "" if current else str(details.get("subject", ""))
                heads[f"{current} {subject}"] = last_link(event, details)
                events += 1
        chains, total = chains + len(heads), total + _sum(heads)
        return {"events": events, "chains": chains, "heads": f"{total % 2**256:064x}"}


def _sum(heads: Mapping[str, str | None]) -> int:
    """The same in whatever order: that of a database's texts changes with its locale."""
    return sum(int(sha256(f"{name} {link}".encode()).hexdigest(), 16) for name, link in heads.items())
