"""The sealed days verified: each as the journal says, chained to the day before, and with `all` entry by entry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from facility.reading import Readings
from ingest.conservation import totals
from ingest.journal.entries import INGEST, ingest_body, readings_of
from ingest.journal.entry import Head, JournalUnavailable
from ingest.journal.files import files_of
from ingest.journal.flaw import Flaw, Flaws, Progress
from ingest.journal.reader import JournalReader
from ingest.journal.sealed import FOLDER, SealedDay, SealedDays, sealed_days
from ingest.journal.sealing import CannotSeal, read_again
from service.proof.sealing import Said, said_of
from service.stored.archive import JOURNAL


@dataclass(slots=True)
class SealedReport:
    """What was examined: days, entries and readings that they hold, the bytes that were hashed, what is journalled and not there."""

    days: int = 0
    entries: int = 0
    readings: int = 0
    bytes: int = 0
    absent: int = 0
    semantics: set[int] = field(default_factory=set)
    flaws: Flaws = field(default_factory=Flaws)


def inspect_sealed(data_dir: Path, everything: bool, progress: Progress) -> SealedReport | None:
    """Examine the sealed days; None where there are none. Never raises for what is wrong with them."""
    report = SealedReport()
    try:
        with closing(JournalReader(data_dir / JOURNAL)) as journal:
            days = sealed_days(data_dir / FOLDER)
            said = said_of(journal, days, everything=everything)
            _compare(journal, days, said, report)
    except (JournalUnavailable, OSError) as error:
        report.flaws.add(Flaw(str(error), file=FOLDER))
        return report
    if not days and not said.bodies:
        return None
    files = files_of(data_dir / JOURNAL)
    there = {(day.manifest.first, day.manifest.last) for day in days}
    for body in said.bodies.values():
        if (body.first, body.last) not in there:
            if not files or body.first < files[0][0]:
                report.flaws.add(Flaw("its manifest is not there, and its entries are in no file of the journal", file=f"{body.day}.json"))
            else:
                report.absent += 1
    for done, day in enumerate(days, 1):
        _day(day, days[done - 2] if done > 1 else None, everything, report)
        progress(done, len(days))
    return report


def _compare(journal: JournalReader, days: list[SealedDay], said: Said, report: SealedReport) -> None:
    """Manifests against the journal's entries, and against each other."""
    for position, day in enumerate(days):
        name = f"{FOLDER}/{day.manifest.day}.json"
        body, sure = said.of(day), -1 if said.whole else said.newest
        if body is None and sure < position < len(days) - 1:
            report.flaws.add(Flaw("the journal does not say that this day was sealed", file=name))
        elif body is not None and body.sha256 != day.sha256:
            report.flaws.add(Flaw(f"its hash is {day.sha256[:16]}…, the journal says {body.sha256[:16]}…: it was altered", file=name))
    if days and days[0].manifest.first != 1:
        report.flaws.add(Flaw(f"the first day begins with entry {days[0].manifest.first}: days before it are missing", file=FOLDER))
    for before, day in pairwise(days):
        if day.manifest.first != before.manifest.last + 1 or day.manifest.before != before.sha256:
            report.flaws.add(Flaw(f"it does not follow on {before.manifest.day}", file=f"{FOLDER}/{day.manifest.day}.json"))
    for day in days[-1:]:
        following = next(journal.entries(day.manifest.last, day.manifest.last + 1), None)
        last = journal.entry(day.manifest.last)
        if following is not None and (last is None or last.hash.hex() != day.manifest.head):
            report.flaws.add(Flaw(f"its head is not the hash of entry {day.manifest.last}", file=f"{FOLDER}/{day.manifest.day}.json"))


def _day(day: SealedDay, before: SealedDay | None, everything: bool, report: SealedReport) -> None:
    manifest = day.manifest
    report.days, report.entries, report.readings = report.days + 1, report.entries + manifest.entries, report.readings + manifest.readings
    report.semantics.update(manifest.semantics)
    for name, kept in manifest.files.items():
        try:
            with (day.folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            report.flaws.add(Flaw(f"it cannot be read: {error.strerror}", file=f"{FOLDER}/{name}"))
            return
        report.bytes += kept.bytes
        if found != kept.sha256:
            report.flaws.add(Flaw("it was altered: it has another hash than its manifest says", file=f"{FOLDER}/{name}"))
            return
    if everything:
        head = Head() if before is None else Head(before.manifest.last, 0, 0, bytes.fromhex(before.manifest.head))
        try:
            read_again(day, head)
            _same_readings(day)
        except (CannotSeal, JournalUnavailable) as error:
            report.flaws.add(Flaw(str(error), file=f"{FOLDER}/{manifest.day}.json"))


def _same_readings(day: SealedDay) -> None:
    """The readings are those of the entries, bit by bit; raises CannotSeal."""
    manifest = day.manifest

    def in_entries() -> Iterator[Readings]:
        for entry in SealedDays([day]).entries(manifest.first - 1, manifest.last, (INGEST,)):
            yield readings_of(entry, ingest_body(entry))

    mine, theirs = totals(in_entries()), totals(SealedDays([day]).all_readings(manifest.last))
    if not (np.array_equal(mine[0], theirs[0]) and np.array_equal(mine[1], theirs[1])):
        raise CannotSeal(f"the readings of {manifest.day} are not those of its entries")
