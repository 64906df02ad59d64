"""Trends of a room: readings in buckets of time that keep the least and the most; limits and states as they changed. Times are ns UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dashboards.views import LimitInForce
from facility.reading import BAD, Readings
from ingest.series.measured import Measured


@dataclass(frozen=True, slots=True)
class Buckets:
    """Readings of [start, start + width_ns * n) in n buckets, a column each.

    `least`, `mean` and `most` are of good and uncertain readings, NaN where there are none; `count` counts those, `bad` the others.
    """

    start: int
    width_ns: int
    least: NDArray[np.float64]
    mean: NDArray[np.float64]
    most: NDArray[np.float64]
    count: NDArray[np.int64]
    bad: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.count)

    def joined(self, by: int) -> Buckets:
        """The same in wider buckets, each of `by` of these."""
        n = -(-len(self) // by)
        total = np.where(self.count > 0, self.mean * self.count, 0.0)

        def folded(column: NDArray[np.float64], fill: float) -> NDArray[np.float64]:
            return np.append(column, np.full(n * by - len(self), fill)).reshape(n, by)

        count, bad = (folded(column.astype(np.float64), 0).sum(1).astype(np.int64) for column in (self.count, self.bad))
        least = folded(np.where(self.count > 0, self.least, np.inf), np.inf).min(1)
        most = folded(np.where(self.count > 0, self.most, -np.inf), -np.inf).max(1)
        return _finished(self.start, self.width_ns * by, least, folded(total, 0.0).sum(1), most, count, bad)


def bucketed(pieces: Iterable[Measured | Readings], start: int, end: int, number: int) -> Buckets:
    """Readings of one point as `number` buckets over [start, end), no value left out of the least and the most; fastest in time order."""
    width = max(1, -(-(end - start) // number))
    least, most, total = np.full(number, np.inf), np.full(number, -np.inf), np.zeros(number)
    count, bad = np.zeros(number, np.int64), np.zeros(number, np.int64)
    for piece in pieces:
        row = (piece.time - start) // width
        fine = (piece.quality != BAD) & np.isfinite(piece.value)
        bad += np.bincount(row[~fine], minlength=number)
        row, value = row[fine], piece.value[fine]
        if len(row):
            first = np.append(0, np.flatnonzero(np.diff(row)) + 1)
            found = row[first]
            np.minimum.at(least, found, np.minimum.reduceat(value, first))
            np.maximum.at(most, found, np.maximum.reduceat(value, first))
            np.add.at(count, found, np.diff(np.append(first, len(row))))
            np.add.at(total, found, np.add.reduceat(value, first))
    return _finished(start, width, least, total, most, count, bad)


def _finished(
    start: int, width: int, least: NDArray[np.float64], total: NDArray[np.float64], most: NDArray[np.float64],
    count: NDArray[np.int64], bad: NDArray[np.int64],
) -> Buckets:  # fmt: skip
    there = count > 0
    mean = np.where(there, total / np.maximum(count, 1), np.nan)
    # sums round: a mean never lies outside of what it is the mean of
    mean = np.clip(mean, least, most, where=there, out=np.full(len(count), np.nan))
    return Buckets(start, width, np.where(there, least, np.nan), mean, np.where(there, most, np.nan), count, bad)


@dataclass(frozen=True, slots=True)
class LimitSpan:
    """Limits that hold from `start` to `end`."""

    start: int
    end: int
    limits: tuple[LimitInForce, ...]


@dataclass(frozen=True, slots=True)
class StateSpan:
    """What a place is from `start` to `end`."""

    start: int
    end: int
    state: str


@dataclass(frozen=True, slots=True)
class PointTrend:
    """Of one point; `limits` are those that were in force, one after another, with holes where none is known."""

    point: str
    buckets: Buckets
    limits: tuple[LimitSpan, ...]

    def limits_at(self, at: int) -> tuple[LimitInForce, ...]:
        """Those in force at a moment of its span, or at its end (int ns UTC)."""
        return next((span.limits for span in reversed(self.limits) if span.start <= at <= span.end), ())


class Trends(Protocol):
    """Any thread may ask. Raises MonitorUnavailable."""

    def points(self, points: Sequence[str], start: int, end: int, number: int) -> Sequence[PointTrend]:
        """Of each of these points that there is, over [start, end), in at most `number` buckets."""

    def states(self, place: str, start: int, end: int) -> Sequence[StateSpan]:
        """What a room or zone was said to be, over [start, end)."""
