"""Readings by point and time: a projection of the journal in parts of (point, hour), rebuildable, for look-ups, rewinds, trends and export.

Parts are written in bulk every few minutes; what came since lies in memory as the tail. One thread writes; others read by `reader()`.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from ingest.journal.entry import read_only
from ingest.series.measured import Measured

if TYPE_CHECKING:
    from ingest.journal.sealed import SealedDays

HOUR_NS = 3600 * 10**9
NO_TIME = np.iinfo(np.int64).min
# A table with rowid: bodies are appended and only the index is spread, so that a write takes no longer after years than at first.
_SCHEMA = """
create table if not exists parts (
    point integer, hour integer, cursor integer, readings integer, body blob, primary key (point, hour, cursor)
);
create table if not exists states (place text, time integer, state text, cursor integer, primary key (place, time)) without rowid;
create table if not exists newest (point integer primary key, time integer);
create table if not exists progress (cursor integer);
create table if not exists sealed (upto integer);
"""
_WIDTHS = (("<i8", "time"), ("<f8", "value"), ("u1", "quality"), ("<i8", "received"), ("<i8", "heard"), ("<i8", "sequence"))
_PART = "select rowid, point, hour, readings, body from parts"
_READING_BYTES = sum(np.dtype(width).itemsize for width, _ in _WIDTHS)
PACKED_FROM_BYTES = 4096
"""From so many bytes on a part is compressed: 100 readings. Below, it saves little, and 10,000 points would wait for it at every write."""


class SeriesUnavailable(Exception):
    """The series could not be written; what it lacks is still in the journal."""


class SeriesReader:
    """Reads stored parts, and sealed days of what has left them; a connection of its own, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = read_only(path)
        self._days: SealedDays | None = None

    def sealed_upto(self) -> int:
        """The journal entry up to which readings are in the sealed days, whether or not in parts, too; 0 for none."""
        try:
            row = self._connection.execute("select upto from sealed").fetchone()
        except sqlite3.OperationalError:  # a file of an earlier version
            return 0
        return int(row[0]) if row else 0

    def sealed_before(self) -> int:
        """The time from which on no reading is in a sealed day alone (int ns UTC)."""
        upto = self.sealed_upto()
        days = (day.manifest for day in self._sealed(upto).days if day.manifest.first <= upto) if upto else ()
        return max((day.measured[1] + 1 for day in days if day.measured is not None), default=NO_TIME)

    def hold(self) -> None:
        """See the file as it is now until it is closed, whatever is written meanwhile; its log grows so long."""
        self._connection.execute("begin")
        self.cursor()

    def cursor(self) -> int:
        """The journal entry up to which parts are written."""
        row = self._connection.execute("select cursor from progress").fetchone()
        return int(row[0]) if row else 0

    def size(self) -> int:
        """One more than the highest point number that has readings."""
        row = self._connection.execute("select max(point) from newest").fetchone()
        return 0 if row[0] is None else int(row[0]) + 1

    def newest(self, size: int) -> NDArray[np.int64]:
        """The newest stored time of each point number below `size`; NO_TIME where there is none."""
        newest = np.full(size, NO_TIME)
        for point, time in self._connection.execute("select point, time from newest where point < ?", (size,)):
            newest[point] = time
        return newest

    def states(self) -> dict[str, list[tuple[int, str]]]:
        """All states by place, in time order."""
        states: dict[str, list[tuple[int, str]]] = {}
        for place, time, state in self._connection.execute("select place, time, state from states order by place, time"):
            states.setdefault(place, []).append((time, state))
        return states

    def read(self, point: int, start: int | None = None, end: int | None = None) -> Readings:
        """The written readings of a point with start <= time < end (None: no bound), in time order."""
        first = -(1 << 62) if start is None else start // HOUR_NS
        last = (1 << 62) if end is None else -(-end // HOUR_NS)
        rows = self._connection.execute(
            "select readings, body from parts where point = ? and hour >= ? and hour < ? order by hour, cursor", (point, first, last)
        )
        written = _ordered(_decode_all(point, rows.fetchall()), start, end)
        return self._with_sealed(written, point, start, end)

    def _with_sealed(self, written: Readings, point: int, start: int | None, end: int | None) -> Readings:
        """What was written, and what the sealed days have beside: no two readings of a point have one time."""
        upto = self.sealed_upto()
        if not upto:
            return written
        both = Readings.concatenate([written, self._sealed(upto).read(point, start, end, upto)])
        return both.take(np.unique(both.time, return_index=True)[1])

    def _sealed(self, upto: int) -> SealedDays:
        from ingest.journal.sealed import SealedDays  # its library takes a while to load

        if self._days is None or not self._days.days or self._days.days[-1].manifest.last < upto:
            self._days = SealedDays.beside(self.path)
        return self._days

    def read_all(self, points: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> Readings:
        """The written readings of many points, of each with its start <= time < its end, point by point in any order of time."""
        parts: list[Readings] = []
        for point, first, last in zip(points.tolist(), start.tolist(), end.tolist(), strict=True):
            rows = self._connection.execute(
                "select readings, body from parts where point = ? and hour >= ? and hour < ?",
                (point, first // HOUR_NS, -(-last // HOUR_NS)),
            ).fetchall()
            if rows:
                read = _decode_all(point, rows)
                parts.append(read.take((read.time >= first) & (read.time < last)))
        written = Readings.concatenate(parts)
        upto = self.sealed_upto()
        if not upto:
            return written
        both = Readings.concatenate([written, self._sealed(upto).read_all(points, start, end, upto)])
        both = both.take(np.lexsort((both.time, both.point)))
        return both.take(np.append(True, (np.diff(both.time) != 0) | (np.diff(both.point) != 0))[: len(both)])

    def in_order(self, rows: int, points: Collection[int] | None = None) -> Iterator[Readings]:
        """All written readings, or those of some points, by point and time, in batches of some `rows`, cut between hours only.

        Of a series of its own: not of one that readings have left.
        """
        points_of: list[int] = []
        parts: list[tuple[int, bytes]] = []
        held, before = 0, None
        chosen = "" if points is None else f"where point in ({','.join(map(str, map(int, points)))})"
        stored = self._connection.execute(f"select point, hour, readings, body from parts {chosen} order by point, hour, cursor")
        for point, hour, count, body in stored:
            if held >= rows and (point, hour) != before:
                yield _by_point_and_time(_decode_parts(points_of, parts))
                points_of, parts, held = [], [], 0
            points_of.append(point)
            parts.append((count, body))
            held, before = held + count, (point, hour)
        if parts:
            yield _by_point_and_time(_decode_parts(points_of, parts))

    def first(self, point: int, count: int, start: int | None = None, end: int | None = None) -> Readings:
        """The first `count` of what `read` gives; the rest is not decoded."""
        written, upto = self._first_written(point, count, start, end), self.sealed_upto()
        if not upto:
            return written
        both = Readings.concatenate([written, self._sealed(upto).first(point, count, start, end, upto)])
        return both.take(np.unique(both.time, return_index=True)[1][:count])

    def _first_written(self, point: int, count: int, start: int | None, end: int | None) -> Readings:
        first = -(1 << 62) if start is None else start // HOUR_NS
        last = (1 << 62) if end is None else -(-end // HOUR_NS)
        parts: list[Readings] = []
        found, before = 0, None
        with closing(
            self._connection.execute(
                "select hour, readings, body from parts where point = ? and hour >= ? and hour < ? order by hour, cursor",
                (point, first, last),
            )
        ) as rows:
            for hour, readings, body in rows:
                if found >= count and hour != before:
                    break
                parts.append(_ordered(_decode(point, readings, body), start, end))
                found, before = found + len(parts[-1]), hour
        return _ordered(Readings.concatenate(parts), None, None).take(slice(count))

    def last(self) -> Readings:
        """The newest written reading of each point, one row a point."""
        found = []
        for point, time in self._connection.execute("select point, time from newest").fetchall():
            rows = self._connection.execute(
                "select readings, body from parts where point = ? and hour = ? order by cursor desc", (point, time // HOUR_NS)
            )
            with closing(rows):
                # Nearly always in the part that was written last; after `take_back` it may be in a sealed day alone.
                parts = (_decode(point, readings, body) for readings, body in rows)
                part = next((part for part in parts if time in part.time), None)
            part = self.read(point, time, time + 1) if part is None else part
            found.append(part.take(part.time == time))
        return Readings.concatenate(found)

    def measured(self, point: int, start: int, end: int, cursor: int) -> Measured:
        """What parts written up to entry `cursor` have of a point with start <= time < end; sealed days are not looked into."""
        rows = self._connection.execute(
            "select readings, body from parts where point = ? and hour >= ? and hour < ? and cursor <= ? order by hour, cursor",
            (point, start // HOUR_NS, -(-end // HOUR_NS), cursor),
        )
        return Measured.unpacked(rows.fetchall(), _READING_BYTES).within(start, end)

    def parts(self, upto: int, after: int = 0) -> Iterator[Readings]:
        """What was written up to journal entry `upto`, in writes that ended after entry `after`, in any order; for proofs.

        Slices are read transactions of their own.
        Raises ValueError for a part that holds readings of another hour than its own.
        """
        for rows in self._some(after, upto) if after else self._all(upto):
            slice_ = [(hour, _decode(point, count, body)) for _, point, hour, count, body in rows]
            for hour, part in slice_:
                if (part.time // HOUR_NS != hour).any():
                    raise ValueError(f"a part of point number {part.point[0]} and hour {hour} holds readings of another hour")
            yield Readings.concatenate([part for _, part in slice_])

    def _all(self, upto: int) -> Iterator[list[Any]]:
        query, last = f"{_PART} where rowid > ? and cursor <= ? order by rowid limit 256", 0
        while rows := self._connection.execute(query, (last, upto)).fetchall():
            yield rows
            last = rows[-1][0]

    def _some(self, after: int, upto: int) -> Iterator[list[Any]]:
        """Found by the index alone, so that old parts are not looked at."""
        found = self._connection.execute("select rowid from parts where cursor > ? and cursor <= ?", (after, upto))
        numbers = sorted(row[0] for row in found)
        for start in range(0, len(numbers), 256):
            chosen = numbers[start : start + 256]
            yield self._connection.execute(f"{_PART} where rowid in ({','.join('?' * len(chosen))})", chosen).fetchall()

    def states_upto(self, cursor: int) -> dict[tuple[str, int], str]:
        """The states written up to a journal entry, by place and time."""
        rows = self._connection.execute("select place, time, state from states where cursor <= ?", (cursor,))
        return {(place, time): state for place, time, state in rows}

    def beyond(self) -> bool:
        """Whether parts or states are there of entries after the cursor, which no write leaves behind."""
        newest = "select max(cursor) from (select cursor from parts union all select cursor from states)"
        return bool(self._connection.execute(f"select coalesce(({newest}), 0) > coalesce((select cursor from progress), 0)").fetchone()[0])

    def close(self) -> None:
        self._connection.close()


class Series(SeriesReader):
    """The one writer of `series.db`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._days = None
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("pragma journal_mode = wal")
        # A power cut may lose the last transactions but not tear the file; the cursor then says from where to write again.
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(_SCHEMA)

    def reader(self) -> SeriesReader:
        return SeriesReader(self.path)

    def let_go(self, upto: int, some: int = 200) -> int:
        """Remove a few of the parts of entries up to `upto`, which are sealed; how many, 0 when none is left. Raises SeriesUnavailable.

        The hour of each point's newest reading stays.
        """
        query = (
            "select p.rowid from parts p left join newest n on n.point = p.point"
            f" where p.cursor <= ? and n.time not between p.hour * {HOUR_NS} and p.hour * {HOUR_NS} + {HOUR_NS - 1} limit ?"
        )
        try:
            self._connection.execute("begin immediate")
            if self.sealed_upto() < upto:
                self._connection.execute("delete from sealed")
                self._connection.execute("insert into sealed values (?)", (upto,))
            rows = self._connection.execute(query, (upto, some)).fetchall()
            self._connection.executemany("delete from parts where rowid = ?", rows)
            self._connection.execute("commit")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise SeriesUnavailable(f"cannot write {self.path}: {error}") from error
        return len(rows)

    def take_back(self, upto: int) -> None:
        """Forget what was written of entries after `upto`, so that it can be written again; a write that reaches beyond goes whole.

        Entry `upto` must not be before what is sealed. Raises SeriesUnavailable.
        """
        begun = "select max(cursor) from (select cursor from parts union all select cursor from states) where cursor <= ?"
        try:
            self._connection.execute("begin immediate")
            cursor = max(self._connection.execute(begun, (upto,)).fetchone()[0] or 0, self.sealed_upto())
            points = [row[0] for row in self._connection.execute("select distinct point from parts where cursor > ?", (cursor,))]
            self._connection.execute("delete from parts where cursor > ?", (cursor,))
            self._connection.execute("delete from states where cursor > ?", (cursor,))
            self._connection.execute("delete from progress")
            self._connection.execute("insert into progress values (?)", (cursor,))
            sealed = self.sealed_before()
            for point in points:
                self._connection.execute("delete from newest where point = ?", (point,))
                if (newest := self._newest_of(point, sealed)) != NO_TIME:
                    self._connection.execute("insert into newest values (?, ?)", (point, newest))
            self._connection.execute("commit")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise SeriesUnavailable(f"cannot write {self.path}: {error}") from error

    def _newest_of(self, point: int, sealed: int) -> int:
        """The newest time of a point, NO_TIME for none; before `sealed` it may be in a sealed day alone."""
        rows = self._connection.execute(
            "select readings, body from parts where point = ? and hour = (select max(hour) from parts where point = ?)", (point, point)
        ).fetchall()
        newest = int(_decode_all(point, rows).time.max(initial=NO_TIME))
        return newest if newest >= sealed else int(self.read(point).time.max(initial=NO_TIME))

    def write(self, readings: Readings, states: Iterable[tuple[str, int, str]], cursor: int) -> None:
        """Write what the journal stored up to entry `cursor` since the last call, in one transaction."""
        order = np.lexsort((readings.time, readings.point))
        readings = readings.take(order)
        hour = readings.time // HOUR_NS
        edges = np.flatnonzero((np.diff(readings.point) != 0) | (np.diff(hour) != 0)) + 1
        starts = np.concatenate([[0], edges]) if len(readings) else np.empty(0, np.int64)
        ends = np.append(starts[1:], len(readings))[: len(starts)]
        columns = [(getattr(readings, name).astype(width).tobytes(), np.dtype(width).itemsize) for width, name in _WIDTHS]
        parts = (
            (point, in_hour, cursor, end - start, _encode(columns, start, end))
            for point, in_hour, start, end in zip(
                readings.point[starts].tolist(), hour[starts].tolist(), starts.tolist(), ends.tolist(), strict=True
            )
        )
        last = np.append(np.flatnonzero(np.diff(readings.point)), len(readings) - 1) if len(readings) else starts
        try:
            self._connection.execute("begin immediate")
            self._connection.executemany("insert or replace into parts values (?,?,?,?,?)", parts)
            self._connection.executemany(
                "insert into newest values (?, ?) on conflict (point) do update set time = max(time, excluded.time)",
                zip(readings.point[last].tolist(), readings.time[last].tolist(), strict=True),
            )
            self._connection.executemany("insert or ignore into states values (?,?,?,?)", ((*state, cursor) for state in states))
            self._connection.execute("delete from progress")
            self._connection.execute("insert into progress values (?)", (cursor,))
            self._connection.execute("commit")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise SeriesUnavailable(f"cannot write {self.path}: {error}") from error


def _ordered(readings: Readings, start: int | None, end: int | None) -> Readings:
    if start is not None or end is not None:
        inside = np.ones(len(readings), np.bool_)
        if start is not None:
            inside &= readings.time >= start
        if end is not None:
            inside &= readings.time < end
        readings = readings.take(inside)
    return readings.take(np.argsort(readings.time, kind="stable"))


def _by_point_and_time(readings: Readings) -> Readings:
    return readings.take(np.lexsort((readings.time, readings.point)))


def _encode(columns: list[tuple[bytes, int]], start: int, end: int) -> bytes:
    """The columns of a part one after the other; compressed where that is worth its time, then it is shorter."""
    plain = b"".join(column[start * width : end * width] for column, width in columns)
    packed = plain if len(plain) < PACKED_FROM_BYTES else zlib.compress(plain, 1)
    return packed if len(packed) < len(plain) else plain


def _decode(point: int, count: int, body: bytes) -> Readings:
    return _decode_all(point, [(count, body)])


def _decode_all(point: int, parts: list[tuple[int, bytes]]) -> Readings:
    return _decode_parts([point] * len(parts), parts)


def _decode_parts(points: list[int], parts: list[tuple[int, bytes]]) -> Readings:
    """The readings of parts, each of its point, one after the other; column by column, for there may be thousands of small ones."""
    plain = [(count, body if len(body) == count * _READING_BYTES else zlib.decompress(body)) for count, body in parts]
    for point, (count, data) in zip(points, plain, strict=True):
        if len(data) != count * _READING_BYTES:
            raise ValueError(f"a part of point number {point} has another length than its readings")
    columns, offset = [], 0
    for width, _ in _WIDTHS:
        end = offset + np.dtype(width).itemsize
        columns.append(np.frombuffer(b"".join(data[offset * count : end * count] for count, data in plain), width))
        offset = end
    time, value, quality, received, heard, sequence = columns
    point_of = np.repeat(np.array(points, np.uint32), [count for count, _ in parts])
    return Readings(point_of, time, value, quality, received, heard, sequence)
