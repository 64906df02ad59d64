"""Stories whose excursions were worked out by hand from docs/rules.md: they check the obvious evaluator that checks the engine.

Times are in seconds. Most stories have one reading a second from second 0, with 10 as the upper limit and 4 as the lower.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facility.durations import Duration
from rules.excursion import Excursion
from rules.rule import ZERO, Bound, Rule, Selection
from tests.support.admitted import Row, with_received
from tests.support.reference import Outcome, evaluate
from tests.support.strategies import Story, arriving, cuttings, stories
from tests.support.told import AT_4, NAN, above, below, bench, beside, found, judged, ns, one_room, rows, s, short, stale

# limit: what is breaching, returned, neither


def test_a_value_equal_to_the_limit_is_inside_it() -> None:
    assert found(above(), rows(9, 10, 10, 9)) == []
    assert found(below(), rows(5, 4, 4, 5)) == []


def test_the_next_float_beyond_the_limit_breaches() -> None:
    # 10.000000000000002 at second 1 breaches; 10 at second 2 is inside, so returned.
    beyond = math.nextafter(10.0, 11.0)
    assert found(above(), rows(10, beyond, 10)) == [(1, 1, 2, 2, beyond, 1)]


def test_at_or_above_is_broken_by_equality() -> None:
    # 10 breaches at 1 and 2; at 3 the value 9.5 <= 10 - 0 is returned.
    assert found(above(limit=Bound(10.0, inclusive=True)), rows(9, 10, 10, 9.5)) == [(1, 1, 3, 3, 10, 2)]


def test_at_or_below_is_broken_by_equality() -> None:
    rule = above(limit=None, below=Bound(4.0, inclusive=True))
    assert found(rule, rows(5, 4, 5)) == [(1, 1, 2, 2, 4, 1)]


def test_deadband_holds_the_excursion_until_the_value_is_below_it() -> None:
    # Limit 10, deadband 1: 9.5 (second 2) is neither; exactly 9 (second 3) is returned. Readings 11, 9.5 lie in [1, 3).
    assert found(above(1.0), rows(8, 11, 9.5, 9, 8)) == [(1, 1, 3, 3, 11, 2)]


def test_deadband_of_a_lower_limit() -> None:
    # Limit 4, deadband 1: returned from 5 up.
    assert found(below(1.0), rows(5, 3, 4.5, 4.999, 5)) == [(1, 1, 4, 4, 3, 3)]


def test_the_deadband_is_subtracted_in_float64() -> None:
    # 0.3 - 0.1 is 0.19999999999999998 in float64, so 0.2 is not yet returned.
    rule = above(0.1, limit=Bound(0.3))
    assert found(rule, rows(0.4, 0.2)) == [(0, 0, None, None, 0.4, 2)]
    assert found(rule, rows(0.4, 0.19999999999999998)) == [(0, 0, 1, 1, 0.4, 1)]


def test_negative_zero_equals_a_limit_of_zero() -> None:
    assert found(above(limit=Bound(0.0)), rows(-0.0, 0.0)) == []


# on-delay, off-delay


def test_on_delay_exactly_met_raises() -> None:
    # The run starts at 1; at 3 it is 2 s old, and 2 >= 2. Readings 11, 12, 11, 13 before the return at 5.
    assert found(above(on="2s"), rows(9, 11, 12, 11, 13, 9)) == [(1, 3, 5, 5, 13, 4)]


def test_on_delay_missed_by_a_nanosecond_does_not_raise() -> None:
    early = [Row("t", 0, 11.0), Row("t", ns(2) - 1, 11.0), Row("t", ns(3), 9.0)]
    assert found(above(on="2s"), early) == []


def test_a_return_before_the_on_delay_starts_the_run_again() -> None:
    # 11 at 0, 1; back at 2; 11 at 3, 4, 5: raised at 5 with onset 3.
    assert found(above(on="2s"), rows(11, 11, 9, 11, 11, 11)) == [(3, 5, None, None, 11, 3)]


def test_a_reading_inside_the_deadband_ends_the_breach_run() -> None:
    # 9.5 is neither (limit 10, deadband 1), yet the run that began at 0 ends; the next begins at 2 and is 2 s old at 4.
    assert found(above(1.0, on="2s"), rows(11, 9.5, 11, 11, 11)) == [(2, 4, None, None, 11, 3)]


def test_off_delay_ends_at_the_first_returned_reading_and_clears_when_it_is_met() -> None:
    # Return run 2, 3, 4: cleared at 4, ended at 2; one evaluated reading in [1, 2).
    assert found(above(off="2s"), rows(9, 11, 9, 9, 9, 9)) == [(1, 1, 2, 4, 11, 1)]


def test_a_breach_during_the_off_delay_keeps_the_excursion() -> None:
    # Returned at 1 and 2, breaching at 3, returned from 4: cleared at 6. Readings in [0, 4): 11, 9, 9, 12.
    assert found(above(off="2s"), rows(11, 9, 9, 12, 9, 9, 9)) == [(0, 0, 4, 6, 12, 4)]


def test_a_reading_inside_the_deadband_ends_the_return_run() -> None:
    # Limit 10, deadband 1: 9 returned at 1, 9.5 neither at 2, 8 returned at 3, 4, 5.
    assert found(above(1.0, off="2s"), rows(11, 9, 9.5, 8, 8, 8)) == [(0, 0, 3, 5, 11, 3)]


def test_the_next_excursion_begins_after_the_clearing() -> None:
    # First: 0, back at 1, cleared at 1. Second: from 2, open.
    assert found(above(), rows(11, 9, 12, 13)) == [(0, 0, 1, 1, 11, 1), (2, 2, None, None, 13, 2)]


def test_delays_in_periods_are_those_of_the_point() -> None:
    # 3 periods of 2 s are 6 s: readings every 2 s from 0, raised at 6.
    rule = above(on="3 periods")
    assert found(rule, rows(11, 11, 11, 11, step=2), one_room(period_ns=ns(2))) == [(0, 6, None, None, 11, 4)]


def test_silence_neither_raises_nor_clears() -> None:
    # One breaching reading, then nothing but another point's time going by: with an on-delay nothing is raised.
    facility = one_room()
    other = replace(facility.points[0], id="u")
    facility = replace(facility, points=(*facility.points, other))
    later = [*rows(11), *rows(7, start=1000, point="u")]
    assert found(above(on="1s"), later, facility) == []
    assert found(above(), later, facility) == [(0, 0, None, None, 11, 1)]


# max_gap


def test_without_max_gap_a_run_bridges_silence() -> None:
    assert found(above(on="5s"), rows(11, None, None, None, None, 11)) == [(0, 5, None, None, 11, 2)]


def test_max_gap_ends_the_breach_run() -> None:
    # 0 and 5 are 5 s apart, more than 2 s: the run begins again at 5; at 6 and 7 it is 1 and 2 s old.
    gapped = rows(11, None, None, None, None, 11, 11, 11)
    assert found(above(on="2s", gap="2s"), gapped) == [(5, 7, None, None, 11, 3)]


def test_a_gap_of_exactly_max_gap_is_bridged() -> None:
    assert found(above(on="2s", gap="2s"), rows(11, None, 11)) == [(0, 2, None, None, 11, 2)]


def test_max_gap_ends_the_return_run_but_not_the_excursion() -> None:
    # Returned at 1; silence to 5; the return run begins again at 5 and is 2 s old at 7. Readings in [0, 5): 11, 9.
    gapped = rows(11, 9, None, None, None, 9, 9, 9)
    assert found(above(off="2s", gap="2s"), gapped) == [(0, 0, 5, 7, 11, 2)]


def test_bad_readings_break_no_run_and_shorten_no_gap() -> None:
    # The bad readings at 1 and 2 are not there: the run from 0 is 3 s old at 3.
    assert found(above(on="3s"), rows(11, "bad", NAN, 11)) == [(0, 3, None, None, 11, 2)]
    # With max_gap 2s the good ones at 0 and 3 are 3 s apart, whatever bad ones lie between.
    assert found(above(on="3s", gap="2s"), rows(11, "bad", NAN, 11)) == []


# peak


def test_the_peak_is_that_of_the_whole_span_not_of_the_return() -> None:
    # [1, 4): 11, 14, 12; the 20 belongs to the next excursion.
    assert found(above(), rows(9, 11, 14, 12, 9, 20, 9)) == [(1, 1, 4, 4, 14, 3), (5, 5, 6, 6, 20, 1)]


def test_the_peak_of_a_lower_limit_is_the_smallest() -> None:
    assert found(below(), rows(3, -7, 2, 5)) == [(0, 0, 3, 3, -7, 3)]


def test_both_sides_the_peak_is_the_farthest_beyond_its_limit() -> None:
    # Beyond by: 12 - 10 = 2; 4 - 1 = 3; 12.5 - 10 = 2.5. So 1, measured against 4.
    [excursion] = judged(above(below=AT_4), rows(12, 1, 12.5)).excursions
    assert (excursion.peak, excursion.limit, excursion.readings) == (1.0, 4.0, 3)


def test_both_sides_the_earliest_peak_wins_a_tie() -> None:
    # 12 is 2 above 10; 2 is 2 below 4: equally far, the earlier counts.
    [high_first] = judged(above(below=AT_4), rows(12, 2)).excursions
    [low_first] = judged(above(below=AT_4), rows(2, 12)).excursions
    assert (high_first.peak, high_first.limit) == (12.0, 10.0)
    assert (low_first.peak, low_first.limit) == (2.0, 4.0)


def test_the_distance_beyond_is_compared_in_float64() -> None:
    # 0.7 - 0.6 = 0.09999999999999998 and 0.2 - 0.1 = 0.1 in float64: the second is farther, though both are a tenth on paper.
    [excursion] = judged(above(limit=Bound(0.6), below=Bound(0.2)), rows(0.7, 0.1)).excursions
    assert (excursion.peak, excursion.limit) == (0.1, 0.2)


def test_all_columns_of_an_excursion() -> None:
    facility = bench(room_occupancy="at_rest")
    rule = replace(above(level="action"), select=Selection(zone=("hood",)))
    assert judged(rule, rows(11, 9, point="h"), facility).excursions == [
        Excursion(
            rule="r",
            point="h",
            level="action",
            onset=0,
            raised=0,
            ended=ns(1),
            cleared=ns(1),
            peak=11.0,
            readings=1,
            zone="hood",
            room="lab",
            occupancy="at_rest",
            limit=10.0,
            unit="degC",
        )
    ]


# quality


def test_quality_breaches_on_bad_readings_of_every_cause() -> None:
    # bad at 1 (instrument), 2 (NaN), 3 (out of range), 4 (infinite); uncertain at 5 is not bad.
    rule = Rule("r", "quality", level="technical")
    recording = rows(7, "bad", NAN, 99, -math.inf, "uncertain")
    assert found(rule, recording, one_room(range=(0.0, 50.0))) == [(1, 1, 5, 5, None, 4)]


def test_quality_has_delays_and_no_peak() -> None:
    rule = Rule("r", "quality", level="technical", on_delay=Duration(ns(1)), off_delay=Duration(ns(1)))
    [excursion] = judged(rule, rows("bad", 7, "bad", "bad", 7, 7)).excursions
    assert short(excursion) == (2, 3, 4, 5, None, 2)
    assert excursion.limit is None


def test_the_ends_of_the_range_are_inside_it() -> None:
    rule = Rule("r", "quality", level="technical")
    assert found(rule, rows(0, 50), one_room(range=(0.0, 50.0))) == []
    assert found(rule, rows(math.nextafter(50.0, 51.0)), one_room(range=(0.0, 50.0))) == [(0, 0, None, None, None, 1)]


def test_beyond_1e300_is_bad_and_1e300_is_not() -> None:
    # Evaluated and breaching at 0; the reading at 1 is bad, so `limit` does not see it.
    assert found(above(), rows(1e300, math.nextafter(1e300, math.inf))) == [(0, 0, None, None, 1e300, 1)]


def test_uncertain_readings_are_evaluated_by_limit() -> None:
    uncertain = [Row("t", 0, 11.0, "uncertain")]
    assert found(above(), uncertain) == [(0, 0, None, None, 11, 1)]


# stale


def arriving_at(*seconds: float, point: str = "t") -> list[Row]:
    return [Row(point, ns(second), 7.0, received=ns(second)) for second in seconds]


def stale_t(after: str = "5s") -> Rule:
    return replace(stale(after), select=Selection(point=("t",)))


def test_stale_is_raised_when_the_clock_reaches_the_deadline() -> None:
    # Last received at 1; the clock ends at 6 = 1 + 5, included; at 5.999999999 it does not.
    assert found(stale_t(), arriving_at(0, 1) + arriving_at(6, point="u"), beside(one_room())) == [(1, 6, None, None, None, 0)]
    early = [*arriving_at(0, 1), Row("u", 0, 7.0, received=ns(6) - 1)]
    assert found(stale_t(), early, beside(one_room())) == []


def test_a_reading_received_at_the_very_deadline_prevents_stale() -> None:
    assert found(stale_t(), arriving_at(0, 5, 10)) == []


def test_a_reading_received_just_after_the_deadline_ends_stale() -> None:
    recording = [*arriving_at(0), Row("t", ns(5), 7.0, received=ns(5) + 1)]
    [excursion] = judged(stale_t(), recording).excursions
    assert (excursion.onset, excursion.raised, excursion.ended, excursion.cleared) == (0, ns(5), ns(5) + 1, ns(5) + 1)


def test_stale_runs_on_received_not_on_time() -> None:
    # Measured every second, but held up and received together at 20.
    held_up = [Row("t", ns(second), 7.0, received=ns(20 if second else 0)) for second in range(10)]
    assert found(stale_t(), held_up) == [(0, 5, 20, 20, None, 0)]


def test_a_point_that_never_reported_counts_from_the_recordings_start() -> None:
    recording = arriving_at(3, 5, 8, point="u")
    assert found(stale_t(), recording, beside(one_room())) == [(3, 8, None, None, None, 0)]


def test_the_first_reading_ends_the_staleness_of_a_point_that_never_reported() -> None:
    assert found(stale_t(), arriving_at(0, point="u") + arriving_at(7), beside(one_room())) == [(0, 5, 7, 7, None, 0)]


def test_bad_readings_count_for_stale_but_duplicates_and_conflicts_do_not() -> None:
    bad = [Row("t", ns(4), NAN, received=ns(4)), Row("u", 0, 7.0, received=ns(8))]
    assert found(stale_t(), arriving_at(0) + bad, beside(one_room())) == []
    # Redeliveries at 4 of the reading of 0, same and different: last received stays 0.
    redelivered = [Row("t", 0, 7.0, received=ns(4)), Row("t", 0, 8.0, received=ns(4)), Row("u", 0, 7.0, received=ns(8))]
    assert found(stale_t(), arriving_at(0) + redelivered, beside(one_room())) == [(0, 5, None, None, None, 0)]


def test_stale_after_is_counted_in_periods_of_the_point() -> None:
    facility = beside(one_room(period_ns=ns(2)))
    assert found(stale_t("3 periods"), arriving_at(0) + arriving_at(6, point="u"), facility) == [(0, 6, None, None, None, 0)]


def test_received_is_the_largest_time_so_far_where_the_recording_has_none() -> None:
    # Rows at 0, 6 (point u), 2, 7: received 0, 6, 6, 7. So t was heard at 0, 6 and 7: silent past 5, ended at 6.
    recording = [Row("t", 0, 7.0), Row("u", ns(6), 7.0), Row("t", ns(2), 7.0), Row("t", ns(7), 7.0)]
    assert [row.received for row in with_received(recording)] == [0, ns(6), ns(6), ns(7)]
    assert found(stale_t(), recording, beside(one_room())) == [(0, 5, 6, 6, None, 0)]


# selection and the order of rows


@pytest.mark.parametrize(
    ("select", "points"),
    [
        (Selection(), ["h", "t"]),
        (Selection(room=("lab",)), ["t"]),
        (Selection(zone=("h*",)), ["h"]),
        (Selection(zone=("nope", "hood"), quantity=("temp*",)), ["h"]),
        (Selection(zone=("hood",), quantity=("co2",)), []),
        (Selection(point=("[ht]",)), ["h", "t"]),
        (Selection(tag=("hvac",)), []),
    ],
)
def test_selection(select: Selection, points: list[str]) -> None:
    recording = rows(11, point="t") + rows(11, point="h")
    outcome = judged(replace(above(), select=select), recording, bench())
    assert [excursion.point for excursion in outcome.excursions] == points


def test_excursions_are_sorted_by_onset_rule_point() -> None:
    recording = rows(11, 9, 11, point="t") + rows(11, 11, point="h")
    outcome = evaluate(bench(), (replace(above(), id="z"), replace(above(), id="a")), {}, recording)
    at_0 = [(0, "a", "h"), (0, "a", "t"), (0, "z", "h"), (0, "z", "t")]
    assert [(s(e.onset), e.rule, e.point) for e in outcome.excursions] == [*at_0, (2, "a", "t"), (2, "z", "t")]


def test_nothing_at_all() -> None:
    assert evaluate(one_room(), (above(), stale()), {}, []) == Outcome([], 0, 0, 0)


# laws


def told(story: Story) -> Outcome:
    return evaluate(story.facility, story.rules, story.tables, story.rows)


@given(stories())
def test_every_row_is_stored_or_duplicate_or_quarantined(story: Story) -> None:
    outcome = told(story)
    assert outcome.stored + outcome.duplicates + outcome.quarantined == len(story.rows)


@given(stories(late=True))
def test_excursions_of_a_rule_at_a_point_follow_each_other(story: Story) -> None:
    newest: dict[tuple[str, str], Excursion] = {}
    for excursion in told(story).excursions:
        before = newest.get((excursion.rule, excursion.point))
        assert before is None or (before.cleared is not None and before.cleared <= excursion.onset)
        assert excursion.onset <= excursion.raised
        assert excursion.open or (
            excursion.ended is not None and excursion.cleared is not None and excursion.onset < excursion.ended <= excursion.cleared
        )
        newest[excursion.rule, excursion.point] = excursion


@given(stories(kinds=("limit", "quality"), conflicts=False, untimely=False), st.data())
def test_any_order_of_arrival_gives_the_same_excursions(story: Story, data: st.DataObject) -> None:
    late = data.draw(arriving(story.rows, ahead=False))
    assert told(replace(story, rows=late)).excursions == told(story).excursions


@given(stories(late=True), st.data())
def test_arrival_never_goes_back_and_a_cutting_loses_nothing(story: Story, data: st.DataObject) -> None:
    assert list(story.rows) == sorted(story.rows, key=lambda row: row.received or 0)
    batches = data.draw(cuttings(story.rows))
    assert [row for batch in batches for row in batch] == list(story.rows)


@given(stories(kinds=("limit",)))
def test_without_delays_every_excursion_is_raised_at_its_onset(story: Story) -> None:
    plain = replace(story, rules=tuple(replace(rule, on_delay=ZERO, off_delay=ZERO) for rule in story.rules))
    for excursion in told(plain).excursions:
        assert excursion.raised == excursion.onset
        assert excursion.cleared == excursion.ended
