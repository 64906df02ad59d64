"""A day sealed: its entries and readings written as Parquet, read again and followed along the chain, then said in a manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from facility.problems import so_many
from facility.reading import Readings
from ingest.journal.entries import CONFIGURATION, INGEST, STEP, ConfigurationBody, decode, gathered, ingest_body
from ingest.journal.entry import Entry, Head, JournalUnavailable, chained
from ingest.journal.flaw import Progress, unwatched
from ingest.journal.reader import JournalReader
from ingest.journal.sealed import FORMAT, Kept, Manifest, SealedDay, SealedDays, entries_file, readings_file

SECOND_NS = 10**9
SLICE_BYTES, SLICE_ENTRIES = 16 << 20, 20_000
"""So much of entries makes a group of rows."""
SORTED_ROWS = 2_000_000
"""So many readings are sorted by point and time at once: 100 MB."""
GROUP_ROWS = 65_536
_ENTRIES = pa.schema(
    [
        ("seq", pa.int64()),
        ("kind", pa.dictionary(pa.int8(), pa.string())),
        ("at", pa.int64()),
        ("heard", pa.int64()),
        ("readings", pa.int64()),
        ("body", pa.binary()),
        ("hash", pa.binary(32)),
    ]
)
_READINGS = pa.schema(
    [
        ("number", pa.int64()),
        ("point", pa.dictionary(pa.int32(), pa.string())),
        ("time", pa.timestamp("ns", "UTC")),
        ("value", pa.float64()),
        ("quality", pa.uint8()),
        ("received", pa.timestamp("ns", "UTC")),
        ("heard", pa.int64()),
        ("sequence", pa.int64()),
    ]
)


class CannotSeal(Exception):
    """A day that cannot be sealed, and why: what is in the journal stays there."""


def day_of(at: int) -> date:
    """The day, UTC, of a time in ns."""
    return datetime.fromtimestamp(at // SECOND_NS, UTC).date()


def midnight(day: date) -> int:
    """When a day begins, UTC, int ns."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * SECOND_NS


def end_of_day(journal: JournalReader, first: int, newest_before: int) -> Entry | None:
    """The step with which a day ends that begins with entry `first`; `newest_before` is the newest entry before the next one.

    That is the last step with a time that no later reading has been received at; None where there is none.
    """
    step = journal.last(STEP, newest_before)
    while step is not None and step.seq >= first:
        following = next(journal.entries(step.seq, kinds=(INGEST,)), None)
        if following is None or following.at > step.at:
            return step
        step = journal.last(STEP, step.seq - 1)
    return None


