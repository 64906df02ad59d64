"""Particles in the rooms' air: one well mixed balance per place and size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulators.controls import Controls
from simulators.plant import Plant

Floats = NDArray[np.float64]

PERSON_PER_MIN = (1_020_000.0, 37_300.0)
"""Particles >= 0.5 um and >= 5 um that a person in cleanroom garments sheds a minute (Whyte and Hejab)."""
LIGHT_ACTIVITY = 0.5
LARGE_SHARE = PERSON_PER_MIN[1] / PERSON_PER_MIN[0]
SETTLING_M_S = (0.00001, 0.00078)
CEILING_M = 2.7
VENTILATION_EFFECTIVENESS = 0.85
OUTSIDE_PER_M3 = (3e7, 3e4)
FILTER_PASSES = 5e-5
"""What an H14 filter lets through."""
DOOR_EXCHANGE_M3_S = 0.2
"""Air that the swing of a door and the difference of temperature carry either way through an open one."""
SHARE_INTO_ZONE = 0.002
"""Of what a person sheds, what reaches the first air of a cabinet that he works in."""


def relax(now: Floats, gain_per_s: Floats, loss_per_s: Floats, dt_s: float) -> Floats:
    """The exact solution of `dC/dt = gain - loss * C` after `dt_s`; a place that loses nothing grows in a line."""
    decay = np.exp(-loss_per_s * dt_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(loss_per_s > 0, (1 - decay) / loss_per_s, dt_s)
    relaxed: Floats = now * decay + gain_per_s * weight
    return relaxed


class ParticleModel:
    """Concentrations, 2 x places, per m3 and cumulative: `>= 0.5 um` and `>= 5 um`.

    `V dC/dt = S + Q_s C_s + sum(Q_ji C_j) - (eps Q_out + v_d A) C`, the neighbours' C taken from the step before.
    """

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._settling = np.outer(SETTLING_M_S, plant.volume_m3 / CEILING_M)
        self.per_m3 = np.zeros((2, len(plant.designs)))

    def settle(self, flow_m3_s: Floats, controls: Controls) -> None:
        """Start in the state that a long quiet time leads to."""
        ones = np.ones_like(controls.fan)
        for _ in range(30):
            self.step(3600.0, ones, flow_m3_s, controls, LIGHT_ACTIVITY * ones)

    def step(self, dt_s: float, fan: Floats, flow_m3_s: Floats, controls: Controls, activity: Floats) -> None:
        """Go on by `dt_s`; `fan` 0..1 and `activity` of the people are over places, `flow_m3_s` over leaks."""
        plant = self._plant
        inflow, carried = self._exchange(flow_m3_s, controls.doors_open, fan)
        supply = plant.flow_m3_s * fan
        # A cabinet filters the air of its room again.
        clean = np.where(plant.is_zone, FILTER_PASSES * self.per_m3[:, plant.parent], plant.supply_per_m3)
        clean[1, plant.is_zone] = 0.0
        share = np.where(plant.is_zone, SHARE_INTO_ZONE, 1.0)
        shed = np.outer(PERSON_PER_MIN, controls.people * activity * share)
        other = np.outer((1.0, LARGE_SHARE), controls.source_per_min)
        gain = (shed + other) / 60 + plant.equipment_per_s + supply * clean + carried
        loss = VENTILATION_EFFECTIVENESS * (supply + inflow) + self._settling
        self.per_m3 = relax(self.per_m3, gain / plant.volume_m3, loss / plant.volume_m3, dt_s)

    def _exchange(self, flow_m3_s: Floats, doors_open: NDArray[np.bool_], fan: Floats) -> tuple[Floats, Floats]:
        """Air that enters each place from its neighbours, m3/s, and the particles that it carries, 1/s."""
        plant = self._plant
        here, there = plant.here, plant.there
        forth, back = np.maximum(flow_m3_s, 0.0), np.maximum(-flow_m3_s, 0.0)
        for number in np.flatnonzero(doors_open):
            leak = plant.doors[number].leak
            forth[leak] += DOOR_EXCHANGE_M3_S
            back[leak] += DOOR_EXCHANGE_M3_S
        # The air of the room falls into a cabinet whose own fan stands still.
        own = np.arange(len(plant.parent))
        forth[own] += np.where(plant.is_zone, 0.01 * (1 - fan), 0.0)
        back[own] += np.where(plant.is_zone, 0.01 * (1 - fan), 0.0)
        full = np.column_stack([self.per_m3, OUTSIDE_PER_M3])
        nodes = len(plant.designs)

        def gained(amount_forth: Floats, amount_back: Floats) -> Floats:
            return (np.bincount(there, amount_forth, nodes + 1) + np.bincount(here, amount_back, nodes + 1))[:nodes].astype(np.float64)

        return gained(forth, back), np.array([gained(forth * size[here], back * size[there]) for size in full])
