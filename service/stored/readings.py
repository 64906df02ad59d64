"""All stored readings and room states as other threads than the steps' see them: the series, and the tail that it does not have."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from ingest.journal.entries import INGEST, ingest_body
from ingest.journal.journal import Entry, JournalReader
from ingest.series.measured import Measured
from ingest.series.series import HOUR_NS, SeriesReader
from service.stored.readers import Readers

SLICE_ROWS = 65_536
"""So many readings of a point are given at a time."""
LOOK_NS = 3 * 24 * HOUR_NS
LOOK_ROWS = 262_144
"""So long a time, and of sealed days so many readings, are looked at at a time."""
SLICE = 4096
"""So many entries are decoded at once."""
_NO_SEQUENCE = b"\xff" * 8


@dataclass(frozen=True, slots=True)
class _Piece:
    """Readings of the tail in order of arrival, and the journal entry of each."""

    seq: NDArray[np.int64]
    readings: Readings

    def __len__(self) -> int:
        return len(self.seq)

    def after(self, cursor: int) -> _Piece:
        kept = self.seq > cursor
        return self if kept.all() else _Piece(self.seq[kept], self.readings.take(kept))


class StoredReadings:
    """The tail is decoded once and kept: a look-up costs what came since the last one. Any thread may ask."""

    def __init__(self, series: Readers[SeriesReader], journal: Readers[JournalReader]) -> None:
        self._series, self._journal = series, journal
        self._lock = threading.Lock()
        self._pieces: list[_Piece] = []
        self._written = self._upto = -1
        self._states: dict[tuple[str, int], str] = {}
        self._by_place: Mapping[str, list[tuple[int, str]]] = {}

    def first(self, point: int, count: int, start: int | None = None, end: int | None = None) -> Readings:
        """The first `count` readings of a point number with start <= time < end (None: no bound), in time order."""
        with self._series.borrowed() as series:
            cursor = series.cursor()
            written = series.first(point, count, start, end)
        with self._lock:
            self._catch_up(cursor)
            pieces = list(self._pieces)
        found = [written]
        for piece in pieces:
            chosen = piece.readings.point == point
            if start is not None:
                chosen &= piece.readings.time >= start
            if end is not None:
                chosen &= piece.readings.time < end
            if chosen.any():
                found.append(piece.readings.take(chosen))
        both = Readings.concatenate(found)
        # What was written to the series after its cursor was read stands in both; no two readings of a point have one time.
        _, unique = np.unique(both.time, return_index=True)
        return both.take(unique[:count])

    def measured(self, point: int, start: int, end: int) -> Iterator[Measured]:
        """What was measured of a point with start <= time < end, some days at a time and each time once."""
        with self._series.borrowed() as series:
            cursor, sealed = series.cursor(), min(end, max(start, series.sealed_before()))
        while start < sealed and len(readings := self.first(point, LOOK_ROWS, start, sealed)):
            yield Measured.of(readings)
            start = int(readings.time[-1]) + 1
        for first in range(max(start, sealed), end, LOOK_NS):
            with self._series.borrowed() as series:
                yield series.measured(point, first, min(first + LOOK_NS, end), cursor)
        with self._lock:
            self._catch_up(cursor)
            pieces = [piece.after(cursor) for piece in self._pieces]
        for piece in pieces:
            own = piece.readings.take(np.flatnonzero(piece.readings.point == point))
            yield Measured.of(own.take(np.argsort(own.time))).within(max(start, sealed), end)

    def slices(self, point: int, start: int | None = None) -> Iterator[Readings]:
        """All readings of a point number from `start` on in time order, SLICE_ROWS at a time."""
        while len(readings := self.first(point, SLICE_ROWS, start)):
            yield readings
            start = int(readings.time[-1]) + 1

    def newest(self) -> Readings:
        """Readings among which is the newest of each point."""
        with self._series.borrowed() as series:
            cursor, last = series.cursor(), series.last()
        with self._lock:
            self._catch_up(cursor)
            return Readings.concatenate([last, *(piece.readings for piece in self._pieces)])

    def states(self) -> Mapping[str, list[tuple[int, str]]]:
        """All room states by place, as (time, state); the same object as long as none is added."""
        with self._series.borrowed() as series:
            cursor = series.cursor()
        with self._lock:
            self._catch_up(cursor)
            return self._by_place

    def _catch_up(self, cursor: int) -> None:
        """Make the tail what lies after `cursor`, the end of the series, up to the end of the journal."""
        if cursor > self._upto or cursor < self._written:
            self._pieces, self._upto = [], cursor
            with self._series.borrowed() as series:
                written = series.states()
            self._add_states((place, time, state) for place, states in written.items() for time, state in states)
        elif cursor > self._written:
            self._pieces = [piece for piece in (piece.after(cursor) for piece in self._pieces) if len(piece)]
        self._written = cursor
        with self._journal.borrowed() as journal:
            entries = journal.entries(self._upto, kinds=(INGEST,))
            while some := list(islice(entries, SLICE)):
                self._decode(some)
                self._upto = some[-1].seq

    def _decode(self, entries: list[Entry]) -> None:
        bodies = [ingest_body(entry) for entry in entries]
        self._add_states((state.place, state.time, state.state) for body in bodies for state in body.states)
        counts = np.array([entry.readings for entry in entries])
        seq, received, heard = np.repeat(np.array([(entry.seq, entry.at, entry.heard) for entry in entries]).T, counts, axis=1)
        if not len(seq):
            return
        sequences = (body.sequence or _NO_SEQUENCE * entry.readings for entry, body in zip(entries, bodies, strict=True))
        readings = Readings(
            point=np.frombuffer(b"".join(body.point for body in bodies), "<u4"),
            time=np.frombuffer(b"".join(body.time for body in bodies), "<i8"),
            value=np.frombuffer(b"".join(body.value for body in bodies), "<f8"),
            quality=np.frombuffer(b"".join(body.quality for body in bodies), "u1"),
            received=received,
            heard=heard,
            sequence=np.frombuffer(b"".join(sequences), "<i8"),
        )
        self._pieces.append(_Piece(seq, readings))
        # Few pieces, and each reading copied a few times only: two of like length become one.
        while len(self._pieces) > 1 and len(self._pieces[-2]) <= 2 * len(self._pieces[-1]):
            last, before = self._pieces.pop(), self._pieces.pop()
            self._pieces.append(_Piece(np.concatenate([before.seq, last.seq]), Readings.concatenate([before.readings, last.readings])))

    def _add_states(self, states: Iterable[tuple[str, int, str]]) -> None:
        known = len(self._states)
        for place, time, state in states:
            self._states.setdefault((place, time), state)
        if len(self._states) == known:
            return
        by_place: dict[str, list[tuple[int, str]]] = {}
        for (place, time), state in self._states.items():
            by_place.setdefault(place, []).append((time, state))
        self._by_place = by_place
