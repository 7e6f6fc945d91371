"""How often something is done, how many at a time, and how soon again after it failed: in the memory of one process."""

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

Clock = Callable[[], float]
"""Seconds. When it is set back, nobody waits longer than the longest there is."""

_MINUTE = 60.0
_ROUNDING = 0.001
"""seconds by which sums of floating-point numbers may be wrong"""


@dataclass(frozen=True, slots=True)
class Budget:
    """Evenly `each_minute`, all of which may also be used at once; and at most so many `at_a_time`."""

    each_minute: int
    at_a_time: int


class Budgets:
    """What is left of budgets with names. Safe among threads.

    Not by the limits library: its memory has a clock of its own, grows with the names, and cannot take from several
    budgets or from none.
    """

    MOST = 4096
    """So many names are known, those that were used last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # The generic cell rate algorithm: for each name the time at which its budget is whole again.
        self._whole: OrderedDict[str, float] = OrderedDict()
        self._busy: Counter[str] = Counter()

    def take(self, budgets: Mapping[str, Budget]) -> int | None:
        """Takes one of each, and gives None; or takes of none, and gives the seconds after which trying again is right.

        What is taken is given back when it is no longer at work.
        """
        with self._lock:
            now = self._clock()
            for name in budgets:
                if self._whole.get(name, now) > now + _MINUTE:  # the clock was set back
                    self._whole[name] = now + _MINUTE
            whole = {
                name: max(self._whole.get(name, now), now) + _MINUTE / each.each_minute
                for name, each in budgets.items()
            }
            wait = max(whole.values()) - now - _MINUTE
            if wait > _ROUNDING:
                return _seconds(wait)
            if any(self._busy[name] >= each.at_a_time for name, each in budgets.items()):
                return 1
            for name, until in whole.items():
                self._whole[name] = until
                self._whole.move_to_end(name)
                self._busy[name] += 1
            while len(self._whole) > self.MOST:
                self._whole.popitem(last=False)
            return None

    def give_back(self, names: Collection[str]) -> None:
        with self._lock:
            self._busy.subtract(list(names))
            self._busy = +self._busy


@dataclass(frozen=True, slots=True)
class Pause:
    """Until when something is not tried again, how often in a row it failed, and the sentence that says how."""

    until: float
    failures: int
    sentence: str


class Pauses:
    """After a failure a pause, each time a longer one. Safe among threads."""

    FIRST = 10
    """seconds"""
    LONGEST = 900
    """seconds"""
    MOST = 2048
    """So many names are known, those that failed last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pauses: OrderedDict[str, Pause] = OrderedDict()

    def of(self, names: Collection[str]) -> tuple[str, int] | None:
        """If one of them has a pause: how it failed, and the seconds that are left."""
        with self._lock:
            now = self._clock()
            found = [pause for pause in map(self._pauses.get, names) if pause and self._lasts(pause, now)]
        if not found:
            return None
        last = max(found, key=lambda pause: pause.until)
        return last.sentence, _seconds(last.until - now)

    def failed(self, names: Collection[str], sentence: str) -> int:
        """The seconds of the longest pause that they have now."""
        with self._lock:
            now = self._clock()
            return max(_seconds(self._lengthened(name, sentence, now).until - now) for name in names)

    def _lasts(self, pause: Pause, now: float) -> bool:
        return _ROUNDING < pause.until - now <= self.LONGEST + _ROUNDING

    def _lengthened(self, name: str, sentence: str, now: float) -> Pause:
        known = self._pauses.get(name)
        if known and self._lasts(known, now):  # one of several that were under way when the first of them failed
            return known
        failures = known.failures + 1 if known else 1
        seconds = min(self.FIRST * 2 ** min(failures - 1, 16), self.LONGEST)
        self._pauses[name] = Pause(now + seconds, failures, sentence)
        self._pauses.move_to_end(name)
        if len(self._pauses) > self.MOST:
            self._pauses.popitem(last=False)
        return self._pauses[name]

    def worked(self, names: Collection[str]) -> None:
        with self._lock:
            for name in names:
                self._pauses.pop(name, None)


def _seconds(exactly: float) -> int:
    """Whole ones; at least one, for what is more than rounding."""
    return math.ceil(exactly - _ROUNDING)
