"""What simulated instruments send, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

READING, DUPLICATE, GARBLED = 0, 1, 2


@dataclass(frozen=True, slots=True)
class State:
    """A room or zone is said to be in `state` from `time` (int ns UTC) on."""

    place: str
    time: int
    state: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Messages in the order in which they are sent, a column each; states of rooms beside them, in order of time.

    `time` is the instrument's, `sent` when it leaves, both int64 ns UTC; `point` the index among the facility's points. `value` is in the
    point's unit; a particle counter has its `count` and `volume_l` beside it, others NaN. `quality` as in facility.reading. `sequence`
    counts up by one per point. `kind`: READING, DUPLICATE (sent before, byte for byte) or GARBLED (nobody can understand it).
    """

    time: NDArray[np.int64]
    sent: NDArray[np.int64]
    point: NDArray[np.intp]
    value: Floats
    quality: NDArray[np.uint8]
    sequence: NDArray[np.int64]
    count: Floats
    volume_l: Floats
    kind: NDArray[np.uint8]
    states: tuple[State, ...] = ()

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def concatenate(cls, chunks: Sequence[Self]) -> Self:
        """All messages, in the order given."""
        if len(chunks) == 1:
            return chunks[0]
        parts = [[getattr(chunk, name) for chunk in chunks] for name in COLUMNS]
        whole: list[Any] = [np.concatenate([np.empty(0, dtype), *part]) for dtype, part in zip(_DTYPES, parts, strict=True)]
        return cls(*whole).with_states([state for chunk in chunks for state in chunk.states])

    def take(self, rows: NDArray[np.intp] | Flags | slice) -> Self:
        """The chosen rows, in the order given, without states."""
        return type(self)(*(getattr(self, name)[rows] for name in COLUMNS))

    def before(self, end_ns: int) -> tuple[Self, Self]:
        """What is sent before a moment, and the rest."""
        split = int(np.searchsorted(self.sent, end_ns))
        told = [state for state in self.states if state.time < end_ns]
        early, late = self.take(slice(None, split)), self.take(slice(split, None))
        return early.with_states(told), late.with_states(self.states[len(told) :])

    def with_states(self, states: Sequence[State]) -> Self:
        """The same messages, with these states."""
        return replace(self, states=tuple(states))


COLUMNS = tuple(column.name for column in fields(Chunk) if column.name != "states")
_DTYPES = (np.int64, np.int64, np.intp, np.float64, np.uint8, np.int64, np.float64, np.float64, np.uint8)
