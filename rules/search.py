"""What of many readings can change their pairs: the others need no walk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from rules.block import Block, breaching_of, evaluable, joined, one, sides
from rules.occupancy import Occupancy
from rules.plan import NEVER_NS, Pairs
from rules.ranges import ranges
from rules.runs import RunState
from rules.spoken import spoken

LONG = 2048
"""From so many readings of one point on, its readings are searched first, on views, for those that can change anything."""
CHUNK = 16_384
"""So many readings are looked at at a time, so that the columns in use stay in a core's cache."""
PIECE = 512
"""Readings of a pair judged at first when it leaves its rest; twice as many with each piece in which it does not come back."""


def blocks(pairs: Pairs, state: RunState, readings: Readings, occupancy: Occupancy) -> Iterator[Block]:
    """The readings laid out for their pairs; each block is to be judged before the next is asked for."""
    segments = segments_of(pairs, readings)
    if pairs.windowed:
        for offset in range(0, int(segments[1].max(initial=0)), CHUNK):
            for block, _ in laid(readings, segments[:, segments[1] > offset], slice(offset, offset + CHUNK)):
                yield from _told(pairs, state, spoken(pairs, state.windows, evaluable(pairs, block, occupancy), occupancy, state.active))
        return
    long = segments[1] >= LONG
    if long.any():
        yield from _pieces(pairs, state, readings, occupancy, segments[:, long])
    for block, _ in laid(readings, segments[:, ~long]):
        yield evaluable(pairs, block, occupancy)


def segments_of(pairs: Pairs, readings: Readings) -> NDArray[np.int64]:
    """The stretches of one point's readings that have pairs; rows: start, length, first pair, pairs."""
    edges = np.flatnonzero(readings.point[1:] != readings.point[:-1]) + 1
    starts = np.concatenate([[0], edges]) if len(readings) else edges
    lengths = np.diff(np.concatenate([starts, [len(readings)]]))
    numbers = readings.point[starts].astype(np.int64)
    first_pair = pairs.offsets[numbers]
    segments = np.stack([starts, lengths, first_pair, pairs.offsets[numbers + 1] - first_pair])
    chosen: NDArray[np.int64] = segments[:, segments[3] > 0]
    return chosen


def laid(readings: Readings, segments: NDArray[np.int64], part: slice = slice(0, NEVER_NS)) -> Iterator[tuple[Block, NDArray[np.int64]]]:
    """A part of each segment laid out for its pairs, in blocks that stay in a core's cache; and which reading each row is."""
    starts, lengths, first_pair, pair_count = segments
    starts, lengths = starts + part.start, np.minimum(lengths, part.stop) - part.start
    rows_before = np.cumsum(lengths * pair_count) - lengths * pair_count
    for some in np.split(np.arange(len(starts)), np.flatnonzero(np.diff(rows_before // CHUNK)) + 1):
        if not len(some):
            continue
        if len(some) == 1 and pair_count[some[0]] == 1:
            start = int(starts[some[0]])
            rows = np.arange(start, start + int(lengths[some[0]]))
            view = slice(start, start + len(rows))
            yield one(int(first_pair[some[0]]), readings.time[view], readings.value[view], readings.quality[view]), rows
            continue
        repeats = pair_count[some]
        block_lengths = np.repeat(lengths[some], repeats)
        which = ranges(np.repeat(starts[some], repeats), block_lengths)
        block_starts = np.cumsum(block_lengths) - block_lengths
        columns = (readings.time[which], readings.value[which], readings.quality[which])
        yield Block(ranges(first_pair[some], repeats), block_starts, block_lengths, *columns), which


@dataclass(slots=True)
class _Search:
    """Readings of one pair, and the rows in them where a run begins that may count; from `start` on they are not judged yet."""

    block: Block
    begins: NDArray[np.intp]
    start: int = 0
    length: int = PIECE

    def piece(self, state: RunState) -> Block | None:
        """The next rows that can change the pair; None when there are no more."""
        row, count = int(self.block.pair[0]), len(self.block.time)
        if not (state.open[row] or state.run[row]):
            following = self.begins[np.searchsorted(self.begins, self.start) :]
            self.start, self.length = (int(following[0]), PIECE) if len(following) else (count, 0)
        if self.start >= count:
            return None
        part = slice(self.start, min(self.start + self.length, count))
        self.start, self.length = part.stop, 2 * self.length
        return self.block.part(part)


def _pieces(pairs: Pairs, state: RunState, readings: Readings, occupancy: Occupancy, segments: NDArray[np.int64]) -> Iterator[Block]:
    """Of points with many readings (columns: start, length, first pair, pairs) what can change their pairs, of all of them side by side."""
    for offset in range(0, int(segments[1].max()), CHUNK):
        searches = []
        for start, length, first_pair, pair_count in segments[:, segments[1] > offset].T.tolist():
            part = slice(start + offset, start + min(length, offset + CHUNK))
            for row in range(first_pair, first_pair + pair_count):
                block = evaluable(pairs, one(row, readings.time[part], readings.value[part], readings.quality[part]), occupancy)
                if not len(block.pair):
                    continue
                breaching = breaching_of(pairs, block, *sides(pairs, block, occupancy))
                begins, _ = runs_that_count(pairs, block, breaching)
                if len(begins) or state.open[row] or state.run[row]:
                    searches.append(_Search(block, begins))
        yield from _searched(state, searches)


def _told(pairs: Pairs, state: RunState, block: Block) -> Iterator[Block]:
    """Of a block with verdicts what can change its pairs: all, or, when its pairs have many rows, a search."""
    if not len(block.pair) or int(block.lengths.max()) < LONG:
        yield block
        return
    assert block.verdicts is not None
    begins, of = runs_that_count(pairs, block, block.verdicts.breaching)
    active = state.active[block.pair]
    active[of] = True
    searches = []
    for i in np.flatnonzero(active).tolist():
        start = int(block.starts[i])
        rows = slice(start, start + int(block.lengths[i]))
        part = one(int(block.pair[i]), block.time[rows], block.value[rows], block.quality[rows], block.verdicts.rows(rows))
        searches.append(_Search(part, begins[of == i] - start))
    yield from _searched(state, searches)


def _searched(state: RunState, searches: list[_Search]) -> Iterator[Block]:
    while searches:
        pieces = [(search, piece) for search in searches if (piece := search.piece(state)) is not None]
        searches = [search for search, _ in pieces]
        if pieces:
            yield joined([piece for _, piece in pieces])


def runs_that_count(pairs: Pairs, block: Block, breaching: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
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
