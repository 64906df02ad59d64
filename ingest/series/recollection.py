"""What a step may look back at: the series, and the readings of the last minutes that it does not hold yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from ingest.journal.entries import INGEST, ingest_body, readings_of
from ingest.journal.flaw import Progress, unwatched
from ingest.journal.journal import JournalReader
from ingest.series.series import NO_TIME, SeriesUnavailable

WRITE_AT = 131_072
"""So many readings are gathered in memory (5 MB) before they are written to the series."""


class Written(Protocol):
    """What was written to a series, and where it is written to: ingest/series/series.py has the one that lasts."""

    def cursor(self) -> int: ...
    def read(self, point: int, start: int | None = None, end: int | None = None) -> Readings: ...
    def read_all(self, points: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> Readings: ...
    def states(self) -> dict[str, list[tuple[int, str]]]: ...
    def write(self, readings: Readings, states: Iterable[tuple[str, int, str]], cursor: int) -> None: ...


class Recollection:
    """Readings of every point up to the newest step; owned by the thread that takes the steps."""

    def __init__(self, series: Written) -> None:
        self._series = series
        self._tail: list[Readings] = []
        self._tail_states: list[tuple[str, int, str]] = []
        self.cursor = series.cursor()

    @property
    def tail(self) -> int:
        """How many readings are not yet in the series; any thread may ask."""
        return sum(map(len, list(self._tail)))

    def recall(self, journal: JournalReader, upto: int, progress: Progress = unwatched) -> None:
        """Read again what the series does not have, up to entry `upto`; where that is much it is written, so that memory stays bounded.

        A series that cannot be written stays in memory, as it does after a step.
        """
        writable = True
        for entry in journal.entries(self.cursor, upto, (INGEST,)):
            body = ingest_body(entry)
            self.add(readings_of(entry, body), [(state.place, state.time, state.state) for state in body.states], entry.seq)
            if writable:
                try:
                    self.write()
                except SeriesUnavailable:
                    writable = False
            progress(entry.seq, upto)
        self.cursor = upto
        self._merge()

    def add(self, readings: Readings, states: list[tuple[str, int, str]], cursor: int) -> None:
        """What the step up to entry `cursor` brought."""
        if len(readings):
            self._tail.append(readings)
        self._tail_states += states
        self.cursor = cursor
        if len(self._tail) > 64:
            self._merge()

    def read(self, point: int, start: int | None = None, end: int | None = None) -> Readings:
        """Readings of a point with start <= time < end (None: no bound), in time order."""
        recent = []
        for part in self._tail:
            chosen = part.point == point
            if start is not None:
                chosen &= part.time >= start
            if end is not None:
                chosen &= part.time < end
            rows = np.flatnonzero(chosen)  # few of many: taking by number looks at these only
            if len(rows):
                recent.append(part.take(rows))
        written = self._series.read(point, start, end)
        if not recent:
            return written
        both = Readings.concatenate([written, *recent])
        return both.take(both.time.argsort(kind="stable"))

    def read_all(self, points: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> Readings:
        """Readings of many points (ascending), of each with its start <= time < its end, by point and time."""
        least, most = (np.full(int(points.max(initial=0)) + 1, NO_TIME) for _ in range(2))
        least[points], most[points] = start, end
        parts = [self._series.read_all(points, start, end)]
        for part in self._tail:
            rows = np.flatnonzero(part.point < len(least))
            point, time = part.point[rows], part.time[rows]
            parts.append(part.take(rows[(time >= least[point]) & (time < most[point])]))
        both = Readings.concatenate(parts)
        return both.take(np.lexsort((both.time, both.point)))

    def states(self) -> dict[str, list[tuple[int, str]]]:
        """All room states by place."""
        states = self._series.states()
        for place, time, state in self._tail_states:
            states.setdefault(place, []).append((time, state))
        return states

    def write(self, *, all_of_it: bool = False) -> bool:
        """Write the tail to the series when it is long, or always; True when it was written."""
        if not all_of_it and sum(map(len, self._tail)) < WRITE_AT:
            return False
        self._series.write(Readings.concatenate(self._tail), self._tail_states, self.cursor)
        self._tail, self._tail_states = [], []
        return True

    def _merge(self) -> None:
        self._tail = [Readings.concatenate(self._tail)] if self._tail else []
