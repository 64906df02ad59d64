"""The facility as the dashboards name it: points, places, groups of points of one quantity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from alerts.pages.wording import unit_text
from dashboards.grafana.limits import LimitLine, limit_lines
from dashboards.grafana.look import quantity_text
from dashboards.trend_links import STORAGE_TYPES
from facility.site import Facility, Place, Point
from historian.queries.flux import tag_value
from historian.queries.places import NO_GRADE
from historian.queries.trends import Facts
from rules.plan import Plan, Table, plan_of
from rules.rule import Rule


@dataclass(frozen=True)
class Outline:
    """What the dashboards are built from; `console` is the address of the console, without a slash at its end.

    Ids of points are those that stand in tags.
    """

    facility: Facility
    plan: Plan
    console: str

    @classmethod
    def of(cls, facility: Facility, rules: Iterable[Rule], tables: Mapping[str, Table], console: str) -> Outline:
        """The outline of a checked configuration."""
        facility = facility.as_measured  # InfluxDB has what was measured
        numbers = {point.id: number for number, point in enumerate(facility.points)}
        points = tuple(replace(point, id=tag_value(point.id)) for point in facility.points)
        return cls(replace(facility, points=points), plan_of(facility, rules, tables, numbers), console)

    @property
    def site(self) -> str:
        return self.facility.site.id

    @cached_property
    def lines(self) -> tuple[LimitLine, ...]:
        """The limits that the rules hold against the points."""
        return tuple(replace(line, point=tag_value(line.point)) for line in limit_lines(self.plan))

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Place and name of each point; with its id where two would read the same."""
        plain = {point.id: f"{self.place_name(point.place)} · {self.short_name(point)}" for point in self.facility.points}
        often = Counter(plain.values())
        return {point: name if often[name] == 1 else f"{name} ({point})" for point, name in plain.items()}

    def short_name(self, point: Point) -> str:
        return point.name or quantity_text(point.quantity)

    def place_name(self, place: str) -> str:
        found = self.facility.place_by_id[place]
        return found.name or found.id

    @cached_property
    def rooms(self) -> tuple[Place, ...]:
        return tuple(place for place in self.facility.places if place.parent is None)

    @cached_property
    def grades(self) -> tuple[str, ...]:
        """Grades of points as the variable has them, in the order of the facility."""
        return tuple(dict.fromkeys(point.grade or NO_GRADE for point in self.facility.points))

    def points(self, *quantities: str, where: Callable[[Point], bool] = lambda point: True) -> tuple[Point, ...]:
        """Points of these quantities, of all when none is given."""
        return tuple(point for point in self.facility.points if (not quantities or point.quantity in quantities) and where(point))

    def series(self, points: Iterable[Point]) -> dict[str, str]:
        """Point id -> name."""
        return {point.id: self.names[point.id] for point in points}

    def facts(self, points: Iterable[Point]) -> dict[str, Facts]:
        return {
            point.id: Facts(self.place_name(point.place), self.short_name(point), unit_text(point.unit), point.room) for point in points
        }

    @cached_property
    def room_of(self) -> Mapping[str, str]:
        """Point id -> id of its room."""
        return {point.id: point.room for point in self.facility.points}

    def by_measure(self, points: Iterable[Point]) -> dict[tuple[str, str], tuple[Point, ...]]:
        """(quantity, unit) -> points that one panel can show."""
        found: dict[tuple[str, str], tuple[Point, ...]] = {}
        for point in points:
            key = (point.quantity, point.unit)
            found[key] = (*found.get(key, ()), point)
        return found


def stores(point: Point) -> bool:
    """Whether it belongs to a storage unit."""
    return point.type in STORAGE_TYPES
