"""What a person is told: a page, rendered from facts alone, so that the same facts give the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from alerts.pages.wording import ENGLISH, GSM_ALPHABET, clean, distinct, in_language, span, spoken, unit_text, words_of
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
Fact = str | float | int | bool | None


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What stands on every page of an installation: its environment, its site, and where its console is (empty: nowhere)."""

    environment: str
    site: Site
    public_url: str = ""

    def link(self, alarm: str) -> str:
        """The address of an alarm in the console, empty without one."""
        return f"{self.public_url.rstrip('/')}/alarms/{quote(alarm, safe='')}" if self.public_url and alarm else ""


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


def encode(page: Page) -> bytes:
    """The page as JSON, always the same bytes."""
    return msgspec.json.encode(page, order="deterministic")


def decode(encoded: bytes) -> Page:
    """The page that `encode` wrote; msgspec.ValidationError when it did not."""
    return msgspec.json.decode(encoded, type=Page)


def render(
    excursion: Excursion, *, alarm: str, rule: Rule, facility: Facility, letterhead: Letterhead, at: int, kind: str = RAISED,
    language: str = ENGLISH,
) -> Page:  # fmt: skip
    """The page of an alarm as it stands at `at` (ns UTC), in a language.

    `kind` is raised, late when found in late readings, or returned when the condition is over.
    """
    words = words_of(language)
    point = OUR_CLOCK if excursion.point == OURS else facility.judged_by_id[excursion.point]
    place = [facility.place_by_id[id] for id in (point.room, point.zone) if id]
    what = words["our_clock"] if point is OUR_CLOCK else clean(point.name) or spoken(point.quantity, words)
    worst, limit, side = _breach(excursion, rule, point)
    shown, bound = in_language(worst, language), in_language(limit, language)
    since = _local(excursion.onset, letterhead.site)
    own_unit = excursion.unit or point.unit
    unit, full_unit = (f" {one}" if one and own_unit != "1" else "" for one in (own_unit, unit_text(own_unit)))
    middles = (f"{_shown(place[-1])}, {what}", f"{place[-1].id}, {point.id}", point.id) if place else (what,)
    is_open = point.quantity == "door" and side == "above"
    if is_open:  # a value and a limit would say less
        worst, limit, side = "", "", ""
    state = f"{words['door_open' if is_open else rule.kind if rule.kind in OUT_OF_ORDER else 'out']} {since}"
    tail = f"{shown}{unit} {words[side]} {bound}{unit}" if side else state
    priority = words[rule.priority]
    lasted = span((excursion.ended if excursion.ended is not None else at) - excursion.onset, words)
    head = f"{letterhead.environment} {words[excursion.level]}{words['found_late'] if kind == LATE else ''} {priority}"
    if kind == RETURNED:
        head = f"{letterhead.environment} {words['returned']}"
        tail = f"{words['over_after']} {lasted}"
    link = letterhead.link(alarm)
    do = words["returned_do"] if kind == RETURNED else rule.text.get(language) or rule.text.get(ENGLISH)
    lines = {
        "environment": letterhead.environment,
        "level": f"{words['level_' + excursion.level]}, {words['priority']} {priority}",
        "what": f"{what} ({point.id})",
        "where": _where(letterhead.site, place, point, excursion, words),
        "worst": worst and f"{shown}{full_unit}" + (f", {words[side]} {words['the_limit']}" if side else ""),
        "limit": limit and f"{bound}{full_unit}",
        "out_of_order": "" if side else state,
        "since": f"{since} ({letterhead.site.timezone}), {format_time(excursion.onset)}",
        "lasted": lasted if excursion.ended is None else f"{lasted}, {words['over']} {_local(excursion.ended, letterhead.site)}",
        "late": words["late_explained"] if kind == LATE else "",
        "rule": excursion.rule,
        "do": do or next(iter(rule.text.values()), ""),
        "sop": rule.sop or "",
        "link": link,
    }
    return Page(
        id=page_id(excursion, alarm, kind),
        alarm=alarm,
        kind=kind,
        at_ns=at,
        subject=_subject(head, middles, tail),
        text=_text(lines, words),
        facts=_facts(excursion, rule, point, letterhead, words_of(ENGLISH).get(side, "")) | {"link": link, "language": language},
    )


def page_id(excursion: Excursion, alarm: str, kind: str) -> str:
    """An alarm is told once of each of its excursions: of the one that it was raised by, and of those of a higher level."""
    own = not excursion.id or alarm[1:] == excursion.id[1:]
    return f"{alarm}-{kind}" if own else f"{alarm}-{excursion.id}-{kind}"


def notice(
    kind: str, problem: str, *, letterhead: Letterhead, at: int, do: str = "", language: str = ENGLISH, more: dict[str, str] | None = None
) -> Page:  # fmt: skip
    """A page about Renrum itself: `test` proves that a person can be reached, `service` says what is broken and what to do.

    `more` are further lines, by the words for them.
    """
    words = words_of(language)
    head = f"{letterhead.environment} {words[kind]}"
    lines = {
        "environment": letterhead.environment,
        "what": problem,
        "where": _site(letterhead.site),
        "at": f"{_local(at, letterhead.site)} ({letterhead.site.timezone}), {format_time(at)}",
        **(more or {}),
        "do": do or words[f"{kind}_do"],
        "link": letterhead.public_url,
    }
    facts: dict[str, Fact] = {"environment": letterhead.environment, "site": letterhead.site.id, "problem": problem}
    subject = _subject(head, (f"{_site(letterhead.site)}:", f"{letterhead.site.id}:"), clean(problem))
    return Page(f"{kind}-{at}", "", kind, at, subject, _text(lines, words), facts)


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


def _subject(head: str, middles: tuple[str, ...], tail: str) -> str:
    """The longest wording that is one SMS; what is cut when nothing fits is the place, then the end of the sentence."""
    for middle in middles:
        if _fits(subject := f"{head}: {middle} {tail}"):
            return subject
    middle = middles[-1]
    while middle and not _fits(f"{head}: {middle}... {tail}"):
        middle = middle[:-1]
    subject = f"{head}: {middle}... {tail}" if middle else f"{head}: {tail}"
    while not _fits(subject):
        subject = subject[:-4] + "..."
    return subject


def _fits(text: str) -> bool:
    """Whether it is one SMS: 160 characters of the GSM alphabet, else 70 (3GPP TS 23.038)."""
    return len(text) <= (160 if set(text) <= GSM_ALPHABET else 70)
