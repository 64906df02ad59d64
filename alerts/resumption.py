"""Where an earlier proof ended: all that a later one needs to go on from there, in one file that the journal vouches for."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import msgspec

from alerts.record.store import StateStore, StateUnavailable
from ingest.journal.entries import CHECKPOINT, INGEST, CheckpointBody, decode
from ingest.journal.flaw import Flaw, Flaws
from ingest.journal.journal import Entry, JournalReader, read_only

FOLDER = "checkpoints"
_NAME = re.compile(r"(\d{12})\.db")
KEY = "proven with pages"
"""Versions that evaluated no pages kept theirs as `proven`: nothing goes on from there."""
KEPT_NEWEST = 2


class Proven(msgspec.Struct, frozen=True):
    """What a proof knew at its end beside state.db: states of places, entries, readings, and those of the service."""

    states: dict[str, list[tuple[int, str]]] = {}
    entries: int = 0
    own: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state.db that a proof evaluated up to the step at entry `cursor`, of the time `at` (int ns UTC), in a file of its own."""

    path: Path
    cursor: int
    at: int
    steps: int
    sums: str
    proven: Proven


def leave(computed: Path, folder: Path, cursor: int, proven: Proven) -> tuple[Path, str]:
    """Keep what was evaluated: the file and its SHA-256 in hex; OSError, sqlite3.Error."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{cursor:012}.db"
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with closing(read_only(computed)) as source, closing(sqlite3.connect(fresh)) as target:
        source.backup(target)
        target.execute("pragma journal_mode = delete")
        with target:
            target.execute("insert or replace into meta values (?, ?)", (KEY, msgspec.msgpack.encode(proven)))
        target.execute("vacuum")
    fresh.chmod(0o600)
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    sha256 = sha256_of(fresh)
    fresh.replace(path)
    return path, sha256


def take_up(checkpoint: Checkpoint, path: Path) -> None:
    """Make it the state.db of a service, which was lost: whole, or not at all; OSError, sqlite3.Error."""
    fresh = path.with_suffix(".new")
    for left in (*path.parent.glob(f"{path.name}-*"), *path.parent.glob(f"{fresh.name}*")):
        left.unlink()  # the log of the one that was lost, or of a start that was killed here, belongs to no other
    shutil.copyfile(checkpoint.path, fresh)
    with closing(sqlite3.connect(fresh)) as connection, connection:
        connection.execute("delete from meta where key = ?", (KEY,))
    fresh.chmod(0o600)
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.replace(path)


def sha256_of(path: Path) -> str:
    """Of a file's bytes, in hex; OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def journalled(journal: JournalReader, after: int = 0) -> dict[int, str]:
    """The checkpoints that the journal vouches for: SHA-256 in hex by cursor."""
    bodies = (decode(entry) for entry in journal.entries(after, kinds=(CHECKPOINT,)))
    return {body.seq: body.sha256 for body in bodies if isinstance(body, CheckpointBody)}


def files_of(folder: Path) -> dict[int, Path]:
    """The files of checkpoints by cursor."""
    if not folder.is_dir():
        return {}
    found = ((path, _NAME.fullmatch(path.name)) for path in folder.iterdir())
    return {int(match[1]): path for path, match in sorted(found) if match}


def newest(folder: Path, journal: JournalReader, upto: int, flaws: Flaws) -> Checkpoint | None:
    """The newest checkpoint up to an entry that can be gone on from; one that was altered is a flaw."""
    files = files_of(folder)
    vouched = journalled(journal, min(files, default=0)) if files else {}
    for cursor, path in sorted(files.items(), reverse=True):
        if cursor not in vouched or cursor > upto:
            continue  # left by a service that was killed before it could say so, or by a journal that was lost
        if sha256_of(path) != vouched[cursor]:
            flaws.add(Flaw("it is not as the journal says: it was altered", file=f"{folder.name}/{path.name}"))
            continue
        found = _read(path, cursor, journal)
        if found is not None:
            return found
    return None


def _read(path: Path, cursor: int, journal: JournalReader) -> Checkpoint | None:
    """None where it is of another version, or where the time of its step does not tell what was received before and what after."""
    try:
        with closing(StateStore(path, readonly=True)) as store:
            proven = msgspec.msgpack.decode(store.get(KEY), type=Proven)
            at, head = int(store.get("clock")), store.get("head")
            steps, sums = int(store.get("steps")), str(store.get("sums"))
    except (msgspec.DecodeError, TypeError, ValueError, StateUnavailable):
        return None
    step = journal.entry(cursor)
    if step is None or step.hash != head:
        return None
    later: Iterator[Entry] = journal.entries(cursor, kinds=(INGEST,))
    following = next(later, None)
    return None if following is not None and following.at <= at else Checkpoint(path, cursor, at, steps, sums, proven)


def thin(folder: Path, vouched: dict[int, str]) -> None:
    """Remove what nobody needs: all but the newest two that the journal vouches for, and whatever is half made; OSError."""
    files = files_of(folder)
    for cursor in sorted(files.keys() & vouched.keys())[:-KEPT_NEWEST]:
        files[cursor].unlink(missing_ok=True)
    for cursor in files.keys() - vouched.keys():
        files[cursor].unlink(missing_ok=True)
    for path in folder.glob("*.new"):
        path.unlink(missing_ok=True)
