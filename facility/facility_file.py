"""facility.yaml and its spreadsheets, read and checked into a Facility."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from facility.derived_points import Asked, derive
from facility.document import Block, Document, Path, did_you_mean, one_of, read_document, shown
from facility.facility_sections import FacilitySection, InstrumentSection, PointSection, RoomSection, ZoneSection
from facility.files import FilePath, Files, Unreadable, beside
from facility.problems import ConfigurationError, Problem
from facility.quantities import QUANTITIES, fitting_units, near_quantity
from facility.sections import keys_of, validated
from facility.site import Design, Facility, Place, Point, Site, System
from facility.spreadsheet import Row, read_rows
from facility.times import parse_time
from facility.units import dimension, unit_name

EMPTY = Facility(Site("unknown", "unknown"))
_MODEL = Point("", "", "", "")
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ENDS = re.compile(rf"\[?\s*({_NUMBER})\s*(?:\.\.|[;,\s])\s*({_NUMBER})\s*\]?")


def load_facility(path: FilePath) -> Facility:
    """Read a facility file; raises ConfigurationError with every problem."""
    files, name = Files.around(path)
    try:
        facility, problems = read_facility(files, name)
    except Unreadable as error:
        raise ConfigurationError([Problem(str(path), 0, "", str(error), "a facility file")]) from None
    if problems:
        raise ConfigurationError(problems)
    return facility


def read_facility(files: Files, name: str) -> tuple[Facility, list[Problem]]:
    """The facility of a file, without what is wrong in it, and every problem; raises Unreadable."""
    document, problems = read_document(files, name)
    if problems and not document.value:
        return EMPTY, problems
    for holder in _holders(document.value):
        problems += _insert_points_file(files, name, document, holder)
    section, faults = validated(FacilitySection, document, stand_ins={"site": {"id": "unnamed-site"}})
    if section is None:
        return EMPTY, problems + faults
    building = _Building(document, section)
    facility = building.facility()
    # A fault in a type of instrument shows at each instrument: said once.
    return facility, list(dict.fromkeys(problems + faults + building.problems))


def _holders(value: Any) -> list[Block]:
    """Every mapping of a facility document that may hold a list of points."""
    rooms = [room for room in _list(value.get("rooms")) if isinstance(room, Block)]
    zones = [zone for room in rooms for zone in _list(room.get("zones")) if isinstance(zone, Block)]
    types = value.get("types")
    return rooms + zones + [type_ for type_ in (types.values() if isinstance(types, Block) else ()) if isinstance(type_, Block)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _insert_points_file(files: Files, name: str, document: Document, holder: Block) -> list[Problem]:
    """Put the rows of a `points_file` where its list of points stands, each with its own file and line."""
    if not isinstance(holder.get("points_file"), str):
        return []
    table = beside(name, holder["points_file"])
    columns = keys_of(PointSection)
    try:
        rows, problems = read_rows(files, table, columns, ("id", "quantity"))
    except Unreadable as error:
        return [document.problem((*holder.path, "points_file"), str(error), "a CSV file with the keys of a point as columns")]
    points = holder.setdefault("points", [])
    if isinstance(points, list) and not any(problem.key in ("id", "quantity") for problem in problems):
        for row in rows:
            path = (*holder.path, "points", len(points))
            document.positions[path] = (files.shown(table), row.line)
            points.append(_point_block(path, row, columns))
    return problems


def _point_block(path: Path, row: Row, columns: tuple[str, ...]) -> Block:
    """A row as the mapping that would stand in YAML; what does not parse stays text, for the section to refuse."""
    block = Block(path)
    for column, text in row.cells.items():
        if column not in columns:
            continue
        block[column] = text
        if column == "range" and (ends := _ENDS.fullmatch(text)):
            block[column] = [float(ends[1]), float(ends[2])]
        elif column == "resolution" and re.fullmatch(_NUMBER, text):
            block[column] = float(text)
        elif column == "tags":
            block[column] = re.split(r"[\s;,]+", text.strip("[] "))
    return block


class _Building:
    """Builds a Facility from its sections and collects what does not fit together."""

    def __init__(self, document: Document, section: FacilitySection) -> None:
        self.document = document
        self.section = section
        self.problems: list[Problem] = []
        self.zone = ZoneInfo(section.site.timezone)
        self.place_ids = tuple(dict.fromkeys(zone.id for room in section.rooms for zone in (room, *room.zones)))
        self.points: list[Point] = []
        self.derived: dict[str, Asked] = {}
        self.seen: dict[tuple[str, str], Path] = {}

    def facility(self) -> Facility:
        site = self.section.site
        places: list[Place] = []
        for room in self.section.rooms:
            self._once("room or zone", room.id, room.at("id"))
            places.append(self._place(room, room))
            for zone in room.zones:
                self._once("room or zone", zone.id, zone.at("id"))
                places.append(self._place(room, zone))
        self.points = derive(self.points, self.derived, self.place_ids, self._refuse)
        return Facility(Site(site.id, site.name or site.id, site.timezone), tuple(places), tuple(self.points), self._systems())

    def _refuse(self, path: Path, found: str, allowed: str, hint: str = "") -> None:
        self.problems.append(self.document.problem(path, found, allowed, hint))

    def _once(self, what: str, id_: str, path: Path) -> None:
        first = self.seen.setdefault((what, id_), path)
        if first != path:
            file, line = self.document.position(first)
            self._refuse(path, f"{id_!r} again, first given in {file}:{line}", f"each {what} id once")

    def _known_place(self, id_: str, path: Path) -> None:
        if id_ not in self.place_ids:
            self._refuse(path, shown(id_), f"a room or zone: {one_of(self.place_ids)}", did_you_mean(id_, self.place_ids))

    def _systems(self) -> tuple[System, ...]:
        for system in self.section.systems:
            self._once("system", system.id, system.at("id"))
            for number, place in enumerate(system.serves):
                self._known_place(place, system.at("serves", number))
        return tuple(System(system.id, system.name or system.id, tuple(system.serves), system.window) for system in self.section.systems)

    def _place(self, room: RoomSection, place: ZoneSection) -> Place:
        first = len(self.points)
        for point in place.points:
            self._once("point", point.id, point.at("id"))
            self._add(room, place, point, point.id, None)
        for instrument in place.instruments:
            self._instrument(room, place, instrument)
        zone = place is not room
        return Place(
            id=place.id,
            name=place.name or place.id,
            grade=place.grade or room.grade,
            type=place.type or room.type or "room",
            parent=room.id if zone else None,
            occupancy=place.occupancy or room.occupancy or "in_operation",
            clean_up_ns=(room.clean_up if place.clean_up is None else place.clean_up) or 0,
            points=tuple(point.id for point in self.points[first:]),
            at_most_ns=tuple((place.at_most or room.at_most).items()),
            design=self._design(place),
        )

    def _design(self, place: ZoneSection) -> Design:
        if (section := place.design) is None:
            return Design()
        for number, behind in enumerate(section.doors):
            self._known_place(behind, section.at("doors", number))
        return Design(**section.model_dump(exclude={"doors"}), doors=tuple(section.doors))

    def _instrument(self, room: RoomSection, place: ZoneSection, instrument: InstrumentSection) -> None:
        self._once("instrument", instrument.id, instrument.at("id"))
        if instrument.reference is not None:
            self._known_place(instrument.reference, instrument.at("reference"))
        type_ = self.section.types.get(instrument.type)
        if type_ is None:
            names = tuple(self.section.types)
            hint = did_you_mean(instrument.type, names)
            self._refuse(instrument.at("type"), shown(instrument.type), f"one of types: {one_of(names)}", hint)
            return
        for point in type_.points:
            id_ = f"{instrument.id}.{point.id}"
            self._once("point", id_, instrument.at("id"))
            self._add(room, place, point, id_, instrument)

    def _add(self, room: RoomSection, place: ZoneSection, point: PointSection, id_: str, instrument: InstrumentSection | None) -> None:
        if point.reports == "on_change" and point.period is None:
            self._refuse(point.at("reports"), "'on_change' without a period", "a `period` beside it: how often what it said last is judged")
        self.points.append(
            Point(
                id=id_,
                quantity=point.quantity,
                unit=self._unit(point),
                room=room.id,
                zone=None if place is room else place.id,
                name=point.name or (instrument.name if instrument else "") or id_,
                grade=place.grade or room.grade,
                type=place.type or room.type or "room",
                period_ns=point.period,
                range=None if point.range is None else (point.range[0], point.range[1]),
                resolution=point.resolution,
                tags=tuple(point.tags),
                max_ahead_ns=_MODEL.max_ahead_ns if point.max_ahead is None else point.max_ahead,
                max_late_ns=_MODEL.max_late_ns if point.max_late is None else point.max_late,
                retired_ns=self._retired(point),
                instrument=instrument.id if instrument else None,
                unmonitored=point.unmonitored,
                reference=instrument.reference if instrument else None,
                on_change=point.reports == "on_change",
            )
        )
        if point.derived is not None:
            belongs = instrument.id if instrument else None
            self.derived.setdefault(id_, Asked(self.points[-1], point.derived, point.at(), belongs, frozenset(point.model_fields_set)))

    def _retired(self, point: PointSection) -> int | None:
        try:
            return None if point.retired is None else parse_time(point.retired, self.zone)
        except ValueError as error:
            self._refuse(point.at("retired"), shown(point.retired), str(error))
            return None

    def _unit(self, point: PointSection) -> str:
        """The point's unit in its one spelling; refused where it does not fit the quantity."""
        declared = self.section.quantities.get(point.quantity)
        near = near_quantity(point.quantity)
        if declared is None and near is not None and point.quantity not in QUANTITIES:
            allowed = f"{one_of(tuple(QUANTITIES))}, or a quantity of your own that `quantities` declares with its unit"
            self._refuse(point.at("quantity"), shown(point.quantity), allowed, f"Did you mean {near}?")
        units = fitting_units(point.quantity, declared)
        if point.unit is None:
            if point.derived is not None and point.derived.sum is None and declared is None:
                return ""  # that of what it is derived of
            if declared is not None or (units is not None and len(units) == 1):
                return unit_name(declared or (units or ("",))[0])
            self._refuse(point.at(), "no key 'unit'", f"a unit of {point.quantity}" + (f": {one_of(units)}" if units else ""))
            return ""
        unit = unit_name(point.unit)
        if units is not None and unit not in units:
            allowed = f"a unit that fits {point.quantity}: {one_of(units)}"
            hint = "" if dimension(unit) else did_you_mean(unit, units)
            self._refuse(point.at("unit"), shown(point.unit), allowed, hint)
        return unit
