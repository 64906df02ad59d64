"""An edge node as its births have made it known: its metrics, and which numbers of its messages are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ingest.sparkplug.metric import Definition

NUMBERS = 256
"""Messages of a node are numbered 0 to 255, over and over."""


@dataclass(frozen=True, slots=True)
class Born:
    """The metrics of a birth, by alias and by name, and the numbers of the points that they report."""

    by_alias: dict[int, Definition]
    by_name: dict[str, Definition]
    points: tuple[int, ...]


@dataclass(slots=True)
class Node:
    """A node since its NBIRTH; `births` has its own metrics under the empty name, those of its devices under theirs.

    `bd_seq` tells its death from that of an earlier session, None when it gave none; `first` is the number of its NBIRTH, `expected` of
    what comes next, `missing` those that were skipped. `sent_ms` is when the NBIRTH was sent. `doubtful`: a birth may have been lost, so
    that an alias may stand for something else.
    """

    births: dict[str, Born]
    bd_seq: int | None
    first: int
    sent_ms: int
    expected: int = 0
    missing: set[int] = field(default_factory=set)
    overdue_ns: int = 0
    doubtful: bool = False

    def draft(self) -> Node:
        """A copy to change; births are never changed, but replaced."""
        return replace(self, births=dict(self.births), missing=set(self.missing))

    def follow(self, number: int, deadline_ns: int) -> bool:
        """Take note of a message's number; False when it is out of sequence. Those skipped are waited for until the deadline."""
        if number == self.expected:
            self.expected = (number + 1) % NUMBERS
            return True
        if number in self.missing or number == (self.expected - 1) % NUMBERS:  # late, or once more
            self.missing.discard(number)
            return False
        if not self.missing:
            self.overdue_ns = deadline_ns
        self.missing.update(self._between(number))
        self.expected = (number + 1) % NUMBERS
        return False

    @property
    def certain(self) -> bool:
        """Whether no NBIRTH can have been among what was missed."""
        return not self.doubtful and self.first not in self.missing

    def _between(self, number: int) -> Iterator[int]:
        return (skipped % NUMBERS for skipped in range(self.expected, self.expected + (number - self.expected) % NUMBERS))

    def give_up(self) -> int:
        """The missing messages are lost; how many."""
        lost = len(self.missing)
        self.doubtful = not self.certain
        self.missing.clear()
        return lost
