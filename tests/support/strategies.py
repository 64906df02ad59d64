"""Hypothesis strategies: small facilities, rules of the shipped kinds, and recordings that are as nasty as the field allows.

Values lie on a small grid around the limits and times on one of half seconds, so that equalities, ties and exactly met delays happen.
A story holds at most about forty rows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from hypothesis import strategies as st

from facility.derived import Derived, Origin
from facility.durations import Duration
from facility.site import OCCUPANCIES, SECOND_NS, Facility, Place, Point, Site
from rules.rule import ZERO, Bound, Rule, Selection, Unless
from tests.support.admitted import STATE_SUFFIX, Row
from tests.support.tables import PlainCell, PlainTable

START_NS = 1_750_000_000 * SECOND_NS
HALF_NS = SECOND_NS // 2
ABOVE, BELOW = 10.0, 4.0
KINDS = ("limit", "stale", "quality")
EVERY_KIND = (*KINDS, "rate", "flatline", "count", "mean", "recovery")

BACK = (9.0, 9.0, 8.0, 7.0, 5.0)
EDGE = (10.0, 9.5, 9.0, 4.0, 4.5, 5.0, math.nextafter(10.0, 11.0), math.nextafter(4.0, 3.0), 11.0, 3.0)
HIGH = (10.5, 11.0, 11.5, 12.0, 13.0)
LOW = (3.5, 3.0, 2.0, 1.0, 0.0, -0.0)
NASTY = (math.nan, math.inf, -math.inf, 1e300, -1e300, math.nextafter(1e300, math.inf), 20.0, 20.5, -7.25, 5e-324, 0.1 + 0.2)
STUCK = ((9.0,), (9.0, 9.5), (11.0,))
PALETTES = (BACK, BACK, EDGE, HIGH, HIGH, LOW, HIGH + LOW, EDGE + HIGH + BACK, NASTY, *STUCK)
STEADY_NS = (HALF_NS, HALF_NS, SECOND_NS, SECOND_NS, SECOND_NS + 1)
PAUSE_NS = (0, 1, HALF_NS, SECOND_NS, 2 * SECOND_NS, 2 * SECOND_NS + 1, 4 * SECOND_NS, 10 * SECOND_NS)
LATENESS_NS = (0, 0, 0, 1, HALF_NS, SECOND_NS, 3 * SECOND_NS, 20 * SECOND_NS)
TWO_PERIODS = Duration(periods=Fraction(2))
DELAYS = (ZERO, ZERO, Duration(HALF_NS), Duration(SECOND_NS), Duration(2 * SECOND_NS), TWO_PERIODS)


@dataclass(frozen=True)
class Story:
    """All that an evaluation takes; `rows` are in file order, without `received` unless they came from `arriving`."""

    facility: Facility
    rules: tuple[Rule, ...]
    tables: dict[str, PlainTable]
    rows: tuple[Row, ...]


@st.composite
def facilities(draw: st.DrawFn, *, untimely: bool = True, on_change: bool = False) -> Facility:
    """One room, perhaps a zone in it and a second room, and one to three points.

    Without `untimely` nothing is ahead or too old; with `on_change` some points report only when their value changes.
    """
    clean_up_ns = st.sampled_from((0, 0, HALF_NS, 2 * SECOND_NS, 5 * SECOND_NS))
    states = st.sampled_from(OCCUPANCIES[:3])
    places = [Place("lab", "Lab", "B", occupancy=draw(states), clean_up_ns=draw(clean_up_ns))]
    if draw(st.booleans()):
        places.append(Place("hood", "Hood", "A", "bsc", parent="lab", clean_up_ns=draw(clean_up_ns)))
    if draw(st.booleans()):
        places.append(Place("store", "Store", "C", occupancy=draw(states), clean_up_ns=draw(clean_up_ns)))
    points = []
    for number in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(places))
        point = Point(
            id=f"p{number}",
            quantity=draw(st.sampled_from(("temperature", "differential_pressure"))),
            unit="degC",
            room=place.parent or place.id,
            zone=place.id if place.parent else None,
            grade=place.grade,
            type=place.type,
            period_ns=draw(st.sampled_from((HALF_NS, SECOND_NS))),
            range=draw(st.sampled_from((None, (-5.0, 20.0), (0.0, 20.0)))),
            on_change=on_change and draw(st.booleans()),
        )
        if untimely:
            max_late_ns = draw(st.sampled_from((point.max_late_ns, 4 * SECOND_NS)))
            point = replace(point, max_ahead_ns=draw(st.sampled_from((0, SECOND_NS, 60 * SECOND_NS))), max_late_ns=max_late_ns)
        points.append(point)
    at_most = st.sampled_from(((), (), (("cleaning", SECOND_NS),), (("at_rest", 3 * SECOND_NS), ("cleaning", 4 * SECOND_NS))))
    places = [replace(place, at_most_ns=draw(at_most)) for place in places]
    placed = [replace(place, points=tuple(p.id for p in points if p.place == place.id)) for place in places]
    return Facility(Site("site", "Site"), tuple(placed), tuple(points))


@st.composite
def with_derived_points(draw: st.DrawFn, facility: Facility) -> Facility:
    """The facility with one or two points, d0 and d1, that are derived of its measured ones."""
    ages, ends = (
        st.sampled_from((1, HALF_NS, SECOND_NS, 2 * SECOND_NS, 100 * SECOND_NS)),
        st.sampled_from((None, None, START_NS + SECOND_NS)),
    )
    points = list(facility.points)
    for number in range(draw(st.integers(1, 2))):
        how = draw(st.sampled_from(("difference", "minimum", "maximum", "sum") if len(facility.points) > 1 else ("minimum", "sum")))
        count = {"difference": 2, "sum": 1}.get(how, len(facility.points))
        names = draw(st.permutations([point.id for point in facility.points]))[:count]
        derived = Derived(how, tuple(Origin(name, draw(ages), draw(ends)) for name in names))
        if how == "sum":
            derived = replace(
                derived,
                samples=draw(st.integers(1, 4)),
                per_value=draw(st.sampled_from((1.0, 0.3))),
                per_volume=draw(st.sampled_from((1.0, 3.0))),
            )
        of = facility.point_by_id[names[0]]
        points.append(replace(of, id=f"d{number}", range=None, on_change=False, derived=derived))
    placed = [replace(place, points=tuple(point.id for point in points if point.place == place.id)) for place in facility.places]
    return replace(facility, places=tuple(placed), points=tuple(points))


@st.composite
def limit_rules(draw: st.DrawFn, id: str = "limit") -> Rule:
    """A `limit` rule with numbers or the table `limits`, deadband, delays and perhaps a `max_gap`."""
    inclusive = st.booleans()
    table = draw(st.sampled_from((False, False, True)))
    above = Bound("limits" if table else draw(st.sampled_from((ABOVE, 11.0))), draw(inclusive))
    below = Bound("limits" if table and draw(st.booleans()) else draw(st.sampled_from((BELOW, 3.0))), draw(inclusive))
    above_given, below_given = draw(st.sampled_from(((True, False), (False, True), (True, True))))
    return Rule(
        id=id,
        kind="limit",
        select=draw(selections()),
        level=draw(st.sampled_from(("alert", "action"))),
        deadband=draw(st.sampled_from((0.0, 0.0, 0.5, 1.0))),
        on_delay=draw(st.sampled_from(DELAYS)),
        off_delay=draw(st.sampled_from(DELAYS)),
        max_gap=draw(gaps),
        above=above if above_given else None,
        below=below if below_given else None,
    )


@st.composite
def quality_rules(draw: st.DrawFn, id: str = "quality") -> Rule:
    """A `quality` rule with delays and perhaps a `max_gap`."""
    delays = st.sampled_from(DELAYS)
    return Rule(id, "quality", draw(selections()), "technical", on_delay=draw(delays), off_delay=draw(delays), max_gap=draw(gaps))


@st.composite
def stale_rules(draw: st.DrawFn, id: str = "stale") -> Rule:
    """A `stale` rule."""
    after = draw(st.sampled_from((Duration(1), Duration(SECOND_NS), Duration(3 * SECOND_NS), TWO_PERIODS)))
    return Rule(id, "stale", draw(selections()), "technical", after=after)


@st.composite
def state_rules(draw: st.DrawFn, id: str = "state") -> Rule:
    """A `state` rule: what may last how long is said by rooms and zones."""
    return Rule(id, "state", draw(selections()), "technical")


WINDOWS = (Duration(HALF_NS), Duration(SECOND_NS), TWO_PERIODS, Duration(2 * SECOND_NS), Duration(1), Duration(4 * SECOND_NS))


@st.composite
def rate_rules(draw: st.DrawFn, id: str = "rate") -> Rule:
    """A `rate` rule whose change is met exactly now and then."""
    return Rule(
        id,
        "rate",
        draw(selections()),
        draw(st.sampled_from(("alert", "action"))),
        on_delay=draw(st.sampled_from(DELAYS)),
        off_delay=draw(st.sampled_from(DELAYS)),
        max_gap=draw(gaps),
        change=draw(st.sampled_from((0.5, 1.0, 2.0, 2.0, 3.0, 5e-324, 1e300))),
        window=draw(st.sampled_from(WINDOWS)),
    )


@st.composite
def flatline_rules(draw: st.DrawFn, id: str = "flatline") -> Rule:
    """A `flatline` rule, mostly without tolerance."""
    return Rule(
        id,
        "flatline",
        draw(selections()),
        "technical",
        on_delay=draw(st.sampled_from(DELAYS)),
        off_delay=draw(st.sampled_from(DELAYS)),
        max_gap=draw(gaps),
        duration=draw(st.sampled_from(WINDOWS[:4])),
        tolerance=draw(st.sampled_from((0.0, 0.0, 0.5, 1.0, 2.5))),
    )


@st.composite
def count_rules(draw: st.DrawFn, id: str = "count") -> Rule:
    """A `count` rule: its limit is that of a `limit` rule."""
    n = draw(st.sampled_from((1, 2, 2, 3, 4, 6)))
    k, least = draw(st.integers(1, n)), draw(st.sampled_from((1, 1, n)))
    return replace(draw(limit_rules(id)), kind="count", deadband=0.0, k=k, n=n, min_readings=least)


@st.composite
def mean_rules(draw: st.DrawFn, id: str = "mean") -> Rule:
    """A `mean` rule: its limit and deadband are those of a `limit` rule."""
    return replace(
        draw(limit_rules(id)), kind="mean", window=draw(st.sampled_from(WINDOWS)), min_readings=draw(st.sampled_from((1, 1, 2, 4)))
    )


@st.composite
def recovery_rules(draw: st.DrawFn, id: str = "recovery") -> Rule:
    """A `recovery` rule: its limit is that of a `limit` rule, its time often the `clean_up` of the place."""
    within = st.sampled_from((None, None, *WINDOWS))
    plain = replace(draw(limit_rules(id)), kind="recovery", deadband=0.0, on_delay=ZERO, off_delay=ZERO, max_gap=None)
    return replace(plain, within=draw(within))


@st.composite
def under_conditions(draw: st.DrawFn, rule: Rule) -> Rule:
    """The rule, perhaps with `while` and `unless`; the point of an `unless` may be the judged one, or none at all."""
    if rule.kind in ("stale", "state"):
        return rule
    states = st.sampled_from(((), (), ("in_operation",), ("in_operation", "at_rest"), ("cleaning",)))
    bound = Bound(draw(st.sampled_from((ABOVE, 9.0, 7.0))), draw(st.booleans()))
    upper = draw(st.booleans())
    unless = Unless(
        draw(st.sampled_from(("p0", "p0", "p1", "p2"))),
        above=bound if upper else None,
        below=None if upper else bound,
        at_most=draw(st.sampled_from((None, Duration(1), Duration(SECOND_NS), Duration(2 * SECOND_NS), TWO_PERIODS))),
    )
    during = () if rule.kind == "recovery" else draw(states)
    return replace(rule, during=during, unless=draw(st.sampled_from((None, unless))))


gaps = st.sampled_from((None, None, Duration(SECOND_NS), Duration(2 * SECOND_NS)))


def selections() -> st.SearchStrategy[Selection]:
    """Mostly everything, sometimes one attribute."""
    every = Selection()
    return st.sampled_from(
        (
            every,
            every,
            every,
            every,
            every,
            Selection(point=("p0", "p2")),
            Selection(room=("lab",)),
            Selection(zone=("h*",)),
            Selection(grade=("[AB]",)),
        )
    )


@st.composite
def rule_sets(draw: st.DrawFn, kinds: Collection[str] = KINDS, conditions: bool = False) -> tuple[Rule, ...]:
    """One to three rules, numbered; with `conditions` some have `while` or `unless`."""
    makers = {
        "limit": limit_rules,
        "stale": stale_rules,
        "quality": quality_rules,
        "rate": rate_rules,
        "flatline": flatline_rules,
        "count": count_rules,
        "mean": mean_rules,
        "recovery": recovery_rules,
        "state": state_rules,
    }
    chosen = draw(st.lists(st.sampled_from([kind for kind in ("limit", *EVERY_KIND, "state") if kind in kinds]), min_size=1, max_size=3))
    rules = [draw(makers[kind](id=f"{kind}{number}")) for number, kind in enumerate(chosen)]
    return tuple(draw(under_conditions(rule)) if conditions else rule for rule in rules)


@st.composite
def limit_tables(draw: st.DrawFn) -> PlainTable:
    """A table whose cells differ by state and level; some are not there, some have one side."""
    cells = {}
    for occupancy in OCCUPANCIES[:3]:
        for level in ("alert", "action"):
            cell = draw(st.sampled_from((None, PlainCell(4.0, 10.0), PlainCell(3.0, 11.0), PlainCell(None, 9.0), PlainCell(5.0, None))))
            if cell is not None:
                cells[occupancy, level] = cell
    return PlainTable(cells)


@st.composite
def phases(draw: st.DrawFn, name: str, rows_max: int) -> list[Row]:
    """One point's rows in time order: stretches of steady readings with values of one character, and pauses between them."""
    qualities = draw(st.sampled_from((("",), ("", "", "good", "uncertain", "bad"), ("bad", "bad", ""), ("", "", "", "Good"))))
    time = START_NS + draw(st.sampled_from(PAUSE_NS))
    rows: list[Row] = []
    while len(rows) < rows_max:
        length = draw(st.integers(0, 7))
        if not length:
            break
        values = st.sampled_from(draw(st.sampled_from(PALETTES)))
        gap_ns = draw(st.sampled_from(STEADY_NS))
        for _ in range(min(length, rows_max - len(rows))):
            rows.append(Row(name, time, draw(values), draw(st.sampled_from(qualities))))
            time += gap_ns
        time += draw(st.sampled_from(PAUSE_NS)) - gap_ns
    return rows


