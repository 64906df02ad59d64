"""Readings as columns, and the codes of their quality."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

GOOD, UNCERTAIN, BAD = 0, 1, 2
QUALITIES = ("good", "uncertain", "bad")
SPOILT = 4
"""Bit added to the received quality when admission made the reading bad: no finite value, or outside the point's range."""


def quality_name(code: int) -> str:
    """The quality that counts: `bad` also where admission made it so."""
    return QUALITIES[min(int(code), BAD)]


@dataclass(frozen=True, slots=True)
class Readings:
    """Stored readings, a column each, all of one length n.

    `point` uint32 numbers of the journal's register; `time`, `received` int64 ns UTC; `heard` int64 ns of listening time at arrival;
    `value` float64 in the point's unit; `quality` uint8 codes; `sequence` int64, -1 for none.
    """

    point: NDArray[np.uint32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    received: NDArray[np.int64]
    heard: NDArray[np.int64]
    sequence: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.point)

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Self:
        """The chosen rows, in the order given."""
        return type(self)(*(getattr(self, column.name)[which] for column in fields(self)))

    @classmethod
    def empty(cls) -> Self:
        columns: list[Any] = [np.empty(0, dtype) for dtype in COLUMN_TYPES]
        return cls(*columns)

    @classmethod
    def concatenate(cls, parts: list[Self]) -> Self:
        """All rows of the parts, in the order given."""
        if not parts:
            return cls.empty()
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))


COLUMN_TYPES = (np.uint32, np.int64, np.float64, np.uint8, np.int64, np.int64, np.int64)
