"""`advance`: what new readings change, for live steps, replay, back-test and proof alike.

Any cutting of in-order readings into batches gives the same findings (docs/rules.md, Determinism).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD, Readings
from facility.site import OCCUPANCIES
from rules.block import Block, breaching_of, chosen, measured, one, sides, spread
from rules.excursion import Excursion
from rules.occupancy import Occupancy
from rules.plan import NEVER_NS, Pairs
from rules.runs import Event, RunState, Walked, walk
from rules.search import blocks, runs_that_count

RAISED, CLEARED = "raised", "cleared"


@dataclass(frozen=True, slots=True)
class Finding:
    """An excursion was raised or cleared; `excursion` is how it stood at that moment."""

    what: str
    at: int
    excursion: Excursion


def advance(pairs: Pairs, state: RunState, readings: Readings, occupancy: Occupancy) -> tuple[RunState, list[Finding]]:
    """Judge readings newer than all evaluated of their points, sorted by point and time.

    Returns the new state and the findings ordered by the reading that made them, rule and point; `state` is not changed.
    """
    if not len(readings) or not len(pairs):
        return state, []
    new = state.copy()
    findings: list[Finding] = []
    for block in blocks(pairs, new, readings, occupancy):
        for event, row in _judge(pairs, new, block, occupancy):
            excursion = _excursion(pairs, row, event, occupancy)
            at = event.raised if event.cleared is None else event.cleared
            findings.append(Finding(RAISED if event.cleared is None else CLEARED, at, excursion))
    findings.sort(key=lambda finding: (finding.at, finding.excursion.rule, finding.excursion.point, finding.what == CLEARED))
    return new, findings


def breaching_rows(pairs: Pairs, row: int, readings: Readings, occupancy: Occupancy) -> NDArray[np.bool_]:
    """Which readings of its point (all of them, in time order) breach the pair's limit; excluded and not evaluated ones do not."""
    block = one(row, readings.time, readings.value, readings.quality)
    breaching = breaching_of(pairs, block, *sides(pairs, block, occupancy))
    return breaching if pairs.kind == "quality" else breaching & (readings.quality < BAD)


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
    above, below = sides(pairs, block, occupancy)
    breaching = breaching_of(pairs, block, above, below)
    active = state.active[block.pair]
    active[runs_that_count(pairs, block, breaching)[1]] = True
    if not active.any():
        return
    if not active.all():
        kept = np.repeat(active, block.lengths)
        lengths = block.lengths[active]
        block = Block(block.pair[active], np.cumsum(lengths) - lengths, lengths, block.time[kept], block.value[kept], block.quality[kept])
        breaching = breaching[kept]
        above, below = chosen(above, kept), chosen(below, kept)
    yield from _walk_block(pairs, state, block, above, below, breaching)


def _walk_block(
    pairs: Pairs,
    state: RunState,
    block: Block,
    above: NDArray[np.float64],
    below: NDArray[np.float64],
    breaching: NDArray[np.bool_],
) -> Iterator[tuple[Event, int]]:
    excluded = np.isnan(above) | np.isnan(below) if pairs.by_occupancy else np.zeros(len(block.time), np.bool_)
    cut = np.zeros(len(block.time), np.bool_)
    trailing = np.zeros(len(block.pair), np.bool_)
    if excluded.any():
        evaluated = ~excluded
        counts = np.add.reduceat(evaluated.astype(np.int64), block.starts)
        state.cut[block.pair[counts == 0]] = True
        kept = counts > 0
        # An excluded reading ends the runs: where the number of excluded ones before a row differs from that before the row before it.
        passed: NDArray[np.int64] = np.cumsum(excluded)
        passed_before = (passed[block.starts] - excluded[block.starts])[kept]
        passed_at_end = passed[block.starts + block.lengths - 1][kept]
        passed = passed[evaluated]
        starts = (np.cumsum(counts) - counts)[kept]
        block = Block(block.pair[kept], starts, counts[kept], block.time[evaluated], block.value[evaluated], block.quality[evaluated])
        breaching = breaching[evaluated]
        above, below = chosen(above, evaluated), chosen(below, evaluated)
        if not len(block.pair):
            return
        cut = np.diff(passed, prepend=0) != 0
        cut[starts] = passed[starts] != passed_before
        trailing = passed[starts + block.lengths - 1] != passed_at_end
    pair = block.pair
    gap = pairs.max_gap[pair]
    leading = cut[block.starts]
    if (gap < NEVER_NS).any():
        cut[1:] |= np.diff(block.time) > spread(gap, block)[1:]
    before = state.rows(pair)
    cut[block.starts] = leading | before.cut | (before.active & (block.time[block.starts] - before.last > gap))
    score, limit, returned = measured(pairs, block, above, below, breaching)
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
    after, events = walk(before, rows)
    after.cut = trailing
    state.put(pair, after)
    for event in events:
        yield event, int(pair[event.pair])


def _excursion(pairs: Pairs, row: int, event: Event, occupancy: Occupancy) -> Excursion:
    rule, point = pairs.rules[row], pairs.points[row]
    measured = pairs.kind != "quality"
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
