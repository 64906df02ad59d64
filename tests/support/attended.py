"""A point with one rule, told second by second: readings, rooms' states, what people do; and who was told what, by whoever collects it."""

from __future__ import annotations

from typing import Any

from alerts.alarms import Alarms, Answer
from alerts.duty.load import Limits
from alerts.ledger import Ledger
from alerts.lifecycle.lifecycle import Alarm
from alerts.lifecycle.standing import Standing
from alerts.lifecycle.surroundings import stays_of
from alerts.pages.page import RAISED, Brief, Letterhead, Page, brief, page_id
from alerts.record.store import StateStore
from facility.durations import parse_duration
from facility.site import SECOND_NS, Facility, Place, Point, Site
from ingest.journal.entries import ACTION, INGEST, STEP, ActionBody, IngestBody, SayingNote, State, StepBody
from rules.excursion import Excursion
from rules.rule import Bound, Rule
from tests.support.admitted import Row
from tests.support.living import Life, PlainMemory
from tests.support.signed import signed_over
from tests.support.strategies import Story

START = 1_780_000_000 * SECOND_NS
LAB = Place("lab", "Lab", points=("t",))
POINT = Point("t", "temperature", "degC", "lab", period_ns=SECOND_NS)
FACILITY = Facility(Site("site", "Site"), (LAB,), (POINT,))
ONE_BY_ONE = Limits(chattering=1000, flood=1000)
"""Nothing chatters or floods: each second is a story of its own."""
TABLES = ("alarms", "alarm_groups", "annunciations", "excursions", "audit", "outbox", "members", "stood", "outages", "stays")


def rule_of(**keys: Any) -> Rule:
    """Above 10 degC, with these keys; durations as text."""
    keys = {name: parse_duration(value) if name in ("on_delay", "off_delay", "realarm") else value for name, value in keys.items()}
    return Rule("warm", "limit", above=Bound(10.0), **{"priority": "high", **keys})


class Attended(Life):
    """Each happening is a second with a step at its end. A page that `told` does not ask for is an error, and so is a missing one."""

    def __init__(self, *rules: Rule, facility: Facility = FACILITY, limits: Limits | None = None) -> None:
        self.at, self.limits = START, limits or Limits()
        super().__init__(Story(facility, rules or (rule_of(),), {}, ()), start=START)
        self.restarting = False
        self._told = 0
        self.step(START)

    def _limits(self, at: int) -> Limits:
        return self.limits

    # What happens

    def reads(self, *values: float, point: str = "t", ago: float = 0) -> None:
        """A reading of each second; `ago` seconds old."""
        for value in values:
            self.arrive([Row(point, self.at - int(ago * SECOND_NS), value, received=self.at)])
            self.waits()

    def waits(self, seconds: int = 1) -> None:
        self._all_told()
        self.at += seconds * SECOND_NS
        for stay in stays_of(self.store):
            if stay.until <= self.at:
                self._say(stay.place, stay.before, SayingNote("renrum", "over", None, stay.state), stay.until)
        self.step(self.at)
        if self.restarting:
            self.restart()

    def is_in(self, state: str, place: str = "lab", until: int | None = None, before: str = "in_operation") -> None:
        """Somebody says what goes on, until so many seconds from now."""
        self._say(place, state, SayingNote("Karin", "plan", None if until is None else self.at + until * SECOND_NS, before), self.at)
        self.waits()

    def does(
        self, action: str, target: str = "A1", by: str = "Karin", why: str = "work", until: int | None = None, signed: bool = False
    ) -> Answer:
        """A person does something; `until` in seconds from now."""
        body = ActionBody(action, target, by, why, None if until is None else self.at + until * SECOND_NS)
        if signed:
            body = signed_over(self.store, body)
        entry = self._entry(ACTION, body, self.at)
        self.pending.append(entry)
        self.waits()
        return self.answers[entry.seq]

    # What came of it

    def told(self, *alarms: str) -> None:
        """Exactly these alarms were paged of since the last call."""
        pages = self.pages()
        new, self._told = pages[self._told :], len(pages)
        assert new == list(alarms), f"told of {new}, not of {list(alarms)}"

    def pages(self) -> list[str]:
        return [row[0] for row in self.store.rows("select alarm from outbox order by id")]

    def alarms(self) -> list[Alarm]:
        return Standing(self.store).where("1")

    def is_now(self, *described: str) -> None:
        """State and flags of all alarms, flags without their times."""
        assert [" ".join((alarm.state, *alarm.flags)) for alarm in self.alarms()] == list(described)

    def dump(self) -> dict[str, list[Any]]:
        """All that is computed."""
        return {table: self.store.rows(f"select * from {table} order by 1, 2") for table in TABLES}

    def again(self) -> dict[str, list[Any]]:
        """All that is computed from the journal by another ledger."""
        store, entries = StateStore(":memory:"), []
        alarms = Alarms(store, self._pages, limits=self._limits, briefly=self._briefly)
        ledger = Ledger(store, PlainMemory(), self._plan, alarms)  # type: ignore[arg-type]
        for entry in self.journal.kept:
            entries.append(entry)
            if entry.kind == STEP:
                ledger.apply(entries)
                entries = []
        return {table: store.rows(f"select * from {table} order by 1, 2") for table in TABLES}

    def step(self, at: int) -> None:
        self.pending.append(self._entry(STEP, StepBody(0), at))
        self.answers = self.ledger.apply(self.pending).answers
        self.pending = []

    def _all_told(self) -> None:
        assert len(self.pages()) == self._told, f"told of {self.pages()[self._told :]}, unexpectedly"

    def _begin(self) -> None:
        super()._begin()
        alarms = Alarms(self.store, self._pages, limits=self._limits, briefly=self._briefly)
        self.ledger = Ledger(self.store, self.memory, self._plan, alarms)  # type: ignore[arg-type]

    def _pages(self, excursion: Excursion, alarm: str, at: int) -> list[tuple[str, Page]]:
        return [("sink", Page(page_id(excursion, alarm, RAISED), alarm, RAISED, at, excursion.rule, excursion.point))]

    def _briefly(self, excursion: Excursion, at: int, language: str) -> tuple[Brief, Letterhead]:
        facility, rule = self.story.facility, next(rule for rule in self.story.rules if rule.id == excursion.rule)
        return brief(excursion, rule=rule, facility=facility, site=facility.site, language=language), Letterhead("demo", facility.site)

    def _say(self, place: str, state: str, note: SayingNote, time: int) -> None:
        if (place, time) in self.states:
            return
        self.states[place, time] = state
        body = IngestBody(1, 0, b"", b"", b"", b"", b"", [], [State(place, time, state)], [], "console", None, note)
        self.pending.append(self._entry(INGEST, body, max(time, self.at)))


__all__ = ["FACILITY", "LAB", "ONE_BY_ONE", "POINT", "START", "Attended", "rule_of"]
