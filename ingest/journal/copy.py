"""A copy of the journal on another disk: its entries as records in files that only grow.

A file is a head (format, hash before its first entry) and records: sizes and numbers, kind, body, hash. Nothing is ever written again, so
that any file system will do, also one over a network that goes away in the middle of a record: what is whole up to there is a prefix of the
journal, and its chain says so.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from facility.problems import so_many
from ingest.journal.flaw import Progress, unwatched
from ingest.journal.journal import GENESIS, Entry, Head, chained

FORMAT = b"renrum-journal-1"
FILE_BYTES = 64 << 20
"""A file that has become so large is not added to any more."""
_HEAD_BYTES = len(FORMAT) + len(GENESIS)
_RECORD = struct.Struct("<qqqqHI")
_NAME = re.compile(r"journal-\d{12}\.part")
_KIND_MAX, _BUFFER = 64, 1 << 20


class ChainBroken(Exception):
    """An entry does not follow from the one before it: it was altered, or it belongs to another journal."""


@dataclass(slots=True)
class CopyEnd:
    """How far a copy was read: the newest whole entry, how many readings up to it, its place, and what follows that is not whole."""

    head: Head = field(default_factory=Head)
    readings: int = 0
    file: Path | None = None
    offset: int = 0
    beyond: str = ""


def files_of(folder: Path) -> list[Path]:
    """The files of a copy in their order; OSError."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def read_copy(folder: Path, end: CopyEnd, progress: Progress = unwatched) -> Iterator[Entry]:
    """The entries of a copy, each checked against the chain, up to the first that is not whole; `end` says where that was. OSError."""
    files = files_of(folder)
    total = sum(path.stat().st_size for path in files)
    done = 0
    for path in files:
        yield from _read_file(path, end)
        if end.beyond:
            return
        done += path.stat().st_size
        progress(done, total)


class JournalCopy:
    """The one writer of a copy; opening it cuts off what is not whole at its end. Raises OSError, and is then opened afresh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: BinaryIO | None = None
        self.end = _end_of(folder)
        if self.end.file is not None:
            self._file = self.end.file.open("r+b")
            self._file.truncate(self.end.offset)
            self._file.seek(self.end.offset)

    @property
    def head(self) -> Head:
        """The newest entry that the copy has."""
        return self.end.head

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries that follow on the newest; they are durable when this returns. Raises ChainBroken at one that does not follow."""
        head, records = self.head, []
        try:
            for entry in entries:
                _check(entry, head)
                head = head_of(entry)
                records.append(_record(entry))
        finally:
            if records:  # also what stands before one that is broken
                self._write(records, head)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, records: list[bytes], head: Head) -> None:
        if self._file is None or self.end.offset >= FILE_BYTES:
            self._begin_file(self.head)
        assert self._file is not None
        data = b"".join(records)
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.end = CopyEnd(head, 0, self.end.file, self.end.offset + len(data))

    def _begin_file(self, head: Head) -> None:
        self.close()
        path = self.folder / f"journal-{head.seq + 1:012}.part"
        self._file = path.open("wb")
        self._file.write(FORMAT + head.hash)
        self.end = CopyEnd(head, 0, path, _HEAD_BYTES)


def _end_of(folder: Path) -> CopyEnd:
    """Where a copy ends, from its last file, whose word for what is before it is taken; a file without one whole entry is removed."""
    for path in reversed(files_of(folder)):
        before = Head(_first(path) - 1, 0, 0, _opening(path)[len(FORMAT) :])
        end = CopyEnd(before)
        for _ in _read_file(path, end):
            pass
        if end.head is not before:
            return end
        path.unlink()
    return CopyEnd()


def _read_file(path: Path, end: CopyEnd) -> Iterator[Entry]:
    """The whole entries of a file that follows on `end`, which moves along."""
    left = path.stat().st_size - _HEAD_BYTES
    with path.open("rb", buffering=_BUFFER) as file:
        end.file, end.offset = path, _HEAD_BYTES
        if file.read(_HEAD_BYTES) != FORMAT + end.head.hash or _first(path) != end.head.seq + 1:
            end.beyond = f"{path.name} does not follow on entry {end.head.seq}"
            return
        while left:
            entry = _read_record(file, left)
            if entry is None:
                end.beyond = f"{path.name}: no whole entry in the {so_many(left, 'byte')} after entry {end.head.seq}"
                return
            try:
                _check(entry, end.head)
            except ChainBroken as error:
                end.beyond = f"{path.name}: {error}"
                return
            size = _RECORD.size + len(entry.kind.encode()) + len(entry.body) + len(entry.hash)
            left, end.offset = left - size, end.offset + size
            end.head, end.readings = head_of(entry), end.readings + entry.readings
            yield entry


def _first(path: Path) -> int:
    return int(path.stem[-12:])


def _opening(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _read_record(file: BinaryIO, left: int) -> Entry | None:
    """The next record; None when fewer bytes than it claims are there."""
    numbers = file.read(_RECORD.size)
    if len(numbers) < _RECORD.size:
        return None
    seq, at, heard, readings, kind_bytes, body_bytes = _RECORD.unpack(numbers)
    if kind_bytes > _KIND_MAX or _RECORD.size + kind_bytes + body_bytes + len(GENESIS) > left:
        return None
    kind, body, stored = file.read(kind_bytes), file.read(body_bytes), file.read(len(GENESIS))
    return Entry(seq, kind.decode(errors="replace"), at, heard, readings, body, stored)


def _record(entry: Entry) -> bytes:
    kind = entry.kind.encode()
    numbers = _RECORD.pack(entry.seq, entry.at, entry.heard, entry.readings, len(kind), len(entry.body))
    return b"".join((numbers, kind, entry.body, entry.hash))


def _check(entry: Entry, head: Head) -> None:
    computed = chained(head.hash, entry.seq, entry.kind, entry.at, entry.heard, entry.readings, entry.body)
    if entry.seq != head.seq + 1 or computed != entry.hash:
        raise ChainBroken(
            f"entry {head.seq + 1} does not follow on the one before it: it was altered, is missing, or is of another journal"
        )


def head_of(entry: Entry) -> Head:
    """The head of a journal that ends with this entry."""
    return Head(entry.seq, entry.at, entry.heard, entry.hash)
