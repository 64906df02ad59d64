"""Points that report on change: copies of their readings, a period apart, as long as the value holds (docs/rules.md, Readings)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from facility.site import Point

Ints = NDArray[np.int64]
COPY = -2
"""The `sequence` of a copy."""
NEVER_NS = np.iinfo(np.int64).max
BEGINNING = np.iinfo(np.int64).min
PIECE_ROWS = 262_144
"""So many rows are made at a time, some 13 MB: a door that nobody opens for a year has many copies."""


@dataclass(frozen=True, slots=True)
class OnChange:
    """What a configuration says of each point, by number.

    `period` int64 ns, 0 where the point does not report on change; of those that do `settle`, how long a copy waits before it is judged,
    and `retired`, when the point was; `known` whether there is such a point at all.
    """

    period: Ints
    settle: Ints
    retired: Ints
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, points: Iterable[tuple[int, Point]], size: int) -> OnChange:
        """Of points by number, with room for `size` numbers."""
        said = cls.nothing(size)
        for number, point in points:
            said.known[number] = True
            if point.on_change and point.period_ns is not None:
                said.period[number] = said.settle[number] = point.period_ns
                said.retired[number] = NEVER_NS if point.retired_ns is None else point.retired_ns
        return said

    @classmethod
    def nothing(cls, size: int) -> OnChange:
        return cls(np.zeros(size, np.int64), np.zeros(size, np.int64), np.full(size, NEVER_NS), np.zeros(size, np.bool_))

    def wider(self, size: int) -> OnChange:
        """The same, with room for so many points."""
        wide = OnChange.nothing(size)
        for f in fields(self):
            getattr(wide, f.name)[: len(self.known)] = getattr(self, f.name)
        return wide

    def where(self, mine: NDArray[np.bool_], other: OnChange) -> OnChange:
        """What this one says of some points, and another of the rest."""
        return OnChange(*(np.where(mine, getattr(self, f.name), getattr(other, f.name)) for f in fields(self)))

    def like(self, other: OnChange) -> bool:
        """Whether it makes the same copies."""
        return bool((self.period == other.period).all() and (self.retired == other.retired).all())


@dataclass(frozen=True, slots=True)
class Span:
    """What held from `begin` (int64 ns) on, up to the next span."""

    begin: int
    on_change: OnChange


def spans_of(configurations: Sequence[tuple[int, OnChange]]) -> tuple[Span, ...]:
    """The spans of configurations that took force at these moments; none when no point ever reported on change.

    The first spans everything before it, and a point is before its first configuration what it is in that one.
    """
    if not any(on_change.period.any() for _, on_change in configurations):
        return ()
    size = max(len(on_change.known) for _, on_change in configurations)
    wide = [on_change.wider(size) for _, on_change in configurations]
    known = np.logical_or.accumulate([on_change.known for on_change in wide])
    for number in range(len(wide) - 2, -1, -1):
        wide[number] = wide[number].where(known[number], wide[number + 1])
    spans = [Span(BEGINNING, wide[0])]
    for (begin, _), on_change in zip(configurations[1:], wide[1:], strict=True):
        if not on_change.like(spans[-1].on_change):
            spans.append(Span(begin, on_change))
    return tuple(spans)


class Deaths:
    """The moments at which the sources of points ended, by point number."""

    def __init__(self, known: Iterable[tuple[int, int]] = ()) -> None:
        self._at: dict[int, list[int]] = {}
        self.know(known)

    def know(self, deaths: Iterable[tuple[int, int]]) -> None:
        """Take up deaths as (point number, moment), later than those known."""
        for number, at in sorted(deaths):
            self._at.setdefault(number, []).append(at)

    def add(self, numbers: Ints, at: int) -> None:
        """Points died at a moment that is not before any other so far."""
        for number in numbers.tolist():
            self._at.setdefault(number, []).append(at)

    def after(self, readings: Readings) -> Ints:
        """The first death of each reading's point from when it was received on; NEVER_NS where there is none."""
        found = np.full(len(readings), NEVER_NS)
        if self._at:
            for number in np.unique(readings.point).tolist():
                if number in self._at:
                    rows = np.flatnonzero(readings.point == number)
                    at = np.array([*self._at[number], NEVER_NS], np.int64)
                    found[rows] = at[np.searchsorted(at, readings.received[rows])]
        return found


def stops(readings: Readings, deaths: Deaths, upto: Ints | int) -> Ints:
    """Before what the copies of each reading end: its point's next reading, the death of its source; of the newest, they go to `upto`."""
    limit: Ints = np.broadcast_to(np.add(upto, 1), len(readings)).copy()
    followed = np.flatnonzero(readings.point[1:] == readings.point[:-1])
    limit[followed] = readings.time[followed + 1]
    np.minimum(limit, deaths.after(readings), out=limit)
    return limit


def copied(
    readings: Readings, spans: Sequence[Span], stop: Ints, after: Ints | int = BEGINNING, rows: int = NEVER_NS
) -> Iterator[Readings]:
    """Readings (by point and time) and their copies before `stop`, what is later than `after` (int64 ns, a row each), `rows` at a time.

    They come by span, then by point and time.
    """
    for span, end in zip(spans, [*(span.begin for span in spans[1:]), NEVER_NS], strict=True):
        yield from _expanded(readings, span, end, stop, after, rows)


def _expanded(readings: Readings, span: Span, end: int, stop: Ints, after: Ints | int, rows: int) -> Iterator[Readings]:
    time, period = readings.time, span.on_change.period[readings.point]
    own = (time >= span.begin) & (time < end) & (time > after)
    apart = np.maximum(period, 1)
    earliest = np.maximum(np.maximum(time, after), max(span.begin, BEGINNING + 1) - 1)
    first = (earliest - time) // apart + 1
    last = (np.minimum(np.minimum(stop, end), span.on_change.retired[readings.point]) - 1 - time) // apart
    held = np.where(period > 0, np.maximum(last - first + 1, 0), 0)
    ends = np.cumsum(own + held)
    total = int(ends[-1]) if len(ends) else 0
    for low in range(0, total, min(rows, total)) if total else ():
        row = np.arange(low, min(low + rows, total))
        source = np.searchsorted(ends, row, side="right")
        turn = row - (ends - held)[source]  # -own for the reading itself
        copies = turn >= 0
        part = readings.take(source)
        times = np.where(copies, part.time + (first[source] + turn) * period[source], part.time)
        yield replace(part, time=times, sequence=np.where(copies, COPY, part.sequence))


class Copying:
    """Readings by point and time, batch after batch, with their copies up to a moment: `upto` int64 ns, by point number."""

    def __init__(self, spans: Sequence[Span], deaths: Deaths, upto: Ints) -> None:
        self._spans, self._deaths, self._upto = spans, deaths, upto
        self._held = Readings.empty()

    def take(self, readings: Readings) -> Iterator[Readings]:
        """The readings with copies; the last one may come with what follows it."""
        if not self._spans:
            yield readings
        elif len(readings):
            both = Readings.concatenate([self._held, readings])
            stop = stops(both, self._deaths, self._upto[both.point])
            changing = any(span.on_change.period[both.point[-1]] for span in self._spans)
            kept = len(both) - changing
            self._held = both.take(slice(kept, None))
            yield from copied(both.take(slice(kept)), self._spans, stop[:kept], rows=PIECE_ROWS)

    def end(self) -> Iterator[Readings]:
        """What is left."""
        held, self._held = self._held, Readings.empty()
        if len(held):
            yield from copied(held, self._spans, stops(held, self._deaths, self._upto[held.point]), rows=PIECE_ROWS)
