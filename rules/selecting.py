"""Which points a rule selects: asked of one point, or of all points at once by an index."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile

from facility.own import OWN
from facility.site import Facility, Place, Point
from rules.rule import Rule, Selection

OF_INSTRUMENTS = ("stale", "quality", "flatline", "clock_ahead")
"""Kinds that judge instruments; a derived point has none."""
ATTRIBUTES = ("point", "room", "zone", "grade", "quantity", "type", "tag")
_WILD = frozenset("*?[")


def matches(select: Selection, point: Point) -> bool:
    """Whether every given attribute of the selection fits the point; `room` means the room's own points, not its zones'.

    The service's own points are selected by name only (facility/own.py).
    """
    if point.id.startswith(OWN) and not (select.point or select.room):
        return False
    return all(
        not (globs := getattr(select, attribute)) or any(_fits(glob, value) for value in _values(point, attribute) for glob in globs)
        for attribute in ATTRIBUTES
    )


def judges(rule: Rule, point: Point, facility: Facility) -> bool:
    """Whether a rule judges a point: it selects it, and the point has a period, an instrument, or a clean-up time where it asks for one."""
    return rule.kind != "state" and matches(rule.select, point) and _suits(rule, point, facility)


def within_ns(rule: Rule, point: Point, facility: Facility) -> int:
    """The time that a rule of the kind recovery gives a point's place: its own, else the place's clean-up time, which may be 0."""
    return facility.place_by_id[point.place].clean_up_ns if rule.within is None else rule.within.of(point.period_ns)


def watched(rule: Rule, facility: Facility) -> list[Place]:
    """The rooms and zones that a rule of the kind state watches: those that it selects, and where a state may last only so long."""
    return [place for place in facility.places if place.at_most_ns and matches(rule.select, facility.state_points[place.id])]


class Selector:
    """What `matches` and `judges` say of all points at once, in their order; a selection costs by what it finds, not by all there are."""

    def __init__(self, points: Iterable[Point]) -> None:
        self._points = tuple(points)
        self._by_value: dict[str, dict[str, set[int]]] = {attribute: {} for attribute in ATTRIBUTES}
        for number, point in enumerate(self._points):
            for attribute, found in self._by_value.items():
                for value in _values(point, attribute):
                    found.setdefault(value, set()).add(number)
        self._names = {attribute: sorted(found) for attribute, found in self._by_value.items()}
        self._unnamed = {number for number, point in enumerate(self._points) if not point.id.startswith(OWN)}
        self._known: dict[tuple[str, str], set[int]] = {}

    def selected(self, select: Selection) -> list[Point]:
        """The points that a selection matches."""
        found = [self._of(attribute, globs) for attribute in ATTRIBUTES if (globs := getattr(select, attribute))]
        if not (select.point or select.room):
            found.append(self._unnamed)
        return [self._points[number] for number in sorted(set.intersection(*sorted(found, key=len)))]

    def judged(self, rule: Rule, facility: Facility) -> list[Point]:
        """The points that a rule judges."""
        return [] if rule.kind == "state" else [point for point in self.selected(rule.select) if _suits(rule, point, facility)]

    def _of(self, attribute: str, globs: Sequence[str]) -> set[int]:
        found = [self._of_glob(attribute, glob) for glob in globs]
        return found[0] if len(found) == 1 else set().union(*found)

    def _of_glob(self, attribute: str, glob: str) -> set[int]:
        by_value = self._by_value[attribute]
        if _WILD.isdisjoint(glob):
            return by_value.get(glob, set())
        if (attribute, glob) not in self._known:
            names, head = self._names[attribute], "".join(takewhile(lambda letter: letter not in _WILD, glob))
            near = takewhile(lambda name: name.startswith(head), names[bisect_left(names, head) :])
            self._known[attribute, glob] = set().union(*(by_value[name] for name in near if _fits(glob, name)))
        return self._known[attribute, glob]


def _suits(rule: Rule, point: Point, facility: Facility) -> bool:
    durations = (rule.on_delay, rule.off_delay, rule.max_gap, rule.after, rule.window, rule.duration, rule.within)
    if point.period_ns is None and any(duration is not None and duration.periods for duration in durations):
        return False
    if point.derived is not None and rule.kind in OF_INSTRUMENTS:
        return False
    return rule.kind != "recovery" or within_ns(rule, point, facility) > 0


def _values(point: Point, attribute: str) -> tuple[str, ...]:
    """What a point has of an attribute of selections."""
    if attribute == "tag":
        return point.tags
    value = point.id if attribute == "point" else None if attribute == "room" and point.zone else getattr(point, attribute)
    return () if value is None else (value,)


def _fits(glob: str, value: str) -> bool:
    return (glob[0] == OWN or value[:1] != OWN) and fnmatchcase(value, glob)
