"""What came in since the start, beyond the sums of conservation: messages, the age of readings, numbers that sources skipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from ingest.histogram import LONG_S, Histogram
from ingest.message import Message
from ingest.series.series import NO_TIME

SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class Rows:
    """The readings of a batch in order of arrival: point numbers, times (int64 ns UTC), numbers (-1 for none), and which were stored."""

    point: NDArray[np.uint32]
    time: NDArray[np.int64]
    sequence: NDArray[np.int64]
    stored: NDArray[np.bool_]


class Sequences:
    """The newest number of each point, where its source numbers readings: `seq` counts up by one per point.

    A gap is a known loss; a lower number with a newer time is a source that began anew. What comes late, with an older time, says
    nothing: it takes nothing back of a gap that was counted. What was refused is not lost where its number is the next.
    """

    def __init__(self) -> None:
        self._number, self._time = np.full(0, -1), np.full(0, NO_TIME)

    def follow(self, batch: Rows) -> int:
        """Take up readings, also those that were not stored; so many numbers they skipped."""
        rows = np.flatnonzero(batch.sequence >= 0)
        if not len(rows):
            return 0
        rows = rows[np.argsort(batch.point[rows], kind="stable")]
        points, times, numbers, stored = batch.point[rows], batch.time[rows], batch.sequence[rows], batch.stored[rows]
        self._grow(int(points[-1]) + 1)
        first = np.append(True, np.diff(points) != 0)
        before = np.where(first, self._number[points], np.append(-1, numbers[:-1]))
        earlier = np.where(first, self._time[points], np.append(NO_TIME, times[:-1]))
        if not (stored & (numbers > before) & (times > earlier)).all():
            return self._one_by_one(points.tolist(), times.tolist(), numbers.tolist(), stored.tolist())
        last = np.append(first[1:], True)
        self._number[points[last]], self._time[points[last]] = numbers[last], times[last]
        skipped = np.where(before >= 0, numbers - before - 1, 0)
        return sum(skipped[skipped > 0].tolist())

    def _one_by_one(self, points: list[int], times: list[int], numbers: list[int], stored: list[bool]) -> int:
        skipped = 0
        for point, time, number, kept in zip(points, times, numbers, stored, strict=True):
            before = int(self._number[point])
            if kept and time > self._time[point]:
                skipped += number - before - 1 if -1 < before < number else 0
                self._number[point], self._time[point] = number, time
            elif not kept and number == before + 1:
                self._number[point] = number
        return skipped

    def _grow(self, size: int) -> None:
        more = size - len(self._number)
        if more > 0:
            self._number = np.append(self._number, np.full(more, -1))
            self._time = np.append(self._time, np.full(more, NO_TIME))


class Tally:
    """One thread counts; any thread may look. `known_lost` counts skipped numbers, `ages` how old readings were when they were stored."""

    def __init__(self) -> None:
        self.messages = self.payload_bytes = self.ignored_keys = self.known_lost = 0
        self.ages = Histogram(LONG_S)
        self._sequences = Sequences()

    def recall(self, readings: Readings) -> None:
        """Know the numbers of readings that were stored before; what they skipped was counted then."""
        self._sequences.follow(Rows(readings.point, readings.time, readings.sequence, np.ones(len(readings), np.bool_)))

    def add(self, messages: Sequence[Message], batch: Rows, ignored_keys: int, received: int) -> None:
        """Count a batch that is durable; `received` is when it came (int ns UTC)."""
        self.messages += len(messages)
        self.payload_bytes += sum(len(message.payload) for message in messages)
        self.ignored_keys += ignored_keys
        self.known_lost += self._sequences.follow(batch)
        self.ages.observe_all((received - batch.time[batch.stored]) / SECOND_NS)
