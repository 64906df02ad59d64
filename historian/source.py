"""A recording out of InfluxDB: readings and room states of a period in the order in which they were received, chunk by chunk.

InfluxDB gives readings by their own time. A piece of the period is read after the other, and a reading that was received late waits until
the pieces have come that far, so that memory holds a piece and what is late, whatever the period.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facility.recording.chunk import Chunk, StateRow
from historian.columns import FieldColumns, field_columns
from historian.influx import Influx
from historian.lines import id_of
from historian.queries.flux import text
from historian.schema import POINT_INFO, ROOM_STATE

FIRST_PIECE_NS = 600 * 10**9
PIECE_ROWS = 200_000
"""Pieces grow and shrink towards so many readings."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Readings as columns; `point` indexes the recording's names."""

    point: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.int64]
    received: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.point)

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> _Rows:
        return _Rows(self.point[which], self.time[which], self.value[which], self.quality[which], self.received[which])

    def and_(self, other: _Rows) -> _Rows:
        return _Rows(
            np.append(self.point, other.point),
            np.append(self.time, other.time),
            np.append(self.value, other.value),
            np.append(self.quality, other.quality),
            np.append(self.received, other.received),
        )


@dataclass(slots=True)
class _Names:
    """Names by code; they only grow."""

    codes: dict[str, int] = field(default_factory=dict)

    def code(self, names: list[str]) -> NDArray[np.int64]:
        return np.array([self.codes.setdefault(name, len(self.codes)) for name in names], np.int64)


