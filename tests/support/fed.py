"""A data_dir with readings of made-up points, a feed on it that is turned by hand, and what InfluxDB then has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from facility.reading import Readings
from facility.secret import Secret
from facility.site import Facility, Place, Point, Site
from historian.columns import field_columns
from historian.compare import FIELDS, Difference, Tallies, differences
from historian.feed import Feed
from historian.influx import Influx as Connection
from historian.judged import Row
from historian.progress import FILE, Progress
from historian.sender import Writes
from historian.target import Target
from ingest.journal.entries import CONFIGURATION, INGEST, ConfigurationBody, IngestBody, State, encode, gathered, ingest_body
from ingest.journal.journal import Journal, JournalReader
from ingest.series.series import Series, SeriesReader
from tests.support.influx import Influx

SITE = "flemingsberg"
SECOND_NS = 10**9
START = 1_763_700_000 * SECOND_NS


class Nothing:
    """Implements Judged: rules found nothing."""

    def excursions(self, after: int, limit: int) -> Sequence[Row]:
        return []

    def transitions(self, after: int, limit: int) -> Sequence[Row]:
        return []

    def newest(self) -> tuple[int, int]:
        return 0, 0


class Installed:
    """Implements Sources; `arrive` journals readings, and `at` is the time, int ns UTC."""

    def __init__(self, folder: Path, points: Sequence[str] = ("cp1.temp", "cp1.rh", "inc1.co2")) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.points, self.at = folder, list(points), START
        self.writer = Journal(folder / "journal.db", durable=False)
        self._written = Series(folder / "series.db")
        self.journal: JournalReader = self.writer.reader()
        self.judged: Any = Nothing()
        self._open = ExitStack()
        self._open.enter_context(closing(self.writer))
        self._open.enter_context(closing(self._written))
        self._open.enter_context(closing(self.journal))
        self.configure()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def configure(self) -> None:
        body = ConfigurationBody("hash", 1, {point: number for number, point in enumerate(self.points)}, {})
        self.writer.append(CONFIGURATION, encode(body), self.at)

    def facility_of(self, body: ConfigurationBody) -> Facility:
        points = tuple(Point(id=point, quantity="temperature", unit="degC", room="cp1", name=f'"{point}", ok') for point in body.points)
        return Facility(Site(SITE, "Site"), (Place("cp1", "Room", grade="B"),), points)

    def series(self) -> SeriesReader:
        return SeriesReader(self.folder / "series.db")

    def arrive(self, readings: Readings, at: int, states: Sequence[State] = ()) -> None:
        """Journal readings in one entry, received at `at`."""
        self.at = max(self.at, at)
        body = IngestBody(
            received=len(readings),
            duplicates=0,
            point=readings.point.astype("<u4").tobytes(),
            time=readings.time.astype("<i8").tobytes(),
            value=readings.value.astype("<f8").tobytes(),
            quality=readings.quality.tobytes(),
            sequence=b"",
            raw=[],
            states=list(states),
            quarantine=[],
        )
        self.writer.append(INGEST, encode(body), at, readings=len(readings))

    def write_series(self) -> None:
        """Write to the series what it does not have."""
        cursor = self._written.cursor()
        entries = list(self.journal.entries(cursor, kinds=(INGEST,)))
        if entries:
            self._written.write(gathered(entries, [ingest_body(entry) for entry in entries]), [], self.writer.head.seq)

    def stored(self) -> Readings:
        """Everything that is in the journal."""
        entries = list(self.journal.entries(kinds=(INGEST,)))
        return gathered(entries, [ingest_body(entry) for entry in entries]) if entries else Readings.empty()

    def feed(self, influx: Writes, now_ns: Callable[[], int] | None = None) -> Feed:
        """A feed that goes on where historian.db says."""
        progress = self._open.enter_context(closing(Progress(self.folder / FILE)))
        return Feed(self, influx, progress, "target", now_ns or (lambda: self.at))

    def refusals(self) -> list[tuple[str, str]]:
        with closing(Progress(self.folder / FILE, readonly=True)) as progress:
            return [(refusal.line, refusal.words) for refusal in progress.refusals()]

    def differences(self, influx: Influx) -> list[Difference]:
        """Between the journal and InfluxDB."""
        journal, there = Tallies(), Tallies()
        journal.add_readings(self.points, self.stored())
        with Connection(target_of(influx)) as connection:
            for name in FIELDS:
                for columns in field_columns(connection, SITE, name, START - 10**18, START + 10**18):
                    there.add_columns(name, columns)
        return differences(journal, there)


def readings_of(point: Any, time: Any, value: Any, quality: Any = 0, received: Any = START) -> Readings:
    """Columns from numbers and sequences."""
    point, time, value, quality, received = np.broadcast_arrays(point, time, value, quality, received)
    return Readings(
        point.astype(np.uint32),
        time.astype(np.int64),
        value.astype(np.float64),
        quality.astype(np.uint8),
        received.astype(np.int64),
        np.zeros(len(point), np.int64),
        np.full(len(point), -1),
    )


def target_of(influx: Influx, **others: Any) -> Target:
    return replace(Target(influx.url, influx.org, influx.bucket, Secret(influx.token)), **others)


def drain(feed: Feed) -> None:
    """Turn until there is nothing more."""
    while feed.turn():
        pass
