"""What a scenario does to a plant at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from simulators.instruments import Faults
from simulators.plant import CABINETS, Plant
from simulators.script import Occurrence

Floats = NDArray[np.float64]


@dataclass(slots=True)
class Controls:
    """What people and failures do to the plant now; columns over places, `doors_open` over its doors, `contacts` and `faults` over points.

    `fan` 0..1; `source_per_min` particles >= 0.5 um beside what people shed; `opened` is 1 where a cabinet's door is open; `warm_per_s`
    is 0 where cooling works, else 1 over the time constant of warming up to `warm_to` degC.
    """

    fan: Floats
    people: Floats
    leak_m2: Floats
    source_per_min: Floats
    opened: Floats
    warm_per_s: Floats
    warm_to: Floats
    doors_open: NDArray[np.bool_]
    contacts: Floats
    faults: Faults

    @classmethod
    def at_rest(cls, plant: Plant) -> Self:
        zero = np.zeros(len(plant.designs))
        return cls(
            np.ones_like(zero), plant.people.copy(), zero.copy(), zero.copy(), zero.copy(), zero.copy(), zero.copy(),
            np.zeros(len(plant.doors), bool), np.zeros(len(plant.facility.points)), Faults.none(len(plant.facility.points)),
        )  # fmt: skip

    def apply(self, occurrence: Occurrence, plant: Plant) -> None:
        """Add what one event does."""
        event, places = occurrence.track.event, list(occurrence.track.places)
        parameters = event.parameters
        if event.kind == "door_open":
            self._open(occurrence, plant)
        elif event.kind == "supply_loss":
            self.fan[places] = np.minimum(self.fan[places], parameters["factor"])
        elif event.kind == "leak":
            self.leak_m2[places] += parameters["area_m2"]
        elif event.kind == "intervention":
            self.source_per_min[places] += parameters["particles_per_min"]
        elif event.kind == "people":
            self.people[places] = parameters["count"]
        elif event.kind == "warm_up":
            self.warm_per_s[places] = 1e9 / parameters["tau"]
            self.warm_to[places] = parameters["to"]
        else:
            self._spoil(occurrence)

    def _open(self, occurrence: Occurrence, plant: Plant) -> None:
        points = occurrence.track.points
        self.contacts[list(points)] = 1.0
        for number, door in enumerate(plant.doors):
            self.doors_open[number] |= door.point in points
        for place in occurrence.track.places:
            if plant.facility.places[place].type in CABINETS:
                self.opened[place] = 1.0

    def _spoil(self, occurrence: Occurrence) -> None:
        event, points = occurrence.track.event, list(occurrence.track.points)
        flags = {"dropout": self.faults.silent, "fault": self.faults.bad, "stuck": self.faults.stuck,
                 "duplicate": self.faults.twice, "garble": self.faults.garbled}[event.kind]  # fmt: skip
        flags[points] = True
        if event.kind == "fault":
            self.faults.fault_value[points] = event.parameters["value"]
