"""Which minutes and hours have to be summed up, and their summing up: when they are over, and again when a reading came late.

A window is over some seconds after its end by the time at which its readings were received: the clock's when everything is in InfluxDB,
else that of the newest journal entry which is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from facility.reading import Readings
from historian.lines import BATCH_LINES, Batch
from historian.recall import Recall
from historian.register import Register
from historian.windows import EARLIEST_NS, HOUR_NS, MINUTE_NS, Windows, summed_up, window_batches

GRACE_NS = 5 * 10**9
"""So long after its end a window may still get readings that are on their way; what comes later writes it again."""
SLICE = 2_000
"""So many hours of a point are read from the series at once; new readings go first then."""
_POINTS = 1 << 32


class Dirty:
    """Windows of one width that are not as the journal says: each with the entry that touched it first."""

    def __init__(self, width_ns: int) -> None:
        self._width_ns = width_ns
        self._first: dict[int, int] = {}

    def mark(self, readings: Readings, seq: int) -> None:
        keys = readings.time // self._width_ns * _POINTS + readings.point
        for key in np.unique(keys[readings.time >= EARLIEST_NS]).tolist():
            self._first.setdefault(key, seq)

    def over(self, at: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Points and starts (int ns UTC) of the windows that are over at `at`, by start and point."""
        keys = np.sort(np.fromiter(self._first, np.int64, len(self._first)))
        keys = keys[(keys // _POINTS + 1) * self._width_ns + GRACE_NS <= at]
        return keys % _POINTS, keys // _POINTS * self._width_ns

    def take(self, point: NDArray[np.int64], start: NDArray[np.int64]) -> list[int]:
        """They are summed up, and not here until a reading touches them again; the entries that touched each of them first."""
        return [self._first.pop(key) for key in (start // self._width_ns * _POINTS + point).tolist()]

    def first(self) -> int | None:
        """The first entry that touched one of them."""
        return min(self._first.values(), default=None)

    def __len__(self) -> int:
        return len(self._first)


@dataclass(slots=True)
class Summed:
    """Windows as lines, and for each of them the entry that touched it first."""

    batches: list[Batch] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)


class Aggregation:
    """Marks what readings touch, and sums up what is over: then it is `underway` until it is said to be `done`."""

    def __init__(self, recall: Recall, register: Register) -> None:
        self._recall, self._register = recall, register
        self._minutes, self._hours = Dirty(MINUTE_NS), Dirty(HOUR_NS)
        self._summed, self._underway = Summed(), Summed()

    def mark(self, readings: Readings, seq: int) -> None:
        """These readings, of the entries up to `seq`, are new."""
        self._minutes.mark(readings, seq)
        self._hours.mark(readings, seq)

    def settled(self, cursor: int) -> int:
        """The entry up to which all is in InfluxDB."""
        firsts = [self._minutes.first(), self._hours.first(), *self._summed.firsts, *self._underway.firsts]
        return min([cursor, *(first - 1 for first in firsts if first is not None)])

    def __len__(self) -> int:
        """How many windows InfluxDB has not, or not as the journal says."""
        return len(self._minutes) + len(self._hours) + len(self._summed.firsts) + len(self._underway.firsts)

    def underway(self) -> list[Batch]:
        """What was summed up, to be sent; the same again until it is `done`."""
        if not self._underway.batches:
            self._underway, self._summed = self._summed, Summed()
        return self._underway.batches

    def done(self) -> None:
        """InfluxDB has what was underway."""
        self._underway = Summed()

    def sum_up(self, at: int, *, caught_up: bool) -> bool:
        """Sum up windows that are over at `at`; True when more of them are left. Raises SeriesUnavailable."""
        if self._summed.batches:
            return True
        point, start = self._minutes.over(at)
        hour_point, hour_start = self._hours.over(at)
        if not len(point) and not len(hour_point):
            return False
        self._recall.refresh(at)
        remembered = self._recall.remembered()
        recent = self._recall.recent(point, start)
        self._sum_recent(remembered, point[recent], start[recent])
        point, start = point[~recent], start[~recent]
        if not caught_up:  # so that an hour is read once, and not for each of its minutes
            ended = (start // HOUR_NS + 1) * HOUR_NS + GRACE_NS <= at
            point, start = point[ended], start[ended]
        pairs = np.unique(np.append(start // HOUR_NS * _POINTS + point, hour_start // HOUR_NS * _POINTS + hour_point))
        self._sum_read(remembered, pairs[:SLICE], point, start, hour_point, hour_start)
        return len(pairs) > SLICE

    def _sum_recent(self, remembered: Readings, point: NDArray[np.int64], start: NDArray[np.int64]) -> None:
        """Minutes all of whose readings are in memory."""
        if not len(point):
            return
        keys = start // MINUTE_NS * _POINTS + point
        mine = np.isin(remembered.time // MINUTE_NS * _POINTS + remembered.point, keys)
        self._keep(self._register.minutes, summed_up(remembered.take(mine), MINUTE_NS), self._minutes.take(point, start))

    def _sum_read(
        self, remembered: Readings, pairs: NDArray[np.int64], point: NDArray[np.int64], start: NDArray[np.int64],
        hour_point: NDArray[np.int64], hour_start: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Windows within some hours of points, which are read once for all of them."""
        if not len(pairs):
            return
        spans = zip((pairs % _POINTS).tolist(), (pairs // _POINTS * HOUR_NS).tolist(), strict=True)
        readings = self._recall.read(((point, start, start + HOUR_NS) for point, start in spans), remembered)
        widths = ((self._minutes, MINUTE_NS, point, start), (self._hours, HOUR_NS, hour_point, hour_start))
        for dirty, width_ns, points, starts in widths:
            which = np.isin(starts // HOUR_NS * _POINTS + points, pairs)
            points, starts = points[which], starts[which]
            keys = starts // width_ns * _POINTS + points
            mine = np.isin(readings.time // width_ns * _POINTS + readings.point, keys)
            by_point = self._register.minutes if width_ns == MINUTE_NS else self._register.hours
            self._keep(by_point, summed_up(readings.take(mine), width_ns), dirty.take(points, starts))

    def _keep(self, by_point: pa.Array, windows: Windows, firsts: list[int]) -> None:
        if len(windows):
            self._summed.batches += window_batches(by_point, windows, BATCH_LINES)
            self._summed.firsts += firsts
