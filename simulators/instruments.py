"""Instruments: what becomes of a true value on its way to a reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD, GOOD
from facility.site import Point
from facility.units import UnknownUnit, conversion

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DEFAULT_PERIOD_NS = 60 * 10**9
PHASE_STEP_NS = 10**7
GOLDEN = 0.6180339887498949
SMALL, LARGE = "particles_0_5um", "particles_5_0um"
SPURIOUS_LARGE_PER_MIN = 0.003
"""Counts of >= 5 um that are noise or stray light."""
M3_PER_LITRE = 1e-3
READING, DUPLICATE, GARBLED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Manner:
    """How instruments of one quantity measure: the unit that the physics speaks, noise (sd) and lag (s), a usual resolution."""

    unit: str
    noise: float
    lag_s: float
    resolution: float


MANNERS = {
    "temperature": Manner("degC", 0.02, 20.0, 0.01),
    "relative_humidity": Manner("%", 0.15, 20.0, 0.1),
    "differential_pressure": Manner("Pa", 0.4, 1.5, 0.1),
    "air_velocity": Manner("m/s", 0.004, 1.0, 0.001),
    "co2": Manner("%", 0.01, 10.0, 0.01),
    "oxygen": Manner("%", 0.02, 5.0, 0.01),
    "level": Manner("%", 0.1, 10.0, 0.1),
    "door": Manner("1", 0.0, 0.0, 1.0),
    SMALL: Manner("1/m3", 0.0, 0.0, 0.0),
    LARGE: Manner("1/m3", 0.0, 0.0, 0.0),
}
UNKNOWN = Manner("", 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Messages in order of time, a column each; `time` is int64 ns UTC, `point` the index among the facility's points.

    `value` is in the point's unit; a particle counter has its `count` and `volume_l` beside it, others NaN. `quality` as in
    facility.reading. `sequence` counts up by one per point. `kind`: READING, DUPLICATE (sent before, byte for byte) or GARBLED
    (the same reading again, but written so that nobody can understand it).
    """

    time: NDArray[np.int64]
    point: NDArray[np.intp]
    value: Floats
    quality: NDArray[np.uint8]
    sequence: NDArray[np.int64]
    count: Floats
    volume_l: Floats
    kind: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def concatenate(cls, chunks: Sequence[Self]) -> Self:
        """All messages, in the order given."""
        if not chunks:
            return cls(*(np.empty(0, dtype) for dtype in _DTYPES))  # type: ignore[arg-type]  # the dtypes of the columns, in their order
        return cls(*(np.concatenate([getattr(chunk, column.name) for chunk in chunks]) for column in fields(cls)))

    def take(self, rows: NDArray[np.intp] | Flags) -> Self:
        """The chosen rows, in the order given."""
        return type(self)(*(getattr(self, column.name)[rows] for column in fields(self)))


_DTYPES = (np.int64, np.intp, np.float64, np.uint8, np.int64, np.float64, np.float64, np.uint8)


@dataclass(slots=True)
class Faults:
    """What is wrong with instruments now, over points; `fault_value` NaN leaves the value as it is."""

    silent: Flags
    bad: Flags
    stuck: Flags
    twice: Flags
    garbled: Flags
    fault_value: Floats

    @classmethod
    def none(cls, points: int) -> Self:
        silent, bad, stuck, twice, garbled = np.zeros((5, points), bool)
        return cls(silent, bad, stuck, twice, garbled, np.full(points, np.nan))


