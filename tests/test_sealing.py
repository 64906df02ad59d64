"""ingest/journal/sealing.py, service/proof/sealing.py: days sealed, read over the boundary, verified, and gone from the databases."""

from __future__ import annotations

import json
import os
import random
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from facility.reading import COLUMN_TYPES, Readings
from facility.times import format_time
from ingest.journal.entries import FILE, INGEST, SEAL, FileBody, encode
from ingest.journal.files import file_from, files_of
from ingest.journal.journal import Entry, JournalReader
from ingest.journal.sealed import FOLDER, SealedDays, sealed_days
from ingest.series.series import HOUR_NS, NO_TIME, Series, SeriesReader
from service.cli import main
from service.continuity.restore import restore, write_series
from service.proof.sealing import let_go, said_of, seal_what_is_due, vouched_for
from tests.support.archive_data import SECOND_NS, START
from tests.support.installation import Paging
from tests.support.verifying import flip, report, verify

DAY_NS = 86_400 * SECOND_NS


def days(folder: Path, count: int, *, files: bool = True, seed: int = 1) -> Paging:
    """Some readings a day, some of them late, for so many days; a journal file for each."""
    place = Paging(folder)
    go_on(place, range(count), files=files, chance=random.Random(seed))
    return place


def go_on(place: Paging, numbers: range, *, files: bool = True, chance: random.Random) -> None:
    """Further days."""
    for day in numbers:
        place.at = max(place.at, START + day * DAY_NS)
        if day and files:
            assert place.journal.begin_file(FILE, lambda before: encode(FileBody(before)), place.at)
        for number in range(10):
            second = (place.at - START) / SECOND_NS + 1
            place.read("inc1.temp", chance.choice([37.0, 37.0, 39.5]), second)
            if chance.random() < 0.4:
                place.read("cp1.dp1.dp", chance.choice([15.0, 5.0]), second + 0.5)
            if chance.random() < 0.1 and day:
                place.read("inc1.temp", 38.25, second - chance.randrange(1, 2 * 86_400) - 0.25)
            if chance.random() < 0.1:
                place.occupancy("cp1", chance.choice(["at_rest", "in_operation"]), second)
            if number % 5 == 4:
                place.step()
        if day % 2:
            place.write_series()
    place.step()
    place.write_series()


def seal(place: Paging, now: int | None = None) -> int:
    """As the service does each night: seal, journal, let go; how many days."""
    bodies = seal_what_is_due(place.data_dir, place.at if now is None else now)
    for body in bodies:
        place.journal.append(SEAL, encode(body), place.at)
    place.step()
    return len(bodies)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def entries_of(data_dir: Path) -> list[Entry]:
    with closing(JournalReader(data_dir / "journal.db")) as reader:
        return list(reader.entries())


def readings_of(place: Paging) -> dict[str, Any]:
    with closing(SeriesReader(place.data_dir / "series.db")) as series:
        found = {point: series.read(number) for point, number in place.number_of.items()}
        some = {
            f"{point} of a day": series.read(number, START + 3 * DAY_NS, START + 4 * DAY_NS) for point, number in place.number_of.items()
        }
        first = {f"{point} first": series.first(number, 7, START + 2 * DAY_NS) for point, number in place.number_of.items()}
        return {name: rows(readings) for name, readings in (found | some | first).items()} | {"last": sorted(rows(series.last()))}


def rows(readings: Readings) -> list[tuple[object, ...]]:
    columns = (readings.point, readings.time, readings.value, readings.quality, readings.received, readings.heard, readings.sequence)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.fixture
def place(tmp_path: Path) -> Any:
    with closing(days(tmp_path / "site", 39)) as place:
        yield place


