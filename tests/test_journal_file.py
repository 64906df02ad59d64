"""journal.db as a file: a byte changed anywhere is named, and what SQLite writes by itself is not."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ingest.journal.entries import IngestBody, StepBody, encode
from ingest.journal.file import inspect_file
from ingest.journal.flaw import Flaws
from ingest.journal.inspection import inspect_chain
from ingest.journal.journal import Journal, JournalReader, JournalUnavailable
from ingest.journal.page_digests import digests_file, recorded
from ingest.journal.pages import INTERIOR, misspelt_record, spelt, varint
from ingest.journal.snapshot import FilePages, read_log
from tests.support.verifying import flip, killed, named, stopped, verify, wrong


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stopped(tmp_path_factory.mktemp("verify") / "site")


@pytest.fixture
def data_dir(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "data"))


def journal_of_pages(path: Path, size: int) -> Journal:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"pragma page_size = {size}")
        connection.execute("pragma journal_mode = wal")
    return Journal(path, durable=False)


def batch(count: int) -> bytes:
    columns = (bytes(4 * count), bytes(range(8)) * count, b"\x7f" * 8 * count, bytes(count))
    return encode(IngestBody(count, 0, *columns, b"", [], [], []))


def small_journal(path: Path, size: int) -> Path:
    """Entries from tiny to some pages long, in so many that the tree has interior pages."""
    journal = journal_of_pages(path, size)
    for number in range(10):
        journal.append("step", encode(StepBody(number)), 1_700_000_000_000_000_000 + number, number * 300)
        count = (1, 3, 40, 0, 120)[number % 5] * size // 1024
        journal.append("ingest", batch(count), 1_700_000_000_000_000_000 + number, number * 300, count)
    journal.close()
    return path


def unnamed(path: Path, offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Which changes of one byte nobody would notice."""
    missed = []
    for offset, bits in offsets:
        flip(path, offset, bits)
        if not (inspect_file(path).flaws or inspect_chain(path).flaws):
            missed.append((offset, bits))
        flip(path, offset, bits)
    assert named(path) == []
    return missed


def test_bytes_of_every_page_of_a_small_journal(tmp_path: Path) -> None:
    """Each byte of the pages that lead to others, every third of the others, of which third depends on the run."""
    path = small_journal(tmp_path / "journal.db", 512)
    data, chance = path.read_bytes(), random.Random(7)
    whole = [page for page in range(0, len(data), 512) if page < 1024 or data[page] == INTERIOR]
    some = range(os.getpid() % 3, len(data), 3)
    offsets = sorted({*some, *(offset for page in whole for offset in range(page, page + 512))})
    assert unnamed(path, [(offset, chance.choice([1, 1, 2, 0x10, 0x80, 0xFF])) for offset in offsets]) == []


def test_every_bit_of_its_header_and_some_of_each_page(tmp_path: Path) -> None:
    path = small_journal(tmp_path / "journal.db", 4096)
    header = [(offset, 1 << bit) for offset in range(112) for bit in range(8)]
    some = [(offset, 1) for offset in range(112, path.stat().st_size, 101)]
    heads = [(page + offset, bits) for page in range(4096, path.stat().st_size, 4096) for offset in range(16) for bits in (1, 0x40)]
    assert unnamed(path, header + some + heads) == []


def test_a_changed_byte_of_an_entry_is_named_with_its_entry(data_dir: Path) -> None:
    path = data_dir / "journal.db"
    with closing(JournalReader(path)) as reader:
        entry = next(entry for entry in reader.entries(kinds=("ingest",)) if entry.readings)
    flip(path, path.read_bytes().index(entry.body), 1)
    result = verify(data_dir)
    assert result.exit_code == 1
    assert f"entry {entry.seq} (ingest of 2026-11-20T08:00:" in result.stdout
    assert "does not match its hash" in result.stdout
    assert "  Do: " in result.stdout


