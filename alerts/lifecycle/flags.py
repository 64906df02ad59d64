"""The flags beside an alarm's state: shelved by a person, suppressed by design, out of service. Set, nobody is told of the alarm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from alerts.lifecycle.lifecycle import NORMAL, PUT_BACK, REALARM, REVEAL, SHELVE, SUPPRESS, TAKE_OUT, UNSHELVE, Alarm
from alerts.lifecycle.standing import Moment, Standing
from alerts.record.audit import SYSTEM
from alerts.record.signing import as_signed
from alerts.record.store import StateStore
from facility.times import format_time
from ingest.journal.entries import ActionBody
from rules.excursion import Excursion
from rules.rule import Rule

MINUTE_NS = 60 * 10**9
SHELF_NS = 60 * MINUTE_NS
"""How long an alarm is shelved when nobody says how long."""
SHELF_MAX_NS = 12 * 60 * MINUTE_NS
"""Nobody shelves an alarm for longer than a shift (ISA-18.2: the list of shelved alarms is gone through at each hand-over)."""
CRITICAL = "critical"
ACCEPTED, ALREADY, UNKNOWN, REFUSED = "accepted", "already", "unknown", "refused"
_OFF: dict[str, Any] = {"shelved_until": None, "shelved_at": None, "shelved_by": "", "shelved_reason": "", "shelved_signed": False}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an action: `result` is accepted, already, refused or unknown.

    `by` and `at` name who did it, or who was faster; `why` says why it was refused.
    """

    result: str
    alarm: str
    by: str = ""
    at: int | None = None
    why: str = ""


def act_digest(alarm: Alarm, body: ActionBody) -> str:
    """SHA-256 (hex) over what is signed: which alarm of what, as it stands; the act, its reason and time, the meaning, and who signs."""
    seen = [alarm.id, alarm.excursion, alarm.rule, alarm.point, alarm.level, alarm.priority]
    said = [body.action, body.by, body.comment, body.until_ns, body.meaning]
    return hashlib.sha256(json.dumps([seen, said], ensure_ascii=False).encode()).hexdigest()


def shelvable(rule: Rule, priority: str, signed: bool) -> str:
    """Why an alarm is not shelved, empty when it may be: its rule says so, or it is critical and nobody signed for it."""
    if not rule.shelvable:
        return f"the rule {rule.alarm or rule.id} says that its alarms are not shelved"
    if priority == CRITICAL and not signed:
        return "a critical alarm is shelved with a signature only"
    return ""


