"""A site whose instruments speak in the four common foreign shapes, and a message of each."""

from __future__ import annotations

from pathlib import Path

from facility.facility_file import load_facility
from facility.files import Files
from facility.site import Facility
from facility.sources.source import Source
from facility.sources.source_file import read_sources
from ingest.decode import Decoder
from ingest.message import Message
from service.configuration.configuration import Configuration, load_configuration

FACILITY = """\
site: {id: lab, name: Lab, timezone: Europe/Stockholm}
rooms:
  - id: b101
    grade: C
    points:
      - {id: dp-b101, quantity: differential_pressure, unit: Pa, period: 10s}
      - {id: b101.temp, quantity: temperature, unit: degC, period: 30s}
      - {id: b101.rh, quantity: relative_humidity, unit: "%", period: 30s}
    zones:
      - id: bsc1
        grade: A
        type: bsc
        points:
          - {id: bsc1.p05, quantity: particles_0_5um, unit: 1/m3, period: 60s}
          - {id: bsc1.p50, quantity: particles_5_0um, unit: 1/m3, period: 60s}
  - id: cryo
    type: ln2
    points:
      - {id: ln2-04.temp, quantity: temperature, unit: degC, period: 5m}
      - {id: ln2-04.level, quantity: level, unit: "%", period: 5m}
"""

SOURCES = """\
sources:
  - id: pressure
    kind: json
    topic: plant/{area}/{room}/{device}/state
    time: $.ts
    seq: $.seq
    quality: {path: $.status, good: OK, bad: [FAULT, SERVICE]}
    points: {DP-B101: dp-b101}
    readings:
      - {point: "{$.device}", value: $.metrics.dp, unit: $.metrics.dp_unit}
  - id: counters
    kind: json
    topic: counters/+
    time: $.ts
    quality: {path: $.status_bits, codes: bits, ignore_bits: [4, 5]}
    points: {PC-A03 0.5: bsc1.p05, PC-A03 5.0: bsc1.p50}
    readings:
      - {point: "{$.device} {.um}", each: $.counts, count: .n, volume: $.volume_l, when: {$.mode: cumulative}}
  - id: bms
    kind: json
    topic: scada/gw1/tags
    time: [.t, $.timestamp]
    quality: {path: .q, good: true, bad: false}
    points:
      AHU1.B101.T: b101.temp
      AHU1.B101.RH: b101.rh
    ignore: ["*.SP"]
    readings:
      - {point: "{.id}", each: $.values, value: .v}
  - id: lorawan
    kind: json
    topic: application/{app}/device/{eui}/event/up
    time: $.time
    seq: $.fCnt
    points: {LN2-04 temp: ln2-04.temp, LN2-04 level: ln2-04.level}
    readings:
      - {point: "{$.deviceInfo.deviceName} temp", value: $.object.temp, unit: degC}
      - {point: "{$.deviceInfo.deviceName} level", value: $.object.level_pct, unit: "%"}
"""

FLAT = b'{"device":"DP-B101","ts":"2025-03-02T07:41:10.250Z","seq":5123,"metrics":{"dp":14.6,"dp_unit":"Pa"},"status":"OK","fw":"2.1.0"}'
SAMPLE = (
    b'{"device":"PC-A03","location":"BSC1","start":"2025-03-02T07:40:00Z","ts":"2025-03-02T07:41:00Z","sample_s":60,"flow_lpm":28.3,'
    b'"volume_l":28.3,"counts":[{"um":0.5,"n":3},{"um":5.0,"n":0}],"mode":"cumulative","status_bits":0,"batch":"ATMP-0421"}'
)
TAGS = (
    b'{"timestamp":1740901270000,"values":[{"id":"AHU1.B101.T","v":20.84,"q":true,"t":1740901268000},'
    b'{"id":"AHU1.B101.RH","v":41.2,"q":true,"t":1740901268000}]}'
)
UPLINK = (
    b'{"deviceInfo":{"devEui":"a81758fffe01","deviceName":"LN2-04"},"time":"2025-03-02T07:40:58Z","fCnt":812,'
    b'"object":{"temp":-181.4,"level_pct":62,"batt":3.54}}'
)
RULES = """\
rules:
  - {id: dp-low, kind: limit, select: {quantity: differential_pressure}, below: 10, level: action, on_delay: 10s, priority: high}
  - {id: rh-high, kind: limit, select: {quantity: relative_humidity}, above: 60, level: alert, priority: medium}
"""
PRESSURE, COUNTERS, BMS, LORAWAN = "plant/a/B101/DP-B101/state", "counters/PC-A03", "scada/gw1/tags", "application/1/device/a8/event/up"
MESSAGES = ((PRESSURE, FLAT), (COUNTERS, SAMPLE), (BMS, TAGS), (LORAWAN, UPLINK))
READINGS = {
    ("dp-b101", "2025-03-02T07:41:10.25Z", 14.6),
    ("bsc1.p05", "2025-03-02T07:41:00Z", 3 * 1000 / 28.3),
    ("bsc1.p50", "2025-03-02T07:41:00Z", 0.0),
    ("b101.temp", "2025-03-02T07:41:08Z", 20.84),
    ("b101.rh", "2025-03-02T07:41:08Z", 41.2),
    ("ln2-04.temp", "2025-03-02T07:40:58Z", -181.4),
    ("ln2-04.level", "2025-03-02T07:40:58Z", 62.0),
}
"""What the four messages hold: point, time, value."""


def site(folder: Path, sources: str = SOURCES, facility: str = FACILITY) -> tuple[Facility, tuple[Source, ...]]:
    """The facility and the sources, from files in a folder."""
    (folder / "facility.yaml").write_text(facility)
    (folder / "sources.yaml").write_text(sources)
    read = load_facility(folder / "facility.yaml")
    found = read_sources(Files(folder), "sources.yaml", read)
    assert not found.problems, found.problems
    return read, found.sources


def written(folder: Path, sources: str = SOURCES, broker: str = "mqtt://127.0.0.1:1") -> Configuration:
    """A whole configuration for the site, in a folder that appears; no sources file where its text is empty."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "facility.yaml").write_text(FACILITY)
    (folder / "rules.yaml").write_text(RULES)
    (folder / "oncall.yaml").write_text("channels: {sink: {kind: local, file: pages.jsonl}}\n")
    settings = "environment: validation\nfacility: facility.yaml\nrules: rules.yaml\noncall: oncall.yaml\n"
    settings += f"mqtt: {{url: '{broker}'}}\nhttp: {{port: 0}}\nevaluate_every: 200ms\n"
    if sources:
        (folder / "sources.yaml").write_text(sources)
        settings += "sources: sources.yaml\n"
    (folder / "renrum.yaml").write_text(settings)
    return load_configuration(folder / "renrum.yaml", {})


def decoder(folder: Path, sources: str = SOURCES) -> Decoder:
    """A decoder for the site; points have the numbers of their order in the facility."""
    facility, read = site(folder, sources)
    return Decoder(facility, {point.id: number for number, point in enumerate(facility.points)}, True, read)


def messages() -> list[Message]:
    """One of each shape."""
    return [Message(topic, payload, mid) for mid, (topic, payload) in enumerate(MESSAGES, 1)]
