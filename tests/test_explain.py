"""`renrum explain`: why there was an alarm, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from facility.times import format_time
from rules.promptness import Term
from service.cli import main
from service.configuration.configuration import Configuration, load_configuration
from service.explanation.report import sum_of
from tests.support.archive_data import START, Installation, example_configuration

SECOND_NS = 10**9


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Pressure that falls at 20 s and is back from 40 s on, cp1 being cleaned; particles; a late reading and a bad one."""
    place = Installation(tmp_path_factory.mktemp("explain") / "site")
    place.occupancy("cp1", "cleaning", -600)
    for second in range(0, 60, 2):
        place.at = max(place.at, START + second * SECOND_NS)
        place.read("cp1.dp1.dp", 5.25 if 20 <= second < 40 else 15.0, second)
        if second % 10 == 0:
            place.read("bsc1.p05", 5000.0 if second == 30 else 10.0, second)
        place.step()
    place.at = START + 200 * SECOND_NS
    place.read("inc1.temp", 37.0, 190)
    place.read("inc1.temp", 99.0, 195)
    place.read("inc1.temp", 36.0, 15)  # late
    place.step()
    place.at += 3 * SECOND_NS
    place.step()
    place.close()
    return place


def explain(place: Installation, point: str, second: float | None, *more: str) -> str:
    at = [] if second is None else ["--at", format_time(START + round(second * SECOND_NS))]
    done = CliRunner().invoke(main, ["explain", point, "--config", str(place.config), *at, *more])
    assert done.exit_code == 0, done.output
    return done.output


def standing(place: Installation, point: str, second: float) -> dict[str, Any]:
    return {one["rule"]: one for one in json.loads(explain(place, point, second, "--json"))["rules"]}


def test_before_while_and_after_an_excursion(place: Installation) -> None:
    for second, what in ((19, "inside"), (20, "waiting"), (27, "waiting"), (28, "open"), (43, "open"), (44, "inside")):
        assert standing(place, "cp1.dp1.dp", second)["dp-cascade.action"]["standing"] == what, second
    waiting = standing(place, "cp1.dp1.dp", 25)["dp-cascade.action"]
    assert waiting["says"] == (
        "no alarm: out since 2026-11-20 08:00:20 (newest reading 5.25 Pa), but on_delay asks for 8s: until 2026-11-20 08:00:28"
    )
    assert waiting["worst_case_ns"] == 12 * SECOND_NS
    text = explain(place, "cp1.dp1.dp", 28)
    assert "cp1 was cleaning since 2026-11-20 08:50:00" in text
    assert "an excursion was open: out since 2026-11-20 09:00:20, raised 2026-11-20 09:00:28, after 8s" in text
    assert "worst case from breach to page: 12s = sampling 2s + on_delay 8s + evaluation 1s + first page 1s" in text
    row = next(line for line in text.splitlines() if line.startswith("→"))
    assert row.split()[1:4] == ["2026-11-20", "09:00:28", "5.25"]
    assert row.count("RAISED") == 2
    assert "out for 6s of 8s" in text


def test_what_is_on_record(place: Installation) -> None:
    said = json.loads(explain(place, "cp1.dp1.dp", 30, "--json"))
    (action,) = [one for one in said["excursions"] if one["rule"] == "dp-cascade.action"]
    assert (action["onset"], action["ended"], action["peak"]) == ("2026-11-20T08:00:20Z", "2026-11-20T08:00:40Z", 5.25)
    assert action["alarm"]["state"] == "returned"
    levels = [one for one in said["excursions"] if one["rule"].startswith("dp-cascade.")]
    assert len(levels) == 2
    assert len({one["alarm"]["id"] for one in levels}) == 1, "the levels are one alarm"
    told = explain(place, "cp1.dp1.dp", 30)
    assert "page to sink: written 2026-11-20 09:00:29, not taken yet" in told
    assert "    demo ACTION high: Air handler 2, 14 alarms in 2 rooms" in told, "each page by its subject"
    assert "On record: no excursion of this point then" in explain(place, "cp1.dp1.dp", 10)


def test_where_no_limit_is_specified(place: Installation) -> None:
    found = standing(place, "bsc1.p05", 31)
    assert found["particles-a.action"]["standing"] == "unjudged"
    assert "in the state cleaning nothing is specified" in found["particles-a.action"]["says"]
    assert found["particles-a.alert"]["standing"] == "open"  # its limit is a number, in every state
    text = explain(place, "bsc1.p05", 31)
    assert "not judged in this state" in text
    assert "  not judged in cleaning, maintenance, shutdown ← then" in text


