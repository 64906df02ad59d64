"""Backups under way: one once, or one that follows its journal until it is stopped; how each fares lies in data_dir/backups."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from facility.problems import so_many
from facility.times import format_time
from ingest.journal.copy import ChainBroken
from ingest.journal.flaw import Progress, unwatched
from ingest.journal.journal import JournalReader, JournalUnavailable
from service.clock import Clock
from service.continuity.backup import Backup, Source, open_backup
from service.continuity.manifest import BackupUnusable, Manifest, put
from service.stored.archive import JOURNAL

FOLDER = "backups"
"""In the data_dir: a file for each target, so that `doctor` can tell how old its backup is."""
OTHERS_EVERY_NS = 3600 * 10**9
"""How often configuration and state.db go along: a restored service judges again what came after them."""
SAID_EVERY_NS = 15 * 60 * 10**9
SHIPPED, AWAY, BROKEN, STOPPED = "shipped", "away", "broken", "stopped"

log = logging.getLogger(__name__)


class Standing(msgspec.Struct, frozen=True):
    """How a backup fares: `state` and why, the entries there and here, when it was looked at and when it was last shipped, int ns UTC."""

    target: str
    follows: bool
    state: str
    detail: str = ""
    entries: int = 0
    issued: int = 0
    newest_at: int = 0
    looked_at: int = 0
    shipped_at: int = 0


def standings(data_dir: Path) -> list[Standing]:
    """How every known backup of a data_dir fares; those that cannot be read are left out. OSError."""
    found = []
    for path in sorted((data_dir / FOLDER).glob("*.json")):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=Standing))
        except msgspec.DecodeError:
            continue
    return found


def back_up_once(source: Source, target: Path, clock: Clock, *, new: bool = False, progress: Progress = unwatched) -> Manifest:
    """A backup now: what is new since the one before, where there is one; with `new` one that should be there and is not is begun again.

    Raises BackupUnusable, ChainBroken, JournalUnavailable, OSError.
    """
    backup = open_backup(source, target, clock, begin=new or not _known(source, target).entries)
    try:
        try:
            backup.ship(progress)
            backup.take_others()
        finally:
            manifest = backup.seal()  # also when the chain broke: what is whole before that is kept
    finally:
        backup.close()
    at = clock.now_ns()
    entries = manifest.journal.entries
    _write(source, target, Standing(str(target), False, SHIPPED, "", entries, entries, at, at, at))
    return manifest


@dataclass(slots=True)
class Follower:
    """Ships what is new every `every_s`; a target that goes away is looked for until it is back."""

    source: Source
    target: Path
    clock: Clock
    every_s: float = 2.0
    said: Callable[[str], None] = log.warning
    backup: Backup | None = None
    others_due_ns: int = 0
    told: tuple[str, int] = ("", 0)
    standing: Standing = field(default_factory=lambda: Standing("", True, AWAY))

    def run(self, stop: threading.Event) -> bool:
        """Follow until stopped; whether all that was there at the end is at the target. Raises BackupUnusable, ChainBroken."""
        self.standing = _known(self.source, self.target)
        try:
            while True:
                stopping = stop.is_set()
                self.round(stopping)
                if stopping:
                    return self.standing.state == STOPPED
                stop.wait(self.every_s)
        finally:
            self.close()

    def round(self, last: bool = False) -> None:
        """Ship what is new once, and say how it went; the `last` round takes configuration and state along."""
        try:
            if self.backup is None:
                self.backup = open_backup(self.source, self.target, self.clock, begin=not self.standing.entries)
            self._ship(self.backup, last)
        except (ChainBroken, BackupUnusable) as error:
            self._note(BROKEN, str(error))
            raise
        except (OSError, JournalUnavailable) as error:
            self.close()
            self._note(AWAY, _words(error))
        else:
            self._note(STOPPED if last else SHIPPED, "")

    def _ship(self, backup: Backup, last: bool) -> None:
        if last or self.clock.monotonic_ns() >= self.others_due_ns:
            backup.take_others()
            self.others_due_ns = self.clock.monotonic_ns() + OTHERS_EVERY_NS
            backup.seal()
        before = backup.copy.head
        try:
            backup.ship()
        finally:
            if backup.copy.head != before:
                backup.seal()

    def _note(self, state: str, detail: str) -> None:
        """Write the standing where `doctor` finds it; say what changed, and every quarter of an hour what stays wrong."""
        at = self.clock.now_ns()
        standing = Standing(str(self.target), True, state, detail, self.standing.entries, self._issued(), self.standing.newest_at, at,
                            self.standing.shipped_at)  # fmt: skip
        if self.backup is not None:
            head = self.backup.copy.head
            standing = msgspec.structs.replace(standing, entries=head.seq, newest_at=head.at, shipped_at=at)
        self.standing = standing
        _write(self.source, self.target, standing)
        if detail != self.told[0] or (detail and at - self.told[1] > SAID_EVERY_NS):
            since = f", {so_many(standing.issued - standing.entries, 'entry')} behind" if standing.entries else ""
            self.said(f"{detail}{since}" if detail else f"{self.target} has all entries up to {standing.entries:,}")
            self.told = detail, at

    def _issued(self) -> int:
        try:
            reader = JournalReader(self.source.data_dir / JOURNAL)
            try:
                return reader.issued()
            finally:
                reader.close()
        except JournalUnavailable:
            return self.standing.issued

    def close(self) -> None:
        if self.backup is not None:
            self.backup.close()
            self.backup = None


def _known(source: Source, target: Path) -> Standing:
    known = (standing for standing in standings(source.data_dir) if standing.target == str(target))
    return next(known, Standing(str(target), True, AWAY))


def lag_words(standing: Standing, now: int) -> str:
    """How far a backup is behind its journal."""
    behind = standing.issued - standing.entries
    if standing.state in (SHIPPED, STOPPED) and not behind:
        return f"has all {so_many(standing.entries, 'entry')} as of {format_time(standing.looked_at - standing.looked_at % 10**9)}"
    return (
        f"{so_many(behind, 'entry')} behind, last shipped {(now - standing.shipped_at) / 1e9:,.0f} s ago"
        if standing.shipped_at
        else "nothing yet"
    )


def _write(source: Source, target: Path, standing: Standing) -> None:
    folder = source.data_dir / FOLDER
    try:
        folder.mkdir(exist_ok=True, mode=0o700)
        name = hashlib.sha256(str(target).encode()).hexdigest()[:16]
        put(folder / f"{name}.json", msgspec.json.encode(standing))
    except OSError as error:
        log.warning("%s cannot be written (%s): `renrum doctor` does not know how this backup fares", folder, error.strerror)


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the target'}: {error.strerror}"
    return str(error)
