"""Pressures in a network of leaking rooms, in quasi-steady state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulators.controls import Controls
from simulators.plant import DOOR_AREA_M2, Plant

Floats = NDArray[np.float64]

LEAK_M3_S = 0.827
"""m3/s through 1 m2 at 1 Pa: Cd * sqrt(2 / rho) with Cd 0.64, rho 1.2 kg/m3."""
LAMINAR_PA = 0.05
"""Below this the flow is taken as linear, so that its slope stays finite."""
TRIM_LIMIT = 0.15
TRIM_TIME_S = 12.0
"""A damper that holds the room's pressure: how far it can go, and how fast."""
REST_PA = 0.02
TOLERANCE_M3_S = 1e-9


def leak_flow(dp_pa: Floats, area_m2: Floats) -> Floats:
    """Air through a crack, m3/s: `Cd * A * sqrt(2 dP / rho)`, with the sign of `dp_pa`."""
    return LEAK_M3_S * area_m2 * dp_pa / (dp_pa * dp_pa + LAMINAR_PA**2) ** 0.25


def _slope(dp_pa: Floats, area_m2: Floats) -> Floats:
    square = dp_pa * dp_pa + LAMINAR_PA**2
    return LEAK_M3_S * area_m2 * (1 - 0.5 * dp_pa * dp_pa / square) / square**0.25


class Network:
    """Rooms joined by leaks; the last node is outside, at 0 Pa."""

    def __init__(self, here: NDArray[np.intp], there: NDArray[np.intp], nodes: int) -> None:
        self.here, self.there, self.nodes = here, there, nodes

    def flows(self, pressure_pa: Floats, area_m2: Floats) -> Floats:
        """m3/s of each leak, from `here` to `there`."""
        full = np.append(pressure_pa, 0.0)
        return leak_flow(full[self.here] - full[self.there], area_m2)

    def balance(self, pressure_pa: Floats, supply_m3_s: Floats, area_m2: Floats) -> Floats:
        """m3/s that each room gains: supply less what leaks out of it; zero in the steady state."""
        flow = self.flows(pressure_pa, area_m2)
        out = np.bincount(self.here, flow, self.nodes + 1) - np.bincount(self.there, flow, self.nodes + 1)
        gained: Floats = supply_m3_s - out[: self.nodes]
        return gained

    def solve(self, supply_m3_s: Floats, area_m2: Floats, start_pa: Floats) -> Floats:
        """The pressures at which every room's balance is zero (damped Newton).

        A room follows its air flow within half a second, so a state per step is enough.
        """
        pressure = start_pa.copy()
        gained = self.balance(pressure, supply_m3_s, area_m2)
        error = float(gained @ gained)
        for _ in range(100):
            if np.abs(gained).max(initial=0.0) <= TOLERANCE_M3_S:
                break
            step = np.linalg.solve(self._jacobian(pressure, area_m2), gained)
            scale = 1.0
            while scale > 1e-6:
                trial = pressure + scale * step
                trial_gained = self.balance(trial, supply_m3_s, area_m2)
                trial_error = float(trial_gained @ trial_gained)
                # Newton alone swings from P to -P about the cusp at zero: the step must be worth its length.
                if trial_error <= (1 - scale / 2) * error:
                    break
                scale /= 2
            else:
                break
            pressure, gained, error = trial, trial_gained, trial_error
        return pressure

    def _jacobian(self, pressure_pa: Floats, area_m2: Floats) -> Floats:
        full = np.append(pressure_pa, 0.0)
        slope = _slope(full[self.here] - full[self.there], area_m2)
        matrix = np.zeros((self.nodes + 1, self.nodes + 1))
        np.add.at(matrix, (self.here, self.here), slope)
        np.add.at(matrix, (self.there, self.there), slope)
        np.add.at(matrix, (self.here, self.there), -slope)
        np.add.at(matrix, (self.there, self.here), -slope)
        return matrix[: self.nodes, : self.nodes]


class PressureModel:
    """The pressures of a plant over time: dampers hold the design pressure, doors and leaks disturb it.

    `pressure_pa` is over places; `flow_m3_s` over leaks.
    """

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._network = Network(plant.here, plant.there, len(plant.designs))
        self._design_supply = -self._network.balance(plant.pressure_pa, np.zeros_like(plant.pressure_pa), plant.area_m2)
        self._trim = np.zeros_like(plant.pressure_pa)
        self._solved_for: Floats = np.empty(0)
        self.pressure_pa = plant.pressure_pa.copy()
        self.flow_m3_s = self._network.flows(self.pressure_pa, plant.area_m2)

    def step(self, dt_s: float, fan: Floats, controls: Controls) -> None:
        """Go on by `dt_s`; `fan` 0..1 over places."""
        area = self._plant.area_m2.copy()
        area[: len(fan)] += controls.leak_m2
        for number in np.flatnonzero(controls.doors_open):
            area[self._plant.doors[number].leak] += DOOR_AREA_M2
        supply = self._design_supply * (fan + self._trim)
        cause = np.concatenate([supply, area])
        if not np.array_equal(cause, self._solved_for):
            self.pressure_pa = self._network.solve(supply, area, self.pressure_pa)
            self.flow_m3_s = self._network.flows(self.pressure_pa, area)
            self._solved_for = cause
        self._adjust(dt_s)

    def _adjust(self, dt_s: float) -> None:
        """Move the dampers towards the design pressure; what no instrument shows is rest, so that a quiet plant costs nothing."""
        design = self._plant.pressure_pa
        lack = np.where(np.abs(design - self.pressure_pa) < REST_PA, 0.0, design - self.pressure_pa)
        sign = np.where(self._design_supply < 0, -1.0, 1.0)
        share = sign * lack / np.maximum(np.abs(design), 5.0)
        self._trim = np.clip(self._trim + dt_s / TRIM_TIME_S * share, -TRIM_LIMIT, TRIM_LIMIT)
