"""A simulation written to files: the recording that a replay reads, and the truth of what was done."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import numpy as np

from facility.recording.chunk import Chunk as Rows
from facility.recording.chunk import StateRow
from facility.recording.writer import RecordingWriter, chunk_of
from facility.site import Facility
from facility.times import format_time, parse_time
from simulators.chunk import GARBLED, Chunk
from simulators.script import Truth

RECORDING_COLUMNS = ("time", "point", "value", "received", "quality")
GROUP_ROWS = 200_000
TRUTH_COLUMNS = ("start", "end", "kind", "rooms", "points", "rules")


class NoTruthFile(Exception):
    """A file that is no truth.csv: which file, what is wrong with it, what to do."""


def write_recording(
    path: Path, facility: Facility, chunks: Iterable[Chunk], progress: Callable[[int], object] = lambda time_ns: None
) -> int:
    """Write a recording, CSV or Parquet by its name, in the order of arrival, and return the number of readings.

    Duplicates stand in it twice, as they were sent; what nobody could understand is left out. `progress` gets the time of each chunk's end.
    RecordingError when the file cannot be written.
    """
    names = tuple(point.id for point in facility.points)
    readings = 0
    with RecordingWriter(path, RECORDING_COLUMNS) as writer:
        for chunk in _gathered(chunks):
            rows = recorded(chunk, names)
            writer.write(rows)
            readings += len(rows)
            progress(max([*chunk.sent[-1:].tolist(), *(state.time for state in chunk.states[-1:])]))
    return readings


def _gathered(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Chunks of GROUP_ROWS or so: Parquet keeps an account of every group of rows that it writes."""
    waiting: list[Chunk] = []
    for chunk in chunks:
        waiting.append(chunk)
        if sum(map(len, waiting)) >= GROUP_ROWS:
            yield Chunk.concatenate(waiting)
            waiting = []
    if waiting:
        yield Chunk.concatenate(waiting)


def recorded(chunk: Chunk, names: tuple[str, ...]) -> Rows:
    """A chunk as a recording has it, without what nobody could understand; `names` are the ids of the facility's points in their order."""
    chunk = chunk.take(chunk.kind != GARBLED).with_states(chunk.states)
    rows = chunk_of(names, chunk.point.astype(np.int32), chunk.time, chunk.value, chunk.quality, chunk.sent)
    if not chunk.states:
        return rows
    places = np.searchsorted(chunk.sent, [state.time for state in chunk.states]).tolist()
    states = (StateRow(one.place, one.time, one.state, one.time, 0, before) for one, before in zip(chunk.states, places, strict=True))
    return replace(rows, states=tuple(states))


class TruthWriter:
    """Writes `start,end,kind,rooms,points,rules`, several in a cell joined by `;`."""

    def __init__(self, file: TextIO) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(TRUTH_COLUMNS)
        self.written = 0

    def write(self, truths: Iterable[Truth]) -> None:
        """Append rows, in the order given."""
        for truth in truths:
            end = "" if truth.end_ns is None else format_time(truth.end_ns)
            lists = (";".join(names) for names in (truth.places, truth.points, truth.rules))
            self._rows.writerow([format_time(truth.start_ns), end, truth.kind, *lists])
            self.written += 1


def tee_truth(chunks: Iterable[Chunk], tell: Callable[[], Iterable[Truth]], writer: TruthWriter) -> Iterator[Chunk]:
    """The chunks, with the truth so far written after each: it is never held for long."""
    for chunk in chunks:
        yield chunk
        writer.write(tell())


def read_truth(path: Path) -> list[Truth]:
    """The rows of a truth.csv, in its order; raises NoTruthFile, OSError."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        columns = tuple(next(rows, []))
        if columns != TRUTH_COLUMNS:
            raise NoTruthFile(f"{path}: has the columns {', '.join(columns) or 'of nothing'}; expected {','.join(TRUTH_COLUMNS)}.")
        truths = []
        for cells in rows:
            try:
                start, end, kind, *lists = cells
                places, points, rules = (tuple(cell.split(";")) if cell else () for cell in lists)
                truths.append(Truth(parse_time(start), parse_time(end) if end else None, kind, places, points, rules))
            except ValueError as error:
                raise NoTruthFile(
                    f"{path}: line {rows.line_num} is no event ({error}). Give a file that `renrum simulate` wrote."
                ) from None
        return truths
