"""`renrum rules diff`: what a change would have done is what it does to an installation that lived with it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from facility.times import format_time
from historian.wanted import Wanted
from rules.difference import ADDED, KEPT, MOVED, REMOVED, differences, hidden_ns, most_within_an_hour
from rules.excursion import CURRENT, Excursion
from service.cli import main
from service.configuration.changing import Change, Setting
from service.configuration.configuration import load_configuration
from service.impact.impact import from_journal
from service.stored.archive import Archive
from tests.support.archive_data import START, Installation
from tests.support.nursery import ROOT

SECOND_NS = 10**9
CHANGE = ("dp-cascade.alert.below=11", "dp-cascade.on_delay=16s", "silent.after=6 periods", "particles-a.alert.above=400")
POINTS = ("cp1.dp1.dp", "pal1.dp1.dp", "bsc1.p05")


def change(*settings: str) -> Change:
    return Change((), tuple(Setting.parsed(text) for text in settings))


def set_in(place: Installation, *settings: tuple[str, str]) -> None:
    """Put the example configuration with these settings in force."""
    rules = place.folder / "rules.yaml"
    text = rules.read_text()
    for old, new in settings:
        assert old in text
        text = text.replace(old, new)
    rules.write_text(text)
    place.configure(load_configuration(place.config, {}))


CHANGED = (
    ("alert: {below: 12,", "alert: {below: 11,"), ("on_delay: 8s # real: 60s;", "on_delay: 16s #"),
    ("after: 4 periods", "after: 6 periods"), ("alert: {above: 1000,", "alert: {above: 400,"),
)  # fmt: skip
LATER = (("deadband: 1\n    on_delay", "deadband: 0.5\n    on_delay"),)


def live(folder: Path, seed: int, changed: bool) -> Installation:
    """Half an hour with drops of pressure, silences, late readings and states, and a second configuration in the middle."""
    place = Installation(folder)
    if changed:
        set_in(place, *CHANGED)
    chance = random.Random(seed)
    late: list[tuple[str, float, float]] = []
    for second in range(0, 720, 4):
        place.at = max(place.at, START + second * SECOND_NS)
        if second == 360:
            set_in(place, *LATER)
        for point in POINTS:
            low = (second // 60 + POINTS.index(point)) % 7 == 3
            value = chance.uniform(9, 14) if low else 15.0
            if point.startswith("bsc1"):
                value = chance.choice([0.0, 500.0, 2000.0])
            fate = chance.random()
            if (second // 100) % 6 == POINTS.index(point):
                continue  # silent for a while
            if fate < 0.1:
                late.append((point, value, second))
            else:
                place.read(point, value, second)
        if second % 300 == 0:
            place.occupancy("cp1", chance.choice(["at_rest", "in_operation"]), second - 20)
        if chance.random() < 0.05:
            for point, value, then in late:
                place.read(point, value, then)
            late = []
        if second % 8 == 0:
            place.step()
        if second == 480:
            place.write_series()
    place.step()
    return place


def record(place: Installation) -> list[Excursion]:
    """What is current on record, without what another journal numbers otherwise."""
    return [replace(row, id="", revision=0, late=False, config="") for row in place.store.excursions("status = ?", (CURRENT,))]


@pytest.mark.parametrize("seed", [1])
def test_after_is_what_lives_with_the_change(tmp_path: Path, seed: int) -> None:
    as_it_was, with_it = live(tmp_path / "a", seed, False), live(tmp_path / "b", seed, True)
    before, after = record(as_it_was), record(with_it)
    (tmp_path / "files").mkdir()
    with Archive(as_it_was.data_dir) as archive:
        impact = from_journal(archive, change(*CHANGE), (), Wanted(), tmp_path / "files", lambda done: None)
        assert impact.changed == {"dp-cascade.alert", "dp-cascade.action", "silent", "particles-a.alert"}
        found = list(impact.differences())
        old = sorted((one.before for one in found if one.before), key=_order)
        new = sorted((one.after for one in found if one.after), key=_order)
        plain = [replace(row, id="", revision=0, late=False, config="") for row in old]
        assert plain == sorted((row for row in before if row.rule in impact.changed), key=_order)
        wanted = sorted((row for row in after if row.rule in impact.changed), key=_order)
        assert [row for row in new if row.rule != "silent"] == [row for row in wanted if row.rule != "silent"]
        # Arrivals are a few ns of listening apart, as the second configuration is another entry; silences are the same otherwise.
        assert [(row.point, row.onset, row.ended) for row in new if row.rule == "silent"] == [
            (row.point, row.onset, row.ended) for row in wanted if row.rule == "silent"
        ]
        assert sum(one.before for one in impact.sums.values()) == len(old) > 5
        assert sum(one.after for one in impact.sums.values()) == len(new) > 5
        assert {one.what for one in found} >= {REMOVED, MOVED, ADDED}
        impact.found.close()
    as_it_was.close()
    with_it.close()


def _order(row: Excursion) -> tuple[str, str, int]:
    return row.rule, row.point, row.onset


# On a recording

FACILITY = """site: {id: lab, name: Laboratory, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    name: CP 1
    points: [{id: dp, quantity: differential_pressure, unit: Pa, period: 10s}, {id: temp, quantity: temperature, unit: degC, period: 10s}]
"""
RULES = """rules:
  - {id: low, kind: limit, select: {point: dp}, levels: {alert: {below: limits}, action: {below: 9}}, deadband: 0.5}
  - {id: warm, kind: limit, select: {point: temp}, above: 25}
"""
LIMITS = "point,level,below\ndp,alert,10\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files that judge, and a recording: four short drops to 8 in an hour, and a long one to 9.5 in the week after."""
    rows = [(seconds, 8.0 if seconds % 600 in (0, 10) else 15.0) for seconds in range(20, 3000, 10)]
    rows += [(8 * 86400 + seconds, 9.5 if seconds < 300 else 15.0) for seconds in range(0, 600, 10)]
    begin = 1_767_600_000  # Monday 5 January 2026, 8 h UTC
    lines = [f"{format_time((begin + seconds) * SECOND_NS)},dp,{value}" for seconds, value in rows]
    for name, text in (("facility.yaml", FACILITY), ("rules.yaml", RULES), ("limits.csv", LIMITS)):
        (tmp_path / name).write_text(text)
    (tmp_path / "rec.csv").write_text("\n".join(["time,point,value", *lines, ""]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> Result:
    files = ("--facility", "facility.yaml", "--old", "rules.yaml", "--limits", "limits.csv")
    return CliRunner().invoke(main, ["rules", "diff", "rec.csv", *files, *map(str, arguments)])


def test_tables_of_what_comes_and_goes(site: Path) -> None:
    done = run("--set", "low.alert.below=9.2")
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert lines[:2] == ["--set low.alert.below=9.2, on the recording", "changed: low.alert; 2 rules judge as before"]
    assert lines[3:5] == ["rule room before removed moved added after minutes before after", "low.alert cp1 5 1 · · 4 6.3 1.3"]
    assert lines[6:10] == [
        "rule week before removed moved added after minutes before after",
        "low.alert 2026-W02 4 · · · 4 1.3 1.3",
        "low.alert 2026-W03 1 1 · · · 5.0 0.0",
        "all 5 1 · · 4 6.3 1.3",
    ]
    assert lines[11] == "removed low.alert dp 2026-01-13 09:00:00 – 09:05:00"
    assert lines[12].startswith("low.alert flaps at dp: 4 excursions within an hour: --delays low.alert shows")


@pytest.mark.parametrize(
    ("settings", "sums"),
    [
        (("low.alert.below=9.2",), {"low.alert": (5, 1, 0, 0, 4)}),
        (("limits:dp.alert.below=9.2",), {"low.alert": (5, 1, 0, 0, 4)}),
        (("limits:dp.in_operation.alert.below=9.2",), {"low.alert": (5, 1, 0, 0, 4)}),
        (("limits:dp.at_rest.alert.below=9.2",), {"low.alert": (5, 0, 0, 0, 5)}),
        (("low.action.at_or_below=9.5",), {"low.action": (4, 0, 0, 1, 5)}),
        (("low.on_delay=10s",), {"low.alert": (5, 0, 5, 0, 5), "low.action": (4, 0, 4, 0, 4)}),
        (("warm.above=20", "low.alert.deadband=0.5"), {}),
        (("low.select.point=temp",), {"low.alert": (5, 5, 0, 0, 0), "low.action": (4, 4, 0, 0, 0)}),
    ],
)
def test_any_key_can_be_set(site: Path, settings: tuple[str, ...], sums: dict[str, tuple[int, ...]]) -> None:
    said = json.loads(run("--json", *(part for setting in settings for part in ("--set", setting))).stdout)
    found: dict[str, list[int]] = {}
    for row in said["sums"]:
        counts = [row[name] for name in ("before", "removed", "moved", "added", "after")]
        found[row["rule"]] = [old + new for old, new in zip(found.get(row["rule"], [0] * 5), counts, strict=True)]
    assert {rule: tuple(counts) for rule, counts in found.items()} == sums


def test_other_rules_files(site: Path) -> None:
    (site / "new.yaml").write_text(RULES.replace("below: 9}", "below: 9, on_delay: 30s}").replace("id: warm", "id: hot"))
    said = json.loads(run("--json", "--rules", "new.yaml", "--picture", "change.svg").stdout)
    assert said["changed_rules"] == ["hot", "low.action", "warm"]
    assert [(one["what"], one["before"]["rule"], one["after"]) for one in said["differences"]] == [("removed", "low.action", None)] * 4
    assert said["differences"][0]["before"]["limit"] == 9.0
    svg = ElementTree.parse(site / "change.svg").getroot()
    colours = [one.get("fill") for one in svg.iter("{http://www.w3.org/2000/svg}rect")]
    assert colours.count("#2f7fd0") == 1 + 4  # the legend, and each excursion that goes


def test_what_a_longer_delay_spares_and_hides(site: Path) -> None:
    said = json.loads(run("--json", "--delays", "low").stdout)
    assert said["changed_rules"] == ["low.action", "low.alert"]
    by = {(one["rule"], one["delay"]): (one["excursions"], one["minutes_hidden"], one["minutes_longer"]) for one in said["delays"]}
    drop = 20 / 60  # minutes that each of the four short ones lasts
    assert by["low.alert", None] == (5, 0.0, 0.0)
    assert by["low.alert", "on_delay=30s"] == (1, pytest.approx(4 * drop), 0.0)
    assert by["low.alert", "on_delay=5m"] == (0, pytest.approx(4 * drop + 5), 0.0)
    assert by["low.alert", "off_delay=5m"][:2] == (5, 0.0)
    # The drops stand ten minutes apart: they become one, and the readings end too soon after the last for it to clear before next week's.
    assert by["low.alert", "off_delay=10m"][0] == 1
    lines = run("--delays", "low").output.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("on_delay")][:1] == [["on_delay", "30s", "1"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what changes"),
        (("--set", "lo.alert.below=9"), "found no rule whose key 'lo.alert.below' could be; allowed: a key of one of: low, warm"),
        (("--set", "low.alert.belo=9"), "found the unknown key 'belo'"),
        (("--set", "low.deadband=-1"), "--set low.deadband=-1: rules[0].deadband: found -1.0; allowed: a number of at least 0"),
        (("--set", "low"), "RULE.KEY=VALUE"),
        (("--set", "limits:pd.alert.below=9"), "found 'limits:pd.alert.below'"),
        (("--set", "limits:dp.alert.below=low"), "such as limits:cp1.dp1.dp.action.below=12"),
        (("--rules", "none.yaml"), "no such file"),
        (("--delays", "lo"), "Did you mean low?"),
        (("--set", "low.deadband=1", "--picture", "a.png"), "ends in .svg"),
        (("--set", "low.deadband=1", "--last", "2d"), "--last: only for the journal"),
        (("--set", "low.deadband=1", "--from-influx"), "either REC... or --from-influx"),
    ],
)
def test_what_is_refused(site: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_a_reader_who_leaves_is_no_full_disk(site: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", "from service.cli import main; main()", "rules", "diff", "rec.csv", "--set", "low.alert.below=9.2"]
    command += ["--facility", "facility.yaml", "--old", "rules.yaml", "--limits", "limits.csv"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
    os.close(write)
    assert (done.returncode, "written" in done.stderr) == (1, False), done.stderr


def test_what_differs_and_what_does_not() -> None:
    def row(onset: int, ended: int | None, **more: object) -> Excursion:
        return replace(Excursion("r", "p", "alert", onset, onset, ended, ended), **more)  # type: ignore[arg-type]

    found = differences([row(0, 10), row(20, 30), row(50, 60)], [row(0, 10, limit=3.0), row(22, 40), row(70, None)])
    assert [one.what for one in found] == [KEPT, MOVED, REMOVED, ADDED]
    assert hidden_ns([row(0, 10), row(20, 30)], [row(25, None)], 100) == 15
    chance = random.Random(5)
    for _ in range(50):
        sides = [sorted(chance.sample(range(60), 2 * chance.randint(0, 6))) for _ in range(2)]
        ours, theirs = ([row(*times[at : at + 2]) for at in range(0, len(times), 2)] for times in sides)
        covered = {at for one in theirs for at in range(one.onset, one.ended or 0)}
        assert hidden_ns(ours, theirs, 60) == len({at for one in ours for at in range(one.onset, one.ended or 0)} - covered)
    hour = 3600 * SECOND_NS
    assert most_within_an_hour([row(at, at) for at in (0, hour // 2, hour - 1, hour, 2 * hour)]) == 3


def test_the_journal_by_command(tmp_path: Path) -> None:
    place = live(tmp_path / "a", 1, False)
    place.close()
    arguments = ["rules", "diff", "--config", str(place.config), "--set", "dp-cascade.alert.below=11", "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["changed_rules"], said["rules_as_before"]) == (["dp-cascade.alert"], 29)
    assert said["notes"] == ["2 configurations were in force; the change is laid over each"]
    assert sum(row["removed"] for row in said["sums"]) > 0
    some = json.loads(CliRunner().invoke(main, [*arguments, "--point", "pal1.dp1.dp", "--start", "2026-11-20T08:05:00Z"]).stdout)
    wanted = [
        one for one in said["differences"]
        if one["before"]["point"] == "pal1.dp1.dp" and (one["before"]["ended"] or "9") > "2026-11-20T08:05:00Z"
    ]  # fmt: skip
    assert some["differences"] == wanted
