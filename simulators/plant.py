"""What the physics needs to know of a facility: volumes, air flows, leaks and doors, filled in from grades and types."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facility.site import Facility, Place, Point
from simulators.network import Network

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

GAP_AREA_M2 = 0.010
"""Cracks around a closed door: 6 m of gap, 1.7 mm wide."""
ENVELOPE_AREA_M2 = 0.006
"""Ceiling, walls and services of a room, towards outside."""
HEIGHT_M = 2.7
VENTILATION_EFFECTIVENESS = 0.85
CABINETS = ("incubator", "fridge", "freezer_20", "freezer_80", "ln2")


@dataclass(frozen=True, slots=True)
class Built:
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
    "A": Built(60, 60, 45, 0, (50, 0), (0, 0)),
    "B": Built(60, 50, 45, 2, (300, 0), (2_000, 10)),
    "C": Built(80, 30, 30, 1, (300, 0), (200_000, 2_000)),
    "D": Built(150, 15, 15, 1, (3_000, 0), (4_000_000, 40_000)),
    "CNC": Built(120, 8, 5, 1, (600_000, 500), (4_000_000, 40_000)),
}
AIRLOCK_VOLUME_M3 = 20.0
UNIDIRECTIONAL = Built(1.0, 27 * 60, 0, 0, (0, 0), (0, 0))
"""A UDAF cabinet or isolator: 0.45 m/s through 1 m2 of filter."""
STILL = Built(0.3, 2, 0, 0, (0, 0), (0, 0))
"""A storage cabinet."""


def built(place: Place, parent: Place | None) -> Built:
    """How a place is built: by its grade and type, one without grade as its room, else as a corridor; and as its `design` says."""
    if place.type in CABINETS:
        usual = STILL
    elif parent is not None:
        usual = UNIDIRECTIONAL
    else:
        usual = ROOMS.get(place.grade or "CNC", ROOMS["CNC"])
        if place.type == "airlock":
            small, large = usual.equipment_per_min
            usual = replace(usual, volume_m3=AIRLOCK_VOLUME_M3, people=usual.people / 2, equipment_per_min=(small / 4, large / 4))
    names = ("volume_m3", "air_changes_per_hour", "pressure_pa", "people")
    said = {name: value for name in names if (value := getattr(place.design, name)) is not None}
    return replace(usual, **said)


@dataclass(frozen=True, slots=True)
class Door:
    """A door between two nodes of the network and the index of its gap among the leaks; `point` is that of its contact, if it has one."""

    point: int | None
    here: int
    there: int
    leak: int


@dataclass(frozen=True)
class Plant:
    """The facility as the physics sees it.

    Columns over places: `volume_m3`, `floor_m2`, `flow_m3_s` (supply), `effectiveness` of the ventilation, `people` at work in operation,
    `supply_per_m3` and `equipment_per_s` (2 x places: >= 0.5 um, >= 5 um), `parent` (a zone's room, else the place itself), `is_zone`,
    `node` (that of its room). The `network` has a node for each room; `rooms` are their places, `pressure_pa` their design. The first leaks
    are the rooms' own towards outside.
    """

    facility: Facility
    volume_m3: Floats
    floor_m2: Floats
    flow_m3_s: Floats
    effectiveness: Floats
    people: Floats
    supply_per_m3: Floats
    equipment_per_s: Floats
    parent: Indices
    is_zone: NDArray[np.bool_]
    rooms: Indices
    node: Indices
    network: Network
    area_m2: Floats
    pressure_pa: Floats
    doors: tuple[Door, ...]
    index: dict[str, int]

    def __len__(self) -> int:
        return len(self.volume_m3)


def build_plant(facility: Facility) -> Plant:
    """Give every place of the facility its volume, flow, leaks and doors."""
    places = facility.places
    index = {place.id: number for number, place in enumerate(places)}
    forms = tuple(built(place, facility.place_by_id[place.parent] if place.parent else None) for place in places)
    parent = np.array([index[place.parent] if place.parent else number for number, place in enumerate(places)], np.intp)
    rooms = np.array([number for number, place in enumerate(places) if place.parent is None], np.intp)
    node_of = {int(room): node for node, room in enumerate(rooms)}
    node = np.array([node_of[int(room)] for room in parent], np.intp)
    leaks = _leaks(facility, node, index, rooms)
    volume = np.array([form.volume_m3 for form in forms], np.float64)
    return Plant(
        facility=facility,
        volume_m3=volume,
        floor_m2=volume / np.array([place.design.height_m or HEIGHT_M for place in places], np.float64),
        flow_m3_s=volume * np.array([form.air_changes_per_hour for form in forms], np.float64) / 3600,
        effectiveness=np.full(len(places), VENTILATION_EFFECTIVENESS),
        people=np.array([form.people for form in forms], np.float64),
        supply_per_m3=np.array([form.supply_per_m3 for form in forms], np.float64).T.reshape(2, -1),
        equipment_per_s=np.array([form.equipment_per_min for form in forms], np.float64).T.reshape(2, -1) / 60,
        parent=parent,
        is_zone=parent != np.arange(len(places)),
        rooms=rooms,
        node=node,
        network=Network(np.array([a for a, _ in leaks], np.intp), np.array([b for _, b in leaks], np.intp), len(rooms)),
        area_m2=np.array(list(leaks.values()), np.float64),
        pressure_pa=_design_pressures(facility, index, forms)[rooms],
        doors=_doors(facility, node, index, list(leaks)),
        index=index,
    )


def _behind(facility: Facility, door: Point) -> str | None:
    """The place behind a door: its reference, else the room against which its own room's pressure is measured, else outside."""
    if door.reference is not None:
        return door.reference
    for point in facility.points:
        if point.quantity == "differential_pressure" and point.reference is not None:
            if point.place == door.place:
                return point.reference
            if point.reference == door.place:
                return point.place
    return None


def _doorways(facility: Facility, node: Indices, index: dict[str, int]) -> list[tuple[int | None, int, int]]:
    """(contact, node here, node there) of every door between rooms; a zone's own door lets no room air through."""
    ways: list[tuple[int | None, int, int]] = []
    for number, point in enumerate(facility.points):
        if point.quantity == "door" and point.zone is None:
            behind = _behind(facility, point)
            ways.append((number, int(node[index[point.room]]), len(set(node.tolist())) if behind is None else int(node[index[behind]])))
    ways += [(None, int(node[index[place.id]]), int(node[index[behind]])) for place in facility.places for behind in place.design.doors]
    return [way for way in ways if way[1] != way[2]]


def _doors(facility: Facility, node: Indices, index: dict[str, int], leaks: list[tuple[int, int]]) -> tuple[Door, ...]:
    leak_of_pair = {frozenset(pair): number for number, pair in enumerate(leaks)}
    ways = _doorways(facility, node, index)
    return tuple(Door(point, here, there, leak_of_pair[frozenset((here, there))]) for point, here, there in ways)


def _leaks(facility: Facility, node: Indices, index: dict[str, int], rooms: Indices) -> dict[tuple[int, int], float]:
    """m2 of leak by pair of nodes: each room's own towards outside first, then the gaps between neighbours, each pair once."""
    outside = len(rooms)
    leaks = {(number, outside): facility.places[room].design.leak_m2 or ENVELOPE_AREA_M2 for number, room in enumerate(rooms)}
    pairs = [(int(node[index[point.place]]), int(node[index[point.reference]])) for point in facility.points
             if point.quantity == "differential_pressure" and point.reference is not None]  # fmt: skip
    for here, there in pairs + [way[1:] for way in _doorways(facility, node, index)]:
        if here != there and (there, here) not in leaks:
            leaks.setdefault((here, there), GAP_AREA_M2)
    return leaks


def _design_pressures(facility: Facility, index: dict[str, int], forms: tuple[Built, ...]) -> Floats:
    """Pa above outside: as designed, else 15 Pa over a reference of another grade, 5 Pa over one of the same, else by grade."""
    above: dict[int, tuple[int, float]] = {}
    for point in facility.points:
        here = index[point.place]
        if point.quantity == "differential_pressure" and point.reference is not None and here not in above:
            same = facility.place_by_id[point.reference].grade == facility.place_by_id[point.place].grade
            step = 5.0 if same else 15.0
            if point.range is not None:
                step = 0.75 * point.range[0] if point.range[1] <= 0 else min(step, 0.75 * point.range[1])
            above[here] = (index[point.reference], step)
    pressures = {number: pa for number, place in enumerate(facility.places) if (pa := place.design.pressure_pa) is not None}

    def settle(number: int, path: tuple[int, ...] = ()) -> float:
        if number not in pressures:
            parent = facility.places[number].parent
            if number in above and number not in path:
                reference, step = above[number]
                pressures[number] = settle(reference, (*path, number)) + step
            else:
                pressures[number] = forms[number].pressure_pa if parent is None else settle(index[parent], (*path, number))
        return pressures[number]

    return np.array([settle(number) for number in range(len(forms))], np.float64)
