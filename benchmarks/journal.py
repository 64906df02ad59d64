"""The journal alone: entries and readings a second, each entry durable."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from statistics import median

import numpy as np

from benchmarks.bench import Bench
from benchmarks.figure import Figure, spread
from ingest.journal.entries import INGEST, IngestBody, encode, ingest_body, readings_of
from ingest.journal.journal import Journal

SIZES = (1, 10, 1000)


def run(bench: Bench) -> Iterator[Figure]:
    """Appends by size of entry, in turn; what was appended is read back and its chain followed."""
    entries, turns = bench.size(500, 5), bench.size(5, 2)
    took_s: dict[int, list[float]] = {size: [] for size in SIZES}
    with closing(Journal(bench.place("journal") / "journal.db")) as journal:
        for turn in range(turns):
            for size in SIZES:
                body = encode(_body(size))
                begun = time.perf_counter()
                for number in range(entries):
                    journal.append(INGEST, body, turn * entries + number, readings=size)
                took_s[size].append(time.perf_counter() - begun)
        stored = 0
        with closing(journal.reader()) as reader:
            for entry in reader.entries(kinds=(INGEST,)):
                stored += len(readings_of(entry, ingest_body(entry)))
        assert entry.hash == journal.head.hash
    assert stored == turns * entries * sum(SIZES)
    for size, took in took_s.items():
        rates = [entries / seconds for seconds in took]
        what = f"journal, entries of {size:,} reading{'s' if size > 1 else ''}"
        yield Figure(what, median(rates), "entries/s", f"{median(rates) * size:,.0f} readings/s; {spread(rates)}")


def _body(size: int) -> IngestBody:
    point = np.arange(size, dtype="<u4")
    time_ns = np.full(size, 1_700_000_000_000_000_000, "<i8")
    value = np.random.default_rng(size).standard_normal(size).astype("<f8")
    quality, sequence = np.zeros(size, np.uint8), np.arange(size, dtype="<i8")
    point_, time_, value_, quality_, sequence_ = (column.tobytes() for column in (point, time_ns, value, quality, sequence))
    return IngestBody(size, 0, point_, time_, value_, quality_, sequence_, [], [], [])
