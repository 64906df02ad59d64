"""Taking in again what lies in quarantine: by a running service, or on the data_dir of one that is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path

from alerts.record.store import StateStore
from ingest.admission.intake import Intake, Sums
from ingest.admission.readmission import READMITTED, Readmitted, Wanted, chunks, records, taken_before
from ingest.journal.entries import CONFIGURATION, ConfigurationBody, ReadmissionNote, decode
from ingest.journal.files import there_is
from ingest.journal.journal import Journal, JournalReader
from ingest.series.series import SeriesReader
from service.applied import is_signed
from service.clock import Clock
from service.configuration.configuration import Configuration, sources_from_entry
from service.configuration.judging import judging_from_entry
from service.lock import DataDirLock
from service.stored.archive import JOURNAL, SERIES, STATE, ArchiveUnavailable

AT_ONCE, AT_ONCE_BYTES = 2_000, 16 << 20
"""So many records make one entry: ingest waits meanwhile, some tenths of a second."""


class Readmitting:
    """One at a time. `heard_ns` gives the listening time of the entries, None that of the newest entry."""

    def __init__(
        self,
        intake: Intake,
        journal: Callable[[], JournalReader],
        store: Callable[[], StateStore] | None,
        heard_ns: Callable[[], int | None],
    ) -> None:
        self._intake, self._journal, self._store, self._heard_ns = intake, journal, store, heard_ns
        self._lock = threading.Lock()

    def __call__(self, wanted: Wanted, by: str, reason: str, dry_run: bool = False) -> Readmitted:
        """Take in what is wanted, entry by entry; raises JournalUnavailable, and then what was taken in so far stays so."""
        note = ReadmissionNote(by, reason, str(wanted), [])
        answer = Readmitted()
        with self._lock, closing(self._journal()) as journal:
            seqs, cursor = self._known()
            taken = taken_before(journal, seqs, cursor)
            upto = journal.issued()
            after = 0 if not wanted.ids else min(entry for entry, _ in wanted.ids) - 1
            found = records(journal, wanted, taken, after, upto)
            for some in chunks(found, AT_ONCE, AT_ONCE_BYTES):
                answer += self._intake.readmit(some, wanted, note, self._heard_ns(), dry_run)
        return answer

    def _known(self) -> tuple[list[int], int]:
        """The entries that took records in, as the audit trail has them, and the entry up to which it is written."""
        if self._store is None:
            return [], 0
        with closing(self._store()) as store:
            cursor = int(store.get("cursor", 0))  # before the rows: what comes between is looked at twice
            return known_to(store), cursor


def known_to(store: StateStore) -> list[int]:
    """The entries that took records in, as the audit trail has them."""
    return [seq for (seq,) in store.rows("select entry from audit where action = ?", (READMITTED,))]


def readmit_stopped(
    data_dir: Path, configuration: Configuration | None, clock: Clock, wanted: Wanted, by: str, reason: str, dry_run: bool = False
) -> Readmitted:
    """Take in on the data_dir of a stopped service, by the configuration in force; the next start judges it.

    Raises DataDirInUse, ArchiveUnavailable when there is nothing to do it with, JournalUnavailable, ConfigurationError.
    """
    for name in (JOURNAL, SERIES, STATE):
        if not (there_is(data_dir / name) if name == JOURNAL else (data_dir / name).is_file()):
            raise ArchiveUnavailable(f"{data_dir}: there is no {name} in it. Start the service once, then do this again.")
    with ExitStack() as opened:
        opened.enter_context(DataDirLock(data_dir, clock))
        journal = opened.enter_context(closing(Journal(data_dir / JOURNAL)))
        reader = opened.enter_context(closing(journal.reader()))
        bodies = [body for entry in reader.entries(0, kinds=(CONFIGURATION,)) if isinstance(body := decode(entry), ConfigurationBody)]
        if not bodies:
            raise ArchiveUnavailable(f"{data_dir}: no configuration was in force yet. Start the service once, then do this again.")
        entry = bodies[-1].entry
        if configuration is not None and configuration.as_entry() != entry and not is_signed(entry):
            words = "the configuration was changed since the service stopped, and is not in force yet"
            raise ArchiveUnavailable(f"{data_dir}: {words}. Start the service, which puts it in force, then do this again.")
        facility = judging_from_entry(entry)[0]
        number_of = dict(chain.from_iterable(body.points.items() for body in bodies))
        series = opened.enter_context(closing(SeriesReader(data_dir / SERIES)))
        intake = Intake(journal, series, clock.now_ns)
        intake.configure(facility, number_of, entry["environment"] != "production", sources_from_entry(entry, facility))
        intake.recall(Sums(), journal.head.seq)
        readmit = Readmitting(intake, journal.reader, lambda: StateStore(data_dir / STATE, readonly=True), lambda: None)
        return readmit(wanted, by, reason, dry_run)
