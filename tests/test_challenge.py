"""The challenge of rules that are judged on the times of readings: right ones pass, wrong ones are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from facility.durations import parse_duration
from facility.site import Point
from rules.rule import Bound, Rule
from service.challenge.conduct import Record, choose, counted
from service.challenge.drivers import DRIVERS
from service.challenge.meaning import due_of
from service.challenge.subject import FAIL, NOT_APPLICABLE, NOT_TESTED, PASS, Due, Limits, Sample, Subject
from tests.support.challenged import challenged, configured, lines, otherwise

S = 10**9


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Path]:
    folder = tmp_path_factory.mktemp("right")
    return challenged(configured(folder / "site"), folder / "own"), folder


def test_a_right_configuration_passes(right: tuple[Record, Path]) -> None:
    record = right[0]
    wrong = [outcome for outcome in record.outcomes if outcome.status in (FAIL, NOT_TESTED)]
    assert wrong == []
    assert {one.rule.id for one in record.chosen} == {outcome.rule for outcome in record.outcomes if outcome.status == PASS}
    assert counted(record.outcomes)[PASS] > 120
    assert record.lost == 0
    assert all(outcome.reason for outcome in record.outcomes if outcome.status == NOT_APPLICABLE)


def test_every_kind_of_disturbance_was_driven(right: tuple[Record, Path]) -> None:
    cases = {(outcome.rule, outcome.case) for outcome in right[0].outcomes if outcome.status == PASS}
    assert {
        ("dp.alert", f"below/{case}") for case in ("inside", "at-limit", "beyond", "delay-short", "delay-exact", "off-delay", "deadband")
    } < cases
    assert {("dp.action", case) for case in ("dropout/gap", "bad/clears-nothing", "uncertain", "late/found", "late/taken-back")} < cases
    assert {("dp-door", f"unless/{case}") for case in ("passed-over", "too-long", "stale")} < cases
    assert {
        ("often", "above/spread"),
        ("average", "min-readings"),
        ("jump", "window"),
        ("stuck", "trembling"),
        ("bad", "range/low"),
    } < cases
    assert ("door", "above/at-limit") in cases
    assert {outcome.state for outcome in right[0].outcomes if outcome.case == "not-judged"} >= {"at_rest", "cleaning"}


def test_nothing_outside_is_touched(right: tuple[Record, Path]) -> None:
    record, folder = right
    assert not (folder / "site" / "data").exists()
    assert record.pages > 0
    assert record.strangers == ()


def test_the_journal_is_kept_with_its_hash(right: tuple[Record, Path]) -> None:
    record, folder = right
    assert (folder / "own" / "journal.db").exists()
    assert record.journal[0] > 0
    assert len(record.journal[1]) == 64


WRONG: dict[str, Callable[[Rule], Rule]] = {
    "dp.alert": lambda rule: replace(rule, on_delay=parse_duration("7850ms")),
    "dp.action": lambda rule: replace(rule, off_delay=parse_duration("4500ms")),
    "dp-door": lambda rule: replace(rule, unless=None),
    "particles": lambda rule: replace(rule, above=Bound(3520.5)),
    "often": lambda rule: replace(rule, k=2),
    "average": lambda rule: replace(rule, deadband=0.2),
    "jump": lambda rule: replace(rule, change=4.01),
    "stuck": lambda rule: replace(rule, tolerance=0.001),
    "at-work": lambda rule: replace(rule, during=("in_operation", "cleaning")),
    "door": lambda rule: replace(rule, above=Bound(1.0, inclusive=False)),
    "bad": lambda rule: replace(rule, select=replace(rule.select, quantity=("temperature",))),
}
"""What is wrong with each rule of the instance."""


def test_whatever_is_wrong_is_found(tmp_path: Path) -> None:
    configuration = configured(tmp_path / "site")
    wrong = otherwise(configuration, [WRONG[rule.id](rule) for rule in configuration.rules])
    record = challenged(configuration, tmp_path / "own", wrong)
    assert record.config != configuration.judging_hash
    found = {rule.id: {outcome.case for outcome in lines(record, rule.id, FAIL)} for rule in configuration.rules}
    assert [rule for rule, cases in found.items() if not cases] == []
    assert found["dp.alert"] >= {"below/delay-short"}
    assert "below/at-limit" not in found["dp.alert"]
    assert found["dp.action"] >= {"below/off-delay-exact"}
    assert found["dp-door"] == {"unless/passed-over", "unless/too-long"}
    assert found["often"] >= {"above/too-few"}
    assert found["stuck"] == {"trembling"}
    assert found["at-work"] == {"not-judged"}
    assert "2 excursions expected" in str([outcome.differences for outcome in lines(record, "dp.action", FAIL)])


def test_a_kind_without_tests_is_not_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(DRIVERS, "rate")
    configuration = configured(tmp_path / "site")
    only = otherwise(configuration, [rule for rule in configuration.rules if rule.id == "jump"])
    record = challenged(only, tmp_path / "own")
    assert [(outcome.status, outcome.reason) for outcome in record.outcomes] == [
        (NOT_TESTED, "no test is known for rules of the kind rate")
    ]


def test_a_sample_is_spread_over_the_points(tmp_path: Path) -> None:
    configuration = configured(tmp_path, "rules: [{id: any, kind: quality}, {id: none, kind: quality, select: {quantity: co2}}]")
    chosen = choose(configuration, 2, 0)
    assert [[point.id for point in one.points] for one in chosen] == [["cp1.dp", "cp1.door"], []]
    assert len(chosen[0].selected) == 4


# What must come of readings, by hand


def subject(**keys: object) -> Subject:
    point = Point("p", "differential_pressure", "Pa", "cp1", period_ns=S)
    rule = Rule("r", "limit", below=Bound(10.0), deadband=1.0, on_delay=parse_duration("2s"), off_delay=parse_duration("1s"))
    return Subject(replace(rule, **keys), point, "in_operation", Limits(below=10.0), S // 10)  # type: ignore[arg-type]


def each(*values: float, step: int = S) -> list[Sample]:
    return [Sample(number * step, value) for number, value in enumerate(values)]


def test_raised_and_cleared_by_hand() -> None:
    due = due_of(subject(), each(15, 9, 8, 9, 10.5, 11, 11, 15), 0)
    assert due == (Due(1 * S, 3 * S, 5 * S, 6 * S, 8.0, 10.0, 4),)


def test_a_gap_ends_a_run() -> None:
    readings = [*each(15, 9, 9), Sample(9 * S, 9.0), Sample(10 * S, 9.0)]
    assert due_of(subject(), readings, 0) == (Due(1 * S, 9 * S, None, None, 9.0, 10.0, 4),)
    assert due_of(subject(max_gap=parse_duration("3s")), readings, 0) == ()


def test_bad_readings_are_not_there() -> None:
    readings = [replace(sample, quality="bad" if sample.value == 9 else "") for sample in each(15, 9, 9, 9, 15)]
    assert due_of(subject(), readings, 0) == ()