def test_a_stored_hash_that_was_changed_is_one_flaw(data_dir: Path) -> None:
    path = data_dir / "journal.db"
    with closing(JournalReader(path)) as reader:
        entry = reader.entry(100)
    assert entry is not None
    flip(path, path.read_bytes().index(entry.hash), 1)
    assert [flaw.entry for flaw in inspect_chain(path).flaws] == [100]


@pytest.mark.parametrize("change_size", [lambda data: data[:-4096], lambda data: data + b"\0", lambda data: data[:50], lambda data: b""])
def test_a_file_that_was_cut_or_grew(data_dir: Path, change_size: Callable[[bytes], bytes]) -> None:
    path = data_dir / "journal.db"
    path.write_bytes(change_size(path.read_bytes()))
    result = verify(data_dir)
    assert result.exit_code == 1
    assert "journal: WRONG" in result.stdout


def test_a_changed_byte_under_the_log(tmp_path: Path) -> None:
    path = killed(tmp_path) / "journal.db"
    assert named(path) == []
    size = path.stat().st_size
    offsets = [(offset, 1) for offset in [*range(100, size, 997), *(page + 5 for page in range(4096, size, 4096))]]
    missed = []
    for offset, bits in offsets:
        flip(path, offset, bits)
        if not named(path):
            missed.append(offset)
        flip(path, offset, bits)
    assert missed == []


