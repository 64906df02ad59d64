"""rules/rules_file.py and rule_checks.py: rules.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from facility.durations import parse_duration
from facility.files import Files
from facility.limits import LimitRow, LimitTable, shipped
from facility.problems import ConfigurationError, Problem
from facility.site import SECOND_NS, Facility, Place, Point, Site
from rules.rule import Bound, Rule, Selection
from rules.rule_checks import Fit, Unspecified
from rules.rules_file import load_rules, read_rules

FACILITY = Facility(
    Site("s", "s"),
    (Place("cp1", "cp1", "B"), Place("bsc1", "bsc1", "A", "bsc", "cp1")),
    (
        Point("cp1.temp", "temperature", "degC", "cp1", grade="B", period_ns=30 * SECOND_NS, tags=("hvac",)),
        Point("cp1.f", "temperature", "degF", "cp1", grade="B"),
        Point("cp1.dp", "differential_pressure", "Pa", "cp1", grade="B"),
        Point("bsc1.p05", "particles_0_5um", "1/m3", "cp1", "bsc1", grade="A", type="bsc"),
    ),
)
TABLES = {"annex1": shipped("annex1")}


def read(text: str, tables: dict[str, LimitTable] | None = None) -> tuple[tuple[Rule, ...], list[Problem], Fit]:
    reading = read_rules(Files(texts={"rules.yaml": "rules:\n" + text}), ["rules.yaml"], tables or TABLES)
    fit = reading.fit(FACILITY)
    return reading.rules, sorted([*reading.problems, *fit.problems]), fit


def rules_of(text: str, tables: dict[str, LimitTable] | None = None) -> tuple[Rule, ...]:
    rules, problems, _ = read(text, tables)
    assert not problems
    return rules


def problem_of(text: str, tables: dict[str, LimitTable] | None = None) -> Problem:
    _, problems, _ = read(text, tables)
    assert len(problems) == 1, problems
    return problems[0]


def test_a_rule_with_all_its_keys(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        "rules:\n"
        "  - {id: dp, kind: limit, select: {quantity: differential_pressure, room: [cp1, 'x*']}, level: action, priority: high,\n"
        "     above: 60, at_or_below: 10, deadband: 2, on_delay: 60s, off_delay: 1m, max_gap: 5m, text: {en: Close, sv: Stäng},\n"
        "     sop: SOP-7}\n",
        encoding="utf-8",
    )
    (rule,) = load_rules(tmp_path / "rules.yaml", FACILITY)
    assert rule == Rule(
        id="dp",
        kind="limit",
        select=Selection(quantity=("differential_pressure",), room=("cp1", "x*")),
        level="action",
        priority="high",
        above=Bound(60.0),
        below=Bound(10.0, inclusive=True),
        deadband=2.0,
        on_delay=parse_duration("60s"),
        off_delay=parse_duration("60s"),
        max_gap=parse_duration("5m"),
        text={"en": "Close", "sv": "Stäng"},
        sop="SOP-7",
    )


def test_levels_have_their_defaults() -> None:
    limit, stale, quality = rules_of(
        "  - {id: a, kind: limit, select: {tag: hvac}, above: 22, text: Look}\n"
        "  - {id: b, kind: stale, select: {point: cp1.temp}, after: 3 periods}\n  - {id: c, kind: quality}\n"
    )
    assert (limit.level, stale.level, quality.level) == ("alert", "technical", "technical")
    assert limit.text == {"en": "Look", "sv": "Look"}
    assert stale.after == parse_duration("3 periods")
    assert quality.select == Selection()


def test_levels_make_two_rules_of_one_alarm() -> None:
    alert, action = rules_of(
        "  - id: p05\n    kind: limit\n    select: {quantity: particles_0_5um}\n    deadband: 5\n    on_delay: 1m\n    priority: low\n"
        "    levels: {alert: {above: 1000}, action: {at_or_above: annex1, priority: critical, on_delay: 0s}}\n"
    )
    assert (alert.id, alert.level, alert.alarm, alert.priority) == ("p05.alert", "alert", "p05", "low")
    assert (action.id, action.level, action.alarm, action.priority) == ("p05.action", "action", "p05", "critical")
    assert (alert.above, action.above) == (Bound(1000.0), Bound("annex1", inclusive=True))
    assert (alert.deadband, action.deadband) == (5.0, 5.0)
    assert (alert.on_delay.ns, action.on_delay.ns) == (60 * SECOND_NS, 0)


@pytest.mark.parametrize(
    ("rule", "key", "found"),
    [
        ("kind: limit", "kind", "without a limit"),
        ("kind: limit, above: 5, at_or_above: 6", "at_or_above", "above and at_or_above"),
        ("kind: limit, above: 5, after: 3s", "after", "after in a rule of kind limit"),
        ("kind: limit, above: 5, deadband: -1", "deadband", "-1"),
        ("kind: limit, above: 5, on_delay: -1s", "on_delay", "-1s"),
        ("kind: limit, above: 5, off_delay: -2 periods", "off_delay", "-2 periods"),
        ("kind: limit, above: 5, max_gap: 0s", "max_gap", "0s"),
        ("kind: limit, above: 10, below: 9, deadband: 1", "deadband", "above 10, below 9, deadband 1"),
        ("kind: limit, above: 8, below: 9", "above", "above 8, below 9"),
        ("kind: limit, above: anex1", "above", "'anex1'"),
        ("kind: limit, above: limits", "above", "'limits'"),
        ("kind: limit, above: .nan", "above", "nan"),
        ("kind: limit, above: true", "above", "true"),
        ("kind: limit, above: 5 Pa", "above", "'5 Pa'"),
        ("kind: limit, above: 5, levels: {alert: {above: 3}, action: {above: 4}}", "above", "above beside levels"),
        ("kind: limit, level: alert, levels: {alert: {above: 3}, action: {above: 4}}", "level", "level beside levels"),
        ("kind: limit, levels: {alert: {above: 5}, action: {above: 4}}", "levels.alert.above", "outside the action limit"),
        ("kind: limit, levels: {alert: {at_or_below: 3}, action: {below: 4}}", "levels.alert.at_or_below", "outside the action limit"),
        ("kind: limit, levels: {alert: {above: 5}}", "levels", "no key 'action'"),
        ("kind: limit, levels: {alert: {above: 5}, action: {deadband: 1}}", "kind", "limit without a limit"),
        ("kind: stale", "kind", "stale without after"),
        ("kind: stale, after: 0s", "after", "0s"),
        ("kind: stale, after: 9s, on_delay: 1s", "on_delay", "on_delay in a rule of kind stale"),
        ("kind: stale, after: 9s, max_gap: 1s", "max_gap", "max_gap in a rule of kind stale"),
        ("kind: stale, after: 9s, above: 1", "above", "above in a rule of kind stale"),
        ("kind: quality, deadband: 1", "deadband", "deadband in a rule of kind quality"),
        ("kind: rate", "kind", "'rate'"),
        ("kind: quality, while: [at_rest]", "while", "'while'"),
        ("kind: quality, select: {rom: cp1}", "select.rom", "'rom'"),
        ("kind: quality, select: {room: 3}", "select.room", "3"),
        ("kind: quality, text: {de: x}", "text", "mapping"),
        ("kind: quality, priority: urgent", "priority", "'urgent'"),
        ("kind: quality, level: warning", "level", "'warning'"),
        ("kind: stale, after: 3 periods, select: {room: cp1}", "after", "no period at cp1.f, cp1.dp"),
        ("kind: limit, above: 5, on_delay: 3", "on_delay", "3"),
    ],
)
def test_what_check_refuses(rule: str, key: str, found: str) -> None:
    problem = problem_of(f"  - {{id: r, {rule}}}\n")
    assert problem.key == f"rules[0].{key}"
    assert problem.line == 2
    assert found in problem.found
    assert problem.allowed


def test_the_kinds_that_there_are_are_named() -> None:
    assert problem_of("  - {id: r, kind: flatline}\n").allowed == "limit, stale, quality"


def test_all_mistakes_of_all_rules_at_once() -> None:
    _, problems, _ = read("  - {id: r, kind: limit, deadbnd: 3}\n  - {id: r, kind: stale, after: 1s}\n  - {kind: quality}\n  - 3\n")
    assert [(problem.line, problem.key) for problem in problems] == [
        (2, "rules[0].deadbnd"), (2, "rules[0].kind"), (3, "rules[1].id"), (4, "rules[2]"), (5, "rules[3]"),
    ]  # fmt: skip
    assert problems[0].hint == "Did you mean deadband?"


def test_ids_are_one_over_all_files_and_levels() -> None:
    texts = {
        "a.yaml": "rules: [{id: r, kind: limit, levels: {alert: {above: 1}, action: {above: 2}}}]\n",
        "b.yaml": "rules: [{id: r.alert, kind: quality}]\n",
    }
    (problem,) = read_rules(Files(texts=texts), ["a.yaml", "b.yaml"], TABLES).problems
    assert (problem.file, problem.found) == ("b.yaml", "'r.alert' again, first given in a.yaml:1")


def test_a_rule_that_matches_nothing_is_a_warning() -> None:
    _, problems, fit = read("  - {id: r, kind: quality, select: {room: cp2}}\n  - {id: q, kind: quality, select: {point: 'x*'}}\n")
    assert not problems
    assert [(warning.line, warning.hint) for warning in fit.warnings] == [(2, "Did you mean cp1?"), (3, "")]


def test_one_number_for_several_units_is_a_warning() -> None:
    _, problems, fit = read("  - {id: r, kind: limit, select: {quantity: temperature}, above: 22}\n")
    assert not problems
    assert "degF (cp1.f)" in fit.warnings[0].found


def test_what_a_table_does_not_specify_is_listed() -> None:
    _, problems, fit = read("  - {id: r, kind: limit, select: {quantity: particles_0_5um}, above: annex1}\n")
    assert not problems
    assert fit.unspecified == (Unspecified("r", "bsc1.p05", ("cleaning", "maintenance", "shutdown")),)


def test_limits_of_tables_are_checked_where_they_apply() -> None:
    rows = (LimitRow(room="cp1", quantity="temperature", below=18.0, above=22.0),)
    tables = {**TABLES, "limits": LimitTable("limits", rows)}
    rule = "  - {{id: r, kind: limit, select: {{point: cp1.temp}}, above: limits, below: limits, deadband: {}}}\n"
    assert rules_of(rule.format(2), tables)
    assert "nothing between 18 and 22 for cp1.temp" in problem_of(rule.format(2.5), tables).found
    levels = "  - {{id: r, kind: limit, select: {{point: cp1.temp}}, levels: {{alert: {{above: {}}}, action: {{above: limits}}}}}}\n"
    assert rules_of(levels.format(22), tables)
    assert "action limit 22 for cp1.temp" in problem_of(levels.format(22.5), tables).found


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_rules(tmp_path / "none.yaml", FACILITY)
