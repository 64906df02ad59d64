"""The proof: the journal's recorded steps evaluated again, and what is on record compared with what comes out."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from alerts.alarms import Alarms
from alerts.audit import broken_rows
from alerts.ledger import Ledger, PlanOf
from alerts.resumption import Checkpoint, Proven, leave
from alerts.signing import is_signed_over
from alerts.store import StateStore, StateUnavailable
from facility.problems import ConfigurationError
from facility.times import format_time
from ingest.entries import CONFIGURATION, DELIVERY, STEP, DeliveryBody, decode
from ingest.flaw import Flaw, Flaws, Progress, unwatched
from ingest.journal import Entry, JournalReader, read_only
from ingest.recollection import Recollection
from ingest.resumed import ResumedSeries
from ingest.series import Series, SeriesReader

DIFFERENCES_MAX = 500
_PROGRESS = ("cursor", "head", "clock", "heard", "steps", "issued", "lives")
_TIMES = {
    "onset", "raised", "ended", "cleared", "raised_at", "returned_at", "acknowledged_at", "risen_at", "at", "realarm_at", "shelved_at",
    "shelved_until", "out_until", "since", "until", "deadline", "missed_at",
}  # fmt: skip
_TOLD_OF = ("told_at", "raised_at")
"""Of a test: when people were told, which is not evaluated again."""
_UNTRIED = (0, 0, 0, None, 0, "")


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
class Leaving:
    """Where a checkpoint is to be left when nothing is wrong; `proven` completes what it has to know beside."""

    folder: Path
    proven: Callable[[], Proven]


def prove(
    recorded: StateStore,
    journal: JournalReader,
    folder: Path,
    plan_of: PlanOf,
    progress: Progress = unwatched,
    since: Resuming | None = None,
    leaving: Leaving | None = None,
) -> Proof:
    """Evaluate every step up to the one that `recorded` has, in files in `folder`, and compare; tells nobody.

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
        ledger = Ledger(store, memory, plan_of, Alarms(store))
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
        if evaluated:
            with closing(_both(Path(recorded.path), Path(store.path))) as both:
                _compare(both, "excursions", ("id", "revision"), proof.flaws)
                _compare(both, "alarms", ("id",), proof.flaws)
                _compare(both, "members", ("excursion",), proof.flaws)
                _compare(both, "stood", ("audit",), proof.flaws)
                _compare(both, "remarks", ("entry",), proof.flaws)
                _compare(both, "reviews", ("entry",), proof.flaws)
                _compare(both, "overrides", ("entry",), proof.flaws)
                _compare(both, "drills", ("id",), proof.flaws, _TOLD_OF)
                _compare(both, "outages", ("point", "since"), proof.flaws)
                _compare(both, "stays", ("place",), proof.flaws)
                _compare(both, "alarm_groups", ("id",), proof.flaws)
                _compare(both, "deaths", ("point", "at"), proof.flaws)
                _compare(both, "audit", ("seq",), proof.audit)
            for key in _PROGRESS:
                stored, computed = recorded.get(key), store.get(key)
                if stored != computed:
                    proof.flaws.add(Flaw(f"`{key}` of state.db: stored {_told(key, stored)}, computed {_told(key, computed)}"))
        deliveries = _compare_deliveries(recorded, journal, cursor, proof)
        if leaving is not None and evaluated and not proof.flaws and not proof.audit and cursor:
            ledger.settle()
            known = msgspec.structs.replace(leaving.proven(), states=memory.states(), deliveries=deliveries)
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


def _both(recorded: Path, computed: Path) -> sqlite3.Connection:
    connection = read_only(recorded)
    connection.execute("attach ? as computed", (f"{computed.absolute().as_uri()}?mode=ro",))
    return connection


