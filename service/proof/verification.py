"""`verify`: four checks of a data_dir, which change nothing in it and run beside a service."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from alerts.proof import Judging, Leaving, Proof, Resuming, copy_of, prove
from alerts.record.kept import sums_from
from alerts.record.store import StateStore, StateUnavailable
from alerts.resumption import FOLDER, Checkpoint, Proven, newest
from facility.problems import so_many
from facility.times import format_time
from ingest.admission.intake import Sums
from ingest.conservation import Conservation, inspect_series, inspect_sums
from ingest.journal.file import FileReport, inspect_file
from ingest.journal.files import files_of
from ingest.journal.flaw import Flaw, Flaws, Progress
from ingest.journal.inspection import Chain, Witness, inspect_chain
from ingest.journal.journal import JournalReader, JournalUnavailable
from ingest.journal.reader import holds_nothing
from ingest.series.series import SeriesReader
from service.clock import Clock
from service.configuration.judging import Judges
from service.pages.paging import Paging
from service.proof.sealed import inspect_sealed
from service.stored.archive import JOURNAL, SERIES, STATE

SECOND_NS = 10**9
_RESTORE = "Keep the data_dir as it is and work on a copy: bring back the journal from a backup, and find out who or what changed this one."
_SEALED = "Keep the data_dir as it is. Bring back the sealed folder from a backup of its files, or all of it with `renrum restore`."
_COMPUTE = (
    "If the journal is ok: keep a copy of state.db, stop the service, delete state.db with its -wal and -shm, and start it: "
    "it is computed again from the journal, from the newest checkpoint on. If it differs again, move checkpoints/ away, too; if it still "
    "does, that is a fault in Renrum: please report it."
)
_WRITE = (
    "If the journal is ok: stop the service, delete the one that is named, state.db or series.db, with its -wal and -shm, and start it: "
    "both are computed again from the journal."
)
_MISSING = "There is no state.db: the service computes it from the journal when it starts. Until then there is nothing to compare."

Watch = Callable[[str], Progress]
"""Gives what is told the progress of a part of the work."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line: how much was checked, what it showed when nothing is wrong, the counts, what is wrong, and what to do then."""

    name: str
    checked: str
    showed: str
    counts: dict[str, object]
    flaws: Flaws
    remedy: str = ""
    verdict: str = "ok"

    @property
    def ok(self) -> bool:
        return not self.flaws


