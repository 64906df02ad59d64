"""Particles in the rooms' air: one well mixed balance per place and size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.plant import Plant
from simulators.series import Relaxation

Floats = NDArray[np.float64]

PERSON_PER_MIN = (1_020_000.0, 37_300.0)
"""Particles >= 0.5 um and >= 5 um that a person in cleanroom garments sheds a minute, at light activity (Whyte and Hejab)."""
IN_INDOOR_CLOTHES = (2_130_000 / 1_020_000, 332_000 / 37_300)
"""How many times as many in indoor clothes."""
SETTLING_M_S = (0.00001, 0.00078)
OUTSIDE_PER_M3 = (3e7, 3e4)
BEFORE_FILTER_PER_M3 = (3e6, 3e3)
"""What comes to the terminal filters, behind those of the air handler."""
FILTER_PASSES = 5e-5
"""What an H14 filter lets through."""
DOOR_EXCHANGE_M3_S = 0.2
"""Air that the swing of a door and the difference of temperature carry either way through an open one."""
SPILL_M3_S = 0.01
"""Air of the room that falls into a cabinet whose own fan stands still."""
SHARE_INTO_ZONE = 0.002
"""Of what a person sheds, what reaches the first air of a cabinet that he works in."""
Crossing = list[tuple[int | None, int | None, Floats]]
"""From which place to which so much air goes, m3/s over the steps (or one for all); None is outside."""
SWEEPS_MAX, SWEEPS_TOLERANCE = 8, 1e-4


@dataclass(frozen=True, slots=True)
class Sources:
    """What brings particles in, [steps or 1, places]: supply 0..1 of the fans, people (times activity) and other particles a minute
    for each size, the share of the air that passes a leaking filter; and the doors that stand open."""

    supply: Floats
    shedding: tuple[Floats, Floats]
    per_min: tuple[Floats, Floats]
    filter_leak: Floats
    doors_open: NDArray[np.bool_]


class ParticleModel:
    """Concentrations, 2 x places, per m3 and cumulative: `>= 0.5 um` and `>= 5 um`.

    `V dC/dt = S + Q_s C_s + sum(Q_ji C_j) - (eps Q_out + v_d A) C`. Each place is solved exactly over the block, given the course of its
    neighbours; that is repeated until the courses agree.
    """

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        rooms = [*plant.rooms.tolist(), None]
        here, there = plant.network.here.tolist(), plant.network.there.tolist()
        self._ways = [(leak, rooms[a], rooms[b]) for leak, (a, b) in enumerate(zip(here, there, strict=True))]
        self._settling = np.outer(SETTLING_M_S, plant.floor_m2)
        self.per_m3 = np.zeros((2, len(plant)))

    def settle(self, flow_m3_s: Floats, sources: Sources) -> None:
        """Start in the state that a long quiet time leads to."""
        for _ in range(4):
            self.per_m3 = self.block(flow_m3_s, sources, 3600.0, 8)[:, -1]

    def block(self, flow_m3_s: Floats, sources: Sources, dt_s: float, steps: int) -> Floats:
        """The concentrations [2, steps, places] at the end of each of the next steps; `flow_m3_s` [steps or 1, leaks] is that of leaks."""
        plant = self._plant
        crossing = self._crossing(flow_m3_s, sources.doors_open)
        rows = max(len(flow_m3_s), len(sources.doors_open))
        entering = self._carried(crossing, np.ones((len(plant), 1)), 1.0, rows).T
        supply = plant.flow_m3_s * sources.supply
        spill = SPILL_M3_S * (1 - sources.supply) * plant.is_zone
        loss = plant.effectiveness * (supply + entering + spill)
        course = np.stack([self._size(size, crossing, loss, supply, spill, sources, dt_s, steps) for size in (0, 1)])
        self.per_m3 = course[:, -1]
        return course

    def _crossing(self, flow_m3_s: Floats, doors_open: NDArray[np.bool_]) -> Crossing:
        exchanged: dict[int, Floats] = {}
        for number in np.flatnonzero(doors_open.any(axis=0)).tolist():
            leak = self._plant.doors[number].leak
            exchanged[leak] = exchanged.get(leak, np.zeros(1)) + DOOR_EXCHANGE_M3_S * doors_open[:, number]
        crossing: Crossing = []
        for leak, here, there in self._ways:
            flow, both = flow_m3_s[:, leak], exchanged.get(leak)
            for source, target, amount in ((here, there, np.maximum(flow, 0.0)), (there, here, np.maximum(-flow, 0.0))):
                amount = amount if both is None else amount + both
                if amount.any():
                    crossing.append((source, target, amount))
        return crossing

    def _carried(self, crossing: Crossing, course: Floats, outside: float, rows: int) -> Floats:
        """What the crossing air brings into each place [places, rows], of a content `course` [places, steps or 1]."""
        rows = max([rows, course.shape[1], *(len(amount) for _, _, amount in crossing)])
        carried = np.zeros((len(self._plant), rows))
        for source, target, amount in crossing:
            if target is not None:
                carried[target] += amount * (outside if source is None else course[source])
        return carried

    def _size(
        self, size: int, crossing: Crossing, loss: Floats, supply: Floats, spill: Floats, sources: Sources,
        dt_s: float, steps: int,
    ) -> Floats:  # fmt: skip
        plant = self._plant
        share = np.where(plant.is_zone, SHARE_INTO_ZONE, 1.0)
        shed = (PERSON_PER_MIN[size] * share * sources.shedding[size] + sources.per_min[size]) / 60
        passed = supply * (plant.supply_per_m3[size] + sources.filter_leak * BEFORE_FILTER_PER_M3[size]) * ~plant.is_zone
        fixed = shed + plant.equipment_per_s[size] + passed
        from_room = (supply * ((FILTER_PASSES, 0.0)[size] + sources.filter_leak) + spill) * plant.is_zone
        relaxation = Relaxation((loss + self._settling[size]) / plant.volume_m3, dt_s, steps)
        start = after = self.per_m3[size]
        course = start[None]
        for _ in range(SWEEPS_MAX):
            carried = self._carried(crossing, np.ascontiguousarray(course.T), OUTSIDE_PER_M3[size], 1).T
            gain = (fixed + carried + from_room * course[:, plant.parent]) / plant.volume_m3
            after = relaxation.course(start, gain)
            # A step takes the mean of its neighbours' ends for what they were within it.
            middle = (np.vstack([start[None], after[:-1]]) + after) / 2 if len(after) > 1 else after
            moved = float(np.abs(middle - course).max(initial=0.0)) / max(float(middle.max(initial=0.0)), 1.0)
            settled = len(middle) == len(course) and moved < SWEEPS_TOLERANCE
            course = middle
            if settled:
                break
        return np.broadcast_to(after, (steps, len(start)))
