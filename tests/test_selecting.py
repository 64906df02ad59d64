"""rules/selecting.py: the index over all points finds what asking each point does."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from facility.derived import Derived, Origin
from facility.durations import Duration
from facility.site import Facility, Place, Point, Site
from rules.rule import Rule, Selection
from rules.selecting import ATTRIBUTES, Selector, judges, matches

NAMES = ("a", "ab", "abc", "b", "b.a", "A", "$a", "$b.ok")
names = st.sampled_from(NAMES)
globs = st.one_of(names, st.sampled_from(("*", "?", "a*", "*b", "$*", "$?", "[ab]*", "[!a]", "[", "a[", "b.?", "??*", "a*c")))
selections = st.builds(Selection, *([st.lists(globs, max_size=2).map(tuple)] * len(ATTRIBUTES)))
origins = Derived("minimum", (Origin("a", 1),))


@st.composite
def points(draw: st.DrawFn) -> Point:
    optional = st.one_of(st.none(), names)
    return Point(
        id=draw(names),
        quantity=draw(names),
        unit="1",
        room=draw(names),
        zone=draw(optional),
        grade=draw(optional),
        type=draw(names),
        tags=tuple(draw(st.lists(names, max_size=2))),
        period_ns=draw(st.sampled_from((None, 10))),
        derived=draw(st.sampled_from((None, origins))),
    )


@given(st.lists(points(), max_size=6), st.lists(selections, min_size=1, max_size=4))
def test_a_selection_finds_the_points_that_it_matches_in_their_order(points: Sequence[Point], asked: list[Selection]) -> None:
    selector = Selector(points)
    for select in asked:
        assert selector.selected(select) == [point for point in points if matches(select, point)]


@given(st.lists(points(), max_size=6), selections, st.sampled_from(("limit", "stale", "state", "quality", "recovery")), st.booleans())
def test_a_rule_finds_the_points_that_it_judges(points: Sequence[Point], select: Selection, kind: str, by_period: bool) -> None:
    rule = Rule("rule", kind, select, on_delay=Duration(periods=Fraction(2)) if by_period else Duration(5))
    places = tuple(Place(name, name, clean_up_ns=5 if name in ("a", "ab") else 0) for name in NAMES)
    facility = Facility(Site("site", "Site"), places, tuple(points))
    assert Selector(points).judged(rule, facility) == [point for point in points if judges(rule, point, facility)]