@dataclass(slots=True)
class Verification:
    """Runs the checks of a data_dir in turn; `folder` takes files as large as series.db and state.db.

    Steps are evaluated from the newest checkpoint on, or with `all` from the first; with `leave` a new one is left when all is well.
    """

    data_dir: Path
    folder: Path
    clock: Clock
    watch: Watch
    all: bool = False
    leave: bool = False
    state: StateStore | None = None
    why_no_state: str = ""
    chain: Chain = field(default_factory=Chain)
    since: Checkpoint | None = None
    unfit: Flaws = field(default_factory=Flaws)
    conservation: Conservation = field(default_factory=Conservation)
    left: tuple[int, str] | None = None

    def checks(self) -> list[Check]:
        """Journal, audit, excursions, completeness."""
        path = self.data_dir / STATE
        try:
            # Before the journal is looked at, so that the journal has all that it has.
            self.state = copy_of(path, self.folder / "recorded.db") if path.is_file() else None
            self.why_no_state = "" if self.state else _MISSING
        except StateUnavailable as error:
            self.why_no_state = f"{error}"
        try:
            journal = self._journal()
            self.since = None if self.all else self._newest_checkpoint()
            completeness = self._completeness()
            self.leave = self.leave and journal.ok and completeness.ok
            return [journal, *self._sealed(), *self._proof(), completeness]
        finally:
            if self.state is not None:
                self.state.close()

    def _journal(self) -> Check:
        path = self.data_dir / JOURNAL
        begun = self.clock.monotonic_ns()
        self.chain = chain = inspect_chain(path, self._witness(), self.watch("entries"))
        speed = _speed(chain.entries, chain.readings, self.clock.monotonic_ns() - begun)
        file = FileReport()
        files = files_of(path)
        if len(files) > 1 and holds_nothing(files[-1][1], files[-1][0]):
            files.pop()  # begun when the service was killed: it goes away at the next start
        for _, one in files:
            file.add(inspect_file(one, self.watch("pages")))
        flaws = chain.flaws
        for flaw in file.flaws:
            flaws.add(flaw)
        names = files[0][1].name if len(files) == 1 else f"{so_many(len(files), 'file')} from {files[0][1].name} on"
        checked = (
            f"{so_many(chain.entries, 'entry')}, {so_many(chain.readings, 'reading')}, {so_many(file.pages, 'page')} of {names}; {speed}"
        )
        showed = f"chained up to {chain.head.hex()[:16]}…"
        counts = {
            "entries": chain.entries, "readings": chain.readings, "steps": chain.steps, "head": chain.head.hex(),
            "pages": file.pages, "log_frames": file.frames, "unchecked_bytes": file.unchecked_bytes,
        }  # fmt: skip
        return Check("journal", checked, showed, counts, flaws, _RESTORE)

    def _sealed(self) -> tuple[Check, ...]:
        """A line where there is anything sealed."""
        report = inspect_sealed(self.data_dir, self.all, self.watch("days"))
        if report is None:
            return ()
        checked = f"{so_many(report.days, 'day')}, {so_many(report.entries, 'entry')}, {so_many(report.readings, 'reading')}"
        showed = "hashed and chained" + (", and each entry along the chain" if self.all else "")
        if report.absent:
            showed += f"; {so_many(report.absent, 'day')} not there whose entries are in the journal: they are sealed again"
        counts: dict[str, object] = {
            "days": report.days, "entries": report.entries, "readings": report.readings, "bytes": report.bytes, "absent": report.absent,
            "semantics": sorted(report.semantics),
        }  # fmt: skip
        self.leave = self.leave and not report.flaws
        return (Check("sealed", checked, showed, counts, report.flaws, _SEALED),)

    def _witness(self) -> Witness | None:
        cursor = self._kept("cursor")
        head = self._kept("head")
        return Witness(cursor, head, STATE) if isinstance(cursor, int) and isinstance(head, bytes) else None

    def _kept(self, key: str) -> object:
        try:
            return self.state.get(key) if self.state is not None else None
        except StateUnavailable:
            return None

    def _newest_checkpoint(self) -> Checkpoint | None:
        cursor = self._kept("cursor")
        try:
            with closing(JournalReader(self.data_dir / JOURNAL)) as journal:
                return newest(self.data_dir / FOLDER, journal, cursor if isinstance(cursor, int) else 0, self.unfit)
        except (JournalUnavailable, StateUnavailable, sqlite3.Error, OSError) as error:
            self.unfit.add(Flaw(f"checkpoints cannot be read: {error}", file=FOLDER))
            return None

    def _proof(self) -> tuple[Check, ...]:
        if self.state is None:
            flaws = Flaws()
            flaws.add(Flaw(self.why_no_state))
            return tuple(Check(name, "nothing", "", {}, flaws, _COMPUTE) for name in ("audit", "excursions"))
        begun = self.clock.monotonic_ns()
        try:
            journal = JournalReader(self.data_dir / JOURNAL)
            try:
                since = Resuming(self.since, lambda: SeriesReader(self.data_dir / SERIES)) if self.since else None
                leaving = Leaving(self.data_dir / FOLDER, self._proven) if self.leave else None
                proof = prove(self.state, journal, self.folder, self._judging(), self.watch("steps"), since, leaving)
                self.left = proof.left
            finally:
                journal.close()
        except (StateUnavailable, sqlite3.Error, JournalUnavailable, OSError, ValueError, TypeError) as error:
            proof = Proof()
            for flaws in (proof.audit, proof.flaws):
                flaws.add(Flaw(f"it cannot be compared: {error}", file=STATE))
        for flaw in self.unfit:
            proof.flaws.add(flaw)
        return self._audit_line(proof), self._excursions_line(proof, self.clock.monotonic_ns() - begun)

    def _judging(self) -> Judging:
        paging = Paging(Judges())
        return Judging(paging.plan, paging.alarms, version("renrum"))

    def _proven(self) -> Proven:
        return Proven(own=self.conservation.own)

    def _from(self, again: int) -> str:
        if self.since is None:
            return ""
        return f" ({again:,} evaluated again, from the checkpoint at entry {self.since.cursor} of {format_time(self.since.at)})"

    def _audit_line(self, proof: Proof) -> Check:
        checked, showed = so_many(proof.audit_rows, "row"), "chained, and as evaluated again"
        return Check("audit", checked, showed, {"rows": proof.audit_rows}, proof.audit, _COMPUTE)

    def _excursions_line(self, proof: Proof, took_ns: int) -> Check:
        cursor = self._kept("cursor")
        behind = self.chain.last - cursor if isinstance(cursor, int) else 0
        waiting = f"; {so_many(behind, 'newer entry')} not judged yet" if behind > 0 else ""
        again = proof.steps - (self.since.steps if self.since else 0)
        checked = (
            f"{so_many(proof.excursions, 'excursion')} ({so_many(proof.revisions, 'revision')}), {so_many(proof.alarms, 'alarm')} in "
            f"{so_many(proof.steps, 'step')}{self._from(again)}, {so_many(proof.pages, 'page')}{waiting}; {_rate(again, took_ns)} steps/s"
        )
        counts: dict[str, object] = {
            "excursions": proof.excursions, "revisions": proof.revisions, "alarms": proof.alarms, "steps": proof.steps,
            "pages": proof.pages, "entries_not_judged_yet": max(0, behind), "evaluated_again": again,
            "checkpoint": None if self.since is None else self.since.cursor,
        }  # fmt: skip
        return Check("excursions", checked, "", counts, proof.flaws, _COMPUTE, "identical")

    def _completeness(self) -> Check:
        conservation, since = self.conservation, self.since
        flaws = conservation.flaws
        cursor = self._kept("cursor")
        upto = cursor if isinstance(cursor, int) else self.chain.last
        try:
            journal = JournalReader(self.data_dir / JOURNAL)
            try:
                if since is not None:
                    conservation.begin(since.cursor, since.at, sums_from(since.sums), since.proven.own, since.proven.states)
                inspect_sums(journal, upto, max(upto, self.chain.last), conservation, self.watch("sums"))
                if (self.data_dir / SERIES).is_file():
                    inspect_series(journal, self.data_dir / SERIES, conservation, self.watch("series"))
                else:
                    flaws.add(Flaw("there is no series.db: the service writes it from the journal when it starts"))
            finally:
                journal.close()
        except (JournalUnavailable, sqlite3.Error) as error:
            flaws.add(Flaw(f"it cannot be counted: {error}", file=JOURNAL))
        sums = conservation.sums
        self._compare_sums(sums, flaws)
        quarantined, readmitted = sums.in_quarantine.total(), sums.readmitted.total()
        sums_up = f"{sums.received:,} received = {sums.stored:,} stored + {sums.duplicates:,} duplicate + {quarantined:,} quarantined"
        if readmitted:
            sums_up += f" ({readmitted:,} more were readmitted)"
        own = f" and {conservation.own:,} of the service itself" if conservation.own else ""
        since_then = f" since entry {since.cursor}" if since else ""
        checked = f"{so_many(sums.received, 'reading')} received{own}, {conservation.in_series:,}{since_then} in series.db"
        showed = f"{sums_up}; series.db has all up to entry {conservation.series_cursor}"
        counts: dict[str, object] = {
            "received": sums.received, "stored": sums.stored, "duplicates": sums.duplicates, "quarantined": quarantined,
            "reasons": dict(sorted(sums.in_quarantine.items())), "readmitted": readmitted, "in_series": conservation.in_series,
            "own": conservation.own, "series_cursor": conservation.series_cursor,
        }  # fmt: skip
        return Check("completeness", checked, showed, counts, flaws, _WRITE)

    def _compare_sums(self, sums: Sums, flaws: Flaws) -> None:
        kept = self._kept("sums")
        try:
            stored = sums_from(kept) if isinstance(kept, str) else Sums()
        except (ValueError, TypeError) as error:
            flaws.add(Flaw(f"its sums cannot be read: {error}", file=STATE))
            return
        if self.state is not None and stored != sums:
            flaws.add(Flaw(f"its sums are {_summed(stored)}; the journal's are {_summed(sums)}", file=STATE))