class InfluxRecording:
    """The readings of a site with start <= time < end (int ns UTC), and its states, with those that `start` finds before them.

    No reading was received more than `ahead_ns` before its own time.
    """

    def __init__(self, influx: Influx, site: str, start: int, end: int, ahead_ns: int) -> None:
        self._influx, self._site, self._start, self._end, self._ahead_ns = influx, site, start, end, ahead_ns
        self._names = _Names()
        self._units: dict[str, int] = {"": 0}
        self._file = influx.target.name

    def chunks(self) -> Iterator[Chunk]:
        """Chunks as of a recording file. Raises InfluxFault."""
        configured = self._unit_history()
        states, carried = self._states()
        begun, piece_ns, waiting = self._start, FIRST_PIECE_NS, self._empty()
        while begun < self._end:
            upto = min(begun + piece_ns, self._end)
            rows = self._piece(begun, upto)
            waiting = waiting.and_(rows)
            # Later pieces may hold readings that were received up to so long before their time.
            ripe = waiting.received < upto - self._ahead_ns if upto < self._end else np.ones(len(waiting), np.bool_)
            ready, waiting = waiting.take(ripe), waiting.take(~ripe)
            ready = ready.take(np.lexsort((ready.time, ready.received)))
            limit = upto - self._ahead_ns if upto < self._end else None
            now = [state for state in states if limit is None or state.received < limit]
            states = states[len(now) :]
            if len(ready) or now:
                if carried:
                    first = min([*ready.received[:1].tolist(), *(state.received for state in now[:1])])
                    now = [StateRow(place, time, state, first, 0, 0) for place, (time, state) in carried.items()] + now
                    carried = {}
                yield self._chunk(ready, now, configured, (upto - self._start) / (self._end - self._start))
            piece_ns = _next(piece_ns, len(rows))
            begun = upto

    def _empty(self) -> _Rows:
        none = np.empty(0, np.int64)
        return _Rows(none, none, np.empty(0), none, none)

    def _piece(self, start: int, end: int) -> _Rows:
        """All readings of a piece, by point and time."""
        point, time, quality = self._field("quality", start, end)
        received = self._joined(self._field("received", start, end), point, time, -1)
        value = self._joined(self._field("value", start, end), point, time, np.nan)
        rows = _Rows(point, time, value, quality, received)
        return rows.take(received >= 0)  # a reading whose line lacks a field was written by somebody else

    def _field(self, name: str, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
        parts = list(field_columns(self._influx, self._site, name, start, end))
        if not parts:
            none = np.empty(0, np.int64)
            return none, none, none
        point = np.concatenate([self._coded(part) for part in parts])
        time = np.concatenate([part.time for part in parts])
        value = np.concatenate([part.value for part in parts])
        order = np.lexsort((time, point))
        return point[order], time[order], value[order]

    def _coded(self, part: FieldColumns) -> NDArray[np.int64]:
        return self._names.code(part.names)[part.point]

    def _joined(
        self, found: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]], point: NDArray[np.int64], time: NDArray[np.int64],
        missing: float,
    ) -> NDArray[Any]:  # fmt: skip
        """The values of a field at these points and times, which are sorted."""
        its_point, its_time, value = found
        result = np.full(len(point), missing, np.float64 if np.isnan(missing) else np.int64)
        for code in np.unique(its_point).tolist():
            mine = slice(*np.searchsorted(point, [code, code + 1]).tolist())
            its = slice(*np.searchsorted(its_point, [code, code + 1]).tolist())
            place = np.searchsorted(time[mine], its_time[its])
            inside = place < len(time[mine])
            place, at, values = place[inside], its_time[its][inside], value[its][inside]
            same = time[mine][place] == at
            result[mine][place[same]] = values[same]
        return result

    def _states(self) -> tuple[list[StateRow], dict[str, tuple[int, str]]]:
        """States of the period in the order received, and the one that each place was in at its start."""
        rows = self._influx.rows(
            f"from(bucket: {text(self._influx.target.bucket)}) |> range(start: 0, stop: time(v: {self._end}))"
            f" |> filter(fn: (r) => r._measurement == {text(ROOM_STATE.name)} and r.site == {text(self._site)})"
            " |> map(fn: (r) => ({_time: r._time, ns: int(v: r._time), place: r.place, field: r._field, text: string(v: r._value)}))"
        )
        held: dict[tuple[str, int], dict[str, str]] = {}
        for row in rows:
            held.setdefault((id_of(row["place"]), int(row["ns"])), {})[row["field"]] = row["text"]
        found, carried = [], dict[str, tuple[int, str]]()
        for (place, time), fields in sorted(held.items(), key=lambda item: item[0][1]):
            if time < self._start:
                carried[place] = (time, fields["state"])
            else:
                found.append(StateRow(place, time, fields["state"], int(fields.get("received", time)), 0, 0))
        return sorted(found, key=lambda state: state.received), carried

    def _unit_history(self) -> tuple[NDArray[np.int64], list[dict[str, str]]]:
        """When configurations took force, and the unit of each point under each."""
        rows = self._influx.rows(
            f"from(bucket: {text(self._influx.target.bucket)}) |> range(start: 0, stop: time(v: {self._end}))"
            f' |> filter(fn: (r) => r._measurement == {text(POINT_INFO.name)} and r._field == "unit" and r.site == {text(self._site)})'
            " |> map(fn: (r) => ({_time: r._time, ns: int(v: r._time), point: r.point, unit: r._value}))"
        )
        history: dict[int, dict[str, str]] = {}
        for row in rows:
            history.setdefault(int(row["ns"]), {})[id_of(row["point"])] = row["unit"]
        times = sorted(history)
        return np.array(times, np.int64), [history[time] for time in times]

    def _chunk(self, rows: _Rows, states: list[StateRow], configured: tuple[NDArray[np.int64], list[dict[str, str]]], done: float) -> Chunk:
        unit = self._unit(rows, configured)
        stamps = [*rows.received[[0, -1]].tolist()] if len(rows) else []
        stamps += [state.received for state in states]
        before = np.searchsorted(rows.received, [state.received for state in states]).tolist()
        return Chunk(
            file=self._file,
            names=tuple(self._names.codes),
            point=rows.point.astype(np.int32),
            time=rows.time,
            value=rows.value,
            quality=rows.quality.astype(np.uint8),
            received=rows.received,
            units=tuple(self._units),
            unit=unit,
            row=np.zeros(len(rows), np.int64),
            raw={int(index): "NaN" for index in np.flatnonzero(np.isnan(rows.value))},
            states=tuple(
                StateRow(state.place, state.time, state.state, state.received, 0, index)
                for state, index in zip(states, before, strict=True)
            ),
            received_span=(min(stamps), max(stamps)),
            done=done,
        )

    def _unit(self, rows: _Rows, configured: tuple[NDArray[np.int64], list[dict[str, str]]]) -> NDArray[np.int32]:
        """The unit in force when each reading was received; 0, the point's own, where that is not known."""
        times, history = configured
        unit = np.zeros(len(rows), np.int32)
        names = list(self._names.codes)
        epoch = np.searchsorted(times, rows.received, "right") - 1
        for number in np.unique(epoch[epoch >= 0]).tolist():
            codes = np.array([self._units.setdefault(history[number].get(name, ""), len(self._units)) for name in names], np.int32)
            mine = epoch == number
            unit[mine] = codes[rows.point[mine]]
        return unit


def _next(piece_ns: int, rows: int) -> int:
    """Twice or half as long as the last piece, towards PIECE_ROWS."""
    if rows < PIECE_ROWS // 2:
        return min(piece_ns * 2, 1 << 50)
    return max(piece_ns // 2, 10**9) if rows > PIECE_ROWS * 2 else piece_ns
