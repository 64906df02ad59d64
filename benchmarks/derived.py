"""A step with derived points: readings computed from those of others, and judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit, ratio, spread
from benchmarks.history import Installation
from benchmarks.plant import ROOM_POINTS, site
from service.configuration.configuration import Configuration, load_configuration

STEP_MS_MAX = 15.0
DERIVED = 100


def run(bench: Bench) -> Iterator[Figure]:
    """Steps with a reading of every point on a site with 100 derived points, and on one without, in turn."""
    points, derived = bench.size(1000, 100), bench.size(DERIVED, 10)
    without = opened(bench.place("underived"), site(bench.place("underived"), points), points)
    computed = opened(bench.place("derived"), derived_site(bench.place("derived"), points, derived), points)
    took_ms: tuple[list[float], list[float]] = ([], [])
    on_cpu_ms: list[float] = []
    for number in range(bench.size(200, 50)):
        for which, took in zip((computed, without), took_ms, strict=True):
            which.arrive(1, 100)
            begun = time.process_time()
            took.append(which.step() / 1e6)
            if which is computed:
                on_cpu_ms.append((time.process_time() - begun) * 1e3)
        assert number < 5 or len(computed.ledger.judgement.derived) >= derived * 2 // 3, "derived points say nothing"
    ours = median(took_ms[0][50:] or took_ms[0])
    what = f"step, {points:,} points, {derived} of them derived of others besides"
    yield Figure(what, ours, "ms", spread(took_ms[0]), Limit(ours, STEP_MS_MAX, " ms"))
    yield Figure("  on the processor", median(on_cpu_ms), "ms", spread(on_cpu_ms))
    note = f"without derived points: with them {ratio(*took_ms):.1f} times as long"
    yield Figure("  the same points", median(took_ms[1]), "ms", note)
    computed.close()
    without.close()


def opened(folder: Path, configuration: Configuration, points: int) -> Installation:
    """An installation whose steps all have a new reading of each measured point; the first is taken."""
    installation = Installation.open(folder / "data", points, durable=False)
    installation.configure(configuration)
    installation.arrive(1, 1000)
    installation.step()
    return installation


def derived_site(folder: Path, points: int, derived: int) -> Configuration:
    """The plant's site and as many derived points in rooms of their own: differences, highest of a room, sums, in turn."""
    site(folder, points)
    rows = "".join(f"      - {_point(number, points)}\n" for number in range(derived))
    facility = folder / "facility.yaml"
    facility.write_text(f"{facility.read_text('utf-8')}  - id: computed\n    name: Computed\n    points:\n{rows}", "utf-8")
    return load_configuration(folder / "renrum.yaml", {})


def _point(number: int, points: int) -> str:
    room = number % -(-points // ROOM_POINTS)
    first = (number * 6 + number // 100) % (points - 3)
    name, other = (f"r{at // ROOM_POINTS}.p{at}" for at in (first, first + 3))
    ways = (f"{{difference: [{name}, {other}]}}", f"{{maximum: {{room: r{room}}}}}", f"{{sum: {name}, volume: 1 m3, sample: 28.3 L}}")
    if number % 3 == 2:
        return f"{{id: d{number}, quantity: particles_5_0um, unit: 1/m3, derived: {ways[2]}}}"
    quantity = "temperature" if number % 3 == 1 else ("differential_pressure", "temperature", "relative_humidity")[first % 3]
    return f"{{id: d{number}, quantity: {quantity}, derived: {ways[number % 3]}}}"
