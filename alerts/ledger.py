"""Recorded steps applied: excursions, alarms, audit trail and outbox change together in one transaction, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alerts.alarms import Alarms, Answer
from alerts.duties import Duties
from alerts.judging import checkpoint
from alerts.judging.clocks import Clocks
from alerts.judging.judgement import Judgement
from alerts.judging.outages import outages_by_number
from alerts.judging.rewind import BEGINNING
from alerts.judging.stays import Stays
from alerts.judging.stretch import Stretch
from alerts.lifecycle.lifecycle import PUT_BACK, TAKE_OUT
from alerts.lifecycle.standing import Moment
from alerts.lifecycle.surroundings import Site
from alerts.record.audit import SYSTEM, AuditTrail
from alerts.record.kept import lives_from, lives_text, sums_from, sums_text
from alerts.record.signing import reasons_of
from alerts.record.store import StateStore, StateUnavailable
from alerts.remarks import Remarks
from facility.reading import Readings
from ingest.admission.intake import Sums
from ingest.admission.readmission import READMITTED
from ingest.journal.entries import (
    ACTION,
    CHECKPOINT,
    CONFIGURATION,
    DELIVERY,
    INGEST,
    PEOPLE,
    RECORD,
    SERVICE,
    SOURCE,
    STEP,
    ActionBody,
    ConfigurationBody,
    DeliveryBody,
    IngestBody,
    PeopleBody,
    ReadmissionNote,
    RecordBody,
    ServiceBody,
    SourceBody,
    decode,
    ingest_body,
    readings_of,
)  # fmt: skip
from ingest.journal.journal import Entry, JournalReader
from ingest.lives import BORN, DIED, GAP, Lives
from ingest.series.recollection import Recollection
from rules.ahead import as_told
from rules.engine import RAISED, Finding
from rules.excursion import CURRENT, Excursion
from rules.plan import Plan
from rules.revise import Revision
from rules.stale import Heard, Life
from rules.transition import OUT_OF_SERVICE

NEWEST_EVERY = 300
"""Steps between two checkpoints of what is newest: five minutes at one a second, read again at the start in well under one."""

PlanOf = Callable[[ConfigurationBody, dict[str, int], int], Plan]
"""The plan of a journalled configuration, the register of point numbers, and the moment it took force."""


@dataclass(slots=True)
class Applied:
    """What a step changed, for those who watch: rows as they are now, and the answers to people's actions by entry number."""

    excursions: list[Excursion] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)
    readings: Readings = field(default_factory=Readings.empty)


