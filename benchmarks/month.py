"""A month of readings through the command, from Parquet to the excursions' file; beside it `vmalert -replay` on the same data and rules."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from alerts.judging.excursion_file import read_excursions
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit, spread
from benchmarks.plant import DELAY_S, KINDS, SECOND_NS, raised_by_limits, rounds
from tests.support.victoria import BINARY, VMALERT, Victoria

TOOK_S_MAX = 2.0
PERIOD_S = 60
START_S = 1_759_276_800
"""1 October 2025."""
COMMAND = [sys.executable, "-c", "from service.cli import main; main()", "replay"]


def run(bench: Bench) -> Iterator[Figure]:
    """200 points, a reading a minute; a limit with a delay for each quantity, as both know it."""
    points, count = bench.size(200, 6), bench.size(31 * 24 * 60, 300)
    folder = bench.place("month")
    values = rounds(0, count, points).value
    _write(folder, values)
    expected = raised_by_limits(count - 1, points, alert_only=True)
    _replayed(folder, expected)
    took_s, processor_s = zip(*(_replayed(folder, expected) for _ in range(bench.size(5, 1))), strict=True)
    note = f"{points:,} points, {values.size:,} readings, {expected} excursions; {spread(took_s, ' s')}"
    ours = median(took_s)
    yield Figure("a month from Parquet to the file of excursions", ours, "s", note, Limit(ours, TOOK_S_MAX, " s"))
    yield Figure("  on the processor", median(processor_s), "s", spread(processor_s, " s"))
    if BINARY is None or VMALERT is None:
        yield Figure("  vmalert -replay: left out, victoria-metrics is not installed", 0, "s")
        return
    theirs = _by_vmalert(bench.place("month-victoria"), folder, values, expected)
    yield Figure("  vmalert -replay, imported before", theirs, "s", f"{theirs / ours:.1f} times as long")


def _write(folder: Path, values: NDArray[np.float64]) -> None:
    """The recording in order of time, facility and rules; the rules for vmalert."""
    count, points = values.shape
    names = pa.DictionaryArray.from_arrays(pa.array(np.tile(np.arange(points, dtype=np.int32), count)), [f"p{n}" for n in range(points)])
    at = np.repeat((START_S + np.arange(count) * PERIOD_S) * SECOND_NS, points)
    times = pa.array(at).cast(pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"time": times, "point": names, "value": values.ravel()}), folder / "month.parquet")
    declared = [
        {"id": f"p{number}", "quantity": KINDS[number % len(KINDS)][0], "unit": KINDS[number % len(KINDS)][1], "period": f"{PERIOD_S}s"}
        for number in range(points)
    ]
    facility = {"site": {"id": "bench", "name": "Bench"}, "rooms": [{"id": "room", "name": "Room", "points": declared}]}
    ours, theirs = [], []
    for quantity, _, setpoint, _, alert in KINDS:
        side, sign, limit = ("above", ">", setpoint + alert) if alert > 0 else ("below", "<", setpoint + alert)
        delay = f"{DELAY_S * PERIOD_S}s"
        ours.append({"id": quantity, "kind": "limit", "level": "alert", "select": {"quantity": quantity}, side: limit, "on_delay": delay})
        theirs.append({"alert": quantity, "expr": f"{quantity} {sign} {limit}", "for": delay})
    (folder / "facility.yaml").write_text(json.dumps(facility))
    (folder / "rules.yaml").write_text(json.dumps({"rules": ours}))
    groups = [{"name": "bench", "interval": f"{PERIOD_S}s", "rules": theirs}]
    (folder / "vmalert.yaml").write_text(json.dumps({"groups": groups}))


def _replayed(folder: Path, expected: int) -> tuple[float, float]:
    """Seconds from the start of the process to its end, and those on the processor."""
    out = folder / "excursions.csv"
    given = [folder / "month.parquet", "--facility", folder / "facility.yaml", "--rules", folder / "rules.yaml", "--out", out]
    # With modules compiled beforehand, as an installation has them.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*COMMAND, *map(str, given)], check=True, capture_output=True, env=environment)
    took_s, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    found = sum(1 for _ in read_excursions(out))
    assert found == expected, f"{found} excursions, {expected} are in the readings"
    return took_s, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _by_vmalert(place: Path, folder: Path, values: NDArray[np.float64], expected: int) -> float:
    """Seconds of a replay by vmalert from and to a VictoriaMetrics that has the readings."""
    count, points = values.shape
    at = (START_S + np.arange(count) * PERIOD_S).tolist()
    with Victoria(place) as victoria:
        for kind, (quantity, *_) in enumerate(KINDS):
            victoria.take(quantity, ((f"p{number}", at, values[:, number].tolist()) for number in range(kind, points, len(KINDS))))
        begun = time.perf_counter()
        victoria.replay(folder / "vmalert.yaml", at[0], at[-1], PERIOD_S)
        took_s = time.perf_counter() - begun
        firing = victoria.firing()
    found = sum(int((np.diff(times, prepend=times[0] - 2 * PERIOD_S) > PERIOD_S).sum()) for times in firing.values())
    assert found == expected, f"vmalert finds {found}, {expected} are in the readings"
    return took_s
