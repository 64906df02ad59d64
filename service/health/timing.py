"""The journal with a watch in hand: how long it takes to make an entry durable, and how often that fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ingest.histogram import Histogram
from ingest.journal.journal import Entry, Journal, JournalUnavailable


class TimedJournal(Journal):
    """A Journal whose appends are timed, the wait for other threads included; `failures` counts those that were not durable."""

    def __init__(self, path: Path, monotonic_ns: Callable[[], int], *, durable: bool = True) -> None:
        super().__init__(path, durable=durable)
        self._monotonic_ns = monotonic_ns
        self.appends, self.failures, self._slowest_s = Histogram(), 0, 0.0

    def append(self, kind: str, body: bytes, at: int, heard: int | None = None, readings: int = 0) -> Entry:
        begun = self._monotonic_ns()
        try:
            return super().append(kind, body, at, heard, readings)
        except JournalUnavailable:
            self.failures += 1
            raise
        finally:
            took_s = (self._monotonic_ns() - begun) / 10**9
            self._slowest_s = max(self._slowest_s, took_s)
            self.appends.observe(took_s)

    def slowest_s(self) -> float:
        """The longest append since the last call; for one who asks."""
        slowest_s, self._slowest_s = self._slowest_s, 0.0
        return slowest_s
