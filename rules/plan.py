"""Rules laid over the points: one row a (rule, point) pair, parameters as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facility.site import OCCUPANCIES, SECOND_NS, Facility, Point
from rules.copies import OnChange
from rules.derived import Derivation
from rules.passing import Condition
from rules.ranges import ranges
from rules.rule import Bound, Rule
from rules.selecting import Selector, watched, within_ns
from rules.staying import Watched

NEVER_NS = np.iinfo(np.int64).max
SETTLE_NS = 2 * SECOND_NS
"""How long a judgement that needs another stream waits for it (docs/rules.md, Settling)."""
KINDS = ("limit", "quality", "rate", "flatline", "count", "mean", "recovery")
"""Kinds that are judged on measuring time. Each has two groups in a plan: of rules that wait for no other stream, and of those that do."""
WINDOWED = ("rate", "flatline", "count", "mean", "recovery")
LIMITED = ("limit", "count", "mean", "recovery")
RESTING = "at_rest"
STALE_PERIODS = 3
"""A point whose newest good reading is older than so many of its periods cannot suspend a rule."""


class Cell(Protocol):
    """A cell of a limit table; None where the table is silent."""

    @property
    def above(self) -> float | None: ...
    @property
    def below(self) -> float | None: ...


class Table(Protocol):
    """A limit table: the cell of a point in an occupancy at a level, None when it is not specified."""

    def cell(self, point: Point, occupancy: str, level: str) -> Cell | None: ...


@dataclass(frozen=True)
class Pairs:
    """(rule, point) pairs that are judged alike, n rows sorted by point number.

    `above`, `below` float64 [n, s], s = 1 or one column per occupancy, infinite where that side has no limit, NaN where the state's cell is
    not specified; `during` bool [n, s], whether the rule judges in that state; `unless` the index in `conditions` of what suspends it, -1
    for nothing; `two_sided`, `below_only` by the sides that the rule has; `window` is the `window`, `duration` or `within` of a rule,
    `change` its `change` or `tolerance`; durations int64 ns; `offsets` int64 [points + 1]: pairs of point number p are rows
    offsets[p]:offsets[p + 1].
    Of `recovery` the one column is that of at_rest, NaN where its cell is not specified.
    """

    kind: str
    settle_ns: int
    rules: tuple[Rule, ...]
    points: tuple[Point, ...]
    point: NDArray[np.uint32]
    place: NDArray[np.int32]
    above: NDArray[np.float64]
    below: NDArray[np.float64]
    during: NDArray[np.bool_]
    unless: NDArray[np.int32]
    conditions: tuple[Condition, ...]
    two_sided: NDArray[np.bool_]
    below_only: NDArray[np.bool_]
    above_inclusive: NDArray[np.bool_]
    below_inclusive: NDArray[np.bool_]
    deadband: NDArray[np.float64]
    window: NDArray[np.int64]
    change: NDArray[np.float64]
    k: NDArray[np.int64]
    n: NDArray[np.int64]
    min_readings: NDArray[np.int64]
    on_delay: NDArray[np.int64]
    off_delay: NDArray[np.int64]
    max_gap: NDArray[np.int64]
    after: NDArray[np.int64]
    retired: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.point)

    @cached_property
    def on_change(self) -> NDArray[np.bool_]:
        """Whether each pair's point reports on change."""
        return np.array([point.on_change for point in self.points], np.bool_)

    @property
    def by_occupancy(self) -> bool:
        return bool(self.above.shape[1] > 1)

    @property
    def windowed(self) -> bool:
        """Whether what a reading says depends on readings before it."""
        return self.kind in WINDOWED

    def limits_in(self, row: int, state: str) -> tuple[float, float]:
        """Above and below of a pair in a state of its place, infinite for no limit on that side, NaN both where it has none there."""
        if self.kind == "recovery" and state != RESTING:
            return np.nan, np.nan
        column = OCCUPANCIES.index(state) if self.by_occupancy else 0
        return float(self.above[row, column]), float(self.below[row, column])

    def has(self, number: int) -> bool:
        """Whether a point has pairs here."""
        return number + 1 < len(self.offsets) and bool(self.offsets[number] < self.offsets[number + 1])

    def rows_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of some points' pairs, in the order of the points given."""
        return ranges(self.offsets[numbers], self.offsets[numbers + 1] - self.offsets[numbers])

    def only(self, numbers: NDArray[np.int64]) -> Pairs:
        """The same pairs, those of some points only (ascending numbers)."""
        rows = self.rows_of(numbers)
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, column in columns.items():
            if isinstance(column, np.ndarray) and name != "offsets":
                columns[name] = column[rows]
        columns["rules"], columns["points"] = (tuple(held[row] for row in rows.tolist()) for held in (self.rules, self.points))
        columns["offsets"] = np.searchsorted(columns["point"], np.arange(len(self.offsets)))
        return Pairs(**columns)

    def key(self, row: int) -> tuple[str, str]:
        return self.rules[row].id, self.points[row].id


