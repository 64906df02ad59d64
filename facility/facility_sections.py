"""facility.yaml as sections: its keys, their types, what each means."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

from facility.derived_points import DerivedSection
from facility.document import did_you_mean
from facility.sections import Id, PeriodNs, Section, SpanNs, refused
from facility.site import SECOND_NS

Grade = Literal["A", "B", "C", "D", "CNC"]
PlaceType = Literal["room", "airlock", "bsc", "isolator", "incubator", "fridge", "freezer_20", "freezer_80", "ln2"]
State = Literal["in_operation", "at_rest", "cleaning", "maintenance", "shutdown"]


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise refused("the IANA name of a time zone, such as Europe/Stockholm", did_you_mean(name, sorted(available_timezones()))) from None
    return name


def _range(ends: list[float]) -> list[float]:
    if ends[0] >= ends[1]:
        raise refused("two numbers, the lower first")
    return ends


def _slug(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise refused("a quantity: small letters, digits and _, beginning with a letter")
    return name


Timezone = Annotated[str, AfterValidator(_timezone)]
Range = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_range)]
Slug = Annotated[str, AfterValidator(_slug), Field(json_schema_extra={"pattern": "^[a-z][a-z0-9_]*$"})]


class SiteSection(Section):
    id: Id
    """Second level of every topic."""
    name: str = ""
    timezone: Timezone = "UTC"
    """IANA name; times given without an offset are local to it."""


class SystemSection(Section):
    """A piece of plant: what it serves fails together and pages together."""

    id: Id
    name: str = ""
    serves: list[str] = Field([])
    """Ids of rooms and zones."""
    window: SpanNs = 120 * SECOND_NS
    """What fails within so long after the first is told with it, in one page."""


class PointSection(Section):
    """A monitoring point; in a points_file, the same keys as columns."""

    id: Id
    """Unique in the site, last level of its topic."""
    name: str = ""
    quantity: Slug
    unit: str | None = None
    """What its values are kept in; readings in another unit are converted."""
    period: PeriodNs | None = None
    """How often it reports."""
    reports: Literal["each_period", "on_change"] = "each_period"
    """A point that reports on change is judged each period by what it said last."""
    range: Range | None = None
    """Lowest and highest value that can be true; a reading outside is bad."""
    resolution: Annotated[float, Field(gt=0)] | None = None
    tags: list[str] = Field([])
    max_ahead: SpanNs | None = None
    """A reading this far ahead of the clock goes to quarantine (60s)."""
    max_late: SpanNs | None = None
    """A reading this much older than the newest goes to quarantine (35d)."""
    retired: str | None = None
    """Time of its retirement; a point is never deleted."""
    unmonitored: Annotated[str, Field(min_length=1)] | None = None
    """Why no rule watches it."""
    derived: DerivedSection | None = None
    """How it is computed from other points; without, it is measured."""


class TypeSection(Section):
    """A type of instrument: its points, given once; their ids get the instrument's before them."""

    points: list[PointSection] = Field([])
    points_file: str | None = None


class InstrumentSection(Section):
    """An instrument: makes the points `<id>.<point>` of its type."""

    id: Id
    type: str
    name: str = ""
    reference: str | None = None
    """The room or zone that a differential pressure is measured against."""


class DesignSection(Section):
    """How it is built and what it is held at, for the simulator; what is missing follows from grade and type."""

    volume_m3: Annotated[float, Field(gt=0)] | None = None
    height_m: Annotated[float, Field(gt=0)] | None = None
    air_changes_per_hour: Annotated[float, Field(ge=0)] | None = None
    """Supply air, in volumes of the room."""
    pressure_pa: float | None = None
    """Above outside."""
    leak_m2: Annotated[float, Field(gt=0)] | None = None
    """Cracks of walls and ceiling, towards outside; without doors."""
    people: Annotated[float, Field(ge=0)] | None = None
    """At work, in operation."""
    temperature_degc: float | None = None
    humidity_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    doors: list[str] = Field([])
    """Rooms behind doors that have no contact; a point of quantity door makes its door by itself."""


class ZoneSection(Section):
    id: Id
    """Unique among rooms and zones."""
    name: str = ""
    grade: Grade | None = None
    """A zone without has its room's."""
    type: PlaceType | None = None
    """A zone without has its room's; a room without is a room."""
    occupancy: State | None = None
    """Until a message says otherwise."""
    clean_up: SpanNs | None = None
    """For so long after a change to at_rest, limits of in_operation still apply; then a rule of the kind recovery wants it back."""
    at_most: dict[State, PeriodNs] = Field({})
    """How long a state may last."""
    design: DesignSection | None = None
    instruments: list[InstrumentSection] = Field([])
    points: list[PointSection] = Field([])
    points_file: str | None = None
    """CSV with the keys of a point as columns."""


class RoomSection(ZoneSection):
    zones: list[ZoneSection] = Field([])


class FacilitySection(Section):
    """facility.yaml: what is monitored."""

    site: SiteSection
    systems: list[SystemSection] = Field([])
    quantities: dict[Slug, str] = Field({})
    """Quantities of the site's own, each with its unit."""
    types: dict[str, TypeSection] = Field({})
    rooms: list[RoomSection] = Field([])
