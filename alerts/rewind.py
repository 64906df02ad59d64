"""Points judged again from before a moment: looked back at as far as it matters, many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.suspensions import FARTHEST_NS, Memory, Suspensions
from facility.reading import Readings
from rules.engine import CLEARED, Finding, advance, open_excursions, survey
from rules.excursion import Excursion
from rules.occupancy import Occupancy
from rules.plan import NEVER_NS, Pairs, Plan
from rules.runs import RunState
from rules.transition import reconfigured
from rules.windows import Windows

BEGINNING = np.iinfo(np.int64).min
NEAR_NS = 300 * 10**9
"""So far is looked back at first, beside what windows need; eight times as far with each look that shows no quiet moment."""
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Epoch:
    """A configuration in force from `begin` (int ns UTC) on."""

    begin: int
    plan: Plan
    occupancy: Occupancy
    judges: NDArray[np.bool_]
    """Which point numbers this configuration knows."""


class Lookback:
    """Readings of some points that count by now, each from some time before `since` up to `upto`, read once."""

    def __init__(self, memory: Memory, settled: int) -> None:
        self._memory, self._settled = memory, settled
        self.since: dict[int, int] = {}
        self.start: dict[int, int] = {}
        self._readings: dict[int, Readings] = {}

    def add(self, number: int, since: int, start: int, upto: int) -> int:
        """Read a point; how many readings that were."""
        self.since[number], self.start[number] = since, start
        self._readings[number] = self._read(number, start, upto + 1)
        return len(self._readings[number])

    def since_of(self, points: NDArray[np.uint32]) -> Ints:
        """The `since` of each of some point numbers, which come sorted."""
        found, index = np.unique(points, return_inverse=True)
        since: Ints = np.array([self.since[number] for number in found.tolist()], np.int64)[index]
        return since

    def reach(self, number: int, start: int) -> None:
        """Read from `start` on."""
        if start < self.start[number]:
            earlier = self._read(number, start, self.start[number])
            self._readings[number] = Readings.concatenate([earlier, self._readings[number]])
            self.start[number] = start

    def readings(self, numbers: Ints) -> Readings:
        """Of points in ascending order, by point and time."""
        return Readings.concatenate([self._readings[number] for number in numbers.tolist()])

    def _read(self, number: int, start: int, end: int) -> Readings:
        readings = self._memory.read(number, None if start == BEGINNING else start, end)
        counted = readings.received <= self._settled
        return readings if counted.all() else readings.take(counted)


@dataclass(frozen=True, slots=True)
class Past:
    """What judging again takes: the configurations that judge the points, from their first one on, and one group of the plans' pairs.

    `record` gives a point's current excursions of the group that were not cleared by a moment.
    """

    epochs: Sequence[Epoch]
    index: int
    lookback: Lookback
    suspensions: Suspensions
    record: Callable[[int, int], list[Excursion]]

    def again(self, numbers: Ints) -> tuple[Ints, RunState, list[Excursion]]:
        """Judge points again: the quiet moment of each before which nothing is touched, their states, and their excursions since then."""
        quiet = self._quiet(numbers)
        readings = self.lookback.readings(numbers)
        before = readings.time <= quiet[np.searchsorted(numbers, readings.point)]
        findings: list[Finding] = []

        def judge(epoch: Epoch, pairs: Pairs, state: RunState, inside: Flags) -> RunState:
            early = inside & before
            if pairs.windowed and early.any():
                state, _ = advance(pairs, state, readings.take(early), epoch.occupancy)
                state.at_rest(pairs.rows_of(np.unique(readings.point[early]).astype(np.int64)))
            state, found = advance(pairs, state, readings.take(inside & ~before), epoch.occupancy)
            findings.extend(found)
            return state

        last, pairs, state, closed = self._along(numbers, readings, judge)
        rows = [finding.excursion for finding in closed + findings if finding.what == CLEARED]
        return quiet, state, rows + open_excursions(pairs, state, last.occupancy)

    def windows(self, numbers: Ints) -> Windows | None:
        """The windows of points' pairs after the last reading looked back at."""
        self._quiet(numbers, windows_only=True)
        readings = self.lookback.readings(numbers)

        def judge(epoch: Epoch, pairs: Pairs, state: RunState, inside: Flags) -> RunState:
            return advance(pairs, state, readings.take(inside), epoch.occupancy)[0]

        return self._along(numbers, readings, judge)[2].windows

    def _quiet(self, numbers: Ints, *, windows_only: bool = False) -> Ints:
        """The newest reading of each point before `since` after which nothing is under way; BEGINNING where there is none.

        That is one which breaches for none of the pairs and lies in no excursion: what comes after it does not depend on what came before,
        but for the windows, which do not depend on what was not looked back at. `windows_only` asks for the latter alone.
        """
        quiet = np.full(len(numbers), BEGINNING)
        pending = np.arange(len(numbers))
        while len(pending):
            some = numbers[pending]
            readings = self.lookback.readings(some)
            readings = readings.take(readings.time < self.lookback.since_of(readings.point))
            calm = self._calm(some, readings, windows_only=windows_only)
            edges = np.searchsorted(readings.point, np.append(some, some[-1] + 1))
            left = []
            for i, number, first, end in zip(pending.tolist(), some.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                rows, start = np.flatnonzero(calm[first:end]), self.lookback.start[number]
                times = readings.time[first:end][rows]
                for row in () if windows_only else self.record(number, start):
                    times = times[(times < row.onset) | (times >= (NEVER_NS if row.cleared is None else row.cleared))]
                if len(times):
                    quiet[i] = times[-1]
                elif start != BEGINNING:
                    width = self.lookback.since[number] - start
                    self.lookback.reach(number, BEGINNING if width > FARTHEST_NS else start - 7 * width)
                    left.append(i)
            pending = np.array(left, np.intp)
        return quiet

    def _calm(self, numbers: Ints, readings: Readings, *, windows_only: bool) -> Flags:
        calm = np.zeros(len(readings), np.bool_)

        def look(epoch: Epoch, pairs: Pairs, state: RunState, inside: Flags) -> RunState:
            state, warm, breaching = survey(pairs, state, readings.take(inside), epoch.occupancy)
            calm[inside] = warm if windows_only else warm & ~breaching
            return state

        self._along(numbers, readings, look)
        return calm

    def _along(
        self, numbers: Ints, readings: Readings, judge: Callable[[Epoch, Pairs, RunState, Flags], RunState]
    ) -> tuple[Epoch, Pairs, RunState, list[Finding]]:
        """Take the points through the configurations, each with its own readings; what is left at the end, and what a change closed."""
        start = np.array([self.lookback.start[number] for number in numbers.tolist()])
        first = max(sum(epoch.begin <= int(start.min()) for epoch in self.epochs) - 1, 0)
        closed: list[Finding] = []
        before: tuple[Plan, Pairs, Occupancy] | None = None
        state = RunState.initial(0)
        for position, epoch in enumerate(self.epochs[first:], first):
            pairs = epoch.plan.groups[self.index].only(numbers)
            begin = BEGINNING if position == 0 else epoch.begin
            if before is None:
                state, missing = RunState.initial(len(pairs)), start != BEGINNING
            else:
                state, found = reconfigured(before[:2], state, (epoch.plan, pairs), epoch.begin, before[2])
                closed, missing = closed + found, start > begin
            if pairs.windowed:
                state.windows = state.windows or Windows.initial(len(pairs))
                state.windows.whole[pairs.rows_of(numbers[missing])] = False
            if pairs.conditions:
                self.suspensions.reach(pairs.conditions, int(start.min()))
            end = self.epochs[position + 1].begin if position + 1 < len(self.epochs) else NEVER_NS
            state = judge(epoch, pairs, state, (readings.time >= begin) & (readings.time < end))
            before = epoch.plan, pairs, epoch.occupancy
        return epoch, pairs, state, closed
