"""A rule as a frozen value, after its file was checked."""

from __future__ import annotations

from dataclasses import dataclass, field

from facility.durations import Duration

LEVELS = ("alert", "action", "technical")
PRIORITIES = ("critical", "high", "medium", "low")
ZERO = Duration()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which points a rule judges: every given attribute must match one of its globs; empty matches every point."""

    point: tuple[str, ...] = ()
    room: tuple[str, ...] = ()
    zone: tuple[str, ...] = ()
    grade: tuple[str, ...] = ()
    quantity: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bound:
    """One side of a limit: a number or the name of a limit table; with `inclusive`, equality breaks it."""

    value: float | str
    inclusive: bool = False


@dataclass(frozen=True, slots=True)
class Unless:
    """Readings are passed over while the newest good one of `point` is beyond, for at most `at_most` from where that began (None: as long).

    `{room}` in `point` stands for the room of the judged point.
    """

    point: str
    above: Bound | None = None
    below: Bound | None = None
    at_most: Duration | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What is breaching, for which points, and how long before it counts (docs/rules.md)."""

    id: str
    kind: str
    select: Selection = field(default_factory=Selection)
    level: str = "alert"
    priority: str = "medium"
    above: Bound | None = None
    below: Bound | None = None
    deadband: float = 0.0
    on_delay: Duration = ZERO
    off_delay: Duration = ZERO
    max_gap: Duration | None = None
    after: Duration | None = None
    change: float | None = None
    window: Duration | None = None
    duration: Duration | None = None
    within: Duration | None = None
    """How soon after a change to at_rest a place must have recovered; None for its `clean_up`."""
    tolerance: float = 0.0
    k: int | None = None
    n: int | None = None
    min_readings: int = 1
    during: tuple[str, ...] = ()
    """The key `while`: the occupancy states in which it judges; empty for all."""
    unless: Unless | None = None
    cause: dict[str, str] = field(default_factory=dict)
    consequence: dict[str, str] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)
    sop: str | None = None
    notify_within: Duration | None = None
    """How soon after a breach begins people must have been told; `check` compares it with the worst case."""
    latch: bool = False
    """Whether its alarm stands, when the condition is over, until it is reset."""
    realarm: Duration | None = None
    """An alarm that was acknowledged so long ago and is still active is unacknowledged again."""
    shelvable: bool = True
    suppress: tuple[str, ...] = ()
    """The occupancy states of the place in which its alarms are kept and shown, and nobody is told."""
    pack: str = ""
    """The pack that it came with, empty for a rule of the site's own."""
    alarm: str = ""
    """For one of the `levels` of a rule the id of that rule: at one point its levels are one alarm. Else empty."""