class Ledger:
    """Applies the journal's steps to a state store, in order; the only writer of both the store and the series."""

    def __init__(self, store: StateStore, memory: Recollection, plan_of: PlanOf, alarms: Alarms) -> None:
        self._store = store
        self._memory = memory
        self._plan_of = plan_of
        self._alarms = alarms
        self.number_of: dict[str, int] = {}
        self.judgement = Judgement(memory, store, self.number_of)
        self.audit = AuditTrail(store)
        self._remarks = Remarks(store)
        self._duties = Duties(store)
        self.site = Site(store, self.judgement, alarms.flags)
        self.cursor = 0
        self.configurations: list[int] = []
        """The entries up to the cursor that put one in force."""
        self.sums = Sums()
        self.lives = Lives()
        self._lived = False
        self._clocks = Clocks()
        self.stays = Stays(store)
        self._open: dict[tuple[str, str], Excursion] = {}
        self._issued = 0
        self._steps = 0

    def load(self, journal: JournalReader) -> None:
        """Take up where the last committed step ended; raises StateUnavailable when that step is not in the journal."""
        self.cursor = int(self._store.get("cursor", 0))
        if not self.cursor:
            return
        last = next(iter(journal.entries(self.cursor - 1, self.cursor)), None)
        if last is None or last.hash != self._store.get("head"):
            raise StateUnavailable(
                f"{self._store.path} was computed from another journal: entry {self.cursor} is not in this one, or is another."
                " `renrum verify` says what is missing. To go on with this journal, move state.db and series.db away:"
                " they are computed from it again"
            )
        self.configurations = json.loads(self._store.get("configurations", "[]"))
        epochs: list[tuple[int, Plan]] = []
        for entry in (entry for seq in self.configurations for entry in journal.entries(seq - 1, seq)):
            body = decode(entry)
            assert isinstance(body, ConfigurationBody)
            self.number_of.update(body.points)
            epochs.append((entry.at if epochs else BEGINNING, self._plan_of(body, self.number_of, entry.at)))
        self._memory.recall(journal, self.cursor)
        self.judgement.adopt(epochs, outages_by_number(self._store, self.number_of))
        self.judgement.lasting.deaths.know(self._store.deaths())
        kept, since = self._store.rows("select value from meta where key in ('newest', 'newest_cursor') order by key")
        readings = (readings_of(entry, ingest_body(entry)) for entry in journal.entries(int(since[0]), self.cursor, (INGEST,)))
        checkpoint.restore(self.judgement, kept[0], self._store.get("under_way"), readings, int(self._store.get("clock")))
        self._clocks.restore(self.judgement.plan, self._store.get("clocks", ""))
        self.stays.adopt(epochs, self.judgement.told, self.judgement.lasting.listened)
        self._open = {(row.rule, row.point): row for row in self._store.excursions("status = ? and cleared is null", (CURRENT,))}
        self._issued = int(self._store.get("issued", 0))
        self._steps = int(self._store.get("steps", 0))
        self.sums = sums_from(self._store.get("sums"))
        self.lives = lives_from(self._store.get("lives", "[0, {}]"))

    def apply(self, entries: Sequence[Entry]) -> Applied:
        """Apply the entries up to and with a step; raises StateUnavailable, and then the ledger has to be loaded anew."""
        step = entries[-1]
        assert step.kind == STEP, "a step ends its entries"
        applied = Applied()
        self._lived = False
        self._alarms.forget()
        with self._store.transaction():
            configured = self._walk(entries, applied)
            self._progress(applied)
            self._elapse(step, applied)
            self._duties.elapse(step, self.audit)
            self._alarms.escalate(step.at, applied.alarms)
            self._steps += 1
            self.cursor = step.seq
            for key, value in (("cursor", step.seq), ("head", step.hash), ("clock", step.at), ("heard", step.heard)):
                self._store.put(key, value)
            self._store.put("steps", self._steps)
            self._store.put("issued", self._issued)
            self._store.put("sums", sums_text(self.sums))
            if self._lived:
                self._store.put("lives", lives_text(self.lives))
            if self.judgement.epochs:
                self._store.put("under_way", checkpoint.under_way(self.judgement))
                self._store.put("clocks", self._clocks.kept)
                if configured:  # so that the next start need not look through the whole journal for them
                    self._store.put("configurations", json.dumps(self.configurations))
                # What births do to silence cannot be told from later readings, as the rest is.
                if configured or self._lived or self._steps % NEWEST_EVERY == 0:
                    self._keep_newest()
        return applied

    @property
    def issued(self) -> int:
        """How many excursions were found since the journal began."""
        return self._issued

    def next_due(self) -> int | None:
        """When time alone brings something, so that a step has to be taken (int ns UTC)."""
        of_alarms = self.site.next_due() if self.judgement.epochs else None
        return min((due for due in (of_alarms, self._alarms.next_due(), self._duties.next_due()) if due is not None), default=None)

    def settle(self) -> None:
        """Before the service stops: write what the next start would have to read again."""
        if self.judgement.epochs:
            with self._store.transaction():
                self._keep_newest()
        self._memory.write(all_of_it=True)

    def _keep_newest(self) -> None:
        self._store.put("newest", checkpoint.newest(self.judgement))
        self._store.put("newest_cursor", self.cursor)

    def _walk(self, entries: Sequence[Entry], applied: Applied) -> bool:
        """Take the entries in their order; a configuration ends a stretch of judging."""
        stretch: list[Entry] = []
        configured = False
        for entry in entries:
            stretch.append(entry)
            if entry.kind == CONFIGURATION:
                self._judge(stretch, entry, applied)
                self._configure(entry, applied)
                stretch, configured = [], True
            elif entry.kind == ACTION:
                body = decode(entry)
                assert isinstance(body, ActionBody)
                if body.action in (TAKE_OUT, PUT_BACK):
                    self._judge(stretch, entry, applied)
                    self._act_on_point(body, entry, applied)
                    stretch = []
                    continue
                about_duty = self._duties.act(body, entry, self.audit)
                applied.answers[entry.seq] = about_duty or self._alarms.act(body, self._moment(entry, applied))
                applied.alarms.append(body.target)
            elif entry.kind == RECORD:
                body = decode(entry)
                assert isinstance(body, RecordBody)
                applied.answers[entry.seq] = self._remarks.act(body, entry, self.audit)
            elif entry.kind == DELIVERY:
                body = decode(entry)
                assert isinstance(body, DeliveryBody)
                self._alarms.delivered(body, entry.at)
            elif entry.kind == CHECKPOINT:
                self._store.put("verified", entry.at)
            elif entry.kind == SERVICE:
                body = decode(entry)
                assert isinstance(body, ServiceBody)
                self.audit.append(entry.at, SYSTEM, f"service {body.event}", "service", "", body.version, body.detail, entry.seq)
            elif entry.kind == PEOPLE:
                body = decode(entry)
                assert isinstance(body, PeopleBody)
                self._on_record(body, entry)
        self._judge(stretch, entries[-1], applied)
        return configured

    def _moment(self, entry: Entry, applied: Applied) -> Moment:
        return Moment(entry, self.audit, applied.alarms, self.site)

    def _act_on_point(self, body: ActionBody, entry: Entry, applied: Applied) -> None:
        applied.answers[entry.seq], (findings, revisions) = self.site.act(body, self._moment(entry, applied))
        self._record(revisions, findings, entry, applied)
        self._lived = True

    def _elapse(self, step: Entry, applied: Applied) -> None:
        """What time alone brings, at the step's clock; then everybody is told of what there is to tell."""
        if self.judgement.epochs:
            self._lived |= self.site.elapse(self._moment(step, applied))
            self._alarms.elapse(self._moment(step, applied))

    def _readmitted(self, body: IngestBody, note: ReadmissionNote, entry: Entry) -> None:
        taken = f"{len(note.records)} taken out of quarantine"
        became = f"{entry.readings + len(body.states)} stored, {body.duplicates} duplicate, {len(body.quarantine)} quarantined again"
        self.audit.append(entry.at, note.by, READMITTED, f"quarantine {note.filter}", taken, became, note.reason, entry.seq)

    def _on_record(self, body: PeopleBody, entry: Entry) -> None:
        """One row for each event, though a crash between journalling it and knowing that brings it twice.

        A low number alone tells nothing: a people.db out of a backup counts on from where that was made.
        """
        number, at = f"people {body.register}", f"people {body.register} at"
        newest = int(self._store.get(at, 0))
        if body.number <= int(self._store.get(number, 0)) and body.at_ns <= newest:
            return
        self._store.put(number, body.number)
        self._store.put(at, max(newest, body.at_ns))
        reason = "; ".join(part for part in (body.reason, f"from {body.source}" if body.source else "") if part)
        self.audit.append(body.at_ns, body.by, body.event, body.target, body.old, body.new, reason, entry.seq)

    def _configure(self, entry: Entry, applied: Applied) -> None:
        body = decode(entry)
        assert isinstance(body, ConfigurationBody)
        self.number_of.update(body.points)
        self.configurations.append(entry.seq)
        plan = self._plan_of(body, self.number_of, entry.at)
        old = self.judgement.plan.config if self.judgement.epochs else ""
        findings, revisions = self.judgement.configure(plan, entry.at, entry.heard)
        findings += self._clocks.configure(plan, entry.at)
        self._alarms.flags.forget()
        stayed = self.stays.configure(plan, entry.at, self.judgement.told)
        by, (why, signed) = body.by or SYSTEM, reasons_of(body)
        self.audit.append(entry.at, by, "configuration", "configuration", old, body.hash, signed, entry.seq)
        for value in body.changes:
            self.audit.append(entry.at, by, "configuration value", value.what, value.old, value.new, why, entry.seq)
        self._record(revisions + stayed[1], findings + stayed[0], entry, applied)

    def _judge(self, entries: Sequence[Entry], last: Entry, applied: Applied) -> None:
        """Judge what a stretch of entries brought; its last entry is the clock."""
        batches, states, ingested = [], [], []
        lives: list[Life] = []
        for moment, entry in enumerate(entries):
            if entry.kind == INGEST:
                body = ingest_body(entry)
                self.sums.add(entry, body)
                if body.readmission is not None:
                    self._readmitted(body, body.readmission, entry)
                batches.append(readings_of(entry, body))
                ingested.append((entry, body))
                states += [(state.place, state.time, state.state) for state in body.states]
                self.site.said(body.states, body.said, self._moment(entry, applied))
            elif entry.kind == SOURCE:
                event = decode(entry)
                assert isinstance(event, SourceBody)
                self.lives.add(event)
                self._lived = True
                if event.event == DIED:
                    self._store.died(event.points, entry.at, self.judgement.lasting.steady(event.points))
                if event.event != GAP:
                    lives.append(Life(event.event == BORN, np.unique(np.array(event.points, np.int64)), sum(map(len, batches)), moment))
        readings = Readings.concatenate(batches)
        self._memory.add(readings, states, last.seq)
        applied.readings = Readings.concatenate([applied.readings, readings])
        if not self.judgement.epochs:
            return
        heard = Heard(np.array([entry.at for entry in entries]), np.array([entry.heard for entry in entries]))
        findings, revisions = self.judgement.judge(Stretch(readings, states, heard, lives))
        if len(self.judgement.derived):
            applied.readings = Readings.concatenate([applied.readings, self.judgement.derived])
        findings += self._clocks.judge(ingested, readings, self.number_of, last.at)
        stayed = self.stays.judge(states, self.judgement.told, self.judgement.lasting.listened)
        self._record(revisions + stayed[1], findings + stayed[0], last, applied)

    def _record(self, revisions: Iterable[Revision], findings: Iterable[Finding], entry: Entry, applied: Applied) -> None:
        moment = self._moment(entry, applied)
        for revision in revisions:
            self._revise(revision, moment, applied)
        for finding in findings:
            key = (finding.excursion.rule, finding.excursion.point)
            if finding.what == RAISED:
                self._write(replace(finding.excursion, id=self._next_id()), applied)
                self._alarms.raised(self._open[key], as_told(self.site.rule(key[0]), self._open[key]), moment)
            else:
                was = self._open[key]
                row = replace(finding.excursion, id=was.id, revision=was.revision, late=was.late)
                self._write(row, applied)
                reason = "the point is out of service" if row.closed_by == OUT_OF_SERVICE else "returned to normal"
                self._alarms.returned(row, reason, moment)
        self._alarms.tell(moment)

    def _revise(self, revision: Revision, moment: Moment, applied: Applied) -> None:
        """Keep the older row, write the newer; tell the alarm where the excursion opened, closed, appeared or went."""
        old, new = revision.old, revision.new
        if old is not None:
            self._store.write_excursion(old)
            self._forget(old)
        if new is None:
            assert old is not None
            applied.excursions.append(old)
            self._alarms.returned(old, "superseded by late readings", moment)
            return
        if not new.id:
            new = replace(new, id=self._next_id())
        self._write(new, applied)
        if old is None:
            self._alarms.raised(new, self.site.rule(new.rule), moment)
        elif old.open != new.open and new.open:
            self._alarms.raised_again(new, moment)
        if not new.open and (old is None or old.open):
            self._alarms.returned(new, "returned to normal, by late readings", moment)

    def _write(self, row: Excursion, applied: Applied) -> None:
        self._store.write_excursion(row)
        applied.excursions.append(row)
        self._forget(row)
        if row.open:
            self._open[row.rule, row.point] = row

    def _forget(self, row: Excursion) -> None:
        if (was := self._open.get((row.rule, row.point))) is not None and was.id == row.id:
            del self._open[row.rule, row.point]

    def _progress(self, applied: Applied) -> None:
        """Open excursions grow: their worst value and count are kept up to date, which is no revision."""
        if not self._open:
            return
        for now in self.judgement.open():
            was = self._open[now.rule, now.point]
            row = replace(now, id=was.id, revision=was.revision, late=was.late)
            if row != was:
                self._write(row, applied)

    def _next_id(self) -> str:
        self._issued += 1
        return f"E{self._issued}"
