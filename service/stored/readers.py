"""Connections for threads that look things up: borrowed for one call, never shared at the same time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from alerts.record.store import StateUnavailable
from dashboards.monitor import MonitorUnavailable
from ingest.journal.journal import JournalUnavailable


class Closeable(Protocol):
    """What can be closed."""

    def close(self) -> None: ...


Reader = TypeVar("Reader", bound=Closeable)


class Readers(Generic[Reader]):
    """As many readers as calls are under way at once; `open` makes one more. One that failed is thrown away."""

    def __init__(self, open: Callable[[], Reader]) -> None:
        self._open = open
        self._lock = threading.Lock()
        self._idle: list[Reader] = []
        self._renewed = 0
        self._closed = False

    @contextmanager
    def borrowed(self) -> Iterator[Reader]:
        """A reader for one look-up; raises MonitorUnavailable when it cannot be read."""
        with self._lock:
            reader = self._idle.pop() if self._idle else None
            renewed = self._renewed
        try:
            reader = reader or self._open()
            yield reader
        except (JournalUnavailable, StateUnavailable, sqlite3.Error) as error:
            if reader is not None:
                reader.close()
            raise MonitorUnavailable(f"What is stored cannot be read: {error}. Look at the disk that holds data_dir.") from error
        except BaseException:
            self._give_back(reader, renewed)
            raise
        self._give_back(reader, renewed)

    def renew(self) -> None:
        """Open new readers from now on: another disk may be mounted where the files lay, and the old ones would go on reading those."""
        with self._lock:
            self._renewed += 1
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    def close(self) -> None:
        """Close the readers, those in use when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    def _give_back(self, reader: Reader | None, renewed: int) -> None:
        if reader is None:
            return
        with self._lock:
            if not self._closed and renewed == self._renewed:
                self._idle.append(reader)
                return
        reader.close()
