"""More stories worked out by hand from docs/rules.md: the kinds that look back, `while`, `unless`, points that report on change.

As in test_reference.py: times are in seconds, one reading a second from second 0, with 10 as the upper limit and 4 as the lower.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facility.durations import parse_duration
from facility.site import Facility
from rules.rule import Bound, Rule, Selection, Unless
from tests.support.admitted import Row
from tests.support.reference import evaluate
from tests.support.strategies import EVERY_KIND, Story, arriving, stories
from tests.support.tables import PlainCell, PlainTable
from tests.support.told import AT_4, AT_10, NAN, above, bench, beside, found, judged, ns, one_room, rows, short, stale


def rate(change: float, window: str, gap: str | None = None) -> Rule:
    max_gap = None if gap is None else parse_duration(gap)
    return Rule("r", "rate", change=change, window=parse_duration(window), max_gap=max_gap)


def flatline(duration: str, tolerance: float = 0.0, gap: str | None = None) -> Rule:
    max_gap = None if gap is None else parse_duration(gap)
    return Rule("r", "flatline", level="technical", duration=parse_duration(duration), tolerance=tolerance, max_gap=max_gap)


def count(k: int, n: int, least: int = 1, gap: str | None = None, upper: Bound | None = AT_10, lower: Bound | None = None) -> Rule:
    max_gap = None if gap is None else parse_duration(gap)
    return Rule("r", "count", above=upper, below=lower, k=k, n=n, min_readings=least, max_gap=max_gap)


def mean(window: str, least: int = 1, deadband: float = 0.0, gap: str | None = None, upper: Bound | None = AT_10) -> Rule:
    max_gap = None if gap is None else parse_duration(gap)
    return Rule("r", "mean", above=upper, window=parse_duration(window), min_readings=least, deadband=deadband, max_gap=max_gap)


# rate


def test_rate_compares_with_the_oldest_reading_in_the_window() -> None:
    # Window 2 s, change 3. At 2: |4 - 0| = 4 > 3 (v0 at 0, exactly 2 s before, is inside). At 3: |4 - 2| = 2. Back, so ended at 3.
    assert found(rate(3, "2s"), rows(0, 2, 4, 4)) == [(2, 2, 3, 3, None, 1)]


def test_rate_equality_is_inside() -> None:
    assert found(rate(4, "2s"), rows(0, 2, 4, 6)) == []


def test_rate_of_a_fall_counts_like_a_rise() -> None:
    assert found(rate(3, "1s"), rows(9, 5, 5)) == [(1, 1, 2, 2, None, 1)]


def test_rate_looks_at_the_oldest_not_at_the_extreme() -> None:
    # Window 2 s: at 2 the oldest is 5 (second 0), and |5 - 5| = 0, though 9 lies between. At 1: |9 - 5| = 4 > 3.
    assert found(rate(3, "2s"), rows(5, 9, 5)) == [(1, 1, 2, 2, None, 1)]


def test_rate_without_an_earlier_reading_in_the_window_is_neither() -> None:
    # Open from 1. The reading at 5 stands alone in its window of 2 s: not returned. At 6 it is: |9 - 9| = 0, and 5 is in the window.
    assert found(rate(3, "2s"), rows(0, 9, None, None, None, 9, 9)) == [(1, 1, 6, 6, None, 2)]


def test_rate_window_reaches_to_the_nanosecond() -> None:
    on_time = [Row("t", 0, 0.0), Row("t", ns(2), 9.0)]
    assert found(rate(3, "2s"), on_time) == [(2, 2, None, None, None, 1)]
    assert found(rate(3, "2s"), [on_time[0], Row("t", ns(2) + 1, 9.0)]) == []


def test_rate_does_not_look_over_a_gap() -> None:
    # 0 and 3 are 3 s apart, more than max_gap: the window starts anew at 3. At 4: |9 - 9|.
    assert found(rate(3, "10s", gap="2s"), rows(0, None, None, 9, 9)) == []
    assert found(rate(3, "10s", gap="3s"), rows(0, None, None, 9, 9)) == [(3, 3, None, None, None, 2)]


def test_rate_of_huge_values_and_without_bad_ones() -> None:
    # 1e300 - (-1e300) = 2e300, still a float. NaN and what is beyond 1e300 is not there.
    assert found(rate(1.9e300, "9s"), rows(-1e300, NAN, math.inf, 1e300)) == [(3, 3, None, None, None, 1)]
    assert found(rate(2e300, "9s"), rows(-1e300, 1e300)) == []


def test_rate_is_the_difference_in_float64() -> None:
    # 0.3 - 0.2 is 0.09999999999999998 in float64; 0.8 - 0.7 is 0.10000000000000009.
    assert found(rate(0.1, "1s"), rows(0.2, 0.3)) == []
    assert found(rate(0.1, "1s"), rows(0.7, 0.8)) == [(1, 1, None, None, None, 1)]


# flatline


def test_flatline_breaches_when_the_run_is_as_long_as_the_duration() -> None:
    # 7 from 1 to 4: at 4 the run is 3 s long, exactly. At 5 the value moved and S is the reading at 5 alone.
    assert found(flatline("3s"), rows(6, 7, 7, 7, 7, 6)) == [(4, 4, 5, 5, None, 1)]
    assert found(flatline("3001ms"), rows(6, 7, 7, 7, 7, 6)) == []


def test_flatline_of_the_first_readings_breaches_too() -> None:
    assert found(flatline("2s"), rows(7, 7, 7, 7)) == [(2, 2, None, None, None, 2)]


def test_flatline_is_not_returned_while_its_run_reaches_back_to_the_first_reading() -> None:
    # max_gap 1 s. Open from 2. Silence to 5; 7 at 5, 6: S reaches back to 5, the first after the gap: neither. 8 at 7: returned.
    assert found(flatline("2s", gap="1s"), rows(7, 7, 7, None, None, 7, 7, 8)) == [(2, 2, 7, 7, None, 3)]


def test_flatline_bridges_silence_without_max_gap() -> None:
    # One value at 0 and 5, nothing between: 5 s long.
    assert found(flatline("5s"), rows(7, None, None, None, None, 7)) == [(5, 5, None, None, None, 1)]


def test_flatline_tolerance_is_of_max_minus_min_and_its_equality_is_inside() -> None:
    # 7, 7.5, 7.25: spread 0.5. At 3 the value 7.75 makes 0.75 with 7, but 0.5 with 7.5, 7.25, 7.75: S is 1..3, 2 s long.
    assert found(flatline("2s", 0.5), rows(7, 7.5, 7.25, 7.75)) == [(2, 2, None, None, None, 2)]
    assert found(flatline("3s", 0.5), rows(7, 7.5, 7.25, 7.75)) == []


def test_flatline_of_a_slow_drift_is_none() -> None:
    # Each step is inside the tolerance, but three of them are not: S is never longer than 2 s.
    assert found(flatline("3s", 1.0), rows(*(0.5 * number for number in range(20)))) == []


def test_flatline_passes_bad_readings_and_takes_both_zeros_for_one() -> None:
    assert found(flatline("3s"), rows(0.0, "bad", NAN, -0.0)) == [(3, 3, None, None, None, 1)]


def test_flatline_spread_of_huge_values() -> None:
    # 1e300 + 1 is 1e300: the same value. -1e300 is 2e300 away.
    assert found(flatline("1s"), rows(1e300, 1e300 + 1, -1e300)) == [(1, 1, 2, 2, None, 1)]


# count


def test_count_breaches_at_k_of_the_last_n() -> None:
    # 2 of 3: at 0 one; at 2 (11, 9, 11) two; at 3 (9, 11, 9) one, so returned.
    assert found(count(2, 3), rows(11, 9, 11, 9)) == [(2, 2, 3, 3, 11, 1)]


def test_count_need_not_wait_for_n() -> None:
    # Two of the two that there are.
    assert found(count(2, 5), rows(11, 12)) == [(1, 1, None, None, 12, 1)]


def test_count_waits_for_min_readings() -> None:
    # 2 of 5, at least 4: at 1, 2 two are beyond but there are only 2, 3 readings. At 3 there are four.
    assert found(count(2, 5, least=4), rows(11, 12, 9, 9)) == [(3, 3, None, None, 9, 1)]


def test_count_is_breaching_at_a_reading_that_is_not_beyond_itself() -> None:
    # 2 of 3: at 2 (11, 12, 9) still two. At 3 (12, 9, 9) one.
    assert found(count(2, 3), rows(11, 12, 9, 9)) == [(1, 1, 3, 3, 12, 2)]


def test_count_returns_only_when_there_are_n() -> None:
    # max_gap 1 s. Open from 1. After the gap: 9 at 5, 6 are fewer than 3: neither. At 7: returned.
    assert found(count(2, 3, gap="1s"), rows(11, 11, None, None, None, 9, 9, 9)) == [(1, 1, 7, 7, 11, 3)]


def test_count_equality_is_inside_unless_at_or_above() -> None:
    assert found(count(1, 1), rows(10)) == []
    assert found(count(1, 1, upper=Bound(10.0, inclusive=True)), rows(10, 9)) == [(0, 0, 1, 1, 10, 1)]


def test_count_of_both_sides_adds_up() -> None:
    # 12 is beyond the upper limit, 3 beyond the lower: two of two. From the onset at 1 only 3 lies inside; it is 1 beyond 4.
    [excursion] = judged(count(2, 2, lower=AT_4), rows(12, 3)).excursions
    assert short(excursion) == (1, 1, None, None, 3, 1)
    assert excursion.limit == 4


def test_count_measures_each_reading_by_the_limit_of_its_own_time() -> None:
    # Limit 10 in operation, 8 at rest (from 2): 9 at 0, 1 is inside, 9 at 2, 3 beyond. Two of four at 3.
    table = PlainTable({("in_operation", "alert"): PlainCell(above=10.0), ("at_rest", "alert"): PlainCell(above=8.0)})
    recording = [*rows("at_rest", start=2, point="lab/occupancy"), *rows(9, 9, 9, 9)]
    [excursion] = judged(count(2, 4, upper=Bound("limits")), recording, table=table).excursions
    assert short(excursion) == (3, 3, None, None, 9, 1)
    assert excursion.limit == 8


def test_one_of_one_is_a_limit() -> None:
    recording = rows(9, 11, 10, 12, NAN, 8, 10.5, 3)
    assert found(count(1, 1), recording) == found(above(), recording)


# mean


def test_mean_excludes_the_beginning_of_its_window_and_includes_its_end() -> None:
    # Window 2 s. At 2: (9 + 13) / 2 = 11, without the 0 at second 0, which is the warm-up. At 3: (13 + 5) / 2 = 9.
    assert found(mean("2s"), rows(0, 9, 13, 5)) == [(2, 2, 3, 3, 11, 1)]


def test_mean_is_none_before_a_whole_window() -> None:
    # Window 3 s: 20s from the start, but the first reading at or before t - 3 is there at 3.
    assert found(mean("3s"), rows(20, 20, 20, 20)) == [(3, 3, None, None, 20, 1)]
    assert found(mean("3s"), rows(20, 20, 20)) == []


def test_mean_equality_is_inside() -> None:
    assert found(mean("2s"), rows(0, 9, 11)) == []


def test_mean_returns_below_the_deadband_on_the_mean() -> None:
    # Deadband 1. Means from 2: 11; then (13 + 6) / 2 = 9.5 is neither; (6 + 12) / 2 = 9 is returned.
    assert found(mean("2s", deadband=1.0), rows(0, 9, 13, 6, 12)) == [(2, 2, 4, 4, 11, 2)]


def test_mean_with_too_few_readings_is_neither() -> None:
    # Window 3 s, at least 2. Open from 3 (mean 20). At 8 the reading is alone in its window: neither. At 9: (0 + 0) / 2 is returned.
    gapped = rows(20, 20, 20, 20, None, None, None, None, 0, 0)
    assert found(mean("3s", least=2), gapped) == [(3, 3, 9, 9, 20, 2)]


def test_mean_warms_up_again_after_a_gap() -> None:
    # max_gap 1 s. After the gap at 5 the window of 2 s is whole at 7.
    assert found(mean("2s", gap="1s"), rows(0, 0, 0, None, None, 20, 20, 20)) == [(7, 7, None, None, 20, 1)]
    # Without: the reading at 2 is before 5 - 2, and 20 at 5 is alone in its window.
    assert found(mean("2s"), rows(0, 0, 0, None, None, 20, 20, 20)) == [(5, 5, None, None, 20, 3)]


def test_mean_peak_leaves_out_readings_that_have_no_mean() -> None:
    # Open from 2 with mean 11. After the gap there is no mean at 5, 6; at 7 it is 12: the peak, not the value 14.
    assert found(mean("2s", gap="1s"), rows(0, 9, 13, None, None, 14, 12, 12)) == [(2, 2, None, None, 12, 4)]


def test_mean_is_summed_without_rounding_in_between() -> None:
    # 1e16 + 1 + 1 - 1e16 added one by one loses the ones; the sum is 2, its mean 0.5, above 0.4.
    assert found(mean("4s", upper=Bound(0.4)), rows(0, 1e16, 1, 1, -1e16)) == [(4, 4, None, None, 0.5, 1)]


def test_mean_takes_the_limit_at_its_newest_reading() -> None:
    table = PlainTable({("in_operation", "alert"): PlainCell(above=10.0), ("at_rest", "alert"): PlainCell(above=8.0)})
    recording = [*rows("at_rest", start=3, point="lab/occupancy"), *rows(9, 9, 9, 9, 9)]
    [excursion] = judged(mean("2s", upper=Bound("limits")), recording, table=table).excursions
    assert (short(excursion), excursion.limit) == ((3, 3, None, None, 9, 2), 8)


def test_mean_of_huge_values() -> None:
    assert found(mean("2s"), rows(1e300, 1e300, 1e300)) == [(2, 2, None, None, 1e300, 1)]
    assert found(mean("2s"), rows(1e300, 1e300, -1e300)) == []


# while


def while_(rule: Rule, *states: str) -> Rule:
    return replace(rule, during=states)


def test_a_reading_in_another_state_is_not_evaluated() -> None:
    # Cleaning from 1 to 3: 99 is not judged and in no peak.
    recording = [*rows("cleaning", None, "in_operation", start=1, point="lab/occupancy"), *rows(9, 99, 99, 11, 9)]
    assert found(while_(above(), "in_operation"), recording) == [(3, 3, 4, 4, 11, 1)]


def test_a_state_ends_both_runs_but_not_the_excursion() -> None:
    # On-delay 2 s: 11 at 0, 1; excluded at 2; 11 again from 3: raised at 5.
    recording = [*rows("cleaning", "in_operation", start=2, point="lab/occupancy"), *rows(11, 11, 11, 11, 11, 11)]
    assert found(while_(above(on="2s"), "in_operation"), recording) == [(3, 5, None, None, 11, 3)]
    # Off-delay 2 s: returned at 1, excluded at 2, returned from 3, cleared at 5. Readings before 3: 0 and 1.
    recording = [*rows("cleaning", "in_operation", start=2, point="lab/occupancy"), *rows(11, 9, 9, 9, 9, 9)]
    assert found(while_(above(off="2s"), "in_operation"), recording) == [(0, 0, 3, 5, 11, 2)]


@pytest.mark.parametrize(
    ("rule", "values", "whole"),
    [
        (rate(3, "9s"), (0, 0, 0, 9, 9), (3, 3, None, None, None, 2)),
        (flatline("2s"), (1, 7, 7, 7, 7), (3, 3, None, None, None, 2)),
        (count(2, 9), (9, 11, 9, 11, 9), (3, 3, None, None, 11, 2)),
        (mean("3s", upper=Bound(8.0)), (0, 9, 9, 9, 9), (3, 3, None, None, 9, 2)),
    ],
)
def test_a_state_ends_windows(rule: Rule, values: tuple[float, ...], whole: object) -> None:
    # Cleaning at 2, so that what breaches at 3 with all readings has only that at 3 and 4 without.
    recording = [*rows("cleaning", "in_operation", start=2, point="lab/occupancy"), *rows(*values)]
    assert found(while_(rule, "in_operation", "cleaning"), recording) == [whole]
    assert found(while_(rule, "in_operation"), recording) == []


def test_a_bad_reading_in_another_state_ends_nothing() -> None:
    recording = [*rows("cleaning", "in_operation", start=1, point="lab/occupancy"), *rows(11, "bad", 11)]
    assert found(while_(above(on="2s"), "in_operation"), recording) == [(0, 2, None, None, 11, 2)]
    # `quality` evaluates bad readings, so for it the one at 1 excludes: nothing is left to raise.
    assert found(while_(Rule("r", "quality", level="technical"), "in_operation"), recording) == []


def test_while_goes_by_the_state_itself_not_by_clean_up() -> None:
    # At rest from 1; limits of in_operation hold on until 6, but the room is at rest.
    recording = [*rows("at_rest", start=1, point="lab/occupancy"), *rows(9, 11, 9)]
    assert found(while_(replace(above(), select=Selection(point=("t",))), "in_operation"), recording, bench(clean_up=5)) == []


def test_a_late_state_message_decides_by_its_time() -> None:
    recording = [Row("t", 0, 11.0, received=0), Row("t", ns(1), 9.0, received=ns(1)), Row("lab/occupancy", 0, "cleaning", received=ns(9))]
    assert found(while_(above(), "in_operation"), recording) == []


# unless

DOOR = Unless("{room}.door", above=Bound(0.5))


def with_door(period: float | None = None, on_change: bool = True, **changes: object) -> Facility:
    facility = one_room(**changes)
    period_ns = None if period is None else ns(period)
    return replace(
        facility, points=(*facility.points, replace(facility.points[0], id="lab.door", period_ns=period_ns, on_change=on_change))
    )


def unless(rule: Rule, condition: Unless = DOOR) -> Rule:
    return replace(rule, unless=condition, select=Selection(point=("t",)))


def door(*values: float | str | None, start: float = 0) -> list[Row]:
    return rows(*values, start=start, point="lab.door")


def test_a_reading_is_passed_over_while_the_other_point_is_beyond() -> None:
    # Open at 1, shut at 3: 11 at 1 and 2 are not there; 11 at 3 is, as the door is shut at the very moment.
    recording = [*door(0, 1, None, 0), *rows(9, 11, 11, 11, 9)]
    assert found(unless(above()), recording, with_door(period=1)) == [(3, 3, 4, 4, 11, 1)]


def test_a_passed_over_reading_ends_no_run() -> None:
    # On-delay 3 s: 11 at 0 and 3; what lies between is passed over, also the 9s.
    recording = [*door(0, 1, None, 0), *rows(11, 9, 9, 11)]
    assert found(unless(above(on="3s")), recording, with_door(period=1)) == [(0, 3, None, None, 11, 2)]


def test_a_passed_over_reading_ends_no_run_in_another_state_either() -> None:
    recording = [*rows("cleaning", None, "in_operation", start=1, point="lab/occupancy"), *door(0, 1, None, 0), *rows(11, 9, 9, 11)]
    assert found(unless(while_(above(on="3s"), "in_operation")), recording, with_door(period=1)) == [(0, 3, None, None, 11, 2)]


def test_unless_holds_for_at_most_so_long() -> None:
    # The door opens at 1 and stays open. At 3 that is 2 s ago, exactly at_most: passed over. At 4 it counts.
    recording = [*door(0, 1, 1, 1, 1, 1), *rows(9, 11, 12, 13, 14, 15)]
    condition = replace(DOOR, at_most=parse_duration("2s"))
    assert found(unless(above(), condition), recording, with_door()) == [(4, 4, None, None, 15, 2)]


def test_at_most_in_periods_is_of_the_judged_point() -> None:
    recording = [*door(0, 1), *rows(9, 11, 12, 13, 14, 15)]
    condition = replace(DOOR, at_most=parse_duration("1 period"))
    assert found(unless(above(), condition), recording, with_door(period=60, period_ns=ns(2))) == [(4, 4, None, None, 15, 2)]


def test_a_door_that_shuts_begins_its_run_anew() -> None:
    recording = [*door(1, 1, 0, 1), *rows(11, 11, 9, 12, 13, 14)]
    condition = replace(DOOR, at_most=parse_duration("1s"))
    # Open from 0: passed over at 0, 1. Shut at 2: 9 counts. Open from 3: passed over at 3, 4. At 5 it counts.
    assert found(unless(above(), condition), recording, with_door()) == [(5, 5, None, None, 14, 1)]


def test_unless_sees_good_readings_only() -> None:
    # Open at 0; an uncertain "shut" and a bad one are not there, so the run goes on and began at 0.
    recording = [
        Row("lab.door", 0, 1.0),
        Row("lab.door", ns(1), 0.0, "uncertain"),
        Row("lab.door", ns(2), 0.0, "bad"),
        *rows(11, 11, 11, 11),
    ]
    assert found(unless(above()), recording, with_door()) == []
    condition = replace(DOOR, at_most=parse_duration("2s"))
    assert found(unless(above(), condition), recording, with_door()) == [(3, 3, None, None, 11, 1)]


def test_a_stale_condition_does_not_hold() -> None:
    # Open at 0, not heard since; its period is 1 s. At 3 its reading is 3 s old, at 4 older than 3 periods.
    recording = [*door(1), *rows(11, 11, 11, 11, 12)]
    assert found(unless(above()), recording, with_door(period=1, on_change=False)) == [(4, 4, None, None, 12, 1)]
    # Without a period it is never stale; a point that reports on change is not, as its source lives.
    assert found(unless(above()), recording, with_door(on_change=False)) == []
    assert found(unless(above()), recording, with_door(period=1)) == []


def test_before_its_first_good_reading_the_rule_applies() -> None:
    recording = [Row("lab.door", 0, 1.0, "uncertain"), *door(1, start=1), *rows(11, 11)]
    assert found(unless(above()), recording, with_door()) == [(0, 0, None, None, 11, 1)]


def test_where_the_point_does_not_exist_the_rule_applies() -> None:
    assert found(unless(above(), Unless("{room}.hatch", above=Bound(0.5))), rows(11), with_door()) == [(0, 0, None, None, 11, 1)]


def test_room_stands_for_the_room_of_a_point_in_a_zone() -> None:
    facility = bench()
    facility = replace(facility, points=(*facility.points, replace(facility.points[0], id="lab.door")))
    rule = replace(unless(above()), select=Selection(point=("h",)))
    assert found(rule, [*door(1), *rows(11, 12, point="h")], facility) == []


def test_unless_below_and_at_or_above() -> None:
    recording = [*door(3), *rows(11)]
    assert found(unless(above(), Unless("lab.door", below=Bound(3.0))), recording, with_door()) == [(0, 0, None, None, 11, 1)]
    assert found(unless(above(), Unless("lab.door", below=Bound(3.0, inclusive=True))), recording, with_door()) == []
    assert found(unless(above(), Unless("lab.door", above=Bound(3.0, inclusive=True))), recording, with_door()) == []


def test_windows_do_not_see_passed_over_readings() -> None:
    # 2 of 2 with the door open at 1: the last two are those at 0 and 2.
    assert found(unless(count(2, 2)), [*door(0, 1, 0), *rows(11, 9, 11)], with_door()) == [(2, 2, None, None, 11, 1)]
    # No cut either: the mean over 2 s at 2 is that of the reading at 2, with the one at 0 for the warm-up.
    assert found(unless(mean("2s")), [*door(0, 1, 0), *rows(9, 0, 11)], with_door()) == [(2, 2, None, None, 11, 1)]


# points that report on change


def on_change(period: float = 1) -> Facility:
    return beside(one_room(period_ns=ns(period), on_change=True))


def moved_to(second: float) -> list[Row]:
    """A row of another point, which moves the clock."""
    return [Row("u", ns(second), 7.0)]


def t_only(rule: Rule) -> Rule:
    return replace(rule, select=Selection(point=("t",)))


def test_a_point_that_reports_on_change_is_evaluated_on_copies() -> None:
    # 11 at 0 with an on-delay of 2 s, period 1 s: the copy at 2 raises it; the clock ends at 3, copies at 1, 2, 3.
    assert found(t_only(above(on="2s")), [*rows(11), *moved_to(3)], on_change()) == [(0, 2, None, None, 11, 4)]
    # At 2.999999999 the third copy is not there yet.
    early = [*rows(11), Row("u", ns(3) - 1, 7.0)]
    assert found(t_only(above(on="2s")), early, on_change()) == [(0, 2, None, None, 11, 3)]


def test_copies_end_before_the_next_reading() -> None:
    # Copies of 11 at 1, 2, not at 2.5 or 3; of 9 at 3.5 and 4.5. Returned at 2.5, off-delay 2 s met by the copy at 4.5.
    recording = [Row("t", 0, 11.0), Row("t", ns(2.5), 9.0), *moved_to(5)]
    assert found(t_only(above(off="2s")), recording, on_change()) == [(0, 0, 2.5, 4.5, 11, 3)]
    # A reading at the very time of a copy takes its place.
    recording = [Row("t", 0, 11.0), Row("t", ns(2), 9.0), *moved_to(2)]
    assert found(t_only(above()), recording, on_change()) == [(0, 0, 2, 2, 11, 2)]


def test_a_bad_reading_ends_the_copies_of_a_good_one() -> None:
    # 11 at 0, bad from 1: no copy of 11 at 2 or later, so the on-delay of 2 s is not met.
    assert found(t_only(above(on="2s")), [*rows(11, "bad"), *moved_to(9)], on_change()) == []
    # Its own copies are bad, which `quality` sees: bad at 1, 2, 3.
    rule = t_only(Rule("r", "quality", level="technical", on_delay=parse_duration("2s")))
    assert found(rule, [*rows(11, "bad"), *moved_to(3)], on_change()) == [(1, 3, None, None, None, 3)]


def test_flatline_sees_no_copies() -> None:
    assert found(t_only(flatline("2s")), [*rows(7), *moved_to(9)], on_change()) == []


def test_windows_see_copies() -> None:
    # Mean over 2 s: 20 at 0, copies at 1, 2: whole at 2.
    assert found(t_only(mean("2s")), [*rows(20), *moved_to(2)], on_change()) == [(2, 2, None, None, 20, 1)]


def test_a_copy_has_the_state_of_its_own_time() -> None:
    recording = [*rows("cleaning", start=2, point="lab/occupancy"), *rows(11), *moved_to(4)]
    assert found(t_only(while_(above(), "cleaning")), recording, on_change()) == [(2, 2, None, None, 11, 3)]


def test_a_point_that_reports_on_change_is_stale_only_before_its_first_reading() -> None:
    recording = [*moved_to(0), *rows(7, start=9), *moved_to(99)]
    assert found(t_only(stale("5s")), recording, on_change()) == [(0, 5, 9, 9, None, 0)]


# laws


@given(stories(kinds=EVERY_KIND, conditions=True, on_change=True, late=True))
def test_every_kind_tells_of_every_story(story: Story) -> None:
    for excursion in evaluate(story.facility, story.rules, story.tables, story.rows).excursions:
        kind = next(rule.kind for rule in story.rules if rule.id == excursion.rule)
        assert (excursion.peak is None) == (kind not in ("limit", "count", "mean", "recovery"))
        assert excursion.readings >= 1 or kind == "stale"


@given(
    stories(kinds=("rate", "flatline", "count", "mean", "recovery", "limit"), conflicts=False, untimely=False, conditions=True), st.data()
)
def test_any_order_of_arrival_gives_the_same_excursions(story: Story, data: st.DataObject) -> None:
    late = data.draw(arriving(story.rows, ahead=False))
    told, again = (evaluate(story.facility, story.rules, story.tables, rows) for rows in (story.rows, late))
    assert told.excursions == again.excursions
