"""facility/facility_file.py: facility.yaml and its spreadsheets."""

from __future__ import annotations

from pathlib import Path

import pytest

from facility.facility_file import load_facility
from facility.problems import ConfigurationError, Problem
from facility.site import SECOND_NS, Facility, System
from facility.times import parse_time

WHOLE = """
x-fast: &fast {period: 10s, range: [-100, 100]}
site: {id: flemingsberg, name: ATMP Centre, timezone: Europe/Stockholm}
systems: [{id: ahu2, name: Air handler 2, serves: [cp1, bsc1]}]
quantities: {turbidity: NTU}
types:
  dp-transmitter: {points: [{<<: *fast, id: dp, quantity: differential_pressure, unit: Pa, resolution: 0.1}]}
rooms:
  - id: pal1
  - id: cp1
    name: Cell processing 1
    grade: B
    occupancy: at_rest
    clean_up: 20m
    at_most: {cleaning: 4h}
    instruments: [{id: cp1.dp1, type: dp-transmitter, reference: pal1}]
    points:
      - {id: cp1.temp, name: Temperature, quantity: temperature, unit: °C, period: 30s, range: [-10, 60], tags: [hvac]}
      - {id: cp1.old, quantity: door, retired: "2026-07-01T12:00:00", unmonitored: gone}
      - {id: cp1.ntu, quantity: turbidity, max_ahead: 5s, max_late: 1d}
      - {id: cp1.door, quantity: door, period: 10s, reports: on_change}
    zones:
      - id: bsc1
        grade: A
        type: bsc
        points: [{id: bsc1.p05, quantity: particles_0_5um, unit: 1/m3, period: 60s}]
"""


def load(folder: Path, text: str, **others: str) -> Facility:
    for name, content in others.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    (folder / "facility.yaml").write_text(text, encoding="utf-8")
    return load_facility(folder / "facility.yaml")


def refused(folder: Path, text: str, **others: str) -> list[Problem]:
    with pytest.raises(ConfigurationError) as error:
        load(folder, text, **others)
    return list(error.value.problems)


def test_a_whole_facility(tmp_path: Path) -> None:
    facility = load(tmp_path, WHOLE)
    assert (facility.site.id, facility.site.timezone) == ("flemingsberg", "Europe/Stockholm")
    assert facility.systems == (System("ahu2", "Air handler 2", ("cp1", "bsc1")),)
    assert [place.id for place in facility.places] == ["pal1", "cp1", "bsc1"]
    cp1, bsc1 = facility.place_by_id["cp1"], facility.place_by_id["bsc1"]
    assert (cp1.grade, cp1.type, cp1.parent, cp1.clean_up_ns) == ("B", "room", None, 1200 * SECOND_NS)
    assert (bsc1.grade, bsc1.type, bsc1.parent, bsc1.occupancy, bsc1.clean_up_ns) == ("A", "bsc", "cp1", "at_rest", 1200 * SECOND_NS)
    assert cp1.points == ("cp1.temp", "cp1.old", "cp1.ntu", "cp1.door", "cp1.dp1.dp")
    assert cp1.at_most_ns == (("cleaning", 4 * 3600 * SECOND_NS),)
    pressure = facility.point_by_id["cp1.dp1.dp"]
    assert (pressure.room, pressure.zone, pressure.unit, pressure.range) == ("cp1", None, "Pa", (-100.0, 100.0))
    assert (pressure.period_ns, pressure.instrument, pressure.reference, pressure.resolution) == (10 * SECOND_NS, "cp1.dp1", "pal1", 0.1)
    assert facility.point_by_id["cp1.temp"].unit == "degC"
    assert facility.point_by_id["cp1.temp"].tags == ("hvac",)
    old = facility.point_by_id["cp1.old"]
    assert (old.unit, old.unmonitored, old.retired_ns) == ("1", "gone", parse_time("2026-07-01T10:00:00Z"))
    assert [point.id for point in facility.points if point.on_change] == ["cp1.door"]
    own = facility.point_by_id["cp1.ntu"]
    assert (own.unit, own.max_ahead_ns, own.max_late_ns) == ("NTU", 5 * SECOND_NS, 86_400 * SECOND_NS)
    particles = facility.point_by_id["bsc1.p05"]
    assert (particles.room, particles.zone, particles.grade, particles.type, particles.place) == ("cp1", "bsc1", "A", "bsc", "bsc1")


def test_what_reports_on_change_has_a_period(tmp_path: Path) -> None:
    text = "site: {id: s}\nrooms:\n  - id: r\n    points: [{id: d, quantity: door, reports: on_change}]\n"
    (problem,) = refused(tmp_path, text)
    assert (problem.line, problem.found) == (4, "'on_change' without a period")
    assert load(tmp_path, text.replace("on_change", "on_change, period: 10s")).points[0].on_change


