"""What a check found wrong: where exactly, and what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from facility.times import format_time

KEPT_MAX = 1000
Progress = Callable[[int, int], None]
"""Told now and then how much is done, and how much there is."""


def unwatched(done: int, total: int) -> None:
    """Nobody looks at the progress."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong: at a journal entry, or at a byte of a file (`offset` from its start, `page` from 1), or neither."""

    what: str
    entry: int | None = None
    kind: str = ""
    at: int | None = None
    file: str = ""
    page: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        if self.entry is not None:
            kind = f" ({self.kind}{f' of {format_time(self.at)}' if self.at is not None else ''})" if self.kind else ""
            return f"entry {self.entry}{kind}: {self.what}"
        if self.offset is not None:
            page = f" (page {self.page})" if self.page is not None else ""
            return f"{self.file}, byte {self.offset}{page}: {self.what}"
        return f"{self.file}: {self.what}" if self.file else self.what

    def document(self) -> dict[str, object]:
        """For programs: what is not known is left out."""
        known = {
            "entry": self.entry,
            "kind": self.kind or None,
            "time": None if self.at is None else format_time(self.at),
            "file": self.file or None,
            "page": self.page,
            "offset": self.offset,
        }
        return {"what": self.what} | {name: value for name, value in known.items() if value is not None}


@dataclass(slots=True)
class Flaws:
    """All flaws of one check: the first thousand are kept, all are counted."""

    kept: list[Flaw] = field(default_factory=list)
    total: int = 0

    def add(self, flaw: Flaw) -> None:
        self.total += 1
        if len(self.kept) < KEPT_MAX:
            self.kept.append(flaw)

    def __iter__(self) -> Iterator[Flaw]:
        return iter(self.kept)

    def __bool__(self) -> bool:
        return self.total > 0
