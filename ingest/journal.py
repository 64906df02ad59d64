"""The journal: an append-only, hash-chained table of typed entries. It is the truth; everything else is computed from it.

One entry is one row of `commits` and one durable transaction. Its hash covers the entry and the hash before it, so that nothing can be
changed, removed or reordered unseen; `sqlite_sequence` and the heads kept elsewhere show a removed end.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from ingest.page_digests import digests_file, record_all, record_logged

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
_COLUMNS = "seq, kind, at, heard, readings, body, hash"
_CHECKPOINT_PAGES = 1000
"""About so many pages in the log are copied to the file, as SQLite would by itself."""
_WRITER = int("{}{:03}{:03}".format(*sqlite3.sqlite_version_info))


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


class Journal:
    """The one writer of `journal.db`; any thread may append, entries are durable when `append` returns."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        self._durable = durable
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._beside: sqlite3.Connection | None = None
        self._logged_pages = 0
        self.head = Head()
        with self._lock:
            self._open()

    def append(self, kind: str, body: bytes, at: int, heard: int | None = None, readings: int = 0) -> Entry:
        """Append one entry; `at` and `heard` are raised to the newest entry's if they are below it.

        Raises JournalUnavailable when it is not durable (disk full, read-only, I/O error); the next call tries afresh.
        """
        with self._lock:
            if self._connection is None:
                self._open()
            assert self._connection is not None
            head = self.head
            seq, at = head.seq + 1, max(at, head.at)
            heard = head.heard if heard is None else max(heard, head.heard)
            entry = Entry(seq, kind, at, heard, readings, body, chained(head.hash, seq, kind, at, heard, readings, body))
            try:
                self._connection.execute("begin immediate")
                self._connection.execute(
                    f"insert into commits ({_COLUMNS}) values (?,?,?,?,?,?,?)", (seq, kind, at, heard, readings, body, entry.hash)
                )
                self._connection.execute("commit")
            except sqlite3.Error as error:
                self._close()
                raise JournalUnavailable(f"cannot write {self.path}: {error}") from error
            self.head = Head(seq, at, heard, entry.hash)
            self._logged_pages += 2 + len(body) // 4096
            if self._logged_pages >= _CHECKPOINT_PAGES:
                try:
                    self._checkpoint(self._connection)
                except (sqlite3.Error, OSError):  # the entry is durable; the next call tries afresh, and says what is wrong
                    self._close()
            return entry

    def checkpoint(self) -> None:
        """Copy the log into the file, as happens by itself from time to time; sqlite3.Error, OSError."""
        with self._lock:
            if self._connection is not None:
                self._checkpoint(self._connection)

    def extend(self, entries: Sequence[Entry]) -> None:
        """Append entries of another copy of this journal as they are, in one transaction; ValueError when they do not follow on the newest.

        Raises JournalUnavailable as `append` does.
        """
        with self._lock:
            if self._connection is None:
                self._open()
            assert self._connection is not None
            before, rows = self.head.hash, []
            for seq, entry in enumerate(entries, self.head.seq + 1):
                before = chained(before, seq, entry.kind, entry.at, entry.heard, entry.readings, entry.body)
                if before != entry.hash:
                    raise ValueError(f"entry {entry.seq} does not follow on entry {seq - 1} of {self.path}")
                rows.append((seq, entry.kind, entry.at, entry.heard, entry.readings, entry.body, before))
            try:
                self._connection.execute("begin immediate")
                self._connection.executemany(f"insert into commits ({_COLUMNS}) values (?,?,?,?,?,?,?)", rows)
                self._connection.execute("commit")
                self._checkpoint(self._connection)
            except (sqlite3.Error, OSError) as error:
                self._close()
                raise JournalUnavailable(f"cannot write {self.path}: {error}") from error
            if entries:
                self.head = Head(seq, entry.at, entry.heard, entry.hash)

    def reader(self) -> JournalReader:
        return JournalReader(self.path)

    def close(self) -> None:
        """Leave the file whole, without a write-ahead log beside it."""
        with self._lock:
            if self._connection is not None and self._beside is not None:
                with suppress(sqlite3.Error, OSError):
                    self._checkpoint(self._connection)
                    self._beside.close()  # so that nobody is beside, and SQLite removes the log
            self._close()

    def _open(self) -> None:
        try:
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10)
            self._connection = connection
            connection.execute("pragma auto_vacuum = none")
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma wal_autocheckpoint = 0")
            # While it is open, closing the other copies no page from the log that is not recorded then.
            self._beside = read_only(self.path)
            self._beside.execute("pragma user_version").fetchone()
            connection.execute(f"pragma synchronous = {'full' if self._durable else 'off'}")
            # Bytes without meaning are zero, so that verify can tell a changed byte anywhere.
            connection.execute("pragma secure_delete = on")
            self._checkpoint(connection)  # before anything is written: the log could start over
            if not connection.execute("select 1 from sqlite_schema where name = 'commits'").fetchone():
                connection.execute("begin immediate")
                connection.execute(SCHEMA)
                connection.execute(f"pragma user_version = {FORMAT}")
                connection.execute("commit")
            found = connection.execute("pragma user_version").fetchone()[0]
            if found != FORMAT:
                raise JournalUnavailable(f"{self.path} has format {found}, this version of Renrum reads format {FORMAT}")
            # The header names the SQLite that wrote last: verify compares it with this, the same number said by us.
            if connection.execute("pragma application_id").fetchone()[0] != _WRITER:
                connection.execute(f"pragma application_id = {_WRITER}")
            self._checkpoint(connection)
            row = connection.execute("select seq, at, heard, hash from commits order by seq desc limit 1").fetchone()
            self.head = Head(*row) if row else Head()
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise JournalUnavailable(f"cannot open {self.path}: {error}") from error

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Copy the log's pages to the file, and record what they are; where somebody reads old ones, the rest follows another time."""
        _, frames, copied = connection.execute("pragma wal_checkpoint(passive)").fetchone()
        self._logged_pages = 0
        if frames != copied or not connection.execute("pragma page_count").fetchone()[0]:
            return
        if not digests_file(self.path).exists():
            record_all(self.path, durable=self._durable)
        elif frames > 0:
            record_logged(self.path, frames, durable=self._durable)

    def _close(self) -> None:
        for connection in (self._connection, self._beside):
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
        self._connection = self._beside = None


