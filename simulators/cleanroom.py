"""A simulated facility: physics in fixed steps, instruments that read it, a scenario that disturbs it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from facility.site import Facility
from simulators.climate import ClimateModel
from simulators.controls import Controls
from simulators.instruments import LARGE, MANNERS, SMALL, Chunk, Instruments
from simulators.particles import LIGHT_ACTIVITY, ParticleModel
from simulators.plant import Plant, build_plant
from simulators.pressure import PressureModel
from simulators.scenario import Scenario
from simulators.script import STEP_NS, Schedule, Truth, bind, truths

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

FAN_COAST_S = 4.0
ACTIVITY_SD, ACTIVITY_S = 0.35, 120.0
WANDER_S = (3000.0, 1500.0, 600.0, 20.0)
"""Time constants of the slow noise of temperature, humidity, CO2 and air velocity."""
GUST_PA, GUST_S = 0.7, 5.0
UNKNOWN_S = 600.0
CHUNK_STEPS = 60


class Wander:
    """AR(1) noise of mean 0 and sd 1 with a time constant, columns of any shape."""

    def __init__(self, shape: tuple[int, ...], time_s: Floats | float, seed: np.random.SeedSequence) -> None:
        self._generator = np.random.default_rng(seed)
        self._keep = np.exp(-STEP_NS / 1e9 / np.asarray(time_s))
        self._fresh = np.sqrt(1 - self._keep**2)
        self.now = self._generator.standard_normal(shape)

    def step(self) -> None:
        """Go on by one step."""
        self.now = self._keep * self.now + self._fresh * self._generator.standard_normal(self.now.shape)


class Simulation:
    """A facility from `start_ns` on: the same facility, scenario, seed and start give the same messages, however they are asked for.

    ConfigurationError when the scenario names places or points that the facility does not have.
    """

    def __init__(self, facility: Facility, scenario: Scenario, seed: int, start_ns: int) -> None:
        tracks = bind(scenario, facility)
        self.facility, self.start_ns, self.now_ns = facility, start_ns, start_ns
        self._plant = plant = build_plant(facility)
        seeds = np.random.SeedSequence(seed).spawn(6)
        places = len(plant.designs)
        self._schedule = Schedule(tracks, seed)
        self.controls = Controls.at_rest(plant)
        self._fan = np.ones(places)
        self._activity = Wander((places,), ACTIVITY_S, seeds[0])
        self._wander = Wander((4, places), np.array(WANDER_S)[:, None], seeds[1])
        self._gust = Wander((1,), GUST_S, seeds[2])
        self._unknown = Wander((len(facility.points),), UNKNOWN_S, seeds[3])
        self.pressure = PressureModel(plant)
        self.particles = ParticleModel(plant)
        self.particles.settle(self.pressure.flow_m3_s, self.controls)
        self.climate = ClimateModel(plant, start_ns / 1e9)
        self._instruments = Instruments(facility.points, start_ns, scenario.counter_flow_l_min, seeds[4])
        self._probes = _Probes(plant)
        self._left: Chunk | None = None

    def until(self, end_ns: int) -> Iterator[Chunk]:
        """The messages with `time < end_ns` that were not given yet, in order of time, in chunks of about a minute."""
        chunks: list[Chunk] = [] if self._left is None else [self._left]
        self._left = None
        while self.now_ns < end_ns:
            chunks.append(self._step())
            if len(chunks) >= CHUNK_STEPS and self.now_ns < end_ns:
                whole = Chunk.concatenate(chunks)
                chunks = []
                if len(whole):
                    yield whole
        whole = Chunk.concatenate(chunks)
        early = whole.time < end_ns
        if not early.all():
            self._left, whole = whole.take(~early), whole.take(early)
        if len(whole):
            yield whole

    def truth(self, until_ns: int | None = None) -> list[Truth]:
        """What was done to the facility so far, in order of start."""
        until = self.now_ns if until_ns is None else until_ns
        return [row for row in truths(self._schedule.begun, self.facility, self.start_ns, until) if row.start_ns < until]

    def _step(self) -> Chunk:
        plant, dt_s = self._plant, STEP_NS / 1e9
        if self._schedule.advance(self.now_ns - self.start_ns):
            self.controls = Controls.at_rest(plant)
            for _, occurrence in self._schedule.active:
                self.controls.apply(occurrence, plant)
        controls = self.controls
        for wander in (self._activity, self._wander, self._gust, self._unknown):
            wander.step()
        coast = 1 - np.exp(-dt_s / FAN_COAST_S)
        self._fan = np.where(np.abs(controls.fan - self._fan) < 1e-4, controls.fan, self._fan + coast * (controls.fan - self._fan))
        activity = LIGHT_ACTIVITY * np.exp(ACTIVITY_SD * self._activity.now - ACTIVITY_SD**2 / 2)
        self.pressure.step(dt_s, self._fan, controls)
        self.particles.step(dt_s, self._fan, self.pressure.flow_m3_s, controls, activity)
        self.climate.step(dt_s, (self.now_ns + STEP_NS) / 1e9, self._fan, controls, self._wander.now)
        truth = self._probes.read(self, self._wander.now[3], float(self._gust.now[0]), self._unknown.now)
        chunk = self._instruments.step(self.now_ns, STEP_NS, truth, controls.faults)
        self.now_ns += STEP_NS
        return chunk


class _Probes:
    """Where each point's probe sits in the state of the models."""

    def __init__(self, plant: Plant) -> None:
        points = plant.facility.points
        self._place = np.array([plant.index[point.place] for point in points], np.intp)
        references = [plant.outside if point.reference is None else plant.index[point.reference] for point in points]
        self._reference = np.array(references, np.intp)
        self._of = {name: np.array([n for n, p in enumerate(points) if p.quantity == name], np.intp) for name in MANNERS}
        self._unknown = np.array([n for n, p in enumerate(points) if p.quantity not in MANNERS], np.intp)
        ends = [point.range or (0.0, 100.0) for point in points]
        self._middle = np.array([(low + high) / 2 for low, high in ends])
        self._spread = np.array([(high - low) * 0.02 for low, high in ends])

    def read(self, state: Simulation, wander: Floats, gust: float, unknown: Floats) -> Floats:
        """The true value at each point, in the units of MANNERS; what is unknown wanders about the middle of its range."""
        truth = self._middle + self._spread * unknown
        climate, particles = state.climate, state.particles
        pressures = np.append(state.pressure.pressure_pa, GUST_PA * gust)
        columns = {
            "temperature": climate.degc,
            "relative_humidity": climate.humidity,
            "co2": climate.co2_percent,
            "air_velocity": climate.velocity_m_s,
            SMALL: particles.per_m3[0],
            LARGE: particles.per_m3[1],
            "oxygen": climate.oxygen_percent(wander),
            "level": climate.level_percent(state.now_ns / 1e9, wander),
        }
        for name, column in columns.items():
            truth[self._of[name]] = column[self._place[self._of[name]]]
        dp, door = self._of["differential_pressure"], self._of["door"]
        truth[dp] = pressures[self._place[dp]] - pressures[self._reference[dp]]
        truth[door] = state.controls.contacts[door]
        return truth
