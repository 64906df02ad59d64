"""What is challenged: one rule at one point in one occupancy, and the readings that drive it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from facility.derived import DIFFERENCE, SUM
from facility.site import SECOND_NS, Point
from rules.rule import Bound, Rule

PASS, FAIL, NOT_APPLICABLE, NOT_TESTED = "PASS", "FAIL", "NOT APPLICABLE", "NOT TESTED"
PAUSE_NS = 10 * SECOND_NS
"""Between readings of a point that declares no period."""
STEP_NS = SECOND_NS // 10
"""Between the samples of one sum."""
MANY = 1e6
"""So large is what has no range."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that hold in one occupancy; None where that side has none."""

    above: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a limit; `sign` is 1 for above, -1 for below."""

    name: str
    bound: Bound
    limit: float
    sign: int


@dataclass(frozen=True)
class Subject:
    """A rule at a point in an occupancy.

    `limits` is None where the rule does not judge in that occupancy. `tolerance_ns` is how far tests stay from a delay, `full` whether all
    cases are driven (in a further occupancy only what differs there). `other` is the point of `unless`, `origins` are the points in use
    that a derived point is computed of: what is sent for it is sent to them.
    """

    rule: Rule
    point: Point
    state: str
    limits: Limits | None
    tolerance_ns: int
    full: bool = True
    other: Point | None = None
    spells: tuple[tuple[int, int], ...] = ()
    """In a test of `recovery`, from when to when the place is at rest after work, ns of the test."""
    origins: tuple[Point, ...] = ()

    @cached_property
    def on_delay(self) -> int:
        return self.rule.on_delay.of(self.point.period_ns)

    @cached_property
    def off_delay(self) -> int:
        return self.rule.off_delay.of(self.point.period_ns)

    @cached_property
    def max_gap(self) -> int | None:
        return None if self.rule.max_gap is None else self.rule.max_gap.of(self.point.period_ns)

    @cached_property
    def window(self) -> int:
        """The window of a rule that looks back, the duration of one that waits for standstill, the time to recover; 0 for others."""
        span = self.rule.window or self.rule.duration or self.rule.within
        return 0 if span is None else span.of(self.point.period_ns)

    @cached_property
    def pause(self) -> int:
        """Between two readings at rest."""
        pause = max(self.point.period_ns or PAUSE_NS, self.apart)
        return pause if self.max_gap is None else min(pause, self.max_gap)

    @cached_property
    def samples(self) -> int:
        """How many make a reading; 1 for what is no sum."""
        return self.point.derived.samples if self.point.derived is not None else 1

    @cached_property
    def no_gap(self) -> int:
        """As far apart the samples of a sum may be; 0 for what is no sum."""
        derived = self.point.derived
        return derived.origins[0].max_age_ns if derived is not None and derived.how == SUM else 0

    @cached_property
    def step(self) -> int:
        """Between the samples of a sum that is driven."""
        return min(STEP_NS, self.no_gap)

    @cached_property
    def spread(self) -> int:
        """How long the samples of one sum take."""
        return (self.samples - 1) * self.step

    @cached_property
    def apart(self) -> int:
        """How far apart two readings of a sum are driven: a gap, so that they have no sample in common; 0 for what is no sum."""
        return self.spread + self.no_gap + self.step if self.no_gap else 0

    @cached_property
    def range(self) -> tuple[float, float] | None:
        """Of the point; of a derived one what those that it is computed of can make."""
        derived = self.point.derived
        if derived is None or not self.origins:
            return self.point.range
        if derived.how == SUM:
            high = self.origins[0].range[1] * derived.per_value * derived.samples if self.origins[0].range else MANY
            return 0.0, high / derived.per_volume
        ranges = [origin.range for origin in self.origins if origin.range is not None]
        if len(ranges) < len(self.origins):
            return None
        if derived.how == DIFFERENCE and len(ranges) == 2:
            return ranges[0][0] - ranges[1][1], ranges[0][1] - ranges[1][0]
        return max(low for low, _ in ranges), min(high for _, high in ranges)

    def spacing(self, span: int) -> int:
        """Between two readings of a stretch of that length: wide, as delays are judged by time, unless that means a gap."""
        if self.point.on_change:
            return self.pause
        wide = max(self.pause, span // 6)
        return wide if self.max_gap is None else min(wide, self.max_gap)

    def pauses(self, span: int, step: int) -> int:
        """Between how many readings a stretch of that length is cut, about `step` apart (0: as `spacing` says)."""
        wide = step or self.spacing(span)
        if not self.apart:
            return -(-span // wide)
        return max(1, span // max(wide, self.apart)) if span >= self.apart else -(-span // self.no_gap)

    @cached_property
    def resolution(self) -> float:
        """The point's; where it declares none, a thousandth of the largest limit, or of 1."""
        if self.point.resolution:
            return self.point.resolution
        if self.point.derived is not None and self.point.derived.how == SUM:
            return 1 / self.point.derived.per_volume  # a particle
        finest = min((origin.resolution for origin in self.origins if origin.resolution), default=None)
        return finest or max((abs(side.limit) for side in self.sides), default=1.0) / 1000 or 0.001

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        limits = self.limits or Limits()
        given = (("above", self.rule.above, limits.above, 1), ("below", self.rule.below, limits.below, -1))
        return tuple(Side(name, bound, limit, sign) for name, bound, limit, sign in given if bound is not None and limit is not None)

    def beyond(self, side: Side) -> float:
        """One resolution beyond a limit; the limit itself where that breaks it and what is beyond lies outside the range."""
        value = side.limit + side.sign * self.resolution
        return side.limit if side.bound.inclusive and not self.inside_range(value) else value

    def tolerable(self, span: int) -> int:
        """How far a test stays from a span of time: the tolerance, or half of a span that is shorter."""
        return min(self.tolerance_ns, span // 2)

    def inside_range(self, value: float) -> bool:
        return self.range is None or self.range[0] <= value <= self.range[1]


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading to be sent: `at` ns after the test's start; `late` ones are sent when all others were judged; `point` is another's."""

    at: int
    value: float
    quality: str = ""
    late: bool = False
    point: str = ""


@dataclass(frozen=True, slots=True)
class Due:
    """An excursion that has to come, times in ns (of the test, or UTC); None while it is open, or where there is none."""

    onset: int
    raised: int
    ended: int | None
    cleared: int | None
    peak: float | None
    limit: float | None
    readings: int


@dataclass(frozen=True)
class Trial:
    """A test: what is sent, and which excursions with an onset in [since, until] must come of it, and no others."""

    case: str
    title: str
    subject: Subject
    samples: tuple[Sample, ...]
    since: int
    until: int
    due: tuple[Due, ...]
    begin: int = 0
    """When it starts, ns UTC: set when it is scheduled."""
    states: tuple[tuple[int, str], ...] = ()
    """What the place of the point changes to, and when, in a test of that."""

    @property
    def late(self) -> bool:
        return any(sample.late for sample in self.samples)

    @property
    def points(self) -> frozenset[str]:
        """All that it needs for itself: points that send readings, and the place whose state it changes."""
        place = [f"{self.subject.point.place}/occupancy"] if self.states else []
        return frozenset([*(sample.point or self.subject.point.id for sample in self.samples), *place])


@dataclass(frozen=True, slots=True)
class Gap:
    """A test that is not made: `status` says whether it does not apply or could not be made, `reason` why."""

    case: str
    title: str
    status: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """A line of the protocol; `expected` and `actual` are excursions as programs read them, `span` from the first reading to the last."""

    rule: str
    point: str
    case: str
    title: str
    status: str
    reason: str = ""
    state: str = ""
    expected: tuple[dict[str, object], ...] = ()
    actual: tuple[dict[str, object], ...] = ()
    differences: tuple[str, ...] = ()
    readings: int = 0
    span: tuple[int, int] | None = None
