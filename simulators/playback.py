"""A recording over MQTT: its readings and states published again, at their own pace or faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from facility.reading import GOOD, QUALITIES
from facility.recording import Chunk, StateRow
from facility.site import Facility, Point
from facility.wire import Published, encode_reading, encode_readings, encode_state, occupancy_topic, topic_of
from simulators.outlet import SECOND_NS, Clock, Outlet

ORIGIN = "replay"
MAX_WAITING = 10_000
"""Readings held back for batching, over all points."""


@dataclass(frozen=True, slots=True)
class Played:
    """How far a playback is: what the broker acknowledged, and what was not published because the facility lacks it.

    `unheard` messages reached no subscriber. `at` is the recording's own time of arrival that was reached (int ns UTC, None before the
    first row), `done` the fraction of its bytes.
    """

    readings: int
    messages: int
    unheard: int
    states: int
    unknown: dict[str, int]
    rejected: int
    reconnects: int
    at: int | None
    done: float


def play(
    chunks: Iterable[Chunk],
    outlet: Outlet,
    facility: Facility,
    clock: Clock,
    *,
    speed: float = 1.0,
    shift_ns: int = 0,
    batch: int = 1,
    progress: Callable[[Played], None] | None = None,
) -> Played:
    """Publish a recording in the order of its rows, paced by `received` at `speed` times its pace, 0 as fast as the broker takes it.

    Every time is moved by `shift_ns` (see retiming). Up to `batch` readings of a point that are due together become one array message.
    Payloads carry the origin `replay`; states are retained. Returns when all is acknowledged. Raises BrokerUnreachable, RecordingError.
    """
    if not (math.isfinite(speed) and speed >= 0):
        raise ValueError(f"speed: a number of at least 0 (0: as fast as the broker takes it), not {speed}")
    playback = _Playback(outlet, facility.as_measured, clock, speed, shift_ns, max(1, batch))
    for chunk in chunks:
        playback.chunk(chunk, progress)
    playback.flush()
    outlet.drain()
    played = playback.played()
    if progress is not None:
        progress(played)
    return played


def retiming(span: tuple[int, int], start: int, speed: float) -> int:
    """What to add to each time so that a recording with this span of `received` happens now, from `start` (all int ns UTC).

    Distances in time stay as they are, since delays of rules are meant in them. So that no reading is ahead of the clock, a recording that
    is played faster than it happened ends now, with the last reading due; one that is played at its own pace or slower begins now.
    """
    first, last = span
    if speed == 0:
        return start - last
    return start - first if speed <= 1 else start + int((last - first) / speed) - last


class _Playback:
    def __init__(self, outlet: Outlet, facility: Facility, clock: Clock, speed: float, shift_ns: int, batch: int) -> None:
        self.outlet, self.facility, self.clock = outlet, facility, clock
        self.speed, self.shift_ns, self.batch = speed, shift_ns, batch
        self.topics: dict[str, str | None] = {}
        self.waiting: dict[str, list[Published]] = {}
        self.held = 0
        self.begun: tuple[int, int] | None = None
        self.states = self.rejected = 0
        self.unknown: dict[str, int] = {}
        self.at: int | None = None
        self.done = 0.0

    def chunk(self, chunk: Chunk, progress: Callable[[Played], None] | None) -> None:
        self.rejected += len(chunk.rejects)
        for count, (received, point, event) in enumerate(_events(chunk)):
            self._await(received, progress)
            if isinstance(event, StateRow):
                self._state(event)
            else:
                self._reading(point, event)
            if progress is not None and count % 1000 == 999:
                progress(self.played())
        self.done = chunk.done
        if progress is not None:
            progress(self.played())

    def flush(self) -> None:
        """Publish what was held back for batching."""
        for topic, readings in self.waiting.items():
            if readings:
                self._publish(topic, readings)
        self.waiting.clear()
        self.held = 0

    def played(self) -> Played:
        outlet = self.outlet
        return Played(
            readings=outlet.readings,
            messages=outlet.messages,
            unheard=outlet.unheard,
            states=self.states,
            unknown=dict(self.unknown),
            rejected=self.rejected,
            reconnects=outlet.reconnects,
            at=self.at,
            done=self.done,
        )

    def _await(self, received: int, progress: Callable[[Played], None] | None) -> None:
        """Wait until a row is due; rows that are already due cost no look at the clock."""
        if self.at is not None and received <= self.at:
            return
        self.at = received
        if self.speed == 0:
            return
        now = self.clock.monotonic_ns()
        if self.begun is None:
            self.begun = (now, received)
        left = self.begun[0] + int((received - self.begun[1]) / self.speed) - now
        if left > 0:
            self.flush()
            if progress is not None:
                progress(self.played())
            self.outlet.wait(left / SECOND_NS)

    def _reading(self, name: str, reading: Published) -> None:
        topic = self._topic(name)
        if topic is None:
            self.unknown[name] = self.unknown.get(name, 0) + 1
            return
        moved = reading if not self.shift_ns else _moved(reading, self.shift_ns)
        readings = self.waiting.setdefault(topic, [])
        readings.append(moved)
        self.held += 1
        if len(readings) >= self.batch:
            self._publish(topic, readings)
            self.held -= len(readings)
            readings.clear()
        elif self.held >= MAX_WAITING:
            self.flush()

    def _publish(self, topic: str, readings: list[Published]) -> None:
        payload = encode_reading(readings[0]) if len(readings) == 1 else encode_readings(readings)
        self.outlet.publish(topic, payload, len(readings))

    def _state(self, row: StateRow) -> None:
        self.flush()  # a state must not overtake the readings before it
        if row.place not in self.facility.place_by_id:
            name = f"{row.place}/occupancy"
            self.unknown[name] = self.unknown.get(name, 0) + 1
            return
        payload = encode_state(row.time + self.shift_ns, row.state, ORIGIN)
        self.outlet.publish(occupancy_topic(self.facility.site.id, row.place), payload, 0, retain=True)
        self.states += 1

    def _topic(self, name: str) -> str | None:
        if name not in self.topics:
            point: Point | None = self.facility.point_by_id.get(name)
            self.topics[name] = topic_of(self.facility.site.id, point) if point else None
        return self.topics[name]


def _moved(reading: Published, shift_ns: int) -> Published:
    return Published(reading.time + shift_ns, reading.value, reading.unit, reading.quality, origin=reading.origin)


def _events(chunk: Chunk) -> Iterator[tuple[int, str, Published | StateRow]]:
    """Readings and states of a chunk in the order of their rows, with `received` and the point's id."""
    states = list(reversed(chunk.states))
    names, units = chunk.names, chunk.units
    columns = (chunk.received, chunk.point, chunk.time, chunk.value, chunk.quality, chunk.unit)
    for index, (received, point, time, value, quality, unit) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        while states and states[-1].before <= index:
            state = states.pop()
            yield state.received, "", state
        yield received, names[point], Published(time, value, units[unit], QUALITIES[quality] if quality != GOOD else "", origin=ORIGIN)
    for state in reversed(states):
        yield state.received, "", state