def test_days_older_than_the_largest_max_late_are_sealed_and_read_as_before(place: Paging, tmp_path: Path) -> None:
    before, readings = entries_of(place.data_dir), readings_of(place)
    out = tmp_path / "before.csv"
    run("export", "--data-dir", str(place.data_dir), "--out", str(out))
    assert seal(place) == 3, "max_late is 35 days, and the day is over then"
    assert seal(place) == 0
    sealed = sealed_days(place.data_dir / FOLDER)
    assert [day.manifest.day for day in sealed] == [f"2026-11-{day}" for day in (20, 21, 22)]
    upto = sealed[-1].manifest.last
    assert let_go(place.data_dir, lambda: False) > 0
    with closing(SeriesReader(place.data_dir / "series.db")) as series:
        assert series.sealed_upto() == upto
        count = series._connection.execute("select count(*) from parts where cursor <= ?", (upto,)).fetchone()[0]
        assert count <= len(place.number_of), "the hour of each point's newest reading may stay"
    assert files_of(place.data_dir / "journal.db")[0][0] > 1, "what is sealed has left"
    assert entries_of(place.data_dir)[: len(before)] == before
    assert readings_of(place) == readings
    after = tmp_path / "after.csv"
    run("export", "--data-dir", str(place.data_dir), "--out", str(after))
    assert after.read_bytes() == out.read_bytes()
    for arguments in ((), ("--all",)):
        assert "sealed: ok: 3 days" in run("verify", "--data-dir", str(place.data_dir), *arguments)


def test_what_is_sealed_is_for_everybody_to_read(place: Paging) -> None:
    seal(place)
    day = sealed_days(place.data_dir / FOLDER)[1]
    table = pq.read_table(place.data_dir / FOLDER / f"{day.manifest.day}.readings.parquet").to_pandas()
    assert set(table.point) <= place.number_of.keys()
    assert len(table) == day.manifest.readings > 0
    mine = [entry for entry in entries_of(place.data_dir) if day.manifest.first <= entry.seq <= day.manifest.last]
    assert len(table) == sum(entry.readings for entry in mine)
    assert day.manifest.kinds[INGEST] == sum(entry.kind == INGEST for entry in mine)
    assert day.manifest.head == mine[-1].hash.hex()


def test_a_file_with_entries_that_are_not_sealed_stays(tmp_path: Path) -> None:
    """Whatever the name of the file after it says: that one was begun, and the old one went on."""
    with closing(days(tmp_path / "site", 39, files=False)) as place:
        seal(place)
        upto = sealed_days(place.data_dir / FOLDER)[-1].manifest.last
        before = entries_of(place.data_dir)
        file_from(place.data_dir / "journal.db", upto + 1).touch()
        assert let_go(place.data_dir, lambda: False) == 0
        assert entries_of(place.data_dir) == before


def test_nothing_leaves_before_the_journal_says_that_it_is_sealed(place: Paging) -> None:
    assert len(seal_what_is_due(place.data_dir, place.at)) == 3
    assert let_go(place.data_dir, lambda: False) == 0
    assert files_of(place.data_dir / "journal.db")[0][0] == 1
    assert seal(place) == 3, "what was sealed and not journalled is sealed again"
    assert report(place.data_dir)["ok"]


def test_late_readings_are_judged_over_the_boundary(place: Paging) -> None:
    """An excursion that began before what has left is revised by a reading that comes now."""
    seal(place)
    let_go(place.data_dir, lambda: False)
    second = (place.at - START) / SECOND_NS - 34.9 * 86_400
    for more in range(3):
        place.read("inc1.temp", 41.0, second + more)
    place.step()
    place.write_series()
    document = report(place.data_dir)
    assert document["ok"], document
    assert any(row.late for row in place.store.excursions("rule = 'inc-temp-high'")) or place.store.excursions("late = 1")


def test_a_ledger_takes_up_where_it_was_and_series_are_written_anew(place: Paging) -> None:
    seal(place)
    let_go(place.data_dir, lambda: False)
    readings = readings_of(place)
    place.ledger.settle()
    place.series.close()
    for file in place.data_dir.glob("series.db*"):
        file.unlink()
    with closing(JournalReader(place.data_dir / "journal.db")) as reader:
        write_series(reader, place.data_dir / "series.db", place.ledger.cursor)
    assert readings_of(place) == readings
    assert report(place.data_dir)["ok"]


