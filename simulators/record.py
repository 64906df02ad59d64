"""A simulation written to files: the recording that a replay reads, and the truth of what was done."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from typing import TextIO

import numpy as np

from facility.reading import QUALITIES
from facility.site import Facility
from facility.times import format_time
from simulators.instruments import GARBLED, Chunk
from simulators.script import Truth

RECORDING_COLUMNS = ("time", "point", "value", "quality")
TRUTH_COLUMNS = ("start", "end", "kind", "places", "points", "rules")


def write_recording(
    file: TextIO, facility: Facility, chunks: Iterable[Chunk], progress: Callable[[int], object] = lambda time_ns: None
) -> int:
    """Write `time,point,value,quality` in order of time and return the number of rows.

    Duplicates stand in it twice, as they were sent; what nobody could understand is left out. `progress` gets the time of each chunk's end.
    """
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(RECORDING_COLUMNS)
    written = 0
    for whole in chunks:
        chunk = whole.take(whole.kind != GARBLED)
        names = [facility.points[point].id for point in chunk.point]
        times = [format_time(time) for time in chunk.time.tolist()]
        values = [repr(value).removesuffix(".0") for value in chunk.value.tolist()]
        rows.writerows(zip(times, names, values, np.take(QUALITIES, chunk.quality).tolist(), strict=True))
        written += len(chunk)
        progress(int(whole.time[-1]))
    return written


def write_truth(file: TextIO, truths: Iterable[Truth]) -> int:
    """Write `start,end,kind,places,points,rules`, several in a cell joined by `;`, and return the number of rows."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(TRUTH_COLUMNS)
    written = 0
    for truth in truths:
        end = "" if truth.end_ns is None else format_time(truth.end_ns)
        rows.writerow([format_time(truth.start_ns), end, truth.kind, ";".join(truth.places), ";".join(truth.points), ";".join(truth.rules)])
        written += 1
    return written
