"""What must hold of a data folder, however the service was treated: compared with the recording, and computed again from the journal."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from alerts.alarms import Alarms
from alerts.judging.replay import Replay
from alerts.ledger import Ledger
from alerts.record.store import StateStore
from facility.facility_file import load_facility
from facility.reading import Readings
from facility.recording import Chunk, load_mapping, read_recording
from facility.site import Facility
from ingest.admission.intake import Sums
from ingest.journal.entries import CONFIGURATION, INGEST, STEP, ConfigurationBody, decode, ingest_body, readings_of
from ingest.journal.files import files_of
from ingest.journal.journal import GENESIS, Entry, JournalReader, chained, read_only
from ingest.series import held
from ingest.series.recollection import Recollection
from ingest.series.series import Series
from rules.excursion import CURRENT, Excursion
from rules.plan import Plan, plan_of
from rules.rules_file import load_rules
from service.configuration.judging import Judges

Reading = tuple[str, int, float, int]
"""Point, time in ns, value in the point's unit, quality as stored."""


@dataclass(frozen=True)
class Recording:
    """One of the shipped recordings, with what judges it."""

    example: Path
    files: tuple[Path, ...]

    @property
    def facility(self) -> Facility:
        return load_facility(self.example / "facility.yaml")

    @property
    def plan(self) -> Plan:
        facility = self.facility
        rules = load_rules(self.example / "rules.yaml", facility)
        return plan_of(facility, rules, {}, {point.id: number for number, point in enumerate(facility.points)}, "")

    def chunks(self) -> Iterator[Chunk]:
        mapping = self.example / "mapping.yaml"
        return read_recording(self.files, load_mapping(mapping) if mapping.exists() else None)

    def judged(self, folder: Path) -> list[Excursion]:
        """The excursions of the offline replay."""
        folder.mkdir()
        replay = Replay(self.plan, folder)
        try:
            for chunk in self.chunks():
                replay.take(chunk)
            replay.judge()
            return comparable(replay.excursions())
        finally:
            replay.close()

    def stored(self, folder: Path) -> Counter[Reading]:
        """The readings that are to be stored, each once, as offline admission has them."""
        folder.mkdir()
        names = [point.id for point in self.facility.points]
        with patch.object(held, "HELD_ROWS", 0):  # on disk, where they can be read afterwards
            replay = Replay(self.plan, folder)
            for chunk in self.chunks():
                replay.take(chunk)
            replay.judge()
            replay.close()
        with closing(Series(folder / "series.db")) as series:
            return Counter(row for part in series.in_order(1 << 20) for row in _rows(part, names))


