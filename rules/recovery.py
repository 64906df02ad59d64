"""What `recovery` says of readings: whether a place is back in its at-rest state in time (docs/rules.md, recovery)."""

from __future__ import annotations

import numpy as np

from rules.copies import BEGINNING
from rules.occupancy import NO_SPELL, Occupancy
from rules.plan import Pairs, Plan
from rules.window_kinds import Fresh, Said, spread
from rules.windows import Flags, Floats, Ints, Windows


def at_rest_since(plan: Plan, occupancy: Occupancy, at: int) -> dict[int, int]:
    """By point number since when a judged point's place is at rest at a moment (ns): so far back is looked for what is said of it."""
    found: dict[int, int] = {}
    for pairs in plan.groups:
        if pairs.kind == "recovery" and len(pairs):
            since = occupancy.at_rest_since(pairs.place, np.ones(len(pairs), np.int64), np.full(len(pairs), at))
            found |= {int(point): int(begun) for point, begun in zip(pairs.point, since, strict=True) if begun != NO_SPELL}
    return found


def recovery(pairs: Pairs, windows: Windows, fresh: Fresh, value: Floats, rested: Ints, beyond: Flags) -> Said:
    """Which readings are beyond the limit, and late, in a spell in which none was inside before.

    `rested` is the change to at_rest with which the spell of each reading began, NO_SPELL outside one. Kept of a pair are its stretch's
    first time and, as `since`, that of the newest reading inside the limit; one from before the spell says nothing of it.
    """
    pair = fresh.pair
    newest = np.maximum.accumulate(np.where(beyond, -1, np.arange(len(value))))
    before = np.where(fresh.segment[fresh.starts] == fresh.starts, BEGINNING, windows.since[pair])
    inside = np.where(newest >= spread(fresh.starts, fresh.lengths), fresh.time[newest], spread(before, fresh.lengths))
    windows.since[pair] = inside[fresh.last]
    windows.start[pair] = windows.end[pair] - 1  # the newest reading: that there was one is all that its lead has to say
    counts_from = np.maximum(rested, fresh.began)
    back = inside >= counts_from
    breaching = beyond & ~back & (fresh.time - spread(pairs.window[pair], fresh.lengths) >= counts_from)
    warm = fresh.whole | (rested == NO_SPELL) | (fresh.began <= rested) | back
    return Said(breaching, np.ones(len(value), np.bool_), value, warm)
