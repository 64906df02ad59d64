"""Whether rules fit the facility and its limit tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

from facility.document import Document, Path, did_you_mean, one_of, shown
from facility.durations import Duration
from facility.limits import LimitTable
from facility.problems import Problem
from facility.sections import LONGEST_NS
from facility.site import Facility, Point
from facility.units import UnknownUnit
from rules.plan import limits_of, states_of
from rules.rule import Rule, Selection
from rules.selecting import OF_INSTRUMENTS, Selector, watched

_DURATIONS = ("on_delay", "off_delay", "max_gap", "after", "window", "duration", "within", "unless.at_most", "notify_within")

MATCHES_NOTHING = "a rule that matches no point"


@dataclass(frozen=True, slots=True)
class Written:
    """A rule and the section that it stands in; `level_path` is that of its level when it is one of several."""

    rule: Rule
    document: Document
    path: Path
    level_path: Path | None = None

    def problem(self, key: str, found: str, allowed: str, hint: str = "") -> Problem:
        """A problem with a key of the rule (`unless.point` is one below it), where it is given: in its level or in the rule."""
        given = next((path for path in self._paths(key) if path in self.document.positions), self._paths(key)[0])
        return self.document.problem(given, found, allowed, hint)

    def key_of(self, side: str) -> str:
        """The key that gives a side of the limit: `above` or `at_or_above`."""
        return side if self.gives(side) else f"at_or_{side}"

    def gives(self, *keys: str) -> bool:
        """Whether the file gives any of the keys, rightly or not."""
        return any(path in self.document.positions for key in keys for path in self._paths(key))

    def _paths(self, key: str) -> list[Path]:
        return [(*path, *key.split(".")) for path in (self.level_path, self.path) if path is not None]


@dataclass(frozen=True, slots=True)
class Unspecified:
    """States in which a limit table says nothing for a point: its readings are not judged there."""

    rule: str
    point: str
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """How rules fit: what is wrong, what looks like a mistake, what no table specifies."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    unspecified: tuple[Unspecified, ...] = ()


def check_rules(written: Sequence[Written], facility: Facility, tables: Mapping[str, LimitTable]) -> Fit:
    """Check rules against the points that they select."""
    check = _Check(facility, tables)
    for one in written:
        check.rule(one)
    by_alarm: dict[str, list[Written]] = {}
    for one in written:
        if one.rule.alarm:
            by_alarm.setdefault(one.rule.alarm, []).append(one)
    for levels in by_alarm.values():
        if len(levels) == 2:  # else one was refused
            check.levels(levels)
    return Fit(tuple(dict.fromkeys(check.problems)), tuple(dict.fromkeys(check.warnings)), tuple(check.unspecified))


