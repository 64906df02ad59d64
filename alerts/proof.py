"""The proof: the journal's recorded steps evaluated again, and what is on record compared with what comes out."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from alerts.alarms import Alarms
from alerts.comparison import AUDIT, Reworded, both_of, compare_pages, compare_progress, compare_table, compare_tables
from alerts.ledger import Ledger, PlanOf
from alerts.record.audit import broken_rows
from alerts.record.signing import is_signed_over
from alerts.record.store import StateStore, StateUnavailable
from alerts.resumption import Checkpoint, Proven, leave
from facility.problems import ConfigurationError
from ingest.journal.entries import CONFIGURATION, STEP, decode
from ingest.journal.flaw import Flaw, Flaws, Progress, unwatched
from ingest.journal.journal import Entry, JournalReader, read_only
from ingest.series.recollection import Recollection
from ingest.series.resumed import ResumedSeries
from ingest.series.series import Series, SeriesReader


@dataclass(slots=True)
class Proof:
    """What was compared, and what differs: in the audit trail, and in everything else.

    `since` is the checkpoint from which steps were evaluated, `left` the one that was made: its entry and the SHA-256 of its file.
    """

    since: Checkpoint | None = None
    left: tuple[int, str] | None = None
    steps: int = 0
    excursions: int = 0
    revisions: int = 0
    alarms: int = 0
    audit_rows: int = 0
    pages: int = 0
    audit: Flaws = field(default_factory=Flaws)
    flaws: Flaws = field(default_factory=Flaws)


def copy_of(path: Path, copy: Path) -> StateStore:
    """state.db as it is at this moment, copied, so that a service may go on writing; raises StateUnavailable."""
    try:
        with closing(read_only(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    except (sqlite3.Error, OSError) as error:
        raise StateUnavailable(f"cannot read {path}: {error}") from error
    return StateStore(copy, readonly=True)


@dataclass(frozen=True, slots=True)
class Resuming:
    """Go on from a checkpoint; `written` opens the series that has what was received before it."""

    checkpoint: Checkpoint
    written: Callable[[], SeriesReader]


@dataclass(frozen=True, slots=True)
class Judging:
    """How steps are evaluated: by which plans, told in which way (and to nobody, as there are no couriers), by which version's words."""

    plan: PlanOf
    alarms: Callable[[StateStore], Alarms]
    version: str = ""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Where a checkpoint is to be left when nothing is wrong; `proven` completes what it has to know beside."""

    folder: Path
    proven: Callable[[], Proven]


def prove(
    recorded: StateStore,
    journal: JournalReader,
    folder: Path,
    judging: Judging,
    progress: Progress = unwatched,
    since: Resuming | None = None,
    leaving: Leaving | None = None,
) -> Proof:
    """Evaluate every step up to the one that `recorded` has, in files in `folder`, and compare; `judging` must tell nobody.

    Evaluates from the first step, or from a checkpoint on. Never raises for what is wrong with the journal or the record.
    """
    proof = Proof(since=since.checkpoint if since else None)
    cursor = int(recorded.get("cursor", 0))
    with ExitStack() as opened:
        series = opened.enter_context(closing(Series(folder / "series.db")))
        if since is not None:
            shutil.copyfile(since.checkpoint.path, folder / "state.db")
        store = opened.enter_context(closing(StateStore(folder / "state.db", durable=False)))
        memory = Recollection(series if since is None else _resumed(opened, series, since))
        ledger = Ledger(store, memory, judging.plan, judging.alarms(store))
        if since is not None:
            ledger.load(journal)
        evaluated = _evaluate(ledger, memory, journal, cursor, proof, progress)
        proof.steps = int(store.get("steps", 0))
        proof.excursions = store.rows("select count(distinct id) from excursions")[0][0]
        proof.revisions = store.rows("select count(*) from excursions")[0][0]
        proof.alarms = store.rows("select count(*) from alarms")[0][0]
        proof.audit_rows = recorded.rows("select count(*) from audit")[0][0]
        for broken in broken_rows(recorded):
            proof.audit.add(Flaw(broken))
        proof.pages = recorded.rows("select count(*) from outbox")[0][0]
        reworded: list[Reworded] = []
        if evaluated:
            with closing(both_of(Path(recorded.path), Path(store.path))) as both:
                compare_tables(both, proof.flaws)
                compare_table(both, AUDIT, proof.audit)
                reworded = compare_pages(both, judging.version, since.checkpoint.at if since else None, proof.flaws)
            compare_progress(recorded, store, proof.flaws)
        if leaving is not None and evaluated and not proof.flaws and not proof.audit and cursor:
            ledger.settle()
            for page in reworded:
                store.execute("update outbox set page = ? where page_id = ? and target = ?", (page.text, page.id, page.target))
            known = msgspec.structs.replace(leaving.proven(), states=memory.states())
            proof.left = cursor, leave(Path(store.path), leaving.folder, cursor, known)[1]
    return proof


def _resumed(opened: ExitStack, series: Series, since: Resuming) -> ResumedSeries:
    written, checkpoint = opened.enter_context(closing(since.written())), since.checkpoint
    return ResumedSeries(series, written, checkpoint.cursor, checkpoint.at, checkpoint.proven.states)


def _evaluate(ledger: Ledger, memory: Recollection, journal: JournalReader, upto: int, proof: Proof, progress: Progress) -> bool:
    """Apply the steps; False when one could not be, which is then the flaw."""
    entries: list[Entry] = []
    try:
        for entry in journal.entries(ledger.cursor, upto):
            entries.append(entry)
            if entry.kind == CONFIGURATION and not is_signed_over(decode(entry)):
                what = "its signature is not over this configuration, with these words"
                proof.flaws.add(Flaw(what, entry=entry.seq, kind=entry.kind, at=entry.at))
            if entry.kind == STEP:
                ledger.apply(entries)
                memory.write()
                entries = []
                progress(entry.seq, upto)
    except ConfigurationError as error:
        what = f"this version cannot read a configuration that is in force from here as it was read then: {error}"
        where = next((entry for entry in reversed(entries) if entry.kind == CONFIGURATION), entries[-1])
        proof.flaws.add(Flaw(what, entry=where.seq, kind=where.kind, at=where.at))
        return False
    except Exception as error:  # whatever an altered journal leads to: the journal's own check names the entry
        what = f"the step cannot be evaluated: {type(error).__name__}: {error}"
        last = entries[-1] if entries else None
        proof.flaws.add(Flaw(what, entry=last.seq, kind=last.kind, at=last.at) if last else Flaw(what))
        return False
    if ledger.cursor != upto:
        proof.flaws.add(Flaw(f"state.db was evaluated up to entry {upto}; the journal's last step before it is entry {ledger.cursor}"))
        return False
    return True
