"""Readings of some pairs laid out flat, and what they say: their limits, which breach, how bad each is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD
from rules.occupancy import Occupancy
from rules.plan import LIMITED, Pairs

_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a windowed kind says of each row; `cut` marks rows before which runs end, NaN limits stand for none."""

    breaching: NDArray[np.bool_]
    may_return: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    above: NDArray[np.float64]
    below: NDArray[np.float64]
    warm: NDArray[np.bool_]

    def rows(self, which: NDArray[np.bool_] | slice) -> Verdicts:
        return Verdicts(*(getattr(self, f.name)[which] for f in fields(self)))

    @classmethod
    def joined(cls, parts: list[Verdicts]) -> Verdicts:
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))


@dataclass(frozen=True, slots=True)
class Block:
    """Readings of some pairs, flat: row i of `pair` has rows starts[i]:starts[i] + lengths[i].

    With `verdicts` the rows are evaluated ones of a windowed kind, and `value` is what it judges.
    """

    pair: NDArray[np.intp]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    verdicts: Verdicts | None = None

    def part(self, rows: slice) -> Block:
        """Some rows of a block with one pair."""
        verdicts = None if self.verdicts is None else self.verdicts.rows(rows)
        return one(int(self.pair[0]), self.time[rows], self.value[rows], self.quality[rows], verdicts)

    def kept(self, rows: NDArray[np.bool_], counts: NDArray[np.int64] | None = None) -> Block:
        """The block without the other rows, and without pairs that have none left; `counts` are the rows left of each pair."""
        if counts is None:
            counts = np.add.reduceat(rows, self.starts, dtype=np.int64)
        pairs = counts > 0
        lengths = counts[pairs]
        verdicts = None if self.verdicts is None else self.verdicts.rows(rows)
        columns = (self.time[rows], self.value[rows], self.quality[rows])
        return Block(self.pair[pairs], np.cumsum(lengths) - lengths, lengths, *columns, verdicts)


def one(
    row: int, time: NDArray[np.int64], value: NDArray[np.float64], quality: NDArray[np.uint8], verdicts: Verdicts | None = None
) -> Block:
    return Block(np.array([row]), np.zeros(1, np.int64), np.array([len(time)]), time, value, quality, verdicts)


def joined(blocks: list[Block]) -> Block:
    pair, lengths, time, value, quality = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("pair", "lengths", "time", "value", "quality")
    )
    verdicts = [block.verdicts for block in blocks if block.verdicts is not None]
    return Block(pair, np.cumsum(lengths) - lengths, lengths, time, value, quality, Verdicts.joined(verdicts) if verdicts else None)


def evaluable(pairs: Pairs, block: Block, occupancy: Occupancy) -> Block:
    """The block without the readings that its pairs do not see: bad ones, for `quality` not even those, and ones that are passed over."""
    seen = seen_rows(pairs, block, occupancy)
    return block if seen is None else block.kept(seen)


def seen_rows(pairs: Pairs, block: Block, occupancy: Occupancy) -> NDArray[np.bool_] | None:
    """Which rows are there for their pairs; None for all."""
    seen = block.quality < BAD if pairs.kind != "quality" else None
    which = pairs.unless[block.pair]
    if (which >= 0).any():
        seen = np.ones(len(block.time), np.bool_) if seen is None else seen
        of_row = spread(which, block)
        order = np.argsort(of_row, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(of_row[order])) + 1):
            if of_row[rows[0]] >= 0:
                seen[rows] &= ~occupancy.passing[pairs.conditions[of_row[rows[0]]]].at(block.time[rows])
    return None if seen is None or seen.all() else seen


def chosen(side: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    return side[kept] if len(side) == len(kept) else side


def spread(column: NDArray[_T], block: Block) -> NDArray[_T]:
    """A value per pair as a value per row."""
    return np.repeat(column, block.lengths)


def sides(pairs: Pairs, block: Block, occupancy: Occupancy) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The limits of each row: above and below, of length rows, or 1 for a single pair whose limit is one number.

    NaN both for a row that is not evaluated: its cell is not specified, or the rule does not judge in that state.
    """
    if pairs.by_occupancy:
        row_pair = spread(block.pair, block)
        place = pairs.place[row_pair]
        codes = occupancy.limit_codes(place, block.time)
        above, below = pairs.above[row_pair, codes], pairs.below[row_pair, codes]
        if not pairs.during[block.pair].all():
            excluded = ~pairs.during[row_pair, occupancy.reported_codes(place, block.time)]
            above[excluded] = below[excluded] = np.nan
        return above, below
    above, below = pairs.above[block.pair, 0], pairs.below[block.pair, 0]
    if len(block.pair) == 1:
        return above, below
    return spread(above, block), spread(below, block)


def breaching_of(pairs: Pairs, block: Block, above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For `quality` the bad readings, else those strictly beyond a limit, or at it where equality breaks it.

    NaN limits (excluded rows) are never breached.
    """
    if pairs.kind == "quality":
        bad = block.quality >= BAD
        return bad & ~np.isnan(above) if pairs.by_occupancy else bad
    broken = []
    for limit, inclusive, beyond in (
        (above, pairs.above_inclusive, np.greater),
        (below, pairs.below_inclusive, np.less),
    ):
        if len(limit) == 1 and np.isinf(limit[0]):
            continue
        side: NDArray[np.bool_] = beyond(block.value, limit)
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
    if pairs.kind not in LIMITED:
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
