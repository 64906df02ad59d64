"""Trends as the pages show them, from what is stored, with the limits that judged then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from alerts.judging.derivation import ReadingsOf
from dashboards.trend import LimitSpan, PointTrend, StateSpan, bucketed
from facility.problems import ConfigurationError
from facility.reading import Readings
from facility.site import OCCUPANCIES
from rules.occupancy import Timeline
from service.chronicle import Chronicle
from service.configuration.judging import Judges
from service.console.shown import Shown
from service.console.views import LimitsInForce
from service.stored.readings import StoredReadings

SLICE_ROWS = 262_144
"""So many readings are looked at at a time."""
PAST_MAX = 4
"""So many earlier configurations are kept as they were read: that takes seconds with 10,000 points."""

log = logging.getLogger(__name__)


class StoredTrends:
    """Implements `Trends`; `shown` gives what is in force, `chronicle` what was before."""

    def __init__(self, stored: StoredReadings, shown: Callable[[], Shown], chronicle: Chronicle) -> None:
        self._stored, self._shown, self._chronicle = stored, shown, chronicle
        self._lock = threading.Lock()
        self._past: dict[str, LimitsInForce | None] = {}

    def points(self, points: Sequence[str], start: int, end: int, number: int) -> Sequence[PointTrend]:
        shown = self._shown()
        readings, occupancy = ReadingsOf(self._stored.first, [(0, shown.plan)]), shown.occupancy(self._stored.states())
        eras = list(self._eras(shown, start, end))
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
            held = occupancy.for_limits[shown.row_of[point.place]]
            limits = (
                LimitSpan(low, high, limits.of(id, code)) for begin, over, limits in eras for low, high, code in _spans(held, begin, over)
            )
            found.append(PointTrend(id, buckets, tuple(limits)))
        return found

    def _eras(self, shown: Shown, start: int, end: int) -> Iterator[tuple[int, int, LimitsInForce]]:
        """From when to when which limits were in force; those of the first configuration before it, too."""
        known = self._chronicle.views()
        if not known:
            yield start, end, shown.limits
        begun = [start, *(max(start, view.at) for view in known[1:]), end]
        for view, (low, high) in zip(known, pairwise(begun), strict=False):
            high = min(high, end)
            if low < high and (limits := self._limits_of(view.config, shown)) is not None:
                yield low, high, limits

    def _limits_of(self, config: str, shown: Shown) -> LimitsInForce | None:
        """None where this version does not read them as they were read then."""
        if config == shown.identity.config:
            return shown.limits
        with self._lock:
            if config not in self._past and (body := self._chronicle.body(config)) is not None:
                if len(self._past) >= PAST_MAX:
                    del self._past[next(iter(self._past))]
                try:
                    self._past[config] = LimitsInForce(Judges().plan(body, shown.number_of), shown.number_of)
                except ConfigurationError as error:
                    log.warning("the limits of configuration %s cannot be drawn: %s", config[:12], error)
                    self._past[config] = None
            return self._past.get(config)

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
