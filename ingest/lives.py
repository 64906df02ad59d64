"""Which sources live: those that announce their births and deaths, as the journal tells it."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.journal.entries import SourceBody

BORN, DIED, GAP = "born", "died", "gap"


class Lives(dict[str, list[int]]):
    """The numbers of the points that each living source speaks for, by the source; `lost` counts messages that are known to be missing.

    >>> lives = Lives()
    >>> lives.add(SourceBody("plant/ahu1/plc", BORN, [3, 4])); lives.add(SourceBody("plant/ahu1", DIED, [3, 4])); lives
    {}
    """

    lost = 0

    def add(self, body: SourceBody) -> None:
        """Take the next event; the death of a node is that of its devices."""
        if body.event == BORN:
            self[body.source] = list(body.points)
        elif body.event == DIED:
            for source in self.of(body.source):
                del self[source]
        self.lost += body.lost

    def of(self, source: str) -> Sequence[str]:
        """The source and its devices, of those that live."""
        return [known for known in self if known == source or known.startswith(f"{source}/")]

    def copy(self) -> Lives:
        lives = Lives(self)
        lives.lost = self.lost
        return lives
