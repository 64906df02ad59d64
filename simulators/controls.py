"""What a scenario does to a plant during a block of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from simulators.climate import Loads
from simulators.kinds import KINDS
from simulators.particles import IN_INDOOR_CLOTHES, Sources
from simulators.plant import CABINETS, Plant
from simulators.pressure import Air
from simulators.script import STEP_NS, Occurrence
from simulators.series import pooled
from simulators.storage import Doors

Floats = NDArray[np.float64]

FAN_COAST_S = 4.0
USUAL_ACTIVITY = 0.5
WORKING = ("in_operation", "cleaning")


class Course:
    """One cause over n columns: a single row until something changes within the block."""

    def __init__(self, rest: Floats, steps: int) -> None:
        self._steps = steps
        self.rows: Floats = rest[None].copy()

    def change(self, span: slice, columns: Sequence[int], how: Callable[[Floats], Floats | float]) -> None:
        """Put `how(what is there)` at the steps of a span, in some columns."""
        if span.start >= span.stop or not len(columns):
            return
        if len(self.rows) == 1 and span.stop - span.start < self._steps:
            self.rows = np.repeat(self.rows, self._steps, axis=0)
        where = (slice(None) if len(self.rows) == 1 else span, list(columns))
        self.rows[where] = how(self.rows[where])


class Controls:
    """The causes during a block, painted by the occurrences in the order of the scenario.

    `fan` and `extract` are where the fans are driven to, `contacts` is over points (1: open).
    """

    def __init__(self, plant: Plant, people: Floats, steps: int) -> None:
        self._plant = plant
        places = len(plant)
        zero, ones = np.zeros(places), np.ones(places)

        def course(rest: Floats) -> Course:
            return Course(rest, steps)

        self.fan, self.extract = course(ones), course(ones)
        self.people = course(people)
        self.shedding = course(USUAL_ACTIVITY * people), course(USUAL_ACTIVITY * people)
        self.leak_m2, self.filter_leak = course(zero), course(zero)
        self.per_min = course(zero), course(zero)
        self.uncontrolled, self.vapour_percent, self.vapour_degc = course(zero), course(zero), course(zero)
        self.opened, self.warm_per_s, self.gas_lost, self.unfilled = course(zero), course(zero), course(zero), course(zero)
        self.nitrogen_m3_s = course(zero)
        self.doors_open = course(np.zeros(len(plant.doors)))
        self.contacts = course(np.zeros(len(plant.facility.points)))

    def apply(self, occurrence: Occurrence, begin_ns: int, end_ns: int) -> None:
        """Add what an occurrence does in the block of `begin_ns` to `end_ns`, ns after the start."""
        event = occurrence.track.event
        if KINDS[event.kind].on_instruments:
            return
        until = end_ns if occurrence.end_ns is None else min(occurrence.end_ns, end_ns)
        span = slice((max(occurrence.start_ns, begin_ns) - begin_ns) // STEP_NS, max(until - begin_ns, 0) // STEP_NS)
        _PAINT[event.kind](self, occurrence, span)

    @property
    def quiet(self) -> bool:
        """Whether nothing that particles feel changes within the block."""
        return all(len(course.rows) == 1 for course in (*self.shedding, *self.per_min, self.filter_leak, self.doors_open))

    def air(self, fan: Floats, extract: Floats) -> Air:
        """For the pressures; the fans as they turn, [steps or 1, places]."""
        return Air(fan, extract, self.leak_m2.rows, self.doors_open.rows > 0)

    def sources(self, fan: Floats, activity: Floats) -> Sources:
        """For the particles; `activity` [steps, places] is that of people, 1 on average."""
        small, large = self.shedding[0].rows * activity, self.shedding[1].rows * activity
        per_min = self.per_min[0].rows, self.per_min[1].rows
        return Sources(fan, (small, large), per_min, self.filter_leak.rows, self.doors_open.rows > 0)

    def loads(self, fan: Floats, hold: int) -> Loads:
        """For the climate: means of every `hold` steps."""
        courses = (self.people, self.uncontrolled, self.vapour_percent, self.vapour_degc)
        return Loads(pooled(fan, hold), *(pooled(course.rows, hold) for course in courses))

    def doors(self, hold: int) -> Doors:
        """For the storage: means of every `hold` steps."""
        return Doors(*(pooled(course.rows, hold) for course in (self.opened, self.warm_per_s, self.gas_lost, self.unfilled)))

    def _door_open(self, one: Occurrence, span: slice) -> None:
        points, places = one.track.points, one.track.places
        self.contacts.change(span, points, lambda _: 1.0)
        nodes = {int(self._plant.node[place]) for place in places}
        ways = [n for n, door in enumerate(self._plant.doors)
                if door.point in points or (not points and door.point is None and door.here in nodes)]  # fmt: skip
        self.doors_open.change(span, ways, lambda _: 1.0)
        self.opened.change(span, [n for n in places if self._plant.facility.places[n].type in CABINETS], lambda _: 1.0)

    def _supply_loss(self, one: Occurrence, span: slice) -> None:
        factor, extract = one.track.event.parameters["factor"], one.track.event.parameters["extract"]
        self.fan.change(span, one.track.places, lambda fan: np.minimum(fan, factor))
        left = factor if np.isnan(extract) else extract
        self.extract.change(span, one.track.places, lambda fan: np.minimum(fan, left) if left <= 1 else left)

    def _people(self, one: Occurrence, span: slice) -> None:
        parameters = one.track.event.parameters
        shed = IN_INDOOR_CLOTHES if one.track.event.words["clothes"] == "indoor" else (1.0, 1.0)
        self.people.change(span, one.track.places, lambda _: parameters["count"])
        for course, times in zip(self.shedding, shed, strict=True):
            amount = parameters["count"] * parameters["activity"] * times
            course.change(span, one.track.places, lambda _, amount=amount: amount)  # type: ignore[misc]  # bound at once

    def _occupancy(self, one: Occurrence, span: slice) -> None:
        for place in one.track.places:
            people = self._plant.people[place] * (one.track.event.words["state"] in WORKING)
            self.people.change(span, [place], lambda _, people=people: people)  # type: ignore[misc]  # bound at once
            for course in self.shedding:
                course.change(span, [place], lambda _, people=people: USUAL_ACTIVITY * people)  # type: ignore[misc]

    def _intervention(self, one: Occurrence, span: slice) -> None:
        parameters = one.track.event.parameters
        for course, share in zip(self.per_min, (1.0, parameters["large"]), strict=True):
            amount = parameters["particles_per_min"] * share
            course.change(span, one.track.places, lambda now, amount=amount: now + amount)  # type: ignore[misc]  # bound at once

    def _vapour(self, one: Occurrence, span: slice) -> None:
        parameters = one.track.event.parameters
        self.vapour_percent.change(span, one.track.places, lambda _: parameters["percent"])
        self.vapour_degc.change(span, one.track.places, lambda _: parameters["degc"])


def _adds(course: str, parameter: str, scale: float = 1.0) -> Callable[[Controls, Occurrence, slice], None]:
    def paint(controls: Controls, one: Occurrence, span: slice) -> None:
        amount = scale * one.track.event.parameters[parameter]
        getattr(controls, course).change(span, one.track.places, lambda now: now + amount)

    return paint


def _sets(course: str, value: Callable[[Occurrence], float] = lambda _: 1.0) -> Callable[[Controls, Occurrence, slice], None]:
    def paint(controls: Controls, one: Occurrence, span: slice) -> None:
        getattr(controls, course).change(span, one.track.places, lambda _: value(one))

    return paint


_PAINT: dict[str, Callable[[Controls, Occurrence, slice], None]] = {
    "door_open": Controls._door_open,
    "supply_loss": Controls._supply_loss,
    "people": Controls._people,
    "occupancy": Controls._occupancy,
    "vapour": Controls._vapour,
    "leak": _adds("leak_m2", "area_m2"),
    "filter_leak": _adds("filter_leak", "share"),
    "intervention": Controls._intervention,
    "nitrogen_leak": _adds("nitrogen_m3_s", "m3_per_h", 1 / 3600),
    "climate_loss": _sets("uncontrolled"),
    "compressor_failure": _sets("warm_per_s", lambda one: 1e9 / one.track.event.parameters["tau"]),
    "gas_loss": _sets("gas_lost"),
    "fill_failure": _sets("unfilled", lambda one: one.track.event.parameters["boil_off"]),
}
