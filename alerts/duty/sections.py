"""The part of oncall.yaml that says who is told: its keys, their types, what each means."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from alerts.duty.calendar import WEEKDAYS
from facility.sections import Id, PeriodNs, Section, SpanNs, is_id, refused
from rules.rule import LEVELS, PRIORITIES

HANDOVER = re.compile(rf"(?:({'|'.join(WEEKDAYS)}) )?(\d\d):(\d\d)", re.ASCII)


def _one_or_more(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise refused("a name, or a list of names")
    return tuple(names)


def _handover(text: Any) -> tuple[int | None, time]:
    match = HANDOVER.fullmatch(text) if isinstance(text, str) else None
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        raise refused('a time of day such as "08:00", or with its weekday "Mon 08:00"')
    return (WEEKDAYS.index(match[1]) if match[1] else None), time(int(match[2]), int(match[3]))


def _hour(text: Any) -> time:
    weekday, hour = _handover(text)
    if weekday is not None:
        raise refused('a time of day such as "08:00"')
    return hour


def _day(text: Any) -> date:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise refused("a day such as 2026-12-24") from None


def _local(text: Any) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise refused("a time such as 2026-12-24T08:00 (by the rotation's clocks) or 2026-12-24T08:00+01:00") from None
    return found


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise refused("a name such as Europe/Stockholm") from None
    return name


def _text(examples: list[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "examples": examples})


_ONE_OR_MORE = WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}, "minItems": 1})
OneOrMore = Annotated[tuple[str, ...], PlainValidator(_one_or_more), _ONE_OR_MORE]
Handover = Annotated[tuple[int | None, time], PlainValidator(_handover), _text(["08:00", "Mon 08:00"])]
Hour = Annotated[time, PlainValidator(_hour), _text(["08:00"])]
Day = Annotated[date, PlainValidator(_day), _text(["2026-12-24"])]
Local = Annotated[datetime, PlainValidator(_local), _text(["2026-12-24T08:00"])]
Zone = Annotated[str, AfterValidator(_zone)]
Weekday = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


class RotationSection(Section):
    """A duty that passes from one to the next: members in turn, or a calendar file."""

    members: Annotated[list[Id], Field(min_length=1)] | None = None
    """People, in the order of their turns."""
    start: Day | None = None
    """The day when the first member's first turn begins."""
    handover: Handover | None = None
    """When a turn ends, by the clocks of the time zone: "08:00", or "Mon 08:00"."""
    length: PeriodNs = 7 * 86_400 * 10**9
    """How long a turn is: 7d, 1d, 12h."""
    timezone: Zone | None = None
    """The site's unless given."""
    ics: str | None = None
    """An iCalendar file instead: each event is a turn, of the person whom its summary or attendee names."""


class OverrideSection(Section):
    """Somebody takes over a duty for some time."""

    rotation: Id
    start: Annotated[Local, Field(alias="from")]
    end: Annotated[Local, Field(alias="to")]
    person: Id
    instead_of: Id | None = None
    """Only the turns of this person."""
    reason: str = ""


class HoursSection(Section):
    """When people are at work."""

    days: Annotated[list[Weekday], Field(min_length=1)] = Field(["Mon", "Tue", "Wed", "Thu", "Fri"])
    start: Annotated[Hour, Field(alias="from")]
    end: Annotated[Hour, Field(alias="to")]
    holidays: list[Day] = Field([])
    """Days that are like weekends."""
    holidays_ics: str | None = None
    """An iCalendar file with events of whole days, more of these."""
    timezone: Zone | None = None
    """The site's unless given."""


class StepSection(Section):
    """Some are told, unless somebody has acknowledged by then."""

    after: SpanNs = 0
    """How long after the alarm."""
    to: OneOrMore
    """People, teams, rotations."""
    by: OneOrMore | None = None
    """By each of these: ids of channels, kinds of channels, or kinds of ways. By a person's first way unless given."""


class PolicySection(Section):
    """Whom to tell in which order, until somebody acknowledges."""

    steps: Annotated[list[StepSection], Field(min_length=1)]
    repeat: PeriodNs | None = None
    """After the last step, that step again so often."""
    times: Annotated[int, Field(ge=1)] | None = None
    """At most so many repeats; without end unless given."""
    until: Literal["acknowledged", "returned"] = "acknowledged"
    """returned: it also ends when the condition is over."""
    returned: bool = False
    """Those who were told are told when the condition is over, too."""


