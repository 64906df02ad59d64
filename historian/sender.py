"""Batches to InfluxDB: what it refuses is found line by line, what is too large is halved, the rest goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from historian.influx import BeyondRetention, LinesRefused, TooMuch
from historian.lines import Batch
from historian.progress import Progress, Refusal

_KEPT_CHARS = 2_000
"""So much of a refused line is kept; the journal has what it was made of."""


class Writes(Protocol):
    """What takes lines; raises InfluxFault."""

    def write(self, text: bytes) -> None: ...


class Sender:
    """Counts what became of the lines: `written`, `refused`, `beyond` what the bucket keeps."""

    def __init__(self, influx: Writes, progress: Progress, now_ns: Callable[[], int]) -> None:
        self._influx, self._progress, self._now_ns = influx, progress, now_ns
        self.written = self.refused = self.beyond = 0

    def send(self, batch: Batch) -> None:
        """Returns when every line is in InfluxDB, refused and kept, or older than the bucket keeps; else raises InfluxFault."""
        if not batch.count:
            return
        try:
            self._influx.write(batch.text)
        except BeyondRetention as fault:
            self.beyond += fault.dropped
            self.written += batch.count - fault.dropped
        except (LinesRefused, TooMuch) as fault:
            self._divide(batch, str(fault))
        else:
            self.written += batch.count

    def _divide(self, batch: Batch, words: str) -> None:
        """Halves, each by itself; InfluxDB names one line of a batch at most, and what it took of the others is taken again."""
        lines = batch.lines()
        if len(lines) == 1:
            text = lines[0].decode(errors="replace").rstrip("\n")
            self._progress.refuse([Refusal(self._now_ns(), text[:_KEPT_CHARS], words)])
            self.refused += 1
            return
        middle = len(lines) // 2
        for half in (lines[:middle], lines[middle:]):
            self.send(Batch.of(half))
