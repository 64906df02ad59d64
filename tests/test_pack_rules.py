"""The tests that packs ship with: every rule is raised by one, and nearly raised by another that must not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from click.testing import CliRunner

from facility.durations import Duration
from facility.limits import SHIPPED, Cell, LimitTable, load_limits, shipped
from facility.reading import UNCERTAIN
from facility.site import Point
from rules.packs import packs
from rules.plan import Plan, plan_of
from rules.rule import Bound, Rule
from service.cli import main
from service.rule_tests.files import Outcome, judged, read_rule_tests, shipped_tests

NARROWER = 0.05
"""How much nearer a limit is to what is normal, in its unit, for a rule that is a little more eager."""


@dataclass(frozen=True)
class NarrowerTable:
    """A limit table that allows a little less."""

    table: LimitTable

    def cell(self, point: Point, occupancy: str, level: str) -> Cell | None:
        cell = self.table.cell(point, occupancy, level)
        return cell and Cell(*(_narrower(value, side) for value, side in ((cell.below, 1), (cell.above, -1))))


def _narrower(value: float | None, side: int) -> float | None:
    return None if value is None else value + side * NARROWER


def eager(rule: Rule) -> Rule:
    """The rule with limits a little nearer, two thirds of its times, one period or one reading less."""

    def bound(one: Bound | None, side: int) -> Bound | None:
        return one if one is None or isinstance(one.value, str) else replace(one, value=one.value + side * NARROWER)

    def shorter(one: Duration | None) -> Duration | None:
        return one and Duration(one.ns * 2 // 3, one.periods * Fraction(2, 3))

    return replace(
        rule,
        above=bound(rule.above, -1),
        below=bound(rule.below, 1),
        on_delay=Duration(rule.on_delay.ns * 2 // 3, max(rule.on_delay.periods - 1, Fraction(0))),
        after=shorter(rule.after),
        duration=shorter(rule.duration),
        within=shorter(rule.within),
        change=rule.change and rule.change * 2 / 3,
        k=rule.k and max(rule.k - 1, 1),
    )


def eager_plan(plan: Plan) -> Plan:
    """The plan of the same rules, each a little more eager; states may last two thirds as long."""
    shorter = [replace(place, at_most_ns=tuple((state, ns * 2 // 3) for state, ns in place.at_most_ns)) for place in plan.facility.places]
    facility = replace(plan.facility, places=tuple(shorter))
    numbers = {point.id: number for number, point in enumerate(facility.points)}
    tables = {name: shipped(name) for name in SHIPPED} | {
        "limits": load_limits(shipped_tests("pack:annex1@1").parent / "annex1-limits.csv")
    }
    narrower = {name: NarrowerTable(table) for name, table in tables.items()}
    return plan_of(facility, tuple(eager(rule) for rule in plan.rule_by_id.values()), narrower, numbers)


@pytest.fixture(scope="module", params=packs())
def outcomes(request: pytest.FixtureRequest) -> list[Outcome]:
    return [judged(case) for case in read_rule_tests(shipped_tests(request.param), None)]


def test_every_test_of_a_pack_holds(outcomes: list[Outcome]) -> None:
    assert [(outcome.case.name, outcome.differences) for outcome in outcomes if not outcome.ok] == []
    refused = {one.reason for outcome in outcomes for one in outcome.refused}
    assert refused <= {"clock_ahead"}, "that is what a rule is about; all else would be a mistake in the file"


def test_every_rule_of_a_pack_is_raised_by_a_test(outcomes: list[Outcome]) -> None:
    raised = {row.rule for outcome in outcomes for row in outcome.found}
    assert set(outcomes[0].case.plan.rule_by_id) - raised == set()


def test_every_rule_of_a_pack_is_nearly_raised_by_a_test(outcomes: list[Outcome]) -> None:
    near = set()
    for outcome in outcomes:
        case = outcome.case
        raised = {row.rule for row in outcome.found}
        near |= {row.rule for row in judged(replace(case, plan=eager_plan(case.plan))).found} - raised
        if any(one.quality == UNCERTAIN for one in case.happened):
            near |= {rule.id for rule in case.plan.rule_by_id.values() if rule.kind == "quality"} - raised
        if any(one.received < one.time for one in case.happened):  # ahead, by no more than is allowed
            near |= {rule.id for rule in case.plan.rule_by_id.values() if rule.kind == "clock_ahead"} - raised
    assert set(outcomes[0].case.plan.rule_by_id) - near == set()


def test_the_tests_of_a_pack_run_by_its_name() -> None:
    done = CliRunner().invoke(main, ["rules", "test", "pack:storage@1", "--only", "*freezer*"])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "3 tests, none failed")
    wrong = CliRunner().invoke(main, ["rules", "test", "pack:storage@9"])
    assert wrong.exit_code == 2
    assert "pack:storage@1" in wrong.stderr
