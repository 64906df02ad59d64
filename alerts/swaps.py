"""Swaps of duty that people make while the service runs: each is an action in the journal, and a row of the audit trail."""

from __future__ import annotations

from alerts.alarms import Answer
from alerts.audit import AuditTrail
from alerts.store import StateStore
from facility.times import format_time
from ingest.entries import ActionBody
from ingest.journal import Entry

SWAP = "swap duty"


class Swaps:
    """The swaps of a state store; every change is made within the step's transaction."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def act(self, body: ActionBody, entry: Entry, audit: AuditTrail) -> Answer:
        """Somebody takes over the duty of a rotation for some time; `unknown` when the action does not say from when until when."""
        start, until = body.from_ns, body.until_ns
        if start is None or until is None or until <= start or not body.person:
            return Answer("unknown", body.target)
        values = (entry.seq, body.target, start, until, body.person, body.instead_of, body.comment, body.by, entry.at)
        self._store.execute("insert into overrides values (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        new = f"{body.person} from {format_time(start)} until {format_time(until)}"
        audit.append(entry.at, body.by, SWAP, f"rotation {body.target}", body.instead_of, new, body.comment, entry.seq)
        return Answer("accepted", body.target, body.by, entry.at)
