"""ingest/journal/journal.py, journal_reader.py: a journal that goes on in new files is one row of entries."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ingest.journal.entries import FILE, FileBody, LinkBody, StepBody, decode, encode
from ingest.journal.file import inspect_file
from ingest.journal.files import file_from, files_of
from ingest.journal.inspection import inspect_chain
from ingest.journal.journal import Entry, Journal, JournalReader, JournalUnavailable, read_only
from tests.support.verifying import change, flip


def body_of(before: bytes) -> bytes:
    return encode(FileBody(before))


def grown(folder: Path, files: int = 3, each: int = 1300) -> Journal:
    journal = Journal(folder / "journal.db", durable=False)
    for file in range(files):
        if file:
            assert journal.begin_file(FILE, body_of, file * 10_000)
        for number in range(each):
            kind, body = ("step", encode(StepBody(number))) if number % 3 else ("link", encode(LinkBody("connected")))
            journal.append(kind, body, file * 10_000 + number, number)
    return journal


def test_entries_of_all_files_are_one_row(tmp_path: Path) -> None:
    with closing(grown(tmp_path)) as journal:
        assert [first for first, _ in files_of(journal.path)] == [1, 1301, 2602]
        with closing(journal.reader()) as reader:
            entries = list(reader.entries())
            assert [entry.seq for entry in entries] == list(range(1, 3903))
            assert [entry.seq for entry in reader.entries(1290, 2610)] == list(range(1291, 2611))
            links = [entry.seq for entry in entries if entry.kind == "link"]
            assert [entry.seq for entry in reader.entries(kinds=("link",))] == links
            assert reader.entry(1301) == entries[1300]
            assert entries[1300].kind == FILE
            assert decode(entries[1300]) == FileBody(entries[1299].hash)
            assert reader.last("link", 1305) == entries[next(seq for seq in reversed(links) if seq <= 1305) - 1]
            assert reader.last("link", 1) == entries[0]
            assert (reader.last("people"), reader.issued()) == (None, 3902)
    with closing(Journal(tmp_path / "journal.db", durable=False)) as again:
        assert again.head.hash == entries[-1].hash
        assert again.file == file_from(again.path, 2602)


def test_a_reader_follows_into_a_file_that_begins_meanwhile(tmp_path: Path) -> None:
    journal = grown(tmp_path, files=1, each=3)
    with closing(journal), closing(journal.reader()) as reader:
        follow = reader.entries()
        assert [next(follow).seq for _ in range(3)] == [1, 2, 3]
        journal.append("step", encode(StepBody(4)), 5)
        assert journal.begin_file(FILE, body_of, 6)
        journal.append("step", encode(StepBody(5)), 7)
        assert [entry.seq for entry in follow] == [4, 5, 6]
        assert reader.issued() == 6


def half_begun(path: Path) -> None:
    """Killed within the first transaction of a file, with a rollback journal that is still to be played back."""
    other = path.with_name("other")
    with closing(sqlite3.connect(other, isolation_level=None)) as connection:
        connection.execute("pragma cache_size = 1")
        connection.execute("create table pages (body blob)")
        connection.execute("begin immediate")
        for _ in range(50):
            connection.execute("insert into pages values (randomblob(4096))")
        for name in (path.name, f"{path.name}-journal"):
            shutil.copyfile(other.with_name(name.replace(path.name, other.name)), path.with_name(name))
        connection.execute("rollback")
    other.unlink()
    with closing(read_only(path)) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("select 1 from pages").fetchone()


@pytest.mark.parametrize("left", ["nothing", "half begun", "no table", "no entry"])
def test_a_file_that_a_kill_left_empty_goes_away(tmp_path: Path, left: str) -> None:
    journal = grown(tmp_path, files=1, each=5)
    journal.close()
    path = file_from(journal.path, 6)
    if left == "nothing":
        path.touch()
    elif left == "half begun":
        half_begun(path)
    else:
        with closing(Journal(tmp_path / "other.db")):
            pass
        (tmp_path / "other.db").rename(path)
        if left == "no table":
            change(path, "drop table commits")
    with closing(JournalReader(journal.path)) as reader:
        assert [entry.seq for entry in reader.entries()] == [1, 2, 3, 4, 5]
        assert reader.issued() == 5
    assert not inspect_chain(journal.path).flaws
    with closing(Journal(journal.path, durable=False)) as again:
        assert again.head.seq == 5
        again.append("step", encode(StepBody(6)), 100)
    assert [file for _, file in files_of(journal.path)] == [journal.path]
    assert not list(tmp_path.glob(f"{path.name}*")), "also nothing that would be played back into a file of that name"


def test_where_no_file_can_begin_the_old_one_goes_on(tmp_path: Path) -> None:
    with closing(grown(tmp_path, files=1, each=5)) as journal:
        file_from(journal.path, 6).mkdir()
        assert not journal.begin_file(FILE, body_of, 50)
        file_from(journal.path, 6).rmdir()
        assert journal.append("step", encode(StepBody(6)), 60).seq == 6
        assert journal.begin_file(FILE, body_of, 70)
        assert journal.head.seq == 7
    assert not inspect_chain(tmp_path / "journal.db").flaws


def test_a_file_that_could_not_be_begun_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file comes to have the entries that the new one is named by: nobody may take it for a file that ends before them."""

    def full(*_: object) -> Entry:
        raise JournalUnavailable("the disk is full")

    with closing(grown(tmp_path, files=1, each=5)) as journal:
        with monkeypatch.context() as context:
            context.setattr(journal, "_append", full)
            assert not journal.begin_file(FILE, body_of, 50)
        assert journal.append("step", encode(StepBody(6)), 60).seq == 6
        assert [path for _, path in files_of(journal.path)] == [journal.path]
        assert [path.name for path in tmp_path.glob("journal-*")] == []


def flaws_of(path: Path) -> list[str]:
    found = [str(flaw) for flaw in inspect_chain(path).flaws]
    return found + [str(flaw) for _, file in files_of(path) for flaw in inspect_file(file).flaws]


def test_every_file_is_looked_at_byte_by_byte(tmp_path: Path) -> None:
    grown(tmp_path, each=60).close()
    path = tmp_path / "journal.db"
    assert flaws_of(path) == []
    chain = inspect_chain(path)
    assert (chain.entries, chain.first, chain.last) == (182, 1, 182)
    for _, file in files_of(path):
        for offset in range(0, os.path.getsize(file), 397):
            flip(file, offset, 4)
            assert flaws_of(path), (file, offset)
            flip(file, offset, 4)
    assert flaws_of(path) == []


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    grown(tmp_path, each=5).close()
    path = tmp_path / "journal.db"
    file_from(path, 6).unlink()
    assert any("entries 6 to 11 are missing" in flaw for flaw in flaws_of(path))
    path.unlink()
    assert any("entries up to 11 are in no file, and in no sealed day" in flaw for flaw in flaws_of(path))
    with closing(JournalReader(path)) as reader, pytest.raises(JournalUnavailable, match="entries 1 to 11 are in no file"):
        list(reader.entries())


def test_an_entry_that_is_in_two_files_is_named(tmp_path: Path) -> None:
    """What a begun file lacks cannot be cut from the one before unseen, nor put there twice."""
    grown(tmp_path, files=2, each=5).close()
    path = tmp_path / "journal.db"
    change(path, "insert into commits select seq + 1, kind, at, heard, readings, body, hash from commits where seq = 5")
    assert any("entry 6" in flaw for flaw in flaws_of(path))
