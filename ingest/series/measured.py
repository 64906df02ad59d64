"""What was measured, without what is known of how it arrived: for who looks at millions of readings."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings


@dataclass(frozen=True, slots=True)
class Measured:
    """Readings of one point, a column each: `time` int64 ns UTC, `value` float64, `quality` uint8; in order of time but for late ones."""

    time: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]

    @classmethod
    def of(cls, readings: Readings) -> Self:
        return cls(readings.time, readings.value, readings.quality)

    def within(self, start: int, end: int) -> Self:
        """Those with start <= time < end."""
        inside = (self.time >= start) & (self.time < end)
        return self if inside.all() else type(self)(self.time[inside], self.value[inside], self.quality[inside])

    @classmethod
    def unpacked(cls, parts: Iterable[tuple[int, bytes]], reading_bytes: int) -> Self:
        """Of parts of a series, each with how many readings it has: only the columns that are wanted are unpacked, as they come first."""
        begun = [(count, _beginning(body, 17 * count, packed=len(body) != reading_bytes * count)) for count, body in parts]
        time, value, quality = (
            np.frombuffer(b"".join(body[low * count : high * count] for count, body in begun), width)
            for width, low, high in (("<i8", 0, 8), ("<f8", 8, 16), ("u1", 16, 17))
        )
        return cls(time, value, quality)


def _beginning(body: bytes, size: int, *, packed: bool) -> bytes:
    """The first bytes of a part; raises ValueError when it has fewer."""
    found = zlib.decompressobj().decompress(body, size) if packed else body[:size]
    if len(found) != size:
        raise ValueError("a part is shorter than its readings")
    return found
