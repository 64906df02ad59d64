"""Which readings are evaluated, and what a windowed kind says of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rules.block import Block, Verdicts, breaching_of, sides, spread
from rules.occupancy import Occupancy
from rules.plan import LIMITED, NEVER_NS, Pairs
from rules.recovery import recovery
from rules.window_kinds import Said, count, flatline, mean, rate, written
from rules.windows import Windows


@dataclass(frozen=True, slots=True)
class Rest:
    """A block without its excluded rows.

    `cut` marks rows with excluded ones just before them, `trailing` pairs of the block with excluded rows after their last; `emptied` are
    pairs of which no row is left.
    """

    block: Block
    cut: NDArray[np.bool_]
    trailing: NDArray[np.bool_]
    emptied: NDArray[np.intp]


def without_excluded(block: Block, excluded: NDArray[np.bool_]) -> Rest:
    """The evaluated rows; an excluded reading ends runs and windows."""
    evaluated = ~excluded
    counts = np.add.reduceat(evaluated, block.starts, dtype=np.int64)
    rest = block.kept(evaluated, counts)
    left = counts > 0
    # Where the number of excluded rows before a row differs from that before the row before it.
    passed: NDArray[np.int64] = np.cumsum(excluded)
    before, at_end = (passed[block.starts] - excluded[block.starts])[left], passed[block.starts + block.lengths - 1][left]
    passed = passed[evaluated]
    cut = np.diff(passed, prepend=0) != 0
    cut[rest.starts] = passed[rest.starts] != before
    return Rest(rest, cut, passed[rest.starts + rest.lengths - 1] != at_end, block.pair[~left])


def spoken(pairs: Pairs, windows: Windows | None, block: Block, occupancy: Occupancy, active: NDArray[np.bool_] | None = None) -> Block:
    """The evaluated rows of a block with what their windowed kind says of them; `windows` go ahead with them.

    Where nothing breaches, the values judged are right enough to say so, and exact only of pairs that are `active`.
    """
    assert windows is not None
    if not len(block.pair):
        return block
    none = np.broadcast_to(np.nan, block.time.shape)
    above, below = sides(pairs, block, occupancy) if pairs.by_occupancy or pairs.kind in LIMITED else (none, none)
    cut, trailing = np.zeros(len(block.time), np.bool_), block.pair[:0]
    if pairs.by_occupancy:
        excluded = np.isnan(above) | np.isnan(below)
        if excluded.any():
            rest = without_excluded(block, excluded)
            windows.leave(rest.emptied)
            block, cut, trailing = rest.block, rest.cut, rest.block.pair[rest.trailing]
            above, below = above[~excluded], below[~excluded]
            if not len(block.pair):
                return block
    above, below = (np.broadcast_to(side, block.time.shape) for side in (above, below))
    pair, starts = block.pair, block.starts
    gap = pairs.max_gap[pair]
    first, empty = cut[starts], windows.start[pair] == windows.end[pair]
    if (gap < NEVER_NS).any():
        cut[1:] |= np.diff(block.time) > spread(gap, block)[1:]
        first |= ~empty & (block.time[starts] - windows.last(pair) > gap)
    cut[starts] = first
    said = _said(pairs, windows, block, cut, (above, below), active, occupancy)
    windows.leave(trailing)
    cut[starts] |= empty
    verdicts = Verdicts(said.breaching, said.may_return, cut, above, below, said.warm)
    return Block(pair, starts, block.lengths, block.time, said.value, block.quality, verdicts)


def _said(
    pairs: Pairs,
    windows: Windows,
    block: Block,
    cut: NDArray[np.bool_],
    limits: tuple[NDArray[np.float64], NDArray[np.float64]],
    active: NDArray[np.bool_] | None,
    occupancy: Occupancy,
) -> Said:
    value = block.value
    if pairs.kind == "count":
        value = breaching_of(pairs, block, *limits).astype(np.float64)
    fresh = written(windows, block.pair, block.starts, block.lengths, block.time, value, cut)
    if pairs.kind == "rate":
        return rate(pairs, windows, fresh, value)
    if pairs.kind == "flatline":
        return flatline(pairs, windows, fresh, value)
    if pairs.kind == "recovery":
        rested = occupancy.at_rest_since(pairs.place[block.pair], block.lengths, block.time)
        return recovery(pairs, windows, fresh, value, rested, breaching_of(pairs, block, *limits))
    if pairs.kind == "count":
        breaching, full = count(pairs, windows, fresh)
        return Said(breaching, full, block.value, fresh.whole | full)
    means, warm = mean(pairs, windows, fresh, limits, active)
    judged = Block(block.pair, block.starts, block.lengths, block.time, means, block.quality)
    return Said(breaching_of(pairs, judged, *limits), np.ones(len(means), np.bool_), means, warm)
