"""Silence: `stale` excursions from the arrival of readings, the listening time and the lives of sources (docs/rules.md, stale)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from facility.site import OCCUPANCIES
from rules.engine import CLEARED, RAISED, Finding
from rules.excursion import Excursion
from rules.occupancy import Occupancy
from rules.plan import Pairs
from rules.ranges import ranges

FOREVER_NS = 1 << 61
"""The listening time of a point that reports on change, once it was heard of: what it does not say is no silence."""


@dataclass(slots=True)
class StaleState:
    """When each pair's point last reported, n rows: `received` (int64 ns UTC) and `heard` (listening time) of it; `raised` while open.

    `received` of a silence that a death began is the death; `dead` until the point reports or is born again, and open as long.
    `back` is the moment from which the point is in service again, 0 where it is.
    """

    received: NDArray[np.int64]
    heard: NDArray[np.int64]
    open: NDArray[np.bool_]
    raised: NDArray[np.int64]
    dead: NDArray[np.bool_]
    back: NDArray[np.int64]

    @classmethod
    def since(cls, count: int, received: int, heard: int) -> StaleState:
        """Points that never reported count from here."""
        closed, alive = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        raised, back = np.zeros(count, np.int64), np.zeros(count, np.int64)
        return cls(np.full(count, received), np.full(count, heard), closed, raised, alive, back)

    def rows(self, which: NDArray[np.intp]) -> StaleState:
        return StaleState(*(getattr(self, f.name)[which] for f in fields(self)))

    def put(self, which: NDArray[np.intp], rows: StaleState) -> None:
        for f in fields(self):
            getattr(self, f.name)[which] = getattr(rows, f.name)

    def copy(self) -> StaleState:
        return self.rows(np.arange(len(self.open)))


@dataclass(frozen=True, slots=True)
class Heard:
    """Moments at which listening time is known, ascending: `at` int64 ns UTC, `heard` int64 ns. The last one is the clock."""

    at: NDArray[np.int64]
    heard: NDArray[np.int64]

    def stamp(self, deadlines: NDArray[np.int64]) -> NDArray[np.int64]:
        """The UTC stamp of the moment at which listening time reached each deadline: back from the first moment known to be past it."""
        first = np.searchsorted(self.heard, deadlines, side="left")
        return self.at[first] - (self.heard[first] - deadlines)


@dataclass(frozen=True, slots=True)
class Life:
    """A source that speaks for `points` (numbers) was born or died: after so many arrivals of the call, at that moment of its clock."""

    born: bool
    points: NDArray[np.int64]
    arrivals: int
    moment: int


def silence(
    pairs: Pairs, state: StaleState, arrivals: Readings, clock: Heard, occupancy: Occupancy, lives: Sequence[Life] = ()
) -> tuple[StaleState, list[Finding]]:
    """Raise and clear `stale` excursions up to, not including, the clock.

    `arrivals` are the readings stored since the last call, in order of arrival, all qualities, but for those that arrived at a point out of
    service; `lives` stand in the order of the journal. `state` is not changed.
    """
    new = state.copy()
    if not len(pairs):
        return new, []
    _lived_out_of_service(pairs, new, clock, lives)
    _back_in_service(new, clock)
    findings: list[Finding] = []
    done = 0
    for life in lives:
        until = Heard(clock.at[: life.moment + 1], clock.heard[: life.moment + 1])
        findings += _waited(pairs, new, arrivals.take(slice(done, life.arrivals)), until, occupancy)
        findings += _lived(pairs, new, life, until, occupancy)
        done = life.arrivals
    findings += _waited(pairs, new, arrivals.take(slice(done, None)) if done else arrivals, clock, occupancy)
    # Stable: what happens to a pair at one moment stays in its order.
    findings.sort(key=lambda finding: (finding.at, finding.excursion.rule, finding.excursion.point))
    return new, findings


def _lived_out_of_service(pairs: Pairs, state: StaleState, clock: Heard, lives: Sequence[Life]) -> None:
    """Of points that report on change it counts whether their sources live when they are in service again."""
    for life in lives if state.back.any() else ():
        rows = pairs.on_change & (clock.at[life.moment] < state.back) & np.isin(pairs.point, life.points)
        state.heard[rows] = FOREVER_NS if life.born else 0


def _back_in_service(state: StaleState, clock: Heard) -> None:
    """Points whose time out of service ends by the clock count from there, with the listening time of the first moment known after it."""
    rows = np.flatnonzero((state.back > 0) & (state.back <= clock.at[-1]))
    back_in_service(state, rows, state.back[rows], clock.heard[np.searchsorted(clock.at, state.back[rows])])


def back_in_service(state: StaleState, rows: NDArray[np.intp], at: NDArray[np.int64] | int, heard: NDArray[np.int64]) -> None:
    """Rows count from `at`, with that listening time; but points that report on change, were heard of and live are not silent."""
    state.received[rows], state.heard[rows] = at, np.where(state.heard[rows] == FOREVER_NS, FOREVER_NS, heard)
    state.back[rows] = 0


def _waited(pairs: Pairs, state: StaleState, arrivals: Readings, clock: Heard, occupancy: Occupancy) -> list[Finding]:
    findings = _arrived(pairs, state, arrivals, clock, occupancy) if len(arrivals) else []
    return findings + _silent(pairs, state, clock, occupancy)


def _lived(pairs: Pairs, state: StaleState, life: Life, clock: Heard, occupancy: Occupancy) -> list[Finding]:
    """A death raises what is not open; a birth ends what is open at a point that was dead."""
    at, heard = int(clock.at[-1]), int(clock.heard[-1])
    number = life.points[life.points < len(pairs.offsets) - 1]
    rows = ranges(pairs.offsets[number], pairs.offsets[number + 1] - pairs.offsets[number])
    rows = rows[(state.back[rows] == 0) & (state.received[rows] <= at)]
    if life.born:
        state.heard[rows[pairs.on_change[rows]]] = FOREVER_NS
    rows = rows[state.dead[rows] if life.born else ~state.dead[rows] & (at < pairs.retired[rows])]
    findings = []
    for row in rows.tolist():
        if life.born:
            done = _excursion(pairs, row, int(state.received[row]), int(state.raised[row]), occupancy, ended=at)
            findings.append(Finding(CLEARED, at, done))
        elif not state.open[row]:
            state.received[row] = state.raised[row] = at
            findings.append(Finding(RAISED, at, _excursion(pairs, row, at, at, occupancy)))
    if life.born:
        state.received[rows], state.heard[rows] = at, np.where(pairs.on_change[rows], FOREVER_NS, heard)
    state.open[rows] = state.dead[rows] = not life.born
    return findings


def _arrived(pairs: Pairs, state: StaleState, arrivals: Readings, clock: Heard, occupancy: Occupancy) -> list[Finding]:
    """A point's first arrival ends an open silence, and a gap longer than `after` between two arrivals is a silence by itself."""
    arrivals = arrivals.take(np.argsort(arrivals.point, kind="stable"))
    number = arrivals.point.astype(np.int64)
    pair_count = pairs.offsets[number + 1] - pairs.offsets[number]
    row = ranges(pairs.offsets[number], pair_count)
    first, last = (np.repeat(np.diff(number, **edge) != 0, pair_count) for edge in ({"prepend": -1}, {"append": -1}))
    received, heard = np.repeat(arrivals.received, pair_count), np.repeat(arrivals.heard, pair_count)
    before_received = np.where(first, state.received[row], np.repeat(np.roll(arrivals.received, 1), pair_count))
    before_heard = np.where(first, state.heard[row], np.repeat(np.roll(arrivals.heard, 1), pair_count))
    ending = first & state.open[row]
    findings = []
    for i in np.flatnonzero(ending).tolist():
        pair = int(row[i])
        done = _excursion(pairs, pair, int(state.received[pair]), int(state.raised[pair]), occupancy, ended=int(received[i]))
        findings.append(Finding(CLEARED, int(received[i]), done))
    changing = pairs.on_change[row]
    for i in np.flatnonzero(~ending & (heard - before_heard > pairs.after[row]) & (first | ~changing)).tolist():
        pair, onset = int(row[i]), int(before_received[i])
        raised = int(clock.stamp(before_heard[i : i + 1] + pairs.after[pair])[0])
        if raised >= pairs.retired[pair]:
            continue
        findings.append(Finding(RAISED, raised, _excursion(pairs, pair, onset, raised, occupancy)))
        findings.append(Finding(CLEARED, int(received[i]), _excursion(pairs, pair, onset, raised, occupancy, ended=int(received[i]))))
    heard = np.where(changing, FOREVER_NS, heard)
    state.received[row[last]], state.heard[row[last]], state.open[row[last]] = received[last], heard[last], False
    state.dead[row[last]] = False
    return findings