class RouteSection(Section):
    """Which alarms go by which policy; each key takes globs, or a list of them."""

    policy: Annotated[str, Field(min_length=1)]
    """The id of a policy; nobody: the console shows such alarms, and nobody is told."""
    priority: OneOrMore | None = None
    level: OneOrMore | None = None
    rule: OneOrMore | None = None
    point: OneOrMore | None = None
    room: OneOrMore | None = None
    zone: OneOrMore | None = None
    system: OneOrMore | None = None
    tag: OneOrMore | None = None
    hours: Literal["working", "otherwise"] | None = None
    """In working hours only, or outside of them only."""


class DrillSection(Section):
    """A page that must be acknowledged, now and then; that nobody does is told like a technical alarm of high priority."""

    to: OneOrMore
    """People, teams, rotations."""
    when: Annotated[Handover, Field(alias="at")]
    """"Mon 09:00", or "09:00" for any day."""
    every: PeriodNs = 7 * 86_400 * 10**9
    """In whole days, or weeks where `at` has a weekday."""
    within: PeriodNs = 30 * 60 * 10**9
    """So soon somebody acknowledges."""
    timezone: Zone | None = None
    """The site's unless given."""


class DailySection(Section):
    """A message a day that takes the heads of the journal and of the audit trail away from the machine."""

    when: Annotated[Hour, Field(alias="at")] = time(7)
    """Time of day: "07:00"."""
    to: OneOrMore | None = None
    """Ids of channels; those of kind email and local unless given."""
    timezone: Zone | None = None
    """The site's unless given."""


class RepliesSection(Section):
    """The mailbox to which people reply; a reply that begins with the person's PIN acknowledges."""

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """993 with tls, else 143, unless given."""
    security: Literal["none", "starttls", "tls"] = "tls"
    username: Annotated[str, Field(min_length=1)]
    password_file: str | None = None
    """File with the password; or the environment variable RENRUM_REPLIES_PASSWORD."""
    folder: Annotated[str, Field(pattern='^[^"\\\\\r\n]+$')] = "INBOX"
    every: PeriodNs = 30 * 10**9


class FloodsSection(Section):
    """When alarms are too many: then those of medium and low priority are collected into one page."""

    begin_above: Annotated[int, Field(ge=1)] = 10
    """More alarms than this within the time are a flood: 10 in ten minutes by EEMUA 191."""
    end_below: Annotated[int, Field(ge=1)] = 5
    """Fewer than this within the time, and it is over: 5 by ISA-18.2."""
    within: PeriodNs = 600 * 10**9


class ChatteringSection(Section):
    """When a rule alarms at a point too often: then there is silence until that is over."""

    times: Annotated[int, Field(ge=2)] = 3
    """So many alarms within the time: three in a minute by ISA-18.2."""
    within: PeriodNs = 60 * 10**9


ROUTE_KEYS = ("priority", "level", "rule", "point", "room", "zone", "system", "tag")
CHOICES = {"priority": PRIORITIES, "level": LEVELS}


def _named(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if not is_id(name):
            raise refused("names without blanks and / + # * ? [ ] $", found=repr(name))
    return value


Teams = Annotated[dict[str, Annotated[list[Id], Field(min_length=1)]], AfterValidator(_named)]
Rotations = Annotated[dict[str, RotationSection], AfterValidator(_named)]
Policies = Annotated[dict[str, PolicySection], AfterValidator(_named)]


class DutySection(Section):
    """Who is told; without routes every channel gets each page."""

    teams: Teams = Field({})
    """Name -> people, who are told together."""
    rotations: Rotations = Field({})
    overrides: list[OverrideSection] = Field([])
    working_hours: HoursSection | None = None
    policies: Policies = Field({})
    routes: list[RouteSection] = Field([])
    """The first that matches an alarm counts."""
    test: DrillSection | None = None
    replies: RepliesSection | None = None
    daily: DailySection | None = None
    floods: FloodsSection = Field(default_factory=FloodsSection)
    chattering: ChatteringSection = Field(default_factory=ChatteringSection)
    language: Literal["en", "sv"] = "en"
    """Of pages where everyone is told; a person who is chosen has one of their own."""
