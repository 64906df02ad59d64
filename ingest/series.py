"""Readings by point and time: a projection of the journal in parts of (point, hour), rebuildable, for look-ups, rewinds, trends and export.

Parts are written in bulk every few minutes; what came since lies in memory as the tail. One thread writes; others read by `reader()`.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings

HOUR_NS = 3600 * 10**9
NO_TIME = np.iinfo(np.int64).min
_SCHEMA = """
create table if not exists parts (point integer, hour integer, cursor integer, readings integer, body blob, primary key (point, hour, cursor)) without rowid;
create table if not exists states (place text, time integer, state text, cursor integer, primary key (place, time)) without rowid;
create table if not exists newest (point integer primary key, time integer);
create table if not exists progress (cursor integer);
"""
_WIDTHS = (("<i8", "time"), ("<f8", "value"), ("u1", "quality"), ("<i8", "received"), ("<i8", "heard"), ("<i8", "sequence"))


class SeriesUnavailable(Exception):
    """The series could not be written; what it lacks is still in the journal."""


class SeriesReader:
    """Reads stored parts; a connection of its own, for one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)

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
        return _ordered(Readings.concatenate([_decode(point, count, body) for count, body in rows]), start, end)

    def in_order(self, rows: int) -> Iterator[Readings]:
        """All written readings by point and time, in batches of some `rows`, cut between hours only."""
        parts: list[Readings] = []
        held, before = 0, None
        for point, hour, count, body in self._connection.execute("select point, hour, readings, body from parts order by point, hour, cursor"):
            if held >= rows and (point, hour) != before:
                yield _by_point_and_time(parts)
                parts, held = [], 0
            parts.append(_decode(point, count, body))
            held, before = held + count, (point, hour)
        if parts:
            yield _by_point_and_time(parts)

    def close(self) -> None:
        self._connection.close()


class Series(SeriesReader):
    """The one writer of `series.db`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("pragma journal_mode = wal")
        # A power cut may lose the last transactions but not tear the file; the cursor then says from where to write again.
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(_SCHEMA)

    def reader(self) -> SeriesReader:
        return SeriesReader(self.path)

    def write(self, readings: Readings, states: Iterable[tuple[str, int, str]], cursor: int) -> None:
        """Write what the journal stored up to entry `cursor` since the last call, in one transaction."""
        order = np.lexsort((readings.time, readings.point))
        readings = readings.take(order)
        hour = readings.time // HOUR_NS
        edges = np.flatnonzero((np.diff(readings.point) != 0) | (np.diff(hour) != 0)) + 1
        starts = np.concatenate([[0], edges]) if len(readings) else np.empty(0, np.int64)
        ends = np.append(starts[1:], len(readings))
        points, hours = readings.point[starts], hour[starts]
        parts = (
            (int(point), int(in_hour), cursor, int(end - start), _encode(readings, slice(int(start), int(end))))
            for point, in_hour, start, end in zip(points, hours, starts, ends, strict=True)
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


def _by_point_and_time(parts: list[Readings]) -> Readings:
    readings = Readings.concatenate(parts)
    return readings.take(np.lexsort((readings.time, readings.point)))


def _encode(readings: Readings, rows: slice) -> bytes:
    return zlib.compress(b"".join(getattr(readings, name)[rows].astype(width).tobytes() for width, name in _WIDTHS), 1)


def _decode(point: int, count: int, body: bytes) -> Readings:
    data = zlib.decompress(body)
    columns, offset = [], 0
    for width, _ in _WIDTHS:
        columns.append(np.frombuffer(data, width, count, offset))
        offset += columns[-1].nbytes
    time, value, quality, received, heard, sequence = columns
    return Readings(np.full(count, point, np.uint32), time, value, quality, received, heard, sequence)
