"""The key `derived` of a point: its sections, and what they make of a facility's points."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated

from pydantic import Field, PlainValidator, WithJsonSchema

from facility.derived import DIFFERENCE, MAXIMUM, MINIMUM, SAMPLES_MAX, SUM, Derived, Origin
from facility.document import Path, did_you_mean, one_of, shown
from facility.durations import Duration
from facility.quantities import fitting_units
from facility.sections import LONGEST_NS, AnyDuration, Section, refused
from facility.site import SECOND_NS, Point
from facility.units import conversion, dimension, unit_name, units_of

DEFAULT_PERIODS = 3
VOLUME_MAX_L = 10**6
_VOLUME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([^\d\s.]\S*)\s*")
_VOLUME_ALLOWED = "a volume such as 1 m3, 28.3 L, 1 ft3"
_KINDS = (DIFFERENCE, MINIMUM, MAXIMUM, SUM)
_MEASURED = ("range", "max_ahead", "max_late", "reports")

Refuse = Callable[[Path, str, str, str], None]


def _volume(value: object) -> Fraction:
    """Litres, exactly."""
    found = _VOLUME.fullmatch(value) if isinstance(value, str) else None
    unit = unit_name(found[2]) if found else ""
    if found is None or dimension(unit) != "volume" or not 0 < (litres := Fraction(found[1]) * _ratio(unit, "L")) <= VOLUME_MAX_L:
        raise refused(_VOLUME_ALLOWED)
    return litres


def _ratio(source: str, target: str) -> Fraction:
    """How much of `target` is one of `source`, exactly."""
    found = conversion(source, target)
    return Fraction(found.multiplier) / Fraction(found.divisor)


_VOLUME_SCHEMA = {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(m3|m³|L|l|mL|ml|ft3)\s*$", "examples": ["1 m3", "28.3 L"]}
Volume = Annotated[Fraction, PlainValidator(_volume), WithJsonSchema(_VOLUME_SCHEMA)]


class OverSection(Section):
    """The points of one quantity in a room or zone."""

    room: str | None = None
    """Its own points, not those of its zones."""
    zone: str | None = None
    quantity: str | None = None
    """The derived point's own unless given."""


class DerivedSection(Section):
    """How a point is computed from others: one of difference, minimum, maximum, sum."""

    difference: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None
    """Ids of two points: the first minus the second."""
    minimum: OverSection | None = None
    """The lowest of what the points of a room say."""
    maximum: OverSection | None = None
    """The highest of what the points of a room say."""
    sum: str | None = None
    """Id of a particle counter's point: how many particles it counted in the last `volume`."""
    volume: Volume | None = None
    """Of a sum: the air that it is over, such as 1 m3; rounded up to whole samples."""
    sample: Volume | None = None
    """Of a sum: the air that one reading is of, such as 28.3 L."""
    max_age: AnyDuration | None = None
    """A reading older than this counts no more, and between two samples it is a gap (3 periods of the point that is read)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A derived point as its file has it: where it stands, its section, the instrument that it belongs to, the keys that it gives."""

    point: Point
    section: DerivedSection
    path: Path
    instrument: str | None
    given: frozenset[str]


def derive(points: Sequence[Point], asked: Mapping[str, Asked], places: Sequence[str], refuse: Refuse) -> list[Point]:
    """The points, those that are derived with all that follows from what they are derived of; `refuse` is told what is wrong."""
    measured = {point.id: point for point in points if point.id not in asked}
    return [_Deriving(asked[point.id], measured, asked, places, refuse).point() if point.id in asked else point for point in points]


