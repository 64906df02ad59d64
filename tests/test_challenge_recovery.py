"""The challenge of rules of the kind recovery: right ones pass, wrong ones are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from facility.durations import parse_duration
from facility.site import Point
from rules.rule import Bound, Rule
from service.challenge.meaning import due_of
from service.challenge.subject import FAIL, NOT_APPLICABLE, NOT_TESTED, PASS, Due, Limits, Sample, Subject
from service.configuration.configuration import Configuration, load_configuration
from tests.support.challenged import challenged, lines, otherwise, site

S = 10**9
RULES = """
rules:
  - {id: clean, kind: recovery, select: {quantity: "particles_*", grade: B}, above: annex1}
  - {id: cool, kind: recovery, select: {quantity: temperature}, level: alert, below: 18, at_or_above: 22, within: 4m}
  - {id: shut, kind: recovery, select: {quantity: door}, above: 0.5, within: 3 periods}
  - {id: timeless, kind: recovery, select: {room: lock}, above: 5}
  - {id: hot, kind: limit, select: {quantity: temperature}, level: alert, above: 25, while: [at_rest]}
"""


def configured(folder: Path) -> Configuration:
    main = site(folder, RULES)
    facility = main.with_name("facility.yaml")
    counter = "      - {id: cp1.p05, quantity: particles_0_5um, unit: 1/m3, period: 60s}\n    zones:"
    lock = "  - {id: lock, points: [{id: lock.dp, quantity: differential_pressure, unit: Pa, period: 2s}]}\n"
    text = (
        facility.read_text()
        .replace("    zones:", counter)
        .replace("period: 5s, range: [0, 1]", "period: 5s, reports: on_change, range: [0, 1]")
    )
    facility.write_text(text + lock)
    return load_configuration(main, {})


def test_a_right_configuration_passes(tmp_path: Path) -> None:
    record = challenged(configured(tmp_path / "site"), tmp_path / "own")
    assert [outcome for outcome in record.outcomes if outcome.status in (FAIL, NOT_TESTED)] == []
    cases = {outcome.case for outcome in lines(record, "clean", PASS)}
    assert cases == {
        "above/inside", "above/at-limit", "above/beyond", "above/short", "above/in-time", "above/period-long", "work", "work-again",
        "said-again", "begun-again", "bad", "uncertain", "dropout", "late/found", "late/taken-back",
    }  # fmt: skip
    assert {outcome.case for outcome in lines(record, "cool", PASS)} > {"below/at-limit", "above/at-limit"}
    assert {outcome.case for outcome in lines(record, "shut", NOT_APPLICABLE)} == {"above/period-long", "dropout"}
    (told,) = lines(record, "timeless", NOT_APPLICABLE)
    assert "clean_up" in told.reason
    assert {outcome.state for outcome in lines(record, "hot", PASS)} >= {"at_rest", "in_operation"}
    assert record.lost == 0


WRONG: dict[str, Callable[[Rule], Rule]] = {
    "clean": lambda rule: replace(rule, above=Bound(3520.5)),
    "cool": lambda rule: replace(rule, within=parse_duration("239800ms")),
    "shut": lambda rule: replace(rule, within=parse_duration("16s")),
    "timeless": lambda rule: rule,
    "hot": lambda rule: rule,
}
"""What is wrong with each rule of the instance."""


def test_whatever_is_wrong_is_found(tmp_path: Path) -> None:
    configuration = configured(tmp_path / "site")
    wrong = otherwise(configuration, [WRONG[rule.id](rule) for rule in configuration.rules])
    record = challenged(configuration, tmp_path / "own", wrong)
    found = {rule.id: {outcome.case for outcome in lines(record, rule.id, FAIL)} for rule in configuration.rules}
    assert "above/short" in found["cool"]
    assert "above/beyond" in found["shut"]
    assert found["clean"] >= {"above/beyond"}
    assert found["timeless"] == found["hot"] == set()


# What must come of readings, by hand


def due(*values: float, spells: tuple[tuple[int, int], ...] = ((2, 99),)) -> tuple[Due, ...]:
    rule = Rule("r", "recovery", above=Bound(10.0), within=parse_duration("3s"))
    point = Point("p", "temperature", "degC", "cp1", period_ns=S)
    subject = Subject(rule, point, "at_rest", Limits(above=10.0), S // 10, spells=tuple((begin * S, end * S) for begin, end in spells))
    return due_of(subject, [Sample(number * S, value) for number, value in enumerate(values)], 0)


def test_recovery_by_hand() -> None:
    assert due(20, 20, 11, 11, 11, 11, 12, 9) == (Due(5 * S, 5 * S, 7 * S, 7 * S, 12.0, 10.0, 2),)
    assert due(20, 20, 11, 11, 11, 10, 12, 12) == ()
    assert due(20, 20, 20, 20, 20, 20, 20, spells=((2, 6),)) == (Due(5 * S, 5 * S, 6 * S, 6 * S, 20.0, 10.0, 1),)
    assert due(20, 20, 20, 20, spells=((-5, 99),)) == (Due(3 * S, 3 * S, None, None, 20.0, 10.0, 1),), "from the first reading on"