def test_a_series_that_is_taken_back_knows_the_newest_reading_that_only_a_sealed_day_has(tmp_path: Path) -> None:
    """Of points that say something once in a while: with what came late of it since, and without."""
    with closing(Paging(tmp_path / "site")) as place:
        place.at = START + 6 * HOUR_NS
        for point in ("cp1.dp1.dp", "inc1.temp"):
            place.read(point, 15.0, 6 * 3600)
        place.step()
        place.write_series()
        place.at = START + 20 * DAY_NS
        place.read("cp1.dp1.dp", 15.0, 60)
        place.step()
        place.write_series()
        cursor, before = place.ledger.cursor, readings_of(place)["last"]
        place.at = START + 39 * DAY_NS
        for point in ("cp1.dp1.dp", "inc1.temp"):
            place.read(point, 15.0, 39 * 86_400)
        place.step()
        place.write_series()
        assert seal(place) == 1
        let_go(place.data_dir, lambda: False)
        place.series.take_back(cursor)
        assert readings_of(place)["last"] == before
        assert len(before) == 2
        assert set(place.series.newest(place.series.size()).tolist()) == {NO_TIME, START + 6 * HOUR_NS}


def test_what_was_measured_before_1970_leaves_as_anything_else(tmp_path: Path) -> None:
    """An instrument without a battery begins with the epoch of its own time zone."""
    with closing(Series(tmp_path / "series.db")) as series:
        for cursor, hour in ((1, -2), (2, -1)):
            row = [np.array([value], dtype) for value, dtype in zip((0, hour * HOUR_NS + 5, 1.0, 0, 5, 5, -1), COLUMN_TYPES, strict=True)]
            series.write(Readings(*row), [], cursor)
        assert series.let_go(2) == 1, "the hour of the newest reading stays"
        assert series.last().time.tolist() == [5 - HOUR_NS]


