"""rules/rules_file.py and rule_checks.py: rules.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from facility.durations import parse_duration
from facility.files import Files
from facility.limits import LimitRow, LimitTable, shipped
from facility.problems import ConfigurationError, Problem
from facility.sections import json_schema
from facility.site import OCCUPANCIES, SECOND_NS, Facility, Place, Point, Site
from rules.coverage import coverage_of
from rules.rule import Bound, Rule, Selection, Unless
from rules.rule_checks import Fit, Unspecified
from rules.rule_sections import RulesSection
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
        ("kind: rte", "kind", "'rte'"),
        ("kind: rate, window: 1m", "kind", "rate without change"),
        ("kind: rate, change: 1", "kind", "rate without window"),
        ("kind: rate, change: 0, window: 1m", "change", "0"),
        ("kind: rate, change: -1, window: 1m", "change", "-1"),
        ("kind: rate, change: 1, window: 0s", "window", "0s"),
        ("kind: rate, change: 1, window: 1m, deadband: 1", "deadband", "deadband in a rule of kind rate"),
        ("kind: rate, change: 1, window: 1m, above: 1", "above", "above in a rule of kind rate"),
        ("kind: rate, window: 1m, levels: {alert: {change: 3}, action: {change: 2}}", "levels.alert.change", "outside the action limit"),
        (
            "kind: rate, window: 1m, levels: {alert: {change: 3}, action: {priority: high}}",
            "kind",
            "rate without change in its level action",
        ),
        ("kind: flatline", "kind", "flatline without duration"),
        ("kind: flatline, duration: -1m", "duration", "-1m"),
        ("kind: flatline, duration: 1m, tolerance: -0.1", "tolerance", "-0.1"),
        ("kind: flatline, duration: 1m, window: 1m", "window", "window in a rule of kind flatline"),
        ("kind: flatline, duration: 0 periods, select: {point: cp1.temp}", "duration", "0s"),
        ("kind: count, k: 1, n: 2", "kind", "count without a limit"),
        ("kind: count, above: 5, n: 2", "kind", "count without k"),
        ("kind: count, above: 5, k: 1", "kind", "count without n"),
        ("kind: count, above: 5, k: 0, n: 2", "k", "0"),
        ("kind: count, above: 5, k: 3, n: 2", "k", "3"),
        ("kind: count, above: 5, k: 1, n: 0", "n", "0"),
        ("kind: count, above: 5, k: 1.5, n: 2", "k", "1.5"),
        ("kind: count, above: 5, k: true, n: 2", "k", "true"),
        ("kind: count, above: 5, k: 1, n: 2, min_readings: 3", "min_readings", "3"),
        ("kind: count, above: 5, k: 1, n: 2, min_readings: 0", "min_readings", "0"),
        ("kind: count, above: 5, k: 1, n: 2, deadband: 1", "deadband", "deadband in a rule of kind count"),
        ("kind: count, above: 4, below: 5, k: 1, n: 2", "above", "above 4, below 5"),
        ("kind: mean, above: 5", "kind", "mean without window"),
        ("kind: mean, window: 5m", "kind", "mean without a limit"),
        ("kind: mean, above: anex1, window: 5m", "above", "'anex1'"),
        ("kind: mean, above: 5, window: 5m, min_readings: 0", "min_readings", "0"),
        ("kind: mean, above: 5, window: 5m, k: 2", "k", "k in a rule of kind mean"),
        ("kind: recovery, within: 20m", "kind", "recovery without a limit"),
        ("kind: recovery, above: 5, within: 0s", "within", "0s"),
        ("kind: recovery, above: 5, within: -1m", "within", "-1m"),
        ("kind: recovery, above: 5, on_delay: 1m", "on_delay", "on_delay in a rule of kind recovery"),
        ("kind: recovery, above: 5, off_delay: 1m", "off_delay", "off_delay in a rule of kind recovery"),
        ("kind: recovery, above: 5, deadband: 1", "deadband", "deadband in a rule of kind recovery"),
        ("kind: recovery, above: 5, max_gap: 1m", "max_gap", "max_gap in a rule of kind recovery"),
        ("kind: recovery, above: 5, while: at_rest", "while", "while in a rule of kind recovery"),
        ("kind: recovery, above: nowhere", "above", "the unknown limit table 'nowhere'"),
        ("kind: limit, above: 5, within: 1m", "within", "within in a rule of kind limit"),
        ("kind: mean, above: 5, below: 4, deadband: 1, window: 5m", "deadband", "above 5, below 4, deadband 1"),
        ("kind: limit, above: 5, min_readings: 2", "min_readings", "min_readings in a rule of kind limit"),
        ("kind: stale, after: 9s, while: at_rest", "while", "while in a rule of kind stale"),
        ("kind: stale, after: 9s, unless: {point: cp1.dp, above: 1}", "unless", "unless in a rule of kind stale"),
        ("kind: quality, while: [at_rest, resting]", "while", "the list"),
        ("kind: quality, while: []", "while", "the list"),
        ("kind: quality, unless: {point: cp1.dq, above: 1}", "unless.point", "unknown point 'cp1.dq'"),
        ("kind: quality, unless: {point: '{room}.door', above: 1}", "unless.point", "'{room}.door', which is no point: cp1.door"),
        ("kind: quality, unless: {point: '{zone}.dp', above: 1}", "unless.point", "'{zone}.dp'"),
        ("kind: quality, unless: {above: 1}", "unless", "no key 'point'"),
        ("kind: quality, unless: {point: cp1.dp}", "unless", "unless without a limit"),
        ("kind: quality, unless: {point: cp1.dp, above: 1, below: 0}", "unless", "above and below"),
        ("kind: quality, unless: {point: cp1.dp, above: annex1}", "unless.above", "'annex1'"),
        ("kind: quality, unless: {point: cp1.dp, above: 1, at_most: 0s}", "unless.at_most", "0s"),
        (
            "kind: quality, unless: {point: cp1.dp, above: 1, at_most: 1 period}, select: {room: cp1}",
            "unless.at_most",
            "no period at cp1.f",
        ),
        ("kind: quality, select: {rom: cp1}", "select.rom", "'rom'"),
        ("kind: quality, select: {room: 3}", "select.room", "3"),
        ("kind: quality, text: {de: x}", "text", "mapping"),
        ("kind: quality, priority: urgent", "priority", "'urgent'"),
        ("kind: quality, level: warning", "level", "'warning'"),
        ("kind: stale, after: 3 periods, select: {room: cp1}", "after", "no period at cp1.f, cp1.dp"),
        ("kind: limit, above: 5, on_delay: 3", "on_delay", "3"),
        ("kind: limit, above: 5, on_delay: 36501d", "on_delay", "'36501d'"),
        ("kind: stale, after: 400000000 periods, select: {point: cp1.temp}", "after", "longer than 36500d at cp1.temp"),
        ("kind: count, above: 5, k: 1, n: 1000000001", "n", "1000000001"),
    ],
)
def test_what_check_refuses(rule: str, key: str, found: str) -> None:
    problem = problem_of(f"  - {{id: r, {rule}}}\n")
    assert problem.key == f"rules[0].{key}"
    assert problem.line == 2
    assert found in problem.found
    assert problem.allowed


def test_the_kinds_that_there_are_are_named() -> None:
    problem = problem_of("  - {id: r, kind: flat_line}\n")
    assert problem.allowed == "limit, rate, flatline, count, mean, recovery, stale, quality, clock_ahead, state"
    assert problem.hint == "Did you mean flatline?"


def test_rules_of_every_kind_with_while_and_unless() -> None:
    temp = "select: {point: cp1.temp}"
    rate, flatline, count, mean = rules_of(
        f"  - {{id: a, kind: rate, {temp}, change: 1.5, window: 10m, while: [at_rest, in_operation]}}\n"
        f"  - {{id: b, kind: flatline, {temp}, duration: 60 periods, tolerance: 0, while: at_rest}}\n"
        f"  - {{id: c, kind: count, {temp}, above: 22, k: 3, n: 5, min_readings: 4, unless: {{point: cp1.dp, at_or_below: 1}}}}\n"
        f"  - {{id: d, kind: mean, {temp}, below: 18, window: 1h, deadband: 1, min_readings: 9,\n"
        "     unless: {point: '{room}.dp', above: 0.5, at_most: 5m}}\n"
    )
    assert (rate.change, rate.window, rate.level, rate.during) == (1.5, parse_duration("10m"), "alert", ("in_operation", "at_rest"))
    assert (flatline.duration, flatline.tolerance, flatline.level) == (parse_duration("60 periods"), 0.0, "technical")
    assert flatline.during == ("at_rest",)
    assert (count.k, count.n, count.min_readings, count.above) == (3, 5, 4, Bound(22.0))
    assert count.unless == Unless("cp1.dp", below=Bound(1.0, inclusive=True))
    assert (mean.window, mean.deadband, mean.min_readings, mean.below) == (parse_duration("1h"), 1.0, 9, Bound(18.0))
    assert mean.unless == Unless("{room}.dp", above=Bound(0.5), at_most=parse_duration("5m"))


def test_levels_share_and_override_every_key() -> None:
    alert, action = rules_of(
        "  - id: r\n    kind: count\n    select: {point: cp1.temp}\n    n: 5\n    while: at_rest\n"
        "    levels:\n      alert: {above: 20, k: 2, while: [in_operation]}\n      action: {above: 21, k: 3, n: 6}\n"
    )
    assert (alert.k, alert.n, alert.during) == (2, 5, ("in_operation",))
    assert (action.k, action.n, action.during) == (3, 6, ("at_rest",))


def test_the_published_schema_knows_the_keys_as_they_are_written() -> None:
    schema = json_schema(RulesSection, "rules.yaml")
    rule = schema["$defs"]["RuleSection"]["properties"]
    assert {"while", "unless", "change", "window", "duration", "tolerance", "k", "n", "min_readings"} <= set(rule)
    assert "during" not in rule
    one, several = next(choice["anyOf"] for choice in rule["while"]["anyOf"] if "anyOf" in choice)
    assert one["enum"] == several["items"]["enum"] == list(OCCUPANCIES)


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


def test_a_side_that_a_table_leaves_blank_sets_no_limit_there() -> None:
    """Judged, checked and covered is the other side; a cell that is not there leaves nothing to judge, whatever the other side says."""
    rows = (LimitRow(point="cp1.temp", above=22.0), LimitRow(room="cp1", occupancy="at_rest", level="action", below=5.0))
    tables = {**TABLES, "limits": LimitTable("limits", rows)}
    rules, problems, fit = read("  - {id: r, kind: limit, select: {point: cp1.temp}, above: limits, below: limits}\n", tables)
    assert (problems, fit) == ([], Fit())
    other = read("  - {id: o, kind: limit, select: {point: cp1.dp}, above: limits, below: 5}\n", tables)
    assert other[2].unspecified == (Unspecified("o", "cp1.dp", OCCUPANCIES),)
    covered = {row.point: row.alert for row in coverage_of(FACILITY, rules + other[0], tables)}
    assert (covered["cp1.temp"], covered["cp1.dp"]) == (("r",), ())


def test_a_recovery_without_a_time_or_a_limit_at_rest_is_told() -> None:
    rule = "  - {{id: r, kind: recovery, select: {{quantity: particles_0_5um}}, above: annex1{}}}\n"
    _, problems, fit = read(rule.format(""))
    assert not problems
    (warning,) = fit.warnings
    assert (warning.found, warning.key) == ("recovery without a time at bsc1: not judged there", "rules[0].kind")
    assert read(rule.format(", within: 15m"))[2] == Fit()
    rows = (LimitRow(quantity="particles_0_5um", occupancy="in_operation", above=5.0),)
    _, _, fit = read(rule.format(", within: 15m").replace("annex1", "limits"), {"limits": LimitTable("limits", rows)})
    assert fit.unspecified == (Unspecified("r", "bsc1.p05", ("at_rest",)),)


def test_the_levels_of_a_recovery_are_compared_at_rest() -> None:
    levels = "levels: {{alert: {{above: {}}}, action: {{above: annex1}}}}"
    rule = f"  - {{{{id: r, kind: recovery, select: {{{{point: bsc1.p05}}}}, within: 15m, {levels}}}}}\n"
    assert [one.within for one in rules_of(rule.format(3520))] == [parse_duration("15m")] * 2
    assert "an alert at 3521, outside the action limit 3520 for bsc1.p05, at_rest" in problem_of(rule.format(3521)).found


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
