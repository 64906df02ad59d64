"""The challenge of rules at points that no instrument sends, and of states that last too long: right ones pass."""

from __future__ import annotations

import pytest

from service.challenge.conduct import Record
from service.challenge.stays import Said, due_of
from service.challenge.subject import FAIL, NOT_APPLICABLE, NOT_TESTED, PASS, Due
from tests.support.challenged import COMPUTED, OF_COMPUTED, challenged, configured


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Record:
    folder = tmp_path_factory.mktemp("right")
    return challenged(configured(folder / "site", OF_COMPUTED, COMPUTED), folder / "own")


def test_right_rules_pass(right: Record) -> None:
    assert [outcome for outcome in right.outcomes if outcome.status in (FAIL, NOT_TESTED)] == []
    assert {one.rule.id for one in right.chosen} == {"still"} | {outcome.rule for outcome in right.outcomes if outcome.status == PASS}
    assert right.lost == 0
    told = {(one.rule, one.reason) for one in right.outcomes if one.case == "rule" and one.status == NOT_APPLICABLE}
    assert told == {("still", "the point is computed of others, and rules of this kind judge instruments")}


def test_what_was_driven(right: Record) -> None:
    cases = {(outcome.rule, outcome.case) for outcome in right.outcomes if outcome.status == PASS}
    assert {("reversed", f"below/{case}") for case in ("inside", "at-limit", "beyond", "delay-short", "delay-exact", "deadband")} < cases
    assert {("reversed", f"origin/{case}") for case in ("silent",)} < cases
    assert {("low", f"origin/{case}") for case in ("each", "age")} < cases
    assert {("dirty", f"origin/{case}") for case in ("rolls", "gap")} < cases
    assert {(rule, case) for rule in ("reversed", "low", "dirty") for case in ("late/found", "late/taken-back", "uncertain")} < cases
    assert {("often", "above/at-limit"), ("average", "below/beyond"), ("jump", "up/beyond"), ("high.alert", "not-judged")} < cases
    assert {("disk", f"below/{case}") for case in ("inside", "at-limit", "beyond", "delay-exact")} < cases
    states = {f"{state}/{case}" for state in ("cleaning", "maintenance") for case in ("short", "exact", "long", "again", "late/found")}
    assert {("forgotten", case) for case in {"free", "waiting/before", "waiting/raised", *states}} < cases
    assert {one.point for one in right.outcomes if one.rule == "forgotten"} == {"cp1/occupancy", "bsc1/occupancy"}


def test_which_stays_are_too_long_by_hand() -> None:
    said = (Said(0, "at_rest"), Said(10, "cleaning"), Said(15, "cleaning"), Said(21, "at_rest"), Said(99, "cleaning"), Said(109, "at_rest"))
    assert due_of(said, {"cleaning": 10}) == (Due(10, 20, 21, 21, None, None, 0),)
    assert due_of(said, {"cleaning": 11, "at_rest": 50}) == (Due(21, 71, 99, 99, None, None, 0),)
