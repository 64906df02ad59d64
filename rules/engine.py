"""`advance`: what new readings change, for live steps, replay, back-test and proof alike.

Any cutting of in-order readings into batches gives the same findings (docs/rules.md, Determinism).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD, Readings
from facility.site import OCCUPANCIES
from rules.excursion import Excursion
from rules.occupancy import Occupancy
from rules.plan import NEVER_NS, Pairs
from rules.runs import Event, RunState, Walked, walk

LONG = 256
"""From so many readings of one point on, each of its pairs is judged by itself on views; below, many pairs at once on copies."""
CHUNK = 16_384
"""Readings of one point judged at a time, so that the columns in use stay in a core's cache."""
PIECE = 512
"""Readings of one pair walked at first when it leaves its rest; twice as many with each piece in which it does not come back."""

RAISED, CLEARED = "raised", "cleared"
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Finding:
    """An excursion was raised or cleared; `excursion` is how it stood at that moment."""

    what: str
    at: int
    excursion: Excursion


@dataclass(frozen=True, slots=True)
class _Block:
    """Readings of some pairs, flat: row i of `pair` has rows starts[i]:starts[i] + lengths[i]."""

    pair: NDArray[np.intp]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]


def advance(pairs: Pairs, state: RunState, readings: Readings, occupancy: Occupancy) -> tuple[RunState, list[Finding]]:
    """Judge readings newer than all evaluated of their points, sorted by point and time.

    Returns the new state and the findings ordered by the reading that made them, rule and point; `state` is not changed.
    """
    if not len(readings) or not len(pairs):
        return state, []
    new = state.copy()
    findings: list[Finding] = []
    for block in _blocks(pairs, readings):
        if pairs.kind != "quality":
            block = _without_bad(block)
        for event, row in _judge(pairs, new, block, occupancy):
            excursion = _excursion(pairs, row, event, occupancy)
            at = event.raised if event.cleared is None else event.cleared
            findings.append(Finding(RAISED if event.cleared is None else CLEARED, at, excursion))
    findings.sort(key=lambda finding: (finding.at, finding.excursion.rule, finding.excursion.point, finding.what == CLEARED))
    return new, findings


def breaching_rows(pairs: Pairs, row: int, readings: Readings, occupancy: Occupancy) -> NDArray[np.bool_]:
    """Which readings of its point (all of them, in time order) breach the pair's limit; excluded and not evaluated ones do not."""
    block = _Block(
        np.array([row]), np.zeros(1, np.int64), np.array([len(readings)]), readings.time, readings.value, readings.quality
    )
    if pairs.kind == "quality":
        return readings.quality >= BAD
    sides = _sides(pairs, block, occupancy)
    return _breaching(pairs, block, *sides) & (readings.quality < BAD)


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


def _blocks(pairs: Pairs, readings: Readings) -> Iterator[_Block]:
    edges = np.flatnonzero(readings.point[1:] != readings.point[:-1]) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [len(readings)]]))
    numbers = readings.point[starts].astype(np.int64)
    first_pair = pairs.offsets[numbers]
    pair_count = pairs.offsets[numbers + 1] - first_pair
    for segment in np.flatnonzero((lengths >= LONG) & (pair_count > 0)):
        end = int(starts[segment] + lengths[segment])
        for row in range(int(first_pair[segment]), int(first_pair[segment] + pair_count[segment])):
            for start in range(int(starts[segment]), end, CHUNK):
                part = slice(start, min(start + CHUNK, end))
                yield _Block(
                    np.array([row]),
                    np.zeros(1, np.int64),
                    np.array([part.stop - part.start]),
                    readings.time[part],
                    readings.value[part],
                    readings.quality[part],
                )
    short = np.flatnonzero((lengths < LONG) & (pair_count > 0))
    if not len(short):
        return
    repeats = pair_count[short]
    block_lengths = np.repeat(lengths[short], repeats)
    block_starts = np.cumsum(block_lengths) - block_lengths
    rows_of = ranges(np.repeat(starts[short], repeats), block_lengths)
    pair = ranges(first_pair[short], repeats)
    yield _Block(pair, block_starts, block_lengths, readings.time[rows_of], readings.value[rows_of], readings.quality[rows_of])


