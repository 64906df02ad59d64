"""A state.db that was lost is taken up from what the nightly verify evaluated, and is the one that was there."""

from __future__ import annotations

import logging
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from alerts.ledger import Ledger
from alerts.record.store import StateOfOtherFormat
from ingest.journal.entries import CHECKPOINT, STEP, CheckpointBody, encode
from ingest.journal.journal import Journal
from ingest.series.recollection import Recollection
from service.applied import in_force
from service.clock import SystemClock
from service.configuration.configuration import load_configuration
from service.configuration.judging import Judges
from service.pages.paging import Paging
from service.pipeline import Pipeline
from service.proof.verification import verify_and_leave
from service.stored.computed import open_series, open_state
from tests.support.archive_data import SECOND_NS, Installation
from tests.support.installation import Paging as PagingInstallation
from tests.support.installation import installation
from tests.support.verifying import change, flip, report
from tests.test_resumption import checkpoint, life, unwatched


class Started(Ledger):
    """What a service has after its start; counts the steps that it computes."""

    def __init__(self, place: Installation) -> None:
        self.place, self.stepped = place, 0
        self.state = open_state(place.data_dir, place.journal.reader)
        self.series = open_series(place.data_dir, int(self.state.get("cursor", 0)))
        paging = Paging(Judges())
        self.memory = Recollection(self.series)
        super().__init__(self.state, self.memory, paging.plan, paging.alarms(self.state))
        with closing(place.journal.reader()) as reader:
            self.load(reader)
            for step in list(reader.entries(self.cursor, kinds=(STEP,))):
                self.apply(list(reader.entries(self.cursor, step.seq)))
                self.memory.write()
                self.stepped += 1

    def close(self) -> None:
        self.settle()
        self.series.close()
        self.state.close()


def stop(place: Installation) -> None:
    place.memory.write(all_of_it=True)
    for part in (place.series, place.store):
        part.close()


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table; of `meta` but what depends on starts."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as state:
        names = [name for (name,) in state.execute("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")]
        found = {name: sorted(map(repr, state.execute(f"select * from {name}"))) for name in names}
    found["meta"] = [row for row in found["meta"] if not any(f"'{key}'" in row[:20] for key in ("newest", "newest_cursor", "under_way"))]
    return found  # type: ignore[return-value]


def lose(place: Installation) -> Path:
    """Without its state.db from now on, which is kept elsewhere."""
    kept = place.folder / "kept.db"
    with closing(sqlite3.connect(place.data_dir / "state.db")) as state:
        state.execute("pragma wal_checkpoint(truncate)")
    shutil.copyfile(place.data_dir / "state.db", kept)
    for path in place.data_dir.glob("state.db*"):
        path.unlink()
    return kept


