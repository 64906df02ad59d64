"""How fast a room gets clean again: the fit of a recovery test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facility.problems import so_many

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recovery:
    """`C(t) = C_0 * exp(-rate * t)` between two levels: rate 1/s, from `begin_s` on, `r2` of the straight line of `ln C`."""

    per_s: float
    begin_s: float
    r2: float

    @property
    def hundredfold_s(self) -> float:
        """Time to be hundred times cleaner."""
        return float(np.log(100)) / self.per_s


def fit_recovery(time_s: Floats, per_m3: Floats, upper: float = 0.1, lower: float = 0.01) -> Recovery:
    """Fit the decay from `upper` to `lower`, as shares of the peak, by a straight line through `ln C` (ISO 14644-3, B.4).

    From the last time that the concentration is above `upper` to the first after it below `lower`; ValueError when fewer than three
    samples lie between.
    """
    share = per_m3 / per_m3.max()
    begin = int(np.flatnonzero(share >= upper)[-1])
    below = np.flatnonzero(share[begin:] < lower)
    rows = slice(begin, begin + int(below[0]) if len(below) else len(share))
    time, level = time_s[rows], np.log(np.maximum(share[rows], 1e-12))
    if len(time) < 3:
        raise ValueError(f"{so_many(len(time), 'sample')} between {upper:g} and {lower:g} of the peak, three at least are needed")
    slope, offset = np.polyfit(time, level, 1)
    left = level - (slope * time + offset)
    return Recovery(-float(slope), float(time[0]), 1 - float((left**2).sum() / ((level - level.mean()) ** 2).sum()))