class _Check:
    def __init__(self, facility: Facility, tables: Mapping[str, LimitTable]) -> None:
        self.facility = facility
        self.tables = tables
        self.known = {point.id: point for point in facility.points if point.retired_ns is None}
        self.selector = Selector(self.known.values())
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.unspecified: list[Unspecified] = []

    def _selected(self, rule: Rule) -> list[Point]:
        if rule.pack:  # fits what it finds
            return self.selector.judged(rule, self.facility)
        of_instruments = rule.kind in OF_INSTRUMENTS
        return [point for point in self.selector.selected(rule.select) if not (of_instruments and point.derived is not None)]

    def rule(self, written: Written) -> None:
        rule = written.rule
        if rule.kind == "state":
            self._states(written)
            return
        points = self._selected(rule)
        if not points and not rule.pack:
            hint = _near_selection(rule.select, self.facility)
            self.warnings.append(written.problem("select", MATCHES_NOTHING, "a selection that matches at least one", hint))
        for key in _DURATIONS:
            duration: Duration | None = attrgetter(key)(rule) if rule.unless or "." not in key else None
            without = [point.id for point in points if point.period_ns is None]
            if duration is not None and duration.periods and without:
                found = f"{duration}, but there is no period at {one_of(without, 3)}"
                self.problems.append(written.problem(key, found, "a duration in s, m, h or d there, or a `period` of the point"))
            far = [point.id for point in points if duration is not None and point.period_ns and duration.of(point.period_ns) > LONGEST_NS]
            if far:
                found = f"{duration}, which is longer than {Duration(LONGEST_NS)} at {one_of(far, 3)}"
                self.problems.append(written.problem(key, found, "fewer periods"))
        if rule.change or rule.tolerance or any(isinstance(bound.value, float) for bound in (rule.above, rule.below) if bound):
            self._one_unit(written, points)
        if any(isinstance(bound.value, str) for bound in (rule.above, rule.below) if bound):
            self._cells(written, points)
        if rule.kind == "recovery" and rule.within is None and not rule.pack:
            self._clean_up(written, points)
        if rule.unless is not None and points:
            self._unless(written, rule.unless.point, points)

    def _states(self, written: Written) -> None:
        """A rule on states watches rooms and zones where one may last only so long; a pack may find none."""
        if not written.rule.pack and not watched(written.rule, self.facility):
            found = "a rule that watches no room or zone"
            self.warnings.append(written.problem("select", found, "at least one that has `at_most` in facility.yaml"))
        if (within := written.rule.notify_within) is not None and within.periods:
            self.problems.append(written.problem("notify_within", str(within), "a duration in s, m, h or d: states have no period"))

    def _unless(self, written: Written, name: str, points: list[Point]) -> None:
        """The point of an `unless` must be there: with {room}, in one of the rooms at least."""
        rooms = tuple(dict.fromkeys(point.room for point in points))
        plain = name.replace("{room}", "")
        if "{" in plain or "}" in plain:
            allowed = "a point of the facility, in which {room} stands for the room of the judged point"
            self.problems.append(written.problem("unless.point", shown(name), allowed))
        elif not any(name.replace("{room}", room) in self.known for room in rooms):
            named = [name.replace("{room}", room) for room in rooms]
            found = f"the unknown point {name!r}" if named == [name] * len(named) else f"{name!r}, which is no point: {one_of(named, 3)}"
            known = tuple(self.known)
            hint = next((hint for one in named if (hint := did_you_mean(one, known))), "")
            self.problems.append(written.problem("unless.point", found, f"a point of the facility: {one_of(known, 5)}", hint))
        derived = [self.facility.point_by_id.get(name.replace("{room}", room)) for room in rooms]
        for other in (point for point in derived if point is not None and point.derived is not None):
            hint = f"Name what {other.id} is derived of."
            self.problems.append(written.problem("unless.point", f"{other.id}, which is derived", "a point that is measured", hint))

    def _clean_up(self, written: Written, points: list[Point]) -> None:
        """Places that neither the rule nor the facility gives a time for are not judged; a pack judges those that it finds."""
        places = tuple(dict.fromkeys(point.place for point in points if not self.facility.place_by_id[point.place].clean_up_ns))
        if places:
            found = f"recovery without a time at {one_of(places, 3)}: not judged there"
            wanted = "`within`, such as 20m, or `clean_up` of the room or zone in facility.yaml"
            self.warnings.append(written.problem("kind", found, wanted))

    def _one_unit(self, written: Written, points: list[Point]) -> None:
        units = {point.unit: point.id for point in points}
        if len(units) > 1:
            found = "one number for points in " + ", ".join(f"{unit or 'no unit'} ({point})" for unit, point in sorted(units.items()))
            self.warnings.append(written.problem("select", found, "points of one unit, as a limit is in the point's unit"))

    def _cells(self, written: Written, points: list[Point]) -> None:
        rule = written.rule
        crossed = ""
        for point in points:
            silent = []
            for state in states_of(rule):
                above, below = self._limits(rule, point, state)
                if math.isnan(above):
                    silent.append(state)
                elif above - rule.deadband < below + rule.deadband:
                    crossed = crossed or f"{rule.deadband:g}, which leaves nothing between {below:g} and {above:g} for {point.id}, {state}"
            if silent and not (rule.pack and len(silent) == len(states_of(rule))):  # else the pack has nothing to say of this point
                self.unspecified.append(Unspecified(rule.id, point.id, tuple(silent)))
        if crossed:
            self.problems.append(written.problem("deadband", crossed, "above - deadband at least below + deadband"))

    def levels(self, levels: list[Written]) -> None:
        """The alert of a rule must lie at or inside its action limit, wherever both are specified."""
        alert, action = sorted(levels, key=lambda one: one.rule.level != "alert")
        if alert.rule.change and action.rule.change and alert.rule.window == action.rule.window and alert.rule.change > action.rule.change:
            found = f"an alert at a change of {alert.rule.change:g}, outside the action limit {action.rule.change:g}"
            self.problems.append(alert.problem("change", found, "an alert at or inside its action limit"))
        for side, sign in (("above", 1), ("below", -1)):
            inner, outer = getattr(alert.rule, side), getattr(action.rule, side)
            if inner is None or outer is None:
                continue
            if isinstance(inner.value, float) and isinstance(outer.value, float):
                values = [(inner.value, outer.value, "")]
            else:
                values = self._both(alert.rule, action.rule, side)
            for low, high, where in values:
                if sign * low > sign * high:
                    found = f"an alert at {low:g}, outside the action limit {high:g}{where}"
                    self.problems.append(alert.problem(alert.key_of(side), found, "an alert at or inside its action limit"))
                    break

    def _both(self, alert: Rule, action: Rule, side: str) -> list[tuple[float, float, str]]:
        """The limits of two levels wherever both are specified: alert, action, and for whom."""
        found = []
        for point in self._selected(alert):
            for state in states_of(alert):
                inner, outer = (self._limits(rule, point, state)[side == "below"] for rule in (alert, action))
                if math.isfinite(inner) and math.isfinite(outer):
                    found.append((inner, outer, f" for {point.id}, {state}"))
        return found

    def _limits(self, rule: Rule, point: Point, state: str) -> tuple[float, float]:
        try:
            return limits_of(rule, self.tables, point, state)
        except UnknownUnit:  # the facility's own check has refused that unit
            return math.nan, math.nan


def _near_selection(select: Selection, facility: Facility) -> str:
    """A suggestion for the first selected name that the facility does not have."""
    points = facility.points
    known: dict[str, Iterable[str | None]] = {
        "point": (point.id for point in points),
        "room": (point.room for point in points),
        "zone": (point.zone for point in points),
        "grade": (point.grade for point in points),
        "quantity": (point.quantity for point in points),
        "type": (point.type for point in points),
        "tag": (tag for point in points for tag in point.tags),
    }
    for attribute in fields(select):
        names = sorted({name for name in known[attribute.name] if name})
        for glob in getattr(select, attribute.name):
            if glob not in names and not set("*?[") & set(glob):
                return did_you_mean(glob, names) or f"There is no {attribute.name} {glob!r}."
    return ""
