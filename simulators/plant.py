"""What the physics needs to know of a facility: volumes, air flows, leaks and doors, filled in from grades and types."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facility.site import Facility, Place, Point

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

GAP_AREA_M2 = 0.010
"""Cracks around a closed door: 6 m of gap, 1.7 mm wide."""
ENVELOPE_AREA_M2 = 0.006
"""Ceiling, walls and services of a room, towards outside."""
DOOR_AREA_M2 = 2.0
CABINETS = ("incubator", "fridge", "freezer_20", "freezer_80", "ln2")


@dataclass(frozen=True, slots=True)
class Design:
    """How a place of one grade is built: volume m3, air changes 1/h, pressure Pa above outside, people at work.

    `supply_per_m3` are the particles that pass the filters, `equipment_per_min` what machines shed; each for >= 0.5 um and >= 5 um.
    """

    volume_m3: float
    air_changes_per_hour: float
    pressure_pa: float
    people: float
    supply_per_m3: tuple[float, float]
    equipment_per_min: tuple[float, float]


# Air changes and resulting counts lie inside the typical ranges of EU GMP grades.
ROOMS = {
    "A": Design(60, 60, 45, 0, (50, 0), (0, 0)),
    "B": Design(60, 50, 45, 2, (300, 0), (2_000, 100)),
    "C": Design(80, 30, 30, 1, (300, 0), (200_000, 2_000)),
    "D": Design(150, 15, 15, 1, (3_000, 0), (4_000_000, 40_000)),
    "CNC": Design(120, 8, 5, 1, (600_000, 500), (4_000_000, 40_000)),
}
AIRLOCK_VOLUME_M3 = 20.0
UNIDIRECTIONAL = Design(1.0, 27 * 60, 0, 0, (0, 0), (0, 0))
"""A UDAF cabinet or isolator: 0.45 m/s through 1 m2 of filter."""
STILL = Design(0.3, 2, 0, 0, (0, 0), (0, 0))
"""A storage cabinet."""


def design_of(place: Place, parent: Place | None) -> Design:
    """The design of a place, by its grade and type; a place without grade is built as its room, else as a corridor."""
    if place.type in CABINETS:
        return STILL
    if parent is not None:
        return UNIDIRECTIONAL
    design = ROOMS.get(place.grade or "CNC", ROOMS["CNC"])
    if place.type == "airlock":
        small, large = design.equipment_per_min
        return replace(design, volume_m3=AIRLOCK_VOLUME_M3, people=design.people / 2, equipment_per_min=(small / 4, large / 4))
    return design


@dataclass(frozen=True, slots=True)
class Door:
    """A door between two nodes: `point` is the index of its contact among the facility's points, `leak` that of its gap among the leaks."""

    point: int
    here: int
    there: int
    leak: int


@dataclass(frozen=True)
class Plant:
    """The facility as a network of air: node i is place i, the last node is outside.

    Columns are over places: `volume_m3`, `flow_m3_s` (total supply), `pressure_pa` (design), `people`, `supply_per_m3` and
    `equipment_per_s` (2 x places: >= 0.5 um, >= 5 um), `parent` (a zone's room, else the place itself).
    Columns over leaks: `here`, `there` (nodes), `area_m2`; the first leaks are the places' own towards outside or towards their room.
    """

    facility: Facility
    designs: tuple[Design, ...]
    volume_m3: Floats
    flow_m3_s: Floats
    pressure_pa: Floats
    people: Floats
    supply_per_m3: Floats
    equipment_per_s: Floats
    parent: Indices
    is_zone: NDArray[np.bool_]
    here: Indices
    there: Indices
    area_m2: Floats
    doors: tuple[Door, ...]
    index: dict[str, int]

    @property
    def outside(self) -> int:
        return len(self.designs)


