"""Simulated readings over MQTT, at their own pace or faster."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from facility.reading import quality_name
from facility.site import Facility
from facility.wire import Published, encode_reading, encode_readings, encode_state, occupancy_topic, topic_of
from simulators.chunk import GARBLED, Chunk, State
from simulators.outlet import SECOND_NS, Clock, Outlet

ORIGIN = "simulator"
SLICE_S = 0.2
"""How long a wish to stop may go unheard."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the broker acknowledged: `readings` counts each element of an array, duplicates and unintelligible ones too."""

    readings: int
    messages: int
    reconnects: int


def publish(
    chunks: Iterable[Chunk],
    outlet: Outlet,
    facility: Facility,
    clock: Clock,
    *,
    start_ns: int,
    speed: float = 1.0,
    batch: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> Told:
    """Publish simulated readings and states of rooms as they are sent, `start_ns` being now, at `speed` times the pace of time.

    Speed 0 is as fast as the broker takes it. Up to `batch` readings of a point become one array message. Ends with the chunks, or when
    `stop()` says so; either way all that was sent is acknowledged when it returns. Raises BrokerUnreachable.
    """
    if not (math.isfinite(speed) and speed >= 0):
        raise ValueError(f"speed: a number of at least 0 (0: as fast as the broker takes it), not {speed}")
    begun_ns = clock.monotonic_ns()
    for time_ns, topic, payload, readings in _messages(chunks, facility, max(1, batch)):
        due_ns = begun_ns + round((time_ns - start_ns) / speed) if speed else begun_ns
        while not stop() and (left_ns := due_ns - clock.monotonic_ns()) > 0:
            outlet.wait(min(left_ns / SECOND_NS, SLICE_S))
        if stop():
            break
        outlet.publish(topic, payload, readings, retain=not readings)
    outlet.drain()
    return Told(outlet.readings, outlet.messages, outlet.reconnects)


def _messages(chunks: Iterable[Chunk], facility: Facility, batch: int) -> Iterator[tuple[int, str, bytes, int]]:
    """(when it is sent, topic, payload, readings in it), in that order; a state of a room holds none."""
    topics = [topic_of(facility.site.id, point) for point in facility.points]
    units = [point.unit for point in facility.points]
    for chunk in chunks:
        states = list(reversed(chunk.states))
        waiting: dict[int, list[Published]] = {}
        for row, (point, sent) in enumerate(zip(chunk.point.tolist(), chunk.sent.tolist(), strict=True)):
            while states and states[-1].time <= sent:
                yield _state(states.pop(), facility.site.id)
            reading = _published(chunk, row, units[point])
            if chunk.kind[row] == GARBLED:
                yield sent, topics[point], _garbled(reading), 1
                continue
            readings = waiting.setdefault(point, [])
            readings.append(reading)
            if len(readings) == batch:
                del waiting[point]
                yield sent, topics[point], encode_reading(reading) if batch == 1 else encode_readings(readings), batch
        for point, readings in waiting.items():
            yield int(chunk.sent[-1]), topics[point], encode_readings(readings), len(readings)
        for state in reversed(states):
            yield _state(state, facility.site.id)


def _state(state: State, site: str) -> tuple[int, str, bytes, int]:
    return state.time, occupancy_topic(site, state.place), encode_state(state.time, state.state, ORIGIN), 0


def _published(chunk: Chunk, row: int, unit: str) -> Published:
    count, quality = float(chunk.count[row]), quality_name(int(chunk.quality[row]))
    time_ns, sequence = int(chunk.time[row]), int(chunk.sequence[row])
    if math.isnan(count):
        return Published(time_ns, float(chunk.value[row]), unit, quality, sequence, origin=ORIGIN)
    return Published(time_ns, None, "", quality, sequence, int(count), float(chunk.volume_l[row]), ORIGIN)


def _garbled(reading: Published) -> bytes:
    """The reading as a gateway with a decimal comma writes it: no JSON."""
    number = reading.count if reading.value is None else reading.value
    return encode_reading(Published(reading.time, None, origin=ORIGIN)).replace(b"null", f"{number:.2f}".replace(".", ",").encode())
