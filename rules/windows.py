"""The readings that windowed kinds still need, and what they add up to, for many pairs: the state beside the runs.

A *segment* is a stretch of evaluated readings without a cut between them (`max_gap`, an excluded reading); windows never reach over a cut.
The readings of a pair's segment that may still matter are its *lead*: a region of a pool that all pairs share. New readings are written
behind it and the lead's start moves on, so that a step's work grows with its readings and not with the window. A full region is used again
from its beginning: an older state of the same windows cannot be taken up after that, which is an error and not a wrong answer.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from rules.exact import Sums
from rules.ranges import ranges

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


SLID_BELOW = 1024
"""So few new readings are written into a lead's own region where they fit; more get a region that does not outlive them."""

LONG = 64
"""Leads of so many readings are copied one by one."""


class Pool:
    """Times and values of leads; `used` rows are taken, `turn` counts the writes, `slid` is the newest that wrote over older rows."""

    def __init__(self, rows: int = 0) -> None:
        self.time, self.value = np.empty(rows, np.int64), np.empty(rows)
        self.used, self.turn, self.slid = 0, 0, 0


@dataclass(slots=True)
class Windows:
    """Where each pair's windows stand, n rows.

    `start`:`end` is its lead in `pool`, empty when the next reading begins a segment; its region is `base`:`room`. `began` is the segment's
    first time; `whole` that nothing is missing before it (False only for what is read from the middle of a history). `sums` are those of
    the lead (`mean`; `count`: how many are beyond, in `whole`). For `flatline`, `since` is the first time of the run of readings that do
    not differ by more than the tolerance, `high` and `low` its largest and smallest, `broken` that it does not reach the segment's first;
    for `recovery`, `since` is the time of the newest reading inside the limit.
    """

    pool: Pool
    turn: int
    base: Ints
    start: Ints
    end: Ints
    room: Ints
    began: Ints
    whole: Flags
    sums: Sums
    since: Ints
    high: Floats
    low: Floats
    broken: Flags

    @classmethod
    def initial(cls, count: int, *, whole: bool = True) -> Windows:
        def none() -> Ints:
            return np.zeros(count, np.int64)

        sums = Sums(none(), none(), none(), none())
        extremes = np.zeros(count), np.zeros(count)
        flags = np.full(count, whole), np.zeros(count, np.bool_)
        return cls(Pool(), 0, none(), none(), none(), none(), none(), flags[0], sums, none(), *extremes, flags[1])

    def rows(self, which: NDArray[np.intp]) -> Windows:
        """Some rows; the pool is shared, and copied by the first that writes to it after another did."""
        columns = {name: getattr(self, name)[which] for name in _COLUMNS}
        return replace(self, **columns, sums=Sums(*(part[which] for part in self.sums.parts())))

    def put(self, which: NDArray[np.intp], rows: Windows) -> None:
        """Take over rows from another state, with their leads."""
        rows.check()
        lead = rows.end - rows.start
        source = ranges(rows.start, lead)
        time, value = rows.pool.time[source], rows.pool.value[source]
        self.start[which] = self.end[which]
        position = self.extend(which, lead, time, value)
        self.start[which] = position
        for name in _COLUMNS - {"base", "start", "end", "room"}:
            getattr(self, name)[which] = getattr(rows, name)
        for part, new in zip(self.sums.parts(), rows.sums.parts(), strict=True):
            part[which] = new

    def last(self, which: NDArray[np.intp]) -> Ints:
        """The newest time in the leads of some pairs; of those whose lead is empty, anything."""
        if not self.pool.used:
            return np.zeros(len(which), np.int64)
        newest: Ints = self.pool.time[self.end[which] - 1]
        return newest

    def leave(self, which: NDArray[np.intp]) -> None:
        """The next readings of these pairs begin a segment, with nothing missing before it."""
        self.start[which] = self.end[which]
        self.whole[which] = True

    def extend(self, which: NDArray[np.intp], lengths: Ints, time: Ints, value: Floats) -> Ints:
        """Write new readings of some pairs (each once) behind their leads; returns the row in the pool of the first of each."""
        if self.turn != self.pool.turn:
            self._own()
        full = self.end[which] + lengths > self.room[which]
        if full.any():
            needed = self.end[which] - self.start[which] + lengths
            slides = full & (lengths < SLID_BELOW) & (needed <= self.room[which] - self.base[which])
            if slides.any():
                self._slide(which[slides])
            if (moves := full & ~slides).any():
                self._move(which[moves], lengths[moves])
        position = self.end[which]
        rows = ranges(position, lengths) if len(which) != 1 else slice(int(position[0]), int(position[0] + lengths[0]))
        self.pool.time[rows], self.pool.value[rows] = time, value
        self.end[which] = position + lengths
        self.pool.turn += 1
        self.turn = self.pool.turn
        return position

    def check(self) -> None:
        """Raises RuntimeError when a newer state has written over the leads."""
        if self.turn < self.pool.slid:
            raise RuntimeError("windows are taken up again in a state that a newer one has replaced")

    def _own(self) -> None:
        self.check()
        pool = Pool()
        pool.time, pool.value, pool.used = self.pool.time.copy(), self.pool.value.copy(), self.pool.used
        self.pool, self.turn = pool, pool.turn

    def _slide(self, which: NDArray[np.intp]) -> None:
        """Move leads to the beginning of their regions."""
        lead = self.end[which] - self.start[which]
        source, target = ranges(self.start[which], lead), ranges(self.base[which], lead)
        self.pool.time[target], self.pool.value[target] = self.pool.time[source], self.pool.value[source]
        self.start[which], self.end[which] = self.base[which], self.base[which] + lead
        self.pool.slid = self.pool.turn + 1

    def _move(self, which: NDArray[np.intp], lengths: Ints) -> None:
        """Give leads a region with room for so many more readings and about as many again as they have."""
        room = _room(which, self.end[which] - self.start[which], lengths)
        if int(lengths.max()) >= SLID_BELOW:
            self._shorten()
        if self.pool.used + int(room.sum()) > len(self.pool.time):
            self._compact(int(room.sum()))
        self._settle(self.pool, self.pool, which, room)

    def _shorten(self) -> None:
        """Give back what the pool's last region does not need for its lead: many readings pass through it, and few stay."""
        last = np.flatnonzero(self.room == self.pool.used)
        if len(last) != 1 or self.base[last[0]] == self.room[last[0]]:
            return
        lead = self.end[last] - self.start[last]
        room = _room(last, lead, np.zeros_like(lead))
        if int(room[0]) < self.room[last[0]] - self.base[last[0]]:
            self._slide(last)
            self.room[last] = self.base[last] + room
            self.pool.used = int(self.room[last[0]])

    def _compact(self, more: int) -> None:
        """A new pool of the leads alone, with room for `more` rows and as much again as all leads have."""
        everything = np.arange(len(self.start))
        lead = self.end - self.start
        room = _room(everything, lead, np.zeros_like(lead))
        held = int(room.sum())
        pool = Pool(2 * (held + more) + 1024)
        self._settle(self.pool, pool, everything, room)
        self.pool, self.turn = pool, pool.turn

    def _settle(self, old: Pool, new: Pool, which: NDArray[np.intp], room: Ints) -> None:
        lead = self.end[which] - self.start[which]
        start = new.used + np.cumsum(room) - room
        if int(lead.sum()) >= LONG * len(which):
            for begin, target, length in zip(self.start[which].tolist(), start.tolist(), lead.tolist(), strict=True):
                new.time[target : target + length] = old.time[begin : begin + length]
                new.value[target : target + length] = old.value[begin : begin + length]
        else:
            rows, targets = ranges(self.start[which], lead), ranges(start, lead)
            new.time[targets], new.value[targets] = old.time[rows], old.value[rows]
        new.used += int(room.sum())
        self.base[which], self.room[which] = start, start + room
        self.start[which], self.end[which] = start, start + lead


_COLUMNS = frozenset(f.name for f in fields(Windows)) - {"pool", "turn", "sums"}


def _room(which: NDArray[np.intp], lead: Ints, lengths: Ints) -> Ints:
    """Rows for leads that grow; not as many for each, so that leads of one length do not all have to move in one step."""
    return np.where(lead + lengths > 0, lead + lengths + 4 + lead // 2 + which * 7 % (lead // 2 + 1), 0)
