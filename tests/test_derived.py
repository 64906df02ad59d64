"""Derived points: what they are is what docs/rules.md says, in any order, cutting, lateness, after restarts, offline as live."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facility.derived import Derived
from facility.site import SECOND_NS, Facility
from rules.plan import plan_of
from rules.rule import Rule
from tests.support.admitted import admit, with_received
from tests.support.living import Life, PlainMemory
from tests.support.reference import evaluate
from tests.support.reference_derived import with_derived
from tests.support.replayed import cut_small, judge, plan, write
from tests.support.strategies import EVERY_KIND, START_NS, Story, arriving, cuttings, rule_sets, stories
from tests.test_judgement import columns, looking_back_little, plain


def fewer() -> settings:
    """Each of the examples is several lives."""
    assert settings.default is not None
    return settings(max_examples=max(10, settings.default.max_examples // 5))


@given(stories(kinds=EVERY_KIND, conditions=True, derived=True), st.data())
def test_the_readings_are_those_that_the_specification_says(story: Story, data: st.DataObject) -> None:
    numbers = {point.id: number for number, point in enumerate(story.facility.points)}
    memory = PlainMemory()
    memory.add(columns(story), [], 0)
    admitted = with_derived(story.facility, admit(story.facility, with_received(story.rows)))
    rows = data.draw(st.sampled_from((1, 3, 1000)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rules.derived.SLICE_ROWS", rows)
        for number, derivation in plan_of(story.facility, (), {}, numbers).derived.items():
            id_ = story.facility.points[number].id
            expected = [(one.time, one.value, one.quality) for one in admitted.readings if one.point == id_]
            found = list(derivation.slices(memory.first))
            quality = [("good", "uncertain", "bad")[code] for part in found for code in part.quality.tolist()]
            times, values = ([x for part in found for x in getattr(part, name).tolist()] for name in ("time", "value"))
            assert list(zip(times, values, quality, strict=True)) == expected
            start = data.draw(st.sampled_from([START_NS, *times]))
            later = [one.time.tolist() for one in derivation.slices(memory.first, start)]
            assert [time for part in later for time in part] == [time for time in times if time >= start]


@fewer()
@given(stories(kinds=EVERY_KIND, conditions=True, late=True, derived=True, on_change=True), st.data())
def test_in_any_order_and_cutting_the_current_excursions_are_the_references(story: Story, data: st.DataObject) -> None:
    settle = data.draw(st.booleans())
    story = story if not settle else replace(story, rules=tuple(rule for rule in story.rules if rule.kind != "stale"))
    with looking_back_little(data):
        lives = Life(story, settle=settle), Life(story, settle=settle)
        for batch in data.draw(cuttings(story.rows)):
            restart = data.draw(st.booleans())
            for life in lives:
                life.arrive(batch)
                life.step(batch[-1].received or 0)
            if restart:
                lives[1].restart()
        clock = max((row.received or 0 for row in story.rows), default=0)
        now = clock + (3 * SECOND_NS if settle else 1)
        for life in lives:
            life.step(now)
        expected = evaluate(story.facility, story.rules, story.tables, story.rows, now=now if settle else None).excursions
        assert lives[0].current() == plain(list(expected))
        assert lives[1].store.excursions() == lives[0].store.excursions()
        assert lives[1].ledger.audit.hash == lives[0].ledger.audit.hash


@fewer()
@given(stories(kinds=EVERY_KIND, conditions=True, derived=True), st.data())
def test_a_replay_gives_the_same(story: Story, data: st.DataObject) -> None:
    expected = evaluate(story.facility, story.rules, story.tables, story.rows)
    with TemporaryDirectory() as folder, cut_small(data.draw(st.sampled_from((128, 1 << 20))), data.draw(st.sampled_from((1, 1000)))):
        judged = judge(plan(story), [write(Path(folder) / "a.csv", story.rows)])
    assert [replace(row, config="") for row in judged.excursions] == expected.excursions
    assert (judged.sums.stored, judged.sums.duplicates) == (expected.stored, expected.duplicates)


@fewer()
@given(
    stories(kinds=(*EVERY_KIND[2:], "limit"), conditions=True, conflicts=False, untimely=False, derived=True),
    rule_sets(("limit", "count", "rate", "mean"), conditions=True),
    st.data(),
)
def test_a_new_configuration_judges_from_its_moment_on_whatever_arrives_late(
    story: Story, other: tuple[Rule, ...], data: st.DataObject
) -> None:
    facility = data.draw(st.sampled_from((story.facility, *others(story.facility))))
    change = START_NS + data.draw(st.sampled_from((1, 4, 8, 20))) * SECOND_NS
    results = []
    for _ in range(2):
        rows = data.draw(arriving(story.rows, ahead=False))
        life = Life(replace(story, rows=rows), start=START_NS)
        changed = False
        for batch in data.draw(cuttings(rows)):
            for row in batch:
                if not changed and (row.received or 0) > change:
                    life.reconfigure(other, change, facility)
                    changed = True
                life.arrive([row])
            life.step(batch[-1].received or 0)
            if data.draw(st.booleans()):
                life.restart()
        if not changed:
            life.reconfigure(other, change, facility)
        life.step(change + 3600 * SECOND_NS)
        results.append(life.current())
    assert results[0] == results[1]


def others(facility: Facility) -> list[Facility]:
    """The same facility with its derived points otherwise, and without them."""

    def otherwise(derived: Derived) -> Derived:
        return replace(derived, origins=tuple(replace(origin, max_age_ns=SECOND_NS // 2) for origin in derived.origins))

    points = (point if point.derived is None else replace(point, derived=otherwise(point.derived)) for point in facility.points)
    return [replace(facility, points=tuple(points)), facility.as_measured]