def seal_day(
    journal: JournalReader,
    folder: Path,
    day: date,
    before: SealedDay | None,
    last: Entry,
    ids: Mapping[int, str],
    progress: Progress = unwatched,
) -> SealedDay:
    """Seal the entries after those of the day before up to `last`; raises CannotSeal, JournalUnavailable, OSError.

    The manifest is written last: without it there is no day, whatever files a kill left.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    name = day.isoformat()
    head = Head() if before is None else Head(before.manifest.last, 0, 0, bytes.fromhex(before.manifest.head))
    paths = {file: folder / f"{file}.new" for file in (entries_file(name), readings_file(name))}
    judging = [] if before is None else before.manifest.semantics[-1:]  # what was in force when the day began
    with _Writing(paths[entries_file(name)], paths[readings_file(name)], ids, judging) as writing:
        for entry in _followed(journal.entries(head.seq, last.seq), head):
            writing.add(entry)
            progress(entry.seq, last.seq)
    for file, path in paths.items():
        _durable(path)
        path.replace(folder / file)
    manifest = Manifest(
        format=FORMAT,
        day=name,
        first=head.seq + 1,
        last=last.seq,
        at=last.at,
        heard=last.heard,
        head=last.hash.hex(),
        before="" if before is None else before.sha256,
        entries=last.seq - head.seq,
        readings=writing.readings,
        measured=writing.measured,
        kinds=dict(sorted(writing.kinds.items())),
        semantics=sorted(writing.semantics),
        files={file: _kept(folder / file) for file in sorted(paths)},
    )
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    day_sealed = SealedDay(folder, manifest, hashlib.sha256(content).hexdigest())
    read_again(day_sealed, head)
    fresh = folder / f"{name}.json.new"
    fresh.write_bytes(content)
    fresh.chmod(0o600)
    _durable(fresh)
    fresh.replace(folder / f"{name}.json")
    _durable(folder)
    return day_sealed


def read_again(day: SealedDay, before: Head) -> None:
    """Read a day's entries from its file, and follow the chain to its head; and its readings, which must be those of the entries.

    Raises CannotSeal for what is not so.
    """
    manifest, head, held = day.manifest, before, 0
    try:
        for entry in _followed(SealedDays([day]).entries(before.seq, manifest.last), before):
            head = Head(entry.seq, entry.at, entry.heard, entry.hash)
            held += entry.readings
    except JournalUnavailable as error:
        raise CannotSeal(str(error)) from None
    if (head.seq, head.hash.hex()) != (manifest.last, manifest.head):
        raise CannotSeal(f"{entries_file(manifest.day)} ends with entry {head.seq}, not with {manifest.last}")
    with pq.ParquetFile(day.folder / readings_file(manifest.day)) as file:
        rows = file.metadata.num_rows
    if not rows == held == manifest.readings:
        raise CannotSeal(f"{readings_file(manifest.day)} has {so_many(rows, 'reading')}, its entries {held}")


def _followed(entries: Iterator[Entry], head: Head) -> Iterator[Entry]:
    """Entries, each of which must follow on the one before."""
    before, seq = head.hash, head.seq
    for entry in entries:
        seq += 1
        before = chained(before, seq, entry.kind, entry.at, entry.heard, entry.readings, entry.body)
        if entry.seq != seq or entry.hash != before:
            raise CannotSeal(f"entry {seq} does not follow on the one before it: `renrum verify` says what is wrong")
        yield entry


class _Writing:
    """The two files of a day on their way, in bounded memory."""

    def __init__(self, entries: Path, readings: Path, ids: Mapping[int, str], semantics: list[int]) -> None:
        self._paths, self._ids = (entries, readings), ids
        self._held: list[Entry] = []
        self._held_bytes = 0
        self._parts: list[Readings] = []
        self._rows = self.readings = 0
        self.kinds: dict[str, int] = {}
        self.semantics: set[int] = set(semantics)
        self.measured: tuple[int, int] | None = None

    def __enter__(self) -> _Writing:
        entries, readings = self._paths
        entries.unlink(missing_ok=True)
        readings.unlink(missing_ok=True)
        self._entries_file = pq.ParquetWriter(entries, _ENTRIES, compression="zstd", use_dictionary=["kind"])
        deltas = dict.fromkeys(("number", "time", "received", "heard", "sequence"), "DELTA_BINARY_PACKED")
        self._readings_file = pq.ParquetWriter(
            readings,
            _READINGS,
            compression="zstd",
            use_dictionary=["point", "quality"],
            use_byte_stream_split=["value"],
            column_encoding=deltas,
        )
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._write_entries()
            self._write_readings()
        self._entries_file.close()
        self._readings_file.close()

    def add(self, entry: Entry) -> None:
        self.kinds[entry.kind] = self.kinds.get(entry.kind, 0) + 1
        self._held.append(entry)
        self._held_bytes += len(entry.body)
        if entry.kind == CONFIGURATION:
            body = decode(entry)
            assert isinstance(body, ConfigurationBody)
            self.semantics.add(body.semantics)
        if len(self._held) >= SLICE_ENTRIES or self._held_bytes >= SLICE_BYTES:
            self._write_entries()

    def _write_entries(self) -> None:
        """A group of rows; of its readings so many are gathered as are sorted at once."""
        held, self._held, self._held_bytes = self._held, [], 0
        if not held:
            return
        columns = zip(*((e.seq, e.kind, e.at, e.heard, e.readings, e.body, e.hash) for e in held), strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, _ENTRIES, strict=True)]
        self._entries_file.write_table(pa.Table.from_arrays(arrays, schema=_ENTRIES), row_group_size=len(held))
        stored = [entry for entry in held if entry.kind == INGEST and entry.readings]
        if stored:
            self._parts.append(gathered(stored, [ingest_body(entry) for entry in stored]))
            self._rows += len(self._parts[-1])
        if self._rows >= SORTED_ROWS:
            self._write_readings()

    def _write_readings(self) -> None:
        readings = Readings.concatenate(self._parts)
        self._parts, self._rows = [], 0
        if not len(readings):
            return
        readings = readings.take(np.lexsort((readings.time, readings.point)))
        self.readings += len(readings)
        low, high = int(readings.time.min()), int(readings.time.max())
        self.measured = (low, high) if self.measured is None else (min(low, self.measured[0]), max(high, self.measured[1]))
        self._readings_file.write_table(self._table(readings), row_group_size=GROUP_ROWS)

    def _table(self, readings: Readings) -> Any:
        numbers, which = np.unique(readings.point, return_inverse=True)
        names = pa.array([self._ids.get(number, f"point number {number}") for number in numbers.tolist()])
        return pa.Table.from_arrays(
            [
                pa.array(readings.point.astype(np.int64)),
                pa.DictionaryArray.from_arrays(pa.array(which.astype(np.int32)), names),
                pa.array(readings.time).cast(pa.timestamp("ns", "UTC")),
                pa.array(readings.value),
                pa.array(readings.quality),
                pa.array(readings.received).cast(pa.timestamp("ns", "UTC")),
                pa.array(readings.heard),
                pa.array(readings.sequence),
            ],
            schema=_READINGS,
        )


def _kept(path: Path) -> Kept:
    with path.open("rb") as file:
        return Kept(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def next_day(day: date) -> date:
    return day + timedelta(days=1)
