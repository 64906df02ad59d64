"""`state.db`: what is computed from the journal, committed step by step. It can be thrown away and computed again."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from alerts.record.duty_tables import TABLES
from ingest.journal.journal import read_only
from rules.excursion import CURRENT, Excursion

FORMAT = 5
"""Of the tables, and of what stands in them encoded (alerts/judging/checkpoint.py)."""
_EXCURSION = [f.name for f in fields(Excursion)]
_NAMED = ", ".join(f'"{name}"' for name in _EXCURSION)
_SCHEMA = f"""
create table meta (key text primary key, value) without rowid;
create table excursions ({_NAMED}, primary key (id, revision)) without rowid;
create index excursions_by_point on excursions (point, status, onset);
create index excursions_by_onset on excursions (onset);
create table alarms (
    id text primary key, excursion text, rule text, point text, level text, priority text, state text, late integer,
    raised_at integer, returned_at integer, acknowledged_at integer, acknowledged_by text, comment text,
    risen_at integer, realarm_at integer, retold integer, shelved_until integer, shelved_at integer, shelved_by text,
    shelved_reason text, shelved_signed integer, suppressed text, out_until integer, "group" text
) without rowid;
create index alarms_by_state on alarms (state);
create index alarms_by_group on alarms ("group", raised_at);
create table alarm_groups (
    id text primary key, kind text, about text, name text, begun integer, until integer, due integer, priority text, told integer
) without rowid;
create index alarm_groups_open on alarm_groups (kind, about, until);
create index alarm_groups_due on alarm_groups (due) where due is not null;
create table annunciations (at integer, rule text, point text, raised integer, again integer);
create index annunciations_by_point on annunciations (rule, point);
create index annunciations_by_time on annunciations (at);
create index alarms_shelved on alarms (shelved_until, rule, point) where shelved_until is not null;
create index alarms_acknowledged on alarms (realarm_at) where realarm_at is not null;
create table outages (
    point text, since integer, until integer, "by" text, reason text, returned_by text, over integer, primary key (point, since)
) without rowid;
create table stays (place text primary key, since integer, until integer, state text, before text) without rowid;
create table members (excursion text primary key, alarm text, rule text, point text, priority text) without rowid;
create index members_by_point on members (rule, point);
create table stood (audit integer primary key, level text, priority text);
create index members_by_alarm on members (alarm);
create table audit (
    seq integer primary key, at integer, actor text, action text, object text, old text, new text, reason text, entry integer, hash blob
);
create table remarks (
    entry integer primary key, at integer, excursion text, actor text, action text, cause text, impact text, disposition text,
    deviation text, comment text, meaning text, digest text, revision integer, state text
);
create index remarks_by_excursion on remarks (excursion, entry);
create table reviews (entry integer primary key, at integer, row integer, actor text, comment text, meaning text, digest text);
create index audit_by_object on audit (object, seq);
create table outbox (
    id integer primary key, page_id text, alarm text, target text, page text, queued_at integer, attempts integer, next_try integer,
    tried_at integer, sent_at integer, permanent integer, detail text, unique (page_id, target)
);
create index outbox_waiting on outbox (target) where sent_at is null;
create table deaths (point integer, at integer, primary key (point, at)) without rowid;
{TABLES}"""
_TALLIES = "create index if not exists outbox_by_target on outbox (target, sent_at, attempts, queued_at)"
"""So that what went to each target is counted without a look at the pages; a file of an earlier version gets it too."""
_TOLD = "create index if not exists audit_by_action on audit (action, at)"
"""So that key figures are read from what was told, not from the whole trail; a file of an earlier version gets it too."""
_WRITTEN = (
    "create table excursions_written (seq integer primary key autoincrement, id text, revision integer, unique (id, revision))",
    "insert into excursions_written (id, revision) select id, revision from excursions order by onset, id, revision",
    "create trigger excursions_write after insert on excursions begin"
    " insert or replace into excursions_written (id, revision) values (new.id, new.revision); end",
)
"""Which rows of `excursions` changed, in which order: what follows them need not look at all. A file of an earlier version gets it too."""


class StateUnavailable(Exception):
    """`state.db` could not be read or written; what the step did is computed again from the journal."""


class StateOfOtherFormat(StateUnavailable):
    """The file was written by another version; `older` when this one came after it."""

    def __init__(self, path: Path | str, found: object) -> None:
        super().__init__(
            f"{path} has format {found}, this version reads format {FORMAT}. Use the version that wrote it, or, while the service is"
            " stopped, move it away: it is computed again from the journal"
        )
        self.older = isinstance(found, int) and found < FORMAT


class StateStore:
    """A connection to state.db; exactly one thread writes, each reading thread has a `reader()` of its own.

    Raises StateUnavailable; StateOfOtherFormat, and leaves the file as it is, when it cannot know what the columns mean.
    """

    def __init__(self, path: Path | str, *, readonly: bool = False, durable: bool = True) -> None:
        self.path = path
        try:
            if readonly:
                self._connection = read_only(Path(path))
                self._check_format()
                return
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            begun = self._connection.execute("select 1 from sqlite_schema where name = 'meta'").fetchone()
            if begun:
                self._check_format()
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute(f"pragma synchronous = {'full' if durable else 'off'}")
            if not begun:
                with self.transaction():
                    for statement in _SCHEMA.split(";\n"):
                        self._connection.execute(statement)
                    self.put("format", FORMAT)
            elif self.get("format") != FORMAT:
                raise StateUnavailable(
                    f"{path} has format {self.get('format')}, this version writes format {FORMAT}. Move state.db away: it is computed again"
                    " from the journal"
                )
            self._connection.execute(_TALLIES)
            self._connection.execute(_TOLD)
            if not self._connection.execute("select 1 from sqlite_schema where name = 'excursions_written'").fetchone():
                with self.transaction():
                    for statement in _WRITTEN:
                        self._connection.execute(statement)
        except sqlite3.Error as error:
            raise StateUnavailable(f"cannot open {path}: {error}") from error

    def _check_format(self) -> None:
        try:
            found = self.get("format")
        except StateUnavailable:
            self.close()
            raise
        if found != FORMAT:
            self.close()
            raise StateOfOtherFormat(self.path, found)

    def reader(self) -> StateStore:
        return StateStore(self.path, readonly=True)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; raises StateUnavailable when it could not be made durable."""
        try:
            self._connection.execute("begin immediate")
            yield
            self._connection.execute("commit")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise StateUnavailable(f"cannot write {self.path}: {error}") from error
        except BaseException:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows of a query; raises StateUnavailable."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StateUnavailable(f"cannot read {self.path}: {error}") from error

    def get(self, key: str, default: Any = None) -> Any:
        rows = self.rows("select value from meta where key = ?", (key,))
        return rows[0][0] if rows else default

    def put(self, key: str, value: object) -> None:
        self._connection.execute("insert or replace into meta values (?, ?)", (key, value))

    def close(self) -> None:
        self._connection.close()

    # Pages

    def queue(self, id: str, alarm: str, target: str, page: str, at: int) -> None:
        """Have a page (JSON, as alerts.pages encodes it) delivered to a target; a page is queued once for each."""
        values = (id, alarm, target, page, at)
        self._connection.execute("insert or ignore into outbox values (null,?,?,?,?,?,0,0,0,null,0,'')", values)

    def waiting_for_others(self, channels: Collection[str]) -> dict[str, int]:
        """How many pages wait for targets that are none of the channels, by target: nobody would deliver them."""
        rows = self.rows("select target, count(*) from outbox where sent_at is null group by target order by target")
        return {target: count for target, count in rows if target not in channels}

    # Sources

    def deaths(self) -> list[tuple[int, int]]:
        """When the sources of points died (point number, int ns UTC): each time, or the newest for points that did not report on change."""
        return self.rows("select point, at from deaths order by point, at")

    def died(self, points: Sequence[int], at: int, only: Collection[int]) -> None:
        """Note a death; for the points in `only` it is the newest that counts."""
        self._connection.executemany("delete from deaths where point = ?", [(point,) for point in points if point in only])
        self._connection.executemany("insert or ignore into deaths values (?,?)", [(point, at) for point in points])

    # Excursions

    def current(self, point: str, since: int | None) -> list[Excursion]:
        """Current excursions of a point with onset > since (None: all), by onset."""
        after = -(1 << 63) if since is None else since
        return self.excursions("point = ? and status = ? and onset > ?", (point, CURRENT, after))

    def uncleared(self, point: str, by: int) -> list[Excursion]:
        """Current excursions of a point that were not cleared by a moment, by onset."""
        return self.excursions("point = ? and status = ? and (cleared is null or cleared > ?)", (point, CURRENT, by))

    def excursions(self, where: str = "1", values: Sequence[object] = ()) -> list[Excursion]:
        """Excursions sorted by onset, rule, point, revision."""
        rows = self.rows(f"select {_NAMED} from excursions where {where} order by onset, rule, point, revision", values)
        return [replace(row, late=bool(row.late)) for row in (Excursion(*columns) for columns in rows)]

    def write_excursion(self, excursion: Excursion) -> None:
        """Insert the row or replace the one with its id and revision."""
        marks = ",".join("?" * len(_EXCURSION))
        values = [getattr(excursion, name) for name in _EXCURSION]
        self._connection.execute(f"insert or replace into excursions ({_NAMED}) values ({marks})", values)
