"""What the console's templates are given: rooms with their points, alarms in their order, values and times as text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from alerts.lifecycle.lifecycle import ACKNOWLEDGED, ACTIVE, LATCHED_ACKNOWLEDGED
from alerts.pages.wording import in_language
from dashboards.standing import StandingView
from dashboards.views import LEVELS_FIRST, POINT_STATES, WAITING, AlarmView, LimitInForce, PlaceView, PointView
from facility.times import format_time, parse_time
from rules.rule import PRIORITIES

THIN_SPACE = "\u202f"
MINUS = "\u2212"
NO_VALUE = "–"
DECIMALS_MAX = 6
FOLDED_FROM = 4
"""A group of so many alarms is one of the overview."""
_DECIMALS = {
    "particles_0_5um": 0, "particles_5_0um": 0, "temperature": 1, "relative_humidity": 0, "differential_pressure": 1,
    "air_velocity": 2, "co2": 1, "oxygen": 1, "level": 0, "door": 1,
}  # fmt: skip
DOOR_WORDS = ("Closed", "Open")


@dataclass(frozen=True, slots=True)
class PlaceTile:
    """A room or zone with its own points; `zones` are those of a room; `state` is the worst of all its points."""

    place: PlaceView
    points: tuple[PointView, ...]
    zones: tuple[PlaceTile, ...]
    state: str


def tiles(places: Iterable[PlaceView], points: Iterable[PointView]) -> tuple[PlaceTile, ...]:
    """Rooms in the order of the facility, each with its zones; places without points are left out."""
    at: dict[str, list[PointView]] = {}
    for point in points:
        at.setdefault(point.zone or point.room, []).append(point)
    zones: dict[str, list[PlaceTile]] = {}
    rooms: list[PlaceView] = []
    for place in places:
        if place.parent is None:
            rooms.append(place)
        elif place.id in at:
            zones.setdefault(place.parent, []).append(_tile(place, at[place.id], ()))
    built = [_tile(room, at.get(room.id, ()), zones.get(room.id, ())) for room in rooms]
    return tuple(tile for tile in built if tile.points or tile.zones)


def _tile(place: PlaceView, points: Sequence[PointView], zones: Sequence[PlaceTile]) -> PlaceTile:
    states = [point.state for point in points] + [zone.state for zone in zones]
    return PlaceTile(place, tuple(points), tuple(zones), min(states, key=POINT_STATES.index, default="normal"))


def in_order(alarms: Iterable[AlarmView]) -> list[AlarmView]:
    """Unacknowledged before acknowledged, what lasts before what is over, then by priority, action before alert, the newest first."""
    return sorted(
        alarms,
        key=lambda alarm: (
            not alarm.annunciated or alarm.state in (ACKNOWLEDGED, LATCHED_ACKNOWLEDGED),
            alarm.state not in ACTIVE,
            PRIORITIES.index(alarm.priority),
            LEVELS_FIRST.index(alarm.level) if alarm.level in LEVELS_FIRST else len(LEVELS_FIRST),
            -alarm.raised,
        ),
    )


def needs_somebody(alarm: AlarmView) -> bool:
    """Whether it waits for its acknowledgement."""
    return alarm.annunciated and alarm.state in WAITING


@dataclass(frozen=True, slots=True)
class Folded:
    """An alarm, and how many others of its group stand folded behind it (0: it is shown as any other), of which so many wait."""

    alarm: AlarmView
    others: int = 0
    waiting: int = 0


def folded(standing: StandingView, most: int) -> list[Folded]:
    """The alarms of an overview, `most` at most: of a group of FOLDED_FROM or more only its foremost, for all."""
    found, seen = [], set()
    for alarm in standing.foremost:
        group = standing.groups.get(alarm.group)
        if group is None or group.standing < FOLDED_FROM:
            found.append(Folded(alarm))
        elif group.id not in seen:
            seen.add(group.id)
            found.append(Folded(alarm, group.standing - 1, group.waiting - needs_somebody(alarm)))
    return found[:most]


def broken(point: PointView) -> list[LimitInForce]:
    """The limits that a point's state is about: of those of its level the ones that its value breaks, else all."""
    of_level = [limit for limit in point.limits if limit.level == point.state]
    value = point.latest.value if point.latest else None
    if value is None:
        return of_level
    below = [limit for limit in of_level if limit.below is not None and value < limit.below]
    above = [limit for limit in of_level if limit.above is not None and value > limit.above]
    return below + above or of_level


