"""The pages of a database as its newest commit has them: from the write-ahead log where they are there, else from the file."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ingest.journal.flaw import Flaw, Flaws

WAL_HEADER, FRAME_HEADER = 32, 24
_MAGIC_LITTLE, _MAGIC_BIG, _WAL_FORMAT = 0x377F0682, 0x377F0683, 3007000


class FilePages:
    """The pages of the database file alone, as of its last checkpoint."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self._descriptor = file.fileno()
        self.bytes = os.fstat(self._descriptor).st_size
        size = int.from_bytes(os.pread(self._descriptor, 2, 16), "big")
        self.size = 65536 if size == 1 else size
        if self.size < 512 or self.size & (self.size - 1):
            self.size = 4096
        self.count = self.bytes // self.size

    def page(self, number: int) -> bytes:
        return os.pread(self._descriptor, self.size, (number - 1) * self.size).ljust(self.size, b"\0")

    def place(self, number: int) -> tuple[str, int]:
        """The file that holds a page, and the page's offset in it."""
        return self.name, (number - 1) * self.size


@dataclass(frozen=True, slots=True)
class Log:
    """A write-ahead log's committed pages: the offsets of the newest and of all images of each; the pages that the database then has."""

    newest: dict[int, int]
    images: dict[int, list[int]]
    count: int
    frames: int


class LoggedPages:
    """The file's pages with the committed pages of its write-ahead log over them."""

    def __init__(self, file: FilePages, log_file: BinaryIO, log: Log) -> None:
        self.file, self.log = file, log
        self.size = file.size
        self.count = log.count
        self._descriptor = log_file.fileno()

    def page(self, number: int) -> bytes:
        at = self.log.newest.get(number)
        return self.file.page(number) if at is None else self.image(at)

    def place(self, number: int) -> tuple[str, int]:
        at = self.log.newest.get(number)
        return self.file.place(number) if at is None else (f"{self.file.name}-wal", at)

    def image(self, at: int) -> bytes:
        return os.pread(self._descriptor, self.size, at)


def read_log(path: Path, file: BinaryIO, page_size: int, flaws: Flaws) -> Log | None:
    """The committed part of a write-ahead log; None when it holds nothing.

    A crash may leave one unfinished commit at its end. More commits behind a frame that is not as its checksum says are a flaw: they were
    durable, and SQLite does not see them any more.
    """
    log, broken, beyond = _parsed(file, page_size)
    if beyond > 1:
        # A log that is being written looks broken for a moment: only what a second look finds too is.
        again = _parsed(file, page_size)
        if again[1] == broken and again[2] > 1:
            what = f"this frame of the log is not as its checksum says, and hides {beyond} commits behind it"
            flaws.add(Flaw(what, file=path.name, offset=broken))
    return log if log.frames else None


def _parsed(file: BinaryIO, page_size: int) -> tuple[Log, int, int]:
    """The log's committed pages, where its valid frames end, and how many commits of the same generation stand behind."""
    log = Log({}, {}, 0, 0)
    file.seek(0)
    header = file.read(WAL_HEADER)
    if len(header) < WAL_HEADER:
        return log, 0, 0
    magic, version, size, _, salts, *stored = struct.unpack(">IIII8sII", header)
    order = "<" if magic == _MAGIC_LITTLE else ">"
    sums = _checksum(order, (0, 0), header[:24])
    if magic not in (_MAGIC_LITTLE, _MAGIC_BIG) or version != _WAL_FORMAT or size != page_size or sums != tuple(stored):
        return log, 0, _commits_with(file, None, page_size)
    newest, images, count, frames = dict[int, int](), dict[int, list[int]](), 0, 0
    pending: list[tuple[int, int]] = []
    at = WAL_HEADER
    while len(head := file.read(FRAME_HEADER)) == FRAME_HEADER:
        content = file.read(page_size)
        number, after, frame_salts, *stored = struct.unpack(">II8sII", head)
        if len(content) < page_size or frame_salts != salts:
            file.seek(at)
            break
        sums = _checksum(order, _checksum(order, sums, head[:8]), content)
        if sums != tuple(stored):
            file.seek(at)
            break
        pending.append((number, at + FRAME_HEADER))
        if after:
            for page, offset in pending:
                newest[page] = offset
                images.setdefault(page, []).append(offset)
            count, frames, pending = after, frames + len(pending), []
        at += FRAME_HEADER + page_size
    return Log(newest, images, count, frames), at, _commits_with(file, salts, page_size)


def _commits_with(file: BinaryIO, salts: bytes | None, page_size: int) -> int:
    """How many commits of a generation stand from here on; without its salts, of the one that most have."""
    commits: dict[bytes, int] = {}
    while len(head := file.read(FRAME_HEADER)) == FRAME_HEADER and len(file.read(page_size)) == page_size:
        if head[4:8] != b"\0\0\0\0":
            commits[head[8:16]] = commits.get(head[8:16], 0) + 1
    return max(commits.values(), default=0) if salts is None else commits.get(salts, 0)


def _checksum(order: str, sums: tuple[int, int], data: bytes) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
