"""What is told as one: alarms of the rooms of a system, those of a point that chatters, and in a flood those that can wait."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from alerts.duty.load import Limits, LimitsAt
from alerts.lifecycle.lifecycle import ACKNOWLEDGED, LATCHED_ACKNOWLEDGED, NORMAL, Alarm
from alerts.lifecycle.standing import Moment, Standing
from alerts.pages.page import GROUPS
from alerts.record.store import StateStore
from rules.excursion import Excursion
from rules.rule import PRIORITIES

SYSTEM, CHATTER, FLOOD = "system", "chatter", "flood"
DONE = (ACKNOWLEDGED, LATCHED_ACKNOWLEDGED, NORMAL)
"""States in which an alarm waits for nobody."""
CAN_WAIT = ("medium", "low")
"""Priorities that are collected in a flood."""


@dataclass(frozen=True, slots=True)
class Group:
    """Alarms that are told as one; times are int ns UTC.

    `about` is the system's id, the rule and the point that chatter, or empty for a flood; `name` says it to people. Alarms that
    begin before `until` join. `priority` is the highest that was told, `told` when it was told last (0: not yet), `due` when those
    that joined since are told (None: nobody did).
    """

    id: str
    kind: str
    about: str
    name: str
    begun: int
    until: int
    due: int | None
    priority: str
    told: int


@dataclass(frozen=True, slots=True)
class Told:
    """What is to be told now: an alarm by itself, of an excursion (None: as it stands), or a group."""

    alarm: Alarm
    group: Group | None
    excursion: Excursion | None
    again: bool


_NAMES = [field.name for field in fields(Group)]


class Groups:
    """Of the alarms of a state store; every change is made within the step's transaction, and none is kept in memory."""

    def __init__(self, store: StateStore, standing: Standing, limits: LimitsAt | None = None) -> None:
        self._store, self._standing, self._limits = store, standing, limits or (lambda at: Limits())

    def find(self, id: str) -> Group | None:
        return next(iter(self._where("id = ?", id)), None)

    def members(self, group: str) -> list[Alarm]:
        """In the order in which they were raised: the first-out is the first."""
        return self._standing.where('"group" = ?', (group,))

    def waiting(self, group: str) -> bool:
        """Whether one of its alarms, not shelved and so on, waits to be acknowledged."""
        return any(alarm.annunciated and alarm.state not in DONE for alarm in self.members(group))

    def arrange(self, untold: Iterable[tuple[Alarm, Excursion | None, bool]], moment: Moment) -> list[Told]:
        """Put what people are to be told of into groups; what of it is told now, each group once, the highest priority first."""
        at, limits = moment.at, self._limits(moment.at)
        news = sorted(untold, key=lambda one: PRIORITIES.index(one[0].priority))
        self._store.execute("delete from annunciations where at <= ?", (at - limits.within_ns,))
        count = int(self._store.rows("select count(*) from annunciations where at > ?", (at - limits.flood_within_ns,))[0][0])
        flood = bool(self._store.get("flood", 0)) and count >= limits.calm
        told: dict[str, Told] = {}
        for alarm, excursion, again in news:
            count += 1
            flood = flood or count > limits.flood
            raised = at if again or excursion is None else excursion.raised
            self._store.execute("insert into annunciations values (?, ?, ?, ?, ?)", (at, alarm.rule, alarm.point, raised, again))
            group, now = self._place(alarm, raised, again, flood, moment)
            if alarm.group != ("" if group is None else group.id):
                alarm = replace(alarm, group="" if group is None else group.id)
                self._standing.write(alarm, moment)
            if now:
                told.setdefault(alarm.group or alarm.id, Told(alarm, group, excursion, again))
        if news:
            self._store.put("flood", int(flood))
        return list(told.values())

    def due(self, at: int) -> list[Group]:
        """Groups whose alarms since they were told last are to be told by now; those that are over by themselves are left out."""
        found = []
        for group in self._where("due <= ? order by due, length(id), id", at):
            if group.kind == CHATTER:  # it has stopped: that is told where an alarm still waits
                told = self.waiting(group.id)
            else:  # also where somebody acknowledged the group meanwhile, who did not know of these
                joined = [alarm for alarm in self.members(group.id) if max(alarm.raised_at, alarm.risen_at or 0) > group.told]
                told = any(alarm.annunciated and alarm.state != NORMAL for alarm in joined)
            now = self._write(replace(group, due=None, told=at if told else group.told))
            if told:
                found.append(now)
        return found

    def next_due(self) -> int | None:
        due: int | None = self._store.rows("select min(due) from alarm_groups where due is not null")[0][0]
        return due

    def _place(self, alarm: Alarm, raised: int, again: bool, flood: bool, moment: Moment) -> tuple[Group | None, bool]:
        """The group that an alarm is told in, None for none, and whether it is told now."""
        at, limits = moment.at, self._limits(moment.at)
        key = f"{alarm.rule} {alarm.point}"
        chattering = self._open(CHATTER, key, at)
        if chattering is not None:
            return self._join(replace(chattering, until=at + limits.chattering_within_ns), alarm, at)
        if not again and self._chatters(alarm, raised, limits):
            until = at + limits.chattering_within_ns
            return self._begin(CHATTER, key, key, at, until, alarm.priority, until), True
        old = self.find(alarm.group) if again and alarm.group else None
        system = moment.surroundings.system(alarm.point) if limits.by_system else None
        group = None if system is None else self._open(SYSTEM, system.id, at)
        if group is not None:
            return self._join(group, alarm, at)
        if flood and alarm.priority in CAN_WAIT:
            group = self._open(FLOOD, "", at)
            until = at + limits.flood_within_ns
            return group or self._begin(FLOOD, "", "", at, until, alarm.priority, until, told=0), False
        if old is not None and old.kind == SYSTEM and system is not None:
            return self._write(replace(old, until=at + system.window_ns, told=at, due=None)), True
        if system is None:
            return None, True
        return self._begin(SYSTEM, system.id, system.name, at, at + system.window_ns, alarm.priority), True

    def _join(self, group: Group, alarm: Alarm, at: int) -> tuple[Group, bool]:
        """A group gets another alarm: one of a higher priority, or of the very step that told it, is told at once."""
        higher = PRIORITIES.index(alarm.priority) < PRIORITIES.index(group.priority)
        if higher or group.told == at:
            due = group.until if group.kind == CHATTER else None
            return self._write(replace(group, priority=alarm.priority if higher else group.priority, told=at, due=due)), True
        return self._write(replace(group, due=group.until)), False

    def _chatters(self, alarm: Alarm, raised: int, limits: Limits) -> bool:
        query = "select count(*) from annunciations where rule = ? and point = ? and not again and abs(raised - ?) < ?"
        found = self._store.rows(query, (alarm.rule, alarm.point, raised, limits.chattering_within_ns))
        return bool(found[0][0] >= limits.chattering)

    def _begin(
        self, kind: str, about: str, name: str, at: int, until: int, priority: str, due: int | None = None, told: int | None = None
    ) -> Group:
        number = int(self._store.get("groups", 0)) + 1
        self._store.put("groups", number)
        return self._write(Group(f"{GROUPS}{number}", kind, about, name, at, until, due, priority, at if told is None else told))

    def _open(self, kind: str, about: str, at: int) -> Group | None:
        return next(iter(self._where("kind = ? and about = ? and until > ? order by begun desc limit 1", kind, about, at)), None)

    def _where(self, condition: str, *values: object) -> list[Group]:
        return [Group(*row) for row in self._store.rows(f"select {', '.join(_NAMES)} from alarm_groups where {condition}", values)]

    def _write(self, group: Group) -> Group:
        values: Sequence[object] = [getattr(group, name) for name in _NAMES]
        self._store.execute(f"insert or replace into alarm_groups values ({', '.join('?' * len(values))})", values)
        return group


def groups_of(store: StateStore, alarms: Iterable[str]) -> list[str]:
    """The groups that alarms, by their ids, are in."""
    ids, found = list(dict.fromkeys(alarms)), dict[str, None]()
    for first in range(0, len(ids), 500):
        part = ids[first : first + 500]
        query = f'select distinct "group" from alarms where "group" != \'\' and id in ({", ".join("?" * len(part))})'
        found |= dict.fromkeys(row[0] for row in store.rows(query, part))
    return list(found)
