"""`renrum verify`: whatever was changed is named, whatever was not is not."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.journal.entries import CONFIGURATION, STEP, ConfigurationBody, StepBody, decode, encode
from ingest.journal.inspection import inspect_chain
from ingest.journal.journal import Entry, Journal
from service.cli import main
from tests.support.installation import installation
from tests.support.verifying import change, killed, put, rehashed, report, rows_of, stopped, verify, wrong


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stopped(tmp_path_factory.mktemp("verify") / "site")


@pytest.fixture
def data_dir(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "data"))


# Nothing is wrong


def test_four_lines_say_what_was_checked(data_dir: Path) -> None:
    result = verify(data_dir)
    journal, audit, excursions, completeness = result.stdout.splitlines()
    assert result.exit_code == 0
    assert journal.startswith("journal: ok: 240 entries, 177 readings, ")
    assert audit.startswith("audit: ok: 49 rows")
    assert excursions.startswith("excursions: identical: 40 excursions (46 revisions), 34 alarms in 40 steps, 8 pages")
    assert "191 received = 179 stored + 3 duplicate + 9 quarantined; series.db has all up to entry 240" in completeness


def test_programs_get_the_counts(data_dir: Path) -> None:
    found = report(data_dir)
    assert found["ok"]
    assert found["journal"]["entries"] == 240
    assert found["excursions"]["steps"] == 40
    assert found["completeness"]["reasons"] == {"conflict": 3, "not_json": 3, "time_invalid": 3}


def test_the_configuration_names_the_data_dir(original: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(original.parent, site)
    assert CliRunner().invoke(main, ["verify", "--config", str(site / "renrum.yaml")]).exit_code == 0


def test_it_changes_nothing(data_dir: Path) -> None:
    before = {path.name: path.read_bytes() for path in data_dir.glob("*.db")}
    verify(data_dir)
    assert {path.name: path.read_bytes() for path in data_dir.glob("*.db")} == before


def test_beside_a_running_service(tmp_path: Path) -> None:
    place = installation(tmp_path / "site", rounds=1)
    stop = threading.Event()

    def live() -> None:
        second = 1000
        while not stop.is_set():
            second += 1
            place.read("inc1.temp", 37.0 + second % 3, second)
            place.step()
            place.memory.write(all_of_it=True)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        results = [verify(place.data_dir) for _ in range(4)]
    finally:
        stop.set()
        thread.join()
        place.close()
    assert [result.stdout for result in results if result.exit_code] == []


def test_after_a_kill(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    assert (folder / "journal.db-wal").stat().st_size
    assert verify(folder).exit_code == 0


def test_a_step_that_is_journalled_but_not_committed(data_dir: Path) -> None:
    journal = Journal(data_dir / "journal.db")
    journal.append(STEP, encode(StepBody(41)), journal.head.at + 1)
    journal.close()
    result = verify(data_dir)
    assert result.exit_code == 0
    assert "1 newer entry not judged yet" in result.stdout


def test_an_empty_journal(tmp_path: Path) -> None:
    Journal(tmp_path / "journal.db").close()
    assert "journal" not in wrong(tmp_path)


# Rows


@pytest.mark.parametrize(
    ("statements", "entries"),
    [
        (["delete from commits where seq = 17"], [17]),
        (["delete from commits where seq between 20 and 30"], [20]),
        (["delete from commits where seq = 1"], [1]),
        (["delete from commits where seq = 240"], [240]),
        (["delete from commits where seq > 238", "update sqlite_sequence set seq = 238"], [239]),
        (["delete from commits where seq > 200", "delete from sqlite_sequence"], [200, 201]),
        (["update sqlite_sequence set seq = 300"], [241]),
        (["update sqlite_sequence set seq = 30"], [240]),
        (["update commits set at = at + 1 where seq = 40"], [40]),
        (["update commits set heard = heard + 1 where seq = 40"], [40]),
        (["update commits set readings = readings + 1 where seq = 40"], [40]),
        (["update commits set kind = 'clock' where seq = 40"], [40]),
        (["update commits set kind = cast(kind as blob) where seq = 40"], [40]),
        (["update commits set body = cast(body as text) where seq = 40"], [40]),
        (["update commits set seq = 1000 where seq = 240"], [240, 1000]),
        (
            [f"update commits set seq = {to} where seq = {seq}" for seq, to in ((40, -1), (41, 40), (-1, 41))],
            [40, 41],
        ),
        (["insert into commits select 241, kind, at, heard, readings, body, hash from commits where seq = 240"], [241]),
        (["create table other (x)"], [None]),
        (["create trigger t after insert on commits begin delete from commits where seq = new.seq; end"], [None]),
    ],
)  # fmt: skip
def test_what_was_done_to_rows_is_named(data_dir: Path, statements: list[str], entries: list[int | None]) -> None:
    change(data_dir / "journal.db", *statements)
    found = report(data_dir)
    flaws = found["journal"]["flaws"]
    assert not found["ok"]
    assert set(entries) <= {flaw.get("entry") for flaw in flaws}, flaws
    if None not in entries:
        assert {flaw["entry"] for flaw in flaws if "entry" in flaw} <= {*entries, *(entry + 1 for entry in entries if entry)}


def test_an_entry_replaced_with_its_hash_breaks_the_chain_behind_it(data_dir: Path) -> None:
    path = data_dir / "journal.db"
    entries = rows_of(path)
    forged = replace(entries[49], at=entries[49].at + 1)
    put(path, rehashed([*entries[:49], forged])[49:])
    flaws = list(inspect_chain(path).flaws)
    assert [flaw.entry for flaw in flaws] == [51]
    assert "entry 50 was replaced together with its hash" in flaws[0].what


def test_a_whole_chain_made_anew_is_not_what_state_db_remembers(data_dir: Path) -> None:
    path = data_dir / "journal.db"
    entries = rows_of(path)
    put(path, rehashed([*entries[:49], replace(entries[49], at=entries[49].at + 1), *entries[50:]]))
    assert "state.db remembers another hash" in wrong(data_dir)["journal"][0]


@pytest.mark.parametrize(
    ("altered", "named"),
    [
        (lambda entry: replace(entry, at=0), "`at` 0 is below"),
        (lambda entry: replace(entry, heard=-5), "`heard` -5 is below"),
        (lambda entry: replace(entry, readings=entry.readings + 1), "bytes in the column `point`"),
        (lambda entry: replace(entry, kind="unknown"), "knows no entries of the kind 'unknown'"),
        (lambda entry: replace(entry, body=b"\xc1"), "its body cannot be read"),
    ],
)
def test_entries_that_are_chained_but_cannot_be_true(data_dir: Path, altered: Callable[[Entry], Entry], named: str) -> None:
    path = data_dir / "journal.db"
    entries = rows_of(path)
    index = next(i for i, entry in enumerate(entries) if i > 20 and entry.kind == "ingest")
    put(path, rehashed([*entries[:index], altered(entries[index]), *entries[index + 1 :]]))
    assert any(named in what for what in wrong(data_dir)["journal"])


# What is computed


@pytest.mark.parametrize(
    ("statement", "check", "named"),
    [
        ("update excursions set peak = 99.5 where id = 'E1'", "excursions", "`peak` stored"),
        ("update excursions set raised = raised + 1 where id = 'E1'", "excursions", "excursion E1 revision 0"),
        ("delete from excursions where id = 'E2'", "excursions", "not in state.db, but"),
        ("update excursions set id = 'E900' where id = 'E1'", "excursions", "in state.db, but not"),
        ("update alarms set acknowledged_by = 'otto' where id = 'A1'", "excursions", "`acknowledged_by` stored 'otto', computed 'anna'"),
        ("delete from alarms where id = 'A3'", "excursions", "alarm A3"),
        ("update alarms set priority = 'low' where id = 'A1'", "excursions", "`priority` stored 'low'"),
        ("update members set alarm = 'A1' where excursion = 'E30'", "excursions", "alarm of excursion E30"),
        ("delete from members where excursion = 'E30'", "excursions", "alarm of excursion E30"),
        ("insert into alarm_groups values ('G9', 'flood', '', '', 1, 2, null, 'low', 1)", "excursions", "group of alarms G9"),
        ("insert into deaths values (1, 5)", "excursions", "end of the source of point 1"),
        ("insert into drills values ('T9', 1, 'anna', '[]', 2, 1, 2, 'anna', null, null)", "excursions", "test of who is on call T9"),
        ("update outbox set sent_at = 1 where id = 5", "excursions", "`sent_at` stored 1970-01-01T00:00:00.000000001Z, computed None"),
        ("update outbox set sent_at = null where page_id = 'G1-all-1'", "excursions", "page G1-all-1 to sink"),
        ("update meta set value = value + 1 where key = 'issued'", "excursions", "`issued` of state.db"),
        ("update meta set value = value - 1 where key = 'cursor'", "excursions", "the journal's last step before it is entry"),
        ("update audit set actor = 'otto' where actor = 'anna'", "audit", "does not match its hash"),
        ("delete from audit where seq = 9", "audit", "audit row 9 is missing"),
        ("delete from audit where seq = 49", "audit", "audit row 49"),
        ("update audit set reason = x'00' where seq = 7", "audit", "audit row 7"),
        ("update meta set value = '[1, 1, 0, {}]' where key = 'sums'", "completeness", "its sums are 1 received"),
        ("update meta set value = 7 where key = 'format'", "excursions", "has format 7"),
        ("drop table alarms", "excursions", "no such table"),
    ],
)  # fmt: skip
def test_what_differs_in_state_db_is_named(data_dir: Path, statement: str, check: str, named: str) -> None:
    change(data_dir / "state.db", statement)
    assert verify(data_dir).exit_code == 1
    found = wrong(data_dir)
    assert any(named in what for what in found[check]), found
    assert "journal" not in found or "cursor" in statement


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("delete from parts where rowid = 3", "cp1.dp1.dp, hour from 2026-11-20T08:00:00Z: 90 readings in the journal, 30 in series.db"),
        ("insert into parts select point, hour, cursor - 1, readings, body from parts where rowid = 3", "readings in the journal"),
        ("update parts set point = point + 1 where rowid = 3", "hour from 2026-11-20T0"),
        ("update parts set hour = hour + 1 where rowid = 3", "holds readings of another hour"),
        ("update parts set body = x'00' where rowid = 3", "it cannot be read"),
        ("update parts set cursor = 9999 where rowid = 3", "after the one that it says"),
        ("update states set state = 'cleaning'", "cleaning in series.db"),
        ("delete from states", "nothing in series.db"),
        ("update newest set time = time + 1", "its newest time is"),
    ],
)
def test_what_differs_in_series_db_is_named(data_dir: Path, statement: str, named: str) -> None:
    change(data_dir / "series.db", statement)
    found = wrong(data_dir)
    assert list(found) == ["completeness"]
    assert any(named in what for what in found["completeness"]), found


def test_a_reading_that_was_altered_in_the_series(data_dir: Path) -> None:
    with closing(sqlite3.connect(data_dir / "series.db")) as connection, connection:
        rowid, count, body = connection.execute("select rowid, readings, body from parts order by readings limit 1").fetchone()
        altered = bytearray(body)
        altered[8 * count] ^= 1
        connection.execute("update parts set body = ? where rowid = ?", (bytes(altered), rowid))
    assert "was altered" in wrong(data_dir)["completeness"][0]


@pytest.mark.parametrize("file", ["state.db", "series.db"])
def test_a_file_that_is_missing_or_no_database(data_dir: Path, file: str) -> None:
    for path in data_dir.glob(f"{file}*"):
        path.unlink()
    result = verify(data_dir)
    assert result.exit_code == 1
    assert f"there is no {file}" in result.stdout.lower()
    (data_dir / file).write_bytes(b"no database" * 1000)
    result = verify(data_dir)
    assert result.exit_code == 1
    assert "file is not a database" in result.stdout


def test_a_configuration_that_this_version_does_not_read_as_then(data_dir: Path) -> None:
    path = data_dir / "journal.db"
    entries = rows_of(path)
    index = next(i for i, entry in enumerate(entries) if entry.kind == CONFIGURATION)
    body = decode(entries[index])
    assert isinstance(body, ConfigurationBody)
    older = ConfigurationBody(body.hash, body.semantics, body.points, body.entry | {"format": 0}, body.by, body.reason)
    put(path, rehashed([*entries[:index], replace(entries[index], body=encode(older)), *entries[index + 1 :]]))
    result = verify(data_dir)
    assert result.exit_code == 1
    assert f"entry {index + 1} (configuration of " in result.stdout
    assert "cannot read a configuration" in result.stdout


# Nothing to verify


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_without_a_journal(tmp_path: Path, folder: str) -> None:
    result = verify(tmp_path / folder)
    assert result.exit_code == 2
    assert "--data-dir" in result.output