@pytest.mark.parametrize("seed", range(3))
def test_only_what_came_since_is_computed_and_all_is_as_it_was(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    place = PagingInstallation(tmp_path / "site")
    for night in range(2):
        life(place, chance, night * 100)
        checkpoint(place)
    life(place, chance, 200)
    steps = int(place.store.get("steps"))
    stop(place)
    kept = lose(place)
    copy = shutil.copyfile(kept, place.data_dir / "state.db.before")
    started = Started(place)
    assert copy.exists(), "what somebody keeps to look at"
    assert 0 < started.stepped < steps / 2, "the steps since the checkpoint"
    started.close()
    assert tables(place.data_dir / "state.db") == tables(kept)
    found = report(place.data_dir)
    assert found["ok"], found
    place.journal.close()


def test_a_series_that_is_far_ahead_is_taken_back_and_written_again(tmp_path: Path) -> None:
    place = installation(tmp_path / "site")
    place.write_series()
    checkpoint(place)
    for second in range(400, 460, 2):
        place.read("inc1.temp", 39.5, second)
        if second == 430:
            place.step()
            place.write_series()
    place.read("inc1.temp", 36.5, 3)  # late: into an hour that is written
    place.occupancy("cp1", "cleaning", 470)
    place.step()
    stop(place)
    lose(place)
    started = Started(place)
    assert len(started.series.read(place.number_of["inc1.temp"])) < len(started.memory.read(place.number_of["inc1.temp"]))
    started.close()
    found = report(place.data_dir)
    assert found["ok"], found
    place.journal.close()


def test_the_log_of_a_lost_state_is_not_taken_for_that_of_the_new_one(tmp_path: Path) -> None:
    place = installation(tmp_path / "site", rounds=1)
    checkpoint(place)
    place.read("inc1.temp", 41.0, 400)
    place.step()
    copy = tmp_path / "copy"
    shutil.copytree(place.data_dir, copy)
    place.close()
    assert (copy / "state.db-wal").stat().st_size
    (copy / "state.db").unlink()
    place.data_dir, place.journal = copy, Journal(copy / "journal.db", durable=False)
    with closing(place.journal):
        Started(place).close()
        assert report(copy)["ok"]


def test_what_a_start_left_that_was_killed_while_it_took_one_up_changes_nothing(tmp_path: Path) -> None:
    place = installation(tmp_path / "site")
    checkpoint(place)
    stop(place)
    kept = lose(place)
    left = place.data_dir / "state.new"
    with closing(sqlite3.connect(left, isolation_level=None)) as killed:
        killed.executescript("create table other (text); insert into other values ('other'); pragma cache_size = 1; begin")
        killed.execute("create table more as select text from other")
        killed.execute("insert into more select hex(randomblob(9000)) from other")
        for _ in range(4):
            killed.execute("insert into more select text from more")
        journal = left.with_name("state.new-journal").read_bytes()  # written before the pages that it brings back
    assert journal[:1] != bytes(1)
    left.with_name("state.new-journal").write_bytes(journal)
    Started(place).close()
    assert tables(place.data_dir / "state.db") == tables(kept)
    place.journal.close()


def test_one_of_an_older_format_is_computed_from_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint has the older format, too."""
    place = installation(tmp_path / "site", rounds=1)
    checkpoint(place)
    steps = int(place.store.get("steps"))
    stop(place)
    monkeypatch.setattr("alerts.record.store.FORMAT", 1_000)
    started = Started(place)
    assert started.stepped == steps
    started.close()
    monkeypatch.setattr("alerts.record.store.FORMAT", 999)
    with pytest.raises(StateOfOtherFormat):
        open_state(place.data_dir, place.journal.reader)
    place.journal.close()


def test_an_altered_checkpoint_is_named_and_the_one_before_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = installation(tmp_path / "site", rounds=1)
    checkpoint(place)
    place.read("inc1.temp", 41.0, 400)
    place.step()
    second = checkpoint(place)
    flip(second, 5000, 1)
    steps = int(place.store.get("steps"))
    stop(place)
    lose(place)
    with caplog.at_level(logging.ERROR):
        started = Started(place)
    assert second.name in caplog.text
    assert 2 < started.stepped < steps
    started.close()
    place.journal.close()


def test_one_that_the_journal_does_not_vouch_for_is_not_taken(tmp_path: Path) -> None:
    place = installation(tmp_path / "site", rounds=1)
    checkpoint(place, vouched=False)
    steps = int(place.store.get("steps"))
    stop(place)
    lose(place)
    started = Started(place)
    assert started.stepped == steps
    started.close()
    place.journal.close()


def test_an_altered_row_that_was_never_proven_does_not_come_back(tmp_path: Path) -> None:
    """A checkpoint is what was evaluated, not what state.db had."""
    place = installation(tmp_path / "site", rounds=1)
    checkpoint(place)
    change(place.data_dir / "state.db", "update alarms set acknowledged_by = 'otto' where id = 'A1'")
    stop(place)
    lose(place)
    started = Started(place)
    assert started.state.rows("select acknowledged_by from alarms where id = 'A1'") == [("anna",)]
    started.close()
    place.journal.close()


def test_the_configurations_are_known_from_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = installation(tmp_path / "site", rounds=1)
    checkpoint(place)
    before = [entry.seq for entry, _ in in_force(place.data_dir)]
    stop(place)
    lose(place)
    asked: list[int] = []
    entries = type(place.journal.reader()).entries

    def noted(self: object, after: int = 0, upto: int | None = None, kinds: tuple[str, ...] = ()) -> object:
        if upto is None:
            asked.append(after)
        return entries(self, after, upto, kinds)  # type: ignore[arg-type]

    monkeypatch.setattr("ingest.journal.reader.JournalReader.entries", noted)
    assert [entry.seq for entry, _ in in_force(place.data_dir)] == before
    assert 0 not in asked, "nobody looks through the whole journal"
    place.journal.close()


def test_a_checkpoint_before_what_is_sealed_is_not_taken(tmp_path: Path) -> None:
    place = installation(tmp_path / "site", rounds=1)
    left = verify_and_leave(place.data_dir, SystemClock(), unwatched, all=True, leave=True)[1]  # type: ignore[arg-type]
    assert left is not None
    place.at += SECOND_NS
    place.journal.append(CHECKPOINT, encode(CheckpointBody(*left)), place.at, None)
    place.step()
    steps = int(place.store.get("steps"))
    stop(place)
    change(place.data_dir / "series.db", f"insert into sealed values ({place.journal.head.seq})")
    with closing(open_state(place.data_dir, place.journal.reader)) as state:
        assert int(state.get("steps", 0)) == steps, "the one that is there is not touched"
    lose(place)
    with closing(open_state(place.data_dir, place.journal.reader)) as state:
        assert state.get("cursor") is None
    place.journal.close()


def test_a_service_that_lost_its_state_starts_from_there_and_verify_finds_it_identical(tmp_path: Path) -> None:
    place = installation(tmp_path / "site")
    checkpoint(place)
    place.read("inc1.temp", 41.0, 400)
    place.step()
    steps = int(place.store.get("steps"))
    stop(place)
    place.journal.close()
    kept = lose(place)
    place.config.write_text(place.config.read_text().replace("port: 8480", "port: 0"))
    pipeline = Pipeline(load_configuration(place.config, {}), SystemClock())
    pipeline.start()
    try:
        assert pipeline.stepper.vitals.steps < 10 < steps
        assert pipeline.store.rows("select id, state from alarms where id in ('A1', 'A2')") == rows(kept, "alarms where id in ('A1', 'A2')")
    finally:
        pipeline.stop()
    found = report(place.data_dir)
    assert found["ok"], found
    assert found["excursions"]["steps"] > steps


def rows(path: Path, what: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as state:
        return state.execute(f"select id, state from {what}").fetchall()
