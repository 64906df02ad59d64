"""From the chunks of a recording to its readings by point and time: admitted row by row as live messages are, whatever its size."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facility.reading import QUALITIES, Readings
from facility.recording import Chunk, RecordingError
from facility.site import Facility
from facility.times import format_time
from facility.units import Conversion, UnknownUnit, conversion, dimension
from facility.whole_file import whole_text
from ingest.admission.admission import CLOCK_AHEAD, DUPLICATE, REASONS, STORED, Admission, Content, Key
from ingest.arrivals import Reason
from ingest.series.held import Held
from ingest.series.series import HOUR_NS, NO_TIME

SPAN_NS = 100 * 366 * 24 * HOUR_NS
"""From the first `received` to the last; listening time must stay far inside int64."""

_T = TypeVar("_T", bound=np.generic)
_END = np.iinfo(np.int64).max
_UNDERSTOOD = 0
_WHY = ("", Reason.POINT_UNKNOWN, Reason.UNIT_UNKNOWN, Reason.UNIT_MISMATCH, *REASONS.values())
_POINT_UNKNOWN, _UNIT_UNKNOWN, _UNIT_MISMATCH = 1, 2, 3
_VERDICTS = np.array([0, 0, *(_WHY.index(reason) for reason in REASONS.values())], np.uint8)
"""By verdict of admission: the index into _WHY."""
_DETAILS = {
    Reason.POINT_UNKNOWN: "the facility has no such point, or it is derived, or it was retired before this time",
    Reason.UNIT_UNKNOWN: "a unit that is not known",
    Reason.UNIT_MISMATCH: "a unit of another quantity than the point's",
    "conflict": "another value or quality was stored before for this point and time",
    "clock_ahead": "time lies after received by more than the point's max_ahead",
    "too_old": "time lies before the point's newest by more than its max_late",
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A row in quarantine, whole. `text` is what could not be understood, where something was; the rest is then empty."""

    file: str
    row: int
    reason: str
    detail: str
    text: str = ""
    time: str = ""
    point: str = ""
    value: str = ""
    received: str = ""
    quality: str = ""
    unit: str = ""


@contextmanager
def refused_file(path: str | os.PathLike[str]) -> Iterator[Callable[[Refused], None]]:
    """A CSV file of refused rows, whole or not at all: gives what takes a row. Raises OSError."""
    with whole_text(path) as text:
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(column.name for column in fields(Refused))
        yield lambda row: lines.writerow(astuple(row)) and None


@dataclass(slots=True)
class RecordedSums:
    """What became of the rows, states included: rows = stored + duplicates + quarantined + without_value, always."""

    rows: int = 0
    stored: int = 0
    duplicates: int = 0
    without_value: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)


