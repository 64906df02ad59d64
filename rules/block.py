"""Readings of some pairs laid out flat, and what they say: their limits, which breach, how bad each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD
from rules.occupancy import Occupancy
from rules.plan import Pairs

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Block:
    """Readings of some pairs, flat: row i of `pair` has rows starts[i]:starts[i] + lengths[i]."""

    pair: NDArray[np.intp]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]


def one(row: int, time: NDArray[np.int64], value: NDArray[np.float64], quality: NDArray[np.uint8]) -> Block:
    return Block(np.array([row]), np.zeros(1, np.int64), np.array([len(time)]), time, value, quality)


def joined(blocks: list[Block]) -> Block:
    pair, lengths, time, value, quality = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("pair", "lengths", "time", "value", "quality")
    )
    return Block(pair, np.cumsum(lengths) - lengths, lengths, time, value, quality)


def without_bad(block: Block) -> Block:
    """The block without its bad readings, and without pairs that have no others."""
    good = block.quality < BAD
    if good.all():
        return block
    lengths = np.add.reduceat(good, block.starts, dtype=np.int64)
    kept = lengths > 0
    lengths = lengths[kept]
    return Block(block.pair[kept], np.cumsum(lengths) - lengths, lengths, block.time[good], block.value[good], block.quality[good])


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, … of each length, one after the other."""
    offset = np.cumsum(lengths) - lengths
    rows: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(starts - offset, lengths)
    return rows


def chosen(side: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    return side[kept] if len(side) == len(kept) else side


def spread(column: NDArray[_T], block: Block) -> NDArray[_T]:
    """A value per pair as a value per row."""
    return np.repeat(column, block.lengths)


def sides(pairs: Pairs, block: Block, occupancy: Occupancy) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The limits of each row: above and below, of length rows, or 1 for a single pair whose limit is one number."""
    if pairs.by_occupancy:
        row_pair = spread(block.pair, block)
        codes = occupancy.limit_codes(pairs.place[row_pair], block.time)
        return pairs.above[row_pair, codes], pairs.below[row_pair, codes]
    above, below = pairs.above[block.pair, 0], pairs.below[block.pair, 0]
    if len(block.pair) == 1:
        return above, below
    return spread(above, block), spread(below, block)


def breaching_of(pairs: Pairs, block: Block, above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For `quality` the bad readings, else those strictly beyond a limit, or at it where equality breaks it.

    NaN limits (excluded rows) are never breached.
    """
    if pairs.kind == "quality":
        return block.quality >= BAD
    broken = []
    for limit, inclusive, beyond in (
        (above, pairs.above_inclusive, np.greater),
        (below, pairs.below_inclusive, np.less),
    ):
        if len(limit) == 1 and np.isinf(limit[0]):
            continue
        side = beyond(block.value, limit)
        if inclusive[block.pair].any():
            side |= (block.value == limit) & spread(inclusive[block.pair], block)
        broken.append(side)
    return broken[0] if len(broken) == 1 else broken[0] | broken[1]


def measured(
    pairs: Pairs,
    block: Block,
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
        deadband = spread(deadband, block)
    returned = ~breaching & (value <= above - deadband) & (value >= below + deadband)
    two_sided, below_only = pairs.two_sided[block.pair], pairs.below_only[block.pair]
    if one and not two_sided[0]:
        return -value if below_only[0] else value, np.broadcast_to(below if below_only[0] else above, value.shape), returned
    if not one:
        two_sided, below_only = spread(two_sided, block), spread(below_only, block)
    over, under = value - above, below - value
    score = np.where(two_sided, np.maximum(over, under), np.where(below_only, -value, value))
    limit = np.where(np.where(two_sided, under > over, below_only), below, above)
    return score, np.broadcast_to(limit, score.shape), returned
