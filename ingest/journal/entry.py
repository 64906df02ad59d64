"""An entry of the journal, and how entries are chained."""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
GENESIS = bytes(32)
SCHEMA = """
create table commits (
    seq integer primary key autoincrement,
    kind text not null,
    at integer not null,
    heard integer not null,
    readings integer not null,
    body blob not null,
    hash blob not null
)
"""
COLUMNS = "seq, kind, at, heard, readings, body, hash"


class JournalUnavailable(Exception):
    """The journal could not be written or read: nothing of the call was stored, and it may be repeated."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: `at` int ns UTC, never decreasing; `heard` int ns of listening time, never decreasing; `readings` how many it stored."""

    seq: int
    kind: str
    at: int
    heard: int
    readings: int
    body: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry's place in the chain; seq 0 and GENESIS before the first."""

    seq: int = 0
    at: int = 0
    heard: int = 0
    hash: bytes = GENESIS


def chained(before: bytes, seq: int, kind: str, at: int, heard: int, readings: int, body: bytes) -> bytes:
    """SHA-256 over the hash before and every column of the entry."""
    digest = hashlib.sha256(before)
    digest.update(struct.pack("<qqqqH", seq, at, heard, readings, len(kind)))
    digest.update(kind.encode())
    digest.update(body)
    return digest.digest()


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that reads only, for one thread at a time; sqlite3.Error when there is no such file."""
    return sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
