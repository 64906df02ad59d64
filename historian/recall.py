"""What is stored of a point in an hour: the series, and in memory the newest readings that it may not have yet."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from historian.windows import MINUTE_NS
from ingest.journal.entries import INGEST, ingest_body, readings_of
from ingest.journal.journal import JournalReader
from ingest.series.series import NO_TIME, SeriesReader, SeriesUnavailable

KEPT_NS = 2 * MINUTE_NS
"""Readings that came in so long are kept in memory even when the series has them: minutes are then summed up without it."""


LOADED_MAX = 4_000_000
"""So many readings (200 MB) are read out of the journal at the most: who lacks more has no series, which the service writes again first."""


class Recall:
    """Readings up to journal entry `upto`; for one thread. `series` opens series.db, which may be replaced by another meanwhile.

    Sound as long as every entry after the series' cursor is in memory; `refresh` sees to that. Raises SeriesUnavailable.
    """

    def __init__(self, journal: JournalReader, series: Callable[[], SeriesReader], upto: int) -> None:
        self._journal, self._series = journal, series
        self._parts: list[tuple[int, int, Readings]] = []
        with self._opened() as reader:
            self.begin = min(reader.cursor(), upto)
            # Newer than what came up to `begin` where the series is ahead of that: then it is asked once too often, never too seldom.
            self._newest = reader.newest(reader.size())
        self.upto = self.begin
        self._load(self.begin, upto)
        self.upto = upto

    def add(self, readings: Readings, seq: int, at: int) -> None:
        """What the entries up to `seq`, the last of them at `at`, brought."""
        if len(readings):
            self._parts.append((seq, at, readings))
        self.upto = seq

    def refresh(self, at: int) -> None:
        """Before reading: forget what the series has and is old at `at`, read again what a series that was begun anew lacks."""
        with self._opened() as series:
            written = series.cursor()
        if written < self.begin:
            kept, self._parts = self._parts, []
            self._load(written, self.begin)
            self._parts += kept
            self.begin = written
        while self._parts and self._parts[0][0] <= written and self._parts[0][1] < at - KEPT_NS:
            seq, _, readings = self._parts.pop(0)
            self._grow(int(readings.point.max()) + 1)
            np.maximum.at(self._newest, readings.point, readings.time)
            self.begin = seq
        if len(self._parts) > 256:
            last = self._parts[-1]
            self._parts = [*self._parts[:-256], (last[0], last[1], Readings.concatenate([part for _, _, part in self._parts[-256:]]))]

    def recent(self, points: NDArray[np.int64], start: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether memory has all readings of the points from those times on."""
        self._grow(int(points.max(initial=-1)) + 1)
        known: NDArray[np.bool_] = self._newest[points] < start
        return known

    def remembered(self) -> Readings:
        """What is in memory, sorted by point and time."""
        return _sorted(Readings.concatenate([part for _, _, part in self._parts]))

    def read(self, wanted: Iterable[tuple[int, int, int]], remembered: Readings) -> Readings:
        """All readings of the spans (point, start, end; int ns UTC, the end outside), sorted by point and time, each once."""
        found = [Readings.empty()]
        bounds = np.searchsorted(remembered.point, np.arange(remembered.point.max(initial=0) + 2)).tolist()
        with self._opened() as series:
            for point, start, end in wanted:
                found.append(series.read(point, start, end))
                if point + 1 < len(bounds):
                    rows = slice(bounds[point], bounds[point + 1])
                    first, last = (np.searchsorted(remembered.time[rows], [start, end]) + rows.start).tolist()
                    found.append(remembered.take(slice(first, last)))
        readings = _sorted(Readings.concatenate(found))
        # What is in memory may be in the series, too; no two readings of a point have one time.
        new = np.ones(len(readings), np.bool_)
        new[1:] = (np.diff(readings.point) != 0) | (np.diff(readings.time) != 0)
        return readings.take(new)

    @contextmanager
    def _opened(self) -> Iterator[SeriesReader]:
        try:
            with closing(self._series()) as series:
                yield series
        except sqlite3.Error as error:
            raise SeriesUnavailable(f"cannot read series.db: {error}. The service writes it when it starts") from error

    def _load(self, after: int, upto: int) -> None:
        gathered: list[Readings] = []
        seq, at, held = after, 0, 0
        for entry in self._journal.entries(after, upto, (INGEST,)):
            held += entry.readings
            if held > LOADED_MAX:
                raise SeriesUnavailable("series.db lacks most of what the journal has. The service writes it again when it starts")
            if entry.readings:
                gathered.append(readings_of(entry, ingest_body(entry)))
            seq, at = entry.seq, entry.at
        if gathered:
            self._parts.append((seq, at, Readings.concatenate(gathered)))

    def _grow(self, size: int) -> None:
        if size > len(self._newest):
            self._newest = np.append(self._newest, np.full(size - len(self._newest), NO_TIME))


def _sorted(readings: Readings) -> Readings:
    return readings.take(np.lexsort((readings.time, readings.point)))