def _without_bad(block: _Block) -> _Block:
    """The block without its bad readings, and without pairs that have no others."""
    good = block.quality < BAD
    if good.all():
        return block
    lengths = np.add.reduceat(good, block.starts, dtype=np.int64)
    kept = lengths > 0
    lengths = lengths[kept]
    return _Block(block.pair[kept], np.cumsum(lengths) - lengths, lengths, block.time[good], block.value[good], block.quality[good])


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, … of each length, one after the other."""
    offset = np.cumsum(lengths) - lengths
    rows: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(starts - offset, lengths)
    return rows


def _judge(pairs: Pairs, state: RunState, block: _Block, occupancy: Occupancy) -> Iterator[tuple[Event, int]]:
    """Walk the pairs of a block that have something to walk; the others keep their state untouched."""
    if not len(block.pair):
        return
    above, below = (None, None) if pairs.kind == "quality" else _sides(pairs, block, occupancy)
    breaching = block.quality >= BAD if above is None or below is None else _breaching(pairs, block, above, below)
    if len(block.pair) == 1:
        yield from _judge_one(pairs, state, block, above, below, breaching)
        return
    active = state.active[block.pair] | np.logical_or.reduceat(breaching, block.starts)
    if not active.any():
        return
    if not active.all():
        kept = np.repeat(active, block.lengths)
        lengths = block.lengths[active]
        block = _Block(block.pair[active], np.cumsum(lengths) - lengths, lengths, block.time[kept], block.value[kept], block.quality[kept])
        breaching = breaching[kept]
        if above is not None and below is not None:
            above, below = _chosen(above, kept), _chosen(below, kept)
    yield from _walk_block(pairs, state, block, above, below, breaching)


def _judge_one(
    pairs: Pairs,
    state: RunState,
    block: _Block,
    above: NDArray[np.float64] | None,
    below: NDArray[np.float64] | None,
    breaching: NDArray[np.bool_],
) -> Iterator[tuple[Event, int]]:
    """Walk the rows of a single pair in pieces, and those only that it is not at rest in."""
    row, count = int(block.pair[0]), len(block.time)
    begins = _runs_that_count(breaching, block.time, int(pairs.on_delay[row]))
    start, length = 0, PIECE
    while start < count:
        if not (state.open[row] or state.run[row]):
            following = begins[np.searchsorted(begins, start) :]
            if not len(following):
                return
            start, length = int(following[0]), PIECE
        part = slice(start, min(start + length, count))
        piece = _Block(
            block.pair, np.zeros(1, np.int64), np.array([part.stop - start]), block.time[part], block.value[part], block.quality[part]
        )
        sides = (None if side is None else side[part] if len(side) == count else side for side in (above, below))
        yield from _walk_block(pairs, state, piece, *sides, breaching[part])
        start, length = part.stop, 2 * length


def _runs_that_count(breaching: NDArray[np.bool_], time: NDArray[np.int64], on_delay_ns: int) -> NDArray[np.intp]:
    """The first rows of the breach runs that outlast the on-delay or are under way at the end: only these change a pair at rest.

    Gaps and exclusions are left out of account; they only shorten runs.
    """
    if not breaching.any():
        return np.empty(0, np.intp)
    edges = np.flatnonzero(breaching[1:] != breaching[:-1]) + 1
    if breaching[0]:
        edges = np.concatenate([[0], edges])
    starts, ends = edges[::2], edges[1::2]
    counts = np.ones(len(starts), np.bool_)
    counts[: len(ends)] = time[ends - 1] - time[starts[: len(ends)]] >= on_delay_ns
    return starts[counts]


def _chosen(side: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    return side[kept] if len(side) == len(kept) else side


def _walk_block(
    pairs: Pairs,
    state: RunState,
    block: _Block,
    above: NDArray[np.float64] | None,
    below: NDArray[np.float64] | None,
    breaching: NDArray[np.bool_],
) -> Iterator[tuple[Event, int]]:
    excluded = np.zeros(len(block.time), np.bool_)
    if pairs.by_occupancy and above is not None and below is not None:
        excluded = np.isnan(above) | np.isnan(below)
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
        block = _Block(
            block.pair[kept], starts, counts[kept], block.time[evaluated], block.value[evaluated], block.quality[evaluated]
        )
        breaching = breaching[evaluated]
        above, below = (None if side is None else _chosen(side, evaluated) for side in (above, below))
        if not len(block.pair):
            return
        cut = np.diff(passed, prepend=0) != 0
        cut[starts] = passed[starts] != passed_before
        trailing = passed[starts + block.lengths - 1] != passed_at_end
    pair = block.pair
    gap = pairs.max_gap[pair]
    leading = cut[block.starts]
    if (gap < NEVER_NS).any():
        cut[1:] |= np.diff(block.time) > _spread(gap, block)[1:]
    before = state.rows(pair)
    cut[block.starts] = leading | before.cut | (before.active & (block.time[block.starts] - before.last > gap))
    score, limit, returned = _measured(pairs, block, above, below, breaching)
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


def _spread(column: NDArray[_T], block: _Block) -> NDArray[_T]:
    """A value per pair as a value per row."""
    return np.repeat(column, block.lengths)


def _sides(pairs: Pairs, block: _Block, occupancy: Occupancy) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The limits of each row: above and below, of length rows, or 1 for a single pair whose limit is one number."""
    if pairs.by_occupancy:
        row_pair = _spread(block.pair, block)
        codes = occupancy.limit_codes(pairs.place[row_pair], block.time)
        return pairs.above[row_pair, codes], pairs.below[row_pair, codes]
    above, below = pairs.above[block.pair, 0], pairs.below[block.pair, 0]
    if len(block.pair) == 1:
        return above, below
    return _spread(above, block), _spread(below, block)


