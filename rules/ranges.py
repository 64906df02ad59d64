"""Many ranges of rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, … of each length, one after the other."""
    if len(starts) == 1:
        return np.arange(int(starts[0]), int(starts[0] + lengths[0]))
    offset = np.cumsum(lengths) - lengths
    rows: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(starts - offset, lengths)
    return rows