def _silent(pairs: Pairs, state: StaleState, clock: Heard, occupancy: Occupancy) -> list[Finding]:
    deadline = state.heard + pairs.after
    # Strictly: at the very moment of the deadline a reading may still be received.
    rows = np.flatnonzero(~state.open & (state.back == 0) & (clock.heard[-1] > deadline))
    raised = clock.stamp(deadline[rows])
    rows, raised = rows[raised < pairs.retired[rows]], raised[raised < pairs.retired[rows]]
    state.open[rows] = True
    state.raised[rows] = raised
    findings = []
    for row in rows.tolist():
        excursion = _excursion(pairs, row, int(state.received[row]), int(state.raised[row]), occupancy)
        findings.append(Finding(RAISED, excursion.raised, excursion))
    return findings


def heard_of(pairs: Pairs, state: StaleState, numbers: NDArray[np.int64]) -> None:
    """Points have readings from before the state began: of those that report on change what they do not say now is no silence."""
    state.heard[pairs.on_change & (state.back == 0) & np.isin(pairs.point, numbers)] = FOREVER_NS


def next_deadline(pairs: Pairs, state: StaleState, at: int) -> int | None:
    """The listening time at which the next silence becomes an excursion; None when nothing waits.

    Points that are retired by `at` (int ns UTC) wait for nothing any more.
    """
    waiting = (state.heard + pairs.after)[~state.open & (state.back == 0) & (pairs.retired > at)]
    return int(waiting.min()) if len(waiting) else None


def open_silences(pairs: Pairs, state: StaleState, occupancy: Occupancy) -> list[Excursion]:
    """The silences that are open."""
    return [
        _excursion(pairs, row, int(state.received[row]), int(state.raised[row]), occupancy) for row in np.flatnonzero(state.open).tolist()
    ]


def _excursion(pairs: Pairs, row: int, onset: int, raised: int, occupancy: Occupancy, ended: int | None = None) -> Excursion:
    rule, point = pairs.rules[row], pairs.points[row]
    code = occupancy.reported[pairs.place[row]].at(np.array([onset]))[0]
    return Excursion(
        rule=rule.id,
        point=point.id,
        level=rule.level,
        onset=onset,
        raised=raised,
        ended=ended,
        cleared=ended,
        zone=point.zone or "",
        room=point.room,
        occupancy=OCCUPANCIES[code],
        unit=point.unit,
    )
