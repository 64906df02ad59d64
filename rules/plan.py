"""Rules laid over the points: one row a (rule, point) pair, parameters as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facility.site import OCCUPANCIES, SECOND_NS, Facility, Point
from rules.rule import Bound, Rule, Selection

NEVER_NS = np.iinfo(np.int64).max
TABLE_SETTLE_NS = 2 * SECOND_NS
"""How long a judgement that needs a room's state waits for it (docs/rules.md, Settling)."""


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
    not specified; `two_sided`, `below_only` by the sides that the rule has; durations int64 ns; `offsets` int64 [points + 1]: the pairs of
    point number p are rows offsets[p]:offsets[p + 1].
    """

    kind: str
    settle_ns: int
    rules: tuple[Rule, ...]
    points: tuple[Point, ...]
    point: NDArray[np.uint32]
    place: NDArray[np.int32]
    above: NDArray[np.float64]
    below: NDArray[np.float64]
    two_sided: NDArray[np.bool_]
    below_only: NDArray[np.bool_]
    above_inclusive: NDArray[np.bool_]
    below_inclusive: NDArray[np.bool_]
    deadband: NDArray[np.float64]
    on_delay: NDArray[np.int64]
    off_delay: NDArray[np.int64]
    max_gap: NDArray[np.int64]
    after: NDArray[np.int64]
    retired: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.point)

    @property
    def by_occupancy(self) -> bool:
        return bool(self.above.shape[1] > 1)

    def only(self, number: int) -> Pairs:
        """The same pairs, those of one point only."""
        rows = slice(int(self.offsets[number]), int(self.offsets[number + 1]))
        count = rows.stop - rows.start
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in ("kind", "settle_ns", "offsets")}
        offsets = np.where(np.arange(len(self.offsets)) > number, count, 0)
        return Pairs(kind=self.kind, settle_ns=self.settle_ns, offsets=offsets, **columns)

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

    @cached_property
    def rule_by_id(self) -> dict[str, Rule]:
        """The rules that judge anything."""
        return {rule.id: rule for pairs in (*self.groups, self.stale) for rule in pairs.rules} | {rule.id: rule for rule, _ in self.ahead}

    @cached_property
    def rule_ids(self) -> tuple[frozenset[str], ...]:
        """The ids of the rules in each group."""
        return tuple(frozenset(rule.id for rule in pairs.rules) for pairs in self.groups)

    def fingerprint(self, pairs: Pairs, row: int) -> tuple[object, ...]:
        """What judges a pair: equal fingerprints judge the same (docs/rules.md, Configuration in time)."""
        numbers = (pairs.deadband[row], pairs.on_delay[row], pairs.off_delay[row], pairs.max_gap[row], pairs.after[row])
        sides = (pairs.above[row].tobytes(), pairs.below[row].tobytes(), bool(pairs.above_inclusive[row]), bool(pairs.below_inclusive[row]))
        point = pairs.points[row]
        return (pairs.kind, pairs.rules[row].level, point.unit, point.range, point.place, *map(float, numbers), *sides)


def matches(select: Selection, point: Point) -> bool:
    """Whether every given attribute of the selection fits the point; `room` means the room's own points, not its zones'."""
    return (
        _fits(select.point, point.id)
        and _fits(select.room, None if point.zone else point.room)
        and _fits(select.zone, point.zone)
        and _fits(select.grade, point.grade)
        and _fits(select.quantity, point.quantity)
        and _fits(select.type, point.type)
        and (not select.tag or any(_fits(select.tag, tag) for tag in point.tags))
    )


def _fits(globs: Sequence[str], value: str | None) -> bool:
    return not globs or (value is not None and any(fnmatchcase(value, glob) for glob in globs))


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
    found: dict[str, list[tuple[int, Rule, Point]]] = {"limit": [], "table": [], "quality": [], "stale": []}
    points = [(number_of[point.id], point) for point in facility.points if at is None or point.retired_ns is None or point.retired_ns > at]
    ahead: list[tuple[Rule, dict[int, Point]]] = []
    for rule in rules:
        if rule.kind == "clock_ahead":
            ahead.append((rule, {number: point for number, point in points if matches(rule.select, point)}))
            continue
        kind = "table" if rule.kind == "limit" and _uses_table(rule) else rule.kind
        found[kind].extend((number, rule, point) for number, point in points if matches(rule.select, point))
    size = max(number_of.values(), default=-1) + 1
    groups = {kind: _pairs(kind, facility, tables, sorted(rows, key=lambda row: row[0]), size) for kind, rows in found.items()}
    return Plan(facility, config, (groups["limit"], groups["table"], groups["quality"]), groups["stale"], tuple(ahead))


def _uses_table(rule: Rule) -> bool:
    return any(side is not None and isinstance(side.value, str) for side in (rule.above, rule.below))


def _pairs(kind: str, facility: Facility, tables: Mapping[str, Table], rows: list[tuple[int, Rule, Point]], size: int) -> Pairs:
    place_index = {place.id: index for index, place in enumerate(facility.places)}
    states = OCCUPANCIES if kind == "table" else ("",)
    limits = np.array([[_limits(rule, tables, point, state) for state in states] for _, rule, point in rows], np.float64)
    limits = limits.reshape(len(rows), len(states), 2)
    numbers = np.array([number for number, _, _ in rows], np.uint32)

    def durations(name: str, default: int) -> NDArray[np.int64]:
        chosen = ((getattr(rule, name), point.period_ns) for _, rule, point in rows)
        return np.array([default if duration is None else duration.of(period_ns) for duration, period_ns in chosen], np.int64)

    return Pairs(
        kind=kind,
        settle_ns=TABLE_SETTLE_NS if kind == "table" else 0,
        rules=tuple(rule for _, rule, _ in rows),
        points=tuple(point for _, _, point in rows),
        point=numbers,
        place=np.array([place_index[point.place] for _, _, point in rows], np.int32),
        above=limits[:, :, 0],
        below=limits[:, :, 1],
        two_sided=np.array([rule.above is not None and rule.below is not None for _, rule, _ in rows], np.bool_),
        below_only=np.array([rule.above is None for _, rule, _ in rows], np.bool_),
        above_inclusive=np.array([rule.above is not None and rule.above.inclusive for _, rule, _ in rows], np.bool_),
        below_inclusive=np.array([rule.below is not None and rule.below.inclusive for _, rule, _ in rows], np.bool_),
        deadband=np.array([rule.deadband for _, rule, _ in rows], np.float64),
        on_delay=durations("on_delay", 0),
        off_delay=durations("off_delay", 0),
        max_gap=durations("max_gap", NEVER_NS),
        after=durations("after", NEVER_NS),
        retired=np.array([NEVER_NS if point.retired_ns is None else point.retired_ns for _, _, point in rows], np.int64),
        offsets=np.searchsorted(numbers, np.arange(size + 1)),
    )


def _limits(rule: Rule, tables: Mapping[str, Table], point: Point, state: str) -> tuple[float, float]:
    """Above and below in a state: infinite where that side has no limit, NaN both where the state is not specified."""
    above = _side(rule.above, "above", np.inf, rule, tables, point, state)
    below = _side(rule.below, "below", -np.inf, rule, tables, point, state)
    if np.isnan(above) or np.isnan(below) or (np.isinf(above) and np.isinf(below) and rule.kind == "limit"):
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
