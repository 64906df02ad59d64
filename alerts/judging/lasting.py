"""What points that report on change still say: their copies, live as the clock proceeds and again when the past is judged again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

from alerts.judging.suspensions import FARTHEST_NS, Memory
from facility.reading import Readings
from ingest.series.series import HOUR_NS, NO_TIME
from rules.copies import BEGINNING, NEVER_NS, PIECE_ROWS, Deaths, Ints, copied, spans_of, stops
from rules.plan import Plan


class Lasting:
    """Beside the readings of a journal their copies; `deaths` are all that there were of points that report on change.

    Of each of two streams it has the newest readings of these points, and the clock at which the next copy is due. `listened` are the
    listening time (int ns) and the clock (int ns UTC) when it last advanced: as long as it stands still, nobody knows what doors do.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._spans = spans_of([])
        self.deaths = Deaths()
        self._said = [Readings.empty() for _ in range(2)]
        self._due = [NEVER_NS, NEVER_NS]
        self.listened = (0, 0)
        self.judges = [False, False]
        """Whether any configuration has rules for a stream."""

    def listen(self, heard: int, clock: int) -> None:
        """Take the listening time at a clock."""
        if heard > self.listened[0]:
            self.listened = heard, clock

    def due(self, at: int, heard: int) -> bool:
        """Whether a copy is to be judged at a time, with that listening time."""
        return heard > self.listened[0] and min(self._due) <= at

    def configure(self, plans: Sequence[tuple[int, Plan]]) -> None:
        """Know all configurations, with the moments at which they took force."""
        self._spans = spans_of([(begin, plan.on_change) for begin, plan in plans])
        self.judges = [any(len(pairs) for _, plan in plans for pairs in plan.groups[which::2]) for which in range(2)]

    @property
    def numbers(self) -> Ints:
        """The points that report on change now, ascending."""
        return np.flatnonzero(self._spans[-1].on_change.period) if self._spans else np.empty(0, np.int64)

    def steady(self, numbers: Sequence[int]) -> set[int]:
        """Those of some points that never reported on change."""
        return {number for number in numbers if not any(span.on_change.period[number] for span in self._spans)}

    def died(self, sources: Iterable[tuple[Ints, int]]) -> dict[int, int]:
        """Sources of points ended, in order of time: what these said that report on change is not so beyond; the points, from when."""
        changing: dict[int, int] = {}
        for numbers, at in sources:
            self.deaths.add(numbers, at)
            for number in np.intersect1d(numbers, self.numbers).tolist():
                changing.setdefault(number, at)
        return changing

    def recall(self, which: int, newest: Ints, clock: int, settle_ns: int) -> None:
        """Find what the points said last in a stream, of what settled at the clock; nothing is newer than `newest`."""
        if not self.judges[which]:
            return
        heard = [number for number in self.numbers.tolist() if newest[number] != NO_TIME]
        said = Readings.concatenate([self._last(number, int(newest[number]), clock - settle_ns) for number in heard])
        self._keep(which, said, self.listened[1], self._settle(settle_ns))

    def follow(self, which: int, readings: Readings, newest: Ints, settle_ns: int) -> Iterator[Readings]:
        """What is to be judged next, each time by point and time: later than each point's `newest`, with the copies that are due.

        `readings` are those that settled, by point and time, also ones that are not newer.
        """
        clock = self.listened[1]
        if not self._spans or (clock < self._due[which] and not self._spans[-1].on_change.period[readings.point].any()):
            return iter([readings.take(readings.time > newest[readings.point])])
        return self._with_copies(which, readings, newest, clock, self._settle(settle_ns))

    def rest(self, which: int, newest: Ints, upto: int, number: int | None = None) -> Iterator[Readings]:
        """The copies later than each point's `newest` that are not due yet, up to a moment; of all points, or of one."""
        if not self._spans or not self.judges[which]:  # else there was nothing to judge them
            numbers = self.numbers[newest[self.numbers] != NO_TIME]
            newest[numbers] = np.maximum(newest[numbers], upto)
            return iter(())
        settle = np.full(len(self._spans[-1].on_change.settle), 0 if number is None else FARTHEST_NS)
        if number is not None:
            settle[number] = 0
        kept = self._said[which], self._due[which]
        pieces = self._with_copies(which, Readings.empty(), newest.copy(), upto, settle)
        self._said[which], self._due[which] = kept
        return pieces

    def _with_copies(self, which: int, readings: Readings, newest: Ints, clock: int, settle: Ints) -> Iterator[Readings]:
        on_change = self._spans[-1].on_change
        mine = on_change.period[readings.point] > 0
        rows = _sorted(Readings.concatenate([self._said[which], readings.take(mine)]))
        upto = clock - settle[rows.point]
        pieces = copied(rows, self._spans[-1:], stops(rows, self.deaths, upto), newest[rows.point], PIECE_ROWS)
        self._keep(which, rows.take(np.append(np.diff(rows.point) != 0, True)[: len(rows)]), clock, settle)
        others = readings.take(~mine & (readings.time > newest[readings.point]))
        first = next(pieces, Readings.empty())
        return chain([_sorted(Readings.concatenate([others, first]))], pieces)

    def _settle(self, settle_ns: int) -> Ints:
        """How long copies wait in a stream, by point number."""
        return np.maximum(self._spans[-1].on_change.settle, settle_ns) if self._spans else np.empty(0, np.int64)

    def _keep(self, which: int, said: Readings, clock: int, settle: Ints) -> None:
        """Keep what points said last, and when the next copy of it is due after the clock."""
        self._said[which], self._due[which] = said, NEVER_NS
        if len(said):
            on_change, wait = self._spans[-1].on_change, settle[said.point]
            period = on_change.period[said.point]
            following = said.time + (np.maximum(clock - wait - said.time, 0) // period + 1) * period
            lives = following < np.minimum(self.deaths.after(said), on_change.retired[said.point])
            self._due[which] = int((following + wait)[lives].min(initial=NEVER_NS))

    def within(self, numbers: Ints, start: Ints, upto: Ints, readings: Readings) -> tuple[Readings, Ints]:
        """Readings of some points (ascending), by point and time, with copies up to `upto`; and from when on all are there."""
        if not self._spans or not len(readings):
            return readings, start
        stop = stops(readings, self.deaths, upto[np.searchsorted(numbers, readings.point)])
        whole = list(copied(readings, self._spans, stop))
        both = whole[0] if len(whole) == 1 else _sorted(Readings.concatenate(whole))
        changing = np.any([span.on_change.period[numbers] > 0 for span in self._spans], axis=0)
        # Copies of what was said before `start` are not known.
        row = np.searchsorted(readings.point, numbers) % len(readings)
        first = np.where(readings.point[row] == numbers, readings.time[row], upto + 1)
        return both, np.where(changing & (start != BEGINNING), first, start)

    def _last(self, number: int, by: int, settled: int) -> Readings:
        """The newest reading of a point at or before a moment."""
        width = HOUR_NS
        while True:
            whole = width > FARTHEST_NS
            readings = self._memory.read(number, None if whole else by - width, by + 1)
            readings = readings.take(readings.received <= settled)
            if len(readings) or whole:
                return readings.take(slice(-1, None))
            width *= 8


def _sorted(readings: Readings) -> Readings:
    return readings.take(np.lexsort((readings.time, readings.point)))
