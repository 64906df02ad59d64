"""The gap between a backup and the failure filled from InfluxDB: through the same admission as everything that arrives."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facility.times import format_time
from historian.influx import Influx, InfluxFault
from ingest.admission.intake import RECOVERED, Intake, Sums
from ingest.journal.entries import STEP, StepBody, encode
from ingest.journal.journal import Journal
from ingest.series.series import SeriesReader
from service.clock import Clock
from service.continuity.gap import DAY_NS, Gap, Span, messages, state_messages, unknown_spans
from service.stored.archive import JOURNAL, SERIES, Archive

STEP_AFTER = 100_000
"""So many readings are judged in one step, that it fits into memory."""


@dataclass(slots=True)
class Recovery:
    """What was filled in, and what stays unknown; `fault` says why InfluxDB gave no more.

    Times are int ns UTC; `seen` is the newest arrival that it knows of.
    """

    since: int
    until: int
    source: str = ""
    sums: Sums = field(default_factory=Sums)
    points: int = 0
    seen: int = 0
    unknown: list[Span] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    fault: str = ""

    def document(self) -> dict[str, object]:
        """For programs and for the record."""
        return {
            "since": format_time(self.since),
            "until": format_time(self.until),
            "source": self.source,
            "received": self.sums.received,
            "recovered": self.sums.stored,
            "duplicates": self.sums.duplicates,
            "quarantined": dict(sorted(self.sums.quarantined.items())),
            "points": self.points,
            "seen": format_time(self.seen) if self.seen else "",
            "unknown": [{"point": s.point, "start": format_time(s.start), "end": format_time(s.end)} for s in self.unknown],
            "actions": self.actions,
            "fault": self.fault,
        }


def recover(
    data_dir: Path, influx: Influx | None, clock: Clock, *, late_ns: int = DAY_NS, progress: Callable[[int], None] = lambda recovered: None
) -> Recovery:
    """Fill the gap of a restored data_dir from InfluxDB (None: only say what is unknown). Raises ArchiveUnavailable, JournalUnavailable.

    What is recovered is received now, with the origin `recovered`: a reading that the journal has is a duplicate, one that differs goes to
    quarantine, and rules judge the rest at the next start. When InfluxDB fails, what it gave until then stays.
    """
    with Archive(data_dir) as archive:
        since = archive.head.at
        recovery = Recovery(since, clock.now_ns())
        if not archive.configurations:
            recovery.fault = "the journal holds no configuration, so that nothing is known of its points"
            return recovery
        facility, number_of = archive.facility, archive.number_of
    known: dict[str, list[NDArray[np.int64]]] = {}
    if influx is not None:
        recovery.source = influx.target.name
        with closing(Journal(data_dir / JOURNAL)) as journal, closing(SeriesReader(data_dir / SERIES)) as series:
            intake = Intake(journal, series, clock.now_ns)
            intake.configure(facility, number_of, accept_simulated=True)
            intake.recall(Sums(), journal.head.seq)
            try:
                _take_all(Gap(influx, facility, since, recovery.until, late_ns), intake, journal, recovery, known, progress)
            except InfluxFault as error:
                recovery.fault = str(error)
            recovery.sums = intake.sums
    recovery.points = len(known)
    times = {point: np.concatenate(parts) for point, parts in known.items()}
    recovery.unknown = unknown_spans(facility, times, since, recovery.until)
    return recovery


def _take_all(
    gap: Gap,
    intake: Intake,
    journal: Journal,
    recovery: Recovery,
    known: dict[str, list[NDArray[np.int64]]],
    progress: Callable[[int], None],
) -> None:
    """Admit states, then readings, with a recorded step now and then."""
    if states := list(state_messages(gap.facility, gap.states())):
        intake.accept(states, journal.head.heard, RECOVERED)
    waiting = 0
    for rows in gap.readings():
        intake.accept(list(messages(gap.facility, rows)), journal.head.heard, RECOVERED)
        recovery.seen = max(recovery.seen, rows[-1].received)
        by_point: dict[str, list[int]] = {}
        for row in rows:
            by_point.setdefault(row.point, []).append(row.time)
        for point, times in by_point.items():
            known.setdefault(point, []).append(np.array(times, np.int64))
        waiting += len(rows)
        if waiting >= STEP_AFTER:
            journal.append(STEP, encode(StepBody(0)), recovery.until)
            waiting = 0
        progress(intake.sums.stored)
    recovery.actions = gap.actions()
