"""A backup: the journal shipped entry by entry, each checked against the chain; the configuration; state.db, so that a restart is quick."""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import shutil
import sqlite3
import tempfile
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from alerts.people.register import FILE as PEOPLE
from alerts.record.store import StateStore, StateUnavailable
from facility.times import format_time
from ingest.journal.copy import ChainBroken, JournalCopy
from ingest.journal.flaw import Progress, unwatched
from ingest.journal.journal import Entry, Head, JournalReader, JournalUnavailable, read_only
from service.clock import Clock
from service.continuity.configuration_files import configuration_files
from service.continuity.manifest import (
    CONFIGURATION,
    FORMAT,
    MANIFEST,
    BackupUnusable,
    JournalKept,
    Kept,
    Manifest,
    digest_of,
    put,
    read_manifest,
    write_manifest,
)
from service.stored.archive import JOURNAL, STATE

SLICE_BYTES = 8 << 20
"""So much of the journal is made durable at the target at a time."""
LOCK = "lock"

log = logging.getLogger(__name__)


class TargetAway(OSError):
    """The backup that was in a folder is not there: a share that is not mounted looks like an empty folder."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up: a data_dir, the folder of its configuration (None: without), and whether secrets go along."""

    data_dir: Path
    configuration: Path | None = None
    with_secrets: bool = False


@dataclass(slots=True)
class Backup:
    """One writer of a backup, opened by `open_backup`; any OSError means that the target is away, and that it is to be opened afresh."""

    source: Source
    target: Path
    clock: Clock
    copy: JournalCopy
    lock: int
    files: dict[str, Kept] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    state: str = ""
    state_entries: int = 0

    def ship(self, progress: Progress = unwatched) -> Head:
        """Ship the journal up to the entry that was its newest at the call; raises JournalUnavailable, ChainBroken, OSError."""
        with closing(JournalReader(self.source.data_dir / JOURNAL)) as reader:
            last = reader.issued()
            held: list[Entry] = []
            size = 0
            for entry in reader.entries(self.copy.head.seq, last):
                held.append(entry)
                size += len(entry.body) + 100
                if size >= SLICE_BYTES:
                    self._append(held)
                    progress(entry.seq, last)
                    held, size = [], 0
            self._append(held)
            if self.copy.head.seq < last:
                raise ChainBroken(f"entries {self.copy.head.seq + 1} to {last} are missing at the end of the journal")
        return self.copy.head

    def take_others(self) -> None:
        """The configuration, and state.db as it is now; its journal is shipped after it, so that the copy has all that it has."""
        self.left_out = []
        if self.source.configuration is not None:
            self._take_configuration(self.source.configuration)
        self._take_people()
        path = self.source.data_dir / STATE
        if not path.is_file():
            self.ship()
            return
        with tempfile.TemporaryDirectory(prefix="renrum-backup-") as folder:
            copy = Path(folder) / STATE
            try:
                _copy_database(path, copy)
                with closing(StateStore(copy, readonly=True)) as store:
                    entries = int(store.get("cursor", 0))
            except (JournalUnavailable, StateUnavailable) as error:  # the journal does not wait for what is computed from it
                log.warning("%s is left out (%s): a restored service computes it from the journal", path, error)
                self.ship()
                return
            self.ship()
            self.state_entries = entries
            self.files.pop(self.state, None)
            # A name of its own, so that the manifest before never speaks of another file than the one it knew.
            self.state = f"state-{self.state_entries:012}.db"
            self._place(copy, self.state)

    def seal(self) -> Manifest:
        """Say what is there now."""
        head = self.copy.head
        manifest = Manifest(
            format=FORMAT,
            renrum=version("renrum"),
            written=format_time(self.clock.now_ns()),
            host=platform.node(),
            journal=JournalKept(head.seq, head.hash.hex(), format_time(head.at)),
            state=self.state,
            state_entries=self.state_entries,
            files=dict(sorted(self.files.items())),
            left_out=self.left_out,
        )
        try:
            write_manifest(self.target, manifest, again=True)
        except FileNotFoundError:
            raise self._gone() from None
        for old in self.target.glob("state-*.db"):
            if old.name != self.state:
                old.unlink(missing_ok=True)
        return manifest

    def close(self) -> None:
        with suppress(OSError):  # what was to be durable is; the share may be gone
            self.copy.close()
        with suppress(OSError):
            os.close(self.lock)

    def _place(self, copy: Path, name: str) -> None:
        fresh = self.target / name
        self._still_there()
        shutil.copyfile(copy, fresh)
        fresh.chmod(0o600)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        self.files[name] = digest_of(copy)

    def _take_people(self) -> None:
        """Users with the hashes of their passwords and tokens, where secrets go along."""
        path = self.source.data_dir / PEOPLE
        self.files.pop(PEOPLE, None)
        if not path.is_file():
            return
        if not self.source.with_secrets:
            self.left_out.append(PEOPLE)
            return
        with tempfile.TemporaryDirectory(prefix="renrum-backup-") as folder:
            _copy_database(path, Path(folder) / PEOPLE)
            self._place(Path(folder) / PEOPLE, PEOPLE)

    def _append(self, entries: list[Entry]) -> None:
        if entries:
            self._still_there()
            self.copy.append(entries)

    def _still_there(self) -> None:
        if not (self.target / MANIFEST).is_file():
            raise self._gone()

    def _gone(self) -> TargetAway:
        return TargetAway(f"the backup is gone from {self.target}: is the share mounted?")

    def _take_configuration(self, folder: Path) -> None:
        plain, secrets = configuration_files(folder, self.source.data_dir)
        taken = [path for path in secrets if self.source.with_secrets and path.is_file() and os.access(path, os.R_OK)]
        self.left_out = sorted(str(path.relative_to(folder)) for path in secrets if path not in taken)
        before = {name for name in self.files if name.startswith(f"{CONFIGURATION}/")}
        now = {}
        for path in plain + taken:
            name = f"{CONFIGURATION}/{path.relative_to(folder).as_posix()}"
            copy = self.target / name
            self._still_there()
            copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            content = path.read_bytes()
            if not copy.is_file() or copy.read_bytes() != content:
                put(copy, content)
            now[name] = digest_of(path)
        for name in before - now.keys():
            (self.target / name).unlink(missing_ok=True)
        self.files = {name: kept for name, kept in self.files.items() if name not in before} | now


