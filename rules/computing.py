"""The readings of many derived points at once, from those of their origins (docs/rules.md, Derived points)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facility.derived import DIFFERENCE, MAXIMUM, SUM, Derived
from facility.reading import BAD, GOOD, UNCERTAIN, Readings
from rules.copies import BEGINNING, NEVER_NS
from rules.ranges import ranges

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
EXACT = 2.0**53
"""Whole numbers below are exact in float64, and so are their sums."""
LARGEST = 1e300
WORDS_AT_ONCE = 1 << 19
"""So many words are looked at at a time, some 50 MB."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Readings with start <= time < end (int ns UTC) that are wanted of a derived point, by its number and those of its origins."""

    number: int
    derived: Derived
    origins: tuple[int, ...]
    start: int
    end: int


def computed(asked: Sequence[Asked], readings: Readings) -> Readings:
    """Readings of derived points, of those of one `how` by point and time; `asked` has each time of a point once.

    `readings` are those of the origins by point and time, of each since `reach_ns` before its start at least; of all qualities.
    """
    known = _Known.of(readings.take(readings.quality < BAD))
    sums = [one for one in asked if one.derived.how == SUM]
    words = [one for one in asked if one.derived.how != SUM]
    found = Readings.concatenate([*_words(words, known), *_sums(sums, known)])
    return found.take(np.abs(found.value) <= LARGEST)


@dataclass(frozen=True, slots=True)
class _Known:
    """Readings by point and time; where one of them stands by its `key`, made of its point and the rank of its time among all `times`."""

    readings: Readings
    times: Ints
    key: Ints

    @classmethod
    def of(cls, readings: Readings) -> _Known:
        times = np.unique(readings.time)
        rank = np.searchsorted(times, readings.time)
        return cls(readings, times, readings.point.astype(np.int64) * (len(times) + 1) + rank)

    def first(self, point: Ints, time: Ints) -> Ints:
        """The row of the first reading of each point from its time on; where there is none, that after the point's last."""
        return self._row(point, np.searchsorted(self.times, time))

    def newest(self, point: Ints, time: Ints) -> tuple[Ints, NDArray[np.bool_]]:
        """The row of the newest reading of each point at its time or before, and whether there is one."""
        row = self._row(point, np.searchsorted(self.times, time, side="right")) - 1
        return row, (row >= 0) & (self.readings.point[row] == point)

    def _row(self, point: Ints, rank: NDArray[np.intp]) -> Ints:
        return np.searchsorted(self.key, point * (len(self.times) + 1) + rank)


