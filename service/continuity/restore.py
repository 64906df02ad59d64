"""A data_dir made from a backup: journal, state, series; whole, or plainly not begun."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from alerts.people.register import FILE as PEOPLE
from alerts.record.store import StateStore, StateUnavailable
from ingest.journal.copy import CopyEnd, read_copy
from ingest.journal.entries import SERVICE, ServiceBody, encode
from ingest.journal.flaw import Progress, unwatched
from ingest.journal.inspection import Witness, inspect_chain
from ingest.journal.journal import Entry, Head, Journal, JournalReader
from ingest.series.recollection import Recollection
from ingest.series.series import Series
from service.clock import Clock
from service.continuity.manifest import CONFIGURATION, BackupUnusable, Manifest, changed_files, read_manifest
from service.lock import LOCK_FILE, RESTORING
from service.stored.archive import JOURNAL, SERIES, STATE

REPORT = "restored.json"
"""In the data_dir: what a restore brought, from which backup."""
SLICE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore brought: the backup's own words, the journal's head and readings, and what is to be looked at."""

    manifest: Manifest
    head: Head
    readings: int
    state_entries: int
    warnings: tuple[str, ...] = ()


def restore(backup: Path, data_dir: Path, *, partial: bool = False, progress: Progress = unwatched) -> Restored:
    """Make the data_dir from a backup; it must be empty, or hold what an interrupted restore left.

    The journal's chain is checked while it is read, and again in the new file. With `partial` a damaged backup gives what is whole before
    the damage. A mark in the data_dir keeps a service from starting on it until `finish`.
    Raises BackupUnusable, OSError, JournalUnavailable.
    """
    manifest = read_manifest(backup)
    warnings = changed_files(backup, manifest)
    _clear(data_dir)
    journal = data_dir / JOURNAL
    end = _write_journal(backup, journal, progress)
    warnings += _ends_well(manifest, end, partial)
    chain = inspect_chain(journal, Witness(end.head.seq, end.head.hash, "the backup"), progress)
    if chain.flaws:
        raise BackupUnusable(f"{journal} is not what was read from the backup: {next(iter(chain.flaws))}. Look at that disk.")
    if PEOPLE in manifest.files:
        shutil.copyfile(backup / PEOPLE, data_dir / PEOPLE)
        (data_dir / PEOPLE).chmod(0o600)
    state_entries = _take_state(backup, manifest, data_dir, end.head.seq)
    with closing(JournalReader(journal)) as reader:
        write_series(reader, data_dir / SERIES, state_entries or end.head.seq, progress)
    return Restored(manifest, end.head, end.readings, state_entries, tuple(warnings))


def finish(data_dir: Path, clock: Clock, words: str) -> None:
    """Journal that and how it was restored, and take away the mark: a service may start now."""
    with closing(Journal(data_dir / JOURNAL)) as journal:
        journal.append(SERVICE, encode(ServiceBody("restored", version("renrum"), words)), clock.now_ns())
    (data_dir / RESTORING).unlink()


def restore_configuration(backup: Path, manifest: Manifest, folder: Path) -> list[str]:
    """Copy the configuration's files into a folder that is empty or not there; their names. Raises BackupUnusable, OSError."""
    if folder.exists() and any(folder.iterdir()):
        raise BackupUnusable(f"{folder} is not empty: nothing is overwritten. Name another folder for the configuration.")
    names = [name for name in manifest.files if name.startswith(f"{CONFIGURATION}/")]
    for name in names:
        path = folder / name.removeprefix(f"{CONFIGURATION}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(backup / name, path)
        path.chmod(manifest.files[name].mode)
    return [name.removeprefix(f"{CONFIGURATION}/") for name in names]


def write_series(reader: JournalReader, path: Path, upto: int, progress: Progress = unwatched) -> None:
    """series.db up to an entry, in bounded memory."""
    with closing(Series(path)) as series:
        memory = Recollection(series)
        memory.recall(reader, upto, progress)
        memory.write(all_of_it=True)


def _clear(data_dir: Path) -> None:
    """Begin, where nothing is or where a restore was interrupted; whatever else is there stays as it is."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    begun = (data_dir / RESTORING).exists()
    there = {path.name for path in data_dir.iterdir()} - {LOCK_FILE, "lost+found"}
    if there and not begun:
        raise BackupUnusable(f"{data_dir} is not empty: nothing is overwritten. Name a new or an empty folder.")
    (data_dir / RESTORING).touch(mode=0o600)
    for name in there - {RESTORING}:
        path = data_dir / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _write_journal(backup: Path, path: Path, progress: Progress) -> CopyEnd:
    end = CopyEnd()
    with closing(Journal(path, durable=False)) as journal:  # nothing is acknowledged on it; it is synchronised when it is closed
        for entries in _slices(read_copy(backup, end, progress)):
            journal.extend(entries)
    for file in path.parent.glob(f"{path.name}*"):
        with file.open("rb") as written:
            os.fsync(written.fileno())
    return end


def _slices(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    held: list[Entry] = []
    size = 0
    for entry in entries:
        held.append(entry)
        size += len(entry.body) + 200
        if size >= SLICE_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _ends_well(manifest: Manifest, end: CopyEnd, partial: bool) -> list[str]:
    """Whether all is there that the manifest knows of; bytes behind that were being written when the machine died."""
    found, promised = end.head, manifest.journal
    if found.seq > promised.entries or (found.seq, found.hash.hex() if found.seq else "") == (promised.entries, promised.head):
        return []
    if found.seq == promised.entries:
        words = f"entry {found.seq} of its journal has another hash than its manifest says: one of both was replaced"
    else:
        reason = end.beyond or "the rest is missing"
        words = f"its journal ends at entry {found.seq:,} of the {promised.entries:,} that its manifest has: {reason}"
    if not partial:
        raise BackupUnusable(f"The backup is damaged: {words}. Take another copy of it, or --partial for what is whole before that.")
    return [words]


def _take_state(backup: Path, manifest: Manifest, data_dir: Path, last: int) -> int:
    """Copy state.db where it belongs to this journal; the entries it was computed from, 0 without it: the service computes it again."""
    source = backup / manifest.state
    if not manifest.state or not source.is_file() or manifest.state_entries > last:
        return 0
    path = data_dir / STATE
    shutil.copyfile(source, path)
    path.chmod(0o600)
    try:
        with closing(StateStore(path, readonly=True)) as store, closing(JournalReader(data_dir / JOURNAL)) as reader:
            cursor, head = int(store.get("cursor", 0)), store.get("head")
            entry = reader.entry(cursor)
        if entry is not None and entry.hash == head:
            return cursor
    except (StateUnavailable, sqlite3.Error):
        pass
    path.unlink()
    return 0
