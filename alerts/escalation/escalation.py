"""Escalation: who is told of an alarm, one after another, until somebody acknowledges. State in state.db, by the step's clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from alerts.duty.course import Course, Notice, everyone, go_on, next_way, told_by
from alerts.duty.replies import Heard, unanswered
from alerts.duty.roster import Policy, Roster, Step, Subject
from alerts.duty.rotation import Override
from alerts.escalation.daily import Days, DayTelling
from alerts.escalation.drills import DRILL, TESTS, Drill, drills
from alerts.lifecycle.group_page import headed, lead, told_as
from alerts.lifecycle.groups import CHATTER, DONE, Groups
from alerts.lifecycle.lifecycle import ACKNOWLEDGED, LATCHED_ACKNOWLEDGED, NORMAL, RETURNED, Alarm
from alerts.lifecycle.standing import Standing
from alerts.pages.page import FIRST, GROUPS, Before, Brief, Letterhead, Occasion, Page, encode
from alerts.pages.page import RETURNED as OVER
from alerts.pages.wording import words_of
from alerts.record.store import StateStore
from ingest.journal.entries import DeliveryBody
from rules.excursion import Excursion

TESTED = Subject("critical", "technical", "oncall-test")
"""What is asked of the ways of those who are tested: those that they are woken by."""
NEVER = Policy("", ())
GOING = ("", "told")
JOINED, FAREWELL = "more joined", "over"
"""Remarks of notices that are no step: news of the same alarm, of which nobody is reminded."""


class Telling(DayTelling, Protocol):
    """What the configurations that the journal keeps say of telling people; all times are int ns UTC."""

    def roster(self, at: int) -> Roster:
        """Whom there is to tell at a moment."""

    def subject(self, excursion: Excursion) -> Subject:
        """What routes ask of an excursion's alarm."""

    def page(self, excursion: Excursion, alarm: str, at: int, language: str, occasion: Occasion) -> Page:
        """What is told of an alarm, or of a group with such a lead, at a moment, in a person's language where there is one."""

    def briefly(self, excursion: Excursion, at: int, language: str) -> tuple[Brief, Letterhead]:
        """The same in a few words, and what stands on every page."""

    def looks_after_tests(self, at: int) -> bool:
        """Whether a rule in force finds tests that nobody acknowledged: its alarm is told then."""

    def answer(self, heard: Heard, by: str, at: int, language: str) -> Page:
        """What the sender of a reply is told: why it was refused, or by whom the alarm is acknowledged (empty: by nobody)."""

    def drill(self, drill: Drill, at: int, language: str, before: Before = FIRST) -> Page:
        """What is told of a test at a moment: please acknowledge, or that nobody did."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is told as one: an alarm as it stands, or a test that nobody acknowledged.

    `page` makes what is told at a moment in a language, `farewell` that the condition is over. `over` says why nobody needs to be told any
    more, empty where somebody does. `inactive`: the condition is over, `returned`: and nobody has acknowledged, `stale`: and late readings
    showed it.
    """

    subject: Subject
    page: Callable[[int, str, Before], Page]
    over: str = ""
    returned: bool = False
    inactive: bool = False
    stale: bool = False
    farewell: Callable[[int, str, Before], Page] | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    unit: str
    alarm: str
    course: Course | None
    notices: int
    ended: str = ""
    begun: int = 0
    told_over: int | None = None


