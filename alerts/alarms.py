"""Alarms of excursions, changed by the table of transitions, told to every target through the outbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from alerts.duty.load import LimitsAt
from alerts.escalation.escalation import Escalation
from alerts.lifecycle.flags import ACCEPTED, ALREADY, REFUSED, UNKNOWN, Answer, Flags
from alerts.lifecycle.group_page import Briefly, headed, lead, told_as
from alerts.lifecycle.groups import Group, Groups, groups_of
from alerts.lifecycle.levels import RANK
from alerts.lifecycle.lifecycle import (
    ACKNOWLEDGE,
    FALL,
    LATCH,
    LATCHED_UNACKNOWLEDGED,
    NORMAL,
    RAISE,
    RESET,
    RETURN,
    RISE,
    SHELVE,
    UNACKNOWLEDGED,
    UNSHELVE,
    Alarm,
)  # fmt: skip
from alerts.lifecycle.standing import Moment, Standing
from alerts.pages.page import GROUPS, Page, encode
from alerts.record.audit import SYSTEM
from alerts.record.store import StateStore
from ingest.journal.entries import ActionBody, DeliveryBody
from rules.excursion import Excursion
from rules.rule import Rule

__all__ = ["Alarms", "Answer", "Paging", "nobody"]

Paging = Callable[[Excursion, str, int], Sequence[tuple[str, Page]]]
"""Which page goes to which target for an excursion's alarm at a moment."""


def nobody(excursion: Excursion, alarm: str, at: int) -> Sequence[tuple[str, Page]]:
    """No pages: for proofs and back-tests, which must wake nobody."""
    return ()


