"""Raising and clearing: breach runs and return runs over many pairs at once (docs/rules.md, Raising and Clearing).

The state of a pair is a row of `RunState`. Breach runs and return runs never overlap, so which reading would satisfy a delay does not
depend on whether an excursion is open; the open state only decides which of these readings count. That makes the walk a few array
operations instead of a loop: find the runs, find the reading that satisfies each, then drop a raising that follows a raising.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rules.windows import Windows

NEITHER, BREACH, RETURN = 0, 1, 2
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(slots=True)
class Extent:
    """What a span of readings amounts to, a row a span: how many, and the worst: its score, value and limit (score -inf: none)."""

    readings: Ints
    score: Floats
    value: Floats
    limit: Floats

    @classmethod
    def none(cls, count: int) -> Extent:
        nan = np.full(count, np.nan)
        return cls(np.zeros(count, np.int64), np.full(count, -np.inf), nan, nan.copy())

    def rows(self, which: NDArray[np.intp] | Flags) -> Extent:
        return Extent(self.readings[which], self.score[which], self.value[which], self.limit[which])

    def put(self, which: NDArray[np.intp], rows: Extent) -> None:
        self.readings[which], self.score[which] = rows.readings, rows.score
        self.value[which], self.limit[which] = rows.value, rows.limit

    def where(self, kept: Flags) -> Extent:
        """These rows where `kept`, nothing elsewhere."""
        if kept.all():
            return self
        if not kept.any():
            return Extent.none(len(kept))
        return Extent(
            np.where(kept, self.readings, 0),
            np.where(kept, self.score, -np.inf),
            np.where(kept, self.value, np.nan),
            np.where(kept, self.limit, np.nan),
        )

    def then(self, later: Extent) -> Extent:
        """Both spans as one; on a tie the earlier reading is the worst."""
        first = self.score >= later.score
        return Extent(
            self.readings + later.readings,
            np.where(first, self.score, later.score),
            np.where(first, self.value, later.value),
            np.where(first, self.limit, later.limit),
        )


@dataclass(slots=True)
class RunState:
    """Where each pair stands, n rows.

    `open` with `onset` and `raised`; `run` is the run that is under way and may still count (BREACH while closed, RETURN while open) and
    `since` its first time; `base` covers an open excursion up to that return run, or the breach run while closed; `tail` the return run;
    `last` is the newest evaluated time, `cut` that an excluded reading came after it: both are kept only while a run or an excursion is.
    """

    open: Flags
    onset: Ints
    raised: Ints
    run: NDArray[np.int8]
    since: Ints
    last: Ints
    cut: Flags
    base: Extent
    tail: Extent
    windows: Windows | None = None
    """Of a windowed kind; None stands for empty ones."""

    @classmethod
    def initial(cls, count: int) -> RunState:
        flags = np.zeros(count, np.bool_)
        ints = np.zeros(count, np.int64)
        run = np.zeros(count, np.int8)
        return cls(flags, ints, ints.copy(), run, ints.copy(), ints.copy(), flags.copy(), Extent.none(count), Extent.none(count))

    def copy(self) -> RunState:
        return self.rows(np.arange(len(self.open)))

    def rows(self, which: NDArray[np.intp]) -> RunState:
        columns: list[Any] = [getattr(self, f.name) for f in fields(self)]
        chosen: list[Any] = [
            column[which] if isinstance(column, np.ndarray) else None if column is None else column.rows(which) for column in columns
        ]
        return RunState(*chosen)

    def put(self, which: NDArray[np.intp], rows: RunState) -> None:
        for f in fields(self):
            column, new = getattr(self, f.name), getattr(rows, f.name)
            if f.name == "windows":
                self._put_windows(which, new)
            elif isinstance(column, Extent):
                column.put(which, new)
            else:
                column[which] = new

    def _put_windows(self, which: NDArray[np.intp], rows: Windows | None) -> None:
        if self.windows is None and rows is None:
            return
        self.windows = self.windows or Windows.initial(len(self.open))
        self.windows.put(which, rows or Windows.initial(len(which)))

    def at_rest(self, which: NDArray[np.intp]) -> None:
        """End what is under way in some pairs; their windows stay."""
        windows, self.windows = self.windows, None
        self.put(which, RunState.initial(len(which)))
        self.windows = windows

    @property
    def active(self) -> Flags:
        return self.open | np.not_equal(self.run, NEITHER)


@dataclass(frozen=True, slots=True)
class Walked:
    """Evaluated readings of some pairs, flat: pair i has rows starts[i]:starts[i] + lengths[i], at least one, in time order.

    `cut` marks rows before which runs end within a pair (a gap, an excluded reading); on a pair's first row it is against the state.
    """

    starts: Ints
    lengths: Ints
    time: Ints
    breaching: Flags
    returned: Flags
    cut: Flags
    score: Floats
    value: Floats
    limit: Floats
    on_delay: Ints
    off_delay: Ints


@dataclass(frozen=True, slots=True)
class Event:
    """A raising (`cleared` None) or a clearing of pair `pair` (row of the walk), with what the excursion amounts to at that moment."""

    pair: int
    onset: int
    raised: int
    ended: int | None
    cleared: int | None
    peak: float
    limit: float
    readings: int


def walk(state: RunState, rows: Walked) -> tuple[RunState, list[Event]]:
    """Raise and clear along the rows; `state` has a row per pair of the walk and is not changed."""
    count = len(rows.starts)
    first = np.zeros(len(rows.time), np.bool_)
    first[rows.starts] = True
    runs = _runs(state, rows, first)
    chosen = np.flatnonzero(runs.satisfied < runs.end)
    kind, pair = runs.kind[chosen], runs.pair[chosen]
    before = np.empty_like(kind)
    before[1:] = kind[:-1]
    leading = np.ones(len(chosen), np.bool_)
    leading[1:] = pair[1:] != pair[:-1]
    before[leading] = np.where(state.open[pair[leading]], BREACH, RETURN)
    event = chosen[kind != before]
    kind, pair = runs.kind[event], runs.pair[event]

    last_event = np.full(count, -1)
    last_event[pair] = np.arange(len(event))
    final_open = np.where(last_event >= 0, runs.kind[event[last_event]] == BREACH if len(event) else False, state.open)
    last_run = np.append(np.flatnonzero(np.diff(runs.pair)), len(runs.pair) - 1)
    pending = runs.kind[last_run] == np.where(final_open, RETURN, BREACH)

    # An excursion open at the end reaches to the return run under way, else to the last row.
    ends = rows.starts + rows.lengths
    reach = np.where(final_open & pending, runs.start[last_run], ends)
    lead = np.ones(len(event), np.bool_)
    lead[1:] = pair[1:] != pair[:-1]

    events = _events(state, rows, runs, event, lead)
    new = RunState(
        open=final_open,
        onset=state.onset.copy(),
        raised=state.raised.copy(),
        run=np.where(pending, runs.kind[last_run], NEITHER).astype(np.int8),
        since=runs.since[last_run],
        last=rows.time[ends - 1],
        cut=np.zeros(count, np.bool_),
        base=Extent.none(count),
        tail=Extent.none(count),
    )
    raised_last = (last_event >= 0) & final_open
    raising = event[last_event[raised_last]]
    new.onset[raised_last] = runs.since[raising]
    new.raised[raised_last] = rows.time[runs.satisfied[raising]]

    start = rows.starts.copy()
    start[raised_last] = runs.start[raising]
    carried_breach = np.zeros(count, np.bool_)
    carried_breach[raised_last] = runs.carried[raising]
    still_returning = final_open & pending & runs.carried[last_run]
    still_breaching = ~final_open & pending & runs.carried[last_run]
    stays_open = final_open & (last_event < 0)
    old = state.base.where(stays_open | carried_breach | still_breaching)
    old = old.then(state.tail.where(stays_open & ~still_returning))
    pending_breach = ~final_open & pending
    lower = np.where(pending_breach, runs.start[last_run], start)
    upper = np.where(final_open, reach, np.where(pending_breach, ends, lower))
    new.base = old.then(_extent(rows, lower, upper))
    tail_from = np.where(final_open & pending, runs.start[last_run], ends)
    new.tail = state.tail.where(still_returning).then(_extent(rows, tail_from, ends))
    return new, events


@dataclass(frozen=True, slots=True)
class _Runs:
    """Maximal runs of one kind: rows start:end of pair `pair`, first time `since`, `satisfied` the first row past the delay (end: none)."""

    kind: NDArray[np.int8]
    pair: Ints
    start: Ints
    end: Ints
    since: Ints
    carried: Flags
    satisfied: Ints


def _runs(state: RunState, rows: Walked, first: Flags) -> _Runs:
    kind_of_row = np.where(rows.breaching, BREACH, np.where(rows.returned, RETURN, NEITHER)).astype(np.int8)
    begins = first | rows.cut
    begins[1:] |= kind_of_row[1:] != kind_of_row[:-1]
    start = np.flatnonzero(begins)
    end = np.append(start[1:], len(kind_of_row))
    kind = kind_of_row[start]
    pair = np.searchsorted(rows.starts, start, side="right") - 1
    carried = first[start] & ~rows.cut[start] & (kind != NEITHER) & (state.run[pair] == kind)
    since = np.where(carried, state.since[pair], rows.time[start])
    due = since + np.where(kind == BREACH, rows.on_delay[pair], rows.off_delay[pair])
    satisfied = np.where(kind == NEITHER, end, _first_at_or_after(rows.time, start, end, due))
    return _Runs(kind, pair, start, end, since, carried, satisfied)


def _first_at_or_after(time: Ints, start: Ints, end: Ints, due: Ints) -> Ints:
    """For each run the first row in start:end with time >= due, else end; a bisection of all runs side by side."""
    low, high = start.copy(), end.copy()
    waiting = np.flatnonzero(time[start] < due)
    high[:] = start
    high[waiting] = end[waiting]
    while len(waiting):
        middle = (low[waiting] + high[waiting]) // 2
        early = time[middle] < due[waiting]
        low[waiting[early]] = middle[early] + 1
        high[waiting[~early]] = middle[~early]
        waiting = waiting[low[waiting] < high[waiting]]
    return high


def _events(state: RunState, rows: Walked, runs: _Runs, event: Ints, lead: Flags) -> list[Event]:
    """The raisings and clearings in row order; a clearing closes the raising before it, or the excursion that was open."""
    if not len(event):
        return []
    kind, pair = runs.kind[event], runs.pair[event]
    raising = kind == BREACH
    opened_here = ~raising & ~lead  # the event before it is its raising
    opener = np.where(raising, np.arange(len(event)), np.where(lead, 0, np.arange(len(event)) - 1))
    run = event[opener]
    here = raising | opened_here
    onset = np.where(here, runs.since[run], state.onset[pair])
    raised = np.where(here, rows.time[runs.satisfied[run]], state.raised[pair])
    lower = np.where(here, runs.start[run], rows.starts[pair])
    upper = np.where(raising, runs.satisfied[event] + 1, runs.start[event])
    kept = np.where(here, runs.carried[run], True)
    old = state.base.rows(pair).where(kept)
    old = old.then(state.tail.rows(pair).where(~here & ~runs.carried[event]))
    extent = old.then(_extent(rows, lower, np.maximum(lower, upper)))
    ended = runs.since[event]
    cleared = rows.time[runs.satisfied[event]]
    return [
        Event(
            pair=int(pair[i]),
            onset=int(onset[i]),
            raised=int(raised[i]),
            ended=None if raising[i] else int(ended[i]),
            cleared=None if raising[i] else int(cleared[i]),
            peak=float(extent.value[i]),
            limit=float(extent.limit[i]),
            readings=int(extent.readings[i]),
        )
        for i in range(len(event))
    ]


def _extent(rows: Walked, lower: Ints, upper: Ints) -> Extent:
    """What each span of rows lower:upper amounts to; spans may be empty and may overlap."""
    result = Extent.none(len(lower))
    result.readings = upper - lower
    filled = np.flatnonzero(upper > lower)
    if not len(filled):
        return result
    # reduceat takes index pairs; a sentinel row lets a span end at the last one.
    score = np.append(rows.score, -np.inf)
    edges = np.stack([lower[filled], upper[filled]], axis=1).ravel()
    best = np.maximum.reduceat(score, edges)[::2]
    if len(filled) == 1:
        worst = lower[filled] + int(np.argmax(score[lower[filled[0]] : upper[filled[0]]]))
    else:
        lengths = (upper - lower)[filled]
        offset = np.cumsum(lengths) - lengths
        row = np.arange(int(lengths.sum())) - np.repeat(offset - lower[filled], lengths)
        hits = np.flatnonzero(score[row] == np.repeat(best, lengths))
        worst = row[hits[np.searchsorted(hits, offset)]]
    result.score[filled] = best
    result.value[filled] = rows.value[worst]
    result.limit[filled] = rows.limit[worst]
    return result
