"""The two shipped recordings: excerpts of tests/data, judged by what the examples say."""

from __future__ import annotations

import random

from tests.support.proof import Recording
from tests.support.service import ROOT

DATA = ROOT / "tests" / "data"
SOLARCAST = Recording(ROOT / "examples" / "solarcast", (DATA / "solarcast" / "air-sensor-test-two-units.csv",))
NAB = Recording(
    ROOT / "examples" / "nab-temperature",
    (DATA / "nab-temperature" / "heating-2013-12.csv", DATA / "nab-temperature" / "cooling-2014-04.csv"),
)


def chance_of(seed: int) -> random.Random:
    """Chance with its seed printed, so that what failed can be done again."""
    print(f"seed {seed}")
    return random.Random(seed)
