"""Stories of admission, rooms' states and limit tables, worked out by hand from docs/rules.md. Times are in seconds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from facility.durations import Duration
from facility.site import Facility
from rules.rule import Bound, Selection
from tests.support.admitted import Row, admit, with_received
from tests.support.tables import PlainCell, PlainTable
from tests.support.told import AT_4, NAN, above, bench, beside, found, judged, ns, one_room, rows, short

# limit tables and rooms' states

TABLE = PlainTable({("in_operation", "alert"): PlainCell(above=10.0), ("at_rest", "alert"): PlainCell(above=5.0)})
BY_TABLE = replace(above(limit=Bound("limits")), select=Selection(point=("t",)))


def states(*changes: tuple[float, str], place: str = "lab") -> list[Row]:
    return [Row(f"{place}/occupancy", ns(second), state) for second, state in changes]


def test_the_limit_follows_the_occupancy() -> None:
    # 8 is inside 10 in operation; at rest from 2 (included) the limit is 5; in operation again from 4.
    recording = rows(8, 8, 8, 8, 8) + states((2, "at_rest"), (4, "in_operation"))
    [excursion] = judged(BY_TABLE, recording, bench(), TABLE).excursions
    assert short(excursion) == (2, 2, 4, 4, 8, 2)
    assert (excursion.occupancy, excursion.limit) == ("at_rest", 5.0)


def test_the_limit_is_the_one_the_peak_was_measured_against() -> None:
    # 11 in operation (limit 10), then at rest 12 (limit 5): peak 12, limit 5, occupancy that of the onset.
    recording = rows(11, 12, 3) + states((1, "at_rest"))
    [excursion] = judged(BY_TABLE, recording, bench(), TABLE).excursions
    assert (excursion.peak, excursion.limit, excursion.occupancy) == (12.0, 5.0, "in_operation")


def test_clean_up_keeps_the_limits_of_operation() -> None:
    # At rest from 2; clean-up 2 s: 10 still applies at 2 and 3, no longer at 4.
    recording = rows(8, 8, 8, 8, 8, 8) + states((2, "at_rest"))
    [excursion] = judged(BY_TABLE, recording, bench(clean_up=2), TABLE).excursions
    assert short(excursion) == (4, 4, None, None, 8, 2)
    assert excursion.occupancy == "at_rest"


def test_at_rest_said_again_is_no_change() -> None:
    # The room is at rest from the facility file on: the message at 2 changes nothing, so no clean-up. 8 > 5 from 0.
    recording = rows(8, 8, 8, 8) + states((2, "at_rest"))
    assert found(BY_TABLE, recording, bench(clean_up=2, room_occupancy="at_rest"), TABLE) == [(0, 0, None, None, 8, 4)]


def test_the_occupancy_of_an_onset_in_clean_up_is_the_rooms_own() -> None:
    recording = rows(8, 11, 8) + states((1, "at_rest"))
    [excursion] = judged(BY_TABLE, recording, bench(clean_up=10), TABLE).excursions
    assert short(excursion) == (1, 1, 2, 2, 11, 1)
    assert (excursion.occupancy, excursion.limit) == ("at_rest", 10.0)


def test_the_occupancy_is_that_of_the_onset_not_of_the_raising() -> None:
    recording = rows(11, 11, 11) + states((1, "at_rest"))
    [excursion] = judged(replace(BY_TABLE, on_delay=Duration(ns(2))), recording, bench(), TABLE).excursions
    assert (excursion.onset, excursion.raised, excursion.occupancy) == (0, ns(2), "in_operation")


def test_a_zone_has_its_rooms_occupancy_until_it_has_a_message_of_its_own() -> None:
    # The room rests from 1, the hood works from 3: limit 5 at 1 and 2, limit 10 from 3. Then the room's words no longer count.
    rule = replace(BY_TABLE, select=Selection(point=("h",)))
    recording = rows(8, 8, 8, 8, 8, 8, point="h") + states((1, "at_rest"), (5, "at_rest"))
    recording += states((3, "in_operation"), place="hood")
    assert found(rule, recording, bench(), TABLE) == [(1, 1, 3, 3, 8, 2)]


def test_a_reading_without_a_cell_ends_the_run_and_is_not_in_the_excursion() -> None:
    # While cleaning (2, 3) there is no cell: the breach run from 0 ends, a new one starts at 4 and is 2 s old at 6.
    recording = rows(11, 11, 99, 99, 12, 12, 12) + states((2, "cleaning"), (4, "in_operation"))
    on_2s = replace(BY_TABLE, on_delay=Duration(ns(3)))
    assert found(on_2s, recording, bench(), TABLE) == []
    on_2s = replace(BY_TABLE, on_delay=Duration(ns(2)))
    assert found(on_2s, recording, bench(), TABLE) == [(4, 6, None, None, 12, 3)]


def test_an_open_excursion_stays_open_through_excluded_readings() -> None:
    # Raised at 0; returned at 1; excluded at 2 ends the return run; returned at 3, 4: off-delay of 1 s met at 4. In [0, 3): 11, 9.
    recording = rows(11, 9, 99, 9, 9) + states((2, "cleaning"), (3, "in_operation"))
    assert found(replace(BY_TABLE, off_delay=Duration(ns(1))), recording, bench(), TABLE) == [(0, 0, 3, 4, 11, 2)]


def test_a_cell_that_is_blank_on_one_side_sets_no_limit_there() -> None:
    table = PlainTable({("in_operation", "alert"): PlainCell(above=10.0)})
    both = replace(BY_TABLE, below=Bound("limits"))
    assert found(both, rows(-99, 11, -99), bench(), table) == [(1, 1, 2, 2, 11, 1)]
    assert found(replace(both, above=None), rows(-99, 11, -99), bench(), table) == []


def test_a_table_without_a_cell_excludes_the_reading_even_with_a_number_on_the_other_side() -> None:
    assert found(replace(BY_TABLE, below=AT_4), rows(1, 1), bench(), PlainTable()) == []


def test_a_late_state_message_moves_the_readings_it_touches() -> None:
    # The state of 1 arrives last, after the readings; file order does not matter.
    recording = [*rows(8, 8, 8), *states((1, "at_rest"))]
    assert found(BY_TABLE, recording, bench(), TABLE) == found(BY_TABLE, recording[::-1], bench(), TABLE) == [(1, 1, None, None, 8, 2)]


def test_states_follow_the_identity_rule() -> None:
    # The second message about 1 conflicts and is quarantined; the third is a duplicate; the last is of no known place.
    recording = rows(8, 8) + states((1, "at_rest"), (1, "in_operation"), (1, "at_rest")) + states((1, "at_rest"), place="attic")
    outcome = judged(BY_TABLE, recording, bench(), TABLE)
    assert [short(e) for e in outcome.excursions] == [(1, 1, None, None, 8, 1)]
    assert (outcome.stored, outcome.duplicates, outcome.quarantined) == (3, 1, 2)


# admission


def reasons(recording: list[Row], facility: Facility | None = None) -> list[str]:
    return [reason for _, reason in admit(facility or one_room(), with_received(recording)).quarantined]


def test_the_first_arrival_stands_also_when_it_is_bad() -> None:
    # NaN first, a good value for the same moment second: the good one is a conflict, `limit` sees nothing.
    recording = [Row("t", 0, NAN), Row("t", 0, 11.0)]
    outcome = judged(above(), recording)
    assert (outcome.excursions, outcome.stored, outcome.quarantined) == ([], 1, 1)
    assert reasons(recording) == ["conflict"]


def test_first_is_by_received_then_by_file_order() -> None:
    recording = [Row("t", 0, 11.0, received=ns(2)), Row("t", 0, 9.0, received=ns(1)), Row("t", 0, 12.0, received=ns(1))]
    outcome = judged(above(), recording)
    assert (outcome.excursions, outcome.stored, outcome.quarantined) == ([], 1, 2)


@pytest.mark.parametrize(("first", "again"), [(NAN, NAN), (0.0, -0.0), (math.inf, math.inf), (7.0, 7.0)])
def test_the_same_again_is_a_duplicate(first: float, again: float) -> None:
    outcome = judged(above(), [Row("t", 0, first), Row("t", 0, again, "good")])
    assert (outcome.stored, outcome.duplicates, outcome.quarantined) == (1, 1, 0)


@pytest.mark.parametrize(("first", "again"), [(NAN, math.inf), (math.inf, NAN), (math.inf, -math.inf), (math.inf, 7.0)])
def test_an_infinity_is_another_value(first: float, again: float) -> None:
    assert reasons([Row("t", 0, first), Row("t", 0, again)]) == ["conflict"]


def test_another_quality_is_a_conflict_also_when_range_made_the_first_bad() -> None:
    # 99 is out of range and stored as bad, but it was received as good: good again is a duplicate, bad a conflict.
    recording = [Row("t", 0, 99.0), Row("t", 0, 99.0, "good"), Row("t", 0, 99.0, "bad")]
    outcome = judged(above(), recording, one_room(range=(0.0, 50.0)))
    assert (outcome.stored, outcome.duplicates, outcome.quarantined) == (1, 1, 1)


def test_clock_ahead_is_more_than_max_ahead_and_no_first_arrival() -> None:
    # 60 s ahead is allowed, one nanosecond more is not; the quarantined row does not stand in the way of the one received later.
    recording = [
        Row("t", ns(60), 7.0, received=0),
        Row("t", ns(60) + 1, 11.0, received=0),
        Row("t", ns(60) + 1, 12.0, received=ns(1)),
    ]
    assert reasons(recording) == ["clock_ahead"]
    assert [e.peak for e in judged(above(), recording).excursions] == [12.0]


def test_too_old_is_more_than_max_late_before_the_points_newest() -> None:
    # Newest 100, max_late 10: 90 is stored, a nanosecond less is not. Other points' times do not matter.
    facility = beside(one_room(max_late_ns=ns(10)))
    recording = [Row("t", ns(100), 7.0), Row("t", ns(90), 7.0), Row("t", ns(90) - 1, 7.0), Row("u", 0, 7.0)]
    assert reasons(recording, facility) == ["too_old"]
    assert judged(above(), recording, facility).stored == 3


def test_identity_is_settled_before_the_times_are_checked() -> None:
    # 0 was stored first; repeated after 100 it is a duplicate, not too old; with another value a conflict.
    recording = [Row("t", 0, 7.0), Row("t", ns(100), 7.0), Row("t", 0, 7.0), Row("t", 0, 8.0)]
    assert reasons(recording, one_room(max_late_ns=ns(10))) == ["conflict"]
    assert judged(above(), recording, one_room(max_late_ns=ns(10))).duplicates == 1


def test_what_cannot_be_understood_is_quarantined_and_a_row_without_a_value_is_nothing() -> None:
    recording = [Row("t", 0, 7.0, "Good"), Row("x", 0, 7.0), Row("t", 1, "seven"), Row("lab/occupancy", 0, "busy"), Row("t", 2, None)]
    assert reasons(recording) == ["unknown_quality", "unknown_point", "not_a_number", "unknown_state"]
    outcome = judged(above(), recording)
    assert (outcome.stored, outcome.duplicates, outcome.quarantined) == (0, 0, 4)


def test_late_rows_are_evaluated_in_order_of_time() -> None:
    # In time order 11 9 11: two excursions; the 9 came last.
    recording = [Row("t", 0, 11.0), Row("t", ns(2), 11.0), Row("t", ns(1), 9.0)]
    assert found(above(), recording) == [(0, 0, 1, 1, 11, 1), (2, 2, None, None, 11, 1)]
