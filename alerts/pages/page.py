"""What a person is told: a page, rendered from facts alone, so that the same facts give the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from alerts.pages.sms import subject
from alerts.pages.wording import ENGLISH, clean, distinct, span, spoken, unit_text, words_of, written
from facility.site import Facility, Place, Point, Site
from facility.times import format_time
from rules.ahead import OURS
from rules.excursion import Excursion
from rules.rule import Rule

RAISED, LATE, RETURNED, TEST, SERVICE = "raised", "late", "returned", "test", "service"
KINDS = (RAISED, LATE, RETURNED, TEST, SERVICE)
OUR_CLOCK = Point(OURS, "clock", "", "", name=words_of(ENGLISH)["our_clock"])
OUT_OF_ORDER = ("stale", "quality", "clock_ahead", "state", "rate", "flatline")
"""Kinds of rules of which the table has words for what is wrong."""
GROUPS = "G"
"""What the ids of groups begin with: no alarm's does."""
Fact = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What stands on every page of an installation: its environment, its site, and where its console is (empty: nowhere)."""

    environment: str
    site: Site
    public_url: str = ""

    def link(self, alarm: str) -> str:
        """The address of an alarm in the console, or of the alarms of a group; empty without one."""
        if not self.public_url or not alarm:
            return ""
        return f"{self.public_url.rstrip('/')}/alarms{'?group=' if alarm.startswith(GROUPS) else '/'}{quote(alarm, safe='')}"

    def when(self, at: int) -> str:
        """A moment (int ns UTC) by the site's clocks and in UTC."""
        return f"{_local(at, self.site)} ({self.site.timezone}), {format_time(at)}"


