"""Points judged again from before a moment: looked back at as far as it matters, many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alerts.judging.derivation import Derivations
from alerts.judging.lasting import Lasting
from alerts.judging.outages import Outages
from alerts.judging.suspensions import FARTHEST_NS, Suspensions
from facility.reading import Readings
from rules.engine import CLEARED, Finding, advance, open_excursions, survey
from rules.excursion import Excursion
from rules.occupancy import Occupancy
from rules.plan import NEVER_NS, Pairs, Plan
from rules.runs import RunState
from rules.transition import out_of_service, reconfigured
from rules.windows import Windows

BEGINNING = np.iinfo(np.int64).min
NEAR_NS = 300 * 10**9
"""So far is looked back at first, beside what windows need; eight times as far with each look that shows no quiet moment."""
LOOKBACK_ROWS = 1_000_000
"""About so many readings are looked back at in one go, of as many points as that is: some 100 MB at work."""
WHOLE_POINTS = 32
"""At most so many points are looked back at to their beginnings in one go, as nobody knows how much is there."""
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


@dataclass(frozen=True, slots=True)
class Lookback:
    """Readings of some points (ascending `numbers`) that count by now, by point and time: of each from `start`, before `since`, on.

    `start` is BEGINNING where nothing lies before.
    """

    numbers: Ints
    since: Ints
    start: Ints
    readings: Readings

    def of(self, numbers: Ints) -> Lookback:
        """Some of the points."""
        if len(numbers) == len(self.numbers):
            return self
        which = np.isin(self.numbers, numbers)
        return Lookback(numbers, self.since[which], self.start[which], self.readings.take(np.isin(self.readings.point, numbers)))

    def each(self, column: Ints) -> Ints:
        """A value per point as a value per reading."""
        spread: Ints = column[np.searchsorted(self.numbers, self.readings.point)]
        return spread


def looking_back(
    memory: Derivations, lasting: Lasting, points: Iterable[tuple[int, int, int, int]], settled: int, look: Callable[[Lookback], Flags]
) -> None:
    """Look back at points (number, since, start, newest time) until `look` has seen enough of each, as it says.

    Who has not seen enough looks eight times as far; together are those who are expected to have no more than LOOKBACK_ROWS.
    """
    waiting = [(point, (point[3] - point[2]) // 10**9) for point in sorted(points)]
    while waiting:
        expected = [max(rows, LOOKBACK_ROWS // WHOLE_POINTS) if point[2] == BEGINNING else rows for point, rows in waiting]
        count = max(1, int(np.searchsorted(np.cumsum(expected), LOOKBACK_ROWS, side="right")))
        some, waiting = sorted(point for point, _ in waiting[:count]), waiting[count:]
        number, since, start, upto = (np.array(column, np.int64) for column in zip(*some, strict=True))
        readings, known = lasting.within(number, start, upto, memory.read_all(number, start, upto + 1, settled))
        enough = look(Lookback(number, since, known, readings))
        held = np.diff(np.searchsorted(readings.point, [*number, 1 << 32])).tolist()
        for i in np.flatnonzero(~enough & (start != BEGINNING)).tolist():
            point, moment, first, newest = some[i]
            width = moment - first
            waiting.append(((point, moment, BEGINNING if width > FARTHEST_NS else moment - 8 * width, newest), 8 * held[i]))


@dataclass(frozen=True, slots=True)
class Past:
    """What judging again takes: the configurations that judge the points, from their first one on, and one group of the plans' pairs.

    `record` gives a point's current excursions of the group that were not cleared by a moment.
    """

    epochs: Sequence[Epoch]
    index: int
    suspensions: Suspensions
    record: Callable[[int, int], list[Excursion]]
    outages: Outages

    def quiet(self, lookback: Lookback) -> Ints:
        """The newest reading of each point before `since` after which nothing is under way; BEGINNING where there is none.

        That is one which breaches for none of the pairs and lies in no excursion: what comes after it does not depend on what came before,
        but for the windows, which do not depend on what was not looked back at.
        """
        warm, breaching = self._survey(lookback)
        calm = np.flatnonzero(warm & ~breaching & (lookback.readings.time < lookback.each(lookback.since)))
        times, edges = lookback.readings.time[calm], np.searchsorted(lookback.readings.point[calm], [*lookback.numbers, 1 << 32])
        quiet = np.full(len(lookback.numbers), BEGINNING)
        for i, (number, start) in enumerate(zip(lookback.numbers.tolist(), lookback.start.tolist(), strict=True)):
            left = times[edges[i] : edges[i + 1]]
            for row in self.record(number, start) if len(left) else ():
                left = left[(left < row.onset) | (left >= (NEVER_NS if row.cleared is None else row.cleared))]
            if len(left):
                quiet[i] = left[-1]
        return quiet

    def again(self, lookback: Lookback, quiet: Ints) -> tuple[RunState, list[Excursion]]:
        """Judge points again from their quiet moments on: their states, and their excursions since then."""
        readings, before = lookback.readings, lookback.readings.time <= lookback.each(quiet)
        findings: list[Finding] = []

        def judge(epoch: Epoch, pairs: Pairs, state: RunState, inside: Flags) -> RunState:
            early = inside & before
            if pairs.windowed and early.any():
                state, _ = advance(pairs, state, readings.take(early), epoch.occupancy)
                state.at_rest(pairs.rows_of(np.unique(readings.point[early]).astype(np.int64)))
            state, found = advance(pairs, state, readings.take(inside & ~before), epoch.occupancy)
            findings.extend(found)
            return state

        last, pairs, state, closed = self._along(lookback, judge)
        rows = [finding.excursion for finding in closed + findings if finding.what == CLEARED]
        return state, rows + open_excursions(pairs, state, last.occupancy)

    def windows(self, lookback: Lookback) -> tuple[Windows | None, Flags]:
        """The windows of points' pairs after the last reading looked back at, and for which points they hold."""
        warm, _ = self._survey(lookback)

        def judge(epoch: Epoch, pairs: Pairs, state: RunState, inside: Flags) -> RunState:
            return survey(pairs, state, lookback.readings.take(inside), epoch.occupancy)[0]

        return self._along(lookback, judge)[2].windows, np.isin(lookback.numbers, lookback.readings.point[warm])

    def _survey(self, lookback: Lookback) -> tuple[Flags, Flags]:
        """Of which readings the verdicts are known, and which breach."""
        readings = lookback.readings
        warm, breaching = np.zeros(len(readings), np.bool_), np.zeros(len(readings), np.bool_)

        def look(epoch: Epoch, pairs: Pairs, state: RunState, inside: Flags) -> RunState:
            state, warm[inside], breaching[inside] = survey(pairs, state, readings.take(inside), epoch.occupancy)
            return state

        self._along(lookback, look)
        return warm, breaching

    def _along(
        self, lookback: Lookback, judge: Callable[[Epoch, Pairs, RunState, Flags], RunState]
    ) -> tuple[Epoch, Pairs, RunState, list[Finding]]:
        """Take the points through the configurations, each with its own readings; what is left at the end, and what a change closed."""
        numbers, start, time = lookback.numbers, lookback.start, lookback.readings.time
        out = self.outages.inside(lookback.readings.point, time)
        judged = np.ones(len(time), np.bool_) if out is None else ~out
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
            for at, number in self.outages.begun(numbers, start, begin, end):
                state = judge(epoch, pairs, state, judged & (time >= begin) & (time < at))
                state, found = out_of_service(pairs, state, number, at, epoch.occupancy)
                closed, begin = closed + found, at
            state = judge(epoch, pairs, state, judged & (time >= begin) & (time < end))
            before = epoch.plan, pairs, epoch.occupancy
        return epoch, pairs, state, closed
