"""Storage of cells: fridges, freezers, incubators and nitrogen vessels, each in the air of its room."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.climate import DAY_S
from simulators.plant import Plant
from simulators.series import following, relaxed

Floats = NDArray[np.float64]

CO2_OUTSIDE_PERCENT = 0.045
CO2_RECOVERY_S, CO2_OPEN_S, CO2_LOST_S = 120.0, 25.0, 2 * 3600.0
CONTENT_SHARE = 0.05
"""How much slower than the air what is stored takes up the warmth of an open door."""
RISING_SHARE = 0.6
"""Of a compressor's cycle, the part in which it stands."""
DEFROST_S, DEFROST_LEFT_S = 900.0, 1200.0
LEVEL_PER_DAY, LEVEL_FILL_AT, LEVEL_FULL, FILL_PER_S = 2.0, 50.0, 80.0, 2.0 / 60
LEVEL_COLD, WARM_PER_PERCENT, FILL_DIP_DEGC = 25.0, 2.5, 6.0
"""Below so much nitrogen the top warms, by so much for each percent; while it is filled it gets colder."""


@dataclass(frozen=True, slots=True)
class Storage:
    """What storage of one type is held at, and how fast it leaves that and comes back; degC, %RH, %CO2, seconds.

    `swing` is half the height of the compressor's cycle of `swing_s`; every `defrost_every_s` (0: never) it warms by `defrost`. The air
    takes up the room's warmth with `open_s` while the door is open and gets rid of it with `recovery_s`; what is stored comes back with
    `pull_s` after a failure.
    """

    degc: float
    noise: float
    swing: float
    swing_s: float
    recovery_s: float
    open_s: float
    pull_s: float
    defrost: float = 0.0
    defrost_every_s: float = 0.0
    humidity: float = 45.0
    co2_percent: float = CO2_OUTSIDE_PERCENT


STORAGES = {
    "incubator": Storage(37.0, 0.03, 0.02, 900, 300, 240, 900, humidity=90.0, co2_percent=5.0),
    "fridge": Storage(4.6, 0.05, 0.9, 1800, 400, 200, 2400, 1.6, 8 * 3600),
    "freezer_20": Storage(-21.0, 0.1, 1.0, 2400, 700, 250, 3600, 3.0, 12 * 3600),
    "freezer_80": Storage(-80.0, 0.15, 1.2, 2700, 900, 600, 2 * 3600),
    "ln2": Storage(-185.0, 0.5, 0.5, 7200, 900, 600, 6 * 3600),
}


@dataclass(frozen=True, slots=True)
class Doors:
    """What acts on storage, [steps or 1, places]: 1 where the door is open, 1 over the time constant (s) with which a failing one warms up,
    1 where gas (CO2) fails, how many times as fast as usual nitrogen that is not filled up boils off (0: it is filled up)."""

    opened: Floats
    warm_per_s: Floats
    gas_lost: Floats
    unfilled: Floats


@dataclass(frozen=True, slots=True)
class Stored:
    """The state [steps, places of storage]: degC, %RH, %CO2, % of liquid nitrogen."""

    degc: Floats
    humidity: Floats
    co2_percent: Floats
    level_percent: Floats


