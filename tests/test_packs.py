"""The packs: a site gets a sound rule set without writing one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from facility.files import packaged
from facility.limits import SHIPPED, shipped
from facility.own import own_points
from facility.problems import ConfigurationError
from rules.coverage import coverage_of
from rules.packs import PREFIX, pack_text, packs
from rules.selecting import judges
from service.cli import main
from service.configuration.configuration import Configuration, load_configuration

MAIN = """
environment: demo
facility: facility.yaml
rules: [{rules}]
oncall: oncall.yaml
mqtt: {{url: embedded}}
"""
FACILITY = """
site: {id: lab, name: Lab, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    name: Cell processing
    grade: B
    type: room
    points:
      - {id: cp1.dp, quantity: differential_pressure, unit: mbar, period: 10s}
      - {id: cp1.p05, quantity: particles_0_5um, unit: 1/m3, period: 60s}
      - {id: cp1.temp, quantity: temperature, unit: degC, period: 30s}
      - {id: cp1.door, quantity: door, unit: "1"}
    zones:
      - id: bsc1
        grade: A
        type: bsc
        points:
          - {id: bsc1.p50, quantity: particles_5_0um, unit: 1/m3, period: 60s}
  - id: store
    name: Store
    grade: CNC
    type: room
    zones:
      - {id: fridge1, grade: CNC, type: fridge, points: [{id: fridge1.temp, quantity: temperature, unit: degC, period: 60s}]}
"""
ALL = "pack:annex1@1, pack:storage@1, pack:health@1"


def site(folder: Path, rules: str = ALL, extra: str = "", local: str = "", limits: str = "") -> Path:
    (folder / "renrum.yaml").write_text(MAIN.format(rules=rules) + extra + ("limits: limits.csv\n" if limits else ""))
    (folder / "facility.yaml").write_text(FACILITY)
    (folder / "oncall.yaml").write_text("channels: {}\n")
    (folder / "rules.yaml").write_text(local or "rules: []\n")
    (folder / "limits.csv").write_text(limits)
    return folder / "renrum.yaml"


def load(path: Path) -> Configuration:
    return load_configuration(path, {})


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_with_packs_alone_every_point_is_looked_after(tmp_path: Path) -> None:
    configuration = load(site(tmp_path))
    holes = {one.point: one.holes for one in coverage_of(configuration.facility, configuration.rules, configuration.tables)}
    # The door reports no period: silence of it cannot be told, and it has no limit; the site has no limits.csv for room temperature.
    assert holes == {
        "cp1.dp": (),
        "cp1.p05": (),
        "cp1.temp": ("action",),
        "cp1.door": ("stale",),
        "bsc1.p50": (),
        "fridge1.temp": (),
    }


def test_limits_of_the_site_join_in(tmp_path: Path) -> None:
    limits = "point,zone,room,type,grade,quantity,occupancy,level,below,above,basis\ncp1.temp,,,,,,,action,18,22,\n"
    configuration = load(site(tmp_path, limits=limits))
    coverage = coverage_of(configuration.facility, configuration.rules, configuration.tables)
    assert next(one for one in coverage if one.point == "cp1.temp").action == ("site-climate.action",)


def test_grade_a_is_never_judged_by_a_single_count_of_5_um(tmp_path: Path) -> None:
    configuration = load(site(tmp_path))
    of_bsc = next(one for one in coverage_of(configuration.facility, configuration.rules, configuration.tables) if one.point == "bsc1.p50")
    kinds = {rule.id: (rule.kind, rule.min_readings) for rule in configuration.rules}
    assert {kinds[rule] for rule in (*of_bsc.alert, *of_bsc.action)} == {("count", 3), ("count", 1), ("mean", 30)}


def test_a_local_rule_takes_the_place_of_a_packs(tmp_path: Path) -> None:
    local = "rules:\n  - {id: annex1-dp, kind: limit, select: {quantity: differential_pressure}, below: 0.15, level: action}\n"
    rules = {rule.id: rule for rule in load(site(tmp_path, f"rules.yaml, {ALL}", local=local)).rules}
    assert not rules["annex1-dp"].pack
    assert "annex1-dp.action" not in rules
    assert rules["annex1-dp-reversal"].pack == "pack:annex1@1"


def test_the_journal_keeps_the_pack_as_it_was(tmp_path: Path) -> None:
    entry = load(site(tmp_path)).as_entry()
    assert entry["files"]["pack:annex1@1"] == pack_text("pack:annex1@1")
    assert set(entry["shipped"]) == set(SHIPPED)


def test_an_unknown_pack_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(site(tmp_path, "pack:annex1@7"))
    (problem,) = refused.value.problems
    assert (problem.file.endswith("renrum.yaml"), problem.line > 0) == (True, True)
    assert "pack:annex1@1" in problem.found


def test_strict_coverage_makes_a_hole_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(site(tmp_path, extra="coverage: strict\n"))
    assert {problem.found for problem in refused.value.problems} == {"cp1.temp without action", "cp1.door without stale"}
    nothing = "rules:\n  - {id: none, kind: quality, select: {quantity: co2}}\n"
    with pytest.raises(ConfigurationError, match="matches no point"):
        load(site(tmp_path, f"{ALL}, rules.yaml", "coverage: strict\n", nothing))


@pytest.mark.parametrize("name", packs())
def test_each_rule_of_a_pack_says_why_and_what_to_do_in_both_languages(tmp_path: Path, name: str) -> None:
    rules = load(site(tmp_path, name)).rules
    assert rules
    for rule in rules:
        for texts in (rule.cause, rule.consequence, rule.text):
            assert set(texts) == {"en", "sv"}, rule.id


def test_cells_that_the_site_must_confirm_say_so() -> None:
    for table in ("eu_part4", "practice"):
        assert all("to be confirmed by the site" in row.basis for row in shipped(table).rows)


def test_the_master_alarm_list_and_the_coverage_on_the_command_line(tmp_path: Path) -> None:
    path = str(site(tmp_path))
    listed = json.loads(run("rules", "list", "--config", path, "--json").stdout)["rules"]
    by_id = {row["rule"]: row for row in listed}
    assert by_id["annex1-p50-a-consecutive"]["breaching"] == "3 of 3 readings above annex1"
    assert by_id["annex1-dp.action"]["point_ids"] == "cp1.dp"
    assert by_id["health-silent"]["response"].startswith("Check power")
    shown = run("check", "--config", path, "--coverage")
    assert shown.exit_code == 0
    assert "annex1-door.action" in shown.stdout


@pytest.mark.parametrize("pack", sorted(PREFIX + name for name in packaged("rules.packs.tests", ".yaml")))
def test_the_tests_that_ship_with_a_pack_hold_and_raise_each_of_its_rules(pack: str) -> None:
    result = run("rules", "test", pack, "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["failed"], told["rules_not_raised"]) == (0, 0, []), result.stdout
    assert told["tests"] > 0


def test_a_pack_without_tests_names_those_that_have_some() -> None:
    result = run("rules", "test", "pack:pipelin@1")
    assert result.exit_code == 2
    assert "pack:pipeline@1" in result.output


def test_the_pipeline_pack_brings_its_points_and_no_hole(tmp_path: Path) -> None:
    configuration = load(site(tmp_path, f"{ALL}, pack:pipeline@1"))
    rules = [rule for rule in configuration.rules if rule.pack == "pack:pipeline@1"]
    unjudged = [point.id for point in own_points() if not any(judges(rule, point, configuration.facility) for rule in rules)]
    assert unjudged == []
    assert all(rule.level == "technical" and rule.text and rule.cause and rule.consequence for rule in rules)
    assert {warning.key for warning in configuration.warnings} == {"channels"}