@dataclass(frozen=True, slots=True)
class _Deriving:
    asked: Asked
    measured: Mapping[str, Point]
    others: Mapping[str, Asked]
    places: Sequence[str]
    refuse: Refuse

    def point(self) -> Point:
        """The point; a stand-in where something was refused: measured, with a period, so that rules in periods are not refused too."""
        point = self._point()
        return point if point.derived is not None else replace(point, period_ns=point.period_ns or SECOND_NS)

    def _point(self) -> Point:
        point, section = self.asked.point, self.asked.section
        for key in _MEASURED:
            if key in self.asked.given:
                self.refuse((*self.asked.path, key), f"{key!r} of a derived point", "it at the points that are measured", "")
        kinds = [kind for kind in _KINDS if getattr(section, kind) is not None]
        if len(kinds) != 1:
            found = "no way to compute it" if not kinds else " and ".join(kinds)
            self.refuse(section.at(), found, f"one of {one_of(_KINDS)}", "")
            return point
        origins = self._origins(kinds[0])
        for key in ("volume", "sample"):
            if (getattr(section, key) is None) == (kinds[0] == SUM):
                found = f"no key {key!r}" if kinds[0] == SUM else f"{key!r} without `sum`"
                self.refuse(section.at(key) if kinds[0] != SUM else section.at(), found, "`volume` and `sample`, with `sum` only", "")
                origins = []
        if not origins:
            return point
        periods = [origin.period_ns for origin in origins if origin.period_ns is not None]
        point = replace(point, unit=self._unit(kinds[0], origins), period_ns=point.period_ns or min(periods, default=None))
        ages = [self._max_age(origin) for origin in origins]
        derived = Derived(kinds[0], tuple(Origin(origin.id, age, origin.retired_ns) for origin, age in zip(origins, ages, strict=True)))
        return replace(point, derived=self._summed(derived, point, origins[0]) if kinds[0] == SUM else derived)

    def _origins(self, kind: str) -> list[Point]:
        section = self.asked.section
        if kind == SUM:
            assert section.sum is not None
            return [found] if (found := self._named(section.sum, section.at("sum"))) else []
        if kind == DIFFERENCE:
            assert section.difference is not None
            found_both = [self._named(name, section.at("difference", number)) for number, name in enumerate(section.difference)]
            known = [found for found in found_both if found is not None]
            if len(known) == 2 and known[0] is known[1]:
                self.refuse(section.at("difference"), f"{known[0].id!r} twice", "two points", "")
            return known if len({found.id for found in known}) == 2 else []
        over: OverSection = getattr(section, kind)
        return self._over(over)

    def _named(self, name: str, path: Path) -> Point | None:
        """A measured point by its id; in a type of instrument also by its id there."""
        names = [f"{self.asked.instrument}.{name}", name] if self.asked.instrument else [name]
        for one in names:
            if one in self.measured:
                return self.measured[one]
            if one in self.others:
                self.refuse(path, f"{one!r}, which is derived itself", "a point that is measured", "Name what that point is derived of.")
                return None
        self.refuse(path, f"the unknown point {name!r}", f"a point of the facility: {one_of(tuple(self.measured), 5)}",
                    did_you_mean(name, tuple(self.measured)))  # fmt: skip
        return None

    def _over(self, over: OverSection) -> list[Point]:
        if (over.room is None) == (over.zone is None):
            self.refuse(over.at(), "room and zone" if over.room else "no room", "the id of a room, or of a zone", "")
            return []
        place, key = (over.room, "room") if over.room is not None else (over.zone, "zone")
        quantity = over.quantity or self.asked.point.quantity
        inside = [point for point in self.measured.values() if point.quantity == quantity and point.place == place]
        if place not in self.places:
            self.refuse(
                over.at(key), shown(place), f"a room or zone: {one_of(tuple(self.places))}", did_you_mean(place, tuple(self.places))
            )
        elif not inside:
            self.refuse(over.at(), f"no measured point of {quantity} in {place}", "a room or zone that has some", "")
        return inside

    def _max_age(self, origin: Point) -> int:
        given, section = self.asked.section.max_age, self.asked.section
        if given is None and (origin.period_ns is None or origin.on_change):
            why = "reports on change" if origin.on_change else "declares no period"
            self.refuse(section.at(), f"no key 'max_age', and {origin.id} {why}", "how old a reading of it may be", "")
            return 1
        duration = Duration(periods=Fraction(DEFAULT_PERIODS)) if given is None else given
        if duration.periods and origin.period_ns is None:
            self.refuse(section.at("max_age"), f"{duration}, but {origin.id} declares no period", "a duration in s, m, h or d", "")
            return 1
        if not 0 < duration.of(origin.period_ns) <= LONGEST_NS:
            self.refuse(section.at("max_age"), shown(str(duration)), f"a duration above 0, of at most {Duration(LONGEST_NS)}", "")
            return 1
        return duration.of(origin.period_ns)

    def _unit(self, kind: str, origins: Sequence[Point]) -> str:
        """The unit of the derived point: of a difference, minimum, maximum that of what it is of."""
        point = self.asked.point
        if kind == SUM:
            return point.unit
        wanted = point.unit or origins[0].unit
        other = next((origin for origin in origins if origin.unit != wanted), None)
        fitting = fitting_units(point.quantity) if not point.unit else None
        if other is not None:
            hint = "Give all of them, and this one, the same `unit`."
            self.refuse(self.asked.section.at(kind), f"{other.id} in {other.unit or 'no unit'}", f"points in {wanted or 'no unit'}", hint)
        elif fitting is not None and wanted not in fitting:
            self.refuse((*self.asked.path, "quantity"), f"{wanted or 'no unit'}, the unit of {origins[0].id}", f"{one_of(fitting)}", "")
        return wanted

    def _summed(self, derived: Derived, point: Point, origin: Point) -> Derived:
        volume, sample = self.asked.section.volume, self.asked.section.sample
        assert volume is not None
        assert sample is not None
        samples = -(-volume // sample)
        if samples > SAMPLES_MAX or sample > volume:
            found = f"a volume of {samples} samples" if sample <= volume else "a sample larger than the volume"
            self.refuse(self.asked.section.at("sample"), found, f"1 to {SAMPLES_MAX} samples", "")
            return derived
        concentrations = units_of("number concentration")
        per_value = sample * _ratio(origin.unit, "1/L") if origin.unit in concentrations else Fraction(1)
        per_volume = volume * _ratio(point.unit, "1/L") if point.unit in concentrations else Fraction(1)
        return replace(derived, samples=int(samples), per_value=float(per_value), per_volume=float(per_volume))


__all__ = ["Asked", "DerivedSection", "derive"]
