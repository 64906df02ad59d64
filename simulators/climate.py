"""Temperature, humidity, gases and air velocity of rooms and of the cabinets in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facility.site import Place
from simulators.controls import Controls
from simulators.plant import Plant

Floats = NDArray[np.float64]

DAY_S = 86_400.0
YEAR_S = 365.25 * DAY_S
HUMIDITY_PER_DEGREE = -3.0
"""Relative humidity falls by so many points when the same air gets one degree warmer."""
WARMING_PER_PERSON = 0.1
UNIDIRECTIONAL_M_S = 0.45
CO2_OUTSIDE_PERCENT = 0.045


@dataclass(frozen=True, slots=True)
class Climate:
    """What a place of one type is held at, and how fast it leaves that and comes back; degC, %RH, %CO2, seconds.

    `noise` is the sd of a slow AR(1) in degC; `swing` the amplitude and `swing_s` the period of the controller's cycle or of the day.
    """

    degc: float
    noise: float
    swing: float
    swing_s: float
    recovery_s: float
    open_s: float
    humidity: float = 45.0
    co2_percent: float = CO2_OUTSIDE_PERCENT


CLIMATES = {
    "room": Climate(20.0, 0.1, 0.4, DAY_S, 600, 3600),
    "incubator": Climate(37.0, 0.03, 0.02, 900, 300, 240, 90.0, 5.0),
    "fridge": Climate(5.0, 0.1, 1.0, 1800, 600, 200),
    "freezer_20": Climate(-21.0, 0.2, 1.0, 2400, 900, 250),
    "freezer_80": Climate(-80.0, 0.3, 1.5, 2700, 900, 300),
    "ln2": Climate(-185.0, 0.5, 1.0, 7200, 900, 600),
}
CO2_RECOVERY_S, CO2_OPEN_S = 120.0, 25.0
SUPPLY_LOSS_TO_DEGC, SUPPLY_LOSS_S = 26.0, 6 * 3600.0
"""A room without supply warms by about a degree an hour."""


def climate_of(place: Place) -> Climate:
    """The climate of a place by its type."""
    return CLIMATES.get(place.type, CLIMATES["room"])


def approach(now: Floats, rates_per_s: list[Floats], targets: list[Floats], dt_s: float) -> Floats:
    """The exact solution of `dx/dt = sum(rate * (target - x))` after `dt_s`."""
    total = np.add.reduce(rates_per_s)
    pull = np.add.reduce([rate * target for rate, target in zip(rates_per_s, targets, strict=True)])
    with np.errstate(invalid="ignore", divide="ignore"):
        end = np.where(total > 0, pull / total, now)
    approached: Floats = end + (now - end) * np.exp(-total * dt_s)
    return approached


class ClimateModel:
    """The state over places: `degc`, `humidity` %, `co2_percent`, `velocity_m_s`; and the oxygen and LN2 level that go with it."""

    def __init__(self, plant: Plant, start_s: float) -> None:
        climates = [climate_of(place) for place in plant.facility.places]
        self._plant = plant
        self._set = np.array([climate.degc for climate in climates])
        self._room = np.array([climate is CLIMATES["room"] for climate in climates], bool)
        self._noise = np.array([climate.noise for climate in climates])
        self._swing = np.array([climate.swing for climate in climates])
        self._swing_s = np.array([climate.swing_s for climate in climates])
        self._recovery_per_s = 1 / np.array([climate.recovery_s for climate in climates])
        self._open_per_s = 1 / np.array([climate.open_s for climate in climates])
        self._humidity = np.array([climate.humidity for climate in climates])
        self._co2_set = np.array([climate.co2_percent for climate in climates])
        self._held = self._target(start_s, plant.people)
        self._co2_held = self._co2_set.copy()
        self.co2_percent = self._co2_set.copy()
        self.degc = self._held.copy()
        self.humidity = self._humidity.copy()
        self.velocity_m_s = np.full(len(climates), UNIDIRECTIONAL_M_S)

    def step(self, dt_s: float, now_s: float, fan: Floats, controls: Controls, wander: Floats) -> None:
        """Go on by `dt_s` to `now_s` (epoch).

        `fan` 0..1 is over places, `wander` 4 x places: AR(1) of sd 1 for temperature, humidity, CO2 and velocity.
        """
        warm_per_s, warm_to, opened, people = controls.warm_per_s, controls.warm_to, controls.opened, controls.people
        room_degc = self._held[self._plant.parent]
        failing = warm_per_s > 0
        lost = np.where(self._room & ~self._plant.is_zone, 1 - fan, 0.0)
        rates = [self._recovery_per_s * ~failing * (1 - lost), self._open_per_s * opened, warm_per_s, lost / SUPPLY_LOSS_S]
        targets = [self._target(now_s, people), room_degc, warm_to, np.full_like(room_degc, SUPPLY_LOSS_TO_DEGC)]
        self._held = approach(self._held, rates, targets, dt_s)
        self.degc = self._held + self._noise * wander[0]
        season = 3.0 * math.cos(2 * math.pi * (now_s / YEAR_S - 0.55))
        dry = HUMIDITY_PER_DEGREE * (self.degc - self._set)
        self.humidity = np.clip(self._humidity + np.where(self._room, season + dry, 0.0) + 0.7 * wander[1], 0.0, 100.0)
        recovery = np.full_like(opened, 1 / CO2_RECOVERY_S)
        outside = np.full_like(opened, CO2_OUTSIDE_PERCENT)
        self._co2_held = approach(self._co2_held, [recovery, opened / CO2_OPEN_S], [self._co2_set, outside], dt_s)
        self.co2_percent = self._co2_held * (1 + 0.006 * wander[2])
        self.velocity_m_s = np.maximum(fan * (UNIDIRECTIONAL_M_S + 0.008 * wander[3]), 0.0)

    def oxygen_percent(self, wander: Floats) -> Floats:
        """Oxygen of the room's air."""
        return 20.9 + 0.05 * wander

    def level_percent(self, now_s: float, wander: Floats) -> Floats:
        """Liquid nitrogen: 2 % a day are lost, at 50 % it is filled up to 80 %."""
        return 80.0 - (now_s / DAY_S * 2.0) % 30.0 + 0.1 * wander

    def _target(self, now_s: float, people: Floats) -> Floats:
        swing = self._swing * np.sin(2 * math.pi * ((now_s - 9 * 3600) / self._swing_s))
        target: Floats = self._set + swing + np.where(self._room, WARMING_PER_PERSON * people, 0.0)
        return target
