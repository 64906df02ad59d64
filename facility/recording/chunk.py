"""What a recording holds, cut into chunks of columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

OCCUPANCY_SUFFIX = "/occupancy"

TIME_INVALID = "time_invalid"
RECEIVED_INVALID = "received_invalid"
RECEIVED_DECREASES = "received_decreases"
POINT_MISSING = "point_missing"
POINT_INVALID = "point_invalid"
VALUE_INVALID = "value_invalid"
UNIT_INVALID = "unit_invalid"
QUALITY_UNKNOWN = "quality_unknown"
STATE_UNKNOWN = "state_unknown"
ROW_MALFORMED = "row_malformed"
REASONS = (
    TIME_INVALID, RECEIVED_INVALID, RECEIVED_DECREASES, POINT_MISSING, POINT_INVALID,
    VALUE_INVALID, UNIT_INVALID, QUALITY_UNKNOWN, STATE_UNKNOWN, ROW_MALFORMED,
)  # fmt: skip


class RecordingError(Exception):
    """A file that cannot be read as a recording: which file, what is wrong, what to do."""

    def __init__(self, file: str, problem: str, remedy: str) -> None:
        self.file, self.problem, self.remedy = file, problem, remedy
        super().__init__(f"{file}: {problem}. {remedy}")


@dataclass(frozen=True, slots=True)
class Reject:
    """A row, or a cell of a wide row, that cannot be understood.

    `row` counts the records of the file from 1, a header included; `text` is what stands there, `reason` one of REASONS,
    `detail` says what was expected, for people.
    """

    file: str
    row: int
    text: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class StateRow:
    """An occupancy message in a recording: `place` is in `state` from `time` on; times int ns UTC.

    It stands before the reading with the index `before` of its chunk (the chunk's length: after all of them).
    """

    place: str
    time: int
    state: str
    received: int
    row: int
    before: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of one recording file as columns, all of the length n of `point`.

    `point` int32 indexes `names`; `time`, `received` int64 ns UTC; `value` float64, nan where the text is no number;
    `quality` uint8 codes of facility.reading as received; `unit` int32 indexes `units`, 0 stands for the point's own;
    `row` int64 counts the records of `file` from 1, a header included. `names` and `units` only grow from chunk to chunk of one
    recording, so codes stay valid. `raw` gives, by index into the columns, the text as received where `value` is not finite.
    `received_span` is the smallest and largest `received` of all rows in the chunk, readings or not, None without rows.
    `done` is the fraction of the recording's bytes read so far, for a progress bar.
    """

    file: str
    names: tuple[str, ...]
    point: NDArray[np.int32]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    received: NDArray[np.int64]
    units: tuple[str, ...]
    unit: NDArray[np.int32]
    row: NDArray[np.int64]
    raw: Mapping[int, str] = field(default_factory=dict)
    states: tuple[StateRow, ...] = ()
    rejects: tuple[Reject, ...] = ()
    without_value: int = 0
    received_span: tuple[int, int] | None = None
    done: float = 1.0

    def __len__(self) -> int:
        return len(self.point)


def span_of(chunks: Iterable[Chunk]) -> tuple[int, int] | None:
    """The smallest and the largest `received` of all rows, int ns UTC, or None when there are none; consumes the chunks."""
    spans = [chunk.received_span for chunk in chunks if chunk.received_span is not None]
    return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None
