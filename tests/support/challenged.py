"""A small site whose rules are challenged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from facility.site import Facility
from rules.rule import Rule
from service.challenge.conduct import Record, choose, conduct
from service.challenge.subject import Outcome
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.configuration.judging import judging_hash

FACILITY = """
site: {id: lab, name: Lab, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    grade: B
    clean_up: 10m
    points:
      - {id: cp1.dp, quantity: differential_pressure, unit: Pa, period: 2s, range: [-100, 100], resolution: 0.1}
      - {id: cp1.temp, quantity: temperature, unit: degC, period: 30s, range: [-10, 60], resolution: 0.01}
      - {id: cp1.door, quantity: door, unit: "1", period: 5s, range: [0, 1]}
    zones:
      - {id: bsc1, grade: A, type: bsc, points: [{id: bsc1.p05, quantity: particles_0_5um, unit: 1/m3, period: 60s}]}
"""
RULES = """
rules:
  - id: dp
    kind: limit
    select: {quantity: differential_pressure}
    levels: {alert: {below: 12}, action: {below: 10}}
    deadband: 1
    on_delay: 8s
    off_delay: 4s
    max_gap: 6s
  - id: dp-door
    kind: limit
    select: {quantity: differential_pressure}
    level: action
    below: 5
    on_delay: 20s
    unless: {point: "{room}.door", above: 0.5, at_most: 1m}
  - {id: particles, kind: limit, select: {grade: A, quantity: "particles_*"}, level: action, above: annex1}
  - {id: often, kind: count, select: {quantity: "particles_*"}, level: alert, above: 100, k: 3, n: 5}
  - id: average
    kind: mean
    select: {quantity: temperature}
    level: alert
    above: 22
    below: 18
    deadband: 0.3
    window: 30m
    min_readings: 5
  - {id: jump, kind: rate, select: {quantity: temperature}, level: technical, change: 4, window: 2m}
  - {id: stuck, kind: flatline, select: {quantity: temperature}, duration: 2h, tolerance: 0.02, max_gap: 30m}
  - {id: at-work, kind: limit, select: {quantity: temperature}, level: alert, above: 25, on_delay: 10m, while: [in_operation]}
  - {id: door, kind: limit, select: {quantity: door}, level: alert, at_or_above: 1, on_delay: 60s}
  - {id: bad, kind: quality, select: {quantity: differential_pressure}}
"""
ARRIVAL = """
rules:
  - {id: silent, kind: stale, select: {point: [cp1.dp, cp1.door]}, after: 5s}
  - {id: impatient, kind: stale, select: {point: cp1.temp}, after: 5s}
  - {id: ahead, kind: clock_ahead, select: {point: cp1.dp}}
  - {id: elsewhere, kind: clock_ahead, select: {point: [cp1.temp, cp1.door]}}
"""
COMPUTED = """
site: {id: lab, name: Lab, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    grade: B
    at_most: {cleaning: 4h, maintenance: 30m}
    points:
      - {id: dp, quantity: differential_pressure, unit: Pa, period: 2s, range: [-100, 100], resolution: 0.1}
      - {id: dp2, quantity: differential_pressure, unit: Pa, period: 4s, range: [0, 100], resolution: 0.1}
      - {id: dp3, quantity: differential_pressure, unit: Pa, period: 2s, range: [-100, 100], resolution: 0.1}
      - {id: p50, quantity: particles_5_0um, unit: 1/m3, period: 60s}
      - {id: step, quantity: cascade, derived: {difference: [dp, dp2]}}
      - {id: lowest, quantity: lowest, derived: {minimum: {room: cp1, quantity: differential_pressure}}}
      - {id: highest, quantity: highest, derived: {maximum: {room: cp1, quantity: differential_pressure}}}
      - {id: cubic, quantity: cubic, unit: 1/m3, derived: {sum: p50, volume: 1 m3, sample: 100 L}}
    zones:
      - {id: bsc1, grade: A, type: bsc}
"""
"""A facility with points that are computed, and rooms whose states may last only so long."""
OF_COMPUTED = """
rules:
  - {id: reversed, kind: limit, select: {point: step}, level: action, below: 5.1, on_delay: 10s, off_delay: 4s, deadband: 1}
  - {id: low, kind: limit, select: {point: lowest}, level: alert, below: 4, on_delay: 6s, max_gap: 8s}
  - {id: high, kind: limit, select: {point: highest}, levels: {alert: {above: 30}, action: {above: 40}}, while: [in_operation]}
  - {id: kept, kind: limit, select: {point: lowest}, level: alert, above: 60, on_delay: 4s}
  - {id: dirty, kind: limit, select: {point: cubic}, level: action, above: 20, on_delay: 1m}
  - {id: often, kind: count, select: {point: cubic}, level: alert, above: 3, k: 2, n: 4}
  - {id: average, kind: mean, select: {point: step}, level: alert, below: 9, window: 5m}
  - {id: jump, kind: rate, select: {point: step}, level: technical, change: 4, window: 2m}
  - {id: still, kind: flatline, select: {point: step}, duration: 1h}
  - {id: disk, kind: limit, select: {point: $disk.free}, level: technical, below: 10, on_delay: 2m}
  - {id: forgotten, kind: state}
"""


def site(folder: Path, rules: str = RULES, facility: str = FACILITY) -> Path:
    """Its files; the path of its renrum.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "facility.yaml").write_text(facility)
    (folder / "rules.yaml").write_text(rules)
    (folder / "oncall.yaml").write_text("channels: {pager: {kind: webhook, url: 'http://127.0.0.1:9/never'}}\n")
    main = folder / "renrum.yaml"
    main.write_text(
        "environment: production\nfacility: facility.yaml\nrules: rules.yaml\noncall: oncall.yaml\ndata_dir: ./data\n"
        "mqtt: {url: 'mqtt://127.0.0.1:9'}\nhttp: {host: 127.0.0.1, port: 0}\n"
    )
    return main


def configured(folder: Path, rules: str = RULES, facility: str = FACILITY) -> Configuration:
    return load_configuration(site(folder, rules, facility), {})


def otherwise(configuration: Configuration, rules: Sequence[Rule], facility: Facility | None = None) -> Configuration:
    """The configuration judging by other rules, or another facility."""
    facility = facility or configuration.facility
    hash_ = judging_hash(facility, tuple(rules), configuration.tables)
    return replace(configuration, facility=facility, rules=tuple(rules), judging_hash=hash_)


def challenged(configuration: Configuration, folder: Path, instance: Configuration | None = None) -> Record:
    clock = SystemClock()
    return conduct(configuration, folder, clock, choose(configuration, None, clock.now_ns()), challenged=instance)


def lines(record: Record, rule: str, status: str) -> list[Outcome]:
    return [outcome for outcome in record.outcomes if outcome.rule == rule and outcome.status == status]
