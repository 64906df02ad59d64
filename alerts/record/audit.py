"""The audit trail: who changed what, when and why, each row chained to the one before by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from alerts.record.store import StateStore

SYSTEM = "renrum"
"""The actor of what the rules do by themselves."""
SEEN = (
    "audit left join alarms a on a.id = object left join excursions e on e.revision = 0"
    " and e.id = coalesce(a.excursion, case when object like 'excursion %' then substr(object, 11) end)"
)
"""Rows, each beside the alarm `a` or excursion `e` that it names, where it names one: their columns are null for all others."""
RULE = "coalesce(a.rule, e.rule, '')"
"""The rule of that alarm or excursion."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row: `entry` is the journal entry that it comes from; times int ns UTC."""

    seq: int
    at: int
    actor: str
    action: str
    object: str
    old: str
    new: str
    reason: str
    entry: int


def chain(before: bytes, row: AuditRow) -> bytes:
    """SHA-256 over the hash before and the row's columns as canonical JSON."""
    return hashlib.sha256(before + json.dumps(astuple(row), ensure_ascii=False, default=repr).encode()).digest()


class AuditTrail:
    """Appends within the step's transaction."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        last = store.rows("select seq, hash from audit order by seq desc limit 1")
        self.seq: int = last[0][0] if last else 0
        self.hash: bytes = last[0][1] if last else bytes(32)

    def append(self, at: int, actor: str, action: str, target: str, old: str, new: str, reason: str, entry: int) -> None:
        row = AuditRow(self.seq + 1, at, actor, action, target, old, new, reason, entry)
        self.seq, self.hash = row.seq, chain(self.hash, row)
        self._store.execute("insert into audit values (?,?,?,?,?,?,?,?,?,?)", (*astuple(row), self.hash))


def broken_rows(store: StateStore) -> Iterator[str]:
    """What is wrong with the stored trail: altered, missing and reordered rows by name."""
    before, expected = bytes(32), 1
    for *columns, stored in store.rows("select * from audit order by seq"):
        row = AuditRow(*columns)
        if row.seq != expected:
            yield f"audit row {expected} is missing (next is {row.seq})"
        computed = chain(before, row)
        if computed != stored:
            yield f"audit row {row.seq} ({row.action} {row.object}) does not match its hash"
        before, expected = stored, row.seq + 1
