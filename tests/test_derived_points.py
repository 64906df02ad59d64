"""The key `derived` of facility.yaml: what it makes, and everything that is refused, at once (facility/derived_points.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from facility.derived import Derived, Origin
from facility.facility_file import load_facility
from facility.problems import ConfigurationError
from facility.site import SECOND_NS, Facility
from ingest.decoding.topics import Topics
from rules.coverage import coverage_of
from service.cli import main
from service.rule_tests.files import judged, read_rule_tests

SITE = """
site: {id: karo}
types:
  counter:
    points:
      - {id: p50, quantity: particles_5_0um, unit: 1/m3, period: 60s}
      - {id: m3, quantity: particles_5_0um, unit: 1/m3, derived: {sum: p50, volume: 1 m3, sample: 28.3 L}}
rooms:
  - id: cp1
    grade: B
    instruments: [{id: pc1, type: counter}]
    points:
      - {id: cp1.dp, quantity: differential_pressure, unit: Pa, period: 10s}
      - {id: al1.dp, quantity: differential_pressure, unit: Pa, period: 20s, retired: 2026-01-01T00:00:00Z}
      - {id: step, quantity: differential_pressure, derived: {difference: [cp1.dp, al1.dp], max_age: 2 periods}}
      - {id: low, quantity: cascade, derived: {minimum: {room: cp1, quantity: differential_pressure}}, period: 30s, tags: [a]}
"""


def facility_of(folder: Path, text: str) -> Facility:
    (folder / "facility.yaml").write_text(text)
    return load_facility(folder / "facility.yaml")


def test_a_derived_point_has_what_follows_from_its_origins(tmp_path: Path) -> None:
    points = facility_of(tmp_path, SITE).point_by_id
    retired = 1_767_225_600 * SECOND_NS
    assert points["step"].derived == Derived("difference", (Origin("cp1.dp", 20 * SECOND_NS), Origin("al1.dp", 40 * SECOND_NS, retired)))
    assert (points["step"].unit, points["step"].period_ns) == ("Pa", 10 * SECOND_NS)
    low = points["low"].derived
    assert low is not None
    assert [origin.point for origin in low.origins] == ["cp1.dp", "al1.dp"]
    assert (points["low"].unit, points["low"].period_ns, points["low"].tags) == ("Pa", 30 * SECOND_NS, ("a",))
    assert points["pc1.m3"].derived == Derived("sum", (Origin("pc1.p50", 180 * SECOND_NS),), 36, 0.0283, 1.0)


def test_everything_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    points = """
      - {id: dp, quantity: differential_pressure, unit: Pa, period: 10s}
      - {id: t, quantity: temperature, unit: degC, max_late: 36501d}
      - {id: a, quantity: differential_pressure, derived: {difference: [dp, pd]}}
      - {id: b, quantity: differential_pressure, derived: {difference: [dp, a]}}
      - {id: c, quantity: differential_pressure, derived: {difference: [dp, dp]}}
      - {id: d, quantity: differential_pressure, range: [0, 3], derived: {difference: [dp, t], max_age: 1m}}
      - {id: e, quantity: differential_pressure, derived: {minimum: {room: cp2}}}
      - {id: f, quantity: co2, derived: {minimum: {room: cp1}}}
      - {id: g, quantity: temperature, derived: {maximum: {room: cp1}}}
      - {id: h, quantity: temperature, unit: degC, derived: {sum: dp, volume: 1 m3}}
      - {id: i, quantity: temperature, unit: degC, derived: {sum: dp, volume: 1 m3, sample: 3 apples}}
      - {id: j, quantity: temperature, unit: degC, derived: {sum: dp, volume: 1 m3, sample: 1 mL}}
      - {id: k, quantity: temperature, derived: {}}
      - {id: l, quantity: temperature, unit: degC, derived: {minimum: {room: cp1}, sum: dp}}
      - {id: m, quantity: temperature, derived: {minimum: {room: cp1, quantity: differential_pressure}}}
      - {id: n, quantity: temperature, derived: {maximum: {}, max_age: 0s}}
      - {id: o, quantity: differential_pressure, derived: {maximum: {room: cp1}, max_age: 400000000 periods}}
