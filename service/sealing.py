"""What each night seals, and what leaves the databases then: only what was read again from its files, and is journalled as sealed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from ingest.entries import SEAL, SealBody, decode
from ingest.flaw import Progress, unwatched
from ingest.journal_entry import Entry
from ingest.journal_files import files_of, remove
from ingest.journal_reader import JournalReader, last_of
from ingest.sealed import FOLDER, SealedDay, sealed_days
from ingest.sealing import day_of, end_of_day, midnight, next_day, seal_day
from ingest.series import Series
from service.archive import JOURNAL, SERIES, Archive


@dataclass(frozen=True, slots=True)
class Seals:
    """The days in order that are on disk as the journal says; what follows them is to be sealed."""

    days: tuple[SealedDay, ...]
    journalled: tuple[SealBody, ...]

    @property
    def upto(self) -> int:
        """The last entry of the last of them; 0 for none."""
        return self.days[-1].manifest.last if self.days else 0


def seals_of(journal: JournalReader, folder: Path) -> Seals:
    """What the journal vouches for; raises JournalUnavailable."""
    bodies = [body for entry in journal.entries(kinds=(SEAL,)) if isinstance(body := decode(entry), SealBody)]
    said = {(body.first, body.last): body.sha256 for body in bodies}  # the newest counts: a restored data_dir seals again
    days: list[SealedDay] = []
    for day in sealed_days(folder):
        manifest, before = day.manifest, days[-1] if days else None
        follows = manifest.first == (before.manifest.last + 1 if before else 1) and manifest.before == (before.sha256 if before else "")
        if not follows or said.get((manifest.first, manifest.last)) != day.sha256:
            break
        days.append(day)
    return Seals(tuple(days), tuple(bodies))


def seal_what_is_due(data_dir: Path, now: int | None = None, progress: Progress = unwatched, days_at_most: int = 1 << 30) -> list[SealBody]:
    """Seal the days older than the largest `max_late` there ever was; what is to be journalled of each.

    They are older than that at `now`, int ns UTC, the journal's newest entry unless given. A day that an earlier call sealed and nobody
    journalled is sealed again. Raises CannotSeal, JournalUnavailable, OSError.
    """
    found: list[SealBody] = []
    with Archive(data_dir) as archive:
        journal, folder = archive.journal, data_dir / FOLDER
        facilities = [archive.facility_of(body) for _, body in archive.configurations]
        max_late_ns = max((point.max_late_ns for facility in facilities for point in facility.points), default=0)
        horizon = (archive.head.at if now is None else now) - max_late_ns
        before = (seals_of(journal, folder).days or (None,))[-1]
        ids = {number: point for point, number in archive.number_of.items()}
        while len(found) < days_at_most:
            first = journal.entry(before.manifest.last + 1 if before else 1)
            due = None if first is None else _due(archive, first, horizon)
            if due is None:
                break
            day, last = due
            before = seal_day(journal, folder, day, before, last, ids, progress)
            found.append(SealBody(before.manifest.day, before.manifest.first, before.manifest.last, before.sha256))
    return found


def _due(archive: Archive, first: Entry, horizon: int) -> tuple[date, Entry] | None:
    """The day that begins with an entry, and the step that ends it; of days in which no step was taken, the next that has one."""
    day = day_of(first.at)
    while midnight(next_day(day)) <= horizon:
        last = end_of_day(archive.journal, first.seq, archive.before(midnight(next_day(day))))
        if last is not None:
            return day, last
        day = next_day(day)
    return None


def let_go(data_dir: Path, pause: Callable[[], bool]) -> int:
    """Remove from the databases what is sealed, read again and journalled; how many bytes of the journal went.

    Files of which every entry is sealed are removed whole; the newest never. `pause` is called between two small writes to the series, and
    says whether to stop. Raises JournalUnavailable, SeriesUnavailable, OSError.
    """
    with closing(JournalReader(data_dir / JOURNAL)) as journal:
        upto = seals_of(journal, data_dir / FOLDER).upto
    if not upto:
        return 0
    with closing(Series(data_dir / SERIES)) as series:
        if series.cursor() >= upto:
            while series.let_go(upto) and not pause():
                pass
    files = files_of(data_dir / JOURNAL)
    gone = 0
    for (_, path), (following, _) in pairwise(files):
        if following > upto + 1 or last_of(path) > upto:
            break
        gone += path.stat().st_size
        remove(path)
    return gone
