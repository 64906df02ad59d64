"""Scenarios as data: what is refused and how it is said (simulators/scenario.py, simulators/script.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from facility.facility_file import load_facility
from facility.problems import ConfigurationError
from facility.site import Facility
from rules.rules_file import load_rules
from simulators.scenario import load_scenario, parse_scenario, shipped_scenarios
from simulators.script import Schedule, bind

EXAMPLE = Path(__file__).parent.parent / "service" / "example"
SECOND = 10**9


@pytest.fixture(scope="module")
def facility() -> Facility:
    return load_facility(EXAMPLE / "facility.yaml")


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_scenario(text, "s.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", shipped_scenarios())
def test_shipped_scenarios_fit_the_example_site(name: str, facility: Facility) -> None:
    assert bind(load_scenario(name), facility)


def test_rules_that_the_demo_expects_exist(facility: Facility) -> None:
    rules = {rule.id for rule in load_rules(EXAMPLE / "rules.yaml", facility)}
    assert {rule for event in load_scenario("demo").events for rule in event.expect} <= rules


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


@pytest.mark.parametrize("text", ["", "events: 5", "- a", "events: [1]", "events: [{kind: }", "counter_flow_l_min: 0"])
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
    assert (scenario.name, scenario.events[0].parameters) == ("mine", {"count": 5.0})


def test_what_the_facility_does_not_have_is_named_with_its_line(facility: Facility) -> None:
    events = ("kind: people, place: cp9", "kind: dropout, point: x", "kind: supply_loss, system: ahu7", "kind: door_open, place: cor1")
    text = "events:\n" + "\n".join(f"- {{{event}}}" for event in events)
    with pytest.raises(ConfigurationError) as caught:
        bind(parse_scenario(text, "s.yaml"), facility)
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [(2, "place"), (3, "point"), (4, "system"), (5, "place")]
    assert "which has no door" in str(caught.value)


def test_a_glob_may_match_nothing_so_that_a_scenario_serves_any_facility(facility: Facility) -> None:
    assert bind(parse_scenario("events: [{kind: people, place: 'xy*'}]", "s.yaml"), facility) == ()


def test_an_event_repeats_on_whole_steps_within_its_spread(facility: Facility) -> None:
    text = "events: [{kind: door_open, point: cp1.door1.open, at: 10s, for: 5s, every: 60s, spread: 20s}]"
    schedule = Schedule(bind(parse_scenario(text, "s.yaml"), facility), seed=3)
    for second in range(600):
        schedule.advance(second * SECOND)
    starts = [one.start_ns // SECOND for one in schedule.begun]
    assert [10 <= start - 60 * number < 30 for number, start in enumerate(starts)] == [True] * 10
    assert len({start % 60 for start in starts}) > 1
    assert all(one.end_ns == one.start_ns + 5 * SECOND for one in schedule.begun)


def test_an_occurrence_acts_from_its_start_up_to_its_end(facility: Facility) -> None:
    text = "events: [{kind: dropout, point: cp1.dp1.dp, at: 2s, for: 3s}]"
    schedule = Schedule(bind(parse_scenario(text, "s.yaml"), facility), seed=3)
    seen = []
    for second in range(7):
        changed = schedule.advance(second * SECOND)
        seen.append((bool(schedule.active), changed))
    assert seen == [(False, False), (False, False), (True, True), (True, False), (True, False), (False, True), (False, False)]