def build_plant(facility: Facility) -> Plant:
    """Give every place of the facility its volume, flow, leaks and doors."""
    places = facility.places
    index = {place.id: number for number, place in enumerate(places)}
    designs = tuple(design_of(place, facility.place_by_id[place.parent] if place.parent else None) for place in places)
    parent = np.array([index[place.parent] if place.parent else number for number, place in enumerate(places)], np.intp)
    leaks = _leaks(facility, index, parent)
    volume = np.array([design.volume_m3 for design in designs])
    return Plant(
        facility=facility,
        designs=designs,
        volume_m3=volume,
        flow_m3_s=volume * np.array([design.air_changes_per_hour for design in designs]) / 3600,
        pressure_pa=_design_pressures(facility, index, parent, designs),
        people=np.array([design.people * (place.occupancy == "in_operation") for place, design in zip(places, designs, strict=True)]),
        supply_per_m3=np.array([design.supply_per_m3 for design in designs]).T.reshape(2, -1),
        equipment_per_s=np.array([design.equipment_per_min for design in designs]).T.reshape(2, -1) / 60,
        parent=parent,
        is_zone=np.array([place.parent is not None for place in places], bool),
        here=np.array([pair[0] for pair in leaks], np.intp),
        there=np.array([pair[1] for pair in leaks], np.intp),
        area_m2=np.array(list(leaks.values()), np.float64),
        doors=_doors(facility, index, list(leaks)),
        index=index,
    )


def _behind(facility: Facility, door: Point, index: dict[str, int]) -> int:
    """The node behind a door: its reference, else the room against which its own room's pressure is measured, else outside."""
    if door.reference is not None:
        return index[door.reference]
    for point in facility.points:
        if point.quantity == "differential_pressure" and point.reference is not None:
            if point.place == door.place:
                return index[point.reference]
            if point.reference == door.place:
                return index[point.place]
    return len(index)


def _doorways(facility: Facility, index: dict[str, int]) -> list[tuple[int, int, int]]:
    """(point, node here, node there) of every door between rooms; a cabinet's door lets no room air through."""
    doors = [(number, index[point.place], _behind(facility, point, index)) for number, point in enumerate(facility.points)
             if point.quantity == "door" and facility.place_by_id[point.place].type not in CABINETS]  # fmt: skip
    return [door for door in doors if door[1] != door[2]]


def _doors(facility: Facility, index: dict[str, int], leaks: list[tuple[int, int]]) -> tuple[Door, ...]:
    leak_of_pair = {frozenset(pair): number for number, pair in enumerate(leaks)}
    return tuple(Door(point, here, there, leak_of_pair[frozenset((here, there))]) for point, here, there in _doorways(facility, index))


def _leaks(facility: Facility, index: dict[str, int], parent: Indices) -> dict[tuple[int, int], float]:
    """m2 of leak by pair of nodes: each place's own first, then the gaps between neighbours, each pair once."""
    leaks = {(number, len(index) if room == number else int(room)): ENVELOPE_AREA_M2 for number, room in enumerate(parent)}
    pairs = [(index[point.place], index[point.reference]) for point in facility.points
             if point.quantity == "differential_pressure" and point.reference is not None]  # fmt: skip
    for here, there in pairs + [door[1:] for door in _doorways(facility, index)]:
        if here != there and (there, here) not in leaks:
            leaks.setdefault((here, there), GAP_AREA_M2)
    return leaks


def _design_pressures(facility: Facility, index: dict[str, int], parent: Indices, designs: tuple[Design, ...]) -> Floats:
    """Pa above outside: 15 Pa over the reference of another grade, 5 Pa over one of the same; by grade where nothing is measured."""
    above: dict[int, tuple[int, float]] = {}
    for point in facility.points:
        if point.quantity == "differential_pressure" and point.reference is not None and index[point.place] not in above:
            same = facility.place_by_id[point.reference].grade == facility.place_by_id[point.place].grade
            step = 5.0 if same else 15.0
            if point.range is not None:
                step = 0.75 * point.range[0] if point.range[1] <= 0 else min(step, 0.75 * point.range[1])
            above[index[point.place]] = (index[point.reference], step)
    pressures: dict[int, float] = {}

    def settle(node: int, path: tuple[int, ...] = ()) -> float:
        if node not in pressures:
            if node in above and node not in path:
                reference, step = above[node]
                pressures[node] = settle(reference, (*path, node)) + step
            else:
                pressures[node] = settle(int(parent[node]), (*path, node)) if parent[node] != node else designs[node].pressure_pa
        return pressures[node]

    return np.array([settle(node) for node in range(len(designs))], np.float64)
