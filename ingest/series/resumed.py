"""Stored readings as they were at an earlier step: what the series has of that time, and what is evaluated again since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from ingest.series.series import Series, SeriesReader


class ResumedSeries:
    """Implements ingest.series.recollection.Written: `fresh` takes what comes, `written` has what was received up to `at` (int ns UTC).

    That was the time of the step at entry `cursor`; no later entry that holds readings has it. `states` are those of that step.
    """

    def __init__(self, fresh: Series, written: SeriesReader, cursor: int, at: int, states: Mapping[str, list[tuple[int, str]]]) -> None:
        written.hold()
        self._fresh, self._written, self._at = fresh, written, at
        self._begun = min(cursor, written.cursor())
        self._states = written.states() if self._begun < cursor else states  # what is missing is recalled from the journal

    def cursor(self) -> int:
        return max(self._fresh.cursor(), self._begun)

    def read(self, point: int, start: int | None = None, end: int | None = None) -> Readings:
        before = self._written.read(point, start, end)
        both = Readings.concatenate([before.take(before.received <= self._at), self._fresh.read(point, start, end)])
        return both.take(both.time.argsort(kind="stable"))

    def read_all(self, points: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> Readings:
        before = self._written.read_all(points, start, end)
        return Readings.concatenate([before.take(before.received <= self._at), self._fresh.read_all(points, start, end)])

    def states(self) -> dict[str, list[tuple[int, str]]]:
        found = {place: list(states) for place, states in self._states.items()}
        for place, states in self._fresh.states().items():
            found.setdefault(place, []).extend(states)
        return found

    def write(self, readings: Readings, states: Iterable[tuple[str, int, str]], cursor: int) -> None:
        self._fresh.write(readings, states, cursor)
