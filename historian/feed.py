"""The feed: what the journal has, and what was computed from it, into InfluxDB; at its own pace, behind its own cursor.

A cursor is moved when InfluxDB has what lies before it, so that a crash on either side repeats lines and loses none: the same line twice
is one row there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Protocol

from facility.site import Facility
from historian.aggregation import GRACE_NS, Aggregation
from historian.judged import Judged, Row, excursion_line, transition_line
from historian.lines import BATCH_LINES, Batch, packed
from historian.progress import Progress
from historian.recall import Recall
from historian.register import Register
from historian.sender import Sender, Writes
from historian.stretches import Stretch, Stretches
from historian.windows import MINUTE_NS
from ingest.journal.entries import INGEST, ConfigurationBody, gathered, ingest_body
from ingest.journal.journal import JournalReader
from ingest.series.series import SeriesReader

FORMAT = 1
"""Of what is written: a version that writes other lines from the same journal gets another number, and writes all of them again."""

ENTRIES = 512
"""So many are decoded at once."""


class Sources(Protocol):
    """What the feed reads, opened for its thread."""

    @property
    def journal(self) -> JournalReader: ...

    @property
    def judged(self) -> Judged: ...

    def series(self) -> SeriesReader: ...

    def facility_of(self, body: ConfigurationBody) -> Facility: ...


Beside = Callable[[Callable[[], None], Callable[[], None]], None]
"""Does the first, which waits for InfluxDB, and meanwhile the second; raises what either raised, once both are over."""


def one_after_the_other(first: Callable[[], None], second: Callable[[], None]) -> None:
    first()
    second()


class Feed:
    """One thread's; `turn` after `turn`. Opens historian.db at `path` and goes on where it says. `now_ns` is the time of day.

    Raises JournalUnavailable, ProgressUnavailable, StateUnavailable or sqlite3.Error when a file cannot be read.
    """

    def __init__(
        self,
        sources: Sources,
        influx: Writes,
        progress: Progress,
        target: str,
        now_ns: Callable[[], int],
        beside: Beside = one_after_the_other,
    ) -> None:
        self._beside = beside
        self._sources, self._progress, self._now_ns = sources, progress, now_ns
        self.sender = Sender(influx, progress, now_ns)
        kept = self._taken_up(f"{FORMAT} {target}")
        self._cursor, self._head = int(kept.get("cursor", 0)), str(kept.get("head", ""))
        self._excursions, self._transitions = int(kept.get("excursions", 0)), int(kept.get("transitions", 0))
        self._configurations: list[int] = [int(text) for text in str(kept.get("configurations", "")).split()]
        self._register = Register(sources.facility_of)
        for seq in self._configurations:
            entry = sources.journal.entry(seq)
            assert entry is not None, f"configuration {seq} is in the journal"
            self._register.configure(entry)
        self._stretches = Stretches(sources.journal, self._register, self._cursor)
        self._stretch: Stretch | None = None
        self._following: Stretch | None = None
        self._at = 0
        self._recall = Recall(sources.journal, sources.series, self._cursor)
        self._aggregation = Aggregation(self._recall, self._register)
        self._mark_again(int(kept.get("settled", 0)))
        self._looked_for_windows, self._windows_left = 0, True
        self._saved: dict[str, object] = {}
        self.waiting_since: int | None = None
        self.looked_at: int | None = None

    @property
    def cursor(self) -> int:
        """The journal entry up to which InfluxDB has every reading, state and configuration."""
        return self._cursor

    @property
    def windows(self) -> int:
        """Minutes and hours that are still to be summed up."""
        return len(self._aggregation)

    def turn(self) -> bool:
        """Write some of what is new; True when there is more. Raises InfluxFault, and then the turn may be taken again."""
        more = self._send_entries()
        if not more:
            more = self._send_judged()
            self._at = max(self._at, self._now_ns())
            self._sum_up(caught_up=not more)
            while batches := self._aggregation.underway():
                self._send(batches)
                self._aggregation.done()
            more |= self._windows_left
        self._save()
        return more

    def _sum_up(self, *, caught_up: bool) -> None:
        """Windows that are over, looked for now and then: there may be hundreds of thousands that are not."""
        if self._windows_left or self._at - self._looked_for_windows >= (GRACE_NS if caught_up else MINUTE_NS):
            self._windows_left = self._aggregation.sum_up(self._at, caught_up=caught_up)
            self._looked_for_windows = self._at

    def _taken_up(self, target: str) -> Mapping[str, Any]:
        """What was kept, or nothing when it is of another bucket or another journal."""
        kept = self._progress.all()
        cursor = int(kept.get("cursor", 0))
        entry = self._sources.journal.entry(cursor) if cursor else None
        if kept.get("target") != target or (cursor and (entry is None or entry.hash.hex() != kept.get("head"))):
            self._progress.begin(target)
            return {}
        return kept

    def _mark_again(self, settled: int) -> None:
        """What was touched and not summed up before the feed was last stopped."""
        entries = self._sources.journal.entries(settled, self._cursor, (INGEST,))
        while some := list(islice(entries, ENTRIES)):
            self._aggregation.mark(gathered(some, [ingest_body(entry) for entry in some]), some[0].seq)

    # The journal

    def _send_entries(self) -> bool:
        """Send a stretch, and make what comes next meanwhile; what could not be sent is sent as it was made."""
        looked_at = self._now_ns()
        stretch = self._stretch = self._stretch or self._next()
        if stretch is None:
            self.waiting_since, self.looked_at = None, looked_at
            return False
        self.waiting_since = stretch.first.at
        self._beside(partial(self._send, packed([*stretch.batches, *self._aggregation.underway()])), self._look_ahead)
        self._aggregation.done()
        if stretch.configuration:
            self._configurations.append(stretch.first.seq)
        self._cursor, self._head, self._at = stretch.last.seq, stretch.last.hash.hex(), stretch.last.at
        self._stretch, self._following = self._following, None
        self.waiting_since = None if self._stretch is None else self._stretch.first.at
        return stretch.more

    def _send(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self.sender.send(batch)

    def _look_ahead(self) -> None:
        if self._stretch is not None and self._stretch.more:
            self._following = self._following or self._next()
            self._sum_up(caught_up=False)

    def _next(self) -> Stretch | None:
        """The next stretch; the windows that it touches are known before it is sent, and sent after it."""
        stretch = self._stretches.next()
        if stretch is not None:
            if len(stretch.readings):
                self._aggregation.mark(stretch.readings, stretch.first.seq)
            self._recall.add(stretch.readings, stretch.last.seq, stretch.last.at)
        return stretch

    # What was computed from it

    def _send_judged(self) -> bool:
        """Excursions and transitions that changed; True when there may be more."""
        judged = self._sources.judged
        newest = judged.newest()
        if newest[0] < self._excursions:  # state.db was begun anew
            self._excursions = 0
        if newest[1] < self._transitions:
            self._transitions = 0
        site, now = self._register.site, self._now_ns()
        excursions = judged.excursions(self._excursions, BATCH_LINES) if newest[0] > self._excursions else []
        self.sender.send(Batch.of([excursion_line(row, site, now) for row in excursions]))
        self._excursions = _last(excursions, self._excursions)
        transitions = judged.transitions(self._transitions, BATCH_LINES) if newest[1] > self._transitions else []
        self.sender.send(Batch.of([transition_line(row, site) for row in transitions if row.columns]))
        self._transitions = _last(transitions, self._transitions)
        return max(self._excursions - newest[0], self._transitions - newest[1]) < 0 and bool(excursions or transitions)

    def _save(self) -> None:
        """Keep how far it is; when nothing else moved, the time now and then."""
        values: dict[str, object] = {
            "cursor": self._cursor,
            "head": self._head,
            "settled": self._aggregation.settled(self._cursor),
            "excursions": self._excursions,
            "transitions": self._transitions,
            "configurations": " ".join(map(str, self._configurations)),
            "at": self._at // MINUTE_NS * MINUTE_NS,
        }
        if values != self._saved:
            self._progress.save(values)
            self._saved = values


def _last(rows: Sequence[Row], before: int) -> int:
    return max((row.seq for row in rows), default=before)
