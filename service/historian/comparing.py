"""`renrum historian compare`: journal and InfluxDB read side by side, while the feed may go on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np

from historian.columns import field_columns
from historian.compare import DAY_NS, FIELDS, Difference, Tallies, differences
from historian.influx import Influx
from historian.progress import FILE, Progress
from historian.wanted import Wanted
from ingest.journal.entries import INGEST, gathered, ingest_body
from service.stored.archive import Archive

ROUNDS = 3
"""What differs is compared again: meanwhile readings came, or the feed was between two writes."""
PATIENCE = 3
"""A feed that has not moved so many times, a second apart, is not waited for."""
_FIRST, _LAST = -(1 << 62), 1 << 62
_MARGIN_NS = 600 * 10**9
"""So much before a bucket's retention is over readings may be gone already."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared: readings of the journal up to entry `upto`, measured since `start` (int ns UTC, None: all).

    `behind` entries are not in InfluxDB yet; it `refused` so many lines.
    """

    readings: int
    start: int | None
    upto: int
    behind: int
    refused: int
    differences: list[Difference]


class Comparing:
    """Of one data_dir with one bucket; `progress` is told the fraction done of a round."""

    def __init__(self, archive: Archive, influx: Influx, wanted: Wanted, site: str, sleep: Callable[[float], None]) -> None:
        self._archive, self._influx, self._wanted, self._site, self._sleep = archive, influx, wanted, site, sleep
        self._names = [""] * (max(archive.number_of.values(), default=-1) + 1)
        for point, number in archive.number_of.items():
            self._names[number] = point
        points = wanted.points
        self._chosen = np.array([points is None or name in points for name in self._names], np.bool_)

    def run(self, now: int, progress: Callable[[float], None]) -> Comparison:
        """Compare, and compare again what differs, as long as that may be the feed's doing. Raises InfluxFault."""
        start = self._kept_since(now)
        found, days, upto, behind, readings = list[Difference](), None, 0, 0, 0
        for number in range(ROUNDS):
            upto, behind = self._fed()
            journal, influxdb = self._journal(upto, start, days), Tallies()
            self._read(influxdb, journal, start, days, progress)
            readings = readings if number else journal.count()
            found = differences(journal, influxdb)
            days = {difference.day for difference in found}
            if not found or number == ROUNDS - 1:
                break
            self._sleep(1.0)
        return Comparison(readings, start, upto, behind, self._refused(), found)

    def _kept_since(self, now: int) -> int | None:
        """From when on both sides have everything that is asked for."""
        bucket = self._influx.bucket()
        kept_s = [rule.every_seconds for rule in bucket.retention_rules if rule.every_seconds] if bucket is not None else []
        kept = now - kept_s[0] * 10**9 + _MARGIN_NS if kept_s else None
        bounds = [bound for bound in (kept, self._wanted.start) if bound is not None]
        return max(bounds, default=None)

    def _fed(self) -> tuple[int, int]:
        """Up to which entry InfluxDB should have everything, and how many come after; waits for a feed that is at it."""
        newest = self._archive.journal.last(INGEST)
        head = newest.seq if newest is not None else 0
        path = self._archive.data_dir / FILE
        if not path.is_file():
            return head, 0
        cursor, still = -1, 0
        while still < PATIENCE:
            before = cursor
            with closing(Progress(path, readonly=True)) as progress:
                cursor = int(progress.all().get("cursor", 0))
            if cursor >= head:
                return cursor, 0
            still = still + 1 if cursor == before else 0
            self._sleep(1.0)
        return cursor, head - cursor

    def _refused(self) -> int:
        path = self._archive.data_dir / FILE
        if not path.is_file():
            return 0
        with closing(Progress(path, readonly=True)) as progress:
            return progress.refused()

    def _journal(self, upto: int, start: int | None, days: set[int] | None) -> Tallies:
        tallies = Tallies()
        entries = self._archive.journal.entries(0, upto, (INGEST,))
        while some := list(islice(entries, 512)):
            readings = gathered(some, [ingest_body(entry) for entry in some])
            which = self._chosen[readings.point]
            if start is not None:
                which &= readings.time >= start
            if self._wanted.end is not None:
                which &= readings.time < self._wanted.end
            if days is not None:
                which &= np.isin(readings.time // DAY_NS * DAY_NS, list(days))
            tallies.add_readings(self._names, readings.take(which))
        return tallies

    def _read(
        self, influxdb: Tallies, journal: Tallies, start: int | None, days: set[int] | None, progress: Callable[[float], None]
    ) -> None:
        """What InfluxDB has, day by day where the journal has readings, and whether there is anything elsewhere."""
        lower = _FIRST if start is None else start
        upper = _LAST if self._wanted.end is None else self._wanted.end
        if days is None:
            held = {day for sums in journal.sums.values() for _, day in sums}
            edges = sorted({lower, upper, *held, *(day + DAY_NS for day in held)})
            spans = list(pairwise(edges))
        else:
            spans = [(day, day + DAY_NS) for day in sorted(days)]
        wanted = self._wanted.points
        for done, (first, last) in enumerate(spans):
            first, last = max(first, lower), min(last, upper)
            for name in FIELDS if first < last else ():
                for columns in field_columns(self._influx, self._site, name, first, last):
                    influxdb.add_columns(name, columns if wanted is None else columns.of(wanted))
            progress((done + 1) / len(spans))
