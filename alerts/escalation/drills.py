"""Tests of who is on call, as the state store has them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from alerts.record.store import StateStore

SWAP, DRILL = "swap duty", "test on-call"
TESTS = "T"
"""What the ids of tests begin with."""


@dataclass(frozen=True, slots=True)
class Drill:
    """A test of who is on call: told to `names` (everyone if empty), to be acknowledged by `deadline`. Times are int ns UTC."""

    id: str
    at: int
    by: str
    names: tuple[str, ...]
    deadline: int
    acknowledged_at: int | None = None
    acknowledged_by: str = ""
    missed_at: int | None = None

    @property
    def state(self) -> str:
        """sent, missed (nobody acknowledged in time), acknowledged, acknowledged late."""
        if self.acknowledged_at is None:
            return "sent" if self.missed_at is None else "missed"
        return "acknowledged" if self.missed_at is None else "acknowledged late"


def drills(store: StateStore, where: str, *values: object) -> list[Drill]:
    """Tests, the newest last; raises StateUnavailable."""
    rows = store.rows(
        f"select id, at, by, names, deadline, acknowledged_at, acknowledged_by, missed_at from drills where {where} order by at, id", values
    )
    return [Drill(id_, at, by, tuple(json.loads(names)), *others) for id_, at, by, names, *others in rows]
