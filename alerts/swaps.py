"""Swaps of duty that people make while the service runs."""

from __future__ import annotations

from alerts.duty.rotation import Override
from alerts.store import StateStore


def swaps(store: StateStore, since: int = 0) -> tuple[Override, ...]:
    """The swaps that end after a moment (int ns UTC), the newest last; raises StateUnavailable."""
    rows = store.rows("select rotation, start, until, person, instead_of, reason from overrides where until > ? order by entry", (since,))
    return tuple(Override(*row) for row in rows)
