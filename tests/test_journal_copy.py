"""The copy of the journal: whatever happens to its end, what is whole is a prefix, and the copy goes on from there."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.journal import copy as journal_copy
from ingest.journal.copy import ChainBroken, CopyEnd, JournalCopy, files_of, read_copy
from ingest.journal.journal import Entry, Journal, JournalReader

FILE_BYTES = 2000


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    chance = random.Random(4)
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    with closing(Journal(path, durable=False)) as journal:
        for number in range(60):
            journal.append(
                "ingest" if number % 3 else "step", chance.randbytes(chance.choice((0, 10, 90, 700))), number, number, number % 3
            )
    with closing(JournalReader(path)) as reader:
        return list(reader.entries())


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_copy, "FILE_BYTES", FILE_BYTES)


def copied(folder: Path, entries: list[Entry], at_once: int = 7) -> None:
    with closing(JournalCopy(folder)) as copy:
        begun = copy.head.seq
        for start in range(begun, len(entries), at_once):
            copy.append(entries[start : min(start + at_once, len(entries))])


def found(folder: Path) -> tuple[list[Entry], CopyEnd]:
    end = CopyEnd()
    return list(read_copy(folder, end)), end


def test_a_copy_has_every_entry_in_files_that_do_not_grow_for_ever(entries: list[Entry], tmp_path: Path) -> None:
    copied(tmp_path, entries)
    read, end = found(tmp_path)
    assert read == entries
    assert end.beyond == ""
    assert end.head.hash == entries[-1].hash
    assert end.readings == sum(entry.readings for entry in entries)
    assert len(files_of(tmp_path)) > 5


@given(data=st.data())
def test_cut_anywhere_it_is_a_prefix_and_goes_on(
    entries: list[Entry], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A kill or a lost share leaves the last file with any length; with zeros instead of what was to come, after a power cut."""
    folder = tmp_path_factory.mktemp("cut")
    shipped = data.draw(st.integers(1, len(entries)))
    copied(folder, entries[:shipped])
    last = files_of(folder)[-1]
    content = last.read_bytes()
    kept = data.draw(st.integers(0, len(content)))
    zeros = data.draw(st.sampled_from([0, 1, 40, 4096]))
    last.write_bytes(content[:kept] + bytes(zeros))
    read, _ = found(folder)
    assert read == entries[: len(read)]
    copied(folder, entries)
    read, end = found(folder)
    assert (read, end.beyond) == (entries, "")


@given(data=st.data())
def test_a_changed_byte_ends_what_counts(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("changed")
    copied(folder, entries)
    path = data.draw(st.sampled_from(files_of(folder)))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    read, end = found(folder)
    assert len(read) < len(entries)
    assert read == entries[: len(read)]
    assert path.name in end.beyond


def test_a_missing_file_ends_what_counts(entries: list[Entry], tmp_path: Path) -> None:
    copied(tmp_path, entries)
    first, second, *_ = files_of(tmp_path)
    second.unlink()
    read, end = found(tmp_path)
    assert read == entries[: len(read)]
    assert "does not follow on entry" in end.beyond
    first.unlink()
    assert found(tmp_path)[0] == []


def test_an_altered_entry_is_not_taken_and_what_is_before_it_is(entries: list[Entry], tmp_path: Path) -> None:
    altered = [*entries[:5], replace(entries[5], body=b"other"), *entries[6:]]
    with closing(JournalCopy(tmp_path)) as copy, pytest.raises(ChainBroken, match="entry 6 does not follow"):
        copy.append(altered)
    assert found(tmp_path)[0] == entries[:5]
