"""Readings of derived points, from those of the points that they are derived of (docs/rules.md, Derived points)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from facility.derived import Derived
from facility.reading import Readings
from rules.computing import Asked, computed

BEGINNING = np.iinfo(np.int64).min
END = np.iinfo(np.int64).max
SLICE_ROWS = 65_536
"""So many readings of each origin are looked at at a time."""

First = Callable[[int, int, int | None, int | None], Readings]
"""The first so many readings of a point number with start <= time < end (None: no bound), in time order."""


def before(time: int, span_ns: int) -> int:
    """time - span, or the beginning of time."""
    return time - span_ns if time >= BEGINNING + span_ns else BEGINNING


@dataclass(frozen=True)
class Derivation:
    """A derived point by its number, and the numbers of its origins, in their order."""

    number: int
    derived: Derived
    origins: tuple[int, ...]

    def asked(self, start: int, end: int) -> Asked:
        """Its readings with start <= time < end, to be computed."""
        return Asked(self.number, self.derived, self.origins, start, end)

    def slices(self, first: First, start: int = BEGINNING, end: int = END, settled: int = END) -> Iterator[Readings]:
        """Its readings with start <= time < end in time order, in pieces; only of readings that were received by `settled`."""

        def read(count: int, low: int, high: int) -> list[Readings]:
            return [first(number, count, low if low > BEGINNING else None, high if high < END else None) for number in self.origins]

        while start < end:
            parts = read(SLICE_ROWS, start, end)
            begun = [int(part.time[0]) for part in parts if len(part)]
            if not begun:
                return
            until = min([end, *(int(part.time[-1]) + 1 for part in parts if len(part) == SLICE_ROWS)])
            start = min(begun)
            earlier = read(END, before(start, self.derived.reach_ns), start)
            readings = Readings.concatenate([*earlier, *parts])
            readings = readings.take(readings.received <= settled)
            found = computed([self.asked(start, until)], by_point_and_time(readings))
            if len(found):
                yield found
            start = until


def by_point_and_time(readings: Readings) -> Readings:
    """The readings by point and time, each once."""
    readings = readings.take(np.lexsort((readings.time, readings.point)))
    return readings.take(np.append(True, (np.diff(readings.time) != 0) | (np.diff(readings.point) != 0))[: len(readings)])