def _words(asked: Sequence[Asked], known: _Known) -> Iterator[Readings]:
    """Of what the origins said last, at each time at which one of them said something: some times at a time."""
    if not asked or not len(known.readings):
        return
    words = _Words(asked, known)
    who, times = words.moments()
    some = max(1, WORDS_AT_ONCE // int(words.count.max()))
    for first in range(0, len(times), some):
        yield words.at(who[first : first + some], times[first : first + some])


class _Words:
    """Derived points as columns: a row of each, and of its origins a row each, those of one derived point together."""

    def __init__(self, asked: Sequence[Asked], known: _Known) -> None:
        self.known = known
        self.number, self.start, self.end = _columns((one.number, one.start, one.end) for one in asked)
        self.how = np.array([one.derived.how for one in asked])
        self.count = np.array([len(one.origins) for one in asked])
        self.begin = np.cumsum(self.count) - self.count
        origins = [both for one in asked for both in zip(one.origins, one.derived.origins, strict=True)]
        self.origin, self.max_age, self.until = _columns(
            (number, origin.max_age_ns, NEVER_NS if origin.until_ns is None else origin.until_ns) for number, origin in origins
        )

    def moments(self) -> tuple[Ints, Ints]:
        """The rows of derived points and the times at which an origin of theirs said something, each once."""
        owner = np.repeat(np.arange(len(self.count)), self.count)
        first, last = self.known.first(self.origin, self.start[owner]), self.known.first(self.origin, self.end[owner])
        said = np.maximum(last - first, 0)
        who, times = np.repeat(owner, said), self.known.readings.time[ranges(first, said)]
        order = np.lexsort((times, who))
        who, times = who[order], times[order]
        once = np.append(True, (np.diff(times) != 0) | (np.diff(who) != 0))[: len(times)]
        return who[once], times[once]

    def at(self, who: Ints, times: Ints) -> Readings:
        """What the derived points of some rows are at a time each."""
        readings, count = self.known.readings, self.count[who]
        word, time = ranges(self.begin[who], count), np.repeat(times, count)
        begin = np.cumsum(count) - count
        row, there = self.known.newest(self.origin[word], time)
        asked = time < self.until[word]
        there &= asked & (time - readings.time[row] <= self.max_age[word])
        value, known = self._value(who, readings.value[row], there, begin)
        quality = np.maximum.reduceat(np.where(there, readings.quality[row], GOOD), begin)
        quality[np.logical_or.reduceat(asked & ~there, begin)] = UNCERTAIN
        received, heard = (
            np.maximum.reduceat(np.where(there, column[row], BEGINNING), begin) for column in (readings.received, readings.heard)
        )
        return _readings(self.number[who], times, value, quality, received, heard).take(known)

    def _value(self, who: Ints, said: Floats, there: NDArray[np.bool_], begin: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        """What the words of each row amount to, and whether there are enough of them."""
        how = self.how[who]
        known = np.logical_or.reduceat(there, begin)
        highest = np.maximum.reduceat(np.where(there, said, -np.inf), begin)
        value: Floats = np.where(how == MAXIMUM, highest, np.minimum.reduceat(np.where(there, said, np.inf), begin))
        of_two = np.flatnonzero(how == DIFFERENCE)
        first = begin[of_two]
        value[of_two], known[of_two] = said[first] - said[first + 1], there[first] & there[first + 1]
        return value, known


def _sums(asked: Sequence[Asked], known: _Known) -> Iterator[Readings]:
    """The sums at each sample that fills its volume without a gap."""
    if not asked:
        return
    number, origin, start, end, n = _columns((one.number, one.origins[0], one.start, one.end, one.derived.samples) for one in asked)
    max_age, until = _columns(
        (of.max_age_ns, NEVER_NS if of.until_ns is None else of.until_ns) for one in asked for of in one.derived.origins
    )
    per_value, per_volume = (np.array([getattr(one.derived, name) for one in asked]) for name in ("per_value", "per_volume"))
    first = np.maximum(known.first(origin, start) - (n - 1), known.first(origin, np.full(len(asked), BEGINNING)))
    length = np.maximum(known.first(origin, np.minimum(end, until)) - first, 0)
    who, samples = np.repeat(np.arange(len(asked)), length), known.readings.take(ranges(first, length))
    if not len(samples):
        return
    apart = np.append(True, (np.diff(who) != 0) | (np.diff(samples.time) > max_age[who[1:]]))
    run = np.cumsum(apart)
    last = np.flatnonzero((samples.time >= start[who]) & (np.arange(len(who)) >= n[who] - 1))
    last = last[run[last] == run[last - n[who[last]] + 1]]
    begin = last - n[who[last]] + 1
    counted = np.rint(samples.value * per_value[who])
    if np.abs(counted).sum() < EXACT:
        upto = np.append(0.0, np.cumsum(counted))
        total = upto[last + 1] - upto[begin]
    else:
        total = np.array([math.fsum(counted[low : high + 1]) for low, high in zip(begin.tolist(), last.tolist(), strict=True)])
    unsure = np.append(0, np.cumsum(samples.quality == UNCERTAIN))
    quality = np.where(unsure[last + 1] > unsure[begin], UNCERTAIN, GOOD)
    newest, who = samples.take(last), who[last]
    yield _readings(number[who], newest.time, total / per_volume[who], quality, newest.received, newest.heard)


def _columns(rows: Iterator[tuple[int, ...]]) -> Ints:
    return np.array(list(rows), np.int64).T


def _readings(number: Ints, time: Ints, value: Floats, quality: NDArray[np.int_], received: Ints, heard: Ints) -> Readings:
    # A zero has no sign: which of two origins said it first must not matter.
    return Readings(number.astype(np.uint32), time, value + 0.0, quality.astype(np.uint8), received, heard, np.full(len(time), -1))
