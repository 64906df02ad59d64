"""The gate: how the packs fare on the scenarios that ship, against stated floors; README and docs say the same."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from scripts import scores
from scripts.scores import DURATIONS, ROOT, SEED, Scene
from service.score.gate import CEILINGS, FLOORS, Demand, breaches
from service.score.picture import picture
from service.score.report import missed
from simulators.scenario import load_scenario, shipped_scenarios

FLOORS_STATED = (
    "recall=0.9", "precision=0.95", "recall:supply_loss=0.9", "recall:door_open=1", "recall:intervention=1", "recall:dropout=1",
    "recall:compressor_failure=1", "recall:nitrogen_leak=1", "recall:fill_failure=1",
)  # fmt: skip
CEILINGS_STATED = ("delay_median=60s", "delay_p95=1h", "delay_p95:supply_loss=2m", "delay_p95:intervention=30s", "false_per_point_week=1")


@pytest.fixture(scope="module")
def done() -> list[Scene]:
    return scores.scenes()


def test_the_packs_keep_the_floors(done: list[Scene]) -> None:
    demands = [Demand.parsed(text, FLOORS) for text in FLOORS_STATED] + [Demand.parsed(text, CEILINGS) for text in CEILINGS_STATED]
    assert list(breaches(demands, [one.run for one in done])) == []


def test_nothing_is_raised_in_ordinary_life(done: list[Scene]) -> None:
    assert {one.name: one.excursions for one in done if one.name in ("normal", "workday")} == {"normal": (), "workday": ()}


def test_every_known_miss_has_its_reason(done: list[Scene]) -> None:
    unexplained = [(one.name, fault.truth.kind) for one in done for fault in missed([one.run]) if not fault.truth.missed]
    assert unexplained == []


def test_what_is_said_to_be_missed_without_a_rule_is_missed(done: list[Scene]) -> None:
    surprises = [
        (one.name, fault.truth.kind)
        for one in done
        for fault in one.run.faults
        if fault.truth.missed and not fault.rules and fault.found_by
    ]
    assert surprises == []


def test_expected_rules_that_packs_have_are_tried(done: list[Scene]) -> None:
    """Each rule of the packs that a scenario expects raised something in one of them, but those that are named."""
    rules = tuple(scores.shipped_plan().rule_by_id)
    wanted = {
        rule
        for name in DURATIONS
        for event in load_scenario(name).events
        for glob in event.expect
        for rule in rules
        if fnmatchcase(rule, glob)
    }
    raised = {row.rule for one in done for row in one.excursions}
    assert wanted - raised == set()


def test_only_the_long_scenario_is_left_out() -> None:
    assert set(shipped_scenarios()) - set(DURATIONS) == {"storage-year"}
    assert SEED >= 0


def test_readme_and_docs_say_what_the_command_writes(done: list[Scene]) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert scores.placed(text, scores.readme(done)) == text, "run `make scores`"
    assert (ROOT / "docs" / "scores.md").read_text("utf-8") == scores.page(done), "run `make scores`"
    drawn = picture([one.run for one in done], scores.WORDS)
    assert (ROOT / "docs" / scores.PICTURE).read_text("utf-8") == drawn, "run `make scores`"
