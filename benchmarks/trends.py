"""The trends of a room: a month of points that say something each second, as its page draws them."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit, ratio, spread
from benchmarks.plant import SECOND_NS, rounds
from dashboards.console.room_page import BUCKETS
from dashboards.trend import bucketed
from facility.reading import Readings
from ingest.journal.journal import Journal, JournalReader
from ingest.series.series import HOUR_NS, PACKED_FROM_BYTES, Series, SeriesReader
from service.stored.readers import Readers
from service.stored.readings import StoredReadings

POINTS = 10
START_NS = 1_700_000_400 * SECOND_NS // HOUR_NS * HOUR_NS
PAGE_S_MAX = 5.0
UNPACKED_MAX = 1.5


def run(bench: Bench) -> Iterator[Figure]:
    """Beside it, in turn, only reading and unpacking the same parts of the series, whole."""
    folder, days = bench.place("trends"), bench.size(30, 1)
    seconds = days * 86_400
    _measured(folder, seconds)
    series, journal = Readers(lambda: SeriesReader(folder / "series.db")), Readers(lambda: JournalReader(folder / "journal.db"))
    stored = StoredReadings(series, journal)
    page_s, cpu_s, unpacked_s = [], [], []
    for _ in range(bench.size(3, 1)):
        begun, begun_cpu = time.perf_counter(), time.process_time()
        drawn = [_buckets(stored, point, seconds) for point in range(POINTS)]
        page_s.append(time.perf_counter() - begun)
        cpu_s.append(time.process_time() - begun_cpu)
        assert sum(drawn) == POINTS * seconds, "readings are missing in the picture"
        begun_cpu = time.process_time()
        _unpacked(folder)
        unpacked_s.append(time.process_time() - begun_cpu)
    series.close()
    journal.close()
    what = f"trends of {days} days, {POINTS} points with a reading a second"
    yield Figure(what, median(page_s), "s", spread(page_s, " s"), Limit(median(page_s), PAGE_S_MAX, " s"))
    limit = Limit(ratio(cpu_s, unpacked_s), UNPACKED_MAX, " times")
    yield Figure("  on the processor", median(cpu_s), "s", f"beside only unpacking all of it, {median(unpacked_s):.1f} s", limit)


def _buckets(stored: StoredReadings, point: int, seconds: int) -> int:
    end = START_NS + seconds * SECOND_NS
    buckets = bucketed(stored.measured(point, START_NS, end), START_NS, end, BUCKETS)
    return int(buckets.count.sum() + buckets.bad.sum())


def _measured(folder: Path, seconds: int, piece: int = 6 * 3600) -> None:
    """A series of so many seconds, as it is written live; the journal has nothing beyond it."""
    Journal(folder / "journal.db", durable=False).close()
    with closing(Series(folder / "series.db")) as series:
        for first in range(0, seconds, piece):
            said = rounds(first, piece, POINTS)
            time_ns = np.repeat(START_NS + np.arange(first, first + piece) * SECOND_NS, POINTS)
            time_ns += np.random.default_rng(first).integers(0, 10**6, len(time_ns)) * 1000 % SECOND_NS
            point = np.tile(np.arange(POINTS, dtype=np.uint32), piece)
            sequence = np.full(len(point), -1)
            received = time_ns + 5_000_000
            values = said.value.round(2).ravel()
            series.write(Readings(point, time_ns, values, said.quality.ravel(), received, received - START_NS, sequence), [], 0)


def _unpacked(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "series.db")) as connection:
        for readings, body in connection.execute("select readings, body from parts order by point, hour"):
            if readings * 41 >= PACKED_FROM_BYTES:
                zlib.decompress(body)
