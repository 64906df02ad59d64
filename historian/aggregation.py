"""Which minutes and hours have to be summed up, and their summing up: when they are over, and again when a reading came late.

A window is over some seconds after its end by the time at which its readings were received: the clock's when everything is in InfluxDB,
else that of the newest journal entry which is.
"""

from __future__ import annotations

from collections.abc import Callable

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

    def done(self, point: NDArray[np.int64], start: NDArray[np.int64]) -> None:
        for key in (start // self._width_ns * _POINTS + point).tolist():
            del self._first[key]

    def first(self) -> int | None:
        """The first entry that touched one of them."""
        return min(self._first.values(), default=None)

    def __len__(self) -> int:
        return len(self._first)


class Aggregation:
    """Marks what readings touch, and sends what is over."""

    def __init__(self, recall: Recall, register: Register, send: Callable[[Batch], None]) -> None:
        self._recall, self._register, self._send = recall, register, send
        self.minutes, self.hours = Dirty(MINUTE_NS), Dirty(HOUR_NS)

    def mark(self, readings: Readings, seq: int) -> None:
        """These readings, of the entries up to `seq`, are new."""
        self.minutes.mark(readings, seq)
        self.hours.mark(readings, seq)

    def settled(self, cursor: int) -> int:
        """The entry up to which all is summed up."""
        firsts = [first for first in (self.minutes.first(), self.hours.first()) if first is not None]
        return min([cursor, *(first - 1 for first in firsts)])

    def send_over(self, at: int, *, caught_up: bool) -> bool:
        """Send windows that are over at `at`; True when more of them are left. Raises InfluxFault, and then they are sent again."""
        point, start = self.minutes.over(at)
        hour_point, hour_start = self.hours.over(at)
        if not len(point) and not len(hour_point):
            return False
        self._recall.refresh(at)
        remembered = self._recall.remembered()
        recent = self._recall.recent(point, start)
        self._send_recent(remembered, point[recent], start[recent])
        point, start = point[~recent], start[~recent]
        if not caught_up:  # so that an hour is read once, and not for each of its minutes
            ended = (start // HOUR_NS + 1) * HOUR_NS + GRACE_NS <= at
            point, start = point[ended], start[ended]
        pairs = np.unique(np.append(start // HOUR_NS * _POINTS + point, hour_start // HOUR_NS * _POINTS + hour_point))
        self._send_read(remembered, pairs[:SLICE], point, start, hour_point, hour_start)
        return len(pairs) > SLICE

    def _send_recent(self, remembered: Readings, point: NDArray[np.int64], start: NDArray[np.int64]) -> None:
        """Minutes all of whose readings are in memory."""
        if not len(point):
            return
        keys = start // MINUTE_NS * _POINTS + point
        mine = np.isin(remembered.time // MINUTE_NS * _POINTS + remembered.point, keys)
        self._send_all(self._register.minutes, summed_up(remembered.take(mine), MINUTE_NS))
        self.minutes.done(point, start)

    def _send_read(
        self, remembered: Readings, pairs: NDArray[np.int64], point: NDArray[np.int64], start: NDArray[np.int64],
        hour_point: NDArray[np.int64], hour_start: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Windows within some hours of points, which are read once for all of them."""
        if not len(pairs):
            return
        spans = zip((pairs % _POINTS).tolist(), (pairs // _POINTS * HOUR_NS).tolist(), strict=True)
        readings = self._recall.read(((point, start, start + HOUR_NS) for point, start in spans), remembered)
        widths = ((self.minutes, MINUTE_NS, point, start), (self.hours, HOUR_NS, hour_point, hour_start))
        for dirty, width_ns, points, starts in widths:
            which = np.isin(starts // HOUR_NS * _POINTS + points, pairs)
            points, starts = points[which], starts[which]
            keys = starts // width_ns * _POINTS + points
            mine = np.isin(readings.time // width_ns * _POINTS + readings.point, keys)
            by_point = self._register.minutes if width_ns == MINUTE_NS else self._register.hours
            self._send_all(by_point, summed_up(readings.take(mine), width_ns))
            dirty.done(points, starts)

    def _send_all(self, by_point: pa.Array, windows: Windows) -> None:
        for batch in window_batches(by_point, windows, BATCH_LINES):
            self._send(batch)