class Alarms:
    """The alarms of a state store; every change is made within the step's transaction."""

    def __init__(
        self,
        store: StateStore,
        paging: Paging = nobody,
        escalation: Escalation | None = None,
        limits: LimitsAt | None = None,
        briefly: Briefly | None = None,
    ) -> None:
        """`escalation` tells one after another where people are chosen; else every target of `paging` gets each page.

        `limits` say which alarms are told together; without, those of the standards. Who pages has the words of groups: `briefly`.
        """
        self._escalation, self._briefly = escalation, briefly
        self._store = store
        self._paging = paging
        self._standing = Standing(store)
        self._levels = self._standing.levels
        self.flags = Flags(store, self._standing)
        self.groups = Groups(store, self._standing, limits)

    def raised(self, excursion: Excursion, rule: Rule, moment: Moment) -> None:
        """A new alarm, and a page to every target; of `levels` that of what it overlaps, of a rule that latches the one that stands."""
        own = _own_alarm(excursion.id)
        if rule.alarm or rule.latch:
            alarm_id = self._levels.overlapped(excursion, rule.alarm) if rule.alarm else None
            if alarm_id is None and rule.latch:
                alarm_id = self._levels.latched(rule, excursion.point)
            self._levels.add(excursion, alarm_id or own, rule)
            if alarm_id is not None:
                self._joined(excursion, rule, moment)
                return
        alarm = Alarm(
            id=own,
            excursion=excursion.id,
            rule=rule.alarm or rule.id,
            point=excursion.point,
            level=excursion.level,
            priority=rule.priority,
            state=UNACKNOWLEDGED,
            late=excursion.late,
            raised_at=moment.at,
        )
        alarm = replace(alarm, **self.flags.of_new(alarm, rule, excursion, moment))
        reason = "found in late readings" if excursion.late else "excursion raised"
        self._standing.begin(alarm, RAISE, SYSTEM, reason, moment)
        self.flags.outgrown(alarm, rule, moment)
        self._standing.tell_of(alarm.id, excursion)

    def _joined(self, excursion: Excursion, rule: Rule, moment: Moment) -> None:
        """An alarm got another excursion: a higher level than it has is told anew, and so is one that finds it over."""
        alarm = self._of(excursion)
        if alarm.active and RANK.get(excursion.level, 0) <= RANK.get(alarm.level, 0):
            return
        event, reason = (RISE, f"from {alarm.level} to {excursion.level}") if alarm.active else (RAISE, "excursion raised")
        now = {"excursion": excursion.id, "level": excursion.level, "priority": rule.priority, "risen_at": moment.at, "returned_at": None}
        now |= self._anew(alarm, rule, excursion, moment) or {"suppressed": self.flags.suppressing(rule, excursion, moment)}
        changed = self._standing.change(alarm, event, SYSTEM, reason, moment, **now)
        if changed is not None:
            self._standing.tell_of(alarm.id, excursion)
            self.flags.outgrown(changed, rule, moment)

    def tell(self, moment: Moment) -> None:
        """Page of what there is to tell: an alarm that changed more than once in a step is told once, of the highest level reached."""
        untold, self._standing.untold = self._standing.untold, {}
        news = []
        for id, (excursion, again) in untold.items():
            alarm = self.find(id)
            assert alarm is not None, id
            if alarm.annunciated and (not again or alarm.state in (UNACKNOWLEDGED, LATCHED_UNACKNOWLEDGED)):
                news.append((alarm, excursion, again))
        for told in self.groups.arrange(news, moment) if news else ():
            if told.group is not None:
                self._page_group(told.group, moment.at)
            else:
                self._page(told.excursion or self._standing.excursion(told.alarm), told.alarm, moment.at, told.again)

    def elapse(self, moment: Moment) -> None:
        """At a step's clock, after all that it brought: tell of alarms alone, and of those that joined a group."""
        self.tell(moment)
        for group in self.groups.due(moment.at):
            if self._escalation is None or not self._escalation.update(group.id, self.groups.waiting(group.id), moment.at):
                self._page_group(group, moment.at)

    def forget(self) -> None:
        """A step begins: nothing of one that failed is told."""
        self._standing.untold.clear()
        if self._escalation is not None:
            self._escalation.forget()

    def raised_again(self, excursion: Excursion, moment: Moment) -> None:
        """Late readings showed that an excursion is not over."""
        alarm, rule = self._of(excursion), moment.surroundings.rule(excursion.rule)
        now = {"returned_at": None} | self._anew(alarm, rule, excursion, moment)
        self._standing.change(alarm, RAISE, SYSTEM, "open again, by late readings", moment, **now)
        self._show_highest(excursion, moment)

    def _anew(self, alarm: Alarm, rule: Rule, excursion: Excursion, moment: Moment) -> dict[str, Any]:
        """The flags of an alarm that was done, and stands again."""
        return self.flags.of_new(replace(alarm, priority=rule.priority), rule, excursion, moment) if alarm.state == NORMAL else {}

    def returned(self, excursion: Excursion, reason: str, moment: Moment) -> None:
        """The condition is over, or was never there."""
        if self._show_highest(excursion, moment):
            return
        alarm = self._of(excursion)
        event = LATCH if moment.surroundings.rule(excursion.rule).latch else RETURN
        highest = self._levels.highest(alarm.id, still_open=False)
        self._standing.change(alarm, event, SYSTEM, reason, moment, returned_at=moment.at, **_shown(highest))

    def _show_highest(self, excursion: Excursion, moment: Moment) -> bool:
        """Let an alarm of several excursions have the level of its highest open one; False when none is open, or for any other alarm."""
        alarm_id = self._levels.alarm_of(excursion.id)
        highest = None if alarm_id is None else self._levels.highest(alarm_id, still_open=True)
        if highest is None:
            return False
        now, alarm = highest[0], self._of(excursion)
        step = RANK.get(now.level, 0) - RANK.get(alarm.level, 0)
        if step:
            reason = f"from {alarm.level} to {now.level}"
            changed = self._standing.change(alarm, RISE if step > 0 else FALL, SYSTEM, reason, moment, **_shown(highest))
            if changed is not None and step > 0:
                self.flags.outgrown(changed, moment.surroundings.rule(now.rule), moment)
        elif alarm.excursion != now.id:
            self._standing.write(replace(alarm, **_shown(highest)), moment)
        return True

    def act(self, body: ActionBody, moment: Moment) -> Answer:
        """What a person did to an alarm; of two at once the first in the journal counts, and the second hears of it."""
        if body.action == ACKNOWLEDGE and body.target.startswith(GROUPS):
            return self._acknowledge_group(body, moment)
        alarm = self.find(body.target)
        if alarm is None:
            return Answer(UNKNOWN, body.target)
        rule = moment.surroundings.rule(self._standing.excursion(alarm).rule)
        if body.action == ACKNOWLEDGE:
            return self._acknowledge(alarm, rule, body, moment)
        if body.action == RESET:
            return self._reset(alarm, body, moment)
        if body.action == SHELVE:
            return self.flags.shelve(alarm, rule, body, moment)
        if body.action == UNSHELVE:
            return self.flags.unshelve(alarm, body, moment)
        return Answer(UNKNOWN, body.target)

    def _acknowledge(self, alarm: Alarm, rule: Rule, body: ActionBody, moment: Moment) -> Answer:
        now: dict[str, Any] = {"acknowledged_at": moment.at, "acknowledged_by": body.by, "comment": body.comment}
        if rule.realarm is not None and alarm.active:
            now["realarm_at"] = moment.at + rule.realarm.ns
        if self._standing.change(alarm, ACKNOWLEDGE, body.by, body.comment, moment, **now) is None:
            return Answer(ALREADY, alarm.id, alarm.acknowledged_by, alarm.acknowledged_at)
        return Answer(ACCEPTED, alarm.id, body.by, moment.at)

    def _acknowledge_group(self, body: ActionBody, moment: Moment) -> Answer:
        """Each of its alarms that waits, by name; where none does, who did so last."""
        members = self.groups.members(body.target)
        if not members:
            return Answer(UNKNOWN, body.target)
        rules = moment.surroundings.rule
        answers = [self._acknowledge(alarm, rules(self._standing.excursion(alarm).rule), body, moment) for alarm in members]
        if any(answer.result == ACCEPTED for answer in answers):
            return Answer(ACCEPTED, body.target, body.by, moment.at)
        last = max(answers, key=lambda answer: answer.at or 0)
        return replace(last, alarm=body.target)

    def _reset(self, alarm: Alarm, body: ActionBody, moment: Moment) -> Answer:
        if self._standing.change(alarm, RESET, body.by, body.comment, moment) is not None:
            return Answer(ACCEPTED, alarm.id, body.by, moment.at)
        by, at = self._standing.last(alarm.id, RESET)
        if by and not alarm.active:
            return Answer(ALREADY, alarm.id, by, at)
        why = "the alarm is done" if alarm.state == NORMAL else "the alarm is not latched"
        return Answer(REFUSED, alarm.id, why="the condition is still there" if alarm.active else why)

    def delivered(self, body: DeliveryBody, at: int) -> None:
        """An attempt ended: sent for good, or to be tried again."""
        self._store.execute(
            "update outbox set attempts = ?, next_try = ?, tried_at = ?, sent_at = ?, permanent = ?, detail = ?"
            " where page_id = ? and target = ?",
            (body.attempt, body.next_try_ns, body.at_ns, at if body.ok else None, body.permanent, body.detail, body.page, body.target),
        )
        if self._escalation is not None:
            self._escalation.failed(body, at)

    def escalate(self, at: int, changed: list[str]) -> None:
        """At a step's clock, after all that it brought: tell who is to be told by then."""
        if self._escalation is not None:
            self._escalation.go_on(at, [*changed, *groups_of(self._store, changed)])

    def next_due(self) -> int | None:
        """When somebody is to be told next (int ns UTC)."""
        of_telling = None if self._escalation is None else self._escalation.next_due()
        return min((due for due in (of_telling, self.groups.next_due()) if due is not None), default=None)

    def find(self, id: str) -> Alarm | None:
        return self._standing.find(id)

    def of(self, excursion: str) -> Alarm | None:
        """The alarm that an excursion, by its id, belongs to."""
        return self.find(self._levels.alarm_of(excursion) or _own_alarm(excursion))

    def _of(self, excursion: Excursion) -> Alarm:
        alarm = self.of(excursion.id)
        assert alarm is not None, f"excursion {excursion.id} has no alarm"
        return alarm

    def _page(self, excursion: Excursion, alarm: Alarm, at: int, again: bool) -> None:
        if self._escalation is not None and self._escalation.begin(alarm.id, alarm.id, at):
            return
        for target, page in self._paging(excursion, alarm.id, at):
            page = replace(page, id=f"{page.id}-{alarm.retold}") if again else page
            self._store.queue(page.id, alarm.id, target, encode(page).decode(), at)

    def _page_group(self, group: Group, at: int) -> None:
        """Its members as they stand, in one page; all but the first have a number."""
        if self._escalation is not None and self._escalation.begin(group.id, group.id, at):
            return
        alarms = [alarm for alarm in self.groups.members(group.id) if alarm.annunciated and alarm.state != NORMAL]
        if not alarms:
            return
        top, pages = lead(alarms), f"{group.id}-all"
        told = self._store.rows("select count(distinct page_id) from outbox where page_id >= ? and page_id < ?", (pages, pages + "~"))[0][0]
        for target, page in self._paging(self._standing.excursion(top), told_as(group, alarms), at):
            assert self._briefly is not None, "who pages has the words of groups"
            page = replace(headed(page, group, alarms, self._store, self._briefly, at), id=f"{pages}-{told + 1}")
            self._store.queue(page.id, page.alarm, target, encode(page).decode(), at)


def _shown(highest: tuple[Excursion, str] | None) -> dict[str, Any]:
    """What an alarm of several excursions shows: that of its highest level."""
    return {} if highest is None else {"excursion": highest[0].id, "level": highest[0].level, "priority": highest[1]}


def _own_alarm(excursion: str) -> str:
    return f"A{excursion[1:]}"