class Escalation:
    """Every change is made within the step's transaction. In memory is only whom the step told of what: one page of a unit is enough."""

    def __init__(self, store: StateStore, telling: Telling) -> None:
        self._store, self._telling = store, telling
        self._told: set[tuple[str, str]] = set()
        self._days = Days(store, telling)

    def forget(self) -> None:
        """A step begins."""
        self._told.clear()

    def begin(self, unit: str, alarm: str, at: int) -> bool:
        """Somebody is to be told of an alarm, again if they were; False where nobody is chosen at that moment, so that everyone is."""
        if not self._telling.roster(at).chooses:
            return False
        self._store.execute(
            "insert into escalations values (?, ?, '', 0, 0, 0, ?, '', ?, null) on conflict (unit) do update set alarm = excluded.alarm,"
            " policy = '', since = 0, given = 0, due = excluded.due, ended = '', begun = excluded.begun, over = null",
            (unit, alarm, at, at),
        )
        return True

    def update(self, unit: str, waiting: bool, at: int) -> bool:
        """More joined a group: tell those that were told, while that goes on; else begin anew where one waits. False: everyone is told."""
        roster = self._telling.roster(at)
        if not roster.chooses:
            return False
        columns = "unit, alarm, policy, since, given, notices, ended, begun"
        rows = self._store.rows(f"select {columns} from escalations where unit = ?", (unit,))
        if not rows or (waiting and rows[0][6] not in GOING):
            return self.begin(unit, unit, at)
        row = _Row(unit, unit, None, rows[0][5], begun=rows[0][7])
        found, policy = self._unit(row, at), rows[0][2]
        if found is None:
            return True
        told = self._store.rows("select step, person, named, target from notices where unit = ? and policy = ? order by id", (unit, policy))
        languages = {id: person.language for id, person in roster.people.items()}
        notices = {t: Notice(step, person, named, t, languages.get(person, "en")) for step, person, named, t in told if t in roster.targets}
        self._queue(row, found.page, list(notices.values()), policy, JOINED, at)
        over = at if found.inactive else None  # a page of what is over says so
        self._store.execute("update escalations set notices = notices + 1, over = coalesce(over, ?) where unit = ?", (over, unit))
        return True

    def next_due(self) -> int | None:
        """When somebody is to be told next, or to be chosen anew; a step is taken then."""
        due: int | None = self._store.rows("select min(due) from escalations where due is not null")[0][0]
        return min((one for one in (due, self._days.next_due()) if one is not None), default=None)

    def go_on(self, at: int, changed: Collection[str]) -> None:
        """At a step's clock: end what is over of the alarms that changed, tell what is due."""
        self._drill(at)
        self._answer(at)
        self._days.go_on(at)
        going = self._going(at, changed)
        if not going:
            return
        roster, made = self._telling.roster(at), swaps(self._store, at)
        for row, due in going:
            unit = self._unit(row, at)
            if row.ended not in GOING:
                pass
            elif unit is None or unit.over:
                self._end(row, "gone" if unit is None else unit.over)
            elif due or (row.course is None and not unit.stale):
                self._tell(row, unit, roster, made, at)
            elif unit.returned and row.course is not None and roster.policies.get(row.course.policy, NEVER).until_returned:
                self._end(row, "returned")
            if unit is not None and row.course is not None and unit.inactive != (row.told_over is not None):
                self._farewell(row, unit, roster, at)

    def failed(self, body: DeliveryBody, at: int) -> None:
        """The first try of a way failed: whoever was to be told by it is told by their next one, while that goes on."""
        if body.ok or body.attempt != 1:
            return
        told = self._store.rows(
            "select unit, alarm, policy, step, person, named from notices where page = ? and target = ? and person != '' and"
            " case policy when ? then unit in (select id from drills where acknowledged_at is null and missed_at is null)"
            " else unit in (select unit from escalations where ended in ('', 'told')) end",
            (body.page, body.target, DRILL),
        )
        if not told:
            return
        roster = self._telling.roster(at)
        for unit, alarm, policy, step, person, named in told:
            found = self._unit(_Row(unit, alarm, None, 0), at)
            if person not in roster.people or found is None or found.over:
                continue
            tried = [
                target for (target,) in self._store.rows("select target from notices where page = ? and person = ?", (body.page, person))
            ]
            way = next_way(roster.people[person], TESTED.priority if policy == DRILL else found.subject.priority, tried)
            page = self._store.rows("select page from outbox where page_id = ? and target = ?", (body.page, body.target))
            for target in way.targets if way is not None and page else ():
                self._store.queue(body.page, alarm, target, page[0][0], at)
                self._note(unit, alarm, at, policy, Notice(step, person, named, target), body.page, f"{body.target} failed")

    def _going(self, at: int, changed: Collection[str]) -> list[tuple[_Row, bool]]:
        """Those that are due, and those whose alarm changed."""
        columns = "unit, alarm, policy, since, given, notices, due, ended, begun, over"
        found = self._store.rows(f"select {columns} from escalations where due <= ? order by due, length(unit), unit", (at,))
        seen = {row[0] for row in found}
        for alarm in dict.fromkeys(changed):
            rows = self._store.rows(f"select {columns} from escalations where alarm = ?", (alarm,))
            found += [row for row in rows if row[0] not in seen]
        return [
            (_Row(unit, alarm, Course(policy, since, given) if policy else None, notices, *rest), due is not None and due <= at)
            for unit, alarm, policy, since, given, notices, due, *rest in found
        ]

    def _unit(self, row: _Row, at: int) -> Unit | None:
        """The unit as it stands: the one place that asks the life of alarms."""
        if row.alarm.startswith(TESTS):
            drill = drills(self._store, "id = ?", row.alarm)[0]
            over = f"acknowledged by {drill.acknowledged_by}" if drill.acknowledged_at is not None else ""
            return Unit(Subject("high", "technical", "oncall-test"), partial(self._telling.drill, drill), over)
        standing = Standing(self._store)
        if row.alarm.startswith(GROUPS):
            return self._group(row.alarm, standing, at)
        alarm = standing.find(row.alarm)
        if alarm is None:
            return None
        excursion = standing.excursion(alarm)
        subject = replace(self._telling.subject(excursion), priority=alarm.priority, level=excursion.level)
        over = f"acknowledged by {alarm.acknowledged_by}" if alarm.state in (ACKNOWLEDGED, LATCHED_ACKNOWLEDGED, NORMAL) else ""
        # When the last flag is gone, telling begins anew.
        over = over or " and ".join(alarm.flags).replace("_", " ")
        inactive, began = not alarm.active, standing.levels.began(alarm.id)
        acknowledged = alarm.state in DONE

        def told(at: int, language: str, before: Before, kind: str = "") -> Page:
            return self._telling.page(excursion, alarm.id, at, language, Occasion(kind, inactive, acknowledged, began, before))

        farewell = partial(told, kind=OVER) if alarm.annunciated else None
        return Unit(subject, told, over, alarm.state == RETURNED, inactive, excursion.late and inactive, farewell)

    def _group(self, id: str, standing: Standing, at: int) -> Unit | None:
        """A group goes on while one of its alarms waits; what is told is the worst of those, and all that stand.

        That it is over is told of those alarms that were told, and while they chatter of none.
        """
        groups = Groups(self._store, standing)
        group, alarms = groups.find(id), groups.members(id)
        if group is None or not alarms:
            return None
        waiting = [alarm for alarm in alarms if alarm.annunciated and alarm.state not in DONE]
        stand = waiting or [alarm for alarm in alarms if alarm.annunciated] or alarms
        top = lead(stand)
        excursion = standing.excursion(top)
        over = "" if waiting else f"acknowledged by {max(stand, key=lambda alarm: alarm.acknowledged_at or 0).acknowledged_by}"
        if not waiting and not any(alarm.annunciated for alarm in alarms):
            over = " and ".join(dict.fromkeys(flag for alarm in alarms for flag in alarm.flags)).replace("_", " ")
        subject = replace(self._telling.subject(excursion), priority=top.priority, level=excursion.level)

        told_of = [alarm for alarm in alarms if max(alarm.raised_at, alarm.risen_at or 0) <= group.told]

        def page(at: int, language: str, before: Before, of: Sequence[Alarm] = alarms, kind: str = "") -> Page:
            shown = [alarm for alarm in of if alarm.annunciated and (kind or alarm.state != NORMAL)] or (of if kind else stand)
            first = lead(shown)
            occasion = Occasion(kind, not first.active, first.state in DONE, standing.levels.began(first.id), FIRST)
            id = told_as(group, shown)
            if id == first.id:
                occasion = replace(occasion, before=before)
            written = self._telling.page(standing.excursion(first), id, at, language, occasion)
            return headed(written, group, shown, self._store, self._telling.briefly, at, before)

        returned = bool(waiting) and all(alarm.state == RETURNED for alarm in waiting)
        inactive = not any(alarm.active for alarm in told_of) and not (group.kind == CHATTER and group.until > at)
        farewell = partial(page, of=told_of, kind=OVER) if any(alarm.annunciated for alarm in told_of) else None
        return Unit(subject, page, over, returned, inactive, inactive and all(alarm.late for alarm in alarms), farewell)

    def _drill(self, at: int) -> None:
        """Tell tests to those who are tested; of one that nobody acknowledged tell whom a technical alarm is told to."""
        for drill in drills(self._store, "told_at is null"):
            roster = self._telling.roster(at)
            step = Step(0, drill.names)
            found = told_by(roster, TESTED, step, 1, at, swaps(self._store, at)) if drill.names else list(everyone(roster, 1))
            row = _Row(drill.id, drill.id, None, 0)
            self._queue(row, partial(self._telling.drill, drill), found or list(everyone(roster, 1)), DRILL, "", at)
            self._store.execute("update drills set told_at = ? where id = ?", (at, drill.id))
        for drill in drills(self._store, "missed_at is not null and raised_at is null"):
            self._store.execute("update drills set raised_at = ? where id = ?", (at, drill.id))
            if self._telling.looks_after_tests(at):
                continue
            self._store.execute("insert into escalations values (?, ?, '', 0, 0, 0, ?, '', ?, null)", (drill.id, drill.id, at, at))

    def _answer(self, at: int) -> None:
        """Tell those who replied by mail what came of it, once each."""
        for heard in unanswered(self._store):
            person = self._telling.roster(at).people.get(heard.person)
            unit = None if heard.why else self._unit(_Row(heard.alarm, heard.alarm, None, 0), at)
            _, _, by = unit.over.partition("acknowledged by ") if unit is not None else ("", "", "")
            page = self._telling.answer(heard, by, at, person.language if person is not None else "en")
            self._store.queue(page.id, "", heard.address, encode(page).decode(), at)
            self._store.execute("update replies set told_at = ? where entry = ?", (at, heard.entry))

    def _tell(self, row: _Row, unit: Unit, roster: Roster, made: Sequence[Override], at: int) -> None:
        if row.course is None and unit.stale and roster.hours is not None and (opens := roster.hours.opens(at)) > at:
            self._store.execute("update escalations set due = ? where unit = ?", (opens, row.unit))
            return
        going = go_on(roster, unit.subject, row.course, at, made)
        policy = roster.policies.get(going.course.policy)
        if unit.returned and policy is not None and policy.until_returned and row.course is not None:
            self._end(row, "returned")
            return
        if going.notices:
            self._queue(row, unit.page, going.notices, going.course.policy, "; ".join(going.remarks), at)
        ended = "" if going.due is not None else "told"
        given = row.notices + bool(going.notices)
        over = at if row.course is None and unit.inactive else row.told_over  # a page of what is over says so
        self._store.execute(
            "update escalations set policy = ?, since = ?, given = ?, notices = ?, due = ?, ended = ?, over = ? where unit = ?",
            (going.course.policy, going.course.since, going.course.given, given, going.due, ended, over, row.unit),
        )

    def _farewell(self, row: _Row, unit: Unit, roster: Roster, at: int) -> None:
        """The condition is over: those who were told hear of it, where their policy says so; or it is back, and will be over once more."""
        assert row.course is not None
        policy = roster.policies.get(row.course.policy)
        if unit.inactive and unit.farewell is not None and policy is not None and policy.returned:
            told = self._store.rows(
                "select step, person, named, target from notices where unit = ? and at >= ? group by target order by min(id)",
                (row.unit, row.begun),
            )
            notices = [
                Notice(step, person, named, target, roster.people[person].language if person in roster.people else roster.language)
                for step, person, named, target in told
            ]
            self._queue(row, unit.farewell, notices, policy.id, FAREWELL, at)
        over = at if unit.inactive else None
        self._store.execute("update escalations set over = ?, notices = notices + ? where unit = ?", (over, unit.inactive, row.unit))

    def _queue(
        self, row: _Row, written: Callable[[int, str, Before], Page], notices: Sequence[Notice], policy: str, remark: str, at: int
    ) -> None:
        """The page of this moment for each target, once in each language and number of reminders; later ones have numbered ids."""
        before = self._before(row)
        pages: dict[tuple[str, int], Page] = {}
        for notice in notices:
            if (row.unit, notice.target) in self._told:
                continue
            self._told.add((row.unit, notice.target))
            reminder = (
                0 if remark in (JOINED, FAREWELL) else len({page for who, page, _ in before if who == (notice.person or notice.target)})
            )
            key = notice.language, reminder
            if key not in pages:
                page = written(at, notice.language, self._told_before(before, reminder, notice.language, at))
                pages[key] = replace(page, id=f"{page.id}-{row.notices + 1}") if row.notices else page
            page = pages[key]
            self._store.queue(page.id, page.alarm or row.alarm, notice.target, encode(page).decode(), at)
            self._note(row.unit, row.alarm, at, policy, notice, page.id, remark)

    def _before(self, row: _Row) -> list[tuple[str, str, int]]:
        """Who (a person, or a target) was told of a unit since it began, by which page, when; without what was news of it only."""
        query = (
            "select case person when '' then target else person end, page, at from notices"
            " where unit = ? and at >= ? and remark not in (?, ?) order by id"
        )
        return self._store.rows(query, (row.unit, row.begun, JOINED, FAREWELL))

    def _told_before(self, before: Sequence[tuple[str, str, int]], reminder: int, language: str, at: int) -> Before:
        """The same in names."""
        if not before:
            return FIRST
        people, everyone = self._telling.roster(at).people, words_of(language)["everyone"]
        names = dict.fromkeys(people[who].name or who if who in people else everyone for who, _, _ in before)
        return Before(reminder, tuple(names), before[0][2])

    def _note(self, unit: str, alarm: str, at: int, policy: str, notice: Notice, page: str, remark: str) -> None:
        self._store.execute(
            "insert into notices values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (unit, alarm, at, policy, notice.step, notice.person, notice.named, notice.target, page, remark),
        )

    def _end(self, row: _Row, why: str) -> None:
        self._store.execute("update escalations set due = null, ended = ? where unit = ?", (why, row.unit))


def swaps(store: StateStore, since: int = 0) -> tuple[Override, ...]:
    """The swaps that end after a moment (int ns UTC), the newest last; raises StateUnavailable."""
    rows = store.rows("select rotation, start, until, person, instead_of, reason from overrides where until > ? order by entry", (since,))
    return tuple(Override(*row) for row in rows)