@dataclass(frozen=True, slots=True)
class Page:
    """One message to people: `subject` fits an SMS, `text` is the whole story, `facts` are the same for programs.

    `kind` is raised, late, returned, test or service; `alarm` is empty for the last two; `at_ns` is when it was written, ns UTC.
    """

    id: str
    alarm: str
    kind: str
    at_ns: int
    subject: str
    text: str
    facts: dict[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a page of kind {self.kind!r}; allowed: {', '.join(KINDS)}")

    @property
    def key(self) -> str:
        """What a repeat of this page is recognised by: its id and a digest, so that another installation's alarm 7 is another page."""
        return f"{quote(self.id, safe='')}-{hashlib.sha256(encode(self)).hexdigest()[:16]}"

    def document(self) -> dict[str, object]:
        """The page as programs get it: times in RFC 3339 UTC, keys in a fixed order."""
        return {
            "id": self.id,
            "key": self.key,
            "alarm": self.alarm,
            "kind": self.kind,
            "time": format_time(self.at_ns),
            "subject": self.subject,
            "text": self.text,
            "facts": dict(self.facts),
        }


@dataclass(frozen=True, slots=True)
class Before:
    """Who was told before: for who reads it this is the `reminder`-th reminder (0: none), `names` were told, first at `first` (ns UTC)."""

    reminder: int = 0
    names: tuple[str, ...] = ()
    first: int = 0

    def head(self, words: dict[str, str]) -> str:
        """What a subject begins with."""
        return words["reminder"].format(self.reminder) if self.reminder else ""

    def told(self, site: Site, words: dict[str, str]) -> str:
        """A line for the text; empty where nobody was told."""
        return words["told_before"].format(", ".join(self.names), _local(self.first, site)) if self.names else ""


FIRST = Before()
"""Nobody was."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """How an alarm stands when its page is written: of which `kind` it is (empty: as it was found), whether the condition is over,
    whether somebody acknowledged, since when it stands (ns UTC, 0: since its excursion), and who was told before."""

    kind: str = ""
    over: bool = False
    acknowledged: bool = False
    began: int = 0
    before: Before = FIRST


AS_FOUND = Occasion()


@dataclass(frozen=True, slots=True)
class Brief:
    """An excursion in a few words: `names` of place and point, their `ids`, its `room`, and how bad: `beyond` a limit, or since when."""

    names: str
    ids: str
    room: str
    told: str
    beyond: bool


def encode(page: Page) -> bytes:
    """The page as JSON, always the same bytes."""
    return msgspec.json.encode(page, order="deterministic")


def decode(encoded: bytes) -> Page:
    """The page that `encode` wrote; msgspec.ValidationError when it did not."""
    return msgspec.json.decode(encoded, type=Page)


def brief(excursion: Excursion, *, rule: Rule, facility: Facility, site: Site, language: str = ENGLISH) -> Brief:
    """What a line or a subject says of an excursion."""
    words = words_of(language)
    point = OUR_CLOCK if excursion.point == OURS else facility.judged_by_id[excursion.point]
    place = _places(point, facility)
    what = _what(point, words)
    shown, bound, side = _measured(excursion, rule, point, language)
    told = f"{shown} {words[side]} {bound}" if side else _state(excursion, rule, point, site, words)
    names, ids = (f"{_shown(place[-1])}, {what}", f"{place[-1].id}, {point.id}") if place else (what, what)
    return Brief(names, ids, _shown(place[0]) if place else "", told, bool(side))


def render(
    excursion: Excursion, *, alarm: str, rule: Rule, facility: Facility, letterhead: Letterhead, at: int, language: str = ENGLISH,
    occasion: Occasion = AS_FOUND,
) -> Page:  # fmt: skip
    """The page of an alarm as it stands at `at` (ns UTC), in a language.

    Its kind is raised, late when found in late readings, or returned when it tells that the condition is over.
    """
    words, site = words_of(language), letterhead.site
    point = OUR_CLOCK if excursion.point == OURS else facility.judged_by_id[excursion.point]
    kind = occasion.kind or (LATE if excursion.late else RAISED)
    is_over = kind == RETURNED or occasion.over or not excursion.open
    told = brief(excursion, rule=rule, facility=facility, site=site, language=language)
    shown, bound, side = _measured(excursion, rule, point, language)
    priority = words[rule.priority]
    lasted = span((excursion.ended if excursion.ended is not None else at) - excursion.onset, words)
    state = words["returned" if occasion.acknowledged else "over_waits"] if is_over else ""
    level = f"{words[excursion.level]}{words['found_late'] if kind == LATE else ''} {priority}"
    head = f"{letterhead.environment} {occasion.before.head(words)}{f'{state}, ' if state else ''}{level}"
    tail = f"{told.told}, {words['over_after']} {lasted}" if is_over else told.told
    middles = (told.names, told.ids, point.id) if told.room else (told.names,)
    link = letterhead.link(alarm)
    do = rule.text.get(language) or rule.text.get(ENGLISH) or next(iter(rule.text.values()), "")
    if is_over:
        did = words["over_did"].format(do) if do and kind != RETURNED else ""
        do = words["returned_do"] if occasion.acknowledged else words["over_do"] + did
    lines = {
        "environment": letterhead.environment,
        "status": state,
        "told": occasion.before.told(site, words),
        "level": f"{words['level_' + excursion.level]}, {words['priority']} {priority}",
        "what": f"{_what(point, words)} ({point.id})",
        "where": _where(site, _places(point, facility), point, excursion, words),
        "worst": shown and shown + (f", {words[side]} {words['the_limit']}" if side else ""),
        "limit": bound,
        "out_of_order": "" if side else told.told,
        "began": letterhead.when(occasion.began) if 0 < occasion.began < excursion.onset else "",
        "since": letterhead.when(excursion.onset),
        "lasted": lasted if excursion.ended is None else f"{lasted}, {words['over']} {_local(excursion.ended, site)}",
        "late": words["late_explained"] if kind == LATE else "",
        "rule": excursion.rule,
        "do": do,
        "sop": rule.sop or "",
        "link": link,
    }
    return Page(
        id=page_id(excursion, alarm, kind),
        alarm=alarm,
        kind=kind,
        at_ns=at,
        subject=subject(head, middles, tail),
        text=_text(lines, words),
        facts=_facts(excursion, rule, point, letterhead, words_of(ENGLISH).get(side, "")) | {"link": link, "language": language},
    )


def page_id(excursion: Excursion, alarm: str, kind: str) -> str:
    """An alarm is told once of each of its excursions: of the one that it was raised by, and of those of a higher level."""
    own = not excursion.id or alarm[1:] == excursion.id[1:]
    return f"{alarm}-{kind}" if own else f"{alarm}-{excursion.id}-{kind}"


def notice(
    kind: str, problem: str, *, letterhead: Letterhead, at: int, do: str = "", language: str = ENGLISH, more: dict[str, str] | None = None,
    before: Before = FIRST,
) -> Page:  # fmt: skip
    """A page about Renrum itself: `test` proves that a person can be reached, `service` says what is broken and what to do.

    `more` are further lines, by the words for them.
    """
    words = words_of(language)
    head = f"{letterhead.environment} {before.head(words)}{words[kind]}"
    lines = {
        "environment": letterhead.environment,
        "told": before.told(letterhead.site, words),
        "what": problem,
        "where": _site(letterhead.site),
        "at": letterhead.when(at),
        **(more or {}),
        "do": do or words[f"{kind}_do"],
        "link": letterhead.public_url,
    }
    facts: dict[str, Fact] = {"environment": letterhead.environment, "site": letterhead.site.id, "problem": problem}
    told = subject(head, (f"{_site(letterhead.site)}:", f"{letterhead.site.id}:"), clean(problem))
    return Page(f"{kind}-{at}", "", kind, at, told, _text(lines, words), facts)


def _places(point: Point, facility: Facility) -> list[Place]:
    return [facility.place_by_id[id] for id in (point.room, point.zone) if id]


def _what(point: Point, words: dict[str, str]) -> str:
    return words["our_clock"] if point is OUR_CLOCK else clean(point.name) or spoken(point.quantity, words)


def _state(excursion: Excursion, rule: Rule, point: Point, site: Site, words: dict[str, str]) -> str:
    """What is wrong where no value says it, and since when."""
    is_open = _is_open(point, _breach(excursion, rule, point)[2])
    return f"{words['door_open' if is_open else rule.kind if rule.kind in OUT_OF_ORDER else 'out']} {_local(excursion.onset, site)}"


def _is_open(point: Point, side: str) -> bool:
    return point.quantity == "door" and side == "above"


def _measured(excursion: Excursion, rule: Rule, point: Point, language: str) -> tuple[str, str, str]:
    """The worst value and the limit with their unit, and the word for the side; empty of an open door, which says less."""
    worst, limit, side = _breach(excursion, rule, point)
    if _is_open(point, side):
        return "", "", ""
    unit = unit_text(excursion.unit or point.unit)
    shown, bound = (f"{written(text, language)} {unit}".rstrip() if text else "" for text in (worst, limit))
    return shown, bound, side


def _breach(excursion: Excursion, rule: Rule, point: Point) -> tuple[str, str, str]:
    """The worst value and the limit as text that tells them apart, and the word for the side of the limit; empty if the kind has none."""
    if excursion.peak is None or excursion.limit is None:
        return "" if excursion.peak is None else distinct(excursion.peak, None, point.resolution)[0], "", ""
    worst, limit = distinct(excursion.peak, excursion.limit, point.resolution)
    if excursion.peak != excursion.limit:
        side = "above" if excursion.peak > excursion.limit else "below"
        # Of a `count` that goes on for earlier readings, the worst since its onset may lie inside.
        return worst, limit, side if getattr(rule, side) is not None else ""
    return worst, limit, "at_or_above" if rule.above is not None and rule.above.inclusive else "at_or_below"


def _facts(excursion: Excursion, rule: Rule, point: Point, letterhead: Letterhead, side: str) -> dict[str, Fact]:
    return {
        "environment": letterhead.environment,
        "site": letterhead.site.id,
        "room": point.room,
        "zone": point.zone,
        "grade": point.grade,
        "occupancy": excursion.occupancy or None,
        "point": point.id,
        "quantity": point.quantity,
        "rule": excursion.rule,
        "level": excursion.level,
        "priority": rule.priority,
        "worst": excursion.peak,
        "side": side or None,
        "limit": excursion.limit,
        "unit": excursion.unit or point.unit,
        "onset": format_time(excursion.onset),
        "raised": format_time(excursion.raised),
        "ended": None if excursion.ended is None else format_time(excursion.ended),
        "late": excursion.late,
        "sop": rule.sop,
    }


def _site(site: Site) -> str:
    return clean(site.name) or site.id


def _shown(place: Place) -> str:
    return clean(place.name) or place.id


def _where(site: Site, places: list[Place], point: Point, excursion: Excursion, words: dict[str, str]) -> str:
    names = [_site(site)] + [f"{_shown(place)} ({place.id})" for place in places]
    grade = [f"{words['grade']} {point.grade}"] if point.grade else []
    return ", ".join(names + grade + ([spoken(excursion.occupancy, words)] if excursion.occupancy else []))


def _local(at: int, site: Site) -> str:
    """The site's wall clock with its offset, to the second."""
    return datetime.fromtimestamp(at // 10**9, ZoneInfo(site.timezone)).isoformat(" ")


def _text(lines: dict[str, str], words: dict[str, str]) -> str:
    return "".join(f"{words['line_' + key]}: {line}\n" for key, line in lines.items() if line)
