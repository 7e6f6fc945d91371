"""How often clients may register: counted by the limits library, in memory or in a Redis that all workers share."""

import ipaddress
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.errors import ConfigurationError as StorageConfigurationError
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from flask_dynreg.errors import ConfigurationError, TemporarilyUnavailableError, TooManyRequestsError
from flask_dynreg.signals import logger

KINDS = ("address", "token", "software_id", "issuer", "server")
"""What is counted: the address of who comes without a token, an initial access token, a `software_id`, the issuer of a software
statement, and all together who come without a token and are not known."""

_PREFIX = 64
"""bits of an IPv6 address that its owner cannot choose (RFC 6177)"""
_PATIENCE = 1.0
"""seconds that a Redis has for an answer"""


@dataclass(frozen=True, slots=True)
class _Limit:
    kind: str
    item: RateLimitItem


def _limits(settings: Sequence[str]) -> list[_Limit]:
    read = []
    for number, text in enumerate(settings):
        kind, _, rate = text.partition(" ")
        try:
            item = parse(rate)
        except ValueError:
            item = None
        if kind not in KINDS or item is None or not item.amount:
            raise ConfigurationError(
                f'DYNREG_LIMITS[{number}] must be one of {", ".join(KINDS)} and a rate: "address 600/hour".'
            )
        read.append(_Limit(kind, item))
    return read


class Rates:
    """The rates of one app. `refusing` are the doors that let nobody in while the storage cannot be asked.

    Raises ConfigurationError.
    """

    def __init__(self, settings: Sequence[str], storage: str, issuer: str, refusing: Collection[str]) -> None:
        self._limits = _limits(settings)
        self._issuer = issuer
        self._refusing = frozenset(refusing)
        if not self._limits:
            return
        options = (
            {} if storage.startswith("memory:") else {"socket_timeout": _PATIENCE, "socket_connect_timeout": _PATIENCE}
        )
        try:
            kept = storage_from_string(storage, wrap_exceptions=True, **options)
            self._limiter = MovingWindowRateLimiter(kept)
        except (StorageConfigurationError, NotImplementedError, ValueError) as fault:
            raise ConfigurationError(
                f"DYNREG_LIMITS_STORAGE must be a storage that the limits library knows: {fault}"
            ) from None

    @property
    def are_there(self) -> bool:
        return bool(self._limits)

    def count(self, door: str, **names: str | None) -> None:
        """Counts a registration against every limit of these kinds: `address="192.0.2.1"`.

        Raises TooManyRequestsError if it is one too many, and TemporarilyUnavailableError where nobody can say.
        """
        found = [(limit, name) for limit in self._limits if (name := names.get(limit.kind))]
        if not found:
            return
        try:
            # What is refused by one must not use up another, and a full server must not remember every address.
            for limit, name in found:
                if not self._limiter.test(limit.item, self._issuer, limit.kind, name):
                    raise self._refusal(limit, name)
            for limit, name in found:
                if not self._limiter.hit(limit.item, self._issuer, limit.kind, name):
                    raise self._refusal(limit, name)
        except StorageError as error:
            logger.error("The storage of DYNREG_LIMITS cannot be asked: %s", type(error.storage_error).__name__)
            if door in self._refusing:
                raise TemporarilyUnavailableError() from error

    def _refusal(self, limit: _Limit, name: str) -> TooManyRequestsError:
        stats = self._limiter.get_window_stats(limit.item, self._issuer, limit.kind, name)
        wait = max(1, math.ceil(stats.reset_time - time.time()))
        return TooManyRequestsError(limit.kind, limit.item.amount, limit.item.get_expiry(), wait)


def network(address: str | None) -> str | None:
    """What is counted as one address: of IPv6 the network that one subscriber has."""
    try:
        known = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped:
            return str(known.ipv4_mapped)
        return str(ipaddress.ip_network((known.packed, _PREFIX), strict=False))
    return str(known)
