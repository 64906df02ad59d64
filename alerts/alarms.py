"""Alarms of excursions, changed by the table of transitions, told to every target through the outbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from alerts.audit import SYSTEM, AuditTrail
from alerts.escalation import Escalation
from alerts.levels import RANK, Levels
from alerts.lifecycle import ACKNOWLEDGE, ACKNOWLEDGED, FALL, RAISE, RETURN, RISE, UNACKNOWLEDGED, Alarm, after
from alerts.page import Page, encode
from alerts.store import StateStore
from ingest.entries import ActionBody, DeliveryBody
from ingest.journal import Entry
from rules.excursion import Excursion
from rules.rule import Rule

_COLUMNS = ", ".join(field.name for field in fields(Alarm))

_ANEW: dict[str, Any] = {"returned_at": None, "acknowledged_at": None, "acknowledged_by": "", "comment": ""}

Paging = Callable[[Excursion, str, int], Sequence[tuple[str, Page]]]
"""Which page goes to which target for an excursion's alarm at a moment."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an action: `result` is accepted, already or unknown; `by` and `at` name who was faster."""

    result: str
    alarm: str
    by: str = ""
    at: int | None = None


def nobody(excursion: Excursion, alarm: str, at: int) -> Sequence[tuple[str, Page]]:
    """No pages: for proofs and back-tests, which must wake nobody."""
    return ()