def test_a_frame_of_the_log_that_hides_commits(tmp_path: Path) -> None:
    folder = killed(tmp_path)
    log = folder / "journal.db-wal"
    flip(log, log.stat().st_size // 8, 1)
    (folder / "journal.db-shm").unlink()
    found = wrong(folder)
    assert any("hides" in what for what in found["journal"])


@pytest.mark.parametrize("size", [512, 4096])
def test_a_deep_tree_has_no_false_alarm(tmp_path: Path, size: int) -> None:
    path = tmp_path / "journal.db"
    journal = journal_of_pages(path, size)
    chance = random.Random(1)
    for at in range(4000 if size == 512 else 1500):
        journal.append("step", encode(StepBody(at)), at)
        if at % 3 == 0:
            count = chance.choice([1, 10, 100, 400])
            journal.append("ingest", batch(count), at, readings=count)
    journal.close()
    report = inspect_file(path)
    assert [str(flaw) for flaw in report.flaws] == []
    assert report.unchecked_bytes == 0
    digests_file(path).unlink()
    assert bool(inspect_file(path).unchecked_bytes) == (size == 512)


def deep(path: Path) -> Journal:
    """A journal in 512-byte pages whose tree has three levels, still open."""
    journal = journal_of_pages(path, 512)
    for at in range(4000):
        journal.append("step", encode(StepBody(at)), at)
    return journal


def rooms(path: Path) -> list[int]:
    """Offsets of bytes in interior pages that mean nothing and are not zero."""
    with path.open("rb") as file:
        pages = FilePages(file, path.name)
        return [
            (number - 1) * pages.size + offset
            for number in range(2, pages.count + 1)
            if (page := pages.page(number))[0] == INTERIOR
            for offset in range(12 + 2 * int.from_bytes(page[3:5], "big"), int.from_bytes(page[5:7], "big"))
            if page[offset]
        ]


def test_a_byte_that_means_nothing_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    deep(path).close()
    meaningless = rooms(path)
    assert meaningless
    for offset in meaningless[:6]:
        flip(path, offset, 1)
        assert [flaw.page for flaw in inspect_file(path).flaws] == [offset // 512 + 1]
        flip(path, offset, 1)
    assert not list(inspect_file(path).flaws)


def test_so_it_is_while_the_service_runs_and_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = deep(path)
    journal.checkpoint()
    meaningless = rooms(path)
    for at in range(4000, 4100):  # a log of some pages over the file
        journal.append("step", encode(StepBody(at)), at)
    copy = tmp_path / "killed"
    copy.mkdir()
    for part in tmp_path.glob("journal.db*"):
        shutil.copy(part, copy)
    beneath = range(101, path.stat().st_size, 29989)
    for broken in (path, copy / "journal.db"):
        assert inspect_file(broken).unchecked_bytes == 0
        assert unnamed(broken, [(offset, 1) for offset in [*meaningless[-4:], *beneath]]) == []
    journal.close()
    assert named(path) == []


@pytest.mark.parametrize("copied", [1, 12])
def test_a_checkpoint_that_was_interrupted(tmp_path: Path, copied: int) -> None:
    """Some pages are as in the log, the others as before: that is no flaw, and each of their bytes counts."""
    path = tmp_path / "journal.db"
    journal = deep(path)
    journal.checkpoint()
    for at in range(4000, 4100):
        journal.append("step", encode(StepBody(at)), at)
    killed_at = tmp_path / "killed"
    killed_at.mkdir()
    for part in tmp_path.glob("journal.db*"):
        shutil.copy(part, killed_at)
    journal.close()
    path = killed_at / path.name
    with path.open("r+b") as file, path.with_name("journal.db-wal").open("rb") as log_file:
        log = read_log(path, log_file, 512, Flaws())
        assert log is not None
        assert len(log.newest) > copied
        for number in sorted(log.newest)[:copied]:
            os.pwrite(file.fileno(), os.pread(log_file.fileno(), 512, log.newest[number]), (number - 1) * 512)
    assert named(path) == []
    assert inspect_file(path).unchecked_bytes == 0
    under = [(number - 1) * 512 + offset for number in log.newest if number * 512 <= path.stat().st_size for offset in (0, 511)]
    assert unnamed(path, [(offset, 0x20) for offset in under]) == []
    Journal(path).close()
    assert named(path) == []


def test_digests_that_were_lost_are_written_anew_and_half_a_record_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    deep(path).close()
    before = recorded(path)
    digests_file(path).unlink()
    Journal(path).close()
    assert recorded(path) == before
    with digests_file(path).open("ab") as file:
        file.write(b"half a record")
    journal = Journal(path)
    journal.append("step", encode(StepBody(1)), 1)
    journal.close()
    assert digests_file(path).stat().st_size % 32 == 0
    assert named(path) == []


def test_what_cannot_be_recorded_keeps_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full at a checkpoint: the entry is durable, the next call says so, and nothing is copied unrecorded."""
    path = tmp_path / "journal.db"
    journal = deep(path)
    journal.checkpoint()
    full = OSError(28, "No space left on device")
    monkeypatch.setattr("ingest.journal.journal.record_logged", lambda *_, **__: (_ for _ in ()).throw(full))
    for at in range(4000, 4500):
        journal.append("step", encode(StepBody(at)), at)
    with pytest.raises(JournalUnavailable, match="No space left"):
        journal.append("step", encode(StepBody(0)), 5000)
    assert path.with_name("journal.db-wal").stat().st_size > 0
    monkeypatch.undo()
    assert journal.append("step", encode(StepBody(0)), 5000).seq == 4501
    journal.close()
    assert named(path) == []


# Numbers and records as SQLite writes them


@pytest.mark.parametrize(
    ("data", "value", "end"), [(b"\x00", 0, 1), (b"\x7f", 127, 1), (b"\x81\x00", 128, 2), (b"\xff" * 9, (1 << 64) - 1, 9)]
)
def test_numbers(data: bytes, value: int, end: int) -> None:
    assert varint(data, 0) == (value, end)
    assert spelt(value) == end


@pytest.mark.parametrize(
    ("record", "sound"),
    [
        (b"\x03\x08\x09", True),
        (b"\x03\x01\x15\x02" + b"a" * 4 + b"\x00", False),
        (b"\x02\x01\x02", True),
        (b"\x02\x01\x01", False),  # 1 has a serial type of its own
        (b"\x02\x02\x00\x05", False),
        (b"\x02\x02\x01\x05", True),
        (b"\x02\x0a", False),
        (b"\x03\x80\x08", False),
        (b"\x02\x11ab", True),
        (b"\x02\x11abc", False),
    ],
)
def test_records(record: bytes, sound: bool) -> None:
    assert (misspelt_record(record, len(record)) == "") == sound