@dataclass(frozen=True)
class Plan:
    """All pairs of one configuration, in groups that advance together; `config` is the hash of what judges."""

    facility: Facility
    config: str
    groups: tuple[Pairs, ...]
    stale: Pairs
    ahead: tuple[tuple[Rule, dict[int, Point]], ...] = ()
    """Rules of the kind clock_ahead, each with the points that it selects by number."""
    derived: Mapping[int, Derivation] = field(default_factory=dict)
    """How points that are not measured are computed, by number."""
    states: tuple[Watched, ...] = ()
    """Rooms and zones that rules of the kind state watch."""
    on_change: OnChange = field(default_factory=lambda: OnChange.nothing(0))

    @cached_property
    def rule_by_id(self) -> dict[str, Rule]:
        """The rules that judge anything."""
        others = (*(rule for rule, _ in self.ahead), *(watched.rule for watched in self.states))
        return {rule.id: rule for pairs in (*self.groups, self.stale) for rule in pairs.rules} | {rule.id: rule for rule in others}

    @cached_property
    def keys(self) -> tuple[frozenset[tuple[str, str]], ...]:
        """The ids of rule and point of the pairs in each group."""
        return tuple(frozenset(pairs.key(row) for row in range(len(pairs))) for pairs in self.groups)

    @cached_property
    def suppresses(self) -> bool:
        """Whether any rule is suppressed by the state of a room."""
        return any(rule.suppress for rule in self.rule_by_id.values())

    def fingerprint(self, pairs: Pairs, row: int) -> tuple[object, ...]:
        """What judges a pair: equal fingerprints judge the same (docs/rules.md, Configuration in time)."""
        durations = (pairs.on_delay, pairs.off_delay, pairs.max_gap, pairs.after, pairs.window, pairs.k, pairs.n, pairs.min_readings)
        numbers = (float(pairs.deadband[row]), float(pairs.change[row]), *(int(column[row]) for column in durations))
        sides = (pairs.above[row].tobytes(), pairs.below[row].tobytes(), bool(pairs.above_inclusive[row]), bool(pairs.below_inclusive[row]))
        others: tuple[object, ...] = (pairs.during[row].tobytes(), pairs.conditions[pairs.unless[row]] if pairs.unless[row] >= 0 else None)
        point = pairs.points[row]
        copies = point.period_ns if point.on_change else None
        own = (point.unit, point.range, point.place, point.derived, copies)
        if pairs.kind == "recovery":  # where a place's states begin decides what is a change to at_rest
            others = (*others, point.room, self.facility.place_by_id[point.room].occupancy)
        return (pairs.kind, pairs.rules[row].level, *own, *numbers, *sides, *others)


def states_of(rule: Rule) -> tuple[str, ...]:
    """The states whose limits a rule uses."""
    return (RESTING,) if rule.kind == "recovery" else OCCUPANCIES


def plan_of(
    facility: Facility,
    rules: Iterable[Rule],
    tables: Mapping[str, Table],
    number_of: Mapping[str, int],
    config: str = "",
    at: int | None = None,
) -> Plan:
    """Lay checked rules over the facility's points; `number_of` gives each point's number in the journal's register.

    A point that was retired by `at`, when the configuration takes force, is not judged any more; None judges every point.
    Raises KeyError for an unknown limit table: `renrum check` has refused it before.
    """
    found: dict[tuple[str, bool], list[tuple[int, Rule, Point]]] = {(kind, settles): [] for kind in KINDS for settles in (False, True)}
    found["stale", False] = []
    points = [point for point in facility.points if at is None or point.retired_ns is None or point.retired_ns > at]
    selector = Selector(points)
    ahead: list[tuple[Rule, dict[int, Point]]] = []
    states: list[Watched] = []
    for rule in rules:
        if rule.kind == "clock_ahead":
            ahead.append((rule, {number_of[point.id]: point for point in selector.judged(rule, facility)}))
            continue
        if rule.kind == "state":
            states += [Watched(rule, facility.state_points[place.id], place) for place in watched(rule, facility)]
            continue
        for point in selector.judged(rule, facility):
            found[rule.kind, settles(rule, point)].append((number_of[point.id], rule, point))
    laid = _Laid(facility, tables, number_of)
    groups = {key: laid.pairs(*key, sorted(rows, key=lambda row: row[0])) for key, rows in found.items()}
    stale = groups.pop(("stale", False))
    derived = {
        number_of[point.id]: Derivation(number_of[point.id], point.derived, tuple(number_of[of.point] for of in point.derived.origins))
        for point in points
        if point.derived is not None
    }
    on_change = OnChange.of(((number_of[point.id], point) for point in facility.points), max(number_of.values(), default=-1) + 1)
    return Plan(facility, config, tuple(groups.values()), stale, tuple(ahead), derived, tuple(states), on_change)


def settles(rule: Rule, point: Point) -> bool:
    """Whether judging a point by the rule needs another stream: a room's state, or other points."""
    table = any(side is not None and isinstance(side.value, str) for side in (rule.above, rule.below))
    return table or rule.kind == "recovery" or bool(rule.during) or rule.unless is not None or point.derived is not None