class Alarms:
    """The alarms of a state store; every change is made within the step's transaction."""

    def __init__(self, store: StateStore, paging: Paging = nobody, escalation: Escalation | None = None) -> None:
        """`escalation` tells one after another where people are chosen; else every target of `paging` gets each page."""
        self._escalation = escalation
        self._store = store
        self._paging = paging
        self._levels = Levels(store)
        self._untold: dict[str, Excursion] = {}
        """By alarm of `levels` the excursion that its page will be about."""

    def raised(self, excursion: Excursion, rule: Rule, entry: Entry, audit: AuditTrail, changed: list[str]) -> None:
        """A new alarm, and a page to every target; one of `levels` belongs to the alarm of those that it overlaps."""
        if rule.alarm:
            alarm_id = self._levels.overlapped(excursion, rule.alarm)
            self._levels.add(excursion, alarm_id or _own_alarm(excursion.id), rule)
            if alarm_id is not None:
                self._joined(excursion, rule.priority, entry, audit, changed)
                return
        alarm = Alarm(
            id=_own_alarm(excursion.id),
            excursion=excursion.id,
            rule=rule.alarm or rule.id,
            point=excursion.point,
            level=excursion.level,
            priority=rule.priority,
            state=UNACKNOWLEDGED,
            late=excursion.late,
            raised_at=entry.at,
        )
        self._write(alarm)
        changed.append(alarm.id)
        reason = "found in late readings" if excursion.late else "excursion raised"
        audit.append(entry.at, SYSTEM, RAISE, alarm.id, "", alarm.state, reason, entry.seq)
        self._levels.stood(audit.seq, alarm)
        if rule.alarm:
            self._untold[alarm.id] = excursion
        else:
            self._page(excursion, alarm.id, entry.at)

    def _joined(self, excursion: Excursion, priority: str, entry: Entry, audit: AuditTrail, changed: list[str]) -> None:
        """An alarm of `levels` got another excursion: a higher level than it has is told anew."""
        alarm = self._of(excursion)
        stands = alarm.state in (UNACKNOWLEDGED, ACKNOWLEDGED)
        if stands and RANK[excursion.level] <= RANK[alarm.level]:
            return
        event, reason = (RISE, f"from {alarm.level} to {excursion.level}") if stands else (RAISE, "excursion raised")
        now = _ANEW | {"excursion": excursion.id, "level": excursion.level, "priority": priority, "risen_at": entry.at}
        if self._change(alarm, event, SYSTEM, reason, entry, audit, changed, **now):
            untold = self._untold.get(alarm.id)
            if untold is None or RANK[untold.level] < RANK[excursion.level]:
                self._untold[alarm.id] = excursion

    def tell(self, at: int) -> None:
        """Page of what rose: an alarm that changed more than once in a step is told once, of the highest level that it reached."""
        untold, self._untold = self._untold, {}
        for alarm, excursion in untold.items():
            self._page(excursion, alarm, at)

    def forget(self) -> None:
        """A step begins: nothing of one that failed is told."""
        self._untold.clear()

    def raised_again(self, excursion: Excursion, entry: Entry, audit: AuditTrail, changed: list[str]) -> None:
        """Late readings showed that an excursion is not over."""
        self._change(self._of(excursion), RAISE, SYSTEM, "open again, by late readings", entry, audit, changed, **_ANEW)
        self._show_highest(excursion, entry, audit, changed)

    def returned(self, excursion: Excursion, reason: str, entry: Entry, audit: AuditTrail, changed: list[str]) -> None:
        """The condition is over, or was never there."""
        if self._show_highest(excursion, entry, audit, changed):
            return
        alarm = self._of(excursion)
        highest = self._levels.highest(alarm.id, still_open=False)
        self._change(alarm, RETURN, SYSTEM, reason, entry, audit, changed, returned_at=entry.at, **_shown(highest))

    def _show_highest(self, excursion: Excursion, entry: Entry, audit: AuditTrail, changed: list[str]) -> bool:
        """Let an alarm of `levels` have the level of its highest open excursion; False when none is open, or for any other alarm."""
        alarm_id = self._levels.alarm_of(excursion.id)
        highest = None if alarm_id is None else self._levels.highest(alarm_id, still_open=True)
        if highest is None:
            return False
        now, alarm = highest[0], self._of(excursion)
        step = RANK[now.level] - RANK[alarm.level]
        if step:
            reason = f"from {alarm.level} to {now.level}"
            self._change(alarm, RISE if step > 0 else FALL, SYSTEM, reason, entry, audit, changed, **_shown(highest))
        elif alarm.excursion != now.id:
            self._write(replace(alarm, **_shown(highest)))
            changed.append(alarm.id)
        return True

    def act(self, body: ActionBody, entry: Entry, audit: AuditTrail) -> Answer:
        """What a person did to an alarm; of two at once the first in the journal counts, and the second hears of it."""
        alarm = self.find(body.target)
        if alarm is None or body.action != ACKNOWLEDGE:
            return Answer("unknown", body.target)
        now = {"acknowledged_at": entry.at, "acknowledged_by": body.by, "comment": body.comment}
        if not self._change(alarm, ACKNOWLEDGE, body.by, body.comment, entry, audit, [], **now):
            return Answer("already", alarm.id, alarm.acknowledged_by, alarm.acknowledged_at)
        return Answer("accepted", alarm.id, body.by, entry.at)

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
            self._escalation.go_on(at, changed)

    def next_due(self) -> int | None:
        """When somebody is to be told next (int ns UTC)."""
        return None if self._escalation is None else self._escalation.next_due()

    def find(self, id: str) -> Alarm | None:
        rows = self._store.rows(f"select {_COLUMNS} from alarms where id = ?", (id,))
        return replace(Alarm(*rows[0]), late=bool(rows[0][7])) if rows else None

    def of(self, excursion: str) -> Alarm | None:
        """The alarm that an excursion, by its id, belongs to."""
        return self.find(self._levels.alarm_of(excursion) or _own_alarm(excursion))

    def _of(self, excursion: Excursion) -> Alarm:
        alarm = self.of(excursion.id)
        assert alarm is not None, f"excursion {excursion.id} has no alarm"
        return alarm

    def _change(
        self, alarm: Alarm, event: str, actor: str, reason: str, entry: Entry, audit: AuditTrail, changed: list[str], **now: Any
    ) -> bool:
        """Where the event leads to another state: that and what is `now` otherwise of the alarm, on record."""
        state = after(alarm.state, event)
        if state is None:
            return False
        changed_alarm = replace(alarm, state=state, **now)
        self._write(changed_alarm)
        audit.append(entry.at, actor, event, alarm.id, alarm.state, state, reason, entry.seq)
        self._levels.stood(audit.seq, changed_alarm)
        changed.append(alarm.id)
        return True

    def _write(self, alarm: Alarm) -> None:
        marks = ",".join("?" * len(fields(Alarm)))
        values = [getattr(alarm, field.name) for field in fields(Alarm)]  # astuple copies deeply: slow in a flood
        self._store.execute(f"insert or replace into alarms ({_COLUMNS}) values ({marks})", values)

    def _page(self, excursion: Excursion, alarm: str, at: int) -> None:
        if self._escalation is not None and self._escalation.begin(alarm, alarm, at):
            return
        for target, page in self._paging(excursion, alarm, at):
            self._store.execute(
                "insert or ignore into outbox values (null,?,?,?,?,?,0,0,0,null,0,'')", (page.id, alarm, target, encode(page).decode(), at)
            )


def _shown(highest: tuple[Excursion, str] | None) -> dict[str, Any]:
    """What an alarm of `levels` shows: the excursion of its highest level."""
    return {} if highest is None else {"excursion": highest[0].id, "level": highest[0].level, "priority": highest[1]}


def _own_alarm(excursion: str) -> str:
    return f"A{excursion[1:]}"
