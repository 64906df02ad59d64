"""Points that no instrument measures: computed from the readings of others (docs/rules.md, Derived points)."""

from __future__ import annotations

from dataclasses import dataclass

DIFFERENCE, MINIMUM, MAXIMUM, SUM = "difference", "minimum", "maximum", "sum"
SAMPLES_MAX = 10_000
"""So many samples a sum may have."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A point that is read for another: its readings count for `max_age_ns`, and not from `until_ns` (int ns UTC) on."""

    point: str
    max_age_ns: int
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Derived:
    """How a point is computed: `how` is difference, minimum, maximum or sum.

    A sum is over `samples` readings, each a whole number of particles, value * `per_value`, and divided by `per_volume`.
    """

    how: str
    origins: tuple[Origin, ...]
    samples: int = 1
    per_value: float = 1.0
    per_volume: float = 1.0

    @property
    def reach_ns(self) -> int:
        """How old a reading can be that decides about a value."""
        return max(origin.max_age_ns for origin in self.origins) * max(1, self.samples - 1)
