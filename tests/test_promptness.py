"""The worst case from breach to page, and `notify_within`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from facility.durations import parse_duration
from facility.site import Point
from rules.promptness import total_ns, worst_case
from rules.rule import Bound, Rule
from service.cli import main
from service.cli.init import example_files

SECOND_NS = 10**9
POINT = Point("p", "temperature", "degC", "r", period_ns=10 * SECOND_NS)


@pytest.mark.parametrize(
    ("rule", "terms"),
    [
        (Rule("a", "limit", above=Bound(1.0)), {"sampling": 10, "evaluation": 5, "first page": 1}),
        (
            Rule("a", "limit", above=Bound(1.0), on_delay=parse_duration("25s")),
            {"sampling": 10, "on_delay": 30, "evaluation": 5, "first page": 1},
        ),
        (Rule("a", "limit", above=Bound("annex1")), {"sampling": 10, "settling": 2, "evaluation": 5, "first page": 1}),
        (
            Rule("a", "recovery", above=Bound(1.0), within=parse_duration("9m")),
            {"sampling": 10, "settling": 2, "evaluation": 5, "first page": 1},
        ),
        (Rule("a", "stale", after=parse_duration("3 periods")), {"after": 30, "evaluation": 5, "first page": 1}),
        (Rule("a", "quality"), {"sampling": 10, "evaluation": 5, "first page": 1}),
    ],
)
def test_each_term(rule: Rule, terms: dict[str, int]) -> None:
    found = worst_case(rule, POINT, 5 * SECOND_NS)
    assert {term.name: (term.ns or 0) // SECOND_NS for term in found} == terms
    assert total_ns(found) == sum(terms.values()) * SECOND_NS


def test_without_a_period_it_is_not_known() -> None:
    point = Point("p", "temperature", "degC", "r")
    found = worst_case(Rule("a", "limit", above=Bound(1.0)), point, SECOND_NS)
    assert total_ns(found) is None
    assert found[0].why == "the point declares no period"


def test_check_refuses_what_cannot_be_kept(tmp_path: Path) -> None:
    for name, content in example_files():
        (tmp_path / name).write_bytes(content)
    rules = tmp_path / "rules.yaml"
    text = rules.read_text()

    def check(within: str) -> tuple[int, str]:
        rules.write_text(text.replace("    on_delay: 8s", f"    notify_within: {within}\n    on_delay: 8s", 1))
        done = CliRunner().invoke(main, ["check", "--config", str(tmp_path / "renrum.yaml")])
        return done.exit_code, done.output

    unset = CliRunner().invoke(main, ["check", "--config", str(tmp_path / "renrum.yaml")]).output.splitlines()[-1]
    code, said = check("12s")
    assert code == 0
    assert said.splitlines()[-1] == unset  # what people are promised judges nothing
    code, said = check("11s")
    assert code == 2
    assert "rules[0].notify_within: found 11s, but at " in said
    assert (
        "it takes up to 12s (sampling 2s + on_delay 8s + evaluation 1s + first page 1s); allowed: at least 12s, or shorter delays." in said
    )
    assert check("0s")[0] == 2


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("kind: state, notify_within: 1s", "found 1s, but at cp1/occupancy it takes up to 4s (settling 2s + evaluation 1s + "),
        ("kind: state, notify_within: 1 period", "found 1 period; allowed: a duration in s, m, h or d: states have no period."),
        ("kind: stale, after: 1s, notify_within: 1.5 periods", "found 1.5 periods, but there is no period at p; allowed: a duration in s,"),
    ],
)
def test_check_refuses_it_for_states_and_points_without_a_period(tmp_path: Path, rule: str, said: str) -> None:
    for name, content in example_files():
        (tmp_path / name).write_bytes(content)
    facility, rules = tmp_path / "facility.yaml", tmp_path / "rules.yaml"
    facility.write_text(facility.read_text() + "  - {id: more, points: [{id: p, quantity: temperature, unit: degC}]}\n")
    rules.write_text(rules.read_text() + f"  - {{id: own, select: {{point: [p, cp1/occupancy]}}, {rule}}}\n")
    done = CliRunner().invoke(main, ["check", "--config", str(tmp_path / "renrum.yaml")])
    assert done.exit_code == 2, done.output
    assert f".notify_within: {said}" in done.output
