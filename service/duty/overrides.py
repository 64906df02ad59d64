"""Swaps of duty that were made at run time, as state.db has them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alerts.duty.rotation import Override
from alerts.escalation.escalation import swaps
from alerts.record.store import StateStore, StateUnavailable


def overrides_in(data_dir: Path) -> tuple[Override, ...]:
    """The swaps in a data_dir, the newest last; none where there is no state.db that can be read."""
    path = data_dir / "state.db"
    if not path.is_file():
        return ()
    try:
        with closing(StateStore(path, readonly=True)) as store:
            return swaps(store)
    except (StateUnavailable, sqlite3.Error):
        return ()
