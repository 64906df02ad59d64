"""Trends of a made-up site: waves around what the points show now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dashboards.trend import LimitSpan, PointTrend, StateSpan, bucketed
from dashboards.views import PointView
from facility.reading import BAD, GOOD, Readings


class FakeTrends:
    """Implements dashboards.trend.Trends: limits are stepped in the middle, where rooms come into operation."""

    def __init__(self, points: Callable[[], Mapping[str, PointView]]) -> None:
        self._points = points

    def points(self, points: Sequence[str], start: int, end: int, number: int) -> Sequence[PointTrend]:
        known, found = self._points(), []
        middle = (start + end) // 2
        for id in points:
            point = known[id]
            time = start + np.arange(2000) * ((end - start) // 2000)
            part = (time - start) / (end - start)
            centre = point.latest.value if point.latest and point.latest.value is not None else 0.0
            value = centre * (1 + 0.02 * np.sin(40 * part) + 0.1 * (np.abs(part - 0.7) < 0.01))
            if point.quantity == "door":
                value = (np.abs(part - 0.4) < 0.02).astype(np.float64)
            kept = (part < 0.2) | (part > 0.25)
            readings = Readings.empty().take(slice(0)) if point.latest is None else _readings(time[kept], value[kept])
            buckets = bucketed([readings], start, end, number)
            spans = (LimitSpan(start, middle, point.limits[:1]), LimitSpan(middle, end, point.limits))
            found.append(PointTrend(id, buckets, spans))
        return found

    def states(self, place: str, start: int, end: int) -> Sequence[StateSpan]:
        middle = (start + end) // 2
        return [StateSpan(start, middle, "at_rest"), StateSpan(middle, end, "in_operation" if place != "inc1" else "cleaning")]


def _readings(time: np.ndarray[tuple[int], np.dtype[np.int64]], value: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Readings:
    quality = np.where(np.arange(len(time)) % 97 == 0, BAD, GOOD).astype(np.uint8)
    n = len(time)
    return Readings(np.zeros(n, np.uint32), time, value, quality, time, time, np.full(n, -1, np.int64))
