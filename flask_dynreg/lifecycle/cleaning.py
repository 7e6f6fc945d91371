"""Clients whose time is over are removed, and their tombstones some time later."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from flask_dynreg import signals
from flask_dynreg.errors import RaceLostError
from flask_dynreg.lifecycle.clients import Withdrawal
from flask_dynreg.lifecycle.decisions import Decisions
from flask_dynreg.registry.lifetimes import DeadClient, Lifetimes
from flask_dynreg.registry.stretches import Stretch

InUse = Callable[[Sequence[str]], Iterable[str]]
"""A host's function: of the clients with these ids, those that still have live tokens or consents."""


class Cleaning(Decisions):
    """What the clean-up does, step by step: who calls it commits."""

    _lifetimes: Lifetimes
    _in_use: InUse | None

    def count_dead(self, stretch: Stretch) -> int:
        """How many of these clients are dead, in use or not."""
        return self._lifetimes.count(stretch, self.credentials.now())

    def dead(self, stretch: Stretch, most: int) -> Sequence[DeadClient]:
        """Of these clients the first ones that are dead, in the order of their ids."""
        return self._lifetimes.dead(stretch, most, self.credentials.now())

    def not_in_use(self, dead: Sequence[DeadClient]) -> Sequence[DeadClient]:
        """Those of which the host says nothing else. The host may have begun a transaction to tell."""
        used = set(self._in_use([client.client_id for client in dead])) if self._in_use and dead else set()
        return [client for client in dead if client.client_id not in used]

    def remove_dead(self, dead: Sequence[DeadClient], by: str | None = None) -> Counter[tuple[str, str]]:
        """Removes those that nobody has used or changed since they were read; how many, by door and clock.

        Each with an event, a tombstone, a signal, and what the host's hooks end. In the session's transaction. Raises
        RaceLostError.
        """
        found = self._lifetimes.locked(dead, self.credentials.now()) if dead else ()
        if not found:
            return Counter()
        events = [(client, self._event("removed", client, by=by, reason=clock)) for client, clock in found]
        if not self._clients.remove_all(events):
            raise RaceLostError()
        self._tombstones.add(found)
        for client, clock in found:
            self._withdraw(Withdrawal(client.client_id, everything=True))
            self._tell(signals.client_removed, client_id=client.client_id, reason=clock)
        # Last: whoever registers waits for these rows.
        self._quotas.give_back(client for client, _ in found)
        return Counter((client.source or "", clock) for client, clock in found)

    def clean_up_is_late(self, seconds: int) -> bool:
        """Whether a tombstone has been over for so many seconds, which a clean-up would have taken."""
        return self._tombstones.are_over_since(seconds)

    def clear_tombstones(self, most: int) -> int:
        """Removes some of the tombstones that are over; 0 when none is left."""
        return self._tombstones.clear(most)
