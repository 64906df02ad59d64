"""What people do about duty: swaps, and tests that must be acknowledged. Each is an action in the journal and a row of the audit trail."""

from __future__ import annotations

import json

from alerts.alarms import Answer
from alerts.duty.replies import hear
from alerts.escalation.drills import DRILL, SWAP, TESTS, drills
from alerts.lifecycle.lifecycle import ACKNOWLEDGE
from alerts.record.audit import SYSTEM, AuditTrail
from alerts.record.store import StateStore
from facility.times import format_time
from ingest.journal.entries import ActionBody
from ingest.journal.journal import Entry

MISSED = "on-call test missed"


class Duties:
    """The swaps and tests of a state store; every change is made within the step's transaction."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def act(self, body: ActionBody, entry: Entry, audit: AuditTrail) -> Answer | None:
        """What somebody did; None where it is not about duty."""
        if body.mail and hear(self._store, body, entry, audit):
            return Answer("accepted", body.target, body.by, entry.at)
        if body.action == SWAP:
            return self._swap(body, entry, audit)
        if body.action == DRILL:
            return self._drill(body, entry, audit)
        if body.action == ACKNOWLEDGE and body.target.startswith(TESTS):
            return self._acknowledge(body, entry, audit)
        return None

    def elapse(self, step: Entry, audit: AuditTrail) -> None:
        """At a step's clock: tests that nobody acknowledged in time."""
        for drill in drills(self._store, "acknowledged_at is null and missed_at is null and deadline <= ?", step.at):
            self._store.execute("update drills set missed_at = ? where id = ?", (step.at, drill.id))
            reason = f"nobody acknowledged it until {format_time(drill.deadline)}"
            audit.append(step.at, SYSTEM, MISSED, drill.id, "sent", "missed", reason, step.seq)

    def next_due(self) -> int | None:
        """When the next test is missed."""
        query = "select min(deadline) from drills where acknowledged_at is null and missed_at is null"
        due: int | None = self._store.rows(query)[0][0]
        return due

    def _swap(self, body: ActionBody, entry: Entry, audit: AuditTrail) -> Answer:
        start, until = body.from_ns, body.until_ns
        if start is None or until is None or until <= start or not body.person:
            return Answer("unknown", body.target)
        values = (entry.seq, body.target, start, until, body.person, body.instead_of, body.comment, body.by, entry.at)
        self._store.execute("insert into overrides values (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        new = f"{body.person} from {format_time(start)} until {format_time(until)}"
        audit.append(entry.at, body.by, SWAP, f"rotation {body.target}", body.instead_of, new, body.comment, entry.seq)
        return Answer("accepted", body.target, body.by, entry.at)

    def _drill(self, body: ActionBody, entry: Entry, audit: AuditTrail) -> Answer:
        """The target names whom to tell, parted by commas."""
        if body.until_ns is None:
            return Answer("unknown", body.target)
        id_, names = f"{TESTS}{entry.seq}", [name for name in body.target.split(",") if name]
        values = (id_, entry.at, body.by, json.dumps(names), body.until_ns)
        self._store.execute("insert into drills values (?, ?, ?, ?, ?, null, null, '', null, null)", values)
        new = f"to {', '.join(names) or 'everyone'}, to be acknowledged by {format_time(body.until_ns)}"
        audit.append(entry.at, body.by, DRILL, id_, "", new, body.comment, entry.seq)
        return Answer("accepted", id_, body.by, entry.at)

    def _acknowledge(self, body: ActionBody, entry: Entry, audit: AuditTrail) -> Answer:
        drill = next(iter(drills(self._store, "id = ?", body.target)), None)
        if drill is None:
            return Answer("unknown", body.target)
        if drill.acknowledged_at is not None:
            return Answer("already", drill.id, drill.acknowledged_by, drill.acknowledged_at)
        self._store.execute("update drills set acknowledged_at = ?, acknowledged_by = ? where id = ?", (entry.at, body.by, drill.id))
        audit.append(entry.at, body.by, ACKNOWLEDGE, drill.id, drill.state, "acknowledged", body.comment, entry.seq)
        return Answer("accepted", drill.id, body.by, entry.at)
