"""When the conditions of `unless` hold, kept along the stored readings of their points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facility.reading import GOOD, Readings
from ingest.series.series import HOUR_NS, NO_TIME
from rules.copies import Deaths
from rules.passing import NEVER_NS, Condition, Passed
from rules.plan import Plan

FARTHEST_NS = 1 << 60
"""Who has looked back so far looks at the beginning next."""


class Memory(Protocol):
    """Stored readings up to the step that is being taken."""

    def read(self, point: int, start: int | None = None, end: int | None = None) -> Readings: ...
    def read_all(self, points: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> Readings: ...


def passing_along(plans: Iterable[Plan], slices: Callable[[int], Iterable[Readings]], deaths: Deaths) -> dict[Condition, Passed]:
    """When each condition of the plans holds, from `slices(point)`: all stored readings of a point in time order, in pieces."""
    conditions = {condition for plan in plans for pairs in plan.groups for condition in pairs.conditions}
    passing = {condition: Passed.nothing(NO_TIME) for condition in conditions}
    for number in sorted({condition.number for condition in conditions}):
        for readings in slices(number):
            good = readings.take(readings.quality == GOOD)
            for condition in conditions:
                if condition.number == number:
                    passing[condition] = passing[condition].then(condition, good, deaths)
    return passing


class Suspensions:
    """What is known of each condition, from some time on: read again from the memory where that is not early enough."""

    def __init__(self, memory: Memory, deaths: Deaths) -> None:
        self._memory, self._deaths = memory, deaths
        self.passing: dict[Condition, Passed] = {}

    def take(self, arrived: Readings, numbers: NDArray[np.int64], died: Mapping[int, int]) -> dict[int, int]:
        """Follow what a step brought, which the memory has already: of which of the points `numbers` another word counts, and from when.

        `died` are points whose sources ended, and when.
        """
        good = arrived.take(np.isin(arrived.point, numbers) & (arrived.quality == GOOD))
        good = good.take(np.lexsort((good.time, good.point)))
        since = {number: at for number, at in died.items() if number in numbers}
        points, first = np.unique(good.point, return_index=True)
        ends = [*first[1:].tolist(), len(good)]
        edges = {number: slice(*edge) for number, *edge in zip(points.tolist(), first.tolist(), ends, strict=False)}
        for number, edge in edges.items():
            since[number] = min(int(good.time[edge.start]), since.get(number, NEVER_NS))
        for condition in [condition for condition in self.passing if condition.number in since]:
            passed = self.passing[condition]
            if condition.number in died or since[condition.number] <= (passed.known if passed.time is None else passed.time):
                self.passing[condition] = Passed.nothing(NEVER_NS)  # not in order, or ended: to be read again
            else:
                self.passing[condition] = passed.then(condition, good.take(edges[condition.number]), self._deaths)
        return since

    def reach(self, conditions: Iterable[Condition], since: int) -> None:
        """Make sure that what is known of the conditions holds at every time from `since` on."""
        for condition in conditions:
            passed = self.passing.get(condition)
            if passed is None or passed.known > since:
                self.passing[condition] = self._read(condition, since)

    def _read(self, condition: Condition, since: int) -> Passed:
        width = HOUR_NS
        while True:
            whole = width > FARTHEST_NS or since < NO_TIME + FARTHEST_NS
            readings = self._memory.read(condition.number, None if whole else since - width)
            good = readings.take(readings.quality == GOOD)
            if whole or self._decided(condition, good.take(good.time <= since), since):
                return Passed.nothing(NO_TIME if whole else since).then(condition, good, self._deaths)
            width *= 8

    @staticmethod
    def _decided(condition: Condition, before: Readings, since: int) -> bool:
        """Whether readings before these cannot change what holds from `since` on."""
        if not len(before):
            return False
        if condition.at_most_ns == NEVER_NS or not condition.beyond(before.value).all():
            return True
        return int(before.time[0]) < since - condition.at_most_ns
