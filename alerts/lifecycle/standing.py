"""The alarms as they stand in the state store; whatever changes one goes through here, into the audit trail with actor and reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from alerts.lifecycle.levels import RANK, Levels
from alerts.lifecycle.lifecycle import ACKNOWLEDGED, ANEW, ANNUNCIATE, NORMAL, Alarm, after
from alerts.record.audit import AuditTrail
from alerts.record.store import StateStore
from facility.site import System
from ingest.journal.journal import Entry
from rules.excursion import Excursion
from rules.rule import Rule

_NAMES = [field.name for field in fields(Alarm)]
COLUMNS = ", ".join(f'"{name}"' for name in _NAMES)
_FLAGS = [index for index, field in enumerate(fields(Alarm)) if field.type == "bool"]
UNSEEN: dict[str, Any] = {"acknowledged_at": None, "acknowledged_by": "", "comment": "", "realarm_at": None}
"""What an alarm has that waits for its acknowledgement."""


class Surroundings(Protocol):
    """What decides about alarms beside their excursions."""

    def rule(self, id: str) -> Rule:
        """A rule as the newest configuration has it that has it."""

    def states(self, at: int) -> Mapping[str, str]:
        """The occupancy of every place at a moment, as far as it is known."""

    def system(self, point: str) -> System | None:
        """What serves the room of a point, the first of several; None for nothing."""

    def out_until(self, point: str) -> int | None:
        """When the time out of service of a point ends; None for one that is in service."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An entry of the journal being applied: what it changes is written down with its time and number."""

    entry: Entry
    audit: AuditTrail
    changed: list[str]
    surroundings: Surroundings

    @property
    def at(self) -> int:
        return self.entry.at


def alarm_of(columns: Sequence[Any]) -> Alarm:
    """An alarm from its row, in the order of COLUMNS."""
    values = list(columns)
    for index in _FLAGS:
        values[index] = bool(values[index])
    return Alarm(*values)


class Standing:
    """Changes are made within the step's transaction. `untold` are the alarms that people are to be told of, with what of, and if again."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.levels = Levels(store)
        self.untold: dict[str, tuple[Excursion | None, bool]] = {}

    def find(self, id: str) -> Alarm | None:
        return next(iter(self.where("id = ?", (id,))), None)

    def where(self, condition: str, values: Sequence[object] = ()) -> list[Alarm]:
        """Alarms in the order in which they were raised."""
        rows = self._store.rows(f"select {COLUMNS} from alarms where {condition} order by raised_at, length(id), id", values)
        return list(map(alarm_of, rows))

    def excursion(self, alarm: Alarm) -> Excursion:
        """What the alarm shows, as it is now."""
        return self._store.excursions("id = ?", (alarm.excursion,))[-1]

    def begin(self, alarm: Alarm, event: str, by: str, reason: str, moment: Moment) -> None:
        """A new alarm."""
        self.write(alarm, moment)
        self._audited(event, "", alarm, by, reason, moment)

    def change(self, alarm: Alarm, event: str, by: str, reason: str, moment: Moment, **now: Any) -> Alarm | None:
        """Where the table leads to a state: that, and what is `now` otherwise of the alarm. None where the event changes nothing."""
        state = after(alarm.state, event)
        if state is None:
            return None
        if event in ANEW:
            now = UNSEEN | now
        elif state != ACKNOWLEDGED:
            now["realarm_at"] = None
        if state == NORMAL:
            now |= {"suppressed": "", "out_until": None}
        return self.put(replace(alarm, state=state, **now), alarm, event, by, reason, moment)

    def put(self, now: Alarm, before: Alarm, event: str, by: str, reason: str, moment: Moment) -> Alarm:
        """Write what an event made of an alarm, and its row of the audit trail."""
        self.write(now, moment)
        self._audited(event, before.described(), now, by, reason, moment)
        return now

    def lowered(self, now: Alarm, before: Alarm, event: str, by: str, reason: str, moment: Moment) -> Alarm:
        """As `put`, of a flag that is taken away: with the last one the alarm is told anew if it stands."""
        self.put(now, before, event, by, reason, moment)
        if now.annunciated and not before.annunciated:
            return self.again(now, ANNUNCIATE, by, reason, moment) or now
        return now

    def again(self, alarm: Alarm, event: str, by: str, reason: str, moment: Moment) -> Alarm | None:
        """Tell people once more of what they were, or should have been, told of."""
        changed = self.change(alarm, event, by, reason, moment, risen_at=moment.at, retold=alarm.retold + 1)
        if changed is not None:
            self.untold.setdefault(alarm.id, (None, True))
        return changed

    def tell_of(self, alarm: str, excursion: Excursion) -> None:
        """People are to be told of an excursion of the alarm; of several within a step, of the highest level."""
        known = self.untold.get(alarm, (None, False))[0]
        if known is None or RANK.get(known.level, 0) < RANK.get(excursion.level, 0):
            self.untold[alarm] = (excursion, False)

    def write(self, alarm: Alarm, moment: Moment) -> None:
        marks = ",".join("?" * len(_NAMES))
        values = [getattr(alarm, name) for name in _NAMES]  # astuple copies deeply: slow in a flood
        self._store.execute(f"insert or replace into alarms ({COLUMNS}) values ({marks})", values)
        moment.changed.append(alarm.id)

    def last(self, target: str, action: str) -> tuple[str, int | None]:
        """Who did something to an alarm or a point last, and when; nobody if nobody did."""
        rows = self._store.rows("select actor, at from audit where object = ? and action = ? order by seq desc limit 1", (target, action))
        return (rows[0][0], rows[0][1]) if rows else ("", None)

    def _audited(self, event: str, old: str, alarm: Alarm, by: str, reason: str, moment: Moment) -> None:
        moment.audit.append(moment.at, by, event, alarm.id, old, alarm.described(), reason, moment.entry.seq)
        self.levels.stood(moment.audit.seq, alarm)
