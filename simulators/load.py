"""Load: many points at a steady rate over MQTT, with little work for each reading, and an account of all that was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import msgspec
import numpy as np

from facility.site import Facility, Place, Point, Site
from facility.wire import topic_of
from simulators.outlet import SECOND_NS, Clock, Outlet
from simulators.publish import ORIGIN

ROOM_POINTS = 100
QUANTITIES = (
    ("differential_pressure", "Pa", 15.0, 0.4, 1),
    ("temperature", "degC", 20.0, 0.1, 2),
    ("relative_humidity", "%", 45.0, 0.5, 1),
    ("particles_0_5um", "1/m3", 20_000.0, 600.0, 0),
)
"""Quantity, unit, middle, standard deviation, decimals; the points take them in turn."""
VALUES = 997
"""So many values are prepared for each quantity; a prime, so that no two points say the same for long."""
SLOTS_PER_S = 20
"""Points are spread over so many slots of a second, so that the load is even."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent and acknowledged: every point has `each` readings with the numbers 0 to `each` - 1, from `first_ns` on, `gap_ns` apart.

    `seconds` is from the first message to the last acknowledgement, `late_ns` how far behind its time the latest message went out.
    """

    points: int
    each: int
    readings: int
    messages: int
    first_ns: int
    gap_ns: int
    seconds: float
    late_ns: int
    reconnects: int


def load_site(points: int, period_ns: int) -> Facility:
    """A facility of so many points, ROOM_POINTS to a room of grade C."""
    made: list[Point] = []
    for number in range(points):
        quantity, unit, *_ = QUANTITIES[number % len(QUANTITIES)]
        room = f"r{number // ROOM_POINTS}"
        made.append(Point(f"{room}.p{number}", quantity, unit, room, grade="C", period_ns=period_ns))
    rooms = [Place(f"r{n}", f"Room {n}", "C", points=tuple(p.id for p in made[n * ROOM_POINTS : (n + 1) * ROOM_POINTS]))
             for n in range(-(-points // ROOM_POINTS))]  # fmt: skip
    return Facility(Site("load", "Load"), tuple(rooms), tuple(made))


def facility_text(facility: Facility) -> str:
    """A load facility as the facility.yaml that a service needs to receive it."""
    lines = [f"site: {{id: {facility.site.id}, name: {facility.site.name}}}", "rooms:"]
    for place in facility.places:
        lines += [f"  - id: {place.id}", f"    grade: {place.grade}", "    points:"]
        for name in place.points:
            point = facility.point_by_id[name]
            period = f"{(point.period_ns or 0) / 1e6:.10g}ms"
            lines.append(f'      - {{id: {name}, quantity: {point.quantity}, unit: "{point.unit}", period: {period}}}')
    return "\n".join(lines) + "\n"


def publish_load(
    outlet: Outlet,
    facility: Facility,
    clock: Clock,
    *,
    start_ns: int,
    gap_ns: int,
    duration_ns: int,
    batch: int,
    stop: Callable[[], bool] = lambda: False,
) -> Sent:
    """Publish a reading of every point each `gap_ns` from `start_ns` (now) on, `batch` of them to a message; acknowledged when it returns.

    Nothing is left out: who cannot keep pace sends late. Raises BrokerUnreachable.
    """
    begun_ns = clock.monotonic_ns()
    each = max(1, round(duration_ns / gap_ns / batch)) * batch
    talkers = [_Talker(topic_of(facility.site.id, point), texts) for point, texts in zip(facility.points, _texts(facility), strict=True)]
    slots = max(1, min(len(talkers), round(SLOTS_PER_S * batch * gap_ns / SECOND_NS)))
    late_ns = 0
    told = each
    for first in range(0, each, batch):
        times = [start_ns + (first + number) * gap_ns for number in range(batch)]
        for slot in range(slots):
            # A message goes out when its last reading is due, or a little later: the slots lie within the time of one batch.
            due_ns = begun_ns + (first + batch) * gap_ns - gap_ns + batch * gap_ns * slot // slots
            while (left_ns := due_ns - clock.monotonic_ns()) > 0:
                outlet.wait(left_ns / SECOND_NS)
            late_ns = max(late_ns, -left_ns)
            for talker in islice(talkers, slot, None, slots):
                outlet.publish(talker.topic, talker.payload(times, first), batch)
        if stop():
            told = first + batch
            break
    outlet.drain()
    seconds = (clock.monotonic_ns() - begun_ns - (batch - 1) * gap_ns) / SECOND_NS
    return Sent(len(talkers), told, outlet.readings, outlet.messages, start_ns, gap_ns, seconds, late_ns, outlet.reconnects)


class _Talker:
    """A point's topic and what comes after the time in each of its readings, encoded before."""

    def __init__(self, topic: str, texts: Iterator[str]) -> None:
        self.topic, self._texts = topic, texts

    def payload(self, times: Sequence[int], first: int) -> bytes:
        readings = [f'{{"time":{time},"seq":{number},{next(self._texts)}' for number, time in enumerate(times, first)]
        return f"[{','.join(readings)}]".encode()


def _texts(facility: Facility) -> Iterator[Iterator[str]]:
    """For each point an endless iterator over the prepared ends of its readings."""
    chance = np.random.Generator(np.random.PCG64(1))
    prepared: dict[tuple[str, str], list[str]] = {}
    for number, point in enumerate(facility.points):
        key = (point.quantity, point.unit)
        if key not in prepared:
            low, high = point.range or (0.0, 100.0)
            usual = (point.quantity, point.unit, (low + high) / 2, (high - low) / 50, 2)
            middle, sd, decimals = next((row for row in QUANTITIES if row[:2] == key), usual)[2:]
            values = np.round(middle + sd * chance.standard_normal(VALUES), decimals).tolist()
            ends = {"unit": point.unit, "origin": ORIGIN}
            prepared[key] = [msgspec.json.encode({"value": value} | ends)[1:].decode() for value in values]
        texts = prepared[key]
        yield islice(cycle(texts), number % VALUES, None)