def _compare(both: sqlite3.Connection, table: str, key: tuple[str, ...], flaws: Flaws, without: tuple[str, ...] = ()) -> None:
    """Compare all columns but `without` of all rows of a table; each row that differs is one flaw."""
    names = [name for _, name, *_ in both.execute(f"pragma computed.table_info({table})") if name not in without]
    columns = ", ".join(f'"{name}", typeof("{name}")' for name in names)
    order = ", ".join(str(2 * names.index(name) + 1) for name in key)
    sides = []
    for ours, theirs in (("main", "computed"), ("computed", "main")):
        query = f"select {columns} from {ours}.{table} except select {columns} from {theirs}.{table} order by {order}"
        rows = [dict(zip(names, row[::2], strict=True)) for row in both.execute(f"{query} limit {DIFFERENCES_MAX}")]
        sides.append({tuple(row[name] for name in key): row for row in rows})
    stored, computed = sides
    for which in sorted(stored.keys() | computed.keys(), key=lambda which: [str(part).zfill(20) for part in which]):
        flaws.add(Flaw(_difference(table, which, stored.get(which), computed.get(which))))


def _difference(table: str, which: tuple[Any, ...], stored: dict[str, Any] | None, computed: dict[str, Any] | None) -> str:
    row = stored or computed or {}
    noun = {
        "excursions": "excursion",
        "alarms": "alarm",
        "audit": "audit row",
        "members": "alarm of excursion",
        "stood": "level at audit row",
        "remarks": "remark of entry",
        "reviews": "review of entry",
        "overrides": "swap of entry",
        "drills": "test of who is on call",
        "outages": "time out of service of",
        "alarm_groups": "group of alarms",
        "deaths": "end of the source of point",
        "stays": "state given from the console of",
    }[table]
    about = [str(row[name]) for name in ("rule", "point", "action", "object") if row.get(name)]
    name = f"{noun} {which[0]}{f' revision {which[1]}' if len(which) > 1 else ''} ({' '.join(about)})"
    if stored is None or computed is None:
        when = next((f", {name} {_told(name, row[name])}" for name in ("onset", "raised_at", "at") if name in row), "")
        return f"{name}{when}: {'in state.db, but not' if computed is None else 'not in state.db, but'} among what was evaluated again"
    differing = [column for column in stored if (stored[column], type(stored[column])) != (computed[column], type(computed[column]))]
    told = [f"`{column}` stored {_told(column, stored[column])}, computed {_told(column, computed[column])}" for column in differing]
    return f"{name}: {'; '.join(told)}"


def _told(column: str, value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()[:16] + "…"
    return format_time(value) if column in _TIMES and isinstance(value, int) else repr(value)


def _compare_deliveries(recorded: StateStore, journal: JournalReader, upto: int, proof: Proof) -> list[Any]:
    """What the outbox says of each page is what the last delivery entry says; pages themselves are not computed again.

    Returns the last delivery of each page and target, for the next time.
    """
    proven, after = (proof.since.proven, proof.since.cursor) if proof.since else (Proven(), 0)
    expected: dict[tuple[str, str], tuple[object, ...]] = {(page, target): tuple(said) for page, target, *said in proven.deliveries}
    try:
        for entry in journal.entries(after, upto, (DELIVERY,)):
            body = decode(entry)
            assert isinstance(body, DeliveryBody)
            sent = entry.at if body.ok else None
            expected[body.page, body.target] = (body.attempt, body.next_try_ns, body.at_ns, sent, int(body.permanent), body.detail)
    except Exception as error:  # as above
        proof.flaws.add(Flaw(f"deliveries cannot be read: {error}"))
        return []
    columns = ("attempts", "next_try", "tried_at", "sent_at", "permanent", "detail")
    for page, target, *found in recorded.rows(f"select page_id, target, {', '.join(columns)} from outbox order by id"):
        proof.pages += 1
        wanted = expected.get((page, target), _UNTRIED)
        differing = [i for i in range(len(columns)) if found[i] != wanted[i]]
        if differing:
            told = "; ".join(f"`{columns[i]}` stored {found[i]!r}, journalled {wanted[i]!r}" for i in differing)
            proof.flaws.add(Flaw(f"page {page} to {target}: {told}"))
    return [(*key, *said) for key, said in expected.items()]