@dataclass(frozen=True, slots=True)
class _Laid:
    """Rules being laid over a facility."""

    facility: Facility
    tables: Mapping[str, Table]
    number_of: Mapping[str, int]

    def pairs(self, kind: str, settles: bool, rows: list[tuple[int, Rule, Point]]) -> Pairs:
        place_index = {place.id: index for index, place in enumerate(self.facility.places)}
        states = (RESTING,) if kind == "recovery" else OCCUPANCIES if settles else ("",)
        shape = (len(rows), len(states))
        limits = np.array([[limits_of(rule, self.tables, point, state) for state in states] for _, rule, point in rows], np.float64)
        limits = limits.reshape(*shape, 2)
        during = np.array([[not rule.during or state in rule.during for state in states] for _, rule, _ in rows], np.bool_).reshape(shape)
        suspended = [self._condition(rule, point) for _, rule, point in rows]
        conditions = tuple(dict.fromkeys(condition for condition in suspended if condition is not None))
        index = {condition: number for number, condition in enumerate(conditions)}
        numbers = np.array([number for number, _, _ in rows], np.uint32)

        def durations(name: str, default: int) -> NDArray[np.int64]:
            chosen = ((getattr(rule, name), point.period_ns) for _, rule, point in rows)
            return np.array([default if duration is None else duration.of(period_ns) for duration, period_ns in chosen], np.int64)

        window = durations("duration" if kind == "flatline" else "window", 0)
        if kind == "recovery":
            window = np.array([within_ns(rule, point, self.facility) for _, rule, point in rows], np.int64)

        def each(name: str, dtype: type[np.generic], default: float = 0) -> NDArray[Any]:
            chosen = (getattr(rule, name) for _, rule, _ in rows)
            return np.array([default if value is None else value for value in chosen], dtype)

        return Pairs(
            kind=kind,
            settle_ns=SETTLE_NS if settles else 0,
            rules=tuple(rule for _, rule, _ in rows),
            points=tuple(point for _, _, point in rows),
            point=numbers,
            place=np.array([place_index[point.place] for _, _, point in rows], np.int32),
            above=limits[:, :, 0],
            below=limits[:, :, 1],
            during=during,
            unless=np.array([-1 if condition is None else index[condition] for condition in suspended], np.int32),
            conditions=conditions,
            two_sided=np.array([rule.above is not None and rule.below is not None for _, rule, _ in rows], np.bool_),
            below_only=np.array([rule.above is None for _, rule, _ in rows], np.bool_),
            above_inclusive=np.array([rule.above is not None and rule.above.inclusive for _, rule, _ in rows], np.bool_),
            below_inclusive=np.array([rule.below is not None and rule.below.inclusive for _, rule, _ in rows], np.bool_),
            deadband=each("deadband", np.float64),
            window=window,
            change=each("tolerance" if kind == "flatline" else "change", np.float64),
            k=each("k", np.int64, 1),
            n=each("n", np.int64, 1),
            min_readings=each("min_readings", np.int64),
            on_delay=durations("on_delay", 0),
            off_delay=durations("off_delay", 0),
            max_gap=durations("max_gap", NEVER_NS),
            after=durations("after", NEVER_NS),
            retired=np.array([NEVER_NS if point.retired_ns is None else point.retired_ns for _, _, point in rows], np.int64),
            offsets=np.searchsorted(numbers, np.arange(max(self.number_of.values(), default=-1) + 2)),
        )

    def _condition(self, rule: Rule, point: Point) -> Condition | None:
        """What suspends the rule at a point; None also where the facility has no such point, so that the rule applies."""
        if rule.unless is None:
            return None
        other = self.facility.point_by_id.get(rule.unless.point.replace("{room}", point.room))
        if other is None:
            return None
        above, below = rule.unless.above, rule.unless.below
        return Condition(
            number=self.number_of[other.id],
            above=np.inf if above is None else float(above.value),
            below=-np.inf if below is None else float(below.value),
            above_inclusive=above is not None and above.inclusive,
            below_inclusive=below is not None and below.inclusive,
            at_most_ns=NEVER_NS if rule.unless.at_most is None else rule.unless.at_most.of(point.period_ns),
            stale_ns=NEVER_NS if other.period_ns is None else min(STALE_PERIODS * other.period_ns, NEVER_NS),
            on_change=other.on_change,
        )


def limits_of(rule: Rule, tables: Mapping[str, Table], point: Point, state: str) -> tuple[float, float]:
    """Above and below in a state: infinite where that side has no limit, NaN both where the state is not specified."""
    above = _side(rule.above, "above", np.inf, rule, tables, point, state)
    below = _side(rule.below, "below", -np.inf, rule, tables, point, state)
    if np.isnan(above) or np.isnan(below) or (np.isinf(above) and np.isinf(below) and rule.kind in LIMITED):
        return np.nan, np.nan
    return above, below


def _side(bound: Bound | None, side: str, none: float, rule: Rule, tables: Mapping[str, Table], point: Point, state: str) -> float:
    if bound is None:
        return none
    if not isinstance(bound.value, str):
        return float(bound.value)
    cell = tables[bound.value].cell(point, state, rule.level)
    if cell is None:
        return np.nan
    value: float | None = getattr(cell, side)
    return none if value is None else float(value)
