"""How surely and how fast rules find faults: excursions held against the truth of a simulation. docs/simulator.md has the matching rule."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from statistics import median

from simulators.script import Truth

AFTER_NS = 20 * 60 * 10**9
"""What a fault leaves behind counts as its own for so long: the clean-up time that EU GMP Annex 1 (4.29) gives as guidance."""
WEEK_NS = 7 * 86_400 * 10**9
P95 = 0.95


@dataclass(frozen=True, slots=True)
class Found:
    """An excursion as far as it is scored; times in int ns UTC."""

    rule: str
    point: str
    onset: int
    raised: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the truth that should be found: the rules that should, of those there are, and the excursions that found it as raised."""

    truth: Truth
    rules: tuple[str, ...]
    found_by: tuple[Found, ...]

    def delay_ns(self, rule: str | None = None) -> int | None:
        """From its start to the first excursion (of a rule), None where there is none."""
        raised = [one.raised for one in self.found_by if rule in (None, one.rule)]
        return min(raised) - self.truth.start_ns if raised else None


@dataclass(frozen=True, slots=True)
class Run:
    """One simulation, judged: its faults, the excursions that found one and those that found nothing, and how long how many points ran."""

    faults: tuple[Fault, ...]
    right: tuple[Found, ...]
    false: tuple[Found, ...]
    point_weeks: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The quality of detection; None where there is nothing to divide by.

    `delays_ns` are those of the faults that were found; `false` and `point_weeks` are empty by fault kind: a false alarm has no fault.
    """

    faults: int
    delays_ns: tuple[int, ...]
    right: int
    false: int | None = None
    point_weeks: float | None = None

    @property
    def found(self) -> int:
        return len(self.delays_ns)

    @property
    def recall(self) -> float | None:
        return self.found / self.faults if self.faults else None

    @property
    def precision(self) -> float | None:
        return self.right / (self.right + self.false) if self.false is not None and self.right + self.false else None

    @property
    def delay_median_ns(self) -> float | None:
        return median(self.delays_ns) if self.delays_ns else None

    @property
    def delay_p95_ns(self) -> int | None:
        """The nearest rank: the smallest delay that 95 % of those found do not exceed."""
        return sorted(self.delays_ns)[math.ceil(P95 * self.found) - 1] if self.delays_ns else None

    @property
    def false_per_point_week(self) -> float | None:
        return self.false / self.point_weeks if self.false is not None and self.point_weeks else None


def scored(
    truths: Iterable[Truth], excursions: Iterable[Found], rules: Collection[str], point_weeks: float, after_ns: int = AFTER_NS
) -> Run:
    """Hold excursions against the truth; `rules` are the ids that there are: faults that none of them should find are left out."""
    all_rows = list(truths)
    expected = {globs: _matching(globs, rules) for globs in {truth.rules for truth in all_rows}}
    rows = [truth for truth in all_rows if expected[truth.rules] or truth.missed]
    felt: dict[str, list[int]] = defaultdict(list)
    for number, truth in enumerate(rows):
        for point in truth.points:
            felt[point].append(number)
    found_by: list[list[Found]] = [[] for _ in rows]
    right: list[Found] = []
    false: list[Found] = []
    for one in sorted(excursions, key=lambda one: (one.raised, one.rule, one.point)):
        own = _found(one, [n for n in felt[one.point] if one.rule in expected[rows[n].rules]], rows, after_ns)
        for number in own:
            found_by[number].append(one)
        (right if own else false).append(one)
    faults = (Fault(truth, expected[truth.rules], tuple(by)) for truth, by in zip(rows, found_by, strict=True))
    return Run(tuple(faults), tuple(right), tuple(false), point_weeks)


def _matching(globs: tuple[str, ...], rules: Collection[str]) -> tuple[str, ...]:
    return tuple(rule for rule in rules if any(fnmatchcase(rule, glob) for glob in globs))


def _found(one: Found, candidates: Sequence[int], rows: Sequence[Truth], after_ns: int) -> list[int]:
    """The faults that go on when an excursion begins; where none does, those that ended last, if not too long ago."""
    ends = {n: math.inf if (end := rows[n].end_ns) is None else end for n in candidates if rows[n].start_ns <= one.raised}
    going_on = [n for n, end in ends.items() if one.onset < end]
    if going_on or not ends:
        return going_on
    last = max(ends.values())
    return [n for n, end in ends.items() if end == last and one.onset < last + after_ns]


def overall(runs: Sequence[Run]) -> Figures:
    """Of all faults and all excursions."""
    delays = [fault.delay_ns() for run in runs for fault in run.faults]
    return _figures(delays, sum(len(run.right) for run in runs), sum(len(run.false) for run in runs), _point_weeks(runs))


def by_kind(runs: Sequence[Run]) -> Mapping[str, Figures]:
    """Of the faults of each kind; `right` counts the excursions that found one."""
    kinds: dict[str, list[Fault]] = defaultdict(list)
    for fault in (fault for run in runs for fault in run.faults):
        kinds[fault.truth.kind].append(fault)
    return {
        kind: _figures([fault.delay_ns() for fault in faults], len({one for fault in faults for one in fault.found_by}))
        for kind, faults in sorted(kinds.items())
    }


def by_rule(runs: Sequence[Run]) -> Mapping[str, Figures]:
    """Of the faults that a rule should find and of its excursions, for each rule that has either."""
    delays: dict[str, list[int | None]] = defaultdict(list)
    for fault in (fault for run in runs for fault in run.faults):
        for rule in fault.rules:
            delays[rule].append(fault.delay_ns(rule))
    right, false = (
        {rule: sum(one.rule == rule for one in side) for rule in {one.rule for one in side}}
        for side in ([one for run in runs for one in run.right], [one for run in runs for one in run.false])
    )
    rules = sorted({*delays, *right, *false})
    return {rule: _figures(delays[rule], right.get(rule, 0), false.get(rule, 0), _point_weeks(runs)) for rule in rules}


def _figures(delays: Sequence[int | None], right: int, false: int | None = None, point_weeks: float | None = None) -> Figures:
    return Figures(len(delays), tuple(delay for delay in delays if delay is not None), right, false, point_weeks)


def _point_weeks(runs: Sequence[Run]) -> float:
    return math.fsum(run.point_weeks for run in runs)