def value_text(
    value: float | None, quantity: str, resolution: float | None = None, other: float | None = None, language: str = "en"
) -> str:
    """A value with sensible decimals: those of the point's resolution, else those usual for the quantity, else four digits.

    Where rounding would make it look the same as `other` (the limit that it breaks) it gets as many more as tell them apart.

    >>> value_text(12.34, "differential_pressure"), value_text(352000.4, "particles_0_5um"), value_text(1.0, "door")
    ('12.3', '352\\u202f000', 'Open')
    >>> value_text(9.96, "differential_pressure", None, 10.0)
    '9.96'
    >>> value_text(-2.3, "differential_pressure", language="sv")
    '−2,3'
    """
    if value is None or not math.isfinite(value):
        return NO_VALUE
    if quantity == "door" and value in (0, 1):
        return DOOR_WORDS[int(value)]
    if abs(value) >= 1e15:
        return in_language(f"{value:.4g}".replace("-", MINUS), language)
    decimals = _decimals(value, quantity, resolution)
    if other is not None and value != other:
        while decimals < DECIMALS_MAX and round(value, decimals) == round(other, decimals):
            decimals += 1
    text = f"{value:,.{decimals}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")
    return in_language(text.replace(",", THIN_SPACE).replace("-", MINUS), language)


def _decimals(value: float, quantity: str, resolution: float | None) -> int:
    if resolution is not None and resolution > 0:
        return min(DECIMALS_MAX, max(0, -math.floor(math.log10(resolution) + 1e-9)))
    if quantity in _DECIMALS:
        return _DECIMALS[quantity]
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    return min(DECIMALS_MAX, max(0, 3 - magnitude))


@dataclass(frozen=True, slots=True)
class Times:
    """Writes times in the site's zone, relative to the day of `now` (ns UTC)."""

    zone: ZoneInfo
    now: int

    def text(self, ns: int) -> str:
        """The time of day, with the date when it is another day."""
        local, today = self.local(ns), self.local(self.now)
        return f"{local:%H:%M:%S}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M:%S}"

    def full(self, ns: int) -> str:
        """Always with the day: of what is on record, and may be printed."""
        return f"{self.local(ns):%Y-%m-%d %H:%M:%S}"

    def minute(self, ns: int) -> str:
        """The day, unless it is today, and the time without its seconds: of what is planned."""
        local, today = self.local(ns), self.local(self.now)
        return f"{local:%H:%M}" if local.date() == today.date() else f"{local:%Y-%m-%d %H:%M}"

    def stamp(self, ns: int) -> str:
        """RFC 3339, for machines."""
        return format_time(ns)

    @property
    def offset(self) -> str:
        """The zone's distance from UTC now, such as +01:00."""
        text = f"{self.local(self.now):%z}"
        return f"{text[:3]}:{text[3:5]}"

    def local(self, ns: int) -> datetime:
        """The moment in the site's zone."""
        return datetime.fromtimestamp(ns // 1_000_000_000, self.zone)


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_SIGNED = re.compile(r"(?:(.*) — )?signed as '(\w+)', [0-9a-f]+…", re.DOTALL)
CHECK_WORDS = {
    "ingest": re.compile(r"running"),
    "alone": re.compile(r"no other instance lives"),
    "embedded": re.compile(r"the broker is a part of the service, and no other instance can reach it"),
    "written": re.compile(r"can be written"),
    "current": re.compile(r"up to date"),
    "drained": re.compile(r"what the broker had queued is received"),
    "connected": re.compile(r"connected to (?P<broker>\S+)"),
    "step": re.compile(r"last step (?P<s>[\d.]+) s ago"),
    "in_force": re.compile(r"(?P<config>[0-9a-f]+) is in force"),
    "differs": re.compile(r"(?P<config>[0-9a-f]+) is in force; changed since and not in force: (?P<files>[^;]+); `renrum apply` .*"),
    "historian": re.compile(r"(?P<target>\S+) takes what is written"),
}
"""What checks say when all is well (service/health), by the name of the text for it."""


def check_words(said: str, texts: Mapping[str, str], language: str) -> str:
    """The words of a check in the language of `texts`; as they are where it has none."""
    for name, pattern in CHECK_WORDS.items():
        if found := pattern.fullmatch(said):
            values = found.groupdict()
            return texts[name].format(**values | ({"s": in_language(values["s"], language)} if "s" in values else {}))
    return said


def local_times(text: str, times: Times) -> str:
    """A text with the UTC times in it as the site's, to the second."""
    return _RFC3339.sub(lambda found: times.full(parse_time(found[0])), text)


def signature(reason: str) -> tuple[str, str]:
    """A reason of the audit trail, and the meaning of the signature under it (alerts.record.signing), empty for none.

    >>> signature("seen — signed as 'review', 0123456789abcdef…"), signature("seen")
    (('seen', 'review'), ('seen', ''))
    """
    found = _SIGNED.fullmatch(reason)
    return (found[1] or "", found[2]) if found else (reason, "")


def span_text(ns: int) -> str:
    """A span of time in its two largest units.

    >>> span_text(90 * 10**9), span_text(2 * 86_400 * 10**9), span_text(400_000_000)
    ('1 min 30 s', '2 d', '0 s')
    """
    seconds = max(0, ns) // 1_000_000_000
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append((size, f"{number} {unit}"))
    if not parts:
        return "0 s"
    shown = parts[:1]
    # the second unit only when it is the next smaller one
    if len(parts) > 1 and parts[0][0] / parts[1][0] <= 60:
        shown = parts[:2]
    return " ".join(text for _, text in shown)
