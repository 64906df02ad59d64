"""What decides about alarms beside their excursions: rules, rooms' states, points out of service; and what time alone changes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from alerts.judging.judgement import Judgement
from alerts.judging.outages import Outage, outages_of, write_outage
from alerts.lifecycle.flags import ACCEPTED, ALREADY, REFUSED, UNKNOWN, Answer, Flags
from alerts.lifecycle.lifecycle import PUT_BACK, TAKE_OUT
from alerts.lifecycle.standing import Moment
from alerts.record.audit import SYSTEM
from alerts.record.store import StateStore
from facility.site import OCCUPANCIES, Facility, System
from facility.times import format_time
from ingest.journal.entries import ActionBody, SayingNote, State
from rules.engine import Finding
from rules.occupancy import Occupancy
from rules.revise import Revision
from rules.rule import Rule

SAID = "occupancy"
"""The action of who gives a place a state."""
Judged = tuple[list[Finding], list[Revision]]


class Site:
    """Implements alerts.lifecycle.standing.Surroundings over a judgement; what it knows of outages and stays is in the state store."""

    def __init__(self, store: StateStore, judgement: Judgement, flags: Flags) -> None:
        self._store, self._judgement, self._flags = store, judgement, flags
        self._known: tuple[Occupancy, int, dict[str, str]] | None = None
        self._systems: tuple[Facility, dict[str, System]] | None = None

    # Surroundings

    def rule(self, id: str) -> Rule:
        epochs = reversed(self._judgement.epochs)
        return next(epoch.plan.rule_by_id[id] for epoch in epochs if id in epoch.plan.rule_by_id)

    def system(self, point: str) -> System | None:
        facility = self._judgement.plan.facility
        if self._systems is None or self._systems[0] is not facility:
            serving: dict[str, System] = {}
            for system in facility.systems:
                for place in system.serves:
                    serving.setdefault(place, system)
            self._systems = facility, serving
        known = facility.point_by_id.get(point)
        serving = self._systems[1]
        return None if known is None else serving.get(known.zone or "") or serving.get(known.room or "")

    def states(self, at: int) -> Mapping[str, str]:
        """Empty where no rule is suppressed by any."""
        if not self._judgement.epochs or not any(epoch.plan.suppresses for epoch in self._judgement.epochs):
            return {}
        epoch = self._judgement.epochs[-1]
        if self._known is None or self._known[0] is not epoch.occupancy or self._known[1] != at:
            moment, places = np.array([at]), zip(epoch.plan.facility.places, epoch.occupancy.reported, strict=True)
            states = {place.id: OCCUPANCIES[int(timeline.at(moment)[0])] for place, timeline in places}
            self._known = epoch.occupancy, at, states
        return self._known[2]

    def out_until(self, point: str) -> int | None:
        rows = self._store.rows("select until from outages where point = ? and over = 0", (point,))
        return rows[0][0] if rows else None

    # Points out of service

    def act(self, body: ActionBody, moment: Moment) -> tuple[Answer, Judged]:
        """What a person did to a point, and what that changes; of two at once the first counts."""
        known = self._judgement.epochs and body.target in self._judgement.plan.facility.point_by_id
        if not known:
            return Answer(UNKNOWN, body.target), ([], [])
        now = next(iter(outages_of(self._store, "point = ? and over = 0", body.target)), None)
        if body.action == PUT_BACK:
            return self._put_back(now, body, moment)
        if now is not None:
            return Answer(ALREADY, body.target, now.by, now.since), ([], [])
        why = ""
        if body.until_ns is None or body.until_ns <= moment.at:
            why = "until when it is out of service must be said, and lie in the future"
        elif not body.comment:
            why = "without a reason no point is taken out of service"
        if why or body.until_ns is None:
            return Answer(REFUSED, body.target, why=why), ([], [])
        write_outage(self._store, Outage(body.target, moment.at, body.until_ns, body.by, body.comment))
        self._audit(body.by, TAKE_OUT, body.target, "in service", f"until {format_time(body.until_ns)}", body.comment, moment)
        judged = self._judgement.take_out(body.target, moment.at, body.until_ns)
        self._flags.taken_out(body.target, body.until_ns, body.by, body.comment, moment)
        return Answer(ACCEPTED, body.target, body.by, moment.at), judged

    def _put_back(self, now: Outage | None, body: ActionBody, moment: Moment) -> tuple[Answer, Judged]:
        if now is None:
            last = next(iter(outages_of(self._store, "point = ?", body.target)[-1:]), None)
            if last is None:
                return Answer(REFUSED, body.target, why="the point is in service"), ([], [])
            return Answer(ALREADY, body.target, last.returned_by, last.until), ([], [])
        end = min(now.until, moment.at)
        self._over(replace(now, until=end, returned_by=body.by, over=True), now, body.by, body.comment, moment)
        revisions = self._judgement.put_back(body.target, end, moment.entry.heard) if end < now.until else []
        return Answer(ACCEPTED, body.target, body.by, moment.at), ([], revisions)

    def _over(self, now: Outage, before: Outage, by: str, reason: str, moment: Moment) -> None:
        write_outage(self._store, now)
        self._audit(by, PUT_BACK, now.point, f"until {format_time(before.until)}", "in service", reason, moment)
        self._flags.put_back(now.point, by, reason, moment)

    # Rooms' states from the console

    def said(self, states: list[State], note: SayingNote | None, moment: Moment) -> None:
        """State messages in the order of the journal: who gave one for a time has the state before back after it, unless another came."""
        for state in states:
            self._store.execute("delete from stays where place = ? and since <= ?", (state.place, state.time))
            if note is None:
                continue
            old, new = note.before, state.state if note.until_ns is None else f"{state.state} until {format_time(note.until_ns)}"
            self._audit(note.by, SAID, state.place, old, new, note.reason, moment)
            if note.until_ns is not None:
                self._store.execute(
                    "insert or replace into stays values (?, ?, ?, ?, ?)",
                    (state.place, state.time, note.until_ns, state.state, note.before),
                )

    # Time

    def elapse(self, moment: Moment) -> bool:
        """What is due by the step; whether a point came back into service."""
        over = outages_of(self._store, "over = 0 and until <= ?", moment.at)
        for outage in over:
            self._over(replace(outage, returned_by=SYSTEM, over=True), outage, SYSTEM, "the time out of service is over", moment)
        self._flags.elapse(moment)
        return bool(over)

    def next_due(self) -> int | None:
        """When time alone changes something that only a step can write down (int ns UTC)."""
        known = self._store.rows("select (select min(until) from outages where over = 0), (select min(until) from stays)")[0]
        dues = [due for due in (*known, self._flags.next_due(), self._next_state()) if due is not None]
        return min(dues, default=None)

    def _next_state(self) -> int | None:
        """When a state that was told ahead of its time begins, where that may suppress something."""
        clock = self._store.get("clock")
        if clock is None or not any(epoch.plan.suppresses for epoch in self._judgement.epochs):
            return None
        ahead = [int(timeline.time[-1]) for timeline in self._judgement.epochs[-1].occupancy.reported]
        return min((time for time in ahead if time > clock), default=None)

    @staticmethod
    def _audit(by: str, action: str, target: str, old: str, new: str, reason: str, moment: Moment) -> None:
        moment.audit.append(moment.at, by, action, target, old, new, reason, moment.entry.seq)


@dataclass(frozen=True, slots=True)
class Stay:
    """A state that a person gave a place from `since` until `until`, int ns UTC, and what it has then."""

    place: str
    since: int
    until: int
    state: str
    before: str


def stays_of(store: StateStore) -> list[Stay]:
    """Those that are not over, or not noticed to be, the first that ends first."""
    return [Stay(*row) for row in store.rows("select place, since, until, state, before from stays order by until, place")]
