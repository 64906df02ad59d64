"""Instruments: what becomes of a true value on its way to a reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from facility.site import Point
from facility.units import UnknownUnit, conversion
from simulators.chunk import Chunk
from simulators.faults import Faults, Table
from simulators.scenario import Measuring
from simulators.script import STEP_NS, Occurrence
from simulators.series import following

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

DEFAULT_PERIOD_NS = 60 * 10**9
PHASE_STEP_NS = 10**7
GOLDEN = 0.6180339887498949
SMALL, LARGE = "particles_0_5um", "particles_5_0um"
SPURIOUS_LARGE_PER_S = 0.003 / 60
"""Counts of >= 5 um that are noise or stray light."""
FLOW_L_MIN = 28.3168
"""1 ft3 a minute."""
COINCIDENCE_PER_M3 = 3.53e7
"""10^6 per ft3: where a usual counter misses a tenth, as two particles pass its laser at once."""
DAY_S = 86_400.0
PRESSURE = "differential_pressure"


@dataclass(frozen=True, slots=True)
class Manner:
    """How an instrument measures: the unit that the physics speaks, noise (sd), lag (s), resolution, drift a day, a counter's air and its
    concentration at which a tenth is missed."""

    unit: str
    noise: float = 0.0
    lag_s: float = 0.0
    resolution: float = 0.0
    drift_per_day: float = 0.0
    flow_l_s: float = FLOW_L_MIN / 60
    coincidence_per_m3: float = COINCIDENCE_PER_M3


MANNERS = {
    "temperature": Manner("degC", 0.02, 20.0, 0.01),
    "relative_humidity": Manner("%", 0.15, 20.0, 0.1),
    PRESSURE: Manner("Pa", 0.4, 1.5, 0.1),
    "air_velocity": Manner("m/s", 0.004, 1.0, 0.001),
    "co2": Manner("%", 0.01, 10.0, 0.01),
    "oxygen": Manner("%", 0.02, 5.0, 0.01),
    "level": Manner("%", 0.1, 10.0, 0.1),
    "door": Manner("1", 0.0, 0.0, 1.0),
    SMALL: Manner("1/m3"),
    LARGE: Manner("1/m3"),
}
UNKNOWN = "unknown"
"""Stands for every other quantity: it wanders."""


@dataclass(frozen=True, slots=True)
class Truths:
    """The true values of one quantity [rows, columns], in the units of MANNERS: one row for every `hold` steps, or one for all.

    A point measures a column, a pressure the difference of two.
    """

    columns: Floats
    hold: int = 1


@dataclass(slots=True)
class _Group:
    """Points of one quantity, period and lag; `column` (and for pressures `other`) of the truth that each measures, `lagged` those columns
    as the probes follow them, None at the start."""

    quantity: str
    period_ns: int
    lag_s: float
    points: Indices
    column: Indices
    other: Indices | None
    lagged: Floats | None = None


class Instruments:
    """All instruments of a facility: each reports once a period, the particle counters what they drew in since the last time.

    `columns` are for each point the column of its quantity's truth, and for a pressure that of its reference.
    """

    def __init__(
        self, points: Sequence[Point], columns: Sequence[tuple[int, int]], measuring: Sequence[Measuring], start_ns: int,
        seed: np.random.SeedSequence,
    ) -> None:  # fmt: skip
        noise_seed, count_seed, fault_seed = seed.spawn(3)
        self._noise, self._counting = (np.random.Generator(np.random.PCG64(one)) for one in (noise_seed, count_seed))
        manners = [_manner(point, measuring) for point in points]
        self._start_ns = start_ns
        self._manners = manners
        self._sd = np.array([manner.noise for manner in manners])
        self._drift = np.array([manner.drift_per_day for manner in manners])
        self._resolution = np.array([_resolution(point, manner) for point, manner in zip(points, manners, strict=True)])
        self._low = np.array([point.range[0] if point.range else -np.inf for point in points])
        self._high = np.array([point.range[1] if point.range else np.inf for point in points])
        factors = [_conversion(manner.unit, point.unit) for point, manner in zip(points, manners, strict=True)]
        self._scale, self._offset = np.array([f[0] for f in factors]), np.array([f[1] for f in factors])
        self._period_ns = np.array([point.period_ns or DEFAULT_PERIOD_NS for point in points], np.int64)
        self._partner = _partners(points)
        self._due_ns = start_ns + self._phases(len(points))
        self._groups = _groups(points, columns, manners, self._period_ns)
        self._flow_l_s = np.array([manner.flow_l_s for manner in manners])
        self._thick = np.array([manner.coincidence_per_m3 for manner in manners])
        self._counters = {
            name: np.array([n for n, point in enumerate(points) if point.quantity == name], np.intp) for name in (SMALL, LARGE)
        }
        self._large_of = np.full(len(points), -1, np.intp)
        self._large_of[list(self._partner.values())] = list(self._partner)
        self._column = np.array([column for column, _ in columns], np.intp)
        self._drawn = np.zeros(len(points))
        self._told_ns = np.full(len(points), start_ns, np.int64)
        self._sequence = np.zeros(len(points), np.int64)
        self._faults = Faults(points, fault_seed, start_ns)
        self._kept: Chunk = Chunk.concatenate([])

    def _phases(self, points: int) -> NDArray[np.int64]:
        """When in its period each first reports: spread evenly, the channels of one counter at once."""
        share = np.array([(number + 1) * GOLDEN % 1.0 for number in range(points)])
        phase = (share * self._period_ns).astype(np.int64) // PHASE_STEP_NS * PHASE_STEP_NS
        for large, small in self._partner.items():
            phase[large] = phase[small]
        return phase

    def block(self, begin_ns: int, steps: int, truths: Mapping[str, Truths], occurrences: Sequence[Occurrence]) -> Chunk:
        """What is sent in the block that begins at `begin_ns` UTC, in the order of sending."""
        end_ns = begin_ns + steps * STEP_NS
        tables = [self._measure(group, begin_ns, end_ns, steps, truths[group.quantity]) for group in self._groups]
        table = self._counted([one for one in tables if len(one.time)], truths, begin_ns)
        table.sequence[:] = self._sequence[table.point] + table.nth
        self._faults.spoil(table, occurrences, begin_ns, end_ns, self._sequence)
        sent = Chunk.concatenate([self._kept, table.chunk()]) if len(self._kept) else table.chunk()
        sent = sent.take(np.argsort(sent.sent, kind="stable"))
        sent, self._kept = sent.before(end_ns)
        return sent

    def _measure(self, group: _Group, begin_ns: int, end_ns: int, steps: int, truth: Truths) -> Table:
        """The readings of a group, those of a point together, without what counters count."""
        due = self._due_ns[group.points]
        number = np.maximum(-((due - end_ns) // group.period_ns), 0)
        self._due_ns[group.points] += number * group.period_ns
        nth = np.concatenate([np.arange(0), *(np.arange(count) for count in number.tolist())])
        point = np.repeat(group.points, number)
        time = np.repeat(due, number) + nth * group.period_ns
        counting = group.quantity in (SMALL, LARGE)
        value = np.full(len(time), np.nan) if counting else self._read(group, (time - begin_ns) // STEP_NS, number, steps, truth)
        if not counting:
            value = self._shown(value, point, time)
        return Table.of(point, time, value, nth, column=np.repeat(group.column, number))

    def _read(self, group: _Group, step: Indices, number: Indices, steps: int, truth: Truths) -> Floats:
        """The true values as the probes follow them."""
        wanted, where = np.unique(group.column, return_inverse=True)
        if group.other is not None:
            wanted, where = np.unique(np.concatenate([group.column, group.other]), return_inverse=True)
        course = truth.columns[:, wanted]
        start = course[0] if group.lagged is None else group.lagged
        if group.lag_s:
            course = following(start, course, group.lag_s, truth.hold * STEP_NS / 1e9, steps // truth.hold)
        group.lagged = course[-1]
        # What holds when the reading is taken: nothing shows before it happens.
        row = (step + 1) // truth.hold
        course = np.vstack([start, course]) if len(course) > 1 else np.vstack([start, *([course] * (steps // truth.hold))])
        points = len(group.points)
        value = course[row, np.repeat(where[:points], number)]
        if group.other is not None:
            value = value - course[row, np.repeat(where[points:], number)]
        return value

    def _shown(self, value: Floats, point: Indices, time: NDArray[np.int64]) -> Floats:
        """With drift, noise, unit, resolution and the ends of the range."""
        drifted = value + self._drift[point] * ((time - self._start_ns) / 1e9 / DAY_S)
        value = (drifted + self._sd[point] * self._noise.standard_normal(len(value))) * self._scale[point] + self._offset[point]
        resolution = self._resolution[point]
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(resolution > 0, np.round(value / resolution) * resolution, value)
        shown: Floats = np.clip(np.round(value, 9), self._low[point], self._high[point])
        return shown

    def _counted(self, tables: Sequence[Table], truths: Mapping[str, Truths], begin_ns: int) -> Table:
        """One table of all, with what the particle counters counted; their channels are cumulative: what is >= 5 um is also >= 0.5 um."""
        table = Table.concatenate(tables)
        drawn, seconds = np.zeros(len(table.point)), np.zeros(len(table.point))
        for quantity, points in self._counters.items():
            rows = np.flatnonzero(np.isin(table.point, points))
            drawn[rows], seconds[rows] = self._drew(points, table, rows, truths[quantity], begin_ns)
        with np.errstate(divide="ignore", invalid="ignore"):
            thick = drawn * 1000 / (self._flow_l_s[table.point] * seconds * self._thick[table.point])
        caught = drawn * np.exp(np.log(0.9) * np.nan_to_num(thick))
        large = np.flatnonzero(np.isin(table.point, self._counters.get(LARGE, [])))
        table.count[large] = self._counting.poisson(caught[large] + SPURIOUS_LARGE_PER_S * seconds[large])
        small = np.flatnonzero(np.isin(table.point, self._counters.get(SMALL, [])))
        partner = self._large_of[table.point[small]]
        paired = partner >= 0
        beside = (np.searchsorted(table.point, partner) + table.nth[small])[paired]
        both, already = np.zeros(len(small)), np.zeros(len(small))
        both[paired], already[paired] = caught[beside], table.count[beside]
        table.count[small] = self._counting.poisson(np.maximum(caught[small] - both, 0.0)) + already
        rows = np.concatenate([large, small])
        table.volume_l[rows] = np.maximum(np.round(self._flow_l_s[table.point[rows]] * seconds[rows], 3), 1e-3)
        table.value[rows] = table.count[rows] * 1000 / table.volume_l[rows] * self._scale[table.point[rows]]
        return table

    def _drew(self, points: Indices, table: Table, rows: Indices, truth: Truths, begin_ns: int) -> tuple[Floats, Floats]:
        """Particles that counters drew in for each of their readings, and the seconds that they drew; a first sample may be short.

        The integral of the concentration goes on from block to block; here it counts from the block's beginning.
        """
        per_m3, long_ns = truth.columns, truth.hold * STEP_NS
        integral = np.vstack([np.zeros((1, per_m3.shape[1])), np.cumsum(per_m3, axis=0)]) * (long_ns / 1e9)
        point, column, first = table.point[rows], table.column[rows], table.nth[rows] == 0
        passed = (table.time[rows] - begin_ns) / long_ns
        step = passed.astype(np.intp)
        at = integral[step, column] + per_m3[step, column] * (passed - step) * (long_ns / 1e9)
        before = np.where(first, -self._drawn[point], np.roll(at, 1))
        seconds = (table.time[rows] - np.where(first, self._told_ns[point], np.roll(table.time[rows], 1))) / 1e9
        self._drawn[points] += integral[-1, self._column[points]]
        last = np.append(first[1:], True) if len(rows) else first
        self._drawn[point[last]] = integral[-1, column[last]] - at[last]
        self._told_ns[point[last]] = table.time[rows][last]
        return np.maximum(at - before, 0.0) * self._flow_l_s[point] / 1000, seconds


def _manner(point: Point, measuring: Sequence[Measuring]) -> Manner:
    manner = MANNERS.get(point.quantity, Manner(""))
    for one in measuring:
        if any(fnmatchcase(point.id, pattern) for pattern in one.points):
            manner = replace(
                manner,
                noise=manner.noise if one.noise is None else one.noise,
                lag_s=manner.lag_s if one.lag_ns is None else one.lag_ns / 1e9,
                drift_per_day=manner.drift_per_day if one.drift_per_day is None else one.drift_per_day,
                flow_l_s=manner.flow_l_s if one.flow_l_min is None else one.flow_l_min / 60,
                coincidence_per_m3=one.coincidence_per_m3 or manner.coincidence_per_m3,
            )
    return manner


def _groups(
    points: Sequence[Point], columns: Sequence[tuple[int, int]], manners: Sequence[Manner], period_ns: NDArray[np.int64]
) -> list[_Group]:
    members: dict[tuple[str, int, float], list[int]] = {}
    for number, point in enumerate(points):
        quantity = point.quantity if point.quantity in MANNERS else UNKNOWN
        members.setdefault((quantity, int(period_ns[number]), manners[number].lag_s), []).append(number)
    return [
        _Group(
            quantity, period, lag, np.array(numbers, np.intp), np.array([columns[n][0] for n in numbers], np.intp),
            np.array([columns[n][1] for n in numbers], np.intp) if quantity == PRESSURE else None,
        )
        for (quantity, period, lag), numbers in members.items()
    ]  # fmt: skip


def _resolution(point: Point, manner: Manner) -> float:
    if point.resolution is not None:
        return point.resolution
    return manner.resolution if point.unit in (manner.unit, "") else 0.0


def _conversion(unit: str, wanted: str) -> tuple[float, float]:
    """Scale and offset to the point's unit; a unit that cannot be converted (a level in cm) takes the number as it is."""
    try:
        found = conversion(unit, wanted) if unit else conversion(wanted, wanted)
    except UnknownUnit:
        return 1.0, 0.0
    return found.scale, found.offset


def _partners(points: Sequence[Point]) -> dict[int, int]:
    """For the >= 5 um channel of each counter its >= 0.5 um channel: same place, instrument and period."""
    small = {(p.place, p.instrument, p.period_ns): n for n, p in enumerate(points) if p.quantity == SMALL}
    return {n: small[key] for n, p in enumerate(points) if p.quantity == LARGE and (key := (p.place, p.instrument, p.period_ns)) in small}
