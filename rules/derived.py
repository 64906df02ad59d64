"""Readings of derived points, from those of the points that they are derived of (docs/rules.md, Derived points)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facility.derived import DIFFERENCE, MAXIMUM, SUM, Derived
from facility.reading import BAD, COLUMN_TYPES, GOOD, UNCERTAIN, Readings

Ints = NDArray[np.int64]
BEGINNING = np.iinfo(np.int64).min
END = np.iinfo(np.int64).max
EXACT = 2.0**53
"""Whole numbers below are exact in float64, and so are their sums."""
LARGEST = 1e300
SLICE_ROWS = 65_536
"""So many readings of each origin are looked at at a time."""

_ZEROS: list[Any] = [np.zeros(1, dtype) for dtype in COLUMN_TYPES]
_NOTHING = Readings(*_ZEROS)

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

    def of(self, origins: Sequence[Readings], start: int, end: int) -> Readings:
        """Its readings with start <= time < end, from those of each origin since `reach_ns` before `start`; all in time order."""
        columns = [column.take((column.quality < BAD) & (column.time < end)) for column in origins]
        found = self._sums(columns[0]) if self.derived.how == SUM else self._words(columns, start)
        return found.take((found.time >= start) & (np.abs(found.value) <= LARGEST))

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
            readings = [Readings.concatenate(list(both)) for both in zip(earlier, parts, strict=True)]
            found = self.of([column.take(column.received <= settled) for column in readings], start, until)
            if len(found):
                yield found
            start = until

    def _words(self, columns: list[Readings], start: int) -> Readings:
        """What the origins said last, at each time at which one of them said something."""
        times = np.unique(np.concatenate([column.time[column.time >= start] for column in columns]))
        words = [
            _last_words(column, times, origin.max_age_ns, origin.until_ns)
            for column, origin in zip(columns, self.derived.origins, strict=True)
        ]
        there = np.array([word.there for word in words])
        value, quality, received, heard = (
            np.array([getattr(word.said, name) for word in words]) for name in ("value", "quality", "received", "heard")
        )
        if self.derived.how == DIFFERENCE:
            computed, known = value[0] - value[1], there[0] & there[1]
        elif self.derived.how == MAXIMUM:
            computed, known = np.where(there, value, -np.inf).max(axis=0), np.logical_or.reduce(there)
        else:
            computed, known = np.where(there, value, np.inf).min(axis=0), np.logical_or.reduce(there)
        worst = np.where(there, quality, GOOD).max(axis=0)
        worst[np.any([~word.there & word.asked for word in words], axis=0)] = UNCERTAIN
        latest = [np.where(there, column, BEGINNING).max(axis=0) for column in (received, heard)]
        return self._readings(times, computed, worst, *latest).take(known)

    def _sums(self, samples: Readings) -> Readings:
        """The sum at each sample that fills the volume without a gap."""
        n, (origin,) = self.derived.samples, self.derived.origins
        if origin.until_ns is not None:
            samples = samples.take(samples.time < origin.until_ns)
        if len(samples) < n:
            return Readings.empty()
        gaps = np.concatenate([[0], np.cumsum(np.diff(samples.time) > origin.max_age_ns)])
        counted = np.rint(samples.value * self.derived.per_value)
        if np.abs(counted).sum() < EXACT:
            upto = np.concatenate([[0.0], np.cumsum(counted)])
            total = upto[n:] - upto[:-n]
        else:
            total = np.array([math.fsum(counted[row : row + n]) for row in range(len(counted) - n + 1)])
        unsure = np.concatenate([[0], np.cumsum(samples.quality == UNCERTAIN)])
        quality = np.where(unsure[n:] > unsure[:-n], UNCERTAIN, GOOD)
        last = samples.take(slice(n - 1, None))
        found = self._readings(last.time, total / self.derived.per_volume, quality, last.received, last.heard)
        return found.take(gaps[n - 1 :] == gaps[: len(gaps) - n + 1])

    def _readings(self, time: Ints, value: NDArray[np.float64], quality: NDArray[np.int_], received: Ints, heard: Ints) -> Readings:
        number = np.full(len(time), self.number, np.uint32)
        # A zero has no sign: which of two origins said it first must not matter.
        return Readings(number, time, value + 0.0, quality.astype(np.uint8), received, heard, np.full(len(time), -1))


@dataclass(frozen=True, slots=True)
class _Words:
    """The newest reading of an origin at each of some times; whether it counts, and whether the origin is asked at all."""

    said: Readings
    there: NDArray[np.bool_]
    asked: NDArray[np.bool_]


def _last_words(column: Readings, times: Ints, max_age_ns: int, until_ns: int | None) -> _Words:
    asked = np.ones(len(times), np.bool_) if until_ns is None else times < until_ns
    index = np.searchsorted(column.time, times, side="right") - 1
    said = (column if len(column) else _NOTHING).take(np.maximum(index, 0))
    return _Words(said, asked & (index >= 0) & (times - said.time <= max_age_ns), asked)