def test_silence_late_and_bad_readings(place: Installation) -> None:
    assert standing(place, "inc1.temp", 100)["silent"]["standing"] == "open"  # it had never reported
    assert standing(place, "inc1.temp", 10)["silent"]["standing"] == "nothing"
    assert standing(place, "inc1.temp", 203)["silent"]["standing"] == "heard"
    silent = standing(place, "cp1.dp1.dp", 201)["silent"]
    assert (silent["standing"], silent["says"][:52]) == ("open", "an excursion was open: nothing came since 2026-11-20")
    text = explain(place, "inc1.temp", 30)
    assert "good, received 2026-11-20 09:03:23" in text  # it was not known then
    newest = explain(place, "inc1.temp", None)
    row = next(line for line in newest.splitlines() if line.startswith("→"))
    assert "bad, not judged" in row
    assert "RAISED" in row  # of quality
    assert standing(place, "inc1.temp", 203)["incubator-temperature.action"]["says"].startswith("no alarm: the newest reading, 37 degC")


def recovering(folder: Path) -> Configuration:
    """The example with a rule that rooms are back at rest in time, of five minutes in cp1."""
    example_configuration(folder)
    for name, found, wanted in (
        ("facility.yaml", "clean_up: 20m", "clean_up: 5m"),
        ("rules.yaml", "rules:\n", "rules:\n  - {id: back, kind: recovery, select: {quantity: particles_0_5um}, above: annex1}\n"),
    ):
        text = (folder / name).read_text("utf-8")
        assert found in text
        (folder / name).write_text(text.replace(found, wanted, 1), "utf-8")
    return load_configuration(folder / "renrum.yaml", {})


def test_a_room_that_has_to_recover(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site", recovering)
    (point,) = [
        one.id for one in place.configuration.facility.points if one.room == "cp1" and one.quantity == "particles_0_5um" and not one.zone
    ]
    place.occupancy("cp1", "in_operation", -60)
    place.occupancy("cp1", "at_rest", 30)
    for minute, value in enumerate((9e4, 8e4, 6e4, 5e4, 4e4, 4e4, 4e4, 3000, 4e4)):
        place.at = max(place.at, START + minute * 60 * SECOND_NS)
        place.read(point, value, minute * 60)
        place.at += 3 * SECOND_NS
        place.step()
    place.close()
    found = {second: standing(place, point, second)["back"] for second in (10, 100, 370, 425, 485)}
    whats = [one["standing"] for one in found.values()]
    assert whats == ["at_work", "recovering", "open", "recovered", "recovered"]
    assert found[100]["says"] == (
        "no alarm: at rest since 2026-11-20 08:00:30, and not yet inside (newest reading 80000 1/m3), but 5m are given:"
        " until 2026-11-20 08:05:30"
    )
    assert found[485]["says"].endswith("and recovered: last inside at 2026-11-20 08:07:00 (newest reading 40000 1/m3)")
    assert (found[10]["within"], found[10]["limits"]) == ("5m", [{"states": ["at_rest"], "above": 3520.0, "below": None}])
    assert found[10]["worst_case_ns"] == 9 * SECOND_NS
    text = explain(place, point, 485, "--readings", "9")
    assert "back (recovery, alert, medium) within 5m of the change to at_rest" in text
    for verdict in ("not at rest after work", "beyond, still in time", "RAISED", "cleared", "recovered"):
        assert verdict in text, verdict


def test_a_room_that_recovered_days_ago(tmp_path: Path) -> None:
    """Whoever looks back by a day does not see that it was inside once; it is looked back at to the beginning of its rest."""
    place = Installation(tmp_path / "site", recovering)
    (point,) = [one.id for one in place.configuration.facility.points if (one.place, one.quantity) == ("cp1", "particles_0_5um")]
    place.occupancy("cp1", "in_operation", -60)
    place.occupancy("cp1", "at_rest", 30)
    hour = 3600
    for second, value in ((0, 9e4), (60, 3000), *((number * hour, 4e4) for number in range(1, 61))):
        place.at = max(place.at, START + second * SECOND_NS)
        place.read(point, value, second)
        place.at += 3 * SECOND_NS
        place.step()
    place.close()
    assert standing(place, point, 60 * hour + 5)["back"]["standing"] == "recovered"
    diff = ["rules", "diff", "--set", "back.within=4m", "--last", "1h", "--config", str(place.config), "--json"]
    done = CliRunner().invoke(main, diff)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["changed_rules"] == ["back"]
    assert json.loads(done.stdout)["differences"] == []


def test_refusals(place: Installation) -> None:
    done = CliRunner().invoke(main, ["explain", "cp1.dp1.pd", "--config", str(place.config)])
    assert done.exit_code == 2
    assert "Did you mean cp1.dp1.dp?" in done.output
    wrong = CliRunner().invoke(main, ["explain", "cp1.dp1.dp", "--config", str(place.config), "--at", "yesterday"])
    assert wrong.exit_code == 2
    nowhere = CliRunner().invoke(main, ["explain", "cp1.dp1.dp", "--data-dir", str(place.folder / "none")])
    assert nowhere.exit_code == 2


def test_spans_read_as_people_say_them() -> None:
    seconds = (0.057, 12, 60.057, 1232, 7200, 90_061)
    assert [sum_of((Term("x", int(one * SECOND_NS), ""),)).partition(" =")[0] for one in seconds] == [
        "0.1s",
        "12s",
        "1m",
        "20m32s",
        "2h",
        "1d1h1m1s",
    ]