def verify(data_dir: Path, clock: Clock, watch: Watch, *, all: bool = False) -> list[Check]:
    """The four checks of a data_dir that has a journal; raises OSError when there is no room for what is computed."""
    return verify_and_leave(data_dir, clock, watch, all=all, leave=False)[0]


def verify_and_leave(data_dir: Path, clock: Clock, watch: Watch, *, all: bool, leave: bool) -> tuple[list[Check], tuple[int, str] | None]:
    """As `verify`; and the checkpoint that was left, its entry and the SHA-256 of its file."""
    with tempfile.TemporaryDirectory(prefix="renrum-verify-") as folder:
        verification = Verification(data_dir, Path(folder), clock, watch, all, leave)
        return verification.checks(), verification.left


def _summed(sums: Sums) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(sums.quarantined.items()))
    quarantined = f"{sums.quarantined.total()} quarantined ({reasons or 'nothing'}), {sums.readmitted.total()} readmitted"
    return f"{sums.received} received, {sums.stored} stored, {sums.duplicates} duplicate, {quarantined}"


def _rate(count: int, took_ns: int) -> str:
    return f"{round(count * SECOND_NS / max(took_ns, 1)):,}"


def _speed(entries: int, readings: int, took_ns: int) -> str:
    return f"{_rate(entries, took_ns)} entries/s, {_rate(readings, took_ns)} readings/s"
