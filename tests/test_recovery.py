"""Simulated smoke tests beside recorded ones (simulators/recovery.py; tests/data/particle-decay)."""

from __future__ import annotations

import numpy as np
import pytest

from simulators.recovery import fit_recovery
from tests.support.decays import recorded, simulated

RUNS = recorded()
DECADE_S = {"cleaner A, full fan": 86, "cleaner A, two thirds": 107, "cleaner A, one third": 197, "cleaner B, smoke": 83,
            "cleaner B, laser photometer": 77}  # fmt: skip
"""From a tenth to a hundredth of the peak, read off the whole recordings."""


def test_a_fit_finds_the_rate_of_an_exponential() -> None:
    time = np.arange(0.0, 1000.0, 10.0)
    found = fit_recovery(time, 1e6 * np.exp(-time / 120))
    assert found.hundredfold_s == pytest.approx(120 * np.log(100))
    assert found.begin_s == pytest.approx(270)
    assert found.r2 == pytest.approx(1)
    with pytest.raises(ValueError, match="2 samples between"):
        fit_recovery(np.array([0.0, 1.0, 2.0]), np.array([10.0, 1.0, 0.05]), 0.5)


@pytest.mark.parametrize("run", DECADE_S)
def test_a_simulated_smoke_test_decays_like_the_recorded_one(run: str) -> None:
    time, per_m3 = RUNS[run]
    real = fit_recovery(time, per_m3)
    assert np.log(10) / real.per_s == pytest.approx(DECADE_S[run], rel=0.15)
    assert real.r2 > 0.98, "one well mixed room"
    made_time, made_per_m3 = simulated(real.per_s, 10, 1800)
    made = fit_recovery(made_time, made_per_m3)
    assert made.per_s == pytest.approx(real.per_s, rel=0.03)
    assert made.r2 > 0.98
    window = np.linspace(0, np.log(10) / real.per_s, 20)
    real_course = np.interp(real.begin_s + window, time, np.log10(np.maximum(per_m3, 1.0)))
    made_course = np.interp(made.begin_s + window, made_time, np.log10(np.maximum(made_per_m3, 1.0)))
    off = (real_course - real_course[0]) - (made_course - made_course[0])
    assert np.sqrt(np.mean(off**2)) < 0.12, "in decades, over one decade"


def test_without_a_cleaner_it_takes_the_hours_that_leaks_and_settling_take() -> None:
    time, per_m3 = RUNS["no cleaner"]
    real = fit_recovery(time, per_m3, 1.0, 0.01)
    assert 2.0 < real.per_s * 3600 < 3.2
    assert real.r2 > 0.97
    made = fit_recovery(*simulated(real.per_s, 60, 4000), 1.0, 0.01)
    assert made.per_s == pytest.approx(real.per_s, rel=0.05)
