"""The two shipped recordings: excerpts of tests/data, judged by what the examples say."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.support.nursery import ROOT
from tests.support.proof import Recording

DATA = ROOT / "tests" / "data"
SOLARCAST = Recording(ROOT / "examples" / "solarcast", (DATA / "solarcast" / "air-sensor-test-two-units.csv",))
NAB = Recording(
    ROOT / "examples" / "nab-temperature",
    (DATA / "nab-temperature" / "heating-2013-12.csv", DATA / "nab-temperature" / "cooling-2014-04.csv"),
)


def chance() -> random.Random:
    """Chance that is another in every run; its seed is printed, and RENRUM_TEST_SEED does that run again."""
    seed = int(os.environ.get("RENRUM_TEST_SEED", time.time_ns()))
    print(f"seed {seed}")
    return random.Random(seed)


def sawtooth(folder: Path, points: int = 8, readings: int = 200) -> Recording:
    """A recording of a reading a second at each point, in which every tenth is out of limits: an alarm every ten readings and point."""
    folder.mkdir(parents=True)
    names = [f"r.t{number}" for number in range(points)]
    listed = "\n".join(f"      - {{id: {name}, quantity: temperature, unit: degC, period: 1s, range: [-10, 60]}}" for name in names)
    (folder / "facility.yaml").write_text(
        f"site: {{id: saw, name: Sawtooth, timezone: UTC}}\nrooms:\n  - id: r\n    name: Room\n    points:\n{listed}\n"
    )
    (folder / "rules.yaml").write_text("rules:\n  - {id: warm, kind: limit, level: action, above: 25}\n")
    rows = [
        f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z,{name},{30 + number if (second + number) % 10 == 0 else 20}"
        for second in range(readings)
        for number, name in enumerate(names)
    ]
    (folder / "recording.csv").write_text("\n".join(["time,point,value", *rows, ""]))
    return Recording(folder, (folder / "recording.csv",))
