"""Threshold rules with a delay, judged by others too: promtool (Prometheus) and `vmalert -replay` fire while our excursions are open."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from alerts.judging.excursion_file import read_excursions
from facility.times import format_time
from service.cli import main
from tests.support.prometheus import needs_promtool, promtool
from tests.support.victoria import Victoria, needs_vmalert

PERIOD_S, COUNT = 30, 240
START_S = 1_760_400_000
SECOND_NS = 10**9
POINTS = [f"p{number}" for number in range(8)]
Firing = dict[str, dict[str, set[int]]]
"""Of each rule and point, the numbers of the samples at which it fires."""
Series = dict[str, list[float | None]]
"""Of each point a value a period, None for silence."""


@dataclass(frozen=True)
class Threshold:
    """A rule as we have it and as an expression; delays in s."""

    limits: dict[str, float | str]
    expression: str
    delay_s: int
    off_delay_s: int = 0

    def ours(self, name: str) -> dict[str, Any]:
        delays = {"on_delay": f"{self.delay_s}s", "off_delay": f"{self.off_delay_s}s"}
        return {"id": name, "kind": "limit", "level": "action", "select": {"point": "p*"}, **self.limits, **delays}

    def theirs(self, name: str) -> dict[str, Any]:
        kept = {"keep_firing_for": f"{self.off_delay_s}s"} if self.off_delay_s else {}
        return {"alert": name, "expr": self.expression, "for": f"{self.delay_s}s", **kept}


RULES = {
    "at-once": Threshold({"above": 20}, "v > 20", 0),
    "one-period": Threshold({"above": 20}, "v > 20", 30),
    "between-periods": Threshold({"above": 20}, "v > 20", 45),
    "long": Threshold({"above": 20}, "v > 20", 150),
    "low": Threshold({"below": 19.5}, "v < 19.5", 60),
    "equal-breaks": Threshold({"at_or_above": 21}, "v >= 21", 60),
    "either-side": Threshold({"above": 21, "below": 19}, "v > 21 or v < 19", 90),
}
KEPT = {
    "kept": Threshold({"above": 20}, "v > 20", 30, 60),
    "kept-between": Threshold({"above": 20}, "v > 20", 0, 75),
}
"""With an off-delay, which only Prometheus knows."""


def series_of(seed: int) -> Series:
    """Walks around the limits in steps of a half, so that many values are equal to one, and some that are steady for long."""
    rng = np.random.default_rng(seed)
    series: Series = {}
    for number, point in enumerate(POINTS):
        walk = np.zeros(COUNT)
        for at in range(1, COUNT):
            walk[at] = 0.9 * walk[at - 1] + rng.normal(0, 0.5)
        values = np.round(2 * (20 + walk)) / 2
        series[point] = np.repeat(values[:: number + 1], number + 1)[:COUNT].tolist()
    return series


def found_by_us(folder: Path, rules: dict[str, Threshold], series: Series) -> Firing:
    """Through the command, as a site would."""
    points = [{"id": point, "quantity": "temperature", "unit": "degC", "period": f"{PERIOD_S}s"} for point in series]
    facility = {"site": {"id": "site", "name": "Site"}, "rooms": [{"id": "r", "name": "Room", "points": points}]}
    (folder / "facility.yaml").write_text(json.dumps(facility))
    (folder / "our-rules.yaml").write_text(json.dumps({"rules": [rule.ours(name) for name, rule in rules.items()]}))
    rows = [(at, point, value) for point, values in series.items() for at, value in enumerate(values) if value is not None]
    lines = [f"{format_time((START_S + at * PERIOD_S) * SECOND_NS)},{point},{value}" for at, point, value in sorted(rows)]
    (folder / "rec.csv").write_text("time,point,value\n" + "\n".join(lines) + "\n")
    files = ["--facility", f"{folder}/facility.yaml", "--rules", f"{folder}/our-rules.yaml", "--out", f"{folder}/excursions.csv"]
    done = CliRunner().invoke(main, ["replay", f"{folder}/rec.csv", *files])
    assert done.exit_code == 0, done.output
    firing: Firing = {name: {point: set() for point in series} for name in rules}
    for excursion in read_excursions(folder / "excursions.csv"):
        first = sample(excursion.raised)
        firing[excursion.rule][excursion.point].update(range(first, COUNT if excursion.cleared is None else sample(excursion.cleared)))
    return firing


def sample(at_ns: int) -> int:
    return (at_ns // SECOND_NS - START_S) // PERIOD_S


def write_theirs(path: Path, rules: dict[str, Threshold]) -> Path:
    alerts = [rule.theirs(name) for name, rule in rules.items()]
    path.write_text(json.dumps({"groups": [{"name": "g", "interval": f"{PERIOD_S}s", "rules": alerts}]}))
    return path


def promtool_agrees(folder: Path, rules: dict[str, Threshold], series: Series, firing: Firing) -> None:
    """Have promtool look at every sample whether exactly that fires."""
    tests = [
        {
            "eval_time": f"{at * PERIOD_S}s",
            "alertname": name,
            "exp_alerts": [{"exp_labels": {"point": point}} for point, samples in points.items() if at in samples],
        }
        for name, points in firing.items()
        for at in range(COUNT)
    ]
    texts = {point: " ".join("_" if value is None else str(value) for value in values) for point, values in series.items()}
    given = [{"series": f'v{{point="{point}"}}', "values": text} for point, text in texts.items()]
    test = {"interval": f"{PERIOD_S}s", "input_series": given, "alert_rule_test": tests}
    rule_file = write_theirs(folder / "their-rules.yml", rules)
    content = {"rule_files": [str(rule_file)], "evaluation_interval": f"{PERIOD_S}s", "tests": [test]}
    (folder / "test.yml").write_text(json.dumps(content))
    promtool("test", "rules", str(folder / "test.yml"))


@needs_promtool
@pytest.mark.parametrize("seed", range(3))
def test_prometheus_fires_exactly_while_our_excursions_are_open(tmp_path: Path, seed: int) -> None:
    series, rules = series_of(seed), RULES | KEPT
    firing = found_by_us(tmp_path, rules, series)
    assert all(sum(map(len, points.values())) > 20 for points in firing.values()), "every rule has something to agree on"
    promtool_agrees(tmp_path, rules, series, firing)
    firing["long"]["p0"] ^= {100}
    with pytest.raises(AssertionError, match="long"):
        promtool_agrees(tmp_path, rules, series, firing)


@needs_promtool
def test_silence_is_where_prometheus_differs(tmp_path: Path) -> None:
    """It takes a value for the present one for five minutes, and then forgets; see docs/rules.md."""
    series = {"p0": [None if 5 <= at < 60 else 25.0 if at < 70 else 15.0 for at in range(COUNT)]}
    rules = {"long": RULES["long"]}
    assert found_by_us(tmp_path, rules, series) == {"long": {"p0": set(range(60, 70))}}
    promtool_agrees(tmp_path, rules, series, {"long": {"p0": {*range(5, 15), *range(65, 70)}}})
    anew = {"long": replace(RULES["long"], limits={"above": 20, "max_gap": "5m"})}
    assert found_by_us(tmp_path, anew, series) == {"long": {"p0": set(range(65, 70))}}


@needs_vmalert
def test_vmalert_fires_exactly_while_our_excursions_are_open(tmp_path: Path) -> None:
    series = series_of(7)
    firing = found_by_us(tmp_path, RULES, series)
    at = [START_S + number * PERIOD_S for number in range(COUNT)]
    with Victoria(tmp_path / "victoria") as victoria:
        victoria.take("v", ((point, at, [value for value in values if value is not None]) for point, values in series.items()))
        victoria.replay(write_theirs(tmp_path / "their-rules.yml", RULES), at[0], at[-1], PERIOD_S)
        theirs = victoria.firing()
    for name, points in firing.items():
        for point, samples in points.items():
            assert {(second - START_S) // PERIOD_S for second in theirs.get((name, point), [])} == samples, (name, point)
