"""The journal read: entries of its files and, before those, of the days that are sealed, as one row of numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.journal.entry import COLUMNS, Entry, JournalUnavailable, read_only
from ingest.journal.files import files_of

if TYPE_CHECKING:
    from ingest.journal.sealed import SealedDays

_END = 1 << 62
HELD = "select 1 from commits union all select 1 from sqlite_sequence limit 1"
"""A row where there is an entry, or was one that somebody removed."""
_ROWS = 512


@dataclass(frozen=True, slots=True)
class _File:
    """An open file; `last` is the number of its last entry, _END for the newest."""

    first: int
    last: int
    path: Path
    connection: sqlite3.Connection


class JournalReader:
    """Reads entries in slices, each its own short read transaction; of one thread.

    Files that begin meanwhile are found; of one that goes away because it is sealed the days that have its entries are.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: list[_File] = []
        self._look()
        if not self._files:
            raise JournalUnavailable(f"cannot open {path}: there is no such file")

    def entries(self, after: int = 0, upto: int | None = None, kinds: tuple[str, ...] = ()) -> Iterator[Entry]:
        """Entries with after < seq <= upto in order, of the given kinds (empty: all)."""
        last = upto if upto is not None else _END
        where = f" and kind in ({','.join('?' * len(kinds))})" if kinds else ""
        query = f"select {COLUMNS} from commits where seq > ? and seq <= ?{where} order by seq limit {_ROWS}"
        while after < last:
            file = self._holding(after + 1)
            if file is None:
                end = min(last, self._files[0].first - 1)
                yield from self._sealed(after, end, kinds)
                after = end
                continue
            rows = self._slice(file, query, (after, min(last, file.last), *kinds))
            yield from (Entry(*row) for row in rows)
            if len(rows) == _ROWS:
                after = rows[-1][0]
            elif file.last < _END:
                after = file.last
            elif self._look():
                after = rows[-1][0] if rows else after  # it is not the newest any more: what came to it last may be missing
            else:
                return

    def entry(self, seq: int) -> Entry | None:
        """The entry with that number, if there is one."""
        return next(iter(self.entries(seq - 1, seq)), None)

    @property
    def held_after(self) -> int:
        """The entry after which those are that lie in the files of the journal: others are in sealed days alone."""
        self._look()
        return self._files[0].first - 1

    def last(self, kind: str, upto: int | None = None) -> Entry | None:
        """The newest entry of that kind up to a number."""
        self._look()
        last = upto if upto is not None else _END
        for file in reversed(self._files):
            query = f"select {COLUMNS} from commits where kind = ? and seq <= ? order by seq desc limit 1"
            if rows := self._slice(file, query, (kind, last)):
                return Entry(*rows[0])
        if self._files[0].first == 1:
            return None
        return self._days().last(kind, min(last, self._files[0].first - 1))

    def issued(self) -> int:
        """The highest number ever given out: above the newest entry's when the end was cut off."""
        self._look()
        rows = self._slice(self._files[-1], "select seq from sqlite_sequence where name = 'commits'", ())
        return int(rows[0][0]) if rows else 0

    def close(self) -> None:
        for file in self._files:
            file.connection.close()

    def _holding(self, seq: int) -> _File | None:
        """The file that an entry is in, or comes to; None for the sealed days."""
        return next((file for file in reversed(self._files) if file.first <= seq), None)

    def _look(self) -> bool:
        """Look which files there are; True when a newer one has begun."""
        known = {file.path: file.connection for file in self._files}
        newest = self._files[-1].path if self._files else None
        try:
            there = files_of(self.path)
            if [path for _, path in there] == list(known):
                return False
            opened = [(first, path, known[path] if path in known else _opened(path, first)) for first, path in there]
        except (OSError, sqlite3.Error) as error:
            raise JournalUnavailable(f"cannot open {self.path}: {error}") from error
        held = [(first, path, connection) for first, path, connection in opened if connection is not None]
        ends = [first - 1 for first, _, _ in held[1:]] + [_END]
        for path, connection in known.items():
            if path not in {path for _, path, _ in held}:
                connection.close()
        self._files = [_File(first, end, path, connection) for (first, path, connection), end in zip(held, ends, strict=True)]
        return bool(self._files) and self._files[-1].path != newest

    def _days(self) -> SealedDays:
        from ingest.journal.sealed import SealedDays  # its library takes a while to load

        return SealedDays.beside(self.path)

    def _sealed(self, after: int, upto: int, kinds: tuple[str, ...]) -> Iterator[Entry]:
        return self._days().entries(after, upto, kinds)

    def _slice(self, file: _File, query: str, values: tuple[object, ...]) -> list[tuple[int, str, int, int, int, bytes, bytes]]:
        try:
            return file.connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise JournalUnavailable(f"cannot read {file.path}: {error}") from error


def holds_nothing(path: Path, first: int) -> bool:
    """Whether a kill left a file, named by its first entry, before that entry was in it; False for one that cannot be read."""
    try:
        connection = _opened(path, first)
    except sqlite3.Error:
        return False
    if connection is not None:
        connection.close()
    return connection is None


def last_of(path: Path) -> int:
    """The number of the last entry in a file, 0 for none: it may have more than the name of the next one says; JournalUnavailable."""
    try:
        with closing(read_only(path)) as connection:
            return connection.execute("select coalesce(max(seq), 0) from commits").fetchone()[0]  # type: ignore[no-any-return]
    except sqlite3.Error as error:
        raise JournalUnavailable(f"cannot read {path}: {error}") from error


@contextmanager
def _begun_only() -> Iterator[None]:
    """Of a file that is being begun, or was when the writer was killed: no table yet, or not yet a file of ours (a rollback is due)."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY_ROLLBACK):
            raise


def _opened(path: Path, first: int) -> sqlite3.Connection | None:
    """A connection to a file; None for one that has just begun and holds nothing yet, or went away."""
    try:
        connection = read_only(path)
        if first == 1:
            return connection
        with _begun_only():
            if connection.execute(HELD).fetchone():
                return connection
    except sqlite3.OperationalError:
        if path.exists():
            raise
        return None
    connection.close()
    return None
