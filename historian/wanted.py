"""What of the journal is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.journal.entries import CONFIGURATION, INGEST

KINDS = (CONFIGURATION, INGEST)
"""The kinds of entries that an export is made of."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: start <= time < end (int ns UTC); points, and rooms and zones for their states, by id. None is no bound."""

    start: int | None = None
    end: int | None = None
    points: frozenset[str] | None = None
    places: frozenset[str] | None = None

    def covers(self, time: int) -> bool:
        return (self.start is None or time >= self.start) and (self.end is None or time < self.end)
