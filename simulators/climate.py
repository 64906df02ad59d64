"""Temperature and humidity of the rooms' air, and what is outside."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.plant import Plant
from simulators.series import following, relaxed

Floats = NDArray[np.float64]

DAY_S = 86_400.0
YEAR_S = 365.25 * DAY_S
ROOM_DEGC, ROOM_PERCENT = 20.0, 45.0
SWING_DEGC, WARMEST_H = 0.4, 16.0
"""What the control leaves of the day."""
NOISE_DEGC, NOISE_PERCENT = 0.1, 0.3
WARMING_PER_PERSON = 0.1
CONTROL_S = 600.0
UNCONTROLLED_DEGC, UNCONTROLLED_S = 26.0, 6 * 3600.0
"""A room without supply, or without cooling, warms by about a degree an hour."""
SEASON_LEFT = 0.15
"""Of the difference between the moisture outside and the wanted one, what the air handler leaves; all of it when its control fails."""
STILL_PER_H = 0.3
"""Air changes of a room whose supply fails."""
BUFFERED = 4.0
"""How much slower than its air a room takes up moisture: its surfaces hold water, too."""
VAPOUR_S = 240.0
VAPOUR_G_PER_H_PERSON = 60.0
AIR_KG_M3 = 1.2
ATMOSPHERE_PA = 101_325.0
OUTSIDE_MEAN_DEGC, OUTSIDE_SEASON_DEGC, OUTSIDE_DAY_DEGC, DEW_BELOW_DEGC = 7.0, 11.0, 4.0, 4.0
"""Stockholm."""
WARMEST_DAY = 203.0


def saturation_pa(degc: Floats) -> Floats:
    """Saturation pressure of water (Magnus form, WMO 2008)."""
    pressure: Floats = 611.2 * np.exp(17.62 * degc / (243.12 + degc))
    return pressure


def moisture_g_kg(degc: Floats, humidity_percent: Floats) -> Floats:
    """Water in a kilogram of dry air at atmospheric pressure."""
    vapour = saturation_pa(degc) * humidity_percent / 100
    moisture: Floats = 622.0 * vapour / (ATMOSPHERE_PA - vapour)
    return moisture


def humidity_percent(degc: Floats, moisture: Floats) -> Floats:
    """Relative humidity of air with so much water, g/kg."""
    vapour = ATMOSPHERE_PA * moisture / (622.0 + moisture)
    humidity: Floats = np.clip(100 * vapour / saturation_pa(degc), 0.0, 100.0)
    return humidity


@dataclass(frozen=True, slots=True)
class Weather:
    """Outside, over moments: degC and g/kg."""

    degc: Floats
    moisture: Floats


def weather(at_s: Floats, hour_s: float) -> Weather:
    """The usual course of year and day; `at_s` since the epoch, `hour_s` what local time is ahead of UTC."""
    season = np.cos(2 * math.pi * (at_s - WARMEST_DAY * DAY_S) / YEAR_S)
    mean = OUTSIDE_MEAN_DEGC + OUTSIDE_SEASON_DEGC * season
    degc = mean + OUTSIDE_DAY_DEGC * _day(at_s, hour_s)
    return Weather(degc, moisture_g_kg(mean - DEW_BELOW_DEGC, np.full_like(mean, 100.0)))


def _day(at_s: Floats, hour_s: float) -> Floats:
    course: Floats = np.cos(2 * math.pi * (at_s + hour_s - WARMEST_H * 3600) / DAY_S)
    return course


@dataclass(frozen=True, slots=True)
class Loads:
    """What acts on the rooms' climate, [steps or 1, places]: supply 0..1 of the fans, people, 1 where control fails, and the humidity in %
    and warmth in K that decontamination with vapour brings (0 without)."""

    supply: Floats
    people: Floats
    uncontrolled: Floats
    vapour_percent: Floats
    vapour_degc: Floats


class ClimateModel:
    """Temperature and moisture over places; a zone that is no storage has its room's air."""

    def __init__(self, plant: Plant, start_s: float, hour_s: float, people: Floats) -> None:
        designs = [place.design for place in plant.facility.places]
        self._plant, self._hour_s = plant, hour_s
        self._set = np.array([ROOM_DEGC if one.temperature_degc is None else one.temperature_degc for one in designs], np.float64)
        percent = np.array([ROOM_PERCENT if one.humidity_percent is None else one.humidity_percent for one in designs], np.float64)
        self._moisture_set = moisture_g_kg(self._set, percent)
        self._vapour = np.zeros(len(plant))
        self._per_s = plant.flow_m3_s / plant.volume_m3
        at = np.array([start_s])
        self._degc = self._wanted(at, people[None])[0]
        self._moisture = self._supplied(weather(at, hour_s).moisture[:, None], SEASON_LEFT)[0]

    def block(self, at_s: Floats, loads: Loads, noise: Floats, wet_noise: Floats, dt_s: float) -> tuple[Floats, Floats]:
        """degC and %RH [steps, places] at the moments `at_s`, `dt_s` apart; the noises [steps, places] are of sd 1."""
        steps, plant = len(at_s), self._plant
        lost = np.maximum(1 - loads.supply, loads.uncontrolled)
        rate, adrift = (1 - lost) / CONTROL_S, lost / UNCONTROLLED_S
        vapour = following(self._vapour, loads.vapour_percent, VAPOUR_S, dt_s, steps)
        self._vapour = vapour[-1]
        wanted = self._wanted(at_s, loads.people) + loads.vapour_degc
        held = relaxed(self._degc, rate * wanted + adrift * UNCONTROLLED_DEGC, rate + adrift, dt_s, steps)
        self._degc = held[-1]
        degc = (held + NOISE_DEGC * noise)[:, plant.parent]
        left = SEASON_LEFT + (1 - SEASON_LEFT) * loads.uncontrolled
        supplied = self._supplied(weather(at_s, self._hour_s).moisture[:, None], left)
        changed = (self._per_s * loads.supply + STILL_PER_H / 3600) / BUFFERED
        shed = VAPOUR_G_PER_H_PERSON / 3600 * loads.people / (AIR_KG_M3 * plant.volume_m3 * BUFFERED)
        moisture = relaxed(self._moisture, changed * supplied + shed, changed, dt_s, steps)
        self._moisture = moisture[-1]
        humidity = humidity_percent(degc, moisture[:, plant.parent])
        return degc, np.clip(humidity + (vapour + NOISE_PERCENT * wet_noise)[:, plant.parent], 0.0, 100.0)

    def _wanted(self, at_s: Floats, people: Floats) -> Floats:
        return self._set + SWING_DEGC * _day(at_s, self._hour_s)[:, None] + WARMING_PER_PERSON * people

    def _supplied(self, outside: Floats, left: Floats | float) -> Floats:
        return self._moisture_set + left * (outside - self._moisture_set)