class Proof:
    """A data folder that nobody writes to now."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        for _, path in files_of(data_dir / "journal.db"):
            with closing(read_only(path)) as connection:
                assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        with closing(JournalReader(data_dir / "journal.db")) as reader:
            self.entries = list(reader.entries())

    def journal_is_whole(self) -> None:
        """Every entry follows from the one before, numbers have no gap, times never decrease."""
        before = Entry(0, "", 0, 0, 0, b"", GENESIS)
        for entry in self.entries:
            assert entry.seq == before.seq + 1
            assert (entry.at, entry.heard) >= (before.at, 0)
            assert entry.heard >= before.heard
            expected = chained(before.hash, entry.seq, entry.kind, entry.at, entry.heard, entry.readings, entry.body)
            assert entry.hash == expected, f"entry {entry.seq}"
            before = entry

    @property
    def sums(self) -> Sums:
        sums = Sums()
        for entry in self.entries:
            if entry.kind == INGEST:
                sums.add(entry, ingest_body(entry))
        return sums

    @property
    def readings(self) -> Counter[Reading]:
        """How often each reading is stored."""
        names: dict[int, str] = {}
        found: Counter[Reading] = Counter()
        for entry in self.entries:
            if entry.kind == CONFIGURATION:
                body = decode(entry)
                assert isinstance(body, ConfigurationBody)
                names |= {number: point for point, number in body.points.items()}
            elif entry.kind == INGEST:
                found.update(_rows(readings_of(entry, ingest_body(entry)), names))
        return found

    @property
    def excursions(self) -> list[Excursion]:
        """The current ones, as far as they can be compared with others."""
        store = StateStore(self.data_dir / "state.db", readonly=True)
        try:
            return comparable(store.excursions("status = ?", (CURRENT,)))
        finally:
            store.close()

    def every_alarm_is_paged(self, pages: Sequence[dict[str, object]]) -> int:
        """Each alarm lies in the sink at least once, and nothing waits; how many alarms there are."""
        with closing(sqlite3.connect(self.data_dir / "state.db")) as state:
            alarms = {row[0] for row in state.execute("select id from alarms")}
            assert state.execute("select count(*) from outbox where sent_at is null").fetchone() == (0,)
            queued = {row[0] for row in state.execute("select alarm from outbox")}
            # What joined a group since its page is told later, in one update, as is what can wait in a flood; what chatters is told once.
            joined = "alarms.raised_at > alarm_groups.told and alarm_groups.due is not null"
            later = {
                row[0]
                for row in state.execute(f'select alarms.id from alarms join alarm_groups on "group" = alarm_groups.id where {joined}')
            }
            unit = dict(state.execute('select id, "group" from alarms'))
        assert queued <= alarms | set(unit.values())
        told = {page["alarm"] for page in pages}
        never = [alarm for alarm in alarms if alarm not in told | later and unit[alarm] not in told]
        assert not never, f"never paged: {sorted(never)}"
        return len(alarms)

    def follows_from_the_journal(self, folder: Path) -> None:
        """Excursions with every column, alarms, audit trail and sums are those of the recorded steps, computed again elsewhere."""
        folder.mkdir()
        store, memory = StateStore(folder / "state.db"), Recollection(Series(folder / "series.db"))
        ledger = Ledger(store, memory, Judges().plan, Alarms(store))
        pending: list[Entry] = []
        for entry in self.entries:
            pending.append(entry)
            if entry.kind == STEP:
                ledger.apply(pending)
                pending = []
        store.close()
        again, kept = judged_state(folder / "state.db"), judged_state(self.data_dir / "state.db")
        for table in again:
            assert kept[table] == again[table], table

    def holds(self, folder: Path, pages: Sequence[dict[str, object]]) -> int:
        """All that needs no recording; how many alarms there are."""
        self.journal_is_whole()
        assert self.sums.lost == 0
        assert not [reading for reading, times in identities(self.readings).items() if times > 1]
        self.follows_from_the_journal(folder)
        return self.every_alarm_is_paged(pages)


def judged_state(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything in a state.db that people rely on, without who was told what."""
    tables = {
        "excursions": "select * from excursions order by id, revision",
        "alarms": "select * from alarms order by id",
        "audit": "select * from audit order by seq",
        "meta": "select key, value from meta where key in ('cursor', 'head', 'clock', 'heard', 'sums', 'issued', 'steps') order by key",
    }
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as state:
        return {name: state.execute(query).fetchall() for name, query in tables.items()}


def comparable(rows: Sequence[Excursion] | Iterator[Excursion]) -> list[Excursion]:
    """What an excursion is, without what its record says of itself and of who judged."""
    plain = (replace(row, id="", revision=0, late=False, config="") for row in rows)
    return sorted(plain, key=lambda row: (row.onset, row.rule, row.point))


def identities(readings: Counter[Reading]) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for (point, time, _, _), times in readings.items():
        found[point, time] += times
    return found


def _rows(readings: Readings, names: dict[int, str] | list[str]) -> Iterator[Reading]:
    value = np.where(np.isnan(readings.value), -1e308, readings.value)  # a nan is not equal to itself
    for number, time, number_value, quality in zip(
        readings.point.tolist(), readings.time.tolist(), value.tolist(), readings.quality.tolist(), strict=True
    ):
        yield names[number], time, number_value, quality