class Instruments:
    """All instruments of a facility: each reports once a period, the particle counters what they drew in since the last time."""

    def __init__(self, points: Sequence[Point], start_ns: int, flow_l_min: float, seed: np.random.SeedSequence) -> None:
        noise_seed, count_seed = seed.spawn(2)
        self._noise, self._counting = np.random.default_rng(noise_seed), np.random.default_rng(count_seed)
        manners = [MANNERS.get(point.quantity, UNKNOWN) for point in points]
        self._sd = np.array([manner.noise for manner in manners])
        self._lag_s = np.array([manner.lag_s for manner in manners])
        self._resolution = np.array([_resolution(point, manner) for point, manner in zip(points, manners, strict=True)])
        self._low = np.array([point.range[0] if point.range else -np.inf for point in points])
        self._high = np.array([point.range[1] if point.range else np.inf for point in points])
        factors = [_conversion(manner.unit, point.unit) for point, manner in zip(points, manners, strict=True)]
        self._scale, self._offset = np.array([f[0] for f in factors]), np.array([f[1] for f in factors])
        self._period_ns = np.array([point.period_ns or DEFAULT_PERIOD_NS for point in points], np.int64)
        self._flow_l_s = flow_l_min / 60
        self._small = np.array([point.quantity == SMALL for point in points], bool)
        self._large = np.array([point.quantity == LARGE for point in points], bool)
        self._partner = _partners(points)
        self._due_ns = start_ns + self._phases(points)
        self._drawn = np.zeros(len(points))
        self._drawn_s = np.zeros(len(points))
        self._sequence = np.zeros(len(points), np.int64)
        self._held: Floats | None = None
        self._last = np.full(len(points), np.nan)
        self._last_count = np.full(len(points), np.nan)

    def _phases(self, points: Sequence[Point]) -> NDArray[np.int64]:
        """When in its period each first reports: spread evenly, the channels of one counter at once."""
        share = np.array([(number + 1) * GOLDEN % 1.0 for number in range(len(points))])
        phase = (share * self._period_ns).astype(np.int64) // PHASE_STEP_NS * PHASE_STEP_NS
        for large, small in self._partner.items():
            phase[large] = phase[small]
        return phase

    def step(self, at_ns: int, dt_ns: int, truth: Floats, faults: Faults) -> Chunk:
        """The messages of `at_ns <= time < at_ns + dt_ns`, given the true values over points in the units of MANNERS."""
        dt_s = dt_ns / 1e9
        if self._held is None:
            self._held = truth.copy()
        with np.errstate(divide="ignore"):
            follow = np.where(self._lag_s > 0, 1 - np.exp(-dt_s / self._lag_s), 1.0)
        self._held += follow * (truth - self._held)
        self._drawn += truth * M3_PER_LITRE * self._flow_l_s * dt_s
        self._drawn_s += dt_s
        chunks = []
        while len(due := np.flatnonzero(self._due_ns < at_ns + dt_ns)):
            chunks.append(self._report(due, faults))
            self._due_ns[due] += self._period_ns[due]
        if not chunks:
            return Chunk.concatenate([])
        chunk = Chunk.concatenate(chunks)
        return chunk.take(np.argsort(chunk.time, kind="stable"))

    def _report(self, due: NDArray[np.intp], faults: Faults) -> Chunk:
        assert self._held is not None
        value = self._held[due] + self._sd[due] * self._noise.standard_normal(len(due))
        value = value * self._scale[due] + self._offset[due]
        resolution = self._resolution[due]
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(resolution > 0, np.round(value / resolution) * resolution, value)
        value = np.clip(np.round(value, 9), self._low[due], self._high[due])
        count, volume = self._count(due)
        counted = ~np.isnan(count)
        value[counted] = (count[counted] * 1000 / volume[counted]) * self._scale[due][counted]
        stuck = faults.stuck[due] & ~np.isnan(self._last[due])
        value = np.where(stuck, self._last[due], value)
        count = np.where(stuck, self._last_count[due], count)
        self._last[due], self._last_count[due] = value, count
        bad = faults.bad[due]
        fault_value = np.where(bad, faults.fault_value[due], np.nan)
        sends = ~np.isnan(fault_value)
        value, count = np.where(sends, fault_value, value), np.where(sends, np.nan, count)
        quality = np.where(bad, BAD, GOOD).astype(np.uint8)
        chunk = Chunk(self._due_ns[due], due, value, quality, self._sequence[due], count, volume, np.zeros(len(due), np.uint8))
        # A silent instrument goes on counting its readings: that is how the gap shows.
        self._sequence[due] += 1
        return _with_faulty_copies(chunk.take(~faults.silent[due]), faults)

    def _count(self, due: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """What particle counters counted and the litres that they drew since their last report; NaN for others."""
        count, volume = np.full(len(due), np.nan), np.full(len(due), np.nan)
        row = {int(point): number for number, point in enumerate(due)}
        for point, number in row.items():
            if not (self._small[point] or self._large[point]):
                continue
            # A first sample may be short: the volume says so.
            seconds = self._drawn_s[point]
            expected = self._drawn[point]
            if self._large[point]:
                count[number] = self._counting.poisson(expected + SPURIOUS_LARGE_PER_MIN * seconds / 60)
            else:
                count[number] = self._counting.poisson(expected)
            volume[number] = round(max(self._flow_l_s * seconds, 1e-3), 3)
            self._drawn[point] = self._drawn_s[point] = 0.0
        for large, small in self._partner.items():
            if large in row and small in row:
                # Channels are cumulative: what is >= 5 um is also >= 0.5 um.
                count[row[small]] = max(count[row[small]], count[row[large]])
        return count, volume


def _with_faulty_copies(chunk: Chunk, faults: Faults) -> Chunk:
    """After each reading its duplicate, and its unintelligible twin, where the instrument sends those."""
    chunks = [chunk]
    for flags, kind in ((faults.twice, DUPLICATE), (faults.garbled, GARBLED)):
        if (rows := flags[chunk.point]).any():
            copies = chunk.take(rows)
            copies.kind[:] = kind
            chunks.append(copies)
    return chunk if len(chunks) == 1 else Chunk.concatenate(chunks)


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
