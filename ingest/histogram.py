"""How long things took, counted in classes: any thread observes, any thread looks."""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

SHORT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Bounds for work of one thread: a commit, a step, an answer; seconds."""
LONG_S = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86_400.0)
"""Bounds for what crosses the network and people's channels: from fresh to a day late; seconds."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A snapshot: (upper bound in seconds, so many were at most that long), cumulative; all of them in number and seconds."""

    buckets: tuple[tuple[float, int], ...] = ()
    count: int = 0
    seconds: float = 0.0


class Histogram:
    """Durations in seconds by ascending upper bounds, and those beyond the last."""

    def __init__(self, bounds_s: tuple[float, ...] = SHORT_S) -> None:
        self._bounds_s = bounds_s
        self._counts = [0] * (len(bounds_s) + 1)
        self._seconds = 0.0
        self._lock = threading.Lock()

    def observe(self, seconds: float) -> None:
        place = bisect_left(self._bounds_s, seconds)
        with self._lock:
            self._counts[place] += 1
            self._seconds += seconds

    def observe_all(self, seconds: NDArray[np.float64]) -> None:
        """As `observe` of each."""
        found = np.bincount(np.searchsorted(self._bounds_s, seconds), minlength=len(self._counts)).tolist()
        total = float(seconds.sum())
        with self._lock:
            self._counts = [before + more for before, more in zip(self._counts, found, strict=True)]
            self._seconds += total

    def now(self) -> Distribution:
        with self._lock:
            counts, seconds = list(accumulate(self._counts)), self._seconds
        return Distribution(tuple(zip(self._bounds_s, counts, strict=False)), counts[-1], seconds)
