"""`renrum rules test`: tables of what happens and what must come of it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from facility.site import Facility, Place, Point, Site
from service.cli import main
from service.cli.init import example_files
from service.rule_tests.tables import WrongTable, expectations, happenings, span_ns

FACILITY = """facility:
  site: {id: lab, name: Laboratory, timezone: Europe/Stockholm}
  rooms:
    - id: cp1
      name: Cell processing 1
      grade: B
      clean_up: 2m
      points:
        - {id: cp1.dp, quantity: differential_pressure, unit: Pa, period: 10s, range: [-100, 100]}
        - {id: cp1.p05, quantity: particles_0_5um, unit: 1/m3, period: 60s}
        - {id: cp1.other, quantity: temperature, unit: degC, period: 60s}
"""
RULES = """rules:
  - {id: dp, kind: limit, select: {point: cp1.dp}, level: action, below: 10, deadband: 1, on_delay: 60s, off_delay: 30s}
  - {id: particles, kind: limit, select: {point: cp1.p05}, level: action, above: annex1}
  - {id: silent, kind: stale, after: 3 periods}
  - {id: faulty, kind: quality, select: {point: cp1.dp}}
"""
HOLDS = """tests:
  - name: a door opened for a minute alarms nobody
    readings: |
      at        cp1.dp      # Pa
      0s..2m    15
      2m..3m    6           # the door
      3m..6m    15
    expect: none
  - name: the fan fails
    readings: |
      at        cp1.dp
      0s..2m    15
      2m..4m    15..3
      4m..6m    3..15
      6m..8m    15
    expect: |
      rule  point   onset  raised  ended  cleared  peak  readings  level
      dp    cp1.dp  3m     4m      5m20s  5m50s    3     *         action
  - name: limits of the state, after the clean-up
    readings: |
      at        cp1.p05   cp1/occupancy
      0s        4000      in_operation
      1m..10m   4000      at_rest
    expect: |
      rule       onset  ended  limit  readings
      particles  3m     .      3520   7
  - name: nothing comes any more
    readings: |
      at   cp1.dp
      0s   15
      30s  .
    expect: |
      rule    onset  raised  ended  peak
      silent  0s     30s     .      .
  - name: what was buffered comes late, and tells of a breach that is over
    readings: |
      at         cp1.dp   received
      0s..1m     15       .
      1m..3m     4        5m
      3m..8m     15       .
    rules: [dp]
    expect: |
      rule  onset  raised  ended
      dp    1m     2m      3m
  - name: bad readings are no evidence of a limit
    readings: |
      at         cp1.dp
      0s..1m     15
      1m..3m     4!
      3m         200
      3m10s      NaN
      3m20s..5m  14?
    expect: |
      rule    onset  ended   readings
      faulty  1m     3m20s   14
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RENRUM_CONFIG", raising=False)
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["rules", "test", *map(str, arguments)])


