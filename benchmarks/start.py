"""The service started on the data folder of a killed one, with a long history."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit, spread
from benchmarks.step import installation, long_history
from service.clock import SystemClock
from service.configuration.configuration import load_configuration
from service.pipeline import Pipeline

START_S_MAX = 30.0


def run(bench: Bench) -> Iterator[Figure]:
    """Each start on a fresh copy of the folder, whose files are not in the machine's memory."""
    readings, points = long_history(bench), bench.size(10_000, 60)
    old, took_s, _ = installation(bench, "old", points, readings)
    rounds, excursions = old.round, old.excursions()
    old.close()
    starts, loads = [], []
    for number in range(bench.size(3, 1)):
        folder = bench.folder / f"start-{number}"
        shutil.copytree(bench.folder / "old", folder)
        _out_of_memory(folder)
        begun = time.perf_counter()
        configuration = load_configuration(folder / "renrum.yaml", {})
        loads.append(time.perf_counter() - begun)
        pipeline = Pipeline(configuration, SystemClock())
        pipeline.start()
        starts.append(time.perf_counter() - begun)
        assert pipeline.intake.sums.stored == rounds * points
        assert pipeline.count("excursions") == excursions
        pipeline.stop()
        shutil.rmtree(folder)
    yield Figure(f"start with {readings:,} readings", median(starts), "s", spread(starts), Limit(median(starts), START_S_MAX, " s"))
    yield Figure(f"  of which to read a configuration of {points:,} points", median(loads), "s", "in CSV files, as `points_file`")
    if took_s:
        note = "the recorded steps repeated from the journal, as when state.db and series.db are lost"
        yield Figure("all of it computed again", readings / took_s, "readings/s", note)


def _out_of_memory(folder: Path) -> None:
    """Have the files read from the disk, where the system knows how."""
    for path in folder.rglob("*.db"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
