"""What an event alone does to the pressures of a plant: a cascade carries it further than to the next room."""

from __future__ import annotations

import numpy as np

from simulators.controls import Controls
from simulators.plant import Plant
from simulators.pressure import PressureModel
from simulators.script import STEP_NS, Occurrence, Track

FELT_PA = 1.0
"""A pressure difference that moves by as much shows it."""
STEPS = 20


def moved_pressures(plant: Plant, track: Track) -> frozenset[int]:
    """The numbers of the pressure points that move when a track acts on a plant at rest."""
    controls = Controls(plant, plant.people, 1)
    controls.apply(Occurrence(track, 0, None), 0, STEP_NS)
    pressure, _ = PressureModel(plant).block(controls.air(controls.fan.rows, controls.extract.rows), STEP_NS / 1e9, STEPS)
    shift = np.column_stack([pressure - plant.pressure_pa, np.zeros(len(pressure))])
    outside, moved = len(plant.rooms), []
    for number, point in enumerate(plant.facility.points):
        if point.quantity != "differential_pressure":
            continue
        here = int(plant.node[plant.index[point.place]])
        there = outside if point.reference is None else int(plant.node[plant.index[point.reference]])
        if np.abs(shift[:, here] - shift[:, there]).max() >= FELT_PA:
            moved.append(number)
    return frozenset(moved)
