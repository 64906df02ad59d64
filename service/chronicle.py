"""Every configuration that took force, as the pages tell of it."""

from __future__ import annotations

import json
import threading
from contextlib import suppress

from alerts.record.store import StateStore
from dashboards.monitor import MonitorUnavailable
from dashboards.views import ConfigurationView
from ingest.journal.entries import ConfigurationBody
from ingest.journal.journal import JournalReader
from service.applied import Journalled, journalled
from service.stored.readers import Readers


class Chronicle:
    """Any thread may ask. What is known is kept: an entry never changes."""

    def __init__(self, store: Readers[StateStore], journal: Readers[JournalReader]) -> None:
        self._store, self._journal = store, journal
        self._lock = threading.Lock()
        self._views: dict[int, ConfigurationView] = {}
        self._upto = 0

    def views(self) -> tuple[ConfigurationView, ...]:
        """Oldest first."""
        known: tuple[int, ...] = ()
        cursor = 0
        with suppress(MonitorUnavailable), self._store.borrowed() as store:
            cursor = int(store.get("cursor", 0))  # before the others: what comes between is looked at twice
            known = tuple(json.loads(store.get("configurations", "[]")))
        with self._lock:
            if not known:
                cursor = self._upto
            fresh = tuple(seq for seq in known if seq not in self._views)
            with self._journal.borrowed() as journal:
                for found in journalled(journal, fresh, max(cursor, self._upto)):
                    self._views[found[0].seq] = _view(found)
            self._upto = max(self._upto, cursor)
            return tuple(view for _, view in sorted(self._views.items()))

    def body(self, config: str) -> ConfigurationBody | None:
        """The configuration with a hash as the journal keeps it, None where it has none."""
        seq = next((seq for seq, view in self._views.copy().items() if view.config == config), None)
        if seq is None:
            return None
        with self._journal.borrowed() as journal:
            return journalled(journal, (seq,), seq)[0][1]


def _view(found: Journalled) -> ConfigurationView:
    entry, body = found
    changes = tuple((changed.what, changed.old, changed.new) for changed in body.changes)
    files = tuple(sorted(body.entry.get("files", ())))
    return ConfigurationView(entry.at, body.hash, body.by, body.reason, body.change, changes, files, body.meaning, body.digest)
