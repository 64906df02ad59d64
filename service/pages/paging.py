"""Which page goes to which target: told by the configurations that the journal keeps, so that computing again queues what was queued."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from alerts.alarms import Alarms
from alerts.duty.calendar import shown
from alerts.duty.load import Limits
from alerts.duty.replies import Heard
from alerts.duty.roster import Roster, Subject, subject_of
from alerts.escalation.daily import Day
from alerts.escalation.drills import Drill
from alerts.escalation.escalation import Escalation
from alerts.lifecycle.lifecycle import RETURNED
from alerts.pages.page import (
    AS_FOUND,
    FIRST,
    OUR_CLOCK,
    SERVICE,
    TEST,
    Before,
    Brief,
    Fact,
    Letterhead,
    Occasion,
    Page,
    brief,
    notice,
    render,
)
from alerts.pages.wording import ENGLISH, words_of
from alerts.record.store import StateStore
from facility.files import Unreadable
from facility.own import TESTS_MISSED
from facility.problems import ConfigurationError
from facility.site import Facility, Site
from facility.times import format_time
from ingest.journal.entries import ConfigurationBody
from rules.ahead import OURS, as_told
from rules.excursion import Excursion
from rules.plan import Plan
from rules.rule import Rule
from rules.selecting import judges
from service.configuration.configuration import roster_from_entry
from service.configuration.judging import Judge, Judges
from service.configuration.values import document
from service.settings.http import Http

log = logging.getLogger(__name__)


def letterhead_of(entry: Mapping[str, Any], site: Site) -> Letterhead:
    """What every page says of the service by a configuration as the journal keeps it."""
    http, unless = document(entry, str(entry["main"])).get("http") or {}, Http()
    scheme = "https" if http.get("tls") else "http"
    url = http.get("public_url") or f"{scheme}://{http.get('host', unless.host)}:{http.get('port', unless.port)}"
    return Letterhead(entry["environment"], site, str(url).rstrip("/"))


@dataclass(frozen=True)
class _InForce:
    """A configuration that took force: what it says is read from its entry alone, when it is asked for."""

    body: ConfigurationBody
    judges: Judges

    @cached_property
    def judge(self) -> Judge:
        return self.judges.of(self.body)

    @cached_property
    def letterhead(self) -> Letterhead:
        return letterhead_of(self.body.entry, self.judge[0].site)

    @cached_property
    def roster(self) -> Roster:
        try:
            return roster_from_entry(self.body.entry, self.judge[0])
        except (ConfigurationError, Unreadable) as error:
            log.error("whom to tell cannot be read from the journal (%s): every channel is told", error)
            return Roster(tuple(self.body.entry.get("channels", ())))


class Paging:
    """An excursion's page speaks of the rule and the point that judged it, and goes to the channels of the moment of its alarm.

    A channel that was added later gets nothing of what was before it, also when state.db is computed again. `journalled` are
    configurations that took force, each with its moment (int ns UTC), oldest first: what is told follows from them alone.
    """

    def __init__(self, judges: Judges, journalled: Iterable[tuple[int, ConfigurationBody]] = ()) -> None:
        self._judges = judges
        self._moments: list[int] = []
        self._in_force: list[_InForce] = []
        for at, body in journalled:
            self.know(at, body)

    def know(self, at: int, body: ConfigurationBody) -> None:
        """One more configuration took force at a moment not before any other; one that is known is known."""
        if not self._moments or at > self._moments[-1] or (at == self._moments[-1] and body.entry != self._in_force[-1].body.entry):
            self._moments.append(at)
            self._in_force.append(_InForce(body, self._judges))

    def plan(self, body: ConfigurationBody, number_of: Mapping[str, int], at: int) -> Plan:
        """What a ledger judges by from `at` on; whoever pages must know it before anything is judged by it."""
        self.know(at, body)
        return self._judges.plan(body, number_of, at)

    def alarms(self, store: StateStore, limits: Limits | None = None) -> Alarms:
        """The alarms of a state store, told as these configurations say; `limits` stand for theirs."""
        return Alarms(store, self.pages, Escalation(store, self), lambda at: limits or self.roster(at).limits, self.briefly)

    def pages(self, excursion: Excursion, alarm: str, at: int) -> Sequence[tuple[str, Page]]:
        """The page of a new alarm at `at` (int ns UTC), for each target."""
        page = self.page(excursion, alarm, at, self.roster(at).language)
        return [(target, page) for target in self._at(at).body.entry.get("channels", ())]

    def roster(self, at: int) -> Roster:
        """Whom the configuration in force at a moment has to tell; before the first nobody."""
        return self._at(at).roster if self._in_force else Roster()

    def subject(self, excursion: Excursion) -> Subject:
        """What routes ask of an excursion's alarm."""
        facility, rule = self._judged(excursion, self._moments[-1])
        point = OUR_CLOCK if excursion.point == OURS else facility.judged_by_id[excursion.point]
        return subject_of(rule, point, facility)

    def page(self, excursion: Excursion, alarm: str, at: int, language: str = ENGLISH, occasion: Occasion = AS_FOUND) -> Page:
        """What is told of an excursion's alarm at a moment."""
        facility, rule = self._judged(excursion, at)
        head = self._at(at).letterhead
        return render(excursion, alarm=alarm, rule=rule, facility=facility, letterhead=head, at=at, language=language, occasion=occasion)

    def briefly(self, excursion: Excursion, at: int, language: str = ENGLISH) -> tuple[Brief, Letterhead]:
        """The same in a few words, and what stands on every page."""
        facility, rule = self._judged(excursion, at)
        head = self._at(at).letterhead
        return brief(excursion, rule=rule, facility=facility, site=head.site, language=language), head

    def looks_after_tests(self, at: int) -> bool:
        """Whether a rule in force finds tests that nobody acknowledged."""
        facility, rules, _ = self._at(at).judge
        point = facility.point_by_id.get(TESTS_MISSED)
        return point is not None and any(judges(rule, point, facility) for rule in rules)

    def drill(self, drill: Drill, at: int, language: str = ENGLISH, before: Before = FIRST) -> Page:
        """What is told of a test: please acknowledge, or that nobody did."""
        words = words_of(language)
        own = self._at(at).letterhead
        head = replace(own, public_url=f"{own.public_url}/oncall/tests/{drill.id}" if own.public_url else "")
        zone = ZoneInfo(own.site.timezone)
        missed = drill.missed_at is not None
        word, moment = ("drill_missed", drill.at) if missed else ("drill", drill.deadline)
        problem, do = words[word].format(f"{shown(moment, zone):%H:%M}"), words[f"{word}_do"].format(drill.id)
        page = notice(SERVICE if missed else TEST, problem, letterhead=head, at=at, do=do, language=language, before=before)
        return replace(page, id=f"{drill.id}-{'missed' if missed else 'test'}", alarm=drill.id)

    def day(self, day: Day, at: int, language: str = ENGLISH) -> Page:
        """The message of a day."""
        words = words_of(language)
        counted = {"over_unacknowledged" if state == RETURNED else state: count for state, count in day.states.items()} | day.flags
        more = {
            "journal": words["entry"].format(day.entry, day.head),
            "trail": words["row"].format(day.row, day.trail),
            "alarms": "; ".join(f"{words[word]}: {count}" for word, count in sorted(counted.items())) or words["none"],
            "out": ", ".join(day.out) or words["none"],
            "verified": words["never"] if day.verified is None else format_time(day.verified),
        }
        stand = sum(day.states.values())
        problem = words["daily_one" if stand == 1 else "daily"].format(stand)
        page = notice(SERVICE, problem, letterhead=self._at(at).letterhead, at=at, do=words["daily_do"], language=language, more=more)
        facts: dict[str, Fact] = {"entry": day.entry, "head": day.head, "row": day.row, "trail": day.trail}
        return replace(page, id=f"daily-{at}", facts=page.facts | facts)

    def answer(self, heard: Heard, by: str, at: int, language: str = ENGLISH) -> Page:
        """What the sender of a reply is told."""
        words = words_of(language)
        told = words["reply_refused"].format(heard.alarm or "-", heard.why) if heard.why else words["reply_taken"].format(heard.alarm, by)
        do = words["reply_refused_do" if heard.why else "reply_taken_do"]
        own = self._at(at).letterhead
        head = replace(own, public_url=own.link(heard.alarm))
        page = notice(SERVICE, told, letterhead=head, at=at, do=do, language=language)
        return replace(page, id=f"reply-{heard.entry}")

    def _judged(self, excursion: Excursion, at: int) -> tuple[Facility, Rule]:
        """The facility and the rule that judged it, in the words of a moment: of configurations that judge alike the newest by then."""
        alike = [(begun, one) for begun, one in zip(self._moments, self._in_force, strict=True) if one.body.hash == excursion.config]
        _, told = next((one for one in reversed(alike) if one[0] <= at), alike[0])
        facility, rules, _ = told.judge
        return facility, as_told(next(rule for rule in rules if rule.id == excursion.rule), excursion)

    def _at(self, at: int) -> _InForce:
        """The configuration in force at a moment."""
        return self._in_force[self._number(at)]

    def _number(self, at: int) -> int:
        return max(0, bisect_right(self._moments, at) - 1)
