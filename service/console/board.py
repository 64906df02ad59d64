"""The newest reading and the state of every point: the step thread keeps it, all others look at it."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dashboards.views import Latest, point_state
from facility.reading import BAD, Readings, quality_name
from facility.site import Point
from ingest.series.series import NO_TIME
from rules.excursion import CURRENT, Excursion


@dataclass(frozen=True, slots=True)
class PointStanding:
    """How a point stands: its newest reading, its state (dashboards.views.POINT_STATES) and since when, None if that is not known."""

    latest: Latest | None
    state: str
    since: int | None


class Board:
    """Rows are the points in the order given; `kind_of` tells the kind of the rule that an excursion is of.

    One thread calls `fill` and `take`. The lock is held for moments only, so that nobody who looks holds up the steps.
    """

    def __init__(self, points: Sequence[Point], number_of: Mapping[str, int], kind_of: Callable[[Excursion], str]) -> None:
        count = len(points)
        self._kind_of = kind_of
        self._ids = [point.id for point in points]
        self._row_of_id = {point.id: row for row, point in enumerate(points)}
        self._row_of = np.full(max(number_of.values(), default=-1) + 1, -1)
        self._row_of[[number_of[point.id] for point in points]] = np.arange(count)
        self._lock = threading.Lock()
        self._time, self._received = np.full(count, NO_TIME), np.zeros(count, np.int64)
        self._value, self._quality = np.zeros(count), np.zeros(count, np.uint8)
        self._state: list[tuple[str, int | None]] = [("no_data", None)] * count
        self._changed = np.ones(count, np.bool_)
        self._open: dict[str, dict[str, Excursion]] = {}
        self.open_by_level: Mapping[str, int] = {}

    def fill(self, readings: Readings, excursions: Iterable[Excursion]) -> None:
        """Begin with the newest of these readings and these open excursions; what was known before is forgotten."""
        self._open = {}
        for excursion in excursions:
            self._open.setdefault(excursion.point, {})[excursion.rule] = excursion
        with self._lock:
            self._time[:] = NO_TIME
            self._store(readings)
            self._state = [("no_data", None)] * len(self._state)
            for row in range(len(self._state)):
                self._judge(row, live=False)
            self._changed[:] = True
        self._count_levels()

    def take(self, readings: Readings, excursions: Iterable[Excursion]) -> tuple[list[int], list[Excursion]]:
        """Take over what a step brought: the rows that changed, and the excursions of which more changed than their number of readings."""
        newest = {excursion.id: excursion for excursion in excursions}
        told = [excursion for excursion in newest.values() if self._take_excursion(excursion)]
        touched = {self._row_of_id[excursion.point] for excursion in told if excursion.point in self._row_of_id}
        with self._lock:
            rows, doubtful = self._store(readings)
            changed = set(rows)
            for row in touched.union(doubtful):
                if self._judge(row, live=True):
                    changed.add(row)
            self._changed[list(changed)] = True
        if told:
            self._count_levels()
        return sorted(changed), told

    def standing(self, rows: Sequence[int]) -> list[PointStanding]:
        """How the points of some rows stand."""
        with self._lock:
            columns = [column[list(rows)].tolist() for column in (self._time, self._value, self._quality, self._received)]
            states = [self._state[row] for row in rows]
        return [
            PointStanding(_latest(*row) if row[0] != NO_TIME else None, *state)
            for row, state in zip(zip(*columns, strict=True), states, strict=True)
        ]

    def by_state(self) -> Counter[str]:
        """How many points are in each state."""
        with self._lock:
            states = list(self._state)
        return Counter(state for state, _ in states)

    def changed(self) -> list[int]:
        """The rows that changed since the last call."""
        with self._lock:
            rows: list[int] = np.flatnonzero(self._changed).tolist()
            self._changed[:] = False
        return rows

    def _store(self, readings: Readings) -> tuple[list[int], list[int]]:
        """Keep the newest of some readings: the rows where there is a newer one, and those of which it may have another state."""
        known = readings.point < len(self._row_of)
        row = self._row_of[readings.point[known]]
        inside = np.flatnonzero(known)[row >= 0]
        row = row[row >= 0]
        order = np.lexsort((readings.time[inside], row))
        row, inside = row[order], inside[order]
        last = np.append(np.diff(row) != 0, True)[: len(row)]
        row, inside = row[last], inside[last]
        newer = readings.time[inside] > self._time[row]
        row, inside = row[newer], inside[newer]
        bad = readings.quality[inside] >= BAD
        doubtful = (self._time[row] == NO_TIME) | (bad != (self._quality[row] >= BAD))
        self._time[row], self._value[row] = readings.time[inside], readings.value[inside]
        self._quality[row], self._received[row] = readings.quality[inside], readings.received[inside]
        return row.tolist(), row[doubtful].tolist()

    def _judge(self, row: int, live: bool) -> bool:
        """Find the state of a point anew; True when it is another than before."""
        point = self._ids[row]
        time = int(self._time[row])
        latest = None if time == NO_TIME else Latest(time, None, quality_name(int(self._quality[row])), 0)
        open_here = self._open.get(point, {}).values()
        state = point_state(((excursion.level, self._kind_of(excursion)) for excursion in open_here), latest)
        before = self._state[row]
        if state == before[0] and live:
            return False
        onsets = [excursion.onset for excursion in open_here if self._says(excursion, state)]
        # Without an excursion that says so it began with the reading that shows it; at the start that is not known.
        since = min(onsets) if onsets else time if live and latest else None
        self._state[row] = (state, since)
        return True

    def _says(self, excursion: Excursion, state: str) -> bool:
        return point_state([(excursion.level, self._kind_of(excursion))], Latest(0, None, "good", 0)) == state

    def _take_excursion(self, excursion: Excursion) -> bool:
        here = self._open.setdefault(excursion.point, {})
        before = here.get(excursion.rule)
        if excursion.status == CURRENT and excursion.open:
            here[excursion.rule] = excursion
        elif before is not None and before.id == excursion.id:
            del here[excursion.rule]
        return before is None or replace(excursion, readings=before.readings) != before

    def _count_levels(self) -> None:
        counts: dict[str, int] = {}
        for here in self._open.values():
            for excursion in here.values():
                counts[excursion.level] = counts.get(excursion.level, 0) + 1
        self.open_by_level = counts


def _latest(time: int, value: float, quality: int, received: int) -> Latest:
    return Latest(time, value if math.isfinite(value) else None, quality_name(quality), received)
