"""What is judged of points: stored readings, or for derived points those of their origins, each by the configuration of its time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD, Readings
from rules.computing import Asked, computed
from rules.derived import BEGINNING, END, SLICE_ROWS, Derivation, First, before, by_point_and_time
from rules.plan import Plan

Ints = NDArray[np.int64]
RECENT_ROWS = 1 << 20
"""So many readings are kept from step to step at most, some 43 MB; else they are looked up each time."""
FARTHEST_NS = 1 << 60


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
        self.know([])

    def know(self, plans: Sequence[tuple[int, Plan]]) -> None:
        """The configurations so far, each with the time from which it has force."""
        self._spans = Spans(plans)
        self._dependants: dict[int, list[tuple[int, int, int]]] = {}
        reach: dict[int, int] = {}
        for number in self._spans.numbers:
            for begin, end, derivation in self._spans.of(number, BEGINNING, END):
                for origin in derivation.origins if derivation else ():
                    self._dependants.setdefault(origin, []).append((number, begin, end))
                    reach[origin] = max(reach.get(origin, 0), derivation.derived.reach_ns if derivation else 0)
        self._recent = Recent(self._memory, reach)

    def read_all(self, points: Ints, start: Ints, end: Ints, settled: int) -> Readings:
        """Readings of points (ascending), of each with its start <= time < its end, by point and time."""
        derived = np.isin(points, list(self._spans.numbers))
        if not derived.any():
            return self._stored(self._memory, points, start, end, settled)
        parts = [self._stored(self._memory, points[~derived], start[~derived], end[~derived], settled)]
        parts.append(self._computed(self._memory, points[derived], start[derived], end[derived], settled))
        both = Readings.concatenate(parts)
        return both.take(np.lexsort((both.time, both.point)))

    def newest(self, points: Ints, start: Ints, end: Ints, settled: int) -> Readings:
        """As `read_all` for derived points, of what `news` said: from step to step they are not looked up again."""
        return self._computed(self._recent, points, start, end, settled)

    def _computed(self, memory: Memory, points: Ints, start: Ints, end: Ints, settled: int) -> Readings:
        asked: list[Asked] = []
        wanted: dict[int, tuple[int, int]] = {}  # all at once: each look into the memory costs the same
        measured: list[tuple[int, int, int]] = []
        for number, first, last in zip(*(column.tolist() for column in (points, start, end)), strict=True):
            for begin, until, derivation in self._spans.of(number, first, last):
                if derivation is None:
                    measured.append((number, begin, until))
                    continue
                asked.append(derivation.asked(begin, until))
                earliest = before(begin, derivation.derived.reach_ns)
                for origin in derivation.origins:
                    known = wanted.get(origin, (END, BEGINNING))
                    wanted[origin] = min(known[0], earliest), max(known[1], until)
        origins, since, end = _columns([(number, *wanted[number]) for number in sorted(wanted)])
        numbers, low, high = _columns(measured)
        parts = [computed(asked, self._stored(memory, origins, since, end, settled))]
        if measured:
            parts.append(self._stored(self._memory, numbers, low, high, settled))
        both = Readings.concatenate(parts)
        return both.take(np.lexsort((both.time, both.point)))

    def news(self, arrived: Readings) -> tuple[dict[int, int], dict[int, int]]:
        """Derived points that readings may change: from which time on, and the newest time of what they are derived of.

        All readings that settle go through here, in the order in which they do.
        """
        since: dict[int, int] = {}
        newest: dict[int, int] = {}
        if not self._dependants or not len(arrived):
            return since, newest
        concerned = arrived.take(self._recent.concerns(arrived.point))
        self._recent.add(concerned)
        concerned = concerned.take(concerned.quality < BAD)
        concerned = concerned.take(np.lexsort((concerned.time, concerned.point)))
        origins, row = np.unique(concerned.point, return_index=True)
        first, last = concerned.time[row], concerned.time[np.append(row[1:], len(concerned))[: len(row)] - 1]
        for origin, early, late in zip(origins.tolist(), first.tolist(), last.tolist(), strict=True):
            for number, begin, end in self._dependants[origin]:
                if early < end:
                    since[number] = min(since.get(number, END), max(early, begin))
                newest[number] = max(newest.get(number, BEGINNING), late)
        return since, newest

    @staticmethod
    def _stored(memory: Memory, points: Ints, start: Ints, end: Ints, settled: int) -> Readings:
        readings = memory.read_all(points, start, end)
        counted = readings.received <= settled
        return readings if counted.all() else readings.take(counted)


class Recent:
    """The newest readings of some points, kept from step to step as far back as they `reach` (int ns): a memory for who goes forward."""

    def __init__(self, memory: Memory, reach: Mapping[int, int]) -> None:
        self._memory = memory
        self._points = np.array(sorted(reach), np.int64)
        self._reach = np.array([min(reach[number], FARTHEST_NS) for number in sorted(reach)], np.int64)
        self._since = np.full(len(self._points), END)
        """From when on all readings of a point are kept."""
        self._kept = Readings.empty()

    def concerns(self, points: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Which of some points are among its own."""
        return np.isin(points, self._points)

    def add(self, arrived: Readings) -> None:
        """Readings of its points, which the memory has already."""
        arrived = arrived.take(arrived.time >= self._since[np.searchsorted(self._points, arrived.point)])
        if len(arrived):
            self._kept = by_point_and_time(Readings.concatenate([self._kept, arrived]))

    def read_all(self, points: Ints, start: Ints, end: Ints) -> Readings:
        """Readings of some of its points (ascending), of each with its start <= time < its end, by point and time."""
        own = np.searchsorted(self._points, points)
        since = np.minimum(start, end - self._reach[own])
        lacking = start < self._since[own]
        if lacking.any():
            read = self._memory.read_all(points[lacking], since[lacking], np.full(np.count_nonzero(lacking), END))
            self._kept = by_point_and_time(Readings.concatenate([self._kept, read]))
        self._since[own] = np.where(lacking, since, np.maximum(self._since[own], since))
        low, high = np.full(len(self._points), END), np.full(len(self._points), BEGINNING)
        low[own], high[own] = start, end
        row, time = np.searchsorted(self._points, self._kept.point), self._kept.time
        found, needed = self._kept.take((time >= low[row]) & (time < high[row])), time >= self._since[row]
        if np.count_nonzero(needed) > RECENT_ROWS:
            self._since[:], self._kept = END, Readings.empty()
        elif len(needed) > 2 * np.count_nonzero(needed):
            self._kept = self._kept.take(needed)
        return found


def _columns(rows: list[tuple[int, int, int]]) -> Ints:
    return np.array(rows, np.int64).reshape(-1, 3).T


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
