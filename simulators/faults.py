"""What goes wrong with instruments, and on the way from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD, GOOD
from facility.site import Point
from facility.units import conversion
from simulators.chunk import DUPLICATE, GARBLED, READING, Chunk
from simulators.kinds import KINDS
from simulators.script import Occurrence

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Indices = NDArray[np.intp]

HOUR_NS = 3600 * 10**9
BURST_GAP_NS = 1_000_000
"""Between the readings that a gateway sends after it kept them."""
ZERO_NOISE_PA = 0.1


@dataclass(slots=True)
class Table:
    """The readings of a block, those of a point together and in order of their true `time`; `nth` counts them within the block.

    `told` is the time that the reading says, `sent` when it leaves, `kept` whether it does, `times` how often; `kind` as in Chunk.
    """

    point: Indices
    time: Times
    value: Floats
    nth: Times
    column: Indices
    told: Times
    sent: Times
    quality: NDArray[np.uint8]
    sequence: Times
    count: Floats
    volume_l: Floats
    kind: NDArray[np.uint8]
    times: NDArray[np.uint8]

    @classmethod
    def of(cls, point: Indices, time: Times, value: Floats, nth: Times, column: Indices) -> Self:
        """Readings as they are measured: sent at once, once, good."""
        rows = len(time)
        nan = np.full(rows, np.nan)
        return cls(
            point, time, value, nth, column, time.copy(), time.copy(), np.full(rows, GOOD, np.uint8), np.zeros(rows, np.int64), nan,
            nan.copy(), np.full(rows, READING, np.uint8), np.ones(rows, np.uint8),
        )  # fmt: skip

    @classmethod
    def concatenate(cls, tables: Sequence[Self]) -> Self:
        """All readings, sorted by point."""
        if not tables:
            empty = np.empty(0, np.int64)
            return cls.of(empty.astype(np.intp), empty, np.empty(0), empty, empty.astype(np.intp))
        whole = cls(*(np.concatenate([getattr(table, column.name) for table in tables]) for column in fields(cls)))
        order = np.argsort(whole.point, kind="stable")
        return cls(*(getattr(whole, column.name)[order] for column in fields(cls)))

    def rows(self, point: int, begin_ns: int | None = None, end_ns: int | None = None) -> slice:
        """The rows of a point, of times from `begin_ns` on and before `end_ns`."""
        first, last = np.searchsorted(self.point, [point, point + 1]).tolist()
        time = self.time[first:last]
        begin = 0 if begin_ns is None else int(np.searchsorted(time, begin_ns))
        end = len(time) if end_ns is None else int(np.searchsorted(time, end_ns))
        return slice(first + begin, first + max(begin, end))

    def chunk(self) -> Chunk:
        """The messages, each as often as it is sent; a copy says that it is one."""
        rows = np.repeat(np.arange(len(self.time)), self.times)
        kind = self.kind[rows]
        kind[1:][rows[1:] == rows[:-1]] = DUPLICATE
        return Chunk(
            self.told[rows], self.sent[rows], self.point[rows], self.value[rows], self.quality[rows], self.sequence[rows], self.count[rows],
            self.volume_l[rows], kind,
        )  # fmt: skip


class Faults:
    """The faults of a facility's instruments; `start_ns` is the start of the simulation in UTC."""

    def __init__(self, points: Sequence[Point], seed: np.random.SeedSequence, start_ns: int) -> None:
        self._points, self._start_ns = points, start_ns
        self._chance = np.random.Generator(np.random.PCG64(seed))
        self._last_value = np.full(len(points), np.nan)
        self._last_count = np.full(len(points), np.nan)
        self._stuck: dict[tuple[int, int, int], tuple[float, float]] = {}

    def spoil(self, table: Table, occurrences: Sequence[Occurrence], begin_ns: int, end_ns: int, sequence: Times) -> None:
        """Do to the readings of a block what the occurrences say; `sequence`, the next number of each point, goes on."""
        restarted: set[int] = set()
        for one in occurrences:
            if not KINDS[one.track.event.kind].on_instruments:
                continue
            start = self._start_ns + one.start_ns
            end = end_ns if one.end_ns is None else self._start_ns + one.end_ns
            if one.track.event.kind == "swap":
                self._swap(table, one, start, end)
                continue
            for point in one.track.points:
                _SPOIL[one.track.event.kind](self, table, table.rows(point, start, end), point, one)
                if one.track.event.kind == "reboot" and begin_ns <= end < end_ns:
                    after = table.rows(point, end)
                    if after.start < after.stop:
                        table.sequence[after] -= table.sequence[after.start]
                    else:
                        restarted.add(point)
        self._remember(table, sequence, restarted)

    def _remember(self, table: Table, sequence: Times, restarted: set[int]) -> None:
        last = np.flatnonzero(np.append(table.point[1:] != table.point[:-1], True)) if len(table.point) else np.empty(0, np.intp)
        point = table.point[last]
        self._last_value[point], self._last_count[point] = table.value[last], table.count[last]
        sequence[point] = table.sequence[last] + 1
        # What restarted and has told nothing since begins at 0.
        sequence[list(restarted)] = 0

    def _dropout(self, table: Table, rows: slice, _point: int, _one: Occurrence) -> None:
        table.times[rows] = 0

    def _fault(self, table: Table, rows: slice, _point: int, one: Occurrence) -> None:
        table.quality[rows] = BAD
        value = one.track.event.parameters["value"]
        if not np.isnan(value):
            table.value[rows], table.count[rows] = value, np.nan

    def _hold(self, table: Table, rows: slice, point: int, one: Occurrence) -> None:
        if rows.start >= rows.stop:
            return
        key = (one.number, one.times, point)
        if key not in self._stuck:
            before = rows.start - 1
            if before >= 0 and table.point[before] == point:
                self._stuck[key] = float(table.value[before]), float(table.count[before])
            elif not np.isnan(self._last_value[point]):
                self._stuck[key] = float(self._last_value[point]), float(self._last_count[point])
            else:
                self._stuck[key] = float(table.value[rows.start]), float(table.count[rows.start])
        table.value[rows], table.count[rows] = self._stuck[key]

    def _drift(self, table: Table, rows: slice, point: int, one: Occurrence) -> None:
        moved = one.track.event.parameters["per_hour"] * (table.time[rows] - self._start_ns - one.start_ns) / HOUR_NS
        resolution = self._points[point].resolution
        self._put(table, rows, point, table.value[rows] + (moved if resolution is None else np.round(moved / resolution) * resolution))

    def _spike(self, table: Table, rows: slice, point: int, one: Occurrence) -> None:
        hit = self._chance.random(rows.stop - rows.start) < one.track.event.parameters["share"]
        self._put(table, rows, point, table.value[rows] + np.where(hit, one.track.event.parameters["size"], 0.0))

    def _wrong_unit(self, table: Table, rows: slice, point: int, one: Occurrence) -> None:
        found = conversion(self._points[point].unit, one.track.event.words["unit"])
        self._put(table, rows, point, table.value[rows] * found.scale + found.offset, clipped=False)

    def _put(self, table: Table, rows: slice, point: int, value: Floats, *, clipped: bool = True) -> None:
        """A counter tells its count: it moves with the value."""
        counts = table.count[rows]
        ends = (clipped and self._points[point].range) or (-np.inf, np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            table.count[rows] = np.maximum(np.round(counts * np.where(table.value[rows] != 0, value / table.value[rows], 1.0)), 0.0)
        table.value[rows] = np.round(np.where(np.isnan(counts), np.clip(value, *ends), np.maximum(value, 0.0)), 9)

    def _swap(self, table: Table, one: Occurrence, start: int, end: int) -> None:
        sides = [table.rows(point, start, end) for point in one.track.points[:2]]
        if len(sides) < 2 or any(rows.start >= rows.stop for rows in sides):
            return
        seen = []
        for own, other in (sides, sides[::-1]):
            nearest = np.searchsorted(table.time[other], table.time[own], side="right") - 1
            row = other.start + np.maximum(nearest, 0)
            seen.append((table.value[row], table.count[row], table.volume_l[row]))
        for rows, columns in zip(sides, seen, strict=True):
            table.value[rows], table.count[rows], table.volume_l[rows] = columns

    def _reboot(self, table: Table, rows: slice, _point: int, _one: Occurrence) -> None:
        table.times[rows] = 0

    def _clock(self, table: Table, rows: slice, _point: int, one: Occurrence) -> None:
        parameters = one.track.event.parameters
        passed = table.time[rows] - self._start_ns - one.start_ns
        table.told[rows] += np.round(parameters["by"] + parameters["s_per_day"] / 86_400 * passed).astype(np.int64)

    def _duplicate(self, table: Table, rows: slice, _point: int, _one: Occurrence) -> None:
        table.times[rows] = np.minimum(table.times[rows] * 2, 4)

    def _late(self, table: Table, rows: slice, _point: int, one: Occurrence) -> None:
        by = max(int(one.track.event.parameters["by"]), 1)
        table.sent[rows] += self._chance.integers(0, by, rows.stop - rows.start)

    def _store(self, table: Table, rows: slice, _point: int, one: Occurrence) -> None:
        if one.end_ns is not None:
            end = self._start_ns + one.end_ns
            passed = (table.time[rows] - self._start_ns - one.start_ns) // 10**9
            table.sent[rows] = np.maximum(table.sent[rows], end + passed * BURST_GAP_NS)
        else:
            table.times[rows] = 0

    def _garble(self, table: Table, rows: slice, _point: int, _one: Occurrence) -> None:
        table.kind[rows] = GARBLED

    def _tube_off(self, table: Table, rows: slice, point: int, _one: Occurrence) -> None:
        if self._points[point].quantity == "differential_pressure":
            resolution = self._points[point].resolution or 0.1
            zero = ZERO_NOISE_PA * self._chance.standard_normal(rows.stop - rows.start)
            table.value[rows] = np.round(np.round(zero / resolution) * resolution, 9)
        else:
            table.value[rows], table.count[rows] = 0.0, 0.0

    def _laser_fault(self, table: Table, rows: slice, _point: int, _one: Occurrence) -> None:
        table.value[rows], table.count[rows], table.quality[rows] = 0.0, 0.0, BAD


_SPOIL: dict[str, Callable[[Faults, Table, slice, int, Occurrence], None]] = {
    "dropout": Faults._dropout,
    "fault": Faults._fault,
    "stuck": Faults._hold,
    "drift": Faults._drift,
    "spikes": Faults._spike,
    "wrong_unit": Faults._wrong_unit,
    "reboot": Faults._reboot,
    "clock": Faults._clock,
    "duplicate": Faults._duplicate,
    "out_of_order": Faults._late,
    "store_and_forward": Faults._store,
    "garble": Faults._garble,
    "tube_off": Faults._tube_off,
    "laser_fault": Faults._laser_fault,
}
