"""The challenge of rules that are judged on arrival: silence, and clocks that are ahead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facility.durations import parse_duration
from rules.rule import Selection
from service.challenge import ahead, silence
from service.challenge.conduct import Record, choose, conduct
from service.challenge.hastened import Hastened
from service.challenge.subject import FAIL, NOT_APPLICABLE, NOT_TESTED, PASS
from service.clock import SystemClock
from tests.support.challenged import ARRIVAL, configured, lines, otherwise
from tests.support.hands import Hands


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Of an instance of which two of four rules are wrong."""
    folder = tmp_path_factory.mktemp("arrival")
    configuration = configured(folder / "site", ARRIVAL)
    silent, impatient, clocks, elsewhere = configuration.rules
    wrong = [silent, replace(impatient, after=parse_duration("3s")), clocks, replace(elsewhere, select=Selection(point=("bsc1.p05",)))]
    clock = SystemClock()
    chosen = [replace(one, points=one.points[:1]) if one.rule is elsewhere else one for one in choose(configuration, None, clock.now_ns())]
    with pytest.MonkeyPatch.context() as faster:
        faster.setattr(ahead, "SPEED", 60.0)
        faster.setattr(silence, "REAL_S", 3.0)
        return conduct(configuration, folder / "own", clock, chosen, challenged=otherwise(configuration, wrong))


def cases(record: Record, rule: str, status: str) -> list[tuple[str, str]]:
    return sorted((outcome.point, outcome.case) for outcome in lines(record, rule, status))


def test_a_right_silence_passes(record: Record) -> None:
    assert lines(record, "silent", FAIL) + lines(record, "silent", NOT_TESTED) == []
    assert cases(record, "silent", PASS) == [(point, f"silence/{case}") for point in ("cp1.door", "cp1.dp") for case in ("raised", "short")]


def test_a_wrong_silence_is_found(record: Record) -> None:
    assert cases(record, "impatient", FAIL) == [("cp1.temp", "silence/raised"), ("cp1.temp", "silence/short")]


def test_right_clocks_pass(record: Record) -> None:
    assert cases(record, "ahead", PASS) == [("cp1.dp", f"ahead/{case}") for case in ("inside", "raised", "short")]
    assert [outcome.reason for outcome in lines(record, "ahead", NOT_APPLICABLE)] == ["the rule selects a single point"]


def test_wrong_clocks_are_found(record: Record) -> None:
    assert cases(record, "elsewhere", FAIL) == [("$clock", "ahead/all"), ("cp1.temp", "ahead/raised")]


def test_all_clocks_at_once(record: Record) -> None:
    """Of the points that the instance's rule selects none is ahead; what had to come is told."""
    (line,) = (outcome for outcome in lines(record, "elsewhere", FAIL) if outcome.point == "$clock")
    assert line.differences == ("1 excursion of $clock expected, 0 found",)


def test_the_hastened_clock_never_steps() -> None:
    hands = Hands()
    clock = Hastened(hands)
    wall, monotonic = clock.now_ns(), clock.monotonic_ns()
    hands.pass_s(10)
    clock.speed = 20.0
    assert (clock.now_ns() - wall, clock.monotonic_ns() - monotonic) == (10 * 10**9, 10 * 10**9)
    hands.pass_s(3)
    clock.speed = 1.0
    assert (clock.now_ns() - wall, clock.monotonic_ns() - monotonic) == (70 * 10**9, 70 * 10**9)
