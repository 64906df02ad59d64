"""Sealed days: entries of the journal and the readings in them as Parquet, with a manifest for each day, chained to the day before.

Of a day (of arrival, UTC) there are DAY.entries.parquet, DAY.readings.parquet and DAY.json, which names both by their hash. A day ends
with its last step, and no reading after that has the step's time, so that `received` alone tells on which side a reading is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from facility.reading import Readings
from ingest.journal.entry import Entry, JournalUnavailable

FOLDER = "sealed"
FORMAT = 1


class Kept(msgspec.Struct, frozen=True):
    """A file of a sealed day: its size, and the SHA-256 of its bytes in hex."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a sealed day is: entries `first` to `last`, a step of the time `at` with the hash `head`; times int ns UTC, hashes in hex.

    `before` is the hash of the manifest before, empty for the first; `measured` are the earliest and the latest time of a reading, `kinds`
    how many entries there are of each kind, `semantics` the numbers of the meaning (docs/rules.md) that judged.
    """

    format: int
    day: str
    first: int
    last: int
    at: int
    heard: int
    head: str
    before: str
    entries: int
    readings: int
    measured: tuple[int, int] | None
    kinds: dict[str, int]
    semantics: list[int]
    files: dict[str, Kept]


def entries_file(day: str) -> str:
    return f"{day}.entries.parquet"


def readings_file(day: str) -> str:
    return f"{day}.readings.parquet"


@dataclass(frozen=True, slots=True)
class SealedDay:
    """A manifest, the folder that it lies in, and the hash of its file."""

    folder: Path
    manifest: Manifest
    sha256: str


def sealed_days(folder: Path) -> list[SealedDay]:
    """The days that have a manifest, in order; JournalUnavailable for one that cannot be read."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = path.read_bytes()
            manifest = msgspec.json.decode(content, type=Manifest)
        except (OSError, msgspec.DecodeError) as error:
            raise JournalUnavailable(f"cannot read {path}: {error}") from error
        found.append(SealedDay(folder, manifest, hashlib.sha256(content).hexdigest()))
    return sorted(found, key=lambda day: day.manifest.first)


@dataclass(slots=True)
class SealedDays:
    """Reads what is sealed; for one thread at a time."""

    days: list[SealedDay] = field(default_factory=list)

    @classmethod
    def beside(cls, journal: Path) -> Self:
        """The days beside a journal, as they are now."""
        return cls(sealed_days(journal.parent / FOLDER))

    def entries(self, after: int, upto: int, kinds: tuple[str, ...] = ()) -> Iterator[Entry]:
        """Entries with after < seq <= upto in order, of the given kinds (empty: all); JournalUnavailable where one is in no day."""
        position = after
        for day in self.days:
            manifest = day.manifest
            if manifest.last <= position or manifest.first > upto:
                continue
            if manifest.first > position + 1:
                break
            if not kinds or any(manifest.kinds.get(kind) for kind in kinds):
                yield from _entries_of(day, position, min(upto, manifest.last), kinds)
            position = manifest.last
        if position < upto:
            folder = self.days[0].folder if self.days else FOLDER
            raise JournalUnavailable(f"entries {position + 1} to {upto} are in no file of the journal and in no day of {folder}")

    def last(self, kind: str, upto: int) -> Entry | None:
        """The newest entry of a kind up to a number."""
        for day in reversed(self.days):
            if day.manifest.first <= upto and day.manifest.kinds.get(kind):
                found = list(_entries_of(day, 0, upto, (kind,)))
                if found:
                    return found[-1]
        return None

    def read(self, point: int, start: int | None, end: int | None, upto: int) -> Readings:
        """The readings of a point number with start <= time < end (None: no bound) of the days up to entry `upto`, in any order."""
        found = []
        for day in self.days:
            measured = day.manifest.measured
            if measured is None or day.manifest.first > upto or not _overlaps(*measured, start, end):
                continue
            found += list(_readings_of(day, point, start, end))
        return Readings.concatenate(found)

    def first(self, point: int, count: int, start: int | None, end: int | None, upto: int) -> Readings:
        """As `read`, at least the first `count` in time; days that begin after those are not looked into."""
        times = ((day.manifest.measured, day) for day in self.days if day.manifest.first <= upto)
        begun = sorted(((measured, day) for measured, day in times if measured is not None), key=lambda pair: pair[0])
        found: list[Readings] = []
        for measured, day in begun:
            if not _overlaps(*measured, start, end):
                continue
            if sum(int(np.count_nonzero(readings.time < measured[0])) for readings in found) >= count:
                break
            found += list(_readings_of(day, point, start, end))
        return Readings.concatenate(found)

    def read_all(self, points: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64], upto: int) -> Readings:
        """As `read` of many point numbers (ascending), of each with its start <= time < its end."""
        found: list[Readings] = []
        if not len(points):
            return Readings.empty()
        for day in self.days:
            measured = day.manifest.measured
            if measured is None or day.manifest.first > upto or not _overlaps(*measured, int(start.min()), int(end.max())):
                continue
            for readings in _groups_of(day, int(points[0]), int(points[-1])):
                place = np.minimum(np.searchsorted(points, readings.point), len(points) - 1)
                chosen = (points[place] == readings.point) & (readings.time >= start[place]) & (readings.time < end[place])
                found.append(readings.take(chosen))
        return Readings.concatenate(found)

    def all_readings(self, upto: int) -> Iterator[Readings]:
        """Every reading of the days up to entry `upto`, in batches."""
        for day in self.days:
            if day.manifest.first <= upto:
                with pq.ParquetFile(day.folder / readings_file(day.manifest.day)) as file:
                    for number in range(file.num_row_groups):
                        yield readings_from(file.read_row_group(number))


