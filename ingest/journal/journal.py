"""The journal: an append-only, hash-chained table of typed entries. It is the truth; everything else is computed from it.

It lies in files that only grow (ingest/journal/files.py): a new one begins now and then, with an entry that records the hash before it.

One entry is one row of `commits` and one durable transaction. Its hash covers the entry and the hash before it, so that nothing can be
changed, removed or reordered unseen; `sqlite_sequence` and the heads kept elsewhere show a removed end.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

from ingest.journal.entry import COLUMNS, FORMAT, GENESIS, SCHEMA, Entry, Head, JournalUnavailable, chained, read_only
from ingest.journal.files import file_from, files_of, remove
from ingest.journal.page_digests import digests_file, record_all, record_logged
from ingest.journal.reader import HELD, JournalReader

_CHECKPOINT_PAGES = 1000
"""About so many pages in the log are copied to the file, as SQLite would by itself."""
_WRITER = int("{}{:03}{:03}".format(*sqlite3.sqlite_version_info))


class Journal:
    """The one writer of `journal.db`; any thread may append, entries are durable when `append` returns."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.path = path
        """The journal's name; `file` is the one of its files that is written."""
        self.file = path
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
            return self._append(kind, body, at, heard, readings)

    def begin_file(self, kind: str, body_of: Callable[[bytes], bytes], at: int) -> bool:
        """Go on in a new file, which begins with an entry that records the hash before it; False where that cannot be: the old one goes on.

        Raises JournalUnavailable when that cannot be opened again either. At a kill in between the new file is empty, and goes away at
        the next start.
        """
        with self._lock:
            if self._connection is None:
                self._open()
            old, head = self.file, self.head
            if not head.seq:
                return False
            self._leave()
            try:
                self._open(file_from(self.path, head.seq + 1), head)
                self._append(kind, body_of(head.hash), at, None, 0)
            except JournalUnavailable:
                self._close()
                begun = _holds(self.file)
                if not begun:  # the old one comes to have the entries that this one is named by
                    with suppress(OSError):
                        remove(self.file)
                self._open(None if begun else old)
                return self.file != old
        return True

    def _append(self, kind: str, body: bytes, at: int, heard: int | None, readings: int) -> Entry:
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
                f"insert into commits ({COLUMNS}) values (?,?,?,?,?,?,?)", (seq, kind, at, heard, readings, body, entry.hash)
            )
            self._connection.execute("commit")
        except sqlite3.Error as error:
            self._close()
            raise JournalUnavailable(f"cannot write {self.file}: {error}") from error
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
                self._connection.executemany(f"insert into commits ({COLUMNS}) values (?,?,?,?,?,?,?)", rows)
                self._connection.execute("commit")
                self._checkpoint(self._connection)
            except (sqlite3.Error, OSError) as error:
                self._close()
                raise JournalUnavailable(f"cannot write {self.file}: {error}") from error
            if entries:
                self.head = Head(seq, entry.at, entry.heard, entry.hash)

    def reader(self) -> JournalReader:
        return JournalReader(self.path)

    def close(self) -> None:
        """Leave the file whole, without a write-ahead log beside it."""
        with self._lock:
            self._leave()

    def _leave(self) -> None:
        if self._connection is not None and self._beside is not None:
            with suppress(sqlite3.Error, OSError):
                self._checkpoint(self._connection)
                self._beside.close()  # so that nobody is beside, and SQLite removes the log
        self._close()

    def _newest_file(self) -> Path:
        """The newest file that holds an entry; later ones, begun and left empty, go away."""
        for first, path in reversed(files_of(self.path)):
            if first == 1 or not _empty(path):
                return path
            remove(path)
        return self.path

    def _open(self, file: Path | None = None, head: Head | None = None) -> None:
        """Open a file to write, the newest unless given; `head` is that of the journal where the file is new."""
        try:
            self.file = file or self._newest_file()
            connection = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False, timeout=10)
            self._connection = connection
            connection.execute("pragma auto_vacuum = none")
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma wal_autocheckpoint = 0")
            # While it is open, closing the other copies no page from the log that is not recorded then.
            self._beside = read_only(self.file)
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
                raise JournalUnavailable(f"{self.file} has format {found}, this version of Renrum reads format {FORMAT}")
            # The header names the SQLite that wrote last: verify compares it with this, the same number said by us.
            if connection.execute("pragma application_id").fetchone()[0] != _WRITER:
                connection.execute(f"pragma application_id = {_WRITER}")
            self._checkpoint(connection)
            row = connection.execute("select seq, at, heard, hash from commits order by seq desc limit 1").fetchone()
            self.head = Head(*row) if row else head or Head()
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise JournalUnavailable(f"cannot open {self.file}: {error}") from error

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Copy the log's pages to the file, and record what they are; where somebody reads old ones, the rest follows another time."""
        _, frames, copied = connection.execute("pragma wal_checkpoint(passive)").fetchone()
        self._logged_pages = 0
        if frames != copied or not connection.execute("pragma page_count").fetchone()[0]:
            return
        if not digests_file(self.file).exists():
            record_all(self.file, durable=self._durable)
        elif frames > 0:
            record_logged(self.file, frames, durable=self._durable)

    def _close(self) -> None:
        for connection in (self._connection, self._beside):
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
        self._connection = self._beside = None


def _holds(path: Path) -> bool:
    """Whether a file was begun with an entry, though that was said to have failed."""
    try:
        return path.exists() and not _empty(path)
    except sqlite3.Error:
        return False


def _empty(path: Path) -> bool:
    """Whether a file holds no entry: it was begun, and nothing of that was committed.

    For the one who writes: what a kill left half done while the file was begun, SQLite undoes here.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)) as connection:
        if not connection.execute("select 1 from sqlite_schema where name = 'commits'").fetchone():
            return True
        return not connection.execute(HELD).fetchone()


__all__ = ["FORMAT", "GENESIS", "SCHEMA", "Entry", "Head", "Journal", "JournalReader", "JournalUnavailable", "chained", "read_only"]
