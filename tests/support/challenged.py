"""A small site whose rules are challenged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rules.rule import Rule
from service.challenge.conduct import Record, choose, conduct
from service.challenge.subject import Outcome
from service.clock import SystemClock
from service.configuration import Configuration, load_configuration
from service.judging import judging_hash

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


def site(folder: Path, rules: str = RULES) -> Path:
    """Its files; the path of its renrum.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "facility.yaml").write_text(FACILITY)
    (folder / "rules.yaml").write_text(rules)
    (folder / "oncall.yaml").write_text("channels: {pager: {kind: webhook, url: 'http://127.0.0.1:9/never'}}\n")
    main = folder / "renrum.yaml"
    main.write_text(
        "environment: production\nfacility: facility.yaml\nrules: rules.yaml\noncall: oncall.yaml\ndata_dir: ./data\n"
        "mqtt: {url: 'mqtt://127.0.0.1:9'}\nhttp: {host: 127.0.0.1, port: 0}\n"
    )
    return main


def configured(folder: Path, rules: str = RULES) -> Configuration:
    return load_configuration(site(folder, rules), {})


def otherwise(configuration: Configuration, rules: Sequence[Rule]) -> Configuration:
    """The configuration judging by other rules."""
    hash_ = judging_hash(configuration.facility, tuple(rules), configuration.tables)
    return replace(configuration, rules=tuple(rules), judging_hash=hash_)


def challenged(configuration: Configuration, folder: Path, instance: Configuration | None = None) -> Record:
    clock = SystemClock()
    return conduct(configuration, folder, clock, choose(configuration, None, clock.now_ns()), challenged=instance)


def lines(record: Record, rule: str, status: str) -> list[Outcome]:
    return [outcome for outcome in record.outcomes if outcome.rule == rule and outcome.status == status]