def _overlaps(low: int, high: int, start: int | None, end: int | None) -> bool:
    return (end is None or low < end) and (start is None or high >= start)


def _entries_of(day: SealedDay, after: int, upto: int, kinds: tuple[str, ...]) -> Iterator[Entry]:
    path = day.folder / entries_file(day.manifest.day)
    try:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                numbers = file.metadata.row_group(number).column(0).statistics
                if numbers.max <= after or numbers.min > upto:
                    continue
                if kinds and not pc.any(pc.is_in(file.read_row_group(number, ["kind"])["kind"].cast(pa.string()), pa.array(kinds))).as_py():
                    continue
                yield from _rows(file.read_row_group(number), after, upto, kinds)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise JournalUnavailable(f"cannot read {path}: {error}") from error


def _rows(table: Any, after: int, upto: int, kinds: tuple[str, ...]) -> Iterator[Entry]:
    chosen = pc.and_(pc.greater(table["seq"], after), pc.less_equal(table["seq"], upto))
    if kinds:
        chosen = pc.and_(chosen, pc.is_in(table["kind"].cast(pa.string()), pa.array(kinds)))
    columns = table.filter(chosen)
    names = ("seq", "kind", "at", "heard", "readings", "body", "hash")
    for row in zip(*(columns[name].to_pylist() for name in names), strict=True):
        yield Entry(*row)


def _readings_of(day: SealedDay, point: int, start: int | None, end: int | None) -> Iterator[Readings]:
    for readings in _groups_of(day, point, point):
        chosen = readings.point == point
        if start is not None:
            chosen &= readings.time >= start
        if end is not None:
            chosen &= readings.time < end
        yield readings.take(chosen)


def _groups_of(day: SealedDay, first: int, last: int) -> Iterator[Readings]:
    """The groups of rows that may hold readings of point numbers from `first` to `last`."""
    path = day.folder / readings_file(day.manifest.day)
    try:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                points = file.metadata.row_group(number).column(0).statistics
                if points.max >= first and points.min <= last:
                    yield readings_from(file.read_row_group(number))
    except (OSError, pa.ArrowException) as error:
        raise JournalUnavailable(f"cannot read {path}: {error}") from error


def readings_from(table: Any) -> Readings:
    """The readings of a table as they are sealed."""

    def column(name: str, dtype: Any) -> Any:
        values = table[name]
        return np.ascontiguousarray((values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values).to_numpy(), dtype)

    return Readings(
        point=column("number", np.uint32),
        time=column("time", np.int64),
        value=column("value", np.float64),
        quality=column("quality", np.uint8),
        received=column("received", np.int64),
        heard=column("heard", np.int64),
        sequence=column("sequence", np.int64),
    )
