"""The challenge of rules that are judged on arrival: silence, and clocks that are ahead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facility.durations import parse_duration
from service.challenge import ahead, silence
from service.challenge.conduct import choose, conduct
from service.challenge.hastened import Hastened
from service.challenge.subject import FAIL, NOT_TESTED, PASS
from service.clock import SystemClock
from tests.support.challenged import ARRIVAL, challenged, configured, lines, otherwise
from tests.support.hands import Hands


@pytest.fixture(autouse=True)
def _faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "SPEED", 60.0)
    monkeypatch.setattr(silence, "REAL_S", 3.0)


def test_a_right_configuration_passes(tmp_path: Path) -> None:
    record = challenged(configured(tmp_path / "site", ARRIVAL), tmp_path / "own")
    assert [(outcome, outcome.differences) for outcome in record.outcomes if outcome.status in (FAIL, NOT_TESTED)] == []
    cases = sorted((outcome.rule, outcome.point, outcome.case) for outcome in record.outcomes if outcome.status == PASS)
    points = ("cp1.door", "cp1.dp")
    assert cases == [
        ("ahead", "$clock", "ahead/all"),
        *(("ahead", point, f"ahead/{case}") for point in points for case in ("inside", "raised", "short")),
        *(("silent", point, f"silence/{case}") for point in points for case in ("raised", "short")),
    ]


def test_whatever_is_wrong_is_found(tmp_path: Path) -> None:
    configuration = configured(tmp_path / "site", ARRIVAL)
    silent, clocks = configuration.rules
    none = replace(clocks, select=replace(clocks.select, point=("bsc1.p05",), room=()))
    wrong = otherwise(configuration, [replace(silent, after=parse_duration("3s")), none])
    clock = SystemClock()
    chosen = [replace(one, points=one.points[:1]) for one in choose(configuration, None, clock.now_ns())]
    record = conduct(configuration, tmp_path / "own", clock, chosen, challenged=wrong)
    assert {outcome.case for outcome in lines(record, "silent", FAIL)} == {"silence/short", "silence/raised"}
    assert {outcome.case for outcome in lines(record, "ahead", FAIL)} == {"ahead/raised", "ahead/all"}


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
