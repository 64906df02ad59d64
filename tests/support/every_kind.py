"""A site whose rules are of every kind and use every key, and hours of readings in which each of them finds something."""

from __future__ import annotations

import random
from pathlib import Path

from facility.facility_file import load_facility
from facility.wire import Published, encode_reading, encode_state, occupancy_topic, topic_of
from simulators.outlet import Outlet
from simulators.playback import ORIGIN
from tests.support.pump import SECOND_NS, Sent

MINUTE_NS = 60 * SECOND_NS
MINUTES = 360
CLOCKS = ("clock1", "clock2", "clock3")
"""Instruments whose clocks go ahead: told by hand, as this is judged on arrival."""
QUIET = "quiet"
"""One that falls silent, told by hand as well."""
FACILITY = """
site: {id: kinds, name: Every kind, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    name: Cell processing
    grade: B
    occupancy: in_operation
    clean_up: 10m
    at_most: {cleaning: 30m}
    points:
      - {id: dp, quantity: differential_pressure, unit: Pa, period: 1m, range: [-100, 100]}
      - {id: dp2, quantity: differential_pressure, unit: Pa, period: 1m, range: [-100, 100]}
      - {id: temp, quantity: temperature, unit: degC, period: 1m, range: [-10, 60]}
      - {id: temp2, quantity: temperature, unit: degC, period: 1m, range: [-10, 60]}
      - {id: rh, quantity: relative_humidity, unit: "%", period: 1m, range: [0, 100]}
      - {id: p05, quantity: particles_0_5um, unit: 1/m3, period: 1m}
      - {id: door, quantity: door, unit: "1", period: 1m, range: [0, 1], reports: on_change}
      - {id: step, quantity: differential_pressure, derived: {difference: [dp, dp2]}}
      - {id: cubic, quantity: particles_0_5um, unit: 1/m3, derived: {sum: p05, volume: 1 m3, sample: 28.3 L}}
      - {id: coldest, quantity: temperature, derived: {minimum: {room: cp1}}}
      - {id: warmest, quantity: temperature, derived: {maximum: {room: cp1}}}
      - {id: clock1, quantity: co2, unit: ppm, period: 1m}
      - {id: clock2, quantity: co2, unit: ppm, period: 1m}
      - {id: clock3, quantity: co2, unit: ppm, period: 1m}
      - {id: quiet, quantity: co2, unit: ppm, period: 1m}
"""
LIMITS = """point,zone,room,type,grade,quantity,occupancy,level,below,above,basis
temp,,,,,,in_operation,alert,,25,as qualified
temp,,,,,,at_rest,alert,,20.5,as qualified
"""
RULES = """
rules:
  - id: dp-low
    kind: limit
    select: {point: dp}
    levels: {alert: {below: 12}, action: {below: 8}}
    deadband: 1
    on_delay: 3m
    off_delay: 2m
    max_gap: 6m
    unless: {point: "door", above: 0.5, at_most: 10m}
  - {id: warm, kind: limit, select: {point: temp}, level: alert, above: limits, off_delay: 1m}
  - {id: warm-at-work, kind: limit, select: {point: "temp*"}, level: alert, above: 22.5, on_delay: 2m, while: [in_operation]}
  - {id: jump, kind: rate, select: {point: temp}, level: technical, change: 3, window: 5m}
  - {id: stuck, kind: flatline, select: {point: rh}, duration: 20m, max_gap: 30m}
  - {id: often, kind: count, select: {point: p05}, level: alert, above: 3520, k: 3, n: 5, min_readings: 3}
  - {id: average, kind: mean, select: {point: temp}, level: alert, above: 23.5, window: 15m, deadband: 0.5, min_readings: 3}
  - {id: faulty, kind: quality, select: {point: rh}, on_delay: 1m}
  - {id: open, kind: limit, select: {point: door}, level: alert, at_or_above: 1, on_delay: 5m}
  - {id: reversed, kind: limit, select: {point: step}, level: action, below: 4, on_delay: 2m}
  - {id: dirty, kind: limit, select: {point: cubic}, levels: {alert: {above: 12000}, action: {above: 20000}}}
  - {id: cold, kind: limit, select: {point: coldest}, level: alert, below: 17, on_delay: 2m}
  - {id: hottest, kind: mean, select: {point: warmest}, level: alert, above: 24, window: 10m}
  - {id: recovers, kind: recovery, select: {point: p05}, level: alert, above: 100, within: 15m}
  - {id: forgotten, kind: state}
  - {id: silent, kind: stale, select: {point: quiet}, after: 5s}
  - {id: ahead, kind: clock_ahead, select: {point: "clock*"}}
"""
"""A kind that is added gets a line here, and something to find in `hours`."""

