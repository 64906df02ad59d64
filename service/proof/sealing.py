"""What each night seals, and what leaves the databases then: only what was read again from its files, and is journalled as sealed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from ingest.journal.entries import SEAL, SealBody, decode
from ingest.journal.entry import Entry
from ingest.journal.files import files_of, remove
from ingest.journal.flaw import Progress, unwatched
from ingest.journal.reader import JournalReader, last_of
from ingest.journal.sealed import FOLDER, SealedDay, sealed_days
from ingest.journal.sealing import day_of, end_of_day, midnight, next_day, seal_day
from ingest.series.series import Series
from service.stored.archive import JOURNAL, SERIES, Archive


@dataclass(frozen=True, slots=True)
class Said:
    """What the journal says of sealed days: `bodies` by first and last entry, `whole` when all that it ever said is among them.

    It vouches for the days up to the position `newest`, -1 for none: each manifest has the hash of the one before, so who vouches for a day
    vouches for all that it follows on.
    """

    bodies: Mapping[tuple[int, int], SealBody]
    newest: int
    whole: bool

    def of(self, day: SealedDay) -> SealBody | None:
        return self.bodies.get((day.manifest.first, day.manifest.last))

    def doubts(self, day: SealedDay) -> bool:
        """Whether it says something else of a day, or nothing though it says all."""
        body = self.of(day)
        return self.whole if body is None else body.sha256 != day.sha256


def said_of(journal: JournalReader, days: Sequence[SealedDay], *, everything: bool = False) -> Said:
    """What the journal says of the days on disk, in order; raises JournalUnavailable.

    What it said in days that are sealed themselves is read where that is needed, or with `everything`: a night takes no longer after years.
    """
    said = Said({}, -1, whole=False)
    for after in (0,) if everything else dict.fromkeys((journal.held_after, 0)):
        entries = (decode(entry) for entry in journal.entries(after, kinds=(SEAL,)))
        # Of two the newest counts: a data_dir that was restored seals again.
        bodies = {(body.first, body.last): body for body in entries if isinstance(body, SealBody)}
        known = Said(bodies, -1, whole=False)
        newest = max((position for position, day in enumerate(days) if known.of(day) and not known.doubts(day)), default=-1)
        said = Said(bodies, newest, whole=after == 0)
        if newest >= 0 and all(follows(day, days[position - 1] if position else None) for position, day in enumerate(days[: newest + 1])):
            break
    return said


def follows(day: SealedDay, before: SealedDay | None) -> bool:
    """Whether a day follows on another one, or is the first."""
    first, sha256 = (1, "") if before is None else (before.manifest.last + 1, before.sha256)
    return day.manifest.first == first and day.manifest.before == sha256


def vouched_for(journal: JournalReader, folder: Path) -> list[SealedDay]:
    """The days in order that are on disk as the journal says; what follows them is to be sealed. Raises JournalUnavailable."""
    days = sealed_days(folder)
    said = said_of(journal, days)
    found: list[SealedDay] = []
    for day in days[: said.newest + 1]:
        if not follows(day, found[-1] if found else None) or said.doubts(day):
            break
        found.append(day)
    return found


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
        before = (vouched_for(journal, folder) or (None,))[-1]
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
        sealed = vouched_for(journal, data_dir / FOLDER)
    if not sealed:
        return 0
    upto = sealed[-1].manifest.last
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
