"""How excursions are held against the truth (simulators/score.py), and `renrum score` (service/cli/score.py)."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from alerts.judging.excursion_file import write_excursions
from rules.excursion import Excursion
from service.cli import main
from simulators.record import TruthWriter, read_truth
from simulators.score import WEEK_NS, Figures, Found, Run, by_kind, by_rule, overall, scored
from simulators.script import Truth

S = 10**9
MINUTE = 60 * S
START = 1_767_225_600 * S  # 2026-01-01


def fault(start: int, end: int | None, *rules: str, kind: str = "leak", points: tuple[str, ...] = ("p",), missed: str = "") -> Truth:
    """Minutes after START."""
    return Truth(START + start * MINUTE, None if end is None else START + end * MINUTE, kind, ("r",), points, rules, missed)


def found(onset: float, raised: float, rule: str = "low", point: str = "p") -> Found:
    return Found(rule, point, START + round(onset * MINUTE), START + round(raised * MINUTE))


def run(truths: list[Truth], excursions: list[Found], rules: tuple[str, ...] = ("low", "high"), after: int = 20) -> Run:
    return scored(truths, excursions, rules, 2.0, after * MINUTE)


def test_an_excursion_of_an_expected_rule_at_a_point_that_feels_it_finds_a_fault() -> None:
    one = run([fault(10, 20, "low")], [found(11, 12), found(13, 14)])
    sums = overall([one])
    assert (sums.faults, sums.found, sums.right, sums.false) == (1, 1, 2, 0)
    assert sums.delay_median_ns == 2 * MINUTE, "of the first"
    assert (sums.recall, sums.precision, sums.false_per_point_week) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("excursion", "why"),
    [
        (found(11, 12, rule="high"), "another rule"),
        (found(11, 12, point="q"), "another point"),
        (found(1, 9), "raised before it"),
        (found(40, 41), "begun long after it"),
    ],
)
def test_any_other_excursion_is_false(excursion: Found, why: str) -> None:
    sums = overall([run([fault(10, 20, "low")], [excursion])])
    assert (sums.found, sums.right, sums.false, sums.false_per_point_week) == (0, 0, 1, 0.5), why


def test_what_begins_before_a_fault_and_is_raised_in_it_finds_it() -> None:
    assert overall([run([fault(10, 20, "low")], [found(9.9, 10.2)])]).found == 1, "silence counts from the last reading"


def test_what_a_fault_leaves_behind_is_its_own_but_not_that_of_an_earlier_one() -> None:
    truths = [fault(0, 5, "low"), fault(10, 12, "low")]
    one = run(truths, [found(14, 15)])
    assert [len(each.found_by) for each in one.faults] == [0, 1]
    assert [len(each.found_by) for each in run(truths, [found(11, 15)]).faults] == [0, 1]


def test_one_excursion_finds_all_faults_that_go_on_when_it_begins() -> None:
    one = run([fault(0, 20, "low"), fault(5, None, "low", kind="drift")], [found(6, 7)])
    assert [each.delay_ns() for each in one.faults] == [7 * MINUTE, 2 * MINUTE]
    assert overall([one]).right == 1


def test_ordinary_life_is_no_fault_nor_what_rules_expect_that_are_not_there() -> None:
    one = run([fault(0, 1), fault(0, 1, "other"), fault(0, 1, "l*"), fault(0, 1, missed="cannot be seen")], [])
    assert [each.rules for each in one.faults] == [("low",), ()]


def test_scores_are_by_kind_and_by_rule() -> None:
    runs = [
        run([fault(0, 5, "low", "high"), fault(30, 31, "low", kind="drift")], [found(1, 2), found(1, 3, "high"), found(90, 91, "high")]),
        run([fault(0, 5, "low", kind="drift")], [found(0, 1)]),
    ]
    kinds, rules = by_kind(runs), by_rule(runs)
    assert [(name, one.found, one.faults) for name, one in kinds.items()] == [("drift", 1, 2), ("leak", 1, 1)]
    assert (rules["low"].found, rules["low"].faults, rules["low"].false) == (2, 3, 0)
    assert (rules["high"].delays_ns, rules["high"].right, rules["high"].false) == ((3 * MINUTE,), 1, 1)
    assert rules["high"].false_per_point_week == 0.25
    assert overall(runs).precision == 0.75


def test_the_95th_percentile_is_the_nearest_rank() -> None:
    assert Figures(20, tuple(range(1, 21)), 0).delay_p95_ns == 19
    assert Figures(1, (7,), 0).delay_p95_ns == 7
    assert Figures(0, (), 0, 0, 0.0) == Figures(0, (), 0, 0, 0.0)
    nothing = Figures(0, (), 0, 0, 0.0)
    assert (nothing.recall, nothing.precision, nothing.delay_median_ns, nothing.delay_p95_ns, nothing.false_per_point_week) == (None,) * 5


TRUTHS = st.lists(
    st.builds(fault, st.integers(0, 60), st.none() | st.integers(61, 99), st.sampled_from(["low", "h*"]), points=st.just(("p", "q")))
)
FOUND = st.lists(st.builds(found, st.integers(0, 50), st.integers(50, 150), st.sampled_from(["low", "high"]), st.sampled_from("pqr")))


@given(TRUTHS, FOUND)
def test_every_excursion_is_right_or_false_and_every_delay_is_one(truths: list[Truth], excursions: list[Found]) -> None:
    one = run(truths, excursions)
    assert sorted(map(repr, (*one.right, *one.false))) == sorted(map(repr, excursions))
    assert {x for each in one.faults for x in each.found_by} == set(one.right)
    assert all(delay >= 0 for delay in overall([one]).delays_ns)


def excursion(rule: str, point: str, onset: float, raised: float) -> Excursion:
    at, shown, ended, cleared = (START + round(minutes * MINUTE) for minutes in (onset, raised, raised + 5, raised + 6))
    return Excursion(rule, point, "action", at, shown, ended, cleared, peak=1.0, readings=9, id=f"{rule}{onset}", room="r", config="c")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    truth, excursions = tmp_path / "truth.csv", tmp_path / "excursions.csv"
    with truth.open("w", encoding="utf-8") as file:
        TruthWriter(file).write([fault(10, 20, "low", "high"), fault(40, 50, "low", kind="drift"), fault(0, None)])
    write_excursions(excursions, [excursion("low", "p", 11, 12), excursion("high", "q", 70, 71)])
    return truth, excursions


def score(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["score", *map(str, arguments)])


def test_the_truth_is_read_as_it_was_written(files: tuple[Path, Path]) -> None:
    assert read_truth(files[0]) == [fault(10, 20, "low", "high"), fault(40, 50, "low", kind="drift"), fault(0, None)]


def test_the_command_tells_people_and_programs(files: tuple[Path, Path], tmp_path: Path) -> None:
    told = score(*files, "--points", 2, "--duration", "7d", "--picture", tmp_path / "scores.svg")
    assert told.exit_code == 0
    assert "50.0 %" in told.stdout
    assert "missed  2026-01-01T00:40:00Z  drift  p" in told.stdout
    assert "false   2026-01-01T01:11:00Z  high  q" in told.stdout
    drawn = ElementTree.fromstring((tmp_path / "scores.svg").read_text("utf-8"))
    assert "1 of 2 faults found" in "".join(drawn.itertext())
    said = json.loads(score(*files, "--points", 2, "--duration", "7d", "--json").stdout)
    assert said["all"] == {
        "faults": 2, "found": 1, "recall": 0.5, "delay_median": 120.0, "delay_p95": 120.0, "right": 1, "false": 1, "precision": 0.5,
        "false_per_point_week": 0.5,
    }  # fmt: skip
    assert (said["kinds"]["drift"]["found"], said["rules"]["high"]["recall"], said["rules"]["high"]["false"]) == (0, 0.0, 1)
    assert [one["kind"] for one in said["missed"]] == ["drift"]


def test_without_more_points_and_duration_are_what_the_files_name(files: tuple[Path, Path]) -> None:
    said = json.loads(score(*files, "--json").stdout)
    assert (said["points"], said["seconds"]) == (2, 77 * 60)
    assert said["all"]["false_per_point_week"] == pytest.approx(WEEK_NS / (2 * 77 * MINUTE))


@pytest.mark.parametrize(
    ("demand", "code", "said"),
    [
        ("--floor=recall=0.5", 0, ""),
        ("--floor=recall=0.6", 1, "recall is 0.5, below the floor of 0.6"),
        ("--floor=recall:leak=1", 0, ""),
        ("--floor=precision:high=0.1", 1, "precision of high is 0, below"),
        ("--ceiling=delay_p95=1m", 1, "delay_p95 is 2 min, above the ceiling of 60 s"),
        ("--ceiling=delay_median:low=2m", 0, ""),
        ("--ceiling=delay_median:drift=2m", 1, "delay_median of drift: there is nothing to measure"),
        ("--ceiling=false_per_point_week=0.1", 1, "above the ceiling of 0.1"),
        ("--floor=recall:lek=1", 2, "Did you mean leak?"),
        ("--floor=recal=1", 2, "recall[:KIND]=VALUE"),
        ("--ceiling=delay_p95=soon", 2, "a duration such as 90s"),
        ("--picture=x.png", 2, "ends in .svg"),
    ],
)
def test_floors_and_ceilings(files: tuple[Path, Path], demand: str, code: int, said: str) -> None:
    done = score(*files, demand)
    assert done.exit_code == code
    assert said in " ".join(done.stderr.replace("│", "").split())


def test_files_that_are_not_what_they_should_be_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    truth, excursions = files
    for wrong in ((excursions, excursions), (truth, truth), (tmp_path / "none.csv", excursions)):
        done = score(*wrong)
        assert (done.exit_code, done.stdout) == (2, "")
        assert str(tmp_path) in done.stderr.replace("\n", "")
    truth.write_text(truth.read_text("utf-8") + "yesterday,,leak,r,p,low\n", "utf-8")
    assert "line 5" in score(*files).stderr