@pytest.mark.parametrize("what", ["entries.parquet", "readings.parquet", "json", "missing", "manifest missing"])
def test_a_sealed_day_that_was_changed_is_named(place: Paging, what: str) -> None:
    seal(place)
    let_go(place.data_dir, lambda: False)
    folder = place.data_dir / FOLDER
    if what == "missing":
        (folder / "2026-11-21.entries.parquet").unlink()
    elif what == "manifest missing":
        (folder / "2026-11-21.json").unlink()
    else:
        path = folder / f"2026-11-21.{what}"
        if what == "json":
            path.write_text(path.read_text().replace('"readings": ', '"readings": 1'))
        else:
            flip(path, os.path.getsize(path) // 2, 1)
    document = report(place.data_dir)
    assert not document["sealed"]["ok"]
    words = "in no file of the journal" if what == "manifest missing" else "2026-11-21"
    assert any(words in str(flaw) for flaw in document["sealed"]["flaws"])


def test_seals_that_are_sealed_themselves_are_vouched_for_by_the_chain(place: Paging, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seal(place) == 3
    let_go(place.data_dir, lambda: False)
    go_on(place, range(39, 77), chance=random.Random(2))
    assert seal(place) == 38
    let_go(place.data_dir, lambda: False)
    with closing(JournalReader(place.data_dir / "journal.db")) as reader:
        assert reader.held_after > 0
        whole = said_of(reader, sealed_days(place.data_dir / FOLDER), everything=True)

        def unread(*asked: object) -> None:
            raise AssertionError("a night looks into no sealed day for that")

        with monkeypatch.context() as patch:
            patch.setattr(SealedDays, "entries", unread)
            found = vouched_for(reader, place.data_dir / FOLDER)
        assert len(found) == len(whole.bodies) == 41
        assert whole.newest == 40
    assert report(place.data_dir)["ok"]
    assert json.loads(verify(place.data_dir, "--all", "--json").stdout)["ok"]
    first = place.data_dir / FOLDER / f"{found[0].manifest.day}.json"
    first.write_text(first.read_text().replace('"readings": ', '"readings": 1'))
    with closing(JournalReader(place.data_dir / "journal.db")) as reader:
        assert not vouched_for(reader, place.data_dir / FOLDER)
    assert not report(place.data_dir)["ok"]


def test_a_backup_goes_over_the_boundary_and_what_is_restored_is_sealed_again(place: Paging, tmp_path: Path) -> None:
    seal(place)
    let_go(place.data_dir, lambda: False)
    before = entries_of(place.data_dir)
    run("backup", str(tmp_path / "backup"), "--data-dir", str(place.data_dir))
    restore(tmp_path / "backup", tmp_path / "restored")
    assert entries_of(tmp_path / "restored") == before
    assert "3 days not there whose entries are in the journal" in run("verify", "--data-dir", str(tmp_path / "restored"))
    with closing(JournalReader(tmp_path / "restored" / "journal.db")) as reader:
        assert not vouched_for(reader, tmp_path / "restored" / FOLDER)
    assert len(seal_what_is_due(tmp_path / "restored", place.at)) == 3


def test_a_first_night_seals_what_lies_in_one_file(tmp_path: Path) -> None:
    """A journal of an earlier version: its file leaves when all of it is sealed."""
    with closing(days(tmp_path / "site", 38, files=False)) as place:
        before = entries_of(place.data_dir)
        assert seal(place) == 2
        assert let_go(place.data_dir, lambda: False) == 0
        assert entries_of(place.data_dir)[: len(before)] == before
        assert report(place.data_dir)["ok"]
        assert place.journal.begin_file(FILE, lambda before: encode(FileBody(before)), place.at)
        assert seal(place, place.at + 60 * DAY_NS) > 30
        place.step()


def test_days_without_a_step_belong_to_the_next(tmp_path: Path) -> None:
    with closing(Paging(tmp_path / "site")) as place:
        place.read("inc1.temp", 37.0, 1)
        place.at += 3 * DAY_NS
        place.read("inc1.temp", 37.0, 3 * 86_400)
        place.step()
        place.at += 40 * DAY_NS
        place.read("inc1.temp", 37.0, 43 * 86_400)
        place.step()
        assert seal(place) == 1
        (day,) = sealed_days(place.data_dir / FOLDER)
        assert (day.manifest.day, day.manifest.first, day.manifest.readings) == ("2026-11-23", 1, 2)
        assert format_time(day.manifest.at).startswith("2026-11-23T")


def test_a_copy_of_the_folder_alone_is_enough(place: Paging, tmp_path: Path) -> None:
    seal(place)
    let_go(place.data_dir, lambda: False)
    place.ledger.settle()
    place.journal.checkpoint()
    shutil.copytree(place.data_dir, tmp_path / "copy")
    assert report(tmp_path / "copy")["ok"]


def test_a_file_may_begin_within_a_sealed_day(tmp_path: Path) -> None:
    """As where the service was down at midnight: the chain goes on from an entry in the middle of a day."""
    with closing(days(tmp_path / "site", 3, files=False)) as place:
        for number in range(4):
            place.read("inc1.temp", 37.0, 3 * 86_400 + number)
            place.step()
            if number == 1:
                assert place.journal.begin_file(FILE, lambda before: encode(FileBody(before)), place.at)
        before = entries_of(place.data_dir)
        assert seal(place, place.at + 60 * DAY_NS) > 1
        let_go(place.data_dir, lambda: False)
        first = files_of(place.data_dir / "journal.db")[0][0]
        assert 1 < first <= sealed_days(place.data_dir / FOLDER)[-1].manifest.last
        assert entries_of(place.data_dir)[: len(before)] == before
        document = report(place.data_dir)
        assert document["ok"], document
