"""Everything of a period from the journal into InfluxDB once more, beside the feed or without it; what is there already stays the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from facility.reading import Readings
from historian.aggregation import GRACE_NS
from historian.feed import ENTRIES, Sources
from historian.judged import Row, excursion_line, transition_line
from historian.lines import BATCH_LINES, Batch, batches
from historian.recall import Recall
from historian.register import Register
from historian.sender import Sender
from historian.stretches import KINDS
from historian.windows import HOUR_NS, MINUTE_NS, Windows, summed_up, window_batches
from ingest.journal.entries import CONFIGURATION, gathered, ingest_body
from ingest.journal.journal import Entry

DAY_NS = 24 * HOUR_NS
POINTS = 100
"""So many points' days are read at once: a million readings at one a second and ten points, few of most."""


class Backfill:
    """Of what was measured from `start` up to `end` (int ns UTC, None: no bound), as the journal has it up to entry `upto`."""

    def __init__(self, sources: Sources, sender: Sender, upto: int, start: int | None, end: int | None) -> None:
        self._sources, self._sender, self._upto = sources, sender, upto
        self._start = -(1 << 63) if start is None else start
        self._end = (1 << 63) - 1 if end is None else end
        self._register = Register(sources.facility_of)
        self._days: set[int] = set()

    def run(self, now: int, progress: Callable[[float], None] = lambda done: None) -> None:
        """Write it; `now` (int ns UTC) tells which minutes and hours are over. Raises InfluxFault: begun again, it ends the same."""
        for done in self._readings():
            progress(0.7 * done)
        for done in self._windows(now):
            progress(0.7 + 0.28 * done)
        self._judged(now)
        progress(1.0)

    def _readings(self) -> Iterator[float]:
        """Configurations, readings and states; gives the fraction done."""
        entries = self._sources.journal.entries(0, self._upto, KINDS)
        while some := list(islice(entries, ENTRIES)):
            stretch: list[Entry] = []
            for entry in some:
                if entry.kind == CONFIGURATION:
                    self._stretch(stretch)
                    stretch = []
                    self._sender.send(Batch.of(self._register.configure(entry)))
                else:
                    stretch.append(entry)
            self._stretch(stretch)
            yield some[-1].seq / self._upto

    def _stretch(self, entries: list[Entry]) -> None:
        """Ingest entries under one configuration."""
        if not entries:
            return
        bodies = [ingest_body(entry) for entry in entries]
        readings = gathered(entries, bodies)
        readings = readings.take((readings.time >= self._start) & (readings.time < self._end))
        self._days.update(np.unique(readings.time // DAY_NS).tolist())
        for batch in batches(self._register.readings, readings, BATCH_LINES):
            self._sender.send(batch)
        for entry, body in zip(entries, bodies, strict=True):
            inside = [state for state in body.states if self._start <= state.time < self._end]
            self._sender.send(Batch.of(self._register.states(inside, entry.at)))

    def _windows(self, now: int) -> Iterator[float]:
        """Minutes and hours of the days with readings (an instrument without a clock measures in 1970); gives the fraction done."""
        if not self._days:
            return
        recall = Recall(self._sources.journal, self._sources.series, self._upto)
        remembered = recall.remembered()
        numbers = range(len(self._register.names))
        for done, day in enumerate(sorted(self._days)):
            for some in range(0, len(numbers), POINTS):
                spans = (
                    (point, max(day * DAY_NS, -(1 << 63)), min((day + 1) * DAY_NS, (1 << 63) - 1))
                    for point in numbers[some : some + POINTS]
                )
                self._sum_up(recall.read(spans, remembered), now)
            yield done / len(self._days)

    def _sum_up(self, readings: Readings, now: int) -> None:
        for by_point, width_ns in ((self._register.minutes, MINUTE_NS), (self._register.hours, HOUR_NS)):
            over = (readings.time // width_ns + 1) * width_ns + GRACE_NS <= now
            touched = (readings.time // width_ns + 1) * width_ns > self._start
            windows: Windows = summed_up(readings.take(over & touched), width_ns)
            for batch in window_batches(by_point, windows, BATCH_LINES):
                self._sender.send(batch)

    def _judged(self, now: int) -> None:
        judged, site = self._sources.judged, self._register.site
        self._rows(judged.excursions, lambda row: excursion_line(row, site, now))
        self._rows(judged.transitions, lambda row: transition_line(row, site))

    def _rows(self, changes: Callable[[int, int], Sequence[Row]], made: Callable[[Row], bytes]) -> None:
        after = 0
        while rows := changes(after, BATCH_LINES):
            self._sender.send(Batch.of([made(row) for row in rows if row.columns and self._start <= row.time < self._end]))
            after = max(row.seq for row in rows)
