"""Sums of readings that are exact while they slide: fixed-point integers, rounded once as `math.fsum` rounds.

Integers add up to the same in any order, so what left a window is taken off again without a trace, and no cutting of readings shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LIMB_BITS = 36
LARGEST = 2.0**31
"""Of smaller values the whole parts of 2**22 add up to less than 2**53, which a float64 holds exactly."""
COUNT_MAX = 1 << 22
_LIMB = float(1 << LIMB_BITS)
_MASK = (1 << LIMB_BITS) - 1


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact sums, a column each: of whole parts, of 2**-36ths, of 2**-72ths, and how many `odd` values do not fit into those."""

    whole: Ints
    middle: Ints
    low: Ints
    odd: Ints

    def parts(self) -> tuple[Ints, Ints, Ints, Ints]:
        return self.whole, self.middle, self.low, self.odd


def split(value: Floats) -> Sums:
    """Each finite value as its own sum; of one too large or too fine it is only said that it is odd."""
    large = np.abs(value) >= LARGEST
    if large.any():
        value = np.where(large, 0.0, value)
    whole = np.trunc(value)
    rest = (value - whole) * _LIMB
    middle = np.trunc(rest)
    rest -= middle
    rest *= _LIMB
    low = np.trunc(rest)
    odd = large | (low != rest)
    columns = [column.astype(np.int64) for column in (whole, middle, low, odd)]
    if odd.any():
        for column in columns[:3]:
            column[odd] = 0
    return Sums(*columns)


def rounded(sums: Sums) -> Floats:
    """The sums as the nearest float64, ties to even; of at most COUNT_MAX values, none of them odd.

    Boldo and Melquiond, Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd, IEEE TC 57(4), 2008.
    """
    middle = sums.middle + (sums.low >> LIMB_BITS)
    whole = (sums.whole + (middle >> LIMB_BITS)).astype(np.float64)
    middle_part = (middle & _MASK) / _LIMB
    low_part = (sums.low & _MASK) / _LIMB / _LIMB
    upper, lower = _two_sum(middle_part, low_part)
    upper, carried = _two_sum(whole, upper)
    return upper + _to_odd(carried, lower)


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The sum and what rounding it lost."""
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def _to_odd(a: Floats, b: Floats) -> Floats:
    """a + b; where that is inexact, of its two neighbours the one with an odd last bit."""
    s, lost = _two_sum(a, b)
    even = np.flatnonzero((lost != 0) & (s.view(np.int64) & 1 == 0))
    if len(even):
        s[even] = np.nextafter(s[even], np.copysign(np.inf, lost[even]))
    return s
