"""A simulated facility: physics in blocks of fixed steps, instruments that read it, a scenario that disturbs it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from facility.site import Facility, Point
from simulators.chunk import Chunk, State
from simulators.climate import STILL_PER_H, ClimateModel
from simulators.consequences import moved_pressures
from simulators.controls import FAN_COAST_S, USUAL_ACTIVITY, Controls
from simulators.instruments import LARGE, MANNERS, PRESSURE, SMALL, UNKNOWN, Instruments, Truths
from simulators.particles import ParticleModel, Sources
from simulators.plant import Plant, build_plant
from simulators.pressure import PressureModel
from simulators.scenario import Scenario
from simulators.script import STEP_NS, Occurrence, Schedule, Teller, Truth, bind
from simulators.series import Wander, following, pooled, relaxed
from simulators.storage import CO2_OUTSIDE_PERCENT, StorageModel

Floats = NDArray[np.float64]

BLOCK_STEPS = 1200
BLOCK_READINGS = 500_000
"""A block is shorter where it would hold more readings than this: memory must not grow with the facility's rates."""
HOLD_STEPS = 5
"""What is slow (climate, storage, noise) goes on by so many steps at once."""
ACTIVITY_SD, ACTIVITY_S = 0.35, 120.0
TEMPERATURE_S, HUMIDITY_S, STORED_S, VELOCITY_S = 3000.0, 1500.0, 600.0, 20.0
"""Time constants of the slow noise."""
GUST_PA, GUST_S = 0.7, 5.0
UNKNOWN_S = 600.0
UNIDIRECTIONAL_M_S, VELOCITY_NOISE_M_S = 0.45, 0.008
OXYGEN_PERCENT = 20.9
STEP_S = STEP_NS / 1e9


