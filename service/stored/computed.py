"""state.db and series.db opened: what is computed from the journal, and computed again where the file cannot serve."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from alerts.record.store import StateOfOtherFormat, StateStore
from alerts.resumption import FOLDER, Checkpoint, newest, take_up
from facility.times import format_time
from ingest.journal.flaw import Flaws
from ingest.journal.journal import JournalReader, JournalUnavailable
from ingest.series.series import Series, SeriesReader

log = logging.getLogger(__name__)


def open_state(folder: Path, journal: Callable[[], JournalReader]) -> StateStore:
    """The state; where it was lost, or an older version wrote it otherwise, what the nightly verify evaluated last, else begun anew.

    One of a newer version is refused.
    """
    path = folder / "state.db"
    if path.exists():
        try:
            return StateStore(path)
        except StateOfOtherFormat as error:
            if not error.older:
                raise
            log.warning("%s was written by an older version: it is computed again from the journal", path)
    _remove(path)
    with closing(journal()) as reader:
        checkpoint = _checkpoint(folder, reader)
    if checkpoint is not None:
        when = format_time(checkpoint.at)
        log.warning("there is no state.db: what the verify of %s evaluated is taken up; steps since then are computed again", when)
        take_up(checkpoint, path)
    return StateStore(path)


def _checkpoint(folder: Path, journal: JournalReader) -> Checkpoint | None:
    """The newest that the journal vouches for, where readings since then have not left the series yet."""
    flaws = Flaws()
    try:
        found = newest(folder / FOLDER, journal, journal.issued(), flaws)
        for flaw in flaws:
            log.error("%s: another one is looked for", flaw)
        return found if found is None or found.cursor >= _sealed_upto(folder / "series.db") else None
    except (JournalUnavailable, sqlite3.Error, OSError) as error:
        log.error("checkpoints cannot be read (%s): everything is computed again from the journal", error)
        return None


def _sealed_upto(path: Path) -> int:
    if not path.exists():
        return 0
    with closing(SeriesReader(path)) as series:
        return series.sealed_upto()


def open_series(folder: Path, cursor: int) -> Series:
    """The series, without what is ahead of what was judged; begun anew where it is damaged, or nothing was judged."""
    path = folder / "series.db"
    try:
        series = Series(path)
        if series.cursor() <= cursor:
            return series
        if cursor and series.sealed_upto() <= cursor:
            series.take_back(cursor)
            return series
        series.close()
    except sqlite3.OperationalError:
        raise  # the disk, not the file
    except sqlite3.DatabaseError as error:
        log.error("%s is damaged (%s): it is computed again from the journal", path, error)
    _remove(path)
    return Series(path)


def _remove(path: Path) -> None:
    """A database and what SQLite has beside it; a copy that somebody keeps there, as `verify` asks for, stays."""
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
