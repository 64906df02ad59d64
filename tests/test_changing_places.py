"""Rules of the kinds `state` and `clock_ahead` tried out and explained: what a change does is what it does to who lived with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from facility.times import format_time
from historian.wanted import Wanted
from rules.ahead import OURS
from rules.excursion import CURRENT, Excursion
from service.cli import main
from service.configuration.changing import Change, Setting
from service.configuration.configuration import Configuration, load_configuration
from service.impact.consequences import consequences
from service.impact.impact import from_journal
from service.stored.archive import Archive
from tests.support.archive_data import START, Installation, example_configuration

SECOND_NS = 10**9
DAY_S = 86_400.0
FACILITY = """
site: {id: lab, timezone: UTC}
rooms:
  - id: cp1
    grade: B
    at_most: {cleaning: 2m}
    points:
      - {id: a, quantity: temperature, unit: degC, period: 10s}
      - {id: b, quantity: temperature, unit: degC, period: 10s}
      - {id: c, quantity: temperature, unit: degC, period: 10s}
    zones: [{id: bsc1, grade: A, type: bsc}]
  - {id: cp2, grade: B}
"""
RULES = """
rules:
  - {id: forgotten, kind: state, select: {room: cp1}}
  - {id: clock, kind: clock_ahead, select: {point: [a, b, c]}}
  - {id: warm, kind: limit, level: alert, above: 30}
"""
CHANGE = ("forgotten.select.room=", "clock.select.point=[b, c]")


def written(folder: Path) -> Configuration:
    example_configuration(folder)
    (folder / "facility.yaml").write_text(FACILITY)
    (folder / "rules.yaml").write_text(RULES)
    return load_configuration(folder / "renrum.yaml", {})


def changed(folder: Path) -> Configuration:
    written(folder)
    rules = RULES.replace(", select: {room: cp1}}", "}").replace("[a, b, c]", "[b, c]")
    (folder / "rules.yaml").write_text(rules)
    return load_configuration(folder / "renrum.yaml", {})


def lived(place: Installation) -> Installation:
    """Rooms that are cleaned for too long, clocks that are ahead: one from 100 s on, then all, and a change of the journal's hour."""
    told = {
        0: ("cp1", "cleaning"),
        30: ("bsc1", "cleaning"),
        200: ("bsc1", "at_rest"),
        400: ("cp1", "in_operation"),
        700: ("cp1", "cleaning"),
    }
    for second in range(0, 900, 10):
        place.at = max(place.at, START + second * SECOND_NS)
        if second in told:
            place.occupancy(*told[second], second)
        for point in "abc":
            ahead = (point == "a" and 100 <= second < 250) or 500 <= second < 650
            place.read(point, 20.0, second + DAY_S * ahead)
        if second % 30 == 0:
            place.step()
    place.at += 3 * SECOND_NS
    place.step()
    place.write_series()
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = lived(Installation(tmp_path_factory.mktemp("as-it-was") / "site", written))
    yield made
    made.close()


@pytest.fixture(scope="module")
def with_it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = lived(Installation(tmp_path_factory.mktemp("with-it") / "site", changed))
    yield made
    made.close()


def record(place: Installation) -> list[Excursion]:
    return plain(place.store.excursions("status = ?", (CURRENT,)))


def plain(rows: list[Excursion]) -> list[Excursion]:
    bare = (replace(row, id="", revision=0, late=False, config="") for row in rows)
    return sorted(bare, key=lambda row: (row.rule, row.point, row.onset))


def change() -> Change:
    return Change((), tuple(Setting.parsed(text) for text in CHANGE))


def test_after_is_what_lives_with_the_change(place: Installation, with_it: Installation, tmp_path: Path) -> None:
    assert {(row.rule, row.point) for row in record(place)} == {("forgotten", "cp1/occupancy"), ("clock", "a"), ("clock", OURS)}
    assert {(row.rule, row.point) for row in record(with_it)} == {
        ("forgotten", "cp1/occupancy"), ("forgotten", "bsc1/occupancy"), ("clock", OURS)
    }  # fmt: skip
    with Archive(place.data_dir) as archive:
        impact = from_journal(archive, change(), (), Wanted(), tmp_path, lambda done: None)
        found = list(impact.differences())
        impact.found.close()
    assert impact.changed == {"forgotten", "clock"}
    assert plain([one.before for one in found if one.before]) == record(place)
    assert plain([one.after for one in found if one.after]) == record(with_it)


