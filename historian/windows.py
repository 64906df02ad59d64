"""Readings by minute and hour: smallest, mean, largest, how many, the worst quality."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from facility.reading import BAD, Readings
from historian.lines import Batch, floats, ints, joined

MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS
EARLIEST_NS = -(2**63) + HOUR_NS
"""The windows of earlier readings, of 1677, begin before int64 does: they are not summed up."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows as columns of one length: `point` numbers, `start` int ns UTC; `low`, `mean`, `high` nan where `count` is 0."""

    point: NDArray[np.uint32]
    start: NDArray[np.int64]
    low: NDArray[np.float64]
    mean: NDArray[np.float64]
    high: NDArray[np.float64]
    count: NDArray[np.int64]
    total: NDArray[np.int64]
    worst: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.point)


def summed_up(readings: Readings, width_ns: int) -> Windows:
    """The windows of readings that are sorted by point and time.

    `low`, `mean`, `high`, `count` are of the good and uncertain ones, `total` and `worst` of all. The mean is `math.fsum`, the correctly
    rounded sum whatever the order, divided by the count, and never outside of smallest and largest.
    """
    if (early := readings.time < EARLIEST_NS).any():
        readings = readings.take(~early)
    start = readings.time // width_ns * width_ns
    first = _firsts(readings.point, start)
    if not len(first):
        nothing, none = np.empty(0), np.empty(0, np.int64)
        return Windows(readings.point, start, nothing, nothing, nothing, none, none, none)
    total = np.diff(np.append(first, len(readings)))
    sound = (readings.quality < BAD) & np.isfinite(readings.value)
    count = np.add.reduceat(sound.astype(np.int64), first)
    low = np.minimum.reduceat(np.where(sound, readings.value, np.inf), first)
    high = np.maximum.reduceat(np.where(sound, readings.value, -np.inf), first)
    ends = np.cumsum(count).tolist()
    values = readings.value[sound].tolist()
    means = [_mean(values[end - many : end]) for end, many in zip(ends, count.tolist(), strict=True)]
    some = count > 0
    return Windows(
        point=readings.point[first],
        start=start[first],
        low=np.where(some, low, np.nan),
        mean=np.where(some, np.clip(np.array(means), low, high, where=some, out=np.full(len(first), np.nan)), np.nan),
        high=np.where(some, high, np.nan),
        count=count,
        total=total,
        worst=np.minimum(np.maximum.reduceat(readings.quality, first), BAD).astype(np.int64),
    )


def _firsts(point: NDArray[np.uint32], start: NDArray[np.int64]) -> NDArray[np.intp]:
    if not len(point):
        return np.empty(0, np.intp)
    return np.append(0, np.flatnonzero((np.diff(point) != 0) | (np.diff(start) != 0)) + 1)


def _mean(values: list[float]) -> float:
    if not values:
        return math.nan
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # the sum is no float, the mean is one
        return math.fsum(value / len(values) for value in values)


def window_batches(by_point: pa.Array, windows: Windows, size: int) -> Iterator[Batch]:
    """Windows as batches of at most `size` lines; `by_point` are the `heads` of their measurement."""
    for first in range(0, len(windows), size):
        yield _lines(by_point, Windows(*(getattr(windows, column.name)[first : first + size] for column in fields(windows))))


def _lines(by_point: pa.Array, windows: Windows) -> Batch:
    some = windows.count > 0
    return Batch(b"".join(_text(by_point, windows, which, measured) for which, measured in ((some, True), (~some, False))), len(windows))


def _text(by_point: pa.Array, windows: Windows, which: NDArray[np.bool_], measured: bool) -> bytes:
    if not which.any():
        return b""
    counts = [
        *("count=", ints(windows.count[which]), "i,total=", ints(windows.total[which])),
        *("i,worst=", ints(windows.worst[which]), "i ", ints(windows.start[which])),
    ]
    values = []
    if measured:
        values = ["min=", floats(windows.low[which]), ",mean=", floats(windows.mean[which]), ",max=", floats(windows.high[which]), ","]
    return joined(pc.take(by_point, pa.array(windows.point[which])), *values, *counts)
