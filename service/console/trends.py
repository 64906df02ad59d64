"""Trends as the pages show them, from what is stored and what judges now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from alerts.judging.derivation import ReadingsOf
from dashboards.trend import LimitSpan, PointTrend, StateSpan, bucketed
from facility.reading import Readings
from facility.site import OCCUPANCIES
from rules.occupancy import Timeline
from service.console.shown import Shown
from service.stored.readings import StoredReadings

SLICE_ROWS = 262_144
"""So many readings are looked at at a time."""


class StoredTrends:
    """Implements `Trends`; `shown` gives what is in force."""

    def __init__(self, stored: StoredReadings, shown: Callable[[], Shown]) -> None:
        self._stored, self._shown = stored, shown

    def points(self, points: Sequence[str], start: int, end: int, number: int) -> Sequence[PointTrend]:
        shown = self._shown()
        readings, occupancy = ReadingsOf(self._stored.first, [(0, shown.plan)]), shown.occupancy(self._stored.states())
        found = []
        for id in points:
            point = shown.facility.point_by_id.get(id)
            if point is None or id not in shown.number_of:
                continue
            # of a slow point no more buckets than readings, or there would be holes
            most = (end - start) // point.period_ns if point.period_ns else number
            of = shown.number_of[id]
            pieces = self._stored.measured(of, start, end) if point.derived is None else _slices(readings, of, start, end)
            buckets = bucketed(pieces, start, end, int(np.clip(most, 1, number)))
            spans = _spans(occupancy.for_limits[shown.row_of[point.place]], start, end)
            limits = (LimitSpan(low, high, shown.limits.of(id, code)) for low, high, code in spans)
            found.append(PointTrend(id, buckets, tuple(limits)))
        return found

    def states(self, place: str, start: int, end: int) -> Sequence[StateSpan]:
        shown = self._shown()
        if place not in shown.row_of:
            return ()
        timeline = shown.occupancy(self._stored.states()).reported[shown.row_of[place]]
        return [StateSpan(low, high, OCCUPANCIES[code]) for low, high, code in _spans(timeline, start, end)]


def _slices(readings: ReadingsOf, number: int, start: int, end: int) -> Iterator[Readings]:
    while len(piece := readings.first(number, SLICE_ROWS, start, end)):
        yield piece
        if len(piece) < SLICE_ROWS:
            return
        start = int(piece.time[-1]) + 1


def _spans(timeline: Timeline, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """From when to when a timeline has each code, within [start, end)."""
    inside: NDArray[np.int64] = timeline.time[(timeline.time > start) & (timeline.time < end)]
    bounds = [start, *inside.tolist(), end]
    codes = timeline.at(np.array(bounds[:-1], np.int64)).tolist()
    low = start
    for (_, high), code, following in zip(pairwise(bounds), codes, [*codes[1:], -1], strict=True):
        if code != following:
            yield low, high, code
            low = high
