"""Key figures of alarm management against counting by hand, and against a slow walk over every moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alerts.lifecycle.kpis import DAY_NS, HOUR_NS, MINUTE_NS, TEN_MINUTES_NS, Annunciations, flood_ns, kpis_of, kpis_on_record
from tests.support.archive_data import START, Installation

SECOND_NS = 10**9


def told(*moments: tuple[float, str], priority: str = "high") -> Annunciations:
    """What was told at so many seconds, of which point."""
    at = np.array([round(seconds * SECOND_NS) for seconds, _ in moments], np.int64)
    return Annunciations(at, [("dp-low", point) for _, point in moments], [priority] * len(moments))


def test_of_nothing_everything_is_nothing() -> None:
    found = kpis_of(told(), 0, DAY_NS)
    assert (found.annunciated, found.per_day, found.peak_10m, found.flood_ratio, found.frequent, found.stale) == (0, 0, 0, 0, (), 0)
    assert found.answered_median_ns is None


def test_a_day_counted_by_hand() -> None:
    calm = [(3600.0 * hour, f"p{hour}") for hour in range(12)]
    burst = [(13 * 3600 + 10.0 * number, "door") for number in range(31)]
    found = kpis_of(told(*calm, *burst), 0, DAY_NS, active_since=[0, DAY_NS - 5, -1], answered_ns=[60, 120, 180])
    assert (found.annunciated, found.per_day) == (43, 43)
    assert found.peak_10m == 31
    assert found.busy_10m_ratio == TEN_MINUTES_NS / DAY_NS
    assert found.busy_1h_ratio == HOUR_NS / DAY_NS
    # From the eleventh of the burst, at 100 s, until the fifth newest, at 260 s, is ten minutes ago.
    assert found.flood_ratio == (260 + 600 - 100) * SECOND_NS / DAY_NS
    assert found.frequent[0] == (("dp-low", "door"), 31)
    assert len(found.frequent) == 10
    assert found.frequent_ratio == 40 / 43
    assert found.chattering == ((("dp-low", "door"), 1),)
    assert found.stale == 1, "active for exactly 24 h is not yet stale"
    assert found.priorities == {"high": 1.0}
    assert (found.answered_median_ns, found.answered_p95_ns) == (120, 180)


def test_three_in_a_minute_chatter_and_two_do_not() -> None:
    assert kpis_of(told((0, "a"), (59, "a")), 0, DAY_NS).chattering == ()
    assert kpis_of(told((0, "a"), (30, "a"), (60, "a")), 0, DAY_NS).chattering == ()
    assert kpis_of(told((0, "a"), (30, "a"), (59.9, "a")), 0, DAY_NS).chattering == ((("dp-low", "a"), 1),)


@given(st.lists(st.integers(0, 120), max_size=80))
def test_floods_are_those_of_a_walk_minute_by_minute(minutes: list[int]) -> None:
    at = np.array(sorted(minutes), np.int64) * MINUTE_NS
    flood, slow = False, 0
    for minute in range(200):
        now = minute * MINUTE_NS
        within = int(((at > now - TEN_MINUTES_NS) & (at <= now)).sum())
        flood = within > 10 or (flood and within >= 5)
        slow += flood * MINUTE_NS
    assert flood_ns(at, 200 * MINUTE_NS) == slow


def test_figures_from_the_record(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site")
    for second in range(0, 60, 2):
        place.at = max(place.at, START + second * SECOND_NS)
        place.read("cp1.dp1.dp", 5.25 if 20 <= second < 40 else 15.0, second)
        place.step()
    found = kpis_on_record(place.store, START, START + HOUR_NS)
    alarms = place.store.rows("select rule, point from alarms")
    assert found.annunciated == len(alarms) > 10, "the two levels of the pressure rose in one step, and were told once"
    assert {source for source, _ in found.frequent} < {(rule, point) for rule, point in alarms}
    assert set(found.priorities) == {row[0] for row in place.store.rows("select distinct priority from alarms")}
    assert kpis_on_record(place.store, START - HOUR_NS, START).annunciated == 0
    place.close()
