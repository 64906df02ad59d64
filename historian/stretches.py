"""The journal as full batches of lines, one stretch after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from facility.reading import Readings
from historian.lines import BATCH_LINES, Batch, batches
from historian.register import Register
from ingest.journal.entries import CONFIGURATION, INGEST, gathered, ingest_body
from ingest.journal.journal import Entry, JournalReader

KINDS = (CONFIGURATION, INGEST)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries from `first` to `last` and their lines; a configuration comes by itself. `more`: entries after it are there already."""

    first: Entry
    last: Entry
    readings: Readings
    batches: tuple[Batch, ...]
    more: bool

    @property
    def configuration(self) -> bool:
        return self.first.kind == CONFIGURATION


class Stretches:
    """Stretches after an entry, as the register names the points; it learns each configuration when its stretch is made."""

    def __init__(self, journal: JournalReader, register: Register, after: int) -> None:
        self._journal, self._register, self._after = journal, register, after
        self._entries: Iterator[Entry] = iter(())
        self._held: Entry | None = None

    def next(self) -> Stretch | None:
        """As much as makes a full batch, or as there is; None at the end of the journal."""
        entries, readings = list[Entry](), 0
        while (entry := self._next_entry()) is not None:
            if entries and (entry.kind == CONFIGURATION or readings + entry.readings > BATCH_LINES):
                self._held = entry
                break
            entries.append(entry)
            readings += entry.readings
            if entry.kind == CONFIGURATION:
                self._held = self._next_entry()
                break
        if not entries:
            return None
        if entries[0].kind == CONFIGURATION:
            described = Batch.of(self._register.configure(entries[0]))
            return Stretch(entries[0], entries[0], Readings.empty(), (described,), True)
        return self._of(entries)

    def _of(self, entries: list[Entry]) -> Stretch:
        bodies = [ingest_body(entry) for entry in entries]
        readings = gathered(entries, bodies)
        lines = list(batches(self._register.readings, readings, BATCH_LINES))
        states = [
            line
            for entry, body in zip(entries, bodies, strict=True)
            if body.states
            for line in self._register.states(body.states, entry.at)
        ]
        if states:
            lines.append(Batch.of(states))
        return Stretch(entries[0], entries[-1], readings, tuple(lines), self._held is not None)

    def _next_entry(self) -> Entry | None:
        """The journal is read on in its slices, which hold more entries than a stretch may take."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        entry = next(self._entries, None)
        if entry is None:
            self._entries = self._journal.entries(self._after, kinds=KINDS)
            entry = next(self._entries, None)
        if entry is not None:
            self._after = entry.seq
        return entry
