"""What `rate`, `flatline`, `count` and `mean` say of readings, from the windows that they look back on (docs/rules.md, Kinds)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rules.exact import COUNT_MAX, Sums, rounded, split
from rules.plan import Pairs
from rules.ranges import ranges
from rules.windows import Flags, Floats, Ints, Windows

STRETCH = 64
"""Of so many readings in a row the extremes are taken at once."""
LOOK = 3 * STRETCH
MANY = 1024
"""From so many new readings a pair on, means are first taken inexactly, to see whether they have to be exact."""
ROUNDING = 2.0**-53
"""What an operation in float64 errs at most, as a part of its result."""


def spread(column: NDArray[Any], lengths: Ints) -> NDArray[Any]:
    """A value per pair as a value per row."""
    return np.broadcast_to(column, int(lengths[0])) if len(lengths) == 1 else np.repeat(column, lengths)


@dataclass(frozen=True, slots=True)
class Said:
    """Of evaluated readings, a row each: whether it breaches, may have returned if it does not, and the value that is judged.

    `warm` says that this cannot depend on readings before those that the windows were given.
    """

    breaching: Flags
    may_return: Flags
    value: Floats
    warm: Flags


@dataclass(frozen=True, slots=True)
class Fresh:
    """New evaluated readings, flat, in the pool: pair i of `pair` has rows starts[i]:starts[i] + lengths[i].

    Row r lies at `position[r]` of the pool; the lead of its segment begins at `least[r]`, the segment itself at the time `began[r]`.
    """

    pair: NDArray[np.intp]
    starts: Ints
    lengths: Ints
    time: Ints
    position: Ints
    least: Ints
    began: Ints
    whole: Flags
    segment: Ints
    """The row in which the segment begins, -1 when before these."""

    @property
    def last(self) -> Ints:
        return self.starts + self.lengths - 1


def written(windows: Windows, pair: NDArray[np.intp], starts: Ints, lengths: Ints, time: Ints, value: Floats, cut: Flags) -> Fresh:
    """Write new readings of some pairs behind their leads; `cut` marks rows that begin a segment."""
    windows.leave(pair[cut[starts]])
    empty = windows.end[pair] == windows.start[pair]
    windows.began[pair[empty]] = time[starts[empty]]
    windows.broken[pair[empty]] = False
    for part in windows.sums.parts():
        part[pair[empty]] = 0
    position = ranges(windows.extend(pair, lengths, time, value), lengths)
    inner = cut.copy()
    inner[starts] = False
    segment = spread(np.where(empty, starts, -1), lengths)
    least, began, whole = (spread(column[pair], lengths) for column in (windows.start, windows.began, windows.whole))
    if inner.any():
        latest = np.maximum.accumulate(np.where(inner, np.arange(len(time)), -1))
        here = latest >= spread(starts, lengths)
        segment = np.where(here, latest, segment)
        least, began = np.where(here, position[latest], least), np.where(here, time[latest], began)
        whole = whole | here
    fresh = Fresh(pair, starts, lengths, time, position, least, began, whole, segment)
    windows.began[pair], windows.whole[pair] = began[fresh.last], whole[fresh.last]
    return fresh


def rate(pairs: Pairs, windows: Windows, fresh: Fresh, value: Floats) -> Said:
    bound = fresh.time - spread(pairs.window[fresh.pair], fresh.lengths)
    first = _first(windows, fresh, bound)
    breaching = np.abs(value - windows.pool.value.take(first)) > spread(pairs.change[fresh.pair], fresh.lengths)
    windows.start[fresh.pair] = first[fresh.last]
    return Said(breaching, first < fresh.position, value, fresh.whole | (fresh.began <= bound))


def count(pairs: Pairs, windows: Windows, fresh: Fresh) -> tuple[Flags, Flags]:
    """Which breach, and which have a full window; the pool has 1.0 for a reading that is beyond its limit, else 0.0."""
    n = spread(pairs.n[fresh.pair], fresh.lengths)
    first = np.maximum(fresh.least, fresh.position - n + 1)
    held = fresh.position - first + 1
    beyond = _slid(windows, fresh, first, _tally).whole
    enough = held >= spread(pairs.min_readings[fresh.pair], fresh.lengths)
    return (beyond >= spread(pairs.k[fresh.pair], fresh.lengths)) & enough, held == n


def mean(pairs: Pairs, windows: Windows, fresh: Fresh, limits: tuple[Floats, Floats], active: Flags | None) -> tuple[Floats, Flags]:
    """The means, NaN where there is none, and which are warm.

    They are exact, except where none of a block is near its limits (above and below) nor needed for a peak: of pairs that are not `active`
    (None for all pairs when no peak will be asked for).
    """
    bound = fresh.time - spread(pairs.window[fresh.pair], fresh.lengths)
    first = _first(windows, fresh, bound + 1)
    held = fresh.position - first + 1
    full = fresh.began <= bound
    ready = full & (held >= spread(pairs.min_readings[fresh.pair], fresh.lengths))
    warm = fresh.whole | full
    if int(fresh.lengths.min()) >= MANY and not (active is not None and active[fresh.pair].any()):
        means = _inexact(windows, fresh, first, held, np.where(ready, limits, [[np.inf], [-np.inf]]))
        if means is not None:
            return np.where(ready, means, np.nan), warm
    sums = _slid(windows, fresh, first, split)
    total = rounded(sums)
    pool = windows.pool.value
    for row in np.flatnonzero((sums.odd > 0) | (held > COUNT_MAX)).tolist():
        total[row] = math.fsum(pool[first[row] : fresh.position[row] + 1].tolist())
    return np.where(ready, total / held, np.nan), warm


def _inexact(windows: Windows, fresh: Fresh, first: Ints, held: Ints, limits: Floats) -> Floats | None:
    """The means from running sums in float64, unless one may lie beyond its limits; the lead moves on as by `_slid`.

    A running sum of n values errs by at most (n - 1) ROUNDING of the sum of their magnitudes (Higham, Accuracy and Stability of Numerical
    Algorithms, 2nd ed., 4.2); allowed is four times that, which covers the difference of two, the division and the exact mean's roundings.
    """
    pool, (above, below) = windows.pool.value, limits
    starts, ends, reach = windows.start[fresh.pair], windows.end[fresh.pair], first[fresh.last]
    if (ends - starts > 5 * fresh.lengths).any():
        return None
    means = np.empty(len(first))
    for begin, end, start, length in zip(starts.tolist(), ends.tolist(), fresh.starts.tolist(), fresh.lengths.tolist(), strict=True):
        rows = slice(start, start + length)
        upto = np.zeros(end - begin + 1)
        np.cumsum(pool[begin:end], out=upto[1:])
        magnitude = float(np.abs(pool[begin:end]).sum())
        if not math.isfinite(magnitude):
            return None
        np.subtract(upto[end - begin + 1 - length :], upto.take(first[rows] - begin), out=means[rows])
        means[rows] /= held[rows]
        error = 4 * (end - begin + 8) * ROUNDING * magnitude / int(held[rows].min()) + 1e-300
        if not ((means[rows] < above[rows] - error) & (means[rows] > below[rows] + error)).all():
            return None
    for pair, begin, end in zip(fresh.pair.tolist(), reach.tolist(), ends.tolist(), strict=True):
        for part, new in zip(windows.sums.parts(), split(pool[begin:end]).parts(), strict=True):
            part[pair] = new.sum()
    windows.start[fresh.pair] = reach
    return means


def flatline(pairs: Pairs, windows: Windows, fresh: Fresh, value: Floats) -> Said:
    pair, tolerance = fresh.pair, pairs.change[fresh.pair]
    high, low = np.maximum.reduceat(value, fresh.starts), np.minimum.reduceat(value, fresh.starts)
    began_here = fresh.segment[fresh.last] >= 0
    goes_on = ~began_here
    goes_on &= np.maximum(high, windows.high[pair]) - np.minimum(low, windows.low[pair]) <= tolerance
    since, broken = np.repeat(windows.since[pair], fresh.lengths), np.repeat(windows.broken[pair], fresh.lengths)
    windows.high[pair[goes_on]] = np.maximum(high, windows.high[pair])[goes_on]
    windows.low[pair[goes_on]] = np.minimum(low, windows.low[pair])[goes_on]
    if not goes_on.all():
        others = np.flatnonzero(~goes_on)
        rough = fresh.lengths[others] >= 4 * LOOK
        for i in np.flatnonzero(rough).tolist():
            rough[i] = _is_rough(fresh, int(others[i]), value, tolerance[others[i]], pairs.window[pair[others[i]]])
        _follow(windows, fresh, others, rough, tolerance, (since, broken))
    duration = pairs.window[pair]
    windows.since[pair], windows.broken[pair] = since[fresh.last], broken[fresh.last]
    # Whatever differs from a reading that is older by the duration already breaks a run that could breach.
    bound = fresh.time[fresh.last] - duration + 1
    newer = _first_at(windows.pool.time, windows.start[pair], fresh.position[fresh.last], windows.start[pair] + 1, bound)
    windows.start[pair] = np.maximum(windows.start[pair], newer - 1)
    duration = spread(duration, fresh.lengths)
    return Said(fresh.time - since >= duration, broken, value, fresh.whole | broken | (fresh.began <= fresh.time - duration))


def _is_rough(fresh: Fresh, row: int, value: Floats, tolerance: float, duration: int) -> bool:
    """Whether no LOOK of many new readings of a pair in a row are within the tolerance, nor as old together as the duration.

    So it is when no STRETCH of them is: of LOOK readings in a row one whole stretch is a part.
    """
    start, length = int(fresh.starts[row]), int(fresh.lengths[row])
    if fresh.segment[start] != fresh.segment[start + length - 1]:
        return False
    whole = length // STRETCH * STRETCH
    edges = np.append(fresh.time[start : start + whole : STRETCH], fresh.time[start + length - 1])
    if not (edges[4:] - edges[:-4] < duration).all():
        return False
    stretches = value[start : start + whole].reshape(-1, STRETCH)
    return bool((stretches.max(axis=1) - stretches.min(axis=1) > tolerance).all())


def _follow(windows: Windows, fresh: Fresh, others: Ints, rough: Flags, tolerance: Floats, said: tuple[Ints, Flags]) -> None:
    """Say of the rows of `others` since when their run lasts, and whether it is broken; the windows of these pairs go ahead.

    Of the `rough` ones only the first LOOK readings and the last are looked at: the runs of those between are broken, and too short to
    breach, which is all that counts of them.
    """
    since, broken = said
    pair, first, count = fresh.pair[others], fresh.starts[others], np.where(rough, LOOK, fresh.lengths[others])
    tails = fresh.last[others[rough]]
    for start, last in zip((first[rough] + LOOK).tolist(), tails.tolist(), strict=True):
        since[start:last], broken[start:last] = fresh.time[start:last], True
    whose = np.concatenate([others, others[rough]])
    rows, counts = np.concatenate([ranges(first, count), tails]), np.concatenate([count, np.ones(len(tails), np.int64)])
    begin = np.concatenate([windows.start[pair], fresh.position[tails] - LOOK + 1])
    end = np.concatenate([np.where(rough, fresh.position[first] + LOOK, windows.end[pair]), fresh.position[tails] + 1])
    least = np.maximum(fresh.least[rows], np.repeat(begin, counts))
    begins, extremes = _flat_runs(windows.pool.value, (begin, end - begin), (fresh.position[rows], least, counts), tolerance[whose])
    since[rows] = windows.pool.time[begins]
    broken[rows] = begins > fresh.least[rows]
    broken[rows] |= np.repeat(windows.broken[fresh.pair[whose]], counts) & (fresh.segment[rows] < 0)
    newest = np.arange(len(others))
    newest[rough] = len(others) + np.arange(len(tails))
    windows.high[pair], windows.low[pair] = extremes[0][newest], extremes[1][newest]
    windows.start[pair] = begins[(np.cumsum(counts) - 1)[newest]]


def _flat_runs(
    pool: Floats, spans: tuple[Ints, Ints], of: tuple[Ints, Ints, Ints], tolerance: Floats
) -> tuple[Ints, tuple[Floats, Floats]]:
    """Where in the pool the longest run within the tolerance begins that ends with each of some rows; of each span's last its extremes.

    `spans` are beginning and length in the pool; `of` the rows' positions, the least ones where a run may begin, and how many a span has.
    Extremes of 2, 4, 8, … readings first, up to a length that no run has; then down again, run by run the lengths that still fit.
    """
    begins, lengths = spans
    position, earliest, counts = of
    flat = pool[ranges(begins, lengths)]
    offset = spread(np.cumsum(lengths) - lengths - begins, counts)
    row, least = position + offset, earliest + offset
    limit = spread(tolerance, counts)
    levels = [(flat, flat)]
    while True:
        high, low = levels[-1]
        size = 1 << (len(levels) - 1)
        fits = row[row - size + 1 >= least]
        if not (high[fits] - low[fits] <= limit[row - size + 1 >= least]).any():
            break
        wider = high.copy(), low.copy()
        np.maximum(high[size:], high[:-size], out=wider[0][size:])
        np.minimum(low[size:], low[:-size], out=wider[1][size:])
        levels.append(wider)
    begin, top, bottom = row + 1, np.full(len(row), -np.inf), np.full(len(row), np.inf)
    for exponent in range(len(levels) - 1, -1, -1):
        size = 1 << exponent
        high, low = levels[exponent]
        higher, lower = np.maximum(top, high.take(begin - 1, mode="wrap")), np.minimum(bottom, low.take(begin - 1, mode="wrap"))
        fits = (begin - size >= least) & (higher - lower <= limit)
        begin = np.where(fits, begin - size, begin)
        top, bottom = np.where(fits, higher, top), np.where(fits, lower, bottom)
    last = np.cumsum(counts) - 1
    return begin - offset, (top[last], bottom[last])


def _tally(value: Floats) -> Sums:
    none = np.zeros(0, np.int64)
    return Sums(value.astype(np.int64), none, none, none)


def _slid(windows: Windows, fresh: Fresh, first: Ints, as_sums: Callable[[Floats], Sums]) -> Sums:
    """The sums of the windows that begin at `first`, a row each; the lead moves on to the last ones."""
    pair, pool = fresh.pair, windows.pool
    head, reach = windows.start[pair], first[fresh.last]
    leaving = reach - head
    came, gone = as_sums(pool.value[fresh.position]), as_sums(pool.value[ranges(head, leaving)])
    offset = np.cumsum(leaving) - leaving
    left = first + spread(offset - head, fresh.lengths)
    columns = []
    for held, new, old in zip(windows.sums.parts(), came.parts(), gone.parts(), strict=True):
        if not (new.any() or old.any()):
            columns.append(spread(held[pair], fresh.lengths))
            continue
        added, taken = np.cumsum(new), np.zeros(len(old) + 1, np.int64)
        np.cumsum(old, out=taken[1:])
        base = held[pair] - (added[fresh.starts] - new[fresh.starts]) + taken[offset]
        added += spread(base, fresh.lengths)
        added -= taken.take(left)
        column = added
        held[pair] = column[fresh.last]
        columns.append(column)
    windows.start[pair] = reach
    return Sums(*columns)


def _first(windows: Windows, fresh: Fresh, bound: Ints) -> Ints:
    """For each row the first reading of its segment with time >= bound, in the pool."""
    time, last = windows.pool.time, fresh.last
    guess = windows.start[fresh.pair] + fresh.lengths
    found = _first_at(time, fresh.least[last], fresh.position[last], guess, bound[last])
    # In a regular series every window holds as many readings as the last one.
    held = spread(fresh.position[last] - found, fresh.lengths)
    return _first_at(time, fresh.least, fresh.position, fresh.position - held, bound)


def _first_at(time: Ints, low: Ints, high: Ints, guess: Ints, bound: Ints) -> Ints:
    """The first position from `low` to `high` with time >= bound, which `high` has; a bisection side by side where no guess is right."""
    found = np.minimum(np.maximum(guess, low), high)
    waiting = np.flatnonzero(~_is_first(time, low, found, bound))
    # A reading more or less than the guess was made with moves it by one; until a window is filled for the first time, it begins at `low`.
    for shift in (1, -2, None):
        if not len(waiting):
            return found
        least, most = low[waiting], high[waiting]
        tried = least if shift is None else np.minimum(np.maximum(found[waiting] + shift, least), most)
        found[waiting] = tried
        waiting = waiting[~_is_first(time, least, tried, bound[waiting])]
    below, above, bound = low[waiting], high[waiting], bound[waiting]
    left = np.arange(len(waiting))
    while len(left):
        middle = (below[left] + above[left]) // 2
        early = time[middle] < bound[left]
        below[left[early]] = middle[early] + 1
        above[left[~early]] = middle[~early]
        left = left[below[left] < above[left]]
    found[waiting] = above
    return found


def _is_first(time: Ints, low: Ints, position: Ints, bound: Ints) -> Flags:
    first: Flags = (time.take(position) >= bound) & ((position == low) | (time.take(position - 1, mode="wrap") < bound))
    return first
