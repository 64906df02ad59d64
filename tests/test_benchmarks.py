"""The benchmarks run, check their answers and print their rows; how long they take is nobody's promise here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.figure import Figure, Limit, number, ratio, table
from tests.support.influx import needs_influxd
from tests.support.mosquitto import needs_mosquitto
from tests.support.victoria import needs_vmalert

ROOT = Path(__file__).parent.parent
FIGURES = {
    "messages": 3, "journal": 3, "judging": 13, "month": 3, "start": 3, "step": 13, "rules": 8, "derived": 3, "flood": 7, "trends": 2,
    "latency": 1, "historian": 5,
}  # fmt: skip

NEEDS: dict[str, Any] = {
    "messages": needs_mosquitto, "latency": needs_mosquitto, "start": needs_mosquitto,
    "historian": (needs_mosquitto, needs_influxd), "month": needs_vmalert,
}  # fmt: skip


def bench(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", "--tiny", "--folder", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS.get(name, ())) for name in BENCHMARKS])
def test_a_benchmark_runs_and_gives_its_figures(name: str, tmp_path: Path) -> None:
    told = json.loads(bench(tmp_path, name, "--json"))
    assert told["benchmark"] == name
    assert len(told["figures"]) == FIGURES[name]
    assert all(figure["value"] > 0 or figure["unit"] == "MB" for figure in told["figures"])
    assert all(isinstance(figure["kept"], bool) for figure in told["figures"] if figure["limit"])
    assert list(tmp_path.iterdir()) == []


def test_without_json_there_is_the_machine_and_a_table(tmp_path: Path) -> None:
    machine, empty, title, head, *rows = bench(tmp_path, "journal").splitlines()
    assert "fsync of 4 kB" in machine
    assert empty == ""
    assert title.startswith("journal (")
    assert head.split() == ["measured", "limit"]
    assert len(rows) == FIGURES["journal"]
    assert all("entries/s" in row for row in rows)


def test_an_unknown_name_is_refused_with_those_there_are(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "stepp", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"no benchmark stepp; there are {', '.join(BENCHMARKS)}" in done.stderr


def test_a_limit_is_kept_at_its_value_and_over_beyond() -> None:
    assert Limit(25.0, 25.0).kept
    assert not Limit(25.1, 25.0).kept
    assert Limit(0.8, 0.8, at_least=True).kept
    assert not Limit(0.79, 0.8, at_least=True).kept
    rows = table([Figure("a", 1234.5, "ms", limit=Limit(60.0, 50.0, " ms")), Figure("b", 0.5, "s", "why")]).splitlines()
    assert rows[1].split() == ["a", "1,234", "ms", "60.0", "ms", "≤", "50.0", "ms", "OVER"]
    assert rows[2].split() == ["b", "0.50", "s", "why"]


def test_ratios_are_of_runs_side_by_side() -> None:
    assert ratio([2.0, 30.0, 9.0], [1.0, 10.0, 9.0]) == 2.0
    assert [number(value) for value in (12345.6, 12.345, 0.8123)] == ["12,346", "12.3", "0.81"]
