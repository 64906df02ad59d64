"""The journal's readings as a recording: in journal order, so that a replay of it gives the same excursions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facility.reading import SPOILT, Readings
from facility.recording.chunk import Chunk, StateRow
from facility.site import Facility
from historian.wanted import Wanted
from ingest.journal.entries import CONFIGURATION, ConfigurationBody, State, decode, ingest_body, readings_of
from ingest.journal.journal import Entry

CHUNK_ROWS = 65_536
RECEIVED_QUALITY = SPOILT - 1
"""Mask of the quality as received: what admission made bad by its value, a replay's admission makes bad again."""


def exported(
    entries: Iterable[Entry],
    carried: Mapping[str, tuple[int, str]],
    facility_of: Callable[[ConfigurationBody], Facility],
    wanted: Wanted,
) -> Iterator[Chunk]:
    """Stored readings and room states as chunks of about CHUNK_ROWS rows, each value in the unit that it was stored in.

    `entries` are the journal's of KINDS in order, every configuration among them; `carried` the state (time, occupancy) that each place was
    in at the start. Those come first, with the `received` of the first row that is wanted: the recording begins there, not at their time.
    """
    gathering = _Gathering(wanted, dict(carried))
    for entry in entries:
        if entry.kind == CONFIGURATION:
            yield from gathering.flush()
            body = decode(entry)
            assert isinstance(body, ConfigurationBody)
            gathering.configure(body, facility_of(body))
            continue
        gathering.add(entry)
        if gathering.rows >= CHUNK_ROWS:
            yield from gathering.flush()
    yield from gathering.flush()


@dataclass(slots=True)
class _Gathering:
    """Readings and states on their way into a chunk."""

    wanted: Wanted
    carried: dict[str, tuple[int, str]]
    names: list[str] = field(default_factory=list)
    units: dict[str, int] = field(default_factory=lambda: {"": 0})
    unit_of: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    chosen: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))
    parts: list[Readings] = field(default_factory=list)
    states: list[StateRow] = field(default_factory=list)
    rows: int = 0

    def configure(self, body: ConfigurationBody, facility: Facility) -> None:
        """Names grow by what is new in the register; units are those of the points from now on."""
        grown = max(body.points.values(), default=-1) + 1 - len(self.names)
        self.names += [""] * grown
        for point, number in body.points.items():
            self.names[number] = point
        unit_of = np.zeros(len(self.names), np.int32)
        unit_of[: len(self.unit_of)] = self.unit_of
        for number, name in enumerate(self.names):
            if (point_now := facility.point_by_id.get(name)) is not None:
                unit_of[number] = self.units.setdefault(point_now.unit, len(self.units))
        self.unit_of = unit_of
        points = self.wanted.points
        self.chosen = np.array([points is None or name in points for name in self.names], np.bool_)

    def add(self, entry: Entry) -> None:
        body = ingest_body(entry)
        for state in body.states:
            self._add_state(state, entry.at)
        if not entry.readings:
            return
        readings = readings_of(entry, body)
        which = self.chosen[readings.point]
        if self.wanted.start is not None:
            which &= readings.time >= self.wanted.start
        if self.wanted.end is not None:
            which &= readings.time < self.wanted.end
        if not which.all():
            readings = readings.take(which)
        if len(readings):
            self._carry(entry.at)
            self.parts.append(readings)
            self.rows += len(readings)

    def flush(self) -> Iterator[Chunk]:
        """What was gathered, if anything was."""
        if not self.parts and not self.states:
            return
        readings = Readings.concatenate(self.parts)
        stamps = [*readings.received[[0, -1]].tolist()] if len(readings) else []
        stamps += [state.received for state in self.states]
        yield Chunk(
            file="",
            names=tuple(self.names),
            point=readings.point.astype(np.int32),
            time=readings.time,
            value=readings.value,
            quality=readings.quality & np.uint8(RECEIVED_QUALITY),
            received=readings.received,
            units=tuple(self.units),
            unit=self.unit_of[readings.point],
            row=np.zeros(len(readings), np.int64),
            raw={int(index): "NaN" for index in np.flatnonzero(np.isnan(readings.value))},
            states=tuple(self.states),
            received_span=(min(stamps), max(stamps)),
        )
        self.parts, self.states, self.rows = [], [], 0

    def _add_state(self, state: State, received: int) -> None:
        if self.wanted.covers(state.time) and (self.wanted.places is None or state.place in self.wanted.places):
            self._carry(received)
            self._append(state.place, state.time, state.state, received)

    def _carry(self, received: int) -> None:
        """Before the first row: the states that it found."""
        for place, (time, state) in self.carried.items():
            if self.wanted.places is None or place in self.wanted.places:
                self._append(place, time, state, received)
        self.carried = {}

    def _append(self, place: str, time: int, state: str, received: int) -> None:
        self.states.append(StateRow(place, time, state, received, 0, self.rows))
