"""When a rule is suspended by another point: the key `unless` (docs/rules.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facility.reading import GOOD, Readings
from rules.copies import Deaths

Ints = NDArray[np.int64]
NEVER_NS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Condition:
    """Readings are passed over while the newest good reading of point `number` is beyond, for at most `at_most_ns` from where that began.

    A side that is not given is infinite. The point's word counts for `stale_ns`; where it reports on change, from the end of its source.
    """

    number: int
    above: float
    below: float
    above_inclusive: bool
    below_inclusive: bool
    at_most_ns: int
    stale_ns: int
    on_change: bool = False

    def beyond(self, value: NDArray[np.float64]) -> NDArray[np.bool_]:
        over = value >= self.above if self.above_inclusive else value > self.above
        under = value <= self.below if self.below_inclusive else value < self.below
        found: NDArray[np.bool_] = over | under
        return found


@dataclass(frozen=True, slots=True)
class Passed:
    """The times from which (`start`) to which (`stop`, inside) a condition holds, ascending and apart, int64 ns UTC.

    Of the newest good reading, whose word may last, `time`; `since` the first of the readings in a row that are beyond with it, None if it
    is not. `known` is the time from which on all good readings were looked at.
    """

    start: Ints
    stop: Ints
    time: int | None
    since: int | None
    known: int

    @classmethod
    def nothing(cls, known: int) -> Passed:
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), None, None, known)

    def at(self, times: Ints) -> NDArray[np.bool_]:
        """Whether the condition holds at each time."""
        if not len(self.start):
            return np.zeros(len(times), np.bool_)
        span = np.searchsorted(self.start, times, side="right") - 1
        found: NDArray[np.bool_] = (span >= 0) & (times <= self.stop[span])
        return found

    def then(self, condition: Condition, readings: Readings, deaths: Deaths) -> Passed:
        """With further readings of the condition's point, in time order and newer than all before."""
        good = readings.take(readings.quality == GOOD)
        if not len(good):
            return self
        time, beyond = good.time, condition.beyond(good.value)
        if self.since is None and not beyond.any() and (not len(self.stop) or self.stop[-1] < time[0]):
            return replace(self, time=int(time[-1]))  # nearly always: nothing begins or ends
        begins = beyond & ~np.append(self.since is not None, beyond[:-1])
        run = np.maximum.accumulate(np.where(begins, np.arange(len(time)), -1))
        began = np.where(run >= 0, time[run], self.since or 0)
        said_until = deaths.after(good) if condition.on_change else time
        stop = np.minimum(_after(said_until, condition.stale_ns), _after(began, condition.at_most_ns))
        stop[:-1] = np.minimum(stop[:-1], time[1:] - 1)
        spans = beyond & (stop >= time)
        # How long the word of the newest reading so far counts is known only now.
        start, stop = np.append(self.start, time[spans]), np.append(np.minimum(self.stop, time[0] - 1), stop[spans])
        apart = np.append(True, start[1:] > stop[:-1] + 1)[: len(start)]
        ends = np.append(apart[1:], True)[: len(start)]
        return Passed(start[apart], stop[ends], int(time[-1]), int(began[-1]) if beyond[-1] else None, self.known)


def _after(time: Ints, duration_ns: int) -> Ints:
    """time + duration, or the end of time."""
    return time + np.minimum(duration_ns, NEVER_NS - time)
