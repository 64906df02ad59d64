"""The monitored site as frozen values: systems, rooms, zones, points."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from facility.derived import Derived

SECOND_NS = 1_000_000_000
OCCUPANCIES = ("in_operation", "at_rest", "cleaning", "maintenance", "shutdown")
GRADES = ("A", "B", "C", "D", "CNC")
PLACE_TYPES = ("room", "airlock", "bsc", "isolator", "incubator", "fridge", "freezer_20", "freezer_80", "ln2")


@dataclass(frozen=True, slots=True)
class Site:
    """The site: its id is the second level of every topic; `timezone` is an IANA name."""

    id: str
    name: str
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True)
class System:
    """A piece of plant and the ids of the rooms and zones that fail with it."""

    id: str
    name: str
    serves: tuple[str, ...] = ()
    window_ns: int = 120 * SECOND_NS
    """What fails within so long after the first is told with it."""


@dataclass(frozen=True, slots=True)
class Point:
    """A monitoring point: one quantity at one place.

    `room` is the id of the room it stands in, `zone` that of its zone or None; `grade` and `type` are the zone's, else the room's.
    `range` ends are inside. `reference` is the place that a differential pressure is measured against, or that lies behind a door.
    One that reports `on_change` still has the value that it last said, each period until it says another.
    Durations are integer nanoseconds.
    """

    id: str
    quantity: str
    unit: str
    room: str
    zone: str | None = None
    name: str = ""
    grade: str | None = None
    type: str = "room"
    period_ns: int | None = None
    range: tuple[float, float] | None = None
    resolution: float | None = None
    tags: tuple[str, ...] = ()
    max_ahead_ns: int = 60 * SECOND_NS
    max_late_ns: int = 35 * 86_400 * SECOND_NS
    retired_ns: int | None = None
    instrument: str | None = None
    unmonitored: str | None = None
    reference: str | None = None
    on_change: bool = False
    derived: Derived | None = None
    """How it is computed from other points; None for a point that is measured."""

    @property
    def place(self) -> str:
        """The id of the zone, else of the room: whose occupancy applies to the point."""
        return self.zone or self.room


@dataclass(frozen=True, slots=True)
class Design:
    """How a room or zone is built and what it is held at, as far as the site says; what is None follows from grade and type.

    `pressure_pa` is above outside, `leak_m2` the cracks of its walls and ceiling; `doors` are the places behind doors without a contact.
    """

    volume_m3: float | None = None
    height_m: float | None = None
    air_changes_per_hour: float | None = None
    pressure_pa: float | None = None
    leak_m2: float | None = None
    people: float | None = None
    temperature_degc: float | None = None
    humidity_percent: float | None = None
    doors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A room, or a zone in one (`parent` is then the room's id); `at_most_ns` says how long a state may last, as (state, ns)."""

    id: str
    name: str
    grade: str | None = None
    type: str = "room"
    parent: str | None = None
    occupancy: str = "in_operation"
    clean_up_ns: int = 0
    points: tuple[str, ...] = ()
    at_most_ns: tuple[tuple[str, int], ...] = ()
    design: Design = Design()


@dataclass(frozen=True)
class Facility:
    """The whole site; `places` lists each room before its zones, `points` stands in file order."""

    site: Site
    places: tuple[Place, ...] = ()
    points: tuple[Point, ...] = ()
    systems: tuple[System, ...] = field(default=())

    @cached_property
    def place_by_id(self) -> dict[str, Place]:
        return {place.id: place for place in self.places}

    @cached_property
    def measured(self) -> tuple[Point, ...]:
        """The points that have readings of their own: all but the derived ones."""
        return tuple(point for point in self.points if point.derived is None)

    @property
    def as_measured(self) -> Facility:
        """The site without its derived points."""
        return self if len(self.measured) == len(self.points) else replace(self, points=self.measured)

    @cached_property
    def state_points(self) -> dict[str, Point]:
        """By room or zone the point that stands for what is said of its state."""
        return {
            place.id: Point(
                id=f"{place.id}/occupancy",
                quantity="occupancy",
                unit="",
                room=place.parent or place.id,
                zone=place.id if place.parent else None,
                grade=place.grade,
                type=place.type,
            )
            for place in self.places
        }

    @cached_property
    def judged_by_id(self) -> dict[str, Point]:
        """All that rules judge: the points, and those that stand for states."""
        return self.point_by_id | {point.id: point for point in self.state_points.values()}

    @cached_property
    def point_by_id(self) -> dict[str, Point]:
        return {point.id: point for point in self.points}
