"""historian.db: how far InfluxDB has what the journal has, and what it refused. Without it all is written again, to the same effect."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.journal.journal import read_only

FILE = "historian.db"
_SCHEMA = """
create table if not exists progress (key text primary key, value) without rowid;
create table if not exists refusals (id integer primary key, at integer, line text unique, words text);
"""


class ProgressUnavailable(Exception):
    """historian.db cannot be read or written: which, why."""


class ProgressDamaged(ProgressUnavailable):
    """historian.db is no database any more; what it said is found out again by writing all once more."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that InfluxDB does not take, whole, with its words; `at` int ns UTC when it last said so."""

    at: int
    line: str
    words: str


class Progress:
    """Opened by the feed for writing, by others `readonly`; of one thread."""

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self._path = path
        try:
            if readonly:
                self._connection = read_only(path)
                self._connection.execute("select 1 from progress")
                return
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._connection.execute("pragma journal_mode = wal")
            # A power cut may lose the last commits but not tear the file; what they said is then written to InfluxDB once more.
            self._connection.execute("pragma synchronous = normal")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise _unavailable(f"cannot open {path}", error) from error

    def all(self) -> dict[str, Any]:
        """Every number and text kept, by name."""
        return dict(self._rows("select key, value from progress"))

    def save(self, values: Mapping[str, object]) -> None:
        """Keep these, all or none."""
        self._in_one("insert or replace into progress values (?, ?)", values.items())

    def begin(self, target: str) -> None:
        """From the start, for another bucket or another journal."""
        self._in_one("delete from progress", [()])
        self.save({"target": target})

    def refuse(self, refusals: Iterable[Refusal]) -> None:
        """Keep what was refused; a line that is refused again stands once."""
        rows = [(refusal.at, refusal.line, refusal.words) for refusal in refusals]
        again = "on conflict (line) do update set at = excluded.at, words = excluded.words"
        self._in_one(f"insert into refusals (at, line, words) values (?, ?, ?) {again}", rows)

    def refusals(self) -> list[Refusal]:
        """All of them, the oldest first."""
        return [Refusal(*row) for row in self._rows("select at, line, words from refusals order by id")]

    def refused(self) -> int:
        return int(self._rows("select count(*) from refusals")[0][0])

    def forget(self) -> int:
        """Empty the list of refusals; how many there were."""
        count = self.refused()
        self._in_one("delete from refusals", [()])
        return count

    def close(self) -> None:
        self._connection.close()

    def _rows(self, query: str) -> list[Any]:
        try:
            return self._connection.execute(query).fetchall()
        except sqlite3.Error as error:
            raise _unavailable(f"cannot read {self._path}", error) from error

    def _in_one(self, statement: str, rows: Iterable[Any]) -> None:
        try:
            self._connection.execute("begin immediate")
            self._connection.executemany(statement, rows)
            self._connection.execute("commit")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise _unavailable(f"cannot write {self._path}", error) from error


def _unavailable(what: str, error: sqlite3.Error) -> ProgressUnavailable:
    # the bare class is how SQLite speaks of the file's content; its sub-classes are the disk, a lock, or a fault of ours
    kind = ProgressDamaged if type(error) is sqlite3.DatabaseError else ProgressUnavailable
    return kind(f"{what}: {error}")