class StorageModel:
    """The state over those places of a plant that are storage; `places` are their numbers."""

    def __init__(self, plant: Plant, seed: np.random.SeedSequence) -> None:
        facility = plant.facility
        self.places = np.array([n for n, place in enumerate(facility.places) if place.type in STORAGES], np.intp)
        forms = [STORAGES[facility.places[n].type] for n in self.places]
        said = [facility.places[n].design for n in self.places]

        def of(name: str) -> Floats:
            return np.array([getattr(form, name) for form in forms], np.float64)

        degc = [form.degc if one.temperature_degc is None else one.temperature_degc for form, one in zip(forms, said, strict=True)]
        wet = [form.humidity if one.humidity_percent is None else one.humidity_percent for form, one in zip(forms, said, strict=True)]
        self._set, self._wet = np.array(degc, np.float64), np.array(wet, np.float64)
        self._noise, self._swing, self._swing_s = of("noise"), of("swing"), of("swing_s")
        self._defrost, self._defrost_s = of("defrost"), of("defrost_every_s")
        self._recovery_per_s, self._open_per_s, self._pull_per_s = 1 / of("recovery_s"), 1 / of("open_s"), 1 / of("pull_s")
        self._co2_set = of("co2_percent")
        chance = np.random.Generator(np.random.PCG64(seed))
        self._phase_s = chance.uniform(0, 1, len(forms)) * np.maximum(self._swing_s, self._defrost_s)
        self._content, self._over = self._set.copy(), np.zeros(len(forms))
        self._running = np.ones(len(forms))
        self._co2, self._humidity = self._co2_set.copy(), self._wet.copy()
        self._level = LEVEL_FULL - chance.uniform(0, LEVEL_FULL - LEVEL_FILL_AT, len(forms))
        self._filling = np.zeros(len(forms), bool)

    def block(self, at_s: Floats, room: tuple[Floats, Floats], doors: Doors, noise: Floats, dt_s: float) -> Stored:
        """The next steps, at the moments `at_s`; `room` is the degC and %RH [steps, places of storage] around it, `noise` of sd 1."""
        steps = len(at_s)
        opened, warm = doors.opened[:, self.places], doors.warm_per_s[:, self.places]
        open_per_s = opened * self._open_per_s
        pull, seep = self._pull_per_s * (warm == 0), CONTENT_SHARE * open_per_s
        content = relaxed(self._content, pull * self._set + (warm + seep) * room[0], pull + warm + seep, dt_s, steps)
        over = relaxed(self._over, open_per_s * (room[0] - content), open_per_s + self._recovery_per_s, dt_s, steps)
        running = following(self._running, np.where(warm > 0, 0.0, 1.0), CO2_RECOVERY_S, dt_s, steps)
        self._content, self._over, self._running = content[-1], over[-1], running[-1]
        level, cold = self._nitrogen(doors.unfilled[:, self.places], dt_s, steps)
        degc = content + over + running * self._cycle(at_s) + self._noise * noise + cold
        lost = doors.gas_lost[:, self.places]
        leaving, kept = opened / CO2_OPEN_S + lost / CO2_LOST_S, (1 - lost) / CO2_RECOVERY_S
        co2 = relaxed(self._co2, kept * self._co2_set + leaving * CO2_OUTSIDE_PERCENT, kept + leaving, dt_s, steps)
        humidity = relaxed(
            self._humidity, open_per_s * room[1] + self._recovery_per_s * self._wet, open_per_s + self._recovery_per_s, dt_s, steps
        )
        self._co2, self._humidity = co2[-1], humidity[-1]
        return Stored(degc, humidity + 0.3 * noise, co2 * (1 + 0.006 * noise), level)

    def _cycle(self, at_s: Floats) -> Floats:
        """The compressor's sawtooth and the defrosting, in degC."""
        passed = at_s[:, None] + self._phase_s
        share = (passed / self._swing_s) % 1.0
        rising = 2 * share / RISING_SHARE - 1
        falling = 1 - 2 * (share - RISING_SHARE) / (1 - RISING_SHARE)
        saw = self._swing * np.where(share < RISING_SHARE, rising, falling)
        every = np.where(self._defrost_s > 0, self._defrost_s, math.inf)
        since = np.where(self._defrost_s > 0, np.mod(passed, every), math.inf)
        warmed = np.where(since < DEFROST_S, since / DEFROST_S, np.exp(-(since - DEFROST_S) / DEFROST_LEFT_S))
        course: Floats = saw + self._defrost * warmed
        return course

    def _nitrogen(self, unfilled: Floats, dt_s: float, steps: int) -> tuple[Floats, Floats]:
        """% of nitrogen, and what its lack or its filling does to the temperature at the top."""
        self._filling = ((self._level <= LEVEL_FILL_AT) | self._filling) & (self._level < LEVEL_FULL) & (unfilled[-1] == 0)
        rate = np.where(self._filling, FILL_PER_S, -LEVEL_PER_DAY / DAY_S * np.maximum(unfilled, 1.0))
        level = np.clip(self._level + dt_s * np.cumsum(np.broadcast_to(rate, (steps, rate.shape[1])), axis=0), 0.0, LEVEL_FULL)
        self._level = level[-1]
        is_ln2 = np.array([self._set < -150])
        warm = np.maximum(LEVEL_COLD - level, 0.0) * WARM_PER_PERCENT - np.where(self._filling, FILL_DIP_DEGC, 0.0)
        return level, np.where(is_ln2, warm, 0.0)
