"""Stories of late readings: which new excursion is the next revision of which old one, worked out by hand. Times are whole numbers."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rules.excursion import CURRENT, REVISED, SUPERSEDED, Excursion
from tests.support.reference import evaluate
from tests.support.revisions import differ, record, revise
from tests.support.strategies import Story, arriving, stories


def span(onset: int, ended: int | None = None, id: str = "", rule: str = "r", point: str = "p", peak: float = 11.0) -> Excursion:
    return Excursion(rule, point, "alert", onset, raised=onset, ended=ended, cleared=ended, peak=peak, readings=1, id=id)


def test_nothing_changed_nothing_is_revised() -> None:
    old, new = span(10, 20, id="a"), span(10, 20)
    assert revise([old], [new]) == [(old, new)]
    assert not differ(old, new)
    assert record([(old, new)]) == [old]


def test_a_later_onset_is_a_revision_that_keeps_the_id() -> None:
    old, new = span(10, 20, id="a"), span(12, 20)
    assert revise([old], [new]) == [(old, new)]
    assert record([(old, new)]) == [replace(old, status=REVISED), replace(new, id="a", revision=1)]


def test_revisions_count_up_and_a_late_one_stays_late() -> None:
    old = replace(span(10, 20, id="a"), revision=3, late=True)
    assert record(revise([old], [span(10, 21)]))[1] == replace(span(10, 21, id="a"), revision=4, late=True)


def test_an_open_one_overlaps_whatever_comes_after_its_onset() -> None:
    old, new = span(10, id="a"), span(1000, 2000)
    assert revise([old], [new]) == [(old, new)]
    assert revise([new], [old]) == [(new, old)]


def test_touching_is_not_overlapping() -> None:
    # [10, 20) and [20, 30) share no moment.
    old, new = span(10, 20, id="a"), span(20, 30)
    assert revise([old], [new]) == [(None, new), (old, None)]
    assert revise([new], [old]) == [(None, old), (new, None)]


def test_split_the_first_part_is_the_revision_and_the_second_is_found_late() -> None:
    old, first, second = span(10, 40, id="a"), span(10, 20), span(30, 40)
    pairs = revise([old], [second, first])
    assert pairs == [(old, first), (None, second)]
    assert record(pairs) == [
        replace(old, status=REVISED),
        replace(first, id="a", revision=1),
        replace(second, late=True),
    ]


def test_merged_the_earliest_goes_on_and_the_other_is_superseded() -> None:
    first, second, whole = span(10, 20, id="a"), span(30, 40, id="b"), span(10, 40)
    pairs = revise([second, first], [whole])
    assert pairs == [(first, whole), (second, None)]
    assert [(e.id, e.status) for e in record(pairs)] == [("a", REVISED), ("a", CURRENT), ("b", SUPERSEDED)]


def test_each_old_one_is_paired_once() -> None:
    # New [0, 15) takes a, the earliest that it overlaps; new [15, 35) overlaps a too, but a is taken: it takes b.
    a, b = span(10, 20, id="a"), span(30, 40, id="b")
    early, late = span(0, 15), span(15, 35)
    assert revise([a, b], [early, late]) == [(a, early), (b, late)]


def test_greedy_by_onset_even_where_an_equal_one_stands_further_on() -> None:
    # New [0, 35) overlaps both and takes a; the new [36, 40), inside b, takes b.
    a, b = span(10, 20, id="a"), span(30, 40, id="b")
    assert revise([a, b], [span(0, 35), span(36, 40)]) == [(a, span(0, 35)), (b, span(36, 40))]


def test_other_rules_and_points_are_never_paired() -> None:
    old, other_rule, other_point = span(10, 20, id="a"), span(10, 20, rule="q"), span(10, 20, point="o")
    # In order of onset, rule, point: q before r.
    assert revise([old], [other_point, other_rule]) == [(None, other_rule), (None, other_point), (old, None)]


def test_any_column_counts_but_those_about_the_record() -> None:
    old = span(10, 20, id="a")
    assert differ(old, replace(old, peak=12.0))
    assert differ(old, replace(old, occupancy="at_rest"))
    assert differ(old, replace(old, cleared=21))
    assert not differ(old, replace(old, id="", revision=2, status=REVISED, late=True))


@given(stories(kinds=("limit", "quality"), conflicts=False, untimely=False), st.data())
def test_current_ones_after_the_pairing_are_those_of_the_complete_readings(story: Story, data: st.DataObject) -> None:
    rows = data.draw(arriving(story.rows, ahead=False))
    seen = rows[: data.draw(st.integers(0, len(rows)))]
    before = [replace(e, id=str(n)) for n, e in enumerate(evaluate(story.facility, story.rules, story.tables, seen).excursions)]
    after = evaluate(story.facility, story.rules, story.tables, rows).excursions
    rows_after = record(revise(before, after))
    current = [replace(e, id="", revision=0, late=False) for e in rows_after if e.status == CURRENT]
    assert sorted(current, key=repr) == sorted(after, key=repr)
    # Every old one is still there, under its id, in its old columns.
    for old in before:
        [kept] = [e for e in rows_after if e.id == old.id and e.revision == old.revision]
        assert not differ(old, kept)