class Simulation:
    """A facility from `start_ns` on: the same facility, scenario, seed and start give the same messages, however they are asked for.

    All chance comes from numpy's PCG64, a stream of its own for each cause. ConfigurationError when the scenario names places or points
    that the facility does not have.
    """

    def __init__(self, facility: Facility, scenario: Scenario, seed: int, start_ns: int) -> None:
        tracks = bind(scenario, facility)
        self.facility, self.start_ns, self.now_ns = facility, start_ns, start_ns
        zone = ZoneInfo(facility.site.timezone)
        self._plant = plant = build_plant(facility)
        self._schedule = Schedule(tracks, seed, start_ns, zone)
        self._begun: list[Occurrence] = []
        self._teller = Teller(facility, start_ns, lambda track: moved_pressures(plant, track))
        working = np.array([place.occupancy == "in_operation" for place in facility.places], bool)
        self._people = plant.people * working
        self._steps = _block_steps(facility)
        seeds = np.random.SeedSequence(seed).spawn(9)
        places, slow_s = len(plant), HOLD_STEPS * STEP_S
        self._activity = Wander(places, ACTIVITY_S, 1, slow_s, seeds[0])
        self._warm, self._wet = Wander(places, TEMPERATURE_S, 1, slow_s, seeds[1]), Wander(places, HUMIDITY_S, 1, slow_s, seeds[2])
        self._velocity = Wander(places, VELOCITY_S, HOLD_STEPS, STEP_S, seeds[3])
        self._gust = Wander(1, GUST_S, 1, STEP_S, seeds[4])
        unknown = [point for point in facility.points if point.quantity not in MANNERS]
        self._unknown = Wander(len(unknown), UNKNOWN_S, 1, slow_s, seeds[5])
        self._middle, self._spread = _wandering(unknown)
        self._fan, self._extract = np.ones(places), np.ones(places)
        self._nitrogen = np.zeros(places)
        self._pressure, self._particles = PressureModel(plant), ParticleModel(plant)
        hour_s = datetime.fromtimestamp(start_ns / 1e9, zone).utcoffset()
        assert hour_s is not None
        self._climate = ClimateModel(plant, start_ns / 1e9, hour_s.total_seconds(), self._people)
        self._storage = StorageModel(plant, seeds[6])
        self._stored_noise = Wander(len(self._storage.places), STORED_S, 1, slow_s, seeds[7])
        self._instruments = Instruments(facility.points, _columns(facility, plant, unknown), scenario.instruments, start_ns, seeds[8])
        self._settle()
        self._left = Chunk.concatenate([])

    def until(self, end_ns: int) -> Iterator[Chunk]:
        """The messages sent before `end_ns` that were not given yet, in the order of sending, in chunks of some minutes."""
        early, self._left = self._left.before(end_ns)
        if len(early) or early.states:
            yield early
        while self.now_ns < end_ns:
            early, self._left = self._block().before(end_ns)
            if len(early) or early.states:
                yield early

    def truth(self, until_ns: int | None = None) -> list[Truth]:
        """What was done to the facility so far and not told before, in order of start; it is told once."""
        until = self.now_ns if until_ns is None else until_ns
        told = [one for one in self._begun if self.start_ns + one.start_ns < until]
        self._begun = self._begun[len(told) :]
        return [self._teller.truth(one, until) for one in told]

    def _settle(self) -> None:
        plant, rest = self._plant, Controls(self._plant, self._people, 1)
        _, flow = self._pressure.block(rest.air(rest.fan.rows, rest.extract.rows), STEP_S, 1)
        shedding = USUAL_ACTIVITY * self._people[None]
        zero = np.zeros((1, len(plant)))
        self._particles.settle(flow, Sources(rest.fan.rows, (shedding, shedding), (zero, zero), zero, rest.doors_open.rows > 0))

    def _block(self) -> Chunk:
        """Go on by a block."""
        steps, begin_ns = self._steps, self.now_ns - self.start_ns
        end_ns = begin_ns + steps * STEP_NS
        acting, begun = self._schedule.block(begin_ns, end_ns)
        self._begun += begun
        controls = Controls(self._plant, self._people, steps)
        for one in acting:
            controls.apply(one, begin_ns, end_ns)
        chunk = self._instruments.block(self.now_ns, steps, self._state(controls, steps), acting)
        states = self._states(acting, begin_ns, end_ns)
        self.now_ns += steps * STEP_NS
        return chunk.with_states(states)

    def _state(self, controls: Controls, steps: int) -> dict[str, Truths]:
        """The true state of everything that can be measured."""
        fan = following(self._fan, controls.fan.rows, FAN_COAST_S, STEP_S, steps)
        extract = following(self._extract, controls.extract.rows, FAN_COAST_S, STEP_S, steps)
        self._fan, self._extract = fan[-1], extract[-1]
        pressure, flow = self._pressure.block(controls.air(fan, extract), STEP_S, steps)
        activity = np.exp(ACTIVITY_SD * self._activity.block(steps // HOLD_STEPS) - ACTIVITY_SD**2 / 2)
        # While only people's activity changes, the steps may be as long as that holds.
        long = HOLD_STEPS if controls.quiet and len(flow) == len(fan) == 1 else 1
        sources = controls.sources(fan, activity if long > 1 else np.repeat(activity, HOLD_STEPS, axis=0))
        per_m3 = self._particles.block(flow, sources, long * STEP_S, steps // long)
        velocity = np.maximum(fan * (UNIDIRECTIONAL_M_S + VELOCITY_NOISE_M_S * self._velocity.block(steps)), 0.0)
        gust = GUST_PA * self._gust.block(steps)
        columns = {
            PRESSURE: np.column_stack([np.broadcast_to(pressure, (steps, pressure.shape[1])), gust]),
            "door": controls.contacts.rows, "air_velocity": velocity,
        }  # fmt: skip
        counted = {SMALL: Truths(per_m3[0], long), LARGE: Truths(per_m3[1], long)}
        slow = self._slow_state(controls, fan, steps // HOLD_STEPS)
        fast = {name: Truths(rows) for name, rows in columns.items()}
        return fast | counted | {name: Truths(rows, HOLD_STEPS) for name, rows in slow.items()}

    def _slow_state(self, controls: Controls, fan: Floats, rounds: int) -> dict[str, Floats]:
        """Climate, storage and what is unknown, a row for every HOLD_STEPS steps."""
        plant, storage, slow_s = self._plant, self._storage, HOLD_STEPS * STEP_S
        at_s = (self.now_ns + HOLD_STEPS * STEP_NS * np.arange(1, rounds + 1)) / 1e9
        loads = controls.loads(fan, HOLD_STEPS)
        degc, humidity = self._climate.block(at_s, loads, self._warm.block(rounds), self._wet.block(rounds), slow_s)
        around = tuple(column[:, plant.parent[storage.places]] for column in (degc, humidity))
        stored = storage.block(at_s, (around[0], around[1]), controls.doors(HOLD_STEPS), self._stored_noise.block(rounds), slow_s)
        co2, level = np.full((rounds, len(plant)), CO2_OUTSIDE_PERCENT), np.zeros((rounds, len(plant)))
        for column, own in ((degc, stored.degc), (humidity, stored.humidity), (co2, stored.co2_percent), (level, stored.level_percent)):
            column[:, storage.places] = own
        oxygen = OXYGEN_PERCENT * (1 - self._displaced(pooled(controls.nitrogen_m3_s.rows, HOLD_STEPS), loads.supply, rounds))
        unknown = self._middle + self._spread * self._unknown.block(rounds)
        return {"temperature": degc, "relative_humidity": humidity, "co2": co2, "level": level, "oxygen": oxygen, UNKNOWN: unknown}

    def _displaced(self, nitrogen_m3_s: Floats, fan: Floats, rounds: int) -> Floats:
        """The share of nitrogen that came in, in the rooms' air."""
        plant = self._plant
        gain = nitrogen_m3_s / plant.volume_m3
        loss = (fan * plant.flow_m3_s / plant.volume_m3 + STILL_PER_H / 3600) + gain
        share = relaxed(self._nitrogen, gain, loss, HOLD_STEPS * STEP_S, rounds)
        self._nitrogen = share[-1]
        return share[:, plant.parent]

    def _states(self, acting: list[Occurrence], begin_ns: int, end_ns: int) -> list[State]:
        """What is said of rooms in the block: a state when it begins, and the one after it when it ends."""
        said = []
        for one in acting:
            if one.track.event.kind != "occupancy":
                continue
            words = one.track.event.words
            for place in (self.facility.places[number] for number in one.track.places):
                then = place.occupancy if words["then"] == "own" else words["then"]
                if begin_ns <= one.start_ns < end_ns:
                    said.append(State(place.id, self.start_ns + one.start_ns, words["state"]))
                if one.end_ns is not None and begin_ns <= one.end_ns < end_ns:
                    said.append(State(place.id, self.start_ns + one.end_ns, then))
        return sorted(said, key=lambda state: state.time)


def _block_steps(facility: Facility) -> int:
    per_s = sum(1e9 / (point.period_ns or 60 * 10**9) for point in facility.points)
    return max(HOLD_STEPS, min(BLOCK_STEPS, int(BLOCK_READINGS / max(per_s, 1e-9)) // HOLD_STEPS * HOLD_STEPS))


def _wandering(points: list[Point]) -> tuple[Floats, Floats]:
    """The middle of the range of a quantity that the physics does not know, and how far it wanders."""
    ends = [point.range or (0.0, 100.0) for point in points]
    return np.array([(low + high) / 2 for low, high in ends]), np.array([(high - low) * 0.02 for low, high in ends])


def _columns(facility: Facility, plant: Plant, unknown: list[Point]) -> list[tuple[int, int]]:
    """For each point the column of its quantity's truth, and for a pressure that of its reference (outside without)."""
    outside = len(plant.rooms)
    number_of = {point.id: number for number, point in enumerate(unknown)}
    columns = []
    for number, point in enumerate(facility.points):
        place = plant.index[point.place]
        if point.quantity == PRESSURE:
            other = outside if point.reference is None else int(plant.node[plant.index[point.reference]])
            columns.append((int(plant.node[place]), other))
        elif point.quantity == "door":
            columns.append((number, 0))
        else:
            columns.append((number_of.get(point.id, place), 0))
    return columns