def _breaching(pairs: Pairs, block: _Block, above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Strictly beyond a limit, or at it where equality breaks it; NaN limits (excluded rows) are never breached."""
    sides = []
    for limit, inclusive, beyond in (
        (above, pairs.above_inclusive, np.greater),
        (below, pairs.below_inclusive, np.less),
    ):
        if len(limit) == 1 and np.isinf(limit[0]):
            continue
        side = beyond(block.value, limit)
        if inclusive[block.pair].any():
            side |= (block.value == limit) & _spread(inclusive[block.pair], block)
        sides.append(side)
    return sides[0] if len(sides) == 1 else sides[0] | sides[1]


def _measured(
    pairs: Pairs,
    block: _Block,
    above: NDArray[np.float64] | None,
    below: NDArray[np.float64] | None,
    breaching: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """How bad each row is (a score that grows with it), the limit that says so, and whether it has returned."""
    if above is None or below is None:
        return np.zeros(len(block.time)), np.full(len(block.time), np.nan), ~breaching
    value, deadband = block.value, pairs.deadband[block.pair]
    one = len(block.pair) == 1
    if not one:
        deadband = _spread(deadband, block)
    returned = ~breaching & (value <= above - deadband) & (value >= below + deadband)
    two_sided, below_only = pairs.two_sided[block.pair], pairs.below_only[block.pair]
    if one and not two_sided[0]:
        return -value if below_only[0] else value, np.broadcast_to(below if below_only[0] else above, value.shape), returned
    if not one:
        two_sided, below_only = _spread(two_sided, block), _spread(below_only, block)
    over, under = value - above, below - value
    score = np.where(two_sided, np.maximum(over, under), np.where(below_only, -value, value))
    limit = np.where(np.where(two_sided, under > over, below_only), below, above)
    return score, np.broadcast_to(limit, score.shape), returned


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
