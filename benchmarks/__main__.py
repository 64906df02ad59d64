"""`python -m benchmarks [NAME …]`: run benchmarks and print each figure beside its limit."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import derived, flood, historian, journal, judging, latency, messages, month, ruled, start, step, trends
from benchmarks.bench import Bench, machine
from benchmarks.figure import Figure, as_json, table

BENCHMARKS: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "messages": messages.run,
    "journal": journal.run,
    "judging": judging.run,
    "month": month.run,
    "start": start.run,
    "step": step.run,
    "rules": ruled.run,
    "derived": derived.run,
    "flood": flood.run,
    "trends": trends.run,
    "latency": latency.run,
    "historian": historian.run,
}
"""In this order `step` goes on with the history that `start` has made."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What Renrum promises about speed, measured.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all of them when none is given")
    parser.add_argument("--tiny", action="store_true", help="so small that it only shows that everything runs")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each benchmark")
    parser.add_argument("--folder", type=Path, default=Path("build"), help="a folder on the disk that is measured (default: build)")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
        bench = Bench(Path(folder), asked.tiny)
        if not asked.json:
            print(machine(bench.folder), flush=True)
        for name in [name for name in BENCHMARKS if name in asked.names or not asked.names]:
            begun = time.perf_counter()
            figures = list(BENCHMARKS[name](bench))
            if asked.json:
                print(as_json(name, figures), flush=True)
            else:
                print(f"\n{name} ({time.perf_counter() - begun:.0f} s)\n{table(figures)}", flush=True)


if __name__ == "__main__":
    main()
