"""Pressures of the rooms over time: supply, extract and dampers against leaks and doors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.network import leak_flow
from simulators.plant import Plant
from simulators.series import following

Floats = NDArray[np.float64]

DOOR_AREA_M2 = 2.0
TRIM_LIMIT = 0.15
TRIM_TIME_S = 12.0
"""A damper (VAV box) that holds the room's pressure: how far it can go, as a share of the air that leaks at rest, and how fast."""

REST = 0.005
"""So near to where it wants to be, as a share of how far it can go, a damper stands still: some 0.03 Pa."""


@dataclass(frozen=True, slots=True)
class Air:
    """What moves the air: `supply` and `extract` 0..1 of the fans [steps or 1, places], further leaks m2 of rooms and open doors."""

    supply: Floats
    extract: Floats
    leak_m2: Floats
    doors_open: NDArray[np.bool_]


class PressureModel:
    """The pressures of a plant: dampers hold the design pressure, doors, leaks and fans disturb it."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        design = plant.pressure_pa[None]
        flow = plant.network.flows(design, plant.area_m2[None])
        lost = plant.network.outflow(flow)[0]
        self._supply_m3_s = np.maximum(plant.flow_m3_s[plant.rooms], lost)
        self._extract_m3_s = self._supply_m3_s - lost
        through = plant.network.outflow(np.maximum(flow, 0)) + plant.network.outflow(np.maximum(-flow, 0))
        self._limit_m3_s = TRIM_LIMIT * np.maximum(np.abs(through[0]), np.abs(lost))
        self._trim_m3_s = np.zeros(len(plant.rooms))

    def block(self, air: Air, dt_s: float, steps: int) -> tuple[Floats, Floats]:
        """Pressures [steps or 1, rooms] in Pa above outside and flows [steps or 1, leaks] in m3/s of the next steps.

        The dampers' controllers see what their room lacks at its design pressure, first with its neighbours at theirs, then with them where
        that leaves them.
        """
        plant, network = self._plant, self._plant.network
        area = self._areas(air)
        fan = air.supply[:, plant.rooms]
        moved = self._supply_m3_s * fan - self._extract_m3_s * air.extract[:, plant.rooms]
        pressure: Floats = plant.pressure_pa[None]
        segment, in_segment = _changes(area)
        for turn in (1, 2):
            trim = self._trimmed(self._lacking(pressure, area) - moved, dt_s, steps)
            cause = [moved + trim * fan, area]
            rows = max(len(column) for column in cause)
            supply, leaks = (np.broadcast_to(column, (rows, column.shape[1])) for column in cause)
            first, whose = _changes(supply, leaks)
            if turn == 1:
                # One row for each state of the doors, from which the others are near.
                pressure = network.solve(supply[segment], leaks[segment], pressure)[in_segment]
            solved = network.solve(supply[first], leaks[first], pressure[np.minimum(first, len(pressure) - 1)])
            pressure = solved if len(first) == 1 else solved[whose]
        self._trim_m3_s = trim[-1]
        flow = network.flows(solved, leaks[first])
        return pressure, flow if len(first) == 1 else flow[whose]

    def _areas(self, air: Air) -> Floats:
        plant = self._plant
        leak, doors = air.leak_m2[:, plant.rooms], air.doors_open
        rows = max(len(leak), len(doors))
        area = np.broadcast_to(plant.area_m2, (rows, len(plant.area_m2))).copy()
        area[:, : len(plant.rooms)] += leak
        for number, door in enumerate(plant.doors):
            area[:, door.leak] = np.where(doors[:, number], np.maximum(area[:, door.leak], DOOR_AREA_M2), area[:, door.leak])
        return area

    def _lacking(self, pressure: Floats, area: Floats) -> Floats:
        """m3/s that would leak out of each room if it alone were at its design pressure."""
        here, there, rooms = self._plant.network.here, self._plant.network.there, len(self._plant.rooms)
        design = np.append(self._plant.pressure_pa, 0.0)
        full = np.column_stack([pressure, np.zeros(len(pressure))])
        out = np.zeros((max(len(pressure), len(area)), rooms + 1))
        leaving, entering = leak_flow(design[here] - full[:, there], area), leak_flow(full[:, here] - design[there], area)
        for leak, (a, b) in enumerate(zip(here.tolist(), there.tolist(), strict=True)):
            out[:, a] += leaving[:, leak]
            out[:, b] -= entering[:, leak]
        return out[:, :rooms]

    def _trimmed(self, wanted: Floats, dt_s: float, steps: int) -> Floats:
        wanted = np.clip(wanted, -self._limit_m3_s, self._limit_m3_s)
        trim = following(self._trim_m3_s, wanted, TRIM_TIME_S, dt_s, steps)
        # What no instrument shows is rest, so that a quiet plant costs nothing.
        near = np.abs(trim - wanted) < REST * self._limit_m3_s
        return np.where(near, wanted, trim)


def _changes(*columns: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows that differ from the one before, and for each row which of those holds."""
    differs = np.zeros(len(columns[0]), bool)
    differs[:1] = True
    for column in columns:
        differs[1:] |= (column[1:] != column[:-1]).any(axis=1)
    return np.flatnonzero(differs), np.cumsum(differs) - 1
