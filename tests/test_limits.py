"""facility/limits.py: limit tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facility.files import Files
from facility.limits import Cell, LimitTable, check_limits, load_limits, read_limits, shipped, shipped_text, table_of
from facility.problems import ConfigurationError, Problem
from facility.site import Facility, Place, Point, Site

HEADER = "point,zone,room,type,grade,quantity,occupancy,level,below,above,basis\n"
P05 = Point("bsc1.p05", "particles_0_5um", "1/m3", "cp1", "bsc1", grade="A", type="bsc")
P50 = replace(P05, id="bsc1.p50", quantity="particles_5_0um")
ROOM_P05 = Point("cp1.p05", "particles_0_5um", "1/m3", "cp1", grade="B")
TEMP = Point("cp1.temp", "temperature", "degC", "cp1", grade="B")
PLACES = (Place("cp1", "cp1", "B"), Place("bsc1", "bsc1", "A", "bsc", "cp1"))
FACILITY = Facility(Site("s", "s"), PLACES, (P05, P50, ROOM_P05, TEMP))


def table(rows: str) -> LimitTable:
    found, problems = read_limits(Files(texts={"limits.csv": HEADER + rows}), "limits.csv")
    assert not problems
    return found


def faults(rows: str) -> list[Problem]:
    found, problems = read_limits(Files(texts={"limits.csv": HEADER + rows}), "limits.csv")
    return problems + check_limits("limits.csv", found, FACILITY)


@pytest.mark.parametrize(
    ("grade", "quantity", "at_rest", "in_operation"),
    [
        ("A", "particles_0_5um", 3520, 3520), ("B", "particles_0_5um", 3520, 352_000), ("C", "particles_0_5um", 352_000, 3_520_000),
        ("D", "particles_0_5um", 3_520_000, None), ("A", "particles_5_0um", 29, 29), ("B", "particles_5_0um", 29, 2930),
        ("C", "particles_5_0um", 2930, 29_300), ("D", "particles_5_0um", 29_300, None), ("CNC", "particles_5_0um", None, None),
        ("A", "temperature", None, None),
    ],
)  # fmt: skip
def test_annex1_holds_the_monitoring_limits(grade: str, quantity: str, at_rest: float | None, in_operation: float | None) -> None:
    point = replace(P05, grade=grade, quantity=quantity)
    annex1 = shipped("annex1")
    for occupancy, limit in (("at_rest", at_rest), ("in_operation", in_operation), ("cleaning", None)):
        assert annex1.cell(point, occupancy, "action") == (None if limit is None else Cell(None, limit))
    assert all("Annex 1" in row.basis for row in annex1.rows)


def test_a_shipped_limit_comes_in_the_points_unit() -> None:
    cell = shipped("annex1").cell(replace(P05, unit="1/ft3"), "at_rest", "action")
    assert cell is not None
    assert cell.above == pytest.approx(99.675, rel=1e-5)
    assert table_of("annex1", shipped_text("annex1")) == shipped("annex1")


def test_the_most_specific_row_counts() -> None:
    rows = ["cp1.temp,,,,,temperature,,,,1,", ",,cp1,,,temperature,,,,2,", ",,,room,B,temperature,,,,3,", ",,,room,,temperature,,,,4,"]
    rows += [",,,,B,temperature,,,,5,", ",,,,,temperature,,,,6,"]
    for first in range(len(rows)):
        assert table("\n".join(reversed(rows[first:]))).cell(TEMP, "at_rest", "alert") == Cell(None, first + 1)


def test_a_room_means_its_own_points() -> None:
    limits = table(",,cp1,,,particles_0_5um,,,,352000,\n,,,,A,particles_0_5um,,,,3520,\n")
    assert limits.cell(ROOM_P05, "in_operation", "action") == Cell(None, 352_000)
    assert limits.cell(P05, "in_operation", "action") == Cell(None, 3520)
    assert table(",bsc1,,,,particles_0_5um,,,,7,\n").cell(P05, "in_operation", "action") == Cell(None, 7)


def test_quantity_occupancy_and_level_filter() -> None:
    limits = table(",,cp1,,,temperature,at_rest,alert,18,22,\n,,cp1,,,temperature,at_rest,action,17,23,\n,,,,,,cleaning,,,99,\n")
    assert limits.cell(TEMP, "at_rest", "alert") == Cell(18, 22)
    assert limits.cell(TEMP, "at_rest", "action") == Cell(17, 23)
    assert limits.cell(TEMP, "in_operation", "alert") is None
    assert limits.cell(P05, "cleaning", "alert") == Cell(None, 99)


def test_a_tie_is_refused() -> None:
    (tie,) = faults(",,,,B,temperature,,,,22,\n,,,,B,temperature,at_rest,,,23,\n")
    assert (tie.line, "line 2" in tie.found) == (3, True)
    assert not faults(",,,,B,temperature,in_operation,,,22,\n,,,,B,temperature,at_rest,,,23,\n,,,,B,co2,,,,23,\n")
    assert faults(",,,,B,temperature,,,,22,\n,,,,B,,,,,23,\n")


def test_faults_carry_their_line() -> None:
    rows = 'cp1.tmp,,,,,,,,,1,\n,,,bcs,Q,,resting,warn,,"1,5",\n,,,,,temperature,,,,,\n'
    rows += ",,,,,temperature,,,5,1,\n,,cp2,,,temperatur,,,inf,,\n"
    problems = faults(rows)
    assert [(problem.line, problem.key) for problem in sorted(problems)] == [
        (2, "point"), (3, "above"), (3, "grade"), (3, "level"), (3, "occupancy"), (3, "type"), (4, "above"), (5, "below"), (6, "below"),
    ]  # fmt: skip
    assert sorted(problems)[0].hint == "Did you mean cp1.temp?"
    _, unknown = read_limits(Files(texts={"limits.csv": "point,abov\n"}), "limits.csv")
    assert unknown[0].hint == "Did you mean above?"


def test_an_action_limit_looser_than_annex1_needs_a_basis() -> None:
    (problem,) = faults(",,,,A,particles_0_5um,in_operation,action,,4000,\n")
    assert (problem.line, problem.key) == (2, "basis")
    assert "3520" in problem.found
    assert not faults(",,,,A,particles_0_5um,in_operation,action,,4000,SOP-12\n")
    assert not faults(",,,,A,particles_0_5um,in_operation,alert,,4000,\n,,,,A,particles_0_5um,at_rest,action,,3520,\n")


def test_an_alert_outside_its_action_limit_is_refused() -> None:
    (problem,) = faults(",,cp1,,,temperature,,alert,,25,\n,,cp1,,,temperature,,action,,24,\n")
    assert (problem.line, problem.key) == (2, "level")


def test_a_row_for_points_of_several_units_is_refused() -> None:
    fahrenheit = replace(TEMP, id="cp1.f", unit="degF")
    (problem,) = check_limits("limits.csv", table(",,,,,temperature,,,,25,\n"), replace(FACILITY, points=(TEMP, fahrenheit)))
    assert "degF" in problem.found


def test_a_file_of_limits(tmp_path: Path) -> None:
    (tmp_path / "limits.csv").write_text(HEADER + ",,,,A,particles_0_5um,,,,3520,\n")
    assert load_limits(tmp_path / "limits.csv").cell(P05, "at_rest", "action") == Cell(None, 3520)
    with pytest.raises(ConfigurationError, match="no such file"):
        load_limits(tmp_path / "none.csv")
    with pytest.raises(KeyError):
        shipped_text("annex99")