class Flags:
    """Of the alarms of a state store; a shelf is of a rule at a point, whatever becomes of the alarm meanwhile."""

    def __init__(self, store: StateStore, standing: Standing) -> None:
        self._store, self._standing = store, standing
        self._states: Mapping[str, str] | None = None

    def forget(self) -> None:
        """A step failed, or another configuration is in force: look at every alarm again."""
        self._states = None

    def of_new(self, alarm: Alarm, rule: Rule, excursion: Excursion, moment: Moment) -> dict[str, Any]:
        """What a new alarm begins with."""
        flags: dict[str, Any] = {"out_until": moment.surroundings.out_until(alarm.point)}
        flags["suppressed"] = self.suppressing(rule, excursion, moment)
        for shelved in self._shelf(alarm)[:1]:
            if not shelvable(rule, alarm.priority, shelved.shelved_signed):
                flags |= {name: getattr(shelved, name) for name in _OFF}
        return flags

    def suppressing(self, rule: Rule, excursion: Excursion, moment: Moment) -> str:
        """The state of the excursion's place in which its rule is suppressed, if it has it at this moment; else empty."""
        return _suppressing(rule, excursion, moment.surroundings.states(moment.at) if rule.suppress else {})

    def outgrown(self, alarm: Alarm, rule: Rule, moment: Moment) -> None:
        """A shelf ends where the alarm became one that may not be shelved."""
        for shelved in self._shelf(alarm):
            if why := shelvable(rule, alarm.priority, shelved.shelved_signed):
                self._off_shelf(shelved, SYSTEM, why, moment)

    def shelve(self, alarm: Alarm, rule: Rule, body: ActionBody, moment: Moment) -> Answer:
        """Shelve all alarms of the rule at the point that stand; of two at once the first counts."""
        until = moment.at + SHELF_NS if body.until_ns is None else body.until_ns
        if alarm.shelved_until is not None:
            return Answer(ALREADY, alarm.id, alarm.shelved_by, alarm.shelved_at)
        why = shelvable(rule, alarm.priority, bool(body.digest))
        if alarm.state == NORMAL:
            why = "the alarm is done"
        elif body.digest and body.digest != act_digest(alarm, body):
            why = "the alarm is another than when it was signed: look at it again"
        elif not body.comment:
            why = "without a reason nothing is shelved"
        elif not moment.at < until <= moment.at + SHELF_MAX_NS:
            why = f"{format_time(until)} is not within the {SHELF_MAX_NS // (60 * MINUTE_NS)} hours from {format_time(moment.at)}"
        if why:
            return Answer(REFUSED, alarm.id, why=why)
        now: dict[str, Any] = {"shelved_until": until, "shelved_at": moment.at, "shelved_by": body.by}
        now |= {"shelved_reason": body.comment, "shelved_signed": bool(body.digest)}
        reason = as_signed(body.comment, body.meaning, body.digest)
        for one in self._standing.where("rule = ? and point = ? and state != ?", (alarm.rule, alarm.point, NORMAL)):
            self._standing.put(replace(one, **now), one, SHELVE, body.by, reason, moment)
        return Answer(ACCEPTED, alarm.id, body.by, moment.at)

    def unshelve(self, alarm: Alarm, body: ActionBody, moment: Moment) -> Answer:
        """Take them off the shelf before the time."""
        if alarm.shelved_until is None:
            by, at = self._standing.last(alarm.id, UNSHELVE)
            return Answer(ALREADY, alarm.id, by, at) if by else Answer(REFUSED, alarm.id, why="the alarm is not shelved")
        for shelved in self._shelf(alarm):
            self._off_shelf(shelved, body.by, body.comment, moment)
        return Answer(ACCEPTED, alarm.id, body.by, moment.at)

    def taken_out(self, point: str, until: int, by: str, reason: str, moment: Moment) -> None:
        """A point goes out of service: so do its alarms that stand."""
        for alarm in self._standing.where("point = ? and state != ?", (point, NORMAL)):
            self._standing.put(replace(alarm, out_until=until), alarm, TAKE_OUT, by, reason, moment)

    def put_back(self, point: str, by: str, reason: str, moment: Moment) -> None:
        """A point is in service again."""
        for alarm in self._standing.where("point = ? and out_until is not null", (point,)):
            self._standing.lowered(replace(alarm, out_until=None), alarm, PUT_BACK, by, reason, moment)

    def elapse(self, moment: Moment) -> None:
        """What is due by a moment: shelves that are over, re-alarms; and what the rooms' states suppress or do not any more."""
        for alarm in self._standing.where("shelved_until <= ?", (moment.at,)):
            self._off_shelf(alarm, SYSTEM, "the time on the shelf is over", moment)
        for alarm in self._standing.where("realarm_at <= ?", (moment.at,)):
            self._standing.again(alarm, REALARM, SYSTEM, "acknowledged long ago, and active still", moment)
        states = moment.surroundings.states(moment.at)
        if states != self._states:
            self._suppress(self._standing.where("state != ? or suppressed != ''", (NORMAL,)), states, moment)
            self._states = dict(states)
        elif states:  # what changed may show another of its rule's levels, or was raised in a state that is over
            changed = (self._standing.find(id) for id in sorted(set(moment.changed)))
            self._suppress([alarm for alarm in changed if alarm is not None], states, moment)

    def next_due(self) -> int | None:
        """When time alone will change something (int ns UTC)."""
        return min((due for row in self._store.rows(_DUE) for due in row if due is not None), default=None)

    def _suppress(self, alarms: Iterable[Alarm], states: Mapping[str, str], moment: Moment) -> None:
        for alarm in alarms:
            excursion = self._standing.excursion(alarm)
            state = "" if alarm.state == NORMAL else _suppressing(moment.surroundings.rule(excursion.rule), excursion, states)
            if state == alarm.suppressed:
                continue
            now = replace(alarm, suppressed=state)
            if state:
                reason = f"the rule is suppressed in {state}"
                self._standing.put(now, alarm, SUPPRESS, SYSTEM, reason, moment)
            else:
                self._standing.lowered(now, alarm, REVEAL, SYSTEM, f"{alarm.suppressed} is over", moment)

    def _shelf(self, alarm: Alarm) -> list[Alarm]:
        """The alarms of the rule at the point that are shelved."""
        return self._standing.where("rule = ? and point = ? and shelved_until is not null", (alarm.rule, alarm.point))

    def _off_shelf(self, alarm: Alarm, by: str, reason: str, moment: Moment) -> None:
        self._standing.lowered(replace(alarm, **_OFF), alarm, UNSHELVE, by, reason, moment)


_DUE = (
    "select (select min(shelved_until) from alarms where shelved_until is not null),"
    " (select min(realarm_at) from alarms where realarm_at is not null)"
)


def _suppressing(rule: Rule, excursion: Excursion, states: Mapping[str, str]) -> str:
    """The state of the excursion's place, where the rule is suppressed in it; else empty."""
    state = states.get(excursion.zone or excursion.room, "")
    return state if state in rule.suppress else ""
