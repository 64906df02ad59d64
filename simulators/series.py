"""Courses over a block of equal steps: columns [steps, n], or [1, n] for what does not change within the block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EXPONENT_MAX = 300.0
"""Growth over which sums of exponentials keep all their digits in a float64."""
SETTLED = 1e-7
"""What is as near to its end as this, as a share of the distance or in its own unit, has arrived."""


class Relaxation:
    """`dx/dt = gain - loss * x` over n columns, exact for a gain and a loss (1/s, not negative) that are constant within each step.

    `loss` is [steps, n] or [1, n]; it is prepared once for several gains.
    """

    def __init__(self, loss: Floats, dt_s: float, steps: int) -> None:
        self._loss, self._dt_s, self._steps = loss, dt_s, steps
        self._parts: list[tuple[slice, Floats, Floats]] | None = None
        with np.errstate(divide="ignore", invalid="ignore"):
            self._weight = np.where(loss > 0, -np.expm1(-loss * dt_s) / loss, dt_s)

    def course(self, start: Floats, gain: Floats) -> Floats:
        """`x` at the end of each step, [steps, n], or [1, n] when nothing moves; `start` is over n, `gain` [steps, n] or [1, n]."""
        if len(gain) == len(self._loss) == 1:
            return _towards(start, gain[0], self._loss[0], self._dt_s, self._steps)
        if self._parts is None:
            self._parts = self._prepared()
        added = np.broadcast_to(gain * self._weight, (self._steps, len(start)))
        course = np.empty((self._steps, len(start)))
        for rows, decay, growth in self._parts:
            part = np.multiply(added[rows], growth, out=course[rows])
            np.cumsum(part, axis=0, out=part)
            part += start
            part *= decay
            start = part[-1]
        return course

    def _prepared(self) -> list[tuple[slice, Floats, Floats]]:
        # Of what is left after so steep a step no digit remains.
        rate = np.minimum(self._loss * self._dt_s, EXPONENT_MAX)
        stride = max(1, int(EXPONENT_MAX / max(float(rate.max(initial=0.0)), 1e-9)))
        parts = []
        for first in range(0, self._steps, stride):
            rows = slice(first, min(first + stride, self._steps))
            passed = np.arange(1, rows.stop - first + 1)[:, None]
            growth = np.exp(np.cumsum(rate[rows], axis=0) if len(rate) > 1 else rate * passed)
            parts.append((rows, 1 / growth, growth))
        return parts


def relaxed(start: Floats, gain: Floats, loss: Floats, dt_s: float, steps: int) -> Floats:
    """The course of a Relaxation of one gain."""
    return Relaxation(loss, dt_s, steps).course(start, gain)


def _towards(start: Floats, gain: Floats, loss: Floats, dt_s: float, steps: int) -> Floats:
    moving = loss > 0
    end = np.where(moving, gain / np.where(moving, loss, 1.0), start)
    gone = start - end
    if (np.abs(gone) <= SETTLED * np.maximum(np.abs(end), 1.0)).all() and not (gain[~moving] != 0).any():
        return end[None]
    passed = dt_s * np.arange(1, steps + 1)[:, None]
    course: Floats = end + gone * np.exp(-loss * passed) + np.where(moving, 0.0, gain) * passed
    return course


def following(start: Floats, target: Floats, time_s: float | Floats, dt_s: float, steps: int) -> Floats:
    """What follows `target` [steps, n] or [1, n] with a time constant, from `start` on; at once where that is 0."""
    with np.errstate(divide="ignore"):
        rate = np.broadcast_to(1 / np.asarray(time_s, np.float64), start.shape)
    at_once = ~np.isfinite(rate)
    rate = np.where(at_once, 0.0, rate)
    course = relaxed(np.where(at_once, 0.0, start), rate * target, rate[None], dt_s, steps)
    return np.where(at_once, target, course) if at_once.any() else course


class Wander:
    """AR(1) noise of mean 0 and sd 1 over n columns with a time constant; it takes a new value every `hold` steps."""

    def __init__(self, n: int, time_s: float, hold: int, dt_s: float, seed: np.random.SeedSequence) -> None:
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._hold, self._dt_s, self._rate = hold, hold * dt_s, 1 / time_s
        keep = np.exp(-self._dt_s * self._rate)
        # relaxed() weighs what is added within a step as if it came bit by bit.
        self._size = np.sqrt(1 - keep**2) / ((1 - keep) / self._rate)
        self._now: Floats = self._generator.standard_normal(n)

    def block(self, steps: int) -> Floats:
        """The next [steps, n]; `steps` is a multiple of `hold`."""
        rounds = steps // self._hold
        fresh = self._size * self._generator.standard_normal((rounds, len(self._now)))
        course = relaxed(self._now, fresh, np.full((1, len(self._now)), self._rate), self._dt_s, rounds)
        self._now = course[-1]
        return np.repeat(course, self._hold, axis=0) if self._hold > 1 else course


def pooled(rows: Floats, hold: int) -> Floats:
    """The means of every `hold` steps; a single row stays one."""
    return rows if len(rows) == 1 else rows.reshape(-1, hold, rows.shape[1]).mean(axis=1)