_SPANS: dict[str, tuple[float, float, dict[range, float]]] = {
    # point: what it shows, how much that moves, and what it shows for some minutes
    "dp": (15.0, 0.8, {range(40, 56): 10.0, range(170, 186): 6.0, range(230, 244): 5.0}),
    "dp2": (5.0, 0.8, {range(120, 136): 14.0}),
    "temp": (21.0, 0.3, {range(10, 32): 26.0, range(205, 229): 26.0}),
    "temp2": (21.0, 0.3, {range(300, 312): 15.0}),
    "rh": (45.0, 2.0, {}),
    "p05": (500.0, 300.0, {range(150, 160): 90_000.0, range(250, 255): 9000.0}),
}
_STILL, _FAULTY = range(100, 150), range(200, 212)
_OPENED = (range(30, 34), range(90, 104), range(172, 178), range(310, 340))
_STATES = ((60, "cleaning"), (75, "cleaning"), (110, "at_rest"), (140, "in_operation"), (270, "cleaning"), (290, "in_operation"))


def written(folder: Path) -> Path:
    """The files that say what is monitored and judged."""
    folder.mkdir()
    for name, text in (("facility.yaml", FACILITY), ("rules.yaml", RULES), ("limits.csv", LIMITS)):
        (folder / name).write_text(text)
    return folder


class Told:
    """What the site's instruments say, as messages."""

    def __init__(self, example: Path) -> None:
        facility = load_facility(example / "facility.yaml")
        self._site, self._points = facility.site.id, facility.point_by_id

    def reading(self, point: str, time: int, value: float, quality: str = "") -> Sent:
        payload = encode_reading(Published(time, value, quality=quality, origin=ORIGIN))
        return Sent(topic_of(self._site, self._points[point]), payload, time)

    def hours(self, begin: int, dice: random.Random) -> list[Sent]:
        """All but what is told by hand, in the order of times; a reading in fifty is missing, and twelve minutes of everything."""
        sent = [Sent(occupancy_topic(self._site, "cp1"), encode_state(begin + at * MINUTE_NS, state, ORIGIN), begin + at * MINUTE_NS)
                for at, state in _STATES]  # fmt: skip
        for opened in _OPENED:  # shut at the end: how far a recording's clock runs says nothing of it then
            sent += [self.reading("door", begin + minute * MINUTE_NS, value) for minute, value in ((opened.start, 1.0), (opened.stop, 0.0))]
        for point, (usual, moves, spans) in _SPANS.items():
            for minute in range(MINUTES):
                if minute in range(245, 257) or dice.random() < 0.02:
                    continue
                level = next((value for span, value in spans.items() if minute in span), usual)
                still = point == "rh" and minute in _STILL
                value = level if still else round(level + dice.uniform(-moves, moves), 3)
                quality = "bad" if point == "rh" and minute in _FAULTY else "uncertain" if dice.random() < 0.05 else ""
                sent.append(self.reading(point, begin + minute * MINUTE_NS + dice.randrange(0, 20 * SECOND_NS), value, quality))
        return sorted(sent, key=lambda message: message.time)


def say(outlet: Outlet, *messages: Sent) -> None:
    """Publish some messages, and wait until the broker has them."""
    for message in messages:
        outlet.publish(message.topic, message.payload)
    outlet.drain()
