"""Scenarios as data: what is refused and how it is said (simulators/scenario.py, simulators/script.py)."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from facility.facility_file import load_facility
from facility.problems import ConfigurationError
from facility.site import Facility
from rules.rules_file import load_rules
from scripts.scores import shipped_plan
from simulators.kinds import KINDS, KindName
from simulators.scenario import load_scenario, parse_scenario, shipped_scenarios
from simulators.script import Schedule, bind

EXAMPLE = Path(__file__).parent.parent / "service" / "example"
SECOND = 10**9


@pytest.fixture(scope="module")
def facility() -> Facility:
    return load_facility(EXAMPLE / "facility.yaml")


def schedule(text: str, facility: Facility, start_ns: int = 0) -> Schedule:
    return Schedule(bind(parse_scenario(text, "s.yaml"), facility), 3, start_ns, ZoneInfo(facility.site.timezone))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_scenario(text, "s.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", shipped_scenarios())
def test_shipped_scenarios_fit_the_example_site(name: str, facility: Facility) -> None:
    assert bind(load_scenario(name), facility)


@pytest.mark.parametrize("name", shipped_scenarios())
def test_rules_that_a_scenario_expects_exist_and_its_text_says_what_it_is(name: str, facility: Facility) -> None:
    rules = [rule.id for rule in load_rules(EXAMPLE / "rules.yaml", facility)] + list(shipped_plan().rule_by_id)
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.text.endswith(".")
    assert all(fnmatch.filter(rules, pattern) for event in scenario.events for pattern in event.expect)


def test_the_library_shows_every_kind() -> None:
    assert len(shipped_scenarios()) >= 12
    shown = {event.kind for name in shipped_scenarios() for event in load_scenario(name).events}
    assert set(KINDS) - shown == set()
    assert set(KINDS) == set(get_args(KindName))


def test_docs_name_every_scenario_kind_and_parameter() -> None:
    text = (Path(__file__).parent.parent / "docs" / "simulator.md").read_text("utf-8")
    for name in (*shipped_scenarios(), *KINDS, *(name for kind in KINDS.values() for name in (*kind.parameters, *kind.words))):
        assert f"`{name}`" in text, name


def test_all_mistakes_are_told_at_once_each_with_its_line() -> None:
    found = problems(
        """events:
  - {kind: door_opn, point: a}
  - {kind: people, place: cp1, count: -1}
  - {kind: leak, place: cp1, at: soon}
  - {kind: dropout, point: a, for: 1m, evry: 5m}
  - {kind: dropout, for: 1m}
  - {kind: dropout, point: a, every: 1m}
  - {kind: dropout, point: a, for: 2m, every: 1m}
  - {kind: dropout, point: a, factor: 0.5}