class RecordedIntake:
    """Admits chunk after chunk; points have the numbers of their order in the facility.

    `refuse` is told every row that goes to quarantine. `start` and `clock` are the smallest and largest `received` of all rows so far
    (int ns UTC), None before the first; `states` the stored states by place and time; `ahead` point and `received` of the rows of the last
    chunk whose time was too far ahead.
    """

    def __init__(self, facility: Facility, held: Held, refuse: Callable[[Refused], None] | None = None) -> None:
        self._facility, self._held, self._refuse = facility, held, refuse
        points = facility.points
        self._number_of = {point.id: number for number, point in enumerate(points) if point.derived is None}
        self._names = np.empty(0, np.int64)
        self._retired = np.array([_END if point.retired_ns is None else point.retired_ns for point in points], np.int64)
        units = list(dict.fromkeys(point.unit for point in points))
        self._point_units = units
        self._unit_of = np.array([units.index(point.unit) for point in points], np.int64)
        self._known: dict[Key, Content] = {}
        self._admission = Admission(len(points), np.full(len(points), NO_TIME), lambda *key: self._known.get(key), remember=False)
        self._admission.limits_of(dict(enumerate(points)))
        self.sums = RecordedSums()
        self.states: dict[tuple[str, int], str] = {}
        self.start: int | None = None
        self.clock: int | None = None
        self.ahead: tuple[NDArray[np.uint32], NDArray[np.int64]] = (np.empty(0, np.uint32), np.empty(0, np.int64))

    def accept(self, chunk: Chunk) -> Readings:
        """Admit a chunk's rows in their order; returns the readings that were stored, `heard` counting from `start`."""
        if chunk.received_span is not None:
            self.start = chunk.received_span[0] if self.start is None else self.start
            self.clock = chunk.received_span[1]
            if self.clock - self.start >= SPAN_NS:
                remedy = "Look for rows with a wrong year."
                raise RecordingError(chunk.file, "its rows reach over more than a century", remedy)
        self.sums.rows += len(chunk) + len(chunk.states) + len(chunk.rejects) + chunk.without_value
        self.sums.without_value += chunk.without_value
        self._take_rejects(chunk)
        self._take_states(chunk)
        number, value, why = self._understood(chunk)
        rows = np.flatnonzero(why == _UNDERSTOOD) if why.any() else slice(None)
        stored = self._admitted(chunk, rows, number, value, why)
        self._quarantine(chunk, why)
        self.sums.stored += len(stored)
        return stored

    def states_by_place(self) -> dict[str, list[tuple[int, str]]]:
        """The stored states as `place id -> (time, state)`."""
        states: dict[str, list[tuple[int, str]]] = {}
        for (place, time), state in self.states.items():
            states.setdefault(place, []).append((time, state))
        return states

    # What a row says

    def _understood(self, chunk: Chunk) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.uint8]]:
        """The number of each row's point, its value in the point's unit, and why not (an index into _WHY)."""
        new = [self._number_of.get(name, -1) for name in chunk.names[len(self._names) :]]
        self._names = np.concatenate([self._names, np.array(new, np.int64)])
        number = self._names[chunk.point]
        why = np.zeros(len(number), np.uint8)
        why[number < 0] = _POINT_UNKNOWN
        if chunk.time.max(initial=NO_TIME) >= self._retired.min(initial=_END):
            known = np.flatnonzero(number >= 0)
            why[known[chunk.time[known] >= self._retired[number[known]]]] = _POINT_UNKNOWN
        value = chunk.value
        if chunk.unit.any():
            value = self._converted(chunk, number, why)
        return number, value, why

    def _converted(self, chunk: Chunk, number: NDArray[np.int64], why: NDArray[np.uint8]) -> NDArray[np.float64]:
        value = chunk.value.copy()
        rows = np.flatnonzero((chunk.unit > 0) & (why == _UNDERSTOOD))
        pairs = self._unit_of[number[rows]] * len(chunk.units) + chunk.unit[rows]
        for pair in np.unique(pairs).tolist():
            mine = rows[pairs == pair]
            target, source = divmod(pair, len(chunk.units))
            found = _conversion(chunk.units[source], self._point_units[target])
            if isinstance(found, int):
                why[mine] = found
                continue
            with np.errstate(over="ignore"):
                value[mine] = found.of(value[mine])
        return value

    # What becomes of it

    def _admitted(
        self, chunk: Chunk, rows: NDArray[np.intp] | slice, number: NDArray[np.int64], value: NDArray[np.float64], why: NDArray[np.uint8]
    ) -> Readings:
        self.ahead = (np.empty(0, np.uint32), np.empty(0, np.int64))
        point = number[rows].astype(np.uint32)
        if not len(point):
            return Readings.empty()
        assert self.start is not None
        time, value, quality, received = chunk.time[rows], value[rows], chunk.quality[rows], chunk.received[rows]
        self._recall(point, time)
        verdict, quality = self._admission.admit(point, time, value, quality, received)
        self._admission.confirm()
        readings = Readings(point, time, value, quality, received, received - self.start, np.broadcast_to(np.int64(-1), len(point)))
        if verdict.any():
            why[rows] = _VERDICTS[verdict]
            self.ahead = point[verdict == CLOCK_AHEAD], received[verdict == CLOCK_AHEAD]
            self.sums.duplicates += int(np.count_nonzero(verdict == DUPLICATE))
            readings = readings.take(verdict == STORED)
        self._held.write(readings)
        return readings

    def _recall(self, point: NDArray[np.uint32], time: NDArray[np.int64]) -> None:
        """Look up, for all rows at once, what is stored already at their points and times; only rows that are not newer can be there."""
        self._known = {}
        old = np.flatnonzero(time <= self._admission.newest[point])
        if not len(old):
            return
        old = old[np.lexsort((time[old], point[old]))]
        point, time = point[old], time[old]
        hour = time // HOUR_NS
        starts = np.concatenate([[0], np.flatnonzero((np.diff(point) != 0) | (np.diff(hour) != 0)) + 1])
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(time)], strict=True):
            number, begin = int(point[start]), int(hour[start]) * HOUR_NS
            stored = self._held.read(number, begin, begin + HOUR_NS)
            if len(stored):
                stored = stored.take(_among(stored.time, time[start:end]))
                keys = ((number, at) for at in stored.time.tolist())
                self._known.update(zip(keys, zip(stored.value.tolist(), stored.quality.tolist(), strict=True), strict=True))

    def _take_states(self, chunk: Chunk) -> None:
        for row in chunk.states:
            known = self.states.get((row.place, row.time))
            if row.place not in self._facility.place_by_id:
                reason, detail = str(Reason.PLACE_UNKNOWN), "the facility has no such room or zone"
            elif known is None:
                self.states[row.place, row.time] = row.state
                self.sums.stored += 1
                continue
            elif known == row.state:
                self.sums.duplicates += 1
                continue
            else:
                reason, detail = "conflict", f"the state was already said to be {known} at this time"
            self.sums.quarantined[reason] += 1
            if self._refuse is not None:
                times = {"time": format_time(row.time), "received": format_time(row.received)}
                self._refuse(Refused(chunk.file, row.row, reason, detail, point=f"{row.place}/occupancy", value=row.state, **times))

    def _take_rejects(self, chunk: Chunk) -> None:
        for row in chunk.rejects:
            self.sums.quarantined[row.reason] += 1
            if self._refuse is not None:
                self._refuse(Refused(row.file, row.row, row.reason, row.detail, row.text))

    def _quarantine(self, chunk: Chunk, why: NDArray[np.uint8]) -> None:
        if not why.any():
            return
        counts = np.bincount(why, minlength=len(_WHY)).tolist()
        for reason, count in zip(_WHY[1:], counts[1:], strict=True):
            if count:
                self.sums.quarantined[str(reason)] += count
        if self._refuse is not None:
            for refused in _refused(chunk, why):
                self._refuse(refused)


def _among(values: NDArray[_T], known: NDArray[_T]) -> NDArray[np.bool_]:
    """Which values are among the known ones, one or more, in ascending order."""
    found: NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
    return found


def _conversion(source: str, target: str) -> Conversion | int:
    """The conversion, or the index into _WHY that says why there is none."""
    try:
        return conversion(source, target)
    except UnknownUnit:
        return _UNIT_UNKNOWN if dimension(source) is None else _UNIT_MISMATCH


def _refused(chunk: Chunk, why: NDArray[np.uint8]) -> Iterator[Refused]:
    """The readings in quarantine as they were received, before conversion."""
    for index in np.flatnonzero(why).tolist():
        reason, value = str(_WHY[why[index]]), float(chunk.value[index])
        yield Refused(
            file=chunk.file,
            row=int(chunk.row[index]),
            reason=reason,
            detail=_DETAILS[reason],
            time=format_time(int(chunk.time[index])),
            point=chunk.names[chunk.point[index]],
            value=chunk.raw.get(index, "NaN" if math.isnan(value) else repr(value)),
            received=format_time(int(chunk.received[index])),
            quality=QUALITIES[chunk.quality[index]],
            unit=chunk.units[chunk.unit[index]],
        )