def written(text: str, name: str = "t.yaml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def one(readings: str, expect: str, more: str = "") -> str:
    """A file with one test."""

    def block(text: str) -> str:
        return "|\n" + "".join(f"      {line}\n" for line in text.splitlines())

    return f"{FACILITY}{RULES}tests:\n  - name: a test\n    readings: {block(readings)}    expect: {block(expect)}{more}"


def test_what_holds() -> None:
    done = run(written(FACILITY + RULES + HOLDS))
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == "ok   t.yaml:18: a door opened for a minute alarms nobody"
    assert done.output.splitlines()[-1] == "6 tests, none failed"
    assert "raised by no test" not in done.output


def test_a_failure_shows_the_series_its_limit_and_both_spans() -> None:
    done = run(written(one("at cp1.dp\n0s..2m 15\n2m..4m 5\n4m..6m 15", "rule raised ended\ndp 3m10s 4m")))
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert lines[0] == "FAIL t.yaml:18: a test"
    assert lines[1] == "  dp at cp1.dp: raised expected 3m10s, found 3m"
    picture = lines[2:13]
    assert picture[0].strip().startswith("15 ┤▀▀▀")
    assert any(line.strip().startswith("10 ┤┄┄┄") for line in picture)
    assert picture[7].strip().startswith("5 ┤")
    expected, found, axis = picture[8:11]
    assert (expected.split()[0], found.split()[0]) == ("expected", "found")
    assert found.index("├") == picture[7].index("▄")  # the breach begins where the series falls
    assert axis.split() == ["0s", "5m50s"]


def test_what_is_not_expected_fails_and_what_does_not_come_fails() -> None:
    breach = "at cp1.dp\n0s..1m 15\n1m..4m 5\n4m..6m 15"
    unexpected = run(written(one(breach, "none")))
    assert unexpected.exit_code == 1
    assert "dp at cp1.dp: not expected, but found from 1m to 4m" in unexpected.output
    missing = run(written(one("at cp1.dp\n0s..6m 15", "rule point onset\ndp cp1.dp 1m")))
    assert missing.exit_code == 1
    assert "dp at cp1.dp: expected (onset 1m), but nothing was found" in missing.output
    other_rule = run(written(one(breach, "none", "    rules: [silent]\n")))
    assert other_rule.exit_code == 0, other_rule.output
    # A point that is in no table of the test is none of its business, though it is silent all the time.
    assert "cp1.other" not in unexpected.output


def test_for_programs() -> None:
    path = written(one("at cp1.dp\n0s..2m 15\n2m..4m 5\n4m..6m 15", "rule raised\ndp 3m10s"))
    done = run(path, "--json", "--junit", "report.xml")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["tests"], said["failed"]) == (1, 1, 1)
    assert said["rules_not_raised"] == ["particles", "faulty", "silent"]
    (difference,) = said["outcomes"][0]["differences"]
    assert difference["expected"] == {"rule": "dp", "raised": "3m10s"}
    assert (difference["found"]["raised"], difference["found"]["onset_time"]) == ("3m", "2026-01-04T23:02:00Z")
    suite = ElementTree.parse("report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    failure = suite[0].find("failure")
    assert failure is not None
    assert "raised expected 3m10s" in (failure.get("message") or "")


def test_the_sites_own_rules(folder: Path) -> None:
    for name, content in example_files():
        (folder / name).write_bytes(content)
    test = """tests:
  - name: a freezer warms up
    begin: 2026-06-01T03:00
    readings: |
      at       fz1.temp
      0s..10m  -80..-60
    expect: |
      rule            onset  raised  ended
      freezer.alert   5m5s   5m15s   .
      freezer.action  7m35s  7m45s   .
"""
    path = written(test.replace("T03:00", "T03:00:00"))
    assert run(path).exit_code == 0, run(path).output
    (folder / "rules.yaml").write_text((folder / "rules.yaml").read_text().replace("alert: {above: -70", "alert: {above: -72"))
    changed = run(path)
    assert changed.exit_code == 1
    assert "freezer.alert at fz1.temp: onset expected 5m5s, found 4m5s; raised expected 5m15s, found 4m15s" in changed.output


def test_the_example_of_the_documentation(folder: Path) -> None:
    for name, content in example_files():
        (folder / name).write_bytes(content)
    guide = (Path(__file__).parent.parent / "docs" / "rule-tests.md").read_text()
    done = run(written(guide.split("```yaml\n")[1].split("```")[0]))
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "2 tests, none failed"


def test_chosen_by_name() -> None:
    path = written(FACILITY + RULES + HOLDS)
    done = run(path, "--only", "*fan*")
    assert done.output.splitlines()[-1] == "1 test, none failed"
    none = run(path, "--only", "fan")
    assert none.exit_code == 2
    assert "no test has such a name" in none.output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("grade: B", "grad: B", "t.yaml:6: facility.rooms[0].grad: found the unknown key 'grad'"),
        ("on_delay: 60s", "on_delay: 60", "t.yaml:13: rules[0].on_delay: found 60; allowed: a duration"),
        ("    0s..2m    15\n      2m..3m", "    0s..2m    15 7\n      2m..3m", "t.yaml:21: tests[0].readings: found 3 cells; allowed: 2"),
        ("at        cp1.dp      #", "at        cp1.pd      #", "tests[0].readings: found the column 'cp1.pd'"),
        ("3m..6m    15", "3m..6m    high", "t.yaml:23: tests[0].readings: found 'high'"),
        ("3m..6m    15", "6m..3m    15", "t.yaml:23: tests[0].readings: found '6m..3m'"),
        ("rule  point   onset", "rule  point   onest", "t.yaml:33: tests[1].expect: found the column 'onest'"),
        ("dp    cp1.dp  3m ", "pd    cp1.dp  3m ", "t.yaml:34: tests[1].expect: found the rule 'pd'; allowed: dp"),
        ("rules: [dp]", "rules: [pd]", "tests[4].rules[0]: found 'pd', which no rule matches"),
        ("    expect: none", "", "tests[0]: found no key 'expect'"),
        ("the fan fails", "a door opened for a minute alarms nobody", "tests[1].name: found"),
        ("at_rest", "resting", "found the state 'resting'"),
    ],
)
def test_what_is_wrong_with_a_file(old: str, new: str, said: str) -> None:
    text = FACILITY + RULES + HOLDS
    assert old in text
    done = run(written(text.replace(old, new, 1)))
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_without_rules_a_file_needs_a_site() -> None:
    done = run(written(FACILITY + HOLDS))
    assert done.exit_code == 2
    assert "t.yaml:1: found no rules; allowed: a file, or what is in it." in done.output
    assert run("none.yaml").exit_code == 2


SITE = Facility(
    Site("s", "S"), (Place("r", "R"),), (Point("r.t", "temperature", "degC", "r", period_ns=10**10), Point("r.x", "door", "1", "r"))
)


def test_tables_say_what_happens() -> None:
    rows = happenings("at r.t r/occupancy received\n10s..31s 1..2.05 . .\n0s 5? at_rest 1m30s\n2m . . .", SITE)
    assert [(row.time // 10**9, row.received // 10**9, row.point, row.value, row.quality) for row in rows] == [
        (10, 10, "r.t", "1.0", 0), (20, 20, "r.t", "1.5", 0), (30, 30, "r.t", "2.0", 0),
        (0, 90, "r.t", "5", 1), (0, 90, "r/occupancy", "at_rest", 0), (120, 120, "r.t", "", 0),
    ]  # fmt: skip
    assert [row.time // 10**9 for row in happenings("at r.x\n0s..1s/500ms 1", SITE)] == [0, 0]
    wrong = ("r.x\n0s..1m 1", "at\n0s", "at r.t\nnow 1", "at r.t\n0s/5s 1", "at r.t\n0s 1..2", "at r.t\n0s..9d/1ms 1", "at r.y\n0s 1")
    for text in ("", "r.x at\n1 0s", "at r.x\n0s..1m 1", *wrong):
        with pytest.raises(WrongTable):
            happenings(text, SITE)
    assert span_ns("-1m30s") == -90 * 10**9
    assert expectations("none", SITE, ("a",)) == expectations("", SITE, ("a",)) == []
    (row,) = expectations("rule onset peak readings late occupancy\na 1m 2.5 . false *", SITE, ("a",))
    assert row.cells == {"rule": "a", "onset": 60 * 10**9, "peak": 2.5, "readings": None, "late": False}