"""
    with pytest.raises(ConfigurationError) as raised:
        facility_of(tmp_path, f"site: {{id: karo}}\nrooms:\n  - id: cp1\n    points:{points}")
    told = {(problem.line - 5, problem.key.partition(".derived")[2] or problem.key.rpartition(".")[2]) for problem in raised.value.problems}
    assert told == {
        (1, "max_late"), (2, ".difference[1]"), (3, ".difference[1]"), (4, ".difference"), (5, ".difference"), (5, "range"),
        (6, ".minimum.room"), (7, ".minimum"), (8, "derived"), (9, "derived"), (10, "derived"), (10, ".sample"), (11, ".sample"),
        (12, "derived"), (13, "derived"), (14, "quantity"), (15, ".maximum"), (16, ".max_age"),
    }  # fmt: skip


def test_a_fault_of_a_derived_point_is_no_fault_of_the_rules(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    CliRunner().invoke(main, ["init", str(tmp_path / "site")])
    file = tmp_path / "site" / "facility.yaml"
    derived = "      - {id: step, quantity: differential_pressure, derived: {difference: [cp1.dp1.dp, cor1.dp]}}\n"
    file.write_text(file.read_text().replace("    points:\n      - {id: st1.oxygen", f"    points:\n{derived}      - {{id: st1.oxygen"))
    told = CliRunner().invoke(main, ["check", "--config", str(tmp_path / "site")]).output
    assert (": 1 problem\n" in told, "found the unknown point 'cor1.dp'" in told) == (True, True), told


def test_nobody_can_report_a_derived_point(tmp_path: Path) -> None:
    facility = facility_of(tmp_path, SITE)
    topics = Topics(facility, {point.id: number for number, point in enumerate(facility.points)})
    assert "renrum/karo/cp1/cp1.dp" in topics.points
    assert "renrum/karo/cp1/step" not in topics.points
    assert "derived" in topics.why_unknown("renrum/karo/cp1/step").detail


def test_silence_and_quality_are_no_holes_at_a_derived_point(tmp_path: Path) -> None:
    holes = {row.point: row.holes for row in coverage_of(facility_of(tmp_path, SITE), (), {})}
    assert holes["step"] == ("action",)
    assert holes["cp1.dp"] == ("action", "stale", "quality")


TESTS = """
facility: facility.yaml
rules:
  - {id: reversed, kind: limit, select: {point: step}, level: action, below: 0, on_delay: 20s}
  - {id: m3, kind: limit, select: {point: pc1.m3}, level: action, above: 29}
  - {id: silent, kind: stale, after: 5m}
  - {id: faulty, kind: quality}
begin: 2025-01-01T00:00:00Z
tests:
  - name: the cascade is reversed, as far as both transmitters are heard
    readings: |
      at          cp1.dp  al1.dp
      0s..60s/10s 15      5
      60s..2m/10s 15      20
      2m..3m/10s  15      5
      3m          15!     .
    expect: |
      rule     point  onset raised ended cleared peak readings
      reversed step   60s   80s   2m    2m      -5   6
      faulty   cp1.dp 3m    3m    .     .       .    1
  - name: more than 29 particles in the last cubic metre, of single ones as well
    readings: |
      at           pc1.p50
      0s..35m/60s  35.3147
      35m..40m/60s 0
    rules: [m3]
    expect: |
      rule point  onset raised ended cleared peak readings
      m3   pc1.m3 35m   35m   .     .       35   5
"""


def test_rules_judge_derived_points_as_worked_out_by_hand(tmp_path: Path) -> None:
    facility_of(tmp_path, SITE)
    (tmp_path / "tests.yaml").write_text(TESTS)
    for case in read_rule_tests(tmp_path / "tests.yaml", None):
        outcome = judged(case)
        assert not outcome.differences, (case.name, outcome.found)


def test_the_schema_has_the_key() -> None:
    schema = json.loads(CliRunner().invoke(main, ["schema", "facility"]).output)
    assert {"difference", "minimum", "maximum", "sum", "volume", "sample", "max_age"} == set(
        schema["$defs"]["DerivedSection"]["properties"]
    )