"""
    )
    assert [line.split(":")[1] for line in found] == [str(number) for number in range(2, 10)]
    assert "Did you mean door_open?" in found[0]
    assert "at least 0" in found[1]
    assert "a duration such as" in found[2]
    assert "Did you mean every?" in found[3]
    assert "one of point, place" in found[4]
    assert "`for`" in found[5]
    assert "more than `for` and `spread` together" in found[6]
    assert "a key that dropout does not take" in found[7]


@pytest.mark.parametrize("text", ["", "events: 5", "- a", "events: [1]", "events: [{kind: }", "instruments: [{point: a, flow_l_min: 0}]"])
def test_nonsense_is_a_problem_or_an_empty_scenario(text: str) -> None:
    if text:
        assert problems(text)
    else:
        assert parse_scenario(text, "s.yaml").events == ()


def test_a_misspelt_name_is_met_with_a_suggestion() -> None:
    with pytest.raises(ConfigurationError, match="Did you mean demo"):
        load_scenario("dmeo")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"mine\.yaml"):
        load_scenario(tmp_path / "mine.yaml")


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("events: [{kind: people, place: cp1, count: 5}]", "utf-8")
    scenario = load_scenario(tmp_path / "mine.yaml")
    assert (scenario.name, scenario.events[0].parameters["count"]) == ("mine", 5.0)


def test_what_the_facility_does_not_have_is_named_with_its_line(facility: Facility) -> None:
    events = (
        "kind: people, place: cp9", "kind: dropout, point: x", "kind: supply_loss, system: ahu7", "kind: door_open, place: cor1",
        "kind: swap, point: bsc1.p05, with: bsc1.p5", "kind: wrong_unit, point: cp1.dp1.dp, unit: degF",
    )  # fmt: skip
    text = "events:\n" + "\n".join(f"- {{{event}}}" for event in events)
    with pytest.raises(ConfigurationError) as caught:
        bind(parse_scenario(text, "s.yaml"), facility)
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (2, "place"), (3, "point"), (4, "system"), (5, "place"), (6, "with"), (7, "unit"),
    ]  # fmt: skip
    assert "which has no door" in str(caught.value)


def test_a_glob_may_match_nothing_so_that_a_scenario_serves_any_facility(facility: Facility) -> None:
    assert bind(parse_scenario("events: [{kind: people, place: 'xy*'}]", "s.yaml"), facility) == ()


def test_an_event_repeats_on_whole_steps_within_its_spread(facility: Facility) -> None:
    text = "events: [{kind: door_open, point: cp1.door1.open, at: 10s, for: 5s, every: 60s, spread: 20s}]"
    begun = schedule(text, facility).block(0, 600 * SECOND)[1]
    starts = [one.start_ns // SECOND for one in begun]
    assert [10 <= start - 60 * number < 30 for number, start in enumerate(starts)] == [True] * 10
    assert len({start % 60 for start in starts}) > 1
    assert all(one.end_ns == one.start_ns + 5 * SECOND for one in begun)


def test_an_occurrence_acts_from_its_start_up_to_its_end(facility: Facility) -> None:
    made = schedule("events: [{kind: dropout, point: cp1.dp1.dp, at: 2s, for: 3s}]", facility)
    blocks = [made.block(second * SECOND, (second + 1) * SECOND) for second in range(7)]
    assert [len(acting) for acting, _ in blocks] == [0, 0, 1, 1, 1, 1, 0], "also at the moment of its end"
    assert [len(begun) for _, begun in blocks] == [0, 0, 1, 0, 0, 0, 0]


def test_what_happens_does_not_depend_on_other_events_or_on_when_it_is_asked_for(facility: Facility) -> None:
    door = "{kind: door_open, point: cp1.door1.open, for: 5s, scatter: 0.5, rate: 30/h}"
    alone, beside = (schedule(f"events: [{door}{more}]", facility) for more in ("", ", {kind: people, place: cp1, for: 1m, rate: 9/h}"))
    whole = [(one.start_ns, one.end_ns) for one in alone.block(0, 7200 * SECOND)[1]]
    parts = [one for start in range(0, 7200, 100) for one in beside.block(start * SECOND, (start + 100) * SECOND)[1]]
    assert [(one.start_ns, one.end_ns) for one in parts if one.track.event.kind == "door_open"] == whole
    assert len({(end or 0) - start for start, end in whole}) > 3
    assert 35 < len(whole) < 90


def test_hours_are_the_sites_own(facility: Facility) -> None:
    text = 'events: [{kind: door_open, point: cp1.door1.open, for: 4s, rate: 60/h, hours: "08:00-10:00", days: [mon]}]'
    monday = 1_775_426_400 * SECOND  # 2026-04-06, midnight in Stockholm, summer time
    begun = schedule(text, facility, monday).block(0, 10 * 86_400 * SECOND)[1]
    hours = [one.start_ns / SECOND / 3600 for one in begun]
    assert all(8 <= hour % (7 * 24) < 10 for hour in hours)
    assert len(hours) == pytest.approx(240, abs=60)


def test_hours_follow_the_clock_on_the_wall(facility: Facility) -> None:
    text = 'events: [{kind: people, place: cp1, hours: "22:00-06:00", days: [sat]}]'
    friday = 1_774_566_000 * SECOND  # 2026-03-27, midnight in Stockholm; the clock goes ahead on Sunday at 2
    begun = schedule(text, facility, friday).block(0, 3 * 86_400 * SECOND)[1]
    assert [(one.start_ns // SECOND / 3600, (one.end_ns or 0) // SECOND / 3600) for one in begun] == [(46, 53)], "seven hours of eight"


def test_what_does_not_go_together_is_said() -> None:
    found = problems(
        """events:
  - {kind: door_open, place: a, scatter: 0.5}
  - {kind: door_open, place: a, for: 5s, every: 1m, rate: 3/h}
  - {kind: occupancy, place: a}
  - {kind: wrong_unit, point: a}
  - {kind: people, place: a, hours: "7-9"}
  - {kind: people, place: a, rate: often}
  - {kind: clock, point: a, by: 90}
  - {kind: people, place: a, clothes: pyjama}
"""
    )
    allowed = [
        "together with `for`",
        "one of them",
        "occupancy needs it",
        "wrong_unit needs it",
        "07:00-15:30",
        "6/h or 2/d",
        "-90s",
        "cleanroom",
    ]
    assert sorted(line.split(":")[1] for line in found) == [str(number) for number in range(2, 10)]
    assert all(any(text in line for line in found) for text in allowed)