def test_an_applied_configuration_tells_what_it_does_to_them(place: Installation, with_it: Installation) -> None:
    with Archive(place.data_dir) as archive:
        told = consequences(archive, place.configuration.judge, with_it.configuration.judge, START, lambda done: None)
        longer = replace(place.configuration.facility.places[0], at_most_ns=(("cleaning", 500 * SECOND_NS),))
        judge = place.configuration.judge
        facility = replace(judge[0], places=(longer, *judge[0].places[1:]))
        of_room = consequences(archive, judge, (facility, *judge[1:]), START, lambda done: None)
    assert {(row.rule, row.point) for row in told.added} == {("forgotten", "bsc1/occupancy")}
    assert {(row.rule, row.point) for row in told.removed} == {("clock", "a")}
    assert [(row.rule, row.point, row.ended is None) for row in of_room.removed] == [
        ("forgotten", "cp1/occupancy", False), ("forgotten", "cp1/occupancy", True)
    ]  # fmt: skip
    assert (of_room.before, of_room.after, of_room.points) == (2, 0, 1)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def test_a_room_that_is_asked_for_has_its_states(place: Installation) -> None:
    said = json.loads(run("rules", "diff", "--config", str(place.config), "--set", CHANGE[0], "--room", "cp1", "--json"))
    assert [(row["rule"], row["before"], row["after"]) for row in said["sums"]] == [("forgotten", 2, 3)]
    with_points = json.loads(run("rules", "diff", "--config", str(place.config), "--set", CHANGE[1], "--point", "b", "--json"))
    assert with_points["sums"] == []


def test_a_recording_without_what_they_judge_says_so(place: Installation, tmp_path: Path) -> None:
    recording = tmp_path / "rec.csv"
    recording.write_text("time,point,value\n2026-11-20T08:00:00Z,a,20\n2026-11-20T09:00:00Z,a,21\n")
    settings = [f"--set={text}" for text in CHANGE]
    text = run("rules", "diff", str(recording), "--config", str(place.config), *settings)
    assert "what was refused for that is in no export." in text
    assert "tells no states of rooms (rows of the point ROOM/occupancy)" in text
    recording.write_text(
        recording.read_text() + "2026-11-20T08:00:00Z,bsc1/occupancy,cleaning\n2026-11-20T09:00:00Z,bsc1/occupancy,at_rest\n"
    )
    said = json.loads(run("rules", "diff", str(recording), "--config", str(place.config), settings[0], "--json"))
    assert [(row["rule"], row["added"]) for row in said["sums"]] == [("forgotten", 1)]


# Why


def explained(place: Installation, what: str, second: float) -> dict[str, Any]:
    at = format_time(START + round(second * SECOND_NS))
    said = json.loads(run("explain", what, "--config", str(place.config), "--at", at, "--json"))
    return {one["rule"]: one for one in said["rules"]}


def test_why_a_room_is_told_of_or_not(place: Installation) -> None:
    found = {second: explained(place, "cp1", second)["forgotten"] for second in (-5, 60, 119, 120, 399, 400, 850)}
    assert [one["standing"] for one in found.values()] == ["nothing", "waiting", "waiting", "open", "open", "inside", "open"]
    assert found[60]["says"] == (
        "no alarm: cleaning since 2026-11-20 08:00:00, which may last 2m: raised if not over by 2026-11-20 08:02:00"
    )
    assert found[399]["says"] == (
        "an excursion was open: cleaning since 2026-11-20 08:00:00, for longer than 2m, raised 2026-11-20 08:02:00"
    )
    assert found[400]["says"] == "no alarm: in_operation since 2026-11-20 08:06:40, and at_most sets no end to that"
    text = run("explain", "cp1/occupancy", "--config", str(place.config))
    assert "at_most: cleaning 2m" in text
    assert "worst case from then to page: 4s = settling 2s + evaluation 1s + first page 1s" in text
    assert "On record: E" in text
    assert "alarm A" in text
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("→")] == ["cleaning"]


def test_places_that_no_rule_watches(place: Installation) -> None:
    assert "No rule of the kind state watches it." in run("explain", "bsc1", "--config", str(place.config))
    text = run("explain", "cp2", "--config", str(place.config))
    assert "at_most is not given" in text
    assert "Nothing was said of it itself." in text
    done = CliRunner().invoke(main, ["explain", "cp9", "--config", str(place.config)])
    assert (done.exit_code, "there is no point, room or zone 'cp9'" in done.output) == (2, True)


def test_why_a_clock_is_told_of_or_not(place: Installation) -> None:
    """The messages of a round come a second after one another, so that of a reading at 100 s `received` is a little later."""
    found = {second: explained(place, "a", second)["clock"] for second in (90, 140, 200, 300, 560)}
    assert [one["standing"] for one in found.values()] == ["inside", "waiting", "open", "inside", "our_clock"]
    assert found[140]["says"].startswith("no alarm: its readings are refused as ahead since 2026-11-20 08:0")
    assert found[560]["says"].startswith("no alarm of the point: our own clock was behind since")
    assert found[90]["worst_case_ns"] == 72 * SECOND_NS
