"""What is judged of points: stored readings, or for derived points those of their origins, each by the configuration of its time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD, Readings
from rules.derived import BEGINNING, END, SLICE_ROWS, Derivation, First, before
from rules.plan import Plan

Ints = NDArray[np.int64]


class Memory(Protocol):
    """Stored readings up to the step that is being taken."""

    def read_all(self, points: Ints, start: Ints, end: Ints) -> Readings: ...


class Spans:
    """How a point number is derived in each configuration, from the time on (int ns UTC) that this has force; None where it is measured.

    What the first configuration derives it derives from the beginning.
    """

    def __init__(self, plans: Iterable[tuple[int, Plan]]) -> None:
        known = [(begin if position else BEGINNING, plan.derived) for position, (begin, plan) in enumerate(plans)]
        self.numbers = frozenset(number for _, derived in known for number in derived)
        self._known = known

    def of(self, number: int, start: int, end: int) -> Iterator[tuple[int, int, Derivation | None]]:
        """The spans between start and end, and what derives the point in each."""
        for position, (begin, derived) in enumerate(self._known):
            until = self._known[position + 1][0] if position + 1 < len(self._known) else END
            if max(begin, start) < min(until, end):
                yield max(begin, start), min(until, end), derived.get(number)


class Derivations:
    """What `memory` has of any points as far as it had been received by a moment."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._spans = Spans(())
        self._dependants: dict[int, list[tuple[int, int, int]]] = {}

    def know(self, plans: Sequence[tuple[int, Plan]]) -> None:
        """The configurations so far, each with the time from which it has force."""
        self._spans = Spans(plans)
        self._dependants = {}
        for number in self._spans.numbers:
            for begin, end, derivation in self._spans.of(number, BEGINNING, END):
                for origin in derivation.origins if derivation else ():
                    self._dependants.setdefault(origin, []).append((number, begin, end))

    def read_all(self, points: Ints, start: Ints, end: Ints, settled: int) -> Readings:
        """Readings of points (ascending), of each with its start <= time < its end, by point and time."""
        derived = np.isin(points, list(self._spans.numbers))
        if not derived.any():
            return self._stored(points, start, end, settled)
        parts = [self._stored(points[~derived], start[~derived], end[~derived], settled)]
        asked = zip(*(column[derived].tolist() for column in (points, start, end)), strict=True)
        spans = [(number, *span) for number, first, last in asked for span in self._spans.of(number, first, last)]
        wanted: dict[int, tuple[int, int]] = {}  # all at once: each look into the memory costs the same
        for number, low, high, derivation in spans:
            reach = 0 if derivation is None else derivation.derived.reach_ns
            for origin in (number,) if derivation is None else derivation.origins:
                known = wanted.get(origin, (END, BEGINNING))
                wanted[origin] = min(known[0], before(low, reach)), max(known[1], high)
        numbers = np.array(sorted(wanted), np.int64)
        since, until = np.array([wanted[number] for number in numbers.tolist()], np.int64).reshape(-1, 2).T
        found = self._stored(numbers, since, until, settled)
        edges = dict(zip(numbers.tolist(), np.searchsorted(found.point, [numbers, numbers + 1]).T.tolist(), strict=True))
        for number, low, high, derivation in spans:
            if derivation is None:
                own = found.take(slice(*edges[number]))
                parts.append(own.take((own.time >= low) & (own.time < high)))
            else:
                parts.append(derivation.of([found.take(slice(*edges[origin])) for origin in derivation.origins], low, high))
        both = Readings.concatenate(parts)
        return both.take(np.lexsort((both.time, both.point)))

    def news(self, arrived: Readings) -> tuple[dict[int, int], dict[int, int]]:
        """Derived points that readings may change: from which time on, and the newest time of what they are derived of."""
        since: dict[int, int] = {}
        newest: dict[int, int] = {}
        if not self._dependants or not len(arrived):
            return since, newest
        concerned = arrived.take(np.isin(arrived.point, list(self._dependants)) & (arrived.quality < BAD))
        for origin in np.unique(concerned.point).tolist():
            times = concerned.time[concerned.point == origin]
            first, last = int(times.min()), int(times.max())
            for number, begin, end in self._dependants[origin]:
                if first < end:
                    since[number] = min(since.get(number, END), max(first, begin))
                newest[number] = max(newest.get(number, BEGINNING), last)
        return since, newest

    def _stored(self, points: Ints, start: Ints, end: Ints, settled: int) -> Readings:
        readings = self._memory.read_all(points, start, end)
        counted = readings.received <= settled
        return readings if counted.all() else readings.take(counted)


class ReadingsOf:
    """Readings of any points for those who look; `stored` gives what is stored, `settled` is when they had to be received by."""

    def __init__(self, stored: First, plans: Iterable[tuple[int, Plan]], settled: int = END) -> None:
        self._stored, self._spans, self._settled = stored, Spans(plans), settled

    def first(self, point: int, count: int, start: int | None = None, end: int | None = None) -> Readings:
        """The first `count` readings of a point number with start <= time < end (None: no bound), in time order."""
        if point not in self._spans.numbers:
            return self._stored(point, count, start, end)
        parts: list[Readings] = []
        for part in self._pieces(point, BEGINNING if start is None else start, END if end is None else end, count):
            parts.append(part)
            if sum(map(len, parts)) >= count:
                break
        return Readings.concatenate(parts).take(slice(count))

    def slices(self, point: int, start: int | None = None) -> Iterator[Readings]:
        """All readings of a point number from `start` on in time order, in pieces."""
        while len(readings := self.first(point, SLICE_ROWS, start)):
            yield readings
            start = int(readings.time[-1]) + 1

    def _pieces(self, point: int, start: int, end: int, count: int) -> Iterator[Readings]:
        for low, high, derivation in self._spans.of(point, start, end):
            if derivation is None:
                yield self._stored(point, count, low if low > BEGINNING else None, high if high < END else None)
            else:
                yield from derivation.slices(self._stored, low, high, self._settled)


def newest_derived(plan: Plan, stored: First, newest: Readings) -> Iterator[Readings]:
    """The newest reading of each derived point; `newest` are readings among which is the newest of each point that is measured."""
    readings = ReadingsOf(stored, [(BEGINNING, plan)])
    for number, derivation in plan.derived.items():
        times = newest.time[np.isin(newest.point, derivation.origins)]
        if len(times):
            last = int(times.max())
            yield readings.first(number, END, before(last, derivation.derived.reach_ns), last + 1).take(slice(-1, None))