class JournalReader:
    """Reads entries in slices, each its own short read transaction; of one thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._connection = read_only(path)
        except sqlite3.Error as error:
            raise JournalUnavailable(f"cannot open {path}: {error}") from error

    def entries(self, after: int = 0, upto: int | None = None, kinds: tuple[str, ...] = ()) -> Iterator[Entry]:
        """Entries with after < seq <= upto in order, of the given kinds (empty: all)."""
        last = upto if upto is not None else (1 << 62)
        where = f" and kind in ({','.join('?' * len(kinds))})" if kinds else ""
        while True:
            query = f"select {_COLUMNS} from commits where seq > ? and seq <= ?{where} order by seq limit 512"
            rows = self._slice(query, (after, last, *kinds))
            yield from (Entry(*row) for row in rows)
            if len(rows) < 512:
                return
            after = rows[-1][0]

    def entry(self, seq: int) -> Entry | None:
        """The entry with that number, if there is one."""
        return next(iter(self.entries(seq - 1, seq)), None)

    def last(self, kind: str, upto: int | None = None) -> Entry | None:
        """The newest entry of that kind up to a number."""
        last = upto if upto is not None else (1 << 62)
        rows = self._slice(f"select {_COLUMNS} from commits where kind = ? and seq <= ? order by seq desc limit 1", (kind, last))
        return Entry(*rows[0]) if rows else None

    def issued(self) -> int:
        """The highest number ever given out: above the newest entry's when the end was cut off."""
        rows = self._slice("select seq from sqlite_sequence where name = 'commits'", ())
        return int(rows[0][0]) if rows else 0

    def integrity(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty when nothing is."""
        with closing(self._connection.cursor()) as cursor:
            try:
                found = [str(row[0]) for row in cursor.execute("pragma integrity_check(10)")]
            except sqlite3.Error as error:
                return [str(error)]
        return [] if found == ["ok"] else found

    def close(self) -> None:
        self._connection.close()

    def _slice(self, query: str, values: tuple[object, ...]) -> list[tuple[int, str, int, int, int, bytes, bytes]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise JournalUnavailable(f"cannot read {self.path}: {error}") from error
