"""The digests of journal.db's tree pages as the last checkpoint left them.

With them verify can tell a changed byte where the file alone cannot say what it should be: in room that means nothing, and in pages under a
log. They lie in journal.db.pages, which only grows, by some 32 bytes for each tree page that a checkpoint copies: a record each of page
number, checksum of the record, digest; the last of a page counts. They are durable before the log whose pages they describe starts over.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ingest.journal.pages import HEADER, INTERIOR, LEAF
from ingest.journal.snapshot import FRAME_HEADER, WAL_HEADER, FilePages

_RECORD = struct.Struct(">II24s")


def digests_file(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.pages")


def digest(page: bytes) -> bytes:
    """The first 24 bytes of a page's SHA-256."""
    return hashlib.sha256(page).digest()[:24]


def record_logged(journal: Path, frames: int, *, durable: bool) -> None:
    """Record the tree pages among the log's first `frames`, all of which a checkpoint has just copied; OSError."""
    with journal.open("rb") as file, journal.with_name(f"{journal.name}-wal").open("rb") as log:
        pages = FilePages(file, journal.name)
        width = FRAME_HEADER + pages.size
        log.seek(WAL_HEADER)
        copied = np.frombuffer(log.read(frames * width), np.uint8).reshape(-1, width)
        numbers = copied[:, :4].copy().view(">u4")[:, 0]
        _append(digests_file(journal), _records(pages, sorted(set(numbers.tolist()))), durable)


def record_all(journal: Path, *, durable: bool) -> None:
    """Record every tree page of a file that nothing was recorded of yet; OSError."""
    path = digests_file(journal)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with journal.open("rb") as file:
        pages = FilePages(file, journal.name)
        _append(fresh, _records(pages, range(1, pages.count + 1)), durable)
    fresh.replace(path)


def recorded(journal: Path) -> dict[int, bytes]:
    """The digest that each recorded page has to have; empty where nothing was ever recorded."""
    try:
        data = digests_file(journal).read_bytes()
    except FileNotFoundError:
        return {}
    whole = data[: len(data) // _RECORD.size * _RECORD.size]
    return {number: content for number, check, content in _RECORD.iter_unpack(whole) if check == _check(number, content)}


def _records(pages: FilePages, numbers: Iterable[int]) -> bytes:
    """Of tree pages; what a page of a long record holds is in the chain's hashes, and such a page is written once."""
    records = bytearray()
    for number in numbers:
        page = pages.page(number)
        if page[HEADER if number == 1 else 0] in (INTERIOR, LEAF):
            content = digest(page)
            records += _RECORD.pack(number, _check(number, content), content)
    return bytes(records)


def _check(number: int, content: bytes) -> int:
    return zlib.crc32(content, number)


def _append(path: Path, records: bytes, durable: bool) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        end = size - size % _RECORD.size  # a crash may have left half a record
        view, at = memoryview(records), end
        while view:
            written = os.pwrite(descriptor, view, at)
            view, at = view[written:], at + written
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
