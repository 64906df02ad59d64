"""Conservation in readings: what became of everything that was received."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ingest.journal.entries import IngestBody
from ingest.journal.journal import Entry

OWN_READINGS = "own"
"""The origin of what the service measures of itself: its entries are received by nobody, and are in no sum of conservation."""


@dataclass(slots=True)
class Sums:
    """Conservation since the journal's first entry: received = stored + duplicates + quarantined - readmitted, always.

    `readmitted` are pieces that were taken out of quarantine again, by their reasons there: what they hold counts as stored, duplicate
    or quarantined a second time, but is not received twice.
    """

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    readmitted: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry, body: IngestBody) -> None:
        if body.origin == OWN_READINGS:
            return
        self.received += body.received
        self.stored += entry.readings + len(body.states)
        self.duplicates += body.duplicates
        self.quarantined.update(piece.reason for piece in body.quarantine)
        if body.readmission is not None:
            self.received -= len(body.readmission.records)
            self.readmitted.update(reason for _, _, reason in body.readmission.records)

    @property
    def in_quarantine(self) -> Counter[str]:
        """What lies in quarantine now, by reason."""
        return self.quarantined - self.readmitted

    @property
    def lost(self) -> int:
        """What is missing from the sum: 0, or something is wrong with the pipeline itself."""
        return self.received - self.stored - self.duplicates - self.quarantined.total() + self.readmitted.total()

    def copy(self) -> Sums:
        return Sums(self.received, self.stored, self.duplicates, Counter(self.quarantined), Counter(self.readmitted))