@st.composite
def recordings(draw: st.DrawFn, facility: Facility, *, size: int = 40, conflicts: bool = True) -> tuple[Row, ...]:
    """Rows in the order of time, without `received`; without `conflicts` no two rows share point and time, and all are understood."""
    rows = [row for point in facility.measured for row in draw(phases(point.id, size // len(facility.measured)))]
    places = [place.id + STATE_SUFFIX for place in facility.places]
    moments = st.sampled_from([row.time for row in rows] or [START_NS])
    for _ in range(draw(st.integers(0, 5))):
        rows.append(Row(draw(st.sampled_from(places)), draw(moments), draw(st.sampled_from(OCCUPANCIES[:3]))))
    for place in draw(st.lists(st.sampled_from(places), max_size=2)):  # work, and rest after it
        begin, end = sorted((draw(moments), draw(moments)))
        rows += [Row(place, begin - 1, "in_operation"), Row(place, end, "at_rest")]
    if not conflicts:
        first = {(row.point, row.time): row for row in reversed(rows) if row.quality != "Good"}
        return tuple(sorted(first.values(), key=lambda row: row.time))
    for _ in range(draw(st.integers(0, 3)) if rows else 0):
        row, value = draw(st.sampled_from(rows)), draw(st.sampled_from((None, 7.0, 12.0)))
        rows.append(row if value is None or row.point in places else replace(row, value=value))
    return tuple(sorted(rows, key=lambda row: row.time))


@st.composite
def arriving(draw: st.DrawFn, rows: Sequence[Row], *, ahead: bool = True) -> tuple[Row, ...]:
    """The rows in some order of arrival, each with its `received`, which never decreases: late by seconds, or in any order at all.

    With `ahead` some instruments' clocks run before ours, by exactly what is allowed, or by more.
    """
    if draw(st.booleans()):
        order = draw(st.permutations(rows))
    else:
        lateness = draw(st.lists(st.sampled_from(LATENESS_NS), min_size=len(rows), max_size=len(rows)))
        order = [row for _, row in sorted(zip(lateness, rows, strict=True), key=lambda pair: pair[0] + pair[1].time)]
    steps = draw(st.lists(st.sampled_from((0, 0, HALF_NS, SECOND_NS)), min_size=len(rows), max_size=len(rows)))
    slack = draw(st.lists(st.sampled_from((0, 0, 0, 1, SECOND_NS, 61 * SECOND_NS)), min_size=len(rows), max_size=len(rows)))
    clock = START_NS
    arrived = []
    for row, step_ns, slack_ns in zip(order, steps, slack, strict=True):
        clock = max(clock + step_ns, row.time - (slack_ns if ahead else 0))
        arrived.append(replace(row, received=clock))
    return tuple(arrived)


@st.composite
def cuttings(draw: st.DrawFn, rows: Sequence[Row]) -> list[tuple[Row, ...]]:
    """The same rows in the same order, as batches of one or more."""
    cuts = draw(st.lists(st.booleans(), min_size=max(len(rows) - 1, 0), max_size=max(len(rows) - 1, 0)))
    batches: list[list[Row]] = [[]]
    for row, cut in zip(rows, [False, *cuts], strict=False):
        if cut:
            batches.append([])
        batches[-1].append(row)
    return [tuple(batch) for batch in batches if batch]


@st.composite
def stories(
    draw: st.DrawFn,
    *,
    kinds: Collection[str] = KINDS,
    conflicts: bool = True,
    untimely: bool = True,
    size: int = 40,
    late: bool = False,
    conditions: bool = False,
    on_change: bool = False,
    derived: bool = False,
) -> Story:
    """A facility, rules, a table and a recording; with `late` the rows are in an order of arrival and carry `received`.

    `conflicts=False, untimely=False` make every order of arrival store the same readings. `conditions` lets rules have `while` and
    `unless`, `on_change` lets points report only what changes, `derived` adds points that are derived of the others.
    """
    facility = draw(facilities(untimely=untimely, on_change=on_change))
    if derived:
        facility = draw(with_derived_points(facility))
    rows = draw(recordings(facility, size=size, conflicts=conflicts))
    if late:
        rows = draw(arriving(rows, ahead=untimely))
    return Story(facility, draw(rule_sets(kinds, conditions)), {"limits": draw(limit_tables())}, rows)
