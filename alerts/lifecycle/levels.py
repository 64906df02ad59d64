"""Alarms of several excursions: those of the levels of a rule at a point, and those of a rule that latches (docs/rules.md, Levels)."""

from __future__ import annotations

from alerts.lifecycle.lifecycle import ACKNOWLEDGED, LATCHED_ACKNOWLEDGED, LATCHED_UNACKNOWLEDGED, UNACKNOWLEDGED, Alarm
from alerts.record.store import StateStore
from rules.excursion import CURRENT, Excursion
from rules.rule import Rule

RANK = {"alert": 0, "action": 1}
"""Which level is the higher one; any other is as low as an alert."""
_KEPT = (UNACKNOWLEDGED, ACKNOWLEDGED, LATCHED_UNACKNOWLEDGED, LATCHED_ACKNOWLEDGED)
_MARKS = ", ".join("?" * len(_KEPT))
FOREVER = (1 << 63) - 1


class Levels:
    """Which alarm the excursions of `levels`, or of a rule that latches, belong to; any other excursion has an alarm of its own."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def alarm_of(self, excursion: str) -> str | None:
        """The alarm that an excursion of `levels` belongs to; None for any other."""
        rows = self._store.rows("select alarm from members where excursion = ?", (excursion,))
        return rows[0][0] if rows else None

    def overlapped(self, excursion: Excursion, rule: str) -> str | None:
        """The alarm of the earliest other excursion of the levels of `rule` at the point that this one overlaps in [onset, ended)."""
        rows = self._store.rows(
            "select m.alarm from members m join excursions e on e.id = m.excursion and e.status = ?"
            " where m.rule = ? and m.point = ? and e.id != ? and (e.ended is null or e.ended > ?) and e.onset < ?"
            " order by e.onset, e.raised, e.id limit 1",
            (CURRENT, rule, excursion.point, excursion.id, excursion.onset, FOREVER if excursion.ended is None else excursion.ended),
        )
        return rows[0][0] if rows else None

    def latched(self, rule: Rule, point: str) -> str | None:
        """The alarm of a rule that latches at a point, until it is reset."""
        rows = self._store.rows(
            f"select a.id from members m join alarms a on a.id = m.alarm where m.rule = ? and m.point = ? and a.state in ({_MARKS})"
            " order by a.raised_at, length(a.id), a.id limit 1",
            (rule.alarm or rule.id, point, *_KEPT),
        )
        return rows[0][0] if rows else None

    def add(self, excursion: Excursion, alarm: str, rule: Rule) -> None:
        """Make an excursion of `rule`, one of the levels or one that latches, one of an alarm's."""
        values = (excursion.id, alarm, rule.alarm or rule.id, excursion.point, rule.priority)
        self._store.execute("insert into members values (?, ?, ?, ?, ?)", values)

    def stood(self, audit: int, alarm: Alarm) -> None:
        """Keep what level and priority an alarm of `levels` had after a transition, an audit row; those of any other never change."""
        self._store.execute(
            "insert into stood select ?, ?, ? where exists (select 1 from members where alarm = ?)",
            (audit, alarm.level, alarm.priority, alarm.id),
        )

    def began(self, alarm: str) -> int:
        """The first onset of an alarm's excursions (int ns UTC); 0 for one that has an excursion of its own only."""
        query = "select min(e.onset) from members m join excursions e on e.id = m.excursion and e.status = ? where m.alarm = ?"
        return self._store.rows(query, (CURRENT, alarm))[0][0] or 0

    def highest(self, alarm: str, *, still_open: bool) -> tuple[Excursion, str] | None:
        """The alarm's excursion of the highest level, the latest of several, with its priority; only those that are open, or all."""
        condition = " and cleared is null" if still_open else ""
        rows = self._store.excursions(f"status = ? and id in (select excursion from members where alarm = ?){condition}", (CURRENT, alarm))
        if not rows:
            return None
        highest = max(rows, key=lambda row: (RANK.get(row.level, 0), row.raised))
        return highest, self._store.rows("select priority from members where excursion = ?", (highest.id,))[0][0]
