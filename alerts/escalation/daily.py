"""The message of each day: it takes the heads of the journal and of the audit trail away from the machine, and says what stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from alerts.duty.roster import Daily, Roster
from alerts.lifecycle.lifecycle import NORMAL
from alerts.lifecycle.standing import COLUMNS, alarm_of
from alerts.pages.page import Page, encode
from alerts.record.store import StateStore

KEY = "daily"


@dataclass(frozen=True, slots=True)
class Day:
    """How things stand: the last entry before this step and its hash, the last row of the audit trail and its hash, both in hex.

    `states` counts the alarms that are not done by state, `flags` by flag; `out` are the points out of service; `verified` is when the
    nightly verify last found everything right (int ns UTC), None when it never did.
    """

    entry: int
    head: str
    row: int
    trail: str
    states: dict[str, int]
    flags: dict[str, int]
    out: tuple[str, ...]
    verified: int | None


class DayTelling(Protocol):
    """What the configurations that the journal keeps say of it."""

    def roster(self, at: int) -> Roster: ...

    def day(self, day: Day, at: int, language: str) -> Page:
        """The message of a day."""


class Days:
    """The state is in the store, so that it comes once a day whatever restarts; what was missed comes with the first step after."""

    def __init__(self, store: StateStore, telling: DayTelling) -> None:
        self._store, self._telling = store, telling

    def next_due(self) -> int | None:
        """When the next message is due (int ns UTC)."""
        kept = self._store.get(KEY)
        return None if kept is None else int(json.loads(kept)[1])

    def go_on(self, at: int) -> None:
        """At a step's clock: send what is due."""
        daily = self._telling.roster(at).daily
        if daily is None:
            if self._store.get(KEY) is not None:
                self._store.execute("delete from meta where key = ?", (KEY,))
            return
        plan, due = f"{daily.at:%H:%M} {daily.zone.key}", None
        kept = self._store.get(KEY)
        if kept is not None:
            before, due = json.loads(kept)
            due = due if before == plan else None
        if due is not None and due <= at:
            self._send(daily, at)
        if due is None or due <= at:
            self._store.put(KEY, json.dumps([plan, daily.after(at)]))

    def _send(self, daily: Daily, at: int) -> None:
        roster, day = self._telling.roster(at), day_of(self._store)
        spoken = {target: person.language for person in roster.people.values() for way in person.ways for target in way.targets}
        for target in daily.targets:
            page = self._telling.day(day, at, spoken.get(target, roster.language))
            self._store.queue(page.id, "", target, encode(page).decode(), at)


def day_of(store: StateStore) -> Day:
    """How things stand within a step."""
    row, trail = next(iter(store.rows("select seq, hash from audit order by seq desc limit 1")), (0, bytes(32)))
    alarms = [alarm_of(found) for found in store.rows(f"select {COLUMNS} from alarms where state != ?", (NORMAL,))]
    states: dict[str, int] = {}
    flags: dict[str, int] = {}
    for alarm in alarms:
        states[alarm.state] = states.get(alarm.state, 0) + 1
        for flag in alarm.flags:
            flags[flag] = flags.get(flag, 0) + 1
    out = tuple(point for (point,) in store.rows("select distinct point from outages where over = 0 order by point"))
    head = store.get("head", b"")
    return Day(int(store.get("cursor", 0)), head.hex(), row, trail.hex(), states, flags, out, store.get("verified"))