def open_backup(source: Source, target: Path, clock: Clock, *, begin: bool) -> Backup:
    """Open the backup in `target` to go on with it; with `begin` one is begun where there is none.

    Raises BackupUnusable when it is of another journal or in use, TargetAway when it should be there and is not, OSError.
    """
    if begin and not (target / MANIFEST).exists():
        _begin(target, clock)
    elif not (target / MANIFEST).is_file():
        raise TargetAway(f"the backup is gone from {target}: is the share mounted? `renrum backup --new {target}` begins a new one there")
    manifest = read_manifest(target)
    with ExitStack() as opened:
        lock = _locked(target)
        opened.callback(os.close, lock)
        copy = opened.enter_context(closing(JournalCopy(target)))
        kept = (dict(manifest.files), manifest.left_out, manifest.state, manifest.state_entries)
        backup = Backup(source, target, clock, copy, lock, *kept)
        _same_journal(source, backup)
        opened.pop_all()
    return backup


def _begin(target: Path, clock: Clock) -> None:
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    strangers = [path.name for path in target.iterdir() if not path.name.startswith(".") and path.name != "lost+found"]
    if strangers:
        raise BackupUnusable(f"{target} holds {', '.join(sorted(strangers)[:3])} and no backup. Name an empty folder, or a new one.")
    write_manifest(target, Manifest(FORMAT, version("renrum"), format_time(clock.now_ns()), platform.node()))


def _locked(target: Path) -> int:
    """Hold the backup for this process; a file system without locks cannot tell of another."""
    lock = os.open(target / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BackupUnusable(f"{target} is being written by another `renrum backup`. Stop that one, or name another folder.") from None
    except OSError:
        pass
    return lock


def _same_journal(source: Source, backup: Backup) -> None:
    head = backup.copy.head
    if not head.seq:
        return
    with closing(JournalReader(source.data_dir / JOURNAL)) as reader:
        entry = reader.entry(head.seq)
    if entry is None or entry.hash != head.hash:
        raise BackupUnusable(
            f"{backup.target} holds entry {head.seq} of another journal than {source.data_dir / JOURNAL}, or this one was restored from "
            "an older backup. Keep that backup: it has what this journal has not. Name another folder."
        )


def _copy_database(path: Path, copy: Path) -> None:
    """Copy a database as of this moment beside those who write it; raises JournalUnavailable."""
    try:
        with closing(read_only(path)) as origin, closing(sqlite3.connect(copy)) as target:
            origin.backup(target)
            target.execute("pragma journal_mode = delete")
    except sqlite3.Error as error:
        raise JournalUnavailable(f"cannot read {path}: {error}") from error
