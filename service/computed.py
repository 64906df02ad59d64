"""state.db and series.db opened: what is computed from the journal, and computed again where the file cannot serve."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from alerts.store import StateOfOtherFormat, StateStore
from ingest.series import Series

log = logging.getLogger(__name__)


def open_state(folder: Path) -> StateStore:
    """The state, begun anew where an older version wrote it otherwise; one of a newer version is refused."""
    path = folder / "state.db"
    try:
        return StateStore(path)
    except StateOfOtherFormat as error:
        if not error.older:
            raise
        log.warning("%s was written by an older version: it is computed again from the journal", path)
    for file in folder.glob("state.db*"):
        file.unlink()
    return StateStore(path)


def open_series(folder: Path, cursor: int) -> Series:
    """The series, begun anew where it is damaged or ahead of what was judged: it is computed from the journal again."""
    path = folder / "series.db"
    try:
        series = Series(path)
        if series.cursor() <= cursor:
            return series
        series.close()
    except sqlite3.OperationalError:
        raise  # the disk, not the file
    except sqlite3.DatabaseError as error:
        log.error("%s is damaged (%s): it is computed again from the journal", path, error)
    for file in folder.glob("series.db*"):
        file.unlink()
    return Series(path)
