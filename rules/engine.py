"""`advance`: what new readings change, for live steps, replay, back-test and proof alike.

Any cutting of in-order readings into batches gives the same findings (docs/rules.md, Determinism).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from facility.site import OCCUPANCIES
from rules.block import Block, Verdicts, breaching_of, chosen, measured, seen_rows, sides, spread
from rules.copies import COPY
from rules.excursion import Excursion
from rules.occupancy import Occupancy
from rules.plan import LIMITED, NEVER_NS, Pairs
from rules.runs import Event, RunState, Walked, walk
from rules.search import blocks, laid, runs_that_count, segments_of
from rules.spoken import spoken, without_excluded
from rules.windows import Windows

RAISED, CLEARED = "raised", "cleared"


@dataclass(frozen=True, slots=True)
class Finding:
    """An excursion was raised or cleared; `excursion` is how it stood at that moment."""

    what: str
    at: int
    excursion: Excursion


def advance(pairs: Pairs, state: RunState, readings: Readings, occupancy: Occupancy) -> tuple[RunState, list[Finding]]:
    """Judge readings newer than all evaluated of their points, sorted by point and time.

    Returns the new state and the findings ordered by the reading that made them, rule and point; `state` is not changed, but its windows
    go over to the new one, so that it is not to be advanced once more.
    """
    if not len(readings) or not len(pairs):
        return state, []
    if pairs.kind == "flatline" and (readings.sequence == COPY).any():
        readings = readings.take(readings.sequence != COPY)
    new = state.copy()
    if pairs.windowed and new.windows is None:
        new.windows = Windows.initial(len(pairs))
    findings: list[Finding] = []
    for block in blocks(pairs, new, readings, occupancy):
        for event, row in _judge(pairs, new, block, occupancy):
            excursion = _excursion(pairs, row, event, occupancy)
            at = event.raised if event.cleared is None else event.cleared
            findings.append(Finding(RAISED if event.cleared is None else CLEARED, at, excursion))
    findings.sort(key=lambda finding: (finding.at, finding.excursion.rule, finding.excursion.point, finding.what == CLEARED))
    return new, findings


def survey(
    pairs: Pairs, state: RunState, readings: Readings, occupancy: Occupancy
) -> tuple[RunState, NDArray[np.bool_], NDArray[np.bool_]]:
    """Lead the windows past readings as `advance` does, without judging runs.

    Returns the state, and of each reading whether every pair of its point evaluates or excludes it with windows that do not depend on what
    came before those that they were given, and whether one says that it breaches.
    """
    new = state.copy()
    warm, breaching = np.ones(len(readings), np.bool_), np.zeros(len(readings), np.bool_)
    if pairs.kind == "flatline" and (copies := readings.sequence == COPY).any():
        warm[copies] = False
        new, warm[~copies], breaching[~copies] = survey(pairs, state, readings.take(~copies), occupancy)
        return new, warm, breaching
    for block, rows in laid(readings, segments_of(pairs, readings)):
        seen = seen_rows(pairs, block, occupancy)
        if seen is not None:
            warm[rows[~seen]] = False
            block, rows = block.kept(seen), rows[seen]
            if not len(rows):
                continue
        if pairs.windowed:
            if pairs.by_occupancy:
                rows = rows[~np.isnan(sides(pairs, block, occupancy)[0])]
            verdicts = spoken(pairs, new.windows, block, occupancy).verdicts
            if verdicts is not None:
                breaching[rows[verdicts.breaching]] = True
                warm[rows[~verdicts.warm]] = False
        else:
            breaching[rows[breaching_of(pairs, block, *sides(pairs, block, occupancy))]] = True
    return new, warm, breaching


def open_excursions(pairs: Pairs, state: RunState, occupancy: Occupancy) -> list[Excursion]:
    """The excursions that are open, with peak and readings to the newest evaluated reading."""
    rows = np.flatnonzero(state.open)
    extent = state.base.rows(rows).then(state.tail.rows(rows))
    return [
        _excursion(
            pairs,
            int(row),
            Event(
                pair=i,
                onset=int(state.onset[row]),
                raised=int(state.raised[row]),
                ended=None,
                cleared=None,
                peak=float(extent.value[i]),
                limit=float(extent.limit[i]),
                readings=int(extent.readings[i]),
            ),
            occupancy,
        )
        for i, row in enumerate(rows)
    ]


def _judge(pairs: Pairs, state: RunState, block: Block, occupancy: Occupancy) -> Iterator[tuple[Event, int]]:
    """Walk the pairs of a block that have something to walk; the others keep their state untouched."""
    if not len(block.pair):
        return
    if block.verdicts is None:
        above, below = sides(pairs, block, occupancy)
        breaching = breaching_of(pairs, block, above, below)
    else:
        above, below, breaching = block.verdicts.above, block.verdicts.below, block.verdicts.breaching
    active = state.active[block.pair]
    active[runs_that_count(pairs, block, breaching)[1]] = True
    if not active.any():
        return
    if not active.all():
        kept = np.repeat(active, block.lengths)
        block = block.kept(kept, np.where(active, block.lengths, 0))
        breaching = breaching[kept]
        above, below = chosen(above, kept), chosen(below, kept)
    if block.verdicts is None:
        yield from _walk_block(pairs, state, block, above, below, breaching)
    else:
        yield from _walk_verdicts(pairs, state, block, block.verdicts)


def _walk_verdicts(pairs: Pairs, state: RunState, block: Block, verdicts: Verdicts) -> Iterator[tuple[Event, int]]:
    """Walk the rows of a windowed kind: all are evaluated, and its windows know what is cut."""
    score, limit, returned = measured(pairs, block, verdicts.above, verdicts.below, verdicts.breaching)
    unmeasured = np.isnan(block.value)  # no mean yet
    if unmeasured.any():
        score = np.where(unmeasured, -np.inf, score)
    if pairs.kind in ("count", "recovery"):  # of which only the peak is measured
        returned = ~verdicts.breaching
    yield from _walk(pairs, state, block, verdicts.breaching, returned & verdicts.may_return, verdicts.cut, score, limit)


def _walk_block(
    pairs: Pairs,
    state: RunState,
    block: Block,
    above: NDArray[np.float64],
    below: NDArray[np.float64],
    breaching: NDArray[np.bool_],
) -> Iterator[tuple[Event, int]]:
    cut, trailing = np.zeros(len(block.time), np.bool_), np.zeros(len(block.pair), np.bool_)
    excluded = np.isnan(above) | np.isnan(below) if pairs.by_occupancy else cut
    if excluded.any():
        evaluated = ~excluded
        rest = without_excluded(block, excluded)
        state.cut[rest.emptied] = True
        block, cut, trailing, breaching = rest.block, rest.cut, rest.trailing, breaching[evaluated]
        above, below = chosen(above, evaluated), chosen(below, evaluated)
        if not len(block.pair):
            return
    pair = block.pair
    gap = pairs.max_gap[pair]
    leading = cut[block.starts]
    if (gap < NEVER_NS).any():
        cut[1:] |= np.diff(block.time) > spread(gap, block)[1:]
    active = state.active[pair]
    cut[block.starts] = leading | state.cut[pair] | (active & (block.time[block.starts] - state.last[pair] > gap))
    score, limit, returned = measured(pairs, block, above, below, breaching)
    yield from _walk(pairs, state, block, breaching, returned, cut, score, limit)
    state.cut[pair] = trailing


def _walk(
    pairs: Pairs,
    state: RunState,
    block: Block,
    breaching: NDArray[np.bool_],
    returned: NDArray[np.bool_],
    cut: NDArray[np.bool_],
    score: NDArray[np.float64],
    limit: NDArray[np.float64],
) -> Iterator[tuple[Event, int]]:
    pair = block.pair
    rows = Walked(
        block.starts,
        block.lengths,
        block.time,
        breaching,
        returned,
        cut,
        score,
        block.value,
        limit,
        pairs.on_delay[pair],
        pairs.off_delay[pair],
    )
    windows, state.windows = state.windows, None  # they have gone ahead already
    after, events = walk(state.rows(pair), rows)
    state.put(pair, after)
    state.windows = windows
    for event in events:
        yield event, int(pair[event.pair])


def _excursion(pairs: Pairs, row: int, event: Event, occupancy: Occupancy) -> Excursion:
    rule, point = pairs.rules[row], pairs.points[row]
    measured = pairs.kind in LIMITED
    code = occupancy.reported[pairs.place[row]].at(np.array([event.onset]))[0]
    return Excursion(
        rule=rule.id,
        point=point.id,
        level=rule.level,
        onset=event.onset,
        raised=event.raised,
        ended=event.ended,
        cleared=event.cleared,
        peak=event.peak if measured else None,
        readings=event.readings,
        zone=point.zone or "",
        room=point.room,
        occupancy=OCCUPANCIES[code],
        limit=event.limit if measured else None,
        unit=point.unit,
    )
