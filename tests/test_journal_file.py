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

from ingest.entries import IngestBody, StepBody, encode
from ingest.inspection import inspect_chain
from ingest.journal import Journal, JournalReader, digest_file
from ingest.journal_file import inspect_file
from ingest.pages import INTERIOR, misspelt_record, spelt, varint
from ingest.snapshot import FilePages
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
    assert report.leftover_bytes == 0
    digest_file(path).unlink()  # as after a kill
    assert bool(inspect_file(path).leftover_bytes) == (size == 512)


def test_at_rest_a_byte_that_means_nothing_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = journal_of_pages(path, 512)
    for at in range(4000):
        journal.append("step", encode(StepBody(at)), at)
    journal.close()
    with path.open("rb") as file:
        pages = FilePages(file, path.name)
        rooms = [
            (number, offset)
            for number in range(2, pages.count + 1)
            if (page := pages.page(number))[0] == INTERIOR
            for offset in range(12 + 2 * int.from_bytes(page[3:5], "big"), int.from_bytes(page[5:7], "big"))
            if page[offset]
        ]
    assert rooms
    for number, offset in rooms[:20]:
        flip(path, (number - 1) * 512 + offset, 1)
        assert [str(flaw) for flaw in inspect_file(path).flaws] == [
            "journal.db: it was changed since the service stopped, in bytes that mean nothing: its digest is another"
        ]
        flip(path, (number - 1) * 512 + offset, 1)
    assert not list(inspect_file(path).flaws)
    journal = Journal(path)
    assert not digest_file(path).exists()
    journal.close()


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
