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

LONG = 2048
"""From so many readings of one point on, its readings are searched first, on views, for those that can change anything."""
CHUNK = 16_384
"""So many readings are looked at at a time, so that the columns in use stay in a core's cache."""
PIECE = 512
"""Readings of a pair judged at first when it leaves its rest; twice as many with each piece in which it does not come back."""

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
    for block in _blocks(pairs, new, readings, occupancy):
        for event, row in _judge(pairs, new, block, occupancy):
            excursion = _excursion(pairs, row, event, occupancy)
            at = event.raised if event.cleared is None else event.cleared
            findings.append(Finding(RAISED if event.cleared is None else CLEARED, at, excursion))
    findings.sort(key=lambda finding: (finding.at, finding.excursion.rule, finding.excursion.point, finding.what == CLEARED))
    return new, findings


def breaching_rows(pairs: Pairs, row: int, readings: Readings, occupancy: Occupancy) -> NDArray[np.bool_]:
    """Which readings of its point (all of them, in time order) breach the pair's limit; excluded and not evaluated ones do not."""
    block = _one(row, readings.time, readings.value, readings.quality)
    breaching = _breaching(pairs, block, *_sides(pairs, block, occupancy))
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


def _blocks(pairs: Pairs, state: RunState, readings: Readings, occupancy: Occupancy) -> Iterator[_Block]:
    """The readings laid out for their pairs; each block is to be judged before the next is asked for."""
    edges = np.flatnonzero(readings.point[1:] != readings.point[:-1]) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.concatenate([starts, [len(readings)]]))
    numbers = readings.point[starts].astype(np.int64)
    first_pair = pairs.offsets[numbers]
    pair_count = pairs.offsets[numbers + 1] - first_pair
    long = np.flatnonzero((lengths >= LONG) & (pair_count > 0))
    if len(long):
        yield from _pieces(pairs, state, readings, occupancy, np.stack([starts, lengths, first_pair, pair_count])[:, long])
    short = np.flatnonzero((lengths < LONG) & (pair_count > 0))
    rows_before = np.cumsum(lengths[short] * pair_count[short])
    for some in np.split(short, np.flatnonzero(np.diff(rows_before // (4 * CHUNK))) + 1):
        if len(some):
            repeats = pair_count[some]
            block_lengths = np.repeat(lengths[some], repeats)
            rows = ranges(np.repeat(starts[some], repeats), block_lengths)
            pair = ranges(first_pair[some], repeats)
            block_starts = np.cumsum(block_lengths) - block_lengths
            block = _Block(pair, block_starts, block_lengths, readings.time[rows], readings.value[rows], readings.quality[rows])
            yield block if pairs.kind == "quality" else _without_bad(block)


@dataclass(slots=True)
class _Search:
    """Readings of one pair, and the rows in them where a run begins that may count; from `start` on they are not judged yet."""

    block: _Block
    begins: NDArray[np.intp]
    start: int = 0
    length: int = PIECE

    def piece(self, state: RunState) -> _Block | None:
        """The next rows that can change the pair; None when there are no more."""
        row, count = int(self.block.pair[0]), len(self.block.time)
        if not (state.open[row] or state.run[row]):
            following = self.begins[np.searchsorted(self.begins, self.start) :]
            self.start, self.length = (int(following[0]), PIECE) if len(following) else (count, 0)
        if self.start >= count:
            return None
        part = slice(self.start, min(self.start + self.length, count))
        self.start, self.length = part.stop, 2 * self.length
        return _one(row, self.block.time[part], self.block.value[part], self.block.quality[part])


def _pieces(pairs: Pairs, state: RunState, readings: Readings, occupancy: Occupancy, segments: NDArray[np.int64]) -> Iterator[_Block]:
    """Of points with many readings (columns: start, length, first pair, pairs) what can change their pairs, of all of them side by side."""
    for offset in range(0, int(segments[1].max()), CHUNK):
        searches = []
        for start, length, first_pair, pair_count in segments[:, segments[1] > offset].T.tolist():
            part = slice(start + offset, start + min(length, offset + CHUNK))
            for row in range(first_pair, first_pair + pair_count):
                block = _one(row, readings.time[part], readings.value[part], readings.quality[part])
                if pairs.kind != "quality":
                    block = _without_bad(block)
                if not len(block.pair):
                    continue
                breaching = _breaching(pairs, block, *_sides(pairs, block, occupancy))
                begins, _ = _runs_that_count(pairs, block, breaching)
                if len(begins) or state.open[row] or state.run[row]:
                    searches.append(_Search(block, begins))
        while searches:
            pieces = [(search, piece) for search in searches if (piece := search.piece(state)) is not None]
            searches = [search for search, _ in pieces]
            if pieces:
                yield _joined([piece for _, piece in pieces])


def _one(row: int, time: NDArray[np.int64], value: NDArray[np.float64], quality: NDArray[np.uint8]) -> _Block:
    return _Block(np.array([row]), np.zeros(1, np.int64), np.array([len(time)]), time, value, quality)


def _joined(blocks: list[_Block]) -> _Block:
    pair, lengths, time, value, quality = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("pair", "lengths", "time", "value", "quality")
    )
    return _Block(pair, np.cumsum(lengths) - lengths, lengths, time, value, quality)


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
    above, below = _sides(pairs, block, occupancy)
    breaching = _breaching(pairs, block, above, below)
    active = state.active[block.pair]
    active[_runs_that_count(pairs, block, breaching)[1]] = True
    if not active.any():
        return
    if not active.all():
        kept = np.repeat(active, block.lengths)
        lengths = block.lengths[active]
        block = _Block(block.pair[active], np.cumsum(lengths) - lengths, lengths, block.time[kept], block.value[kept], block.quality[kept])
        breaching = breaching[kept]
        above, below = _chosen(above, kept), _chosen(below, kept)
    yield from _walk_block(pairs, state, block, above, below, breaching)


def _runs_that_count(pairs: Pairs, block: _Block, breaching: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first rows of the breach runs that outlast the on-delay or are under way at the end, and which of the block's pairs they are of.

    Only these change a pair at rest. Gaps and exclusions are left out of account; they only shorten runs.
    """
    rows = np.flatnonzero(breaching)
    of = np.searchsorted(block.starts, rows, side="right") - 1
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (rows[1:] != rows[:-1] + 1) | (of[1:] != of[:-1])
    ends = np.append(begins[1:], True)[: len(rows)]
    first, last, of = rows[begins], rows[ends], of[begins]
    under_way = last == (block.starts + block.lengths - 1)[of]
    counts = under_way | (block.time[last] - block.time[first] >= pairs.on_delay[block.pair[of]])
    return first[counts], of[counts]


def _chosen(side: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    return side[kept] if len(side) == len(kept) else side


def _walk_block(
    pairs: Pairs,
    state: RunState,
    block: _Block,
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
        block = _Block(block.pair[kept], starts, counts[kept], block.time[evaluated], block.value[evaluated], block.quality[evaluated])
        breaching = breaching[evaluated]
        above, below = _chosen(above, evaluated), _chosen(below, evaluated)
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
    """For `quality` the bad readings, else those strictly beyond a limit, or at it where equality breaks it.

    NaN limits (excluded rows) are never breached.
    """
    if pairs.kind == "quality":
        return block.quality >= BAD
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
    above: NDArray[np.float64],
    below: NDArray[np.float64],
    breaching: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """How bad each row is (a score that grows with it), the limit that says so, and whether it has returned."""
    if pairs.kind == "quality":
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
