"""Admission: is a reading new, a duplicate, a conflict, from the future, too old; and is its value one (docs/rules.md, Readings)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facility.reading import SPOILT, Readings
from facility.site import Point
from ingest.series.series import NO_TIME

STORED, DUPLICATE, CONFLICT, CLOCK_AHEAD, TOO_OLD = range(5)
REASONS = {CONFLICT: "conflict", CLOCK_AHEAD: "clock_ahead", TOO_OLD: "too_old"}
UNBOUNDED_NS = 1 << 61
VALUE_MAX = 1e300
"""Beyond it a value is no measurement (docs/rules.md, Readings)."""

Key = tuple[int, int]
Content = tuple[float, int]
Number = TypeVar("Number", np.int64, np.float64)


@dataclass(slots=True)
class _Pending:
    """What one call decided, in force once it is durable."""

    stored: dict[Key, Content] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)


class Admission:
    """Decides on readings one batch after the other; what `admit` decided counts from `confirm` on.

    `written(point, time)` looks a reading up among those written to the series: its value and received quality, or None. When it knows
    all that was confirmed, nothing need be remembered here.
    """

    def __init__(
        self, size: int, newest: NDArray[np.int64], written: Callable[[int, int], Content | None], *, remember: bool = True
    ) -> None:
        self._newest = newest
        self._written = written
        self._remember = remember
        self._young: dict[Key, Content] = {}
        self._old: dict[Key, Content] = {}
        self._pending = _Pending()
        self._low, self._high = np.empty(0), np.empty(0)
        self._ahead, self._late = np.empty(0, np.int64), np.empty(0, np.int64)
        self._resize(max(size, len(newest)))

    def limits_of(self, points: dict[int, Point]) -> None:
        """Take over the ranges and clock tolerances of the configuration in force, by point number."""
        self._resize(max(points, default=-1) + 1)
        for number, point in points.items():
            low, high = point.range or (-VALUE_MAX, VALUE_MAX)
            self._low[number], self._high[number] = max(low, -VALUE_MAX), min(high, VALUE_MAX)
            self._ahead[number], self._late[number] = point.max_ahead_ns, point.max_late_ns

    def admit(
        self,
        point: NDArray[np.uint32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        quality: NDArray[np.uint8],
        received: NDArray[np.int64],
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A verdict for each row in the order of arrival, and the quality to store (SPOILT added where there is no usable value)."""
        self._pending = _Pending()
        doubtful = (time <= self._newest[point]) | (time > received + self._ahead[point])
        if not self._remember and not doubtful.any() and _ascends(time, point):
            # With each point's newest in the last of its rows; what is assigned last stays.
            newest = np.full(len(self._newest), NO_TIME)
            newest[point] = time
            there = np.flatnonzero(newest != NO_TIME)
            self._pending.newest = dict(zip(there.tolist(), newest[there].tolist(), strict=True))
            return np.full(len(point), STORED, np.uint8), self._judged_quality(point, value, quality)
        verdict = self._settled(point, time, value, quality, received, doubtful)
        return verdict, self._judged_quality(point, value, quality)

    def _settled(
        self,
        point: NDArray[np.uint32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        quality: NDArray[np.uint8],
        received: NDArray[np.int64],
        doubtful: NDArray[np.bool_],
    ) -> NDArray[np.uint8]:
        verdict = np.full(len(point), STORED, np.uint8)
        order = np.argsort(point, kind="stable")
        descends = np.zeros(len(point), np.bool_)
        descends[order[1:]] = (point[order[1:]] == point[order[:-1]]) & (time[order[1:]] <= time[order[:-1]])
        doubtful |= descends
        plain = ~doubtful
        if doubtful.any():
            plain = ~np.isin(point, point[doubtful])
            self._admit_one_by_one(np.flatnonzero(~plain), point, time, value, quality, received, verdict)
        rows = order[plain[order]]
        if len(rows):
            last = np.append(np.diff(point[rows]) != 0, True)
            self._pending.newest.update(zip(point[rows][last].tolist(), time[rows][last].tolist(), strict=True))
        if self._remember:  # no other row of this batch can be the same
            self._pending.stored.update(
                zip(
                    zip(point[plain].tolist(), time[plain].tolist(), strict=True),
                    zip(value[plain].tolist(), quality[plain].tolist(), strict=True),
                    strict=True,
                )
            )
        return verdict

    def _judged_quality(self, point: NDArray[np.uint32], value: NDArray[np.float64], quality: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with np.errstate(invalid="ignore"):
            spoilt = ~((value >= self._low[point]) & (value <= self._high[point]))
        return quality | spoilt * np.uint8(SPOILT) if spoilt.any() else quality

    @property
    def newest(self) -> NDArray[np.int64]:
        """By point number the newest time that was stored, NO_TIME for none."""
        return self._newest

    def confirm(self) -> None:
        """The last batch is durable."""
        if self._remember:
            self._young.update(self._pending.stored)
        for number, time in self._pending.newest.items():
            self._newest[number] = time
        self._pending = _Pending()

    def recall(self, readings: Readings) -> None:
        """Take up readings that the journal stored and the series does not have yet."""
        self._resize(int(readings.point.max(initial=0)) + 1)
        np.maximum.at(self._newest, readings.point, readings.time)
        keys = zip(readings.point.tolist(), readings.time.tolist(), strict=True)
        self._young.update(zip(keys, zip(readings.value.tolist(), readings.quality.tolist(), strict=True), strict=True))

    def turn(self) -> None:
        """Everything confirmed before the last turn is written to the series: forget it here."""
        self._old, self._young = self._young, {}

    @property
    def remembered(self) -> int:
        """Readings held in memory because the series does not have them yet."""
        return len(self._young) + len(self._old)

    def _admit_one_by_one(
        self,
        rows: NDArray[np.intp],
        point: NDArray[np.uint32],
        time: NDArray[np.int64],
        value: NDArray[np.float64],
        quality: NDArray[np.uint8],
        received: NDArray[np.int64],
        verdict: NDArray[np.uint8],
    ) -> None:
        pending = self._pending
        for row in rows.tolist():
            number, at = int(point[row]), int(time[row])
            content = (float(value[row]), int(quality[row]))
            newest = pending.newest.get(number, int(self._newest[number]))
            stored = self._find((number, at)) if at <= newest else None
            if stored is not None:
                verdict[row] = DUPLICATE if _same(stored, content) else CONFLICT
            elif at > int(received[row]) + int(self._ahead[number]):
                verdict[row] = CLOCK_AHEAD
            elif newest != NO_TIME and at < newest - int(self._late[number]):
                verdict[row] = TOO_OLD
            else:
                pending.stored[number, at] = content
                pending.newest[number] = max(newest, at)

    def _find(self, key: Key) -> Content | None:
        for held in (self._pending.stored, self._young, self._old):
            if key in held:
                return held[key]
        return self._written(*key)

    def _resize(self, size: int) -> None:
        """Make room for point numbers below `size`; what is known of others stays."""

        def grown(column: NDArray[Number], fill: float) -> NDArray[Number]:
            return np.concatenate([column, np.full(max(0, size - len(column)), fill, column.dtype)])

        self._newest = grown(self._newest, NO_TIME)
        self._low, self._high = grown(self._low, -VALUE_MAX), grown(self._high, VALUE_MAX)
        self._ahead, self._late = grown(self._ahead, UNBOUNDED_NS), grown(self._late, UNBOUNDED_NS)


def _ascends(time: NDArray[np.int64], point: NDArray[np.uint32]) -> bool:
    """Whether rows stand by time and, at one time, by point, none of them twice."""
    later, same = time[1:] > time[:-1], time[1:] == time[:-1]
    return bool((later | (same & (point[1:] > point[:-1]))).all())


def _same(stored: Content, content: Content) -> bool:
    """Equal after conversion, in quality too; two NaN are the same, so are 0.0 and -0.0."""
    (value, quality), (new, new_quality) = stored, content
    return (quality & 3) == (new_quality & 3) and (value == new or (value != value and new != new))
