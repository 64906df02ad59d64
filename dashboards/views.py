"""What the pages, the API and the metrics show of the running service: frozen plain values, all times int ns UTC."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from alerts.lifecycle.lifecycle import ACKNOWLEDGED, LATCHED_ACKNOWLEDGED, LATCHED_UNACKNOWLEDGED, RETURNED, UNACKNOWLEDGED
from dashboards.verdict import Verdict

POINT_STATES = ("action", "alert", "stale", "bad", "technical", "no_data", "normal")
"""States of a point, the worst first."""
STANDING = (UNACKNOWLEDGED, LATCHED_UNACKNOWLEDGED, RETURNED, ACKNOWLEDGED, LATCHED_ACKNOWLEDGED)
"""States of an alarm that is not done."""
WAITING = (UNACKNOWLEDGED, LATCHED_UNACKNOWLEDGED, RETURNED)
"""Those in which it waits to be acknowledged."""
LEVELS_FIRST = ("action", "alert", "technical")
"""Levels of alarms of one priority, the first that needs a person first."""
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Identity:
    """What is shown on every page; `timezone` is an IANA name, `config` the hash of the configuration in force."""

    environment: str
    site: str
    site_name: str
    timezone: str = "UTC"
    version: str = ""
    config: str = ""
    semantics: int = 1


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest stored reading of a point by time; `value` in the point's unit, None where there is none; `quality` in words."""

    time: int
    value: float | None
    quality: str
    received: int


@dataclass(frozen=True, slots=True)
class LimitInForce:
    """What one rule holds against a point now, for the occupancy that applies; None where a side has no limit."""

    rule: str
    level: str
    above: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class OutOfService:
    """Since when and until when a point is out of service, who said so and why."""

    since: int
    until: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class PointView:
    """A point as it is now; `state` is one of POINT_STATES, `since` the time from which it has that state (None: not known)."""

    id: str
    name: str
    quantity: str
    unit: str
    room: str
    zone: str | None = None
    grade: str | None = None
    resolution: float | None = None
    period_ns: int | None = None
    latest: Latest | None = None
    limits: tuple[LimitInForce, ...] = ()
    state: str = "no_data"
    since: int | None = None
    out_of_service: OutOfService | None = None


@dataclass(frozen=True, slots=True)
class PointNow:
    """What changed at a point: its newest reading, its state, or both."""

    point: str
    latest: Latest | None
    state: str


@dataclass(frozen=True, slots=True)
class PlaceView:
    """A room, or a zone in one (`parent` is then the room's id), with the occupancy that applies now."""

    id: str
    name: str
    grade: str | None = None
    type: str = "room"
    parent: str | None = None
    occupancy: str = "in_operation"


@dataclass(frozen=True, slots=True)
class Columns:
    """Stored readings of one point in time order, a column each; `value` may hold NaN."""

    unit: str
    time: Sequence[int] = ()
    value: Sequence[float] = ()
    quality: Sequence[str] = ()
    received: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some of the items asked for; `next` is the cursor of the rest, None when there is no more."""

    items: tuple[Item, ...] = ()
    next: str | None = None
    total: int | None = None
    """How many there are with those of other pages; None where that is not counted."""


@dataclass(frozen=True, slots=True)
class ExcursionQuery:
    """Which excursions: those that overlap [start, end); of a room with its zones; of a point; not only current revisions."""

    start: int | None = None
    end: int | None = None
    room: str | None = None
    point: str | None = None
    include_all: bool = False
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Shelf:
    """Until when an alarm is shelved, since when, by whom and why."""

    until: int
    since: int
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class AlarmView:
    """An alarm in the words that a person needs; `state` is one of alerts.lifecycle.lifecycle.STATES and `since` the time it came into it.

    `kind` is the rule's; `direction` is `above`, `below` or empty; `peak` and `limit` are in `unit`, `peak` the worst so far.
    `text` and `sop` say what to do, `texts` the same by language. `returned` is when the condition was over. `late` marks one found in
    late data. Nobody is told while it is shelved, `suppressed` by a state of its room (that state, else empty), or its point out of
    service (until when).
    """

    id: str
    state: str
    since: int
    rule: str
    kind: str
    level: str
    priority: str
    point: str
    room: str
    zone: str | None
    quantity: str
    unit: str
    onset: int
    raised: int
    point_name: str = ""
    direction: str = ""
    limit: float | None = None
    peak: float | None = None
    resolution: float | None = None
    returned: int | None = None
    acknowledged: int | None = None
    acknowledged_by: str = ""
    comment: str = ""
    text: str = ""
    sop: str = ""
    excursion: str = ""
    late: bool = False
    shelved: Shelf | None = None
    suppressed: str = ""
    out_until: int | None = None
    group: str = ""
    """What it was told in last, with others; empty where by itself."""
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def annunciated(self) -> bool:
        """Whether people are told of it."""
        return self.shelved is None and not self.suppressed and self.out_until is None


@dataclass(frozen=True, slots=True)
class AlarmQuery:
    """Which alarms: in any of these states; with that flag (alerts.lifecycle.lifecycle.FLAGS); of a room with its zones; of a group."""

    states: Collection[str] = STANDING
    flag: str = ""
    room: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit trail: who did what to what, when, why, from what to what.

    `entry` is that of the journal, `hash` (hex) covers the line and the one before it; `point` and `rule` are of the alarm or excursion
    that it names.
    """

    number: int
    at: int
    actor: str
    action: str
    subject: str
    old: str = ""
    new: str = ""
    reason: str = ""
    entry: int = 0
    hash: str = ""
    point: str = ""
    rule: str = ""

    @property
    def detail(self) -> str:
        """What was before and after."""
        return f"{self.old} → {self.new}" if self.old and self.new else self.new or self.old


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries of the audit trail: with start <= at < end; `about` one subject; with `words` in any column."""

    start: int | None = None
    end: int | None = None
    about: str = ""
    words: str = ""
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One named condition of health, in words that say what is the case and, when not ok, what to do.

    `warns`: all is well for now, and somebody should look at it.
    """

    name: str
    ok: bool
    words: str
    warns: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """`alive`: steps and ingest run; `ready`: also connected, drained, and whatever else being of use needs.

    `verified` is what the newest verify found, None before the first.
    """

    alive: tuple[Check, ...]
    ready: tuple[Check, ...]
    verified: Verdict | None = None

    @property
    def is_alive(self) -> bool:
        return all(check.ok for check in self.alive)

    @property
    def is_ready(self) -> bool:
        return self.is_alive and all(check.ok for check in self.ready)


@dataclass(frozen=True, slots=True)
class ConfigurationView:
    """A configuration that took force at int ns UTC: who applied it and why, what it changed (what, old, new), its files by name.

    `meaning` is what for it was signed, `digest` that of the signature; both are empty where nobody signed.
    """

    at: int
    config: str
    by: str = ""
    reason: str = ""
    change: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()
    files: tuple[str, ...] = ()
    meaning: str = ""
    digest: str = ""


def point_state(open_excursions: Iterable[tuple[str, str]], latest: Latest | None) -> str:
    """The worst state of a point, from the (level, kind) of its open excursions and its newest reading.

    >>> point_state([("alert", "limit"), ("technical", "stale")], Latest(0, 1.0, "good", 0))
    'alert'
    """
    found = {"normal"}
    for level, kind in open_excursions:
        found.add({"stale": "stale", "quality": "bad"}.get(kind, level) if level == "technical" else level)
    if latest is None:
        found.add("no_data")
    elif latest.quality == "bad":
        found.add("bad")
    return min(found, key=POINT_STATES.index)