def test_points_may_stand_in_a_spreadsheet(tmp_path: Path) -> None:
    text = "site: {id: s}\nrooms:\n  - id: r\n    points_file: points.csv\n    points: [{id: first, quantity: door}]\n"
    table = (
        "\ufeffid;quantity;unit;period;range;tags;resolution\r\n# a note\r\na;temperature;degC;30s;-10..60;hvac storage;0,1\r\n\r\n"
        "b;co2;%;;[0, 20];;\r\n"
    )
    problems = refused(tmp_path, text, points=table)
    assert [(Path(problem.file).name, problem.line, problem.found) for problem in problems] == [("points.csv", 3, "'0,1'")]
    facility = load(tmp_path, text, points=table.replace("0,1", "0.1"))
    assert [point.id for point in facility.points] == ["first", "a", "b"]
    point = facility.point_by_id["a"]
    assert (point.range, point.tags, point.period_ns, point.resolution) == ((-10.0, 60.0), ("hvac", "storage"), 30 * SECOND_NS, 0.1)


def test_a_spreadsheet_is_looked_for_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "points.csv").write_text("id,quantity\nd,door\n")
    (tmp_path / "sub" / "facility.yaml").write_text("site: {id: s}\nrooms: [{id: r, points_file: points.csv}]\n")
    assert load_facility(tmp_path / "sub" / "facility.yaml").points[0].id == "d"


def test_faults_of_a_spreadsheet_carry_its_line(tmp_path: Path) -> None:
    text = "site: {id: s}\nrooms:\n  - {id: r, points_file: points.csv}\n  - {id: q, points_file: none.csv}\n"
    table = "id,quantity,unit,perid\na,temperature,Pa,3\na,temperature,degC\nb,door,1,2,3,4\n,door,1\n"
    problems = refused(tmp_path, text, points=table)
    lines = {(Path(problem.file).name, problem.line): problem for problem in problems}
    assert "period" in lines["points.csv", 1].hint
    assert lines["points.csv", 2].found == "'Pa'"
    assert "again" in lines["points.csv", 3].found
    assert "6 cells" in lines["points.csv", 4].found
    assert "'id'" in lines["points.csv", 5].found
    assert "no such file" in lines["facility.yaml", 4].found


BROKEN = """
sit: {id: s}
site: {id: 12, timezone: Europe/Stokholm}
systems: [{id: ahu, serves: [r1, r9]}]
types: {dp: {points: [{id: dp, quantity: differential_pressure, unit: degC, perid: 10s, range: [100, 100]}]}}
rooms:
  - id: r1
    grade: b
    type: rom
    at_most: {cleanin: 4h, maintenance: 8}
    instruments: [{id: i1, type: pd}, {id: i2, type: dp, reference: r7}]
    points:
      - {name: Temperature, quantity: temperatur, unit: degC}
      - {id: a/b, quantity: temperature, unit: degC}
      - {id: p, quantity: temperature, unit: Pa}
      - {id: p, quantity: temperature, unit: degC, retired: yesterday, resolution: 0, tags: hvac}
      - {id: q, quantity: turbidity}
    zones: [{id: r1, points: [{id: occupancy, quantity: door}, {id: $x, quantity: door}, {id: "a b", quantity: door}]}]
"""


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    problems = refused(tmp_path, BROKEN)
    found = {(problem.line, problem.key): problem for problem in problems}
    assert set(found) == {
        (2, "sit"), (3, "site.id"), (3, "site.timezone"), (4, "systems[0].serves[1]"),
        (5, "types.dp.points[0].unit"), (5, "types.dp.points[0].perid"), (5, "types.dp.points[0].range"),
        (8, "rooms[0].grade"), (9, "rooms[0].type"), (10, "rooms[0].at_most.cleanin"), (10, "rooms[0].at_most.maintenance"),
        (11, "rooms[0].instruments[0].type"), (11, "rooms[0].instruments[1].reference"),
        (13, "rooms[0].points[0]"), (13, "rooms[0].points[0].quantity"), (14, "rooms[0].points[1].id"), (15, "rooms[0].points[2].unit"),
        (16, "rooms[0].points[3].id"), (16, "rooms[0].points[3].retired"), (16, "rooms[0].points[3].resolution"),
        (16, "rooms[0].points[3].tags"), (17, "rooms[0].points[4]"),
        (18, "rooms[0].zones[0].id"), (18, "rooms[0].zones[0].points[0].id"), (18, "rooms[0].zones[0].points[1].id"),
        (18, "rooms[0].zones[0].points[2].id"),
    }  # fmt: skip
    assert found[2, "sit"].hint == "Did you mean site?"
    assert found[3, "site.timezone"].hint == "Did you mean Europe/Stockholm?"
    assert found[8, "rooms[0].grade"].allowed == "A, B, C, D, CNC"
    assert found[13, "rooms[0].points[0].quantity"].hint == "Did you mean temperature?"
    assert found[10, "rooms[0].at_most.maintenance"].hint == "Write 8s for seconds."


def test_an_ambiguous_time_of_retirement_is_refused(tmp_path: Path) -> None:
    point = '{id: p, quantity: door, retired: "2026-10-25T02:30:00"}'
    text = f"site: {{id: s, timezone: Europe/Stockholm}}\nrooms: [{{id: r, points: [{point}]}}]\n"
    (problem,) = refused(tmp_path, text)
    assert "twice" in problem.allowed


NONSENSE = ["", "rooms: 3", "site: 3", "[]", "site: {id: s}\nrooms: [3, {id: r, points: [x]}]", "rooms: [{zones: {a: b}}]"]


@pytest.mark.parametrize("text", NONSENSE)
def test_no_nonsense_gives_more_than_problems(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text)


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_facility(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"site: {id: s, name: V\xe4st}\n")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load_facility(tmp_path / "latin.yaml")
