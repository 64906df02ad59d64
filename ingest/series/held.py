"""The readings of a recording until they are judged: in memory as long as they are not too many, then in a series on disk."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from ingest.series.series import Series, SeriesUnavailable

HELD_ROWS = 1 << 24
"""So many readings stay in memory, 16.8 million: 30 bytes each, half a gigabyte."""
WRITE_AT = 524_288
"""So many readings are gathered before they are written to the series: about 25 MB, and as much again while they are sorted."""
SMALL = 1 << 16

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Part:
    """Readings of one write by point and time; those of point n are the rows edges[n]:edges[n + 1].

    What need not be kept is not: `heard` is `received` less what `heard` counts from, `sequence` none.
    """

    edges: Ints
    time: Ints
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    received: Ints

    def rows(self, point: int) -> slice:
        return slice(int(self.edges[point]), int(self.edges[point + 1]))


_Piece = tuple[int, _Part, slice]
"""A point's rows of a part."""


class Held:
    """Gives back by point and time what was written in any order, each (point, time) once; `heard` counts from the first `received`.

    The file at `path` is made when the readings become too many for memory; sqlite3.Error or OSError when it cannot be.
    """

    def __init__(self, path: Path, points: int) -> None:
        self._path, self._points = path, points
        self._start = 0
        self._parts: list[_Part] = []
        self._low, self._high = np.empty(0, np.int64), np.empty(0, np.int64)
        self._rows = 0
        self._series: Series | None = None
        self._unwritten: list[Readings] = []
        self._writes = 0

    def write(self, readings: Readings) -> None:
        """Take up readings that have no sequence, and of which each was heard as long after the first of all as it was received."""
        if not len(readings):
            return
        if self._series is None and self._rows + len(readings) > HELD_ROWS:
            self._move()
        self._rows += len(readings)
        if self._series is not None:
            self._unwritten.append(readings)
            if sum(map(len, self._unwritten)) >= WRITE_AT:
                self._flush()
            return
        self._start = int(readings.received[0] - readings.heard[0])
        self._parts.append(part := _sorted(readings, self._points))
        self._low, self._high = np.append(self._low, part.time.min()), np.append(self._high, part.time.max())

    def read(self, point: int, start: int | None = None, end: int | None = None) -> Readings:
        """The readings of a point with start <= time < end (None: no bound), in time order."""
        if self._series is not None:
            self._flush()
            return self._series.read(point, start, end)
        near = np.ones(len(self._parts), np.bool_) if start is None else self._high >= start
        if end is not None:
            near &= self._low < end
        pieces: list[_Piece] = []
        for index in np.flatnonzero(near).tolist():
            part = self._parts[index]
            rows = part.rows(point)
            time = part.time[rows]
            first = 0 if start is None else int(np.searchsorted(time, start))
            last = len(time) if end is None else int(np.searchsorted(time, end))
            if first < last:
                pieces.append((point, part, slice(rows.start + first, rows.start + last)))
        return self._in_time(pieces)

    def first(self, point: int, count: int, start: int | None = None, end: int | None = None) -> Readings:
        """The first `count` of what `read` gives."""
        if self._series is not None:
            self._flush()
            return self._series.first(point, count, start, end)
        return self.read(point, start, end).take(slice(count))

    def in_order(self, rows: int, points: Collection[int] | None = None) -> Iterator[Readings]:
        """All readings, or those of some points, by point and time, in batches of some `rows`."""
        if self._series is not None:
            self._flush()
            yield from self._series.in_order(rows, points)
            return
        pieces: list[_Piece] = []
        held = 0
        for point in range(self._points) if points is None else sorted(points):
            mine = [(point, part, part.rows(point)) for part in self._parts if part.edges[point] < part.edges[point + 1]]
            if not _follow(mine):
                yield from ([self._joined(pieces)] if pieces else [])
                yield self._in_time(mine)
                pieces, held = [], 0
                continue
            for piece in mine:
                pieces.append(piece)
                held += piece[2].stop - piece[2].start
                if held >= rows:
                    yield self._joined(pieces)
                    pieces, held = [], 0
        if pieces:
            yield self._joined(pieces)

    def close(self) -> None:
        if self._series is not None:
            self._series.close()

    def _move(self) -> None:
        """From memory into a series."""
        self._series = Series(self._path)
        everything = [[(point, part, part.rows(point)) for point in range(self._points)] for part in self._parts]
        self._parts = []
        for pieces in everything:
            self._unwritten.append(self._joined(pieces))
            self._flush()

    def _flush(self) -> None:
        if self._unwritten and self._series is not None:
            self._writes += 1
            try:
                self._series.write(Readings.concatenate(self._unwritten), [], self._writes)
            except SeriesUnavailable as error:
                raise error.__cause__ or error from None
            self._unwritten = []

    def _in_time(self, pieces: list[_Piece]) -> Readings:
        """Pieces of one point as its readings in time order."""
        readings = self._joined(pieces)
        return readings if _follow(pieces) else readings.take(np.argsort(readings.time, kind="stable"))

    def _joined(self, pieces: list[_Piece]) -> Readings:
        if not pieces:
            return Readings.empty()
        point = np.repeat(np.array([number for number, *_ in pieces], np.uint32), [rows.stop - rows.start for *_, rows in pieces])
        time, value, quality, received = (
            np.concatenate([getattr(part, name)[rows] for _, part, rows in pieces]) for name in ("time", "value", "quality", "received")
        )
        return Readings(point, time, value, quality, received, received - self._start, np.broadcast_to(np.int64(-1), len(time)))


def _follow(pieces: list[_Piece]) -> bool:
    """Whether each piece of a point begins after the one before it."""
    return all(one.time[rows.stop - 1] < other.time[later.start] for (_, one, rows), (_, other, later) in pairwise(pieces))


def _sorted(readings: Readings, points: int) -> _Part:
    point, time = readings.point, readings.time
    # Numbers of 16 bits are sorted by counting.
    order = np.argsort(point.astype(np.uint16) if points <= SMALL else point, kind="stable")
    counts = np.bincount(point, minlength=points)
    edges = np.concatenate([[0], np.cumsum(counts)])
    in_time = time[order]
    falls = np.flatnonzero(in_time[1:] <= in_time[:-1]) + 1
    if not np.isin(falls, edges).all():
        order = np.lexsort((time, point))
        in_time = time[order]
    return _Part(edges, in_time, readings.value[order], readings.quality[order], readings.received[order])
