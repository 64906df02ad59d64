"""Recorded decays of particles, and the same room simulated."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facility.site import Design, Facility, Place, Point, Site
from simulators.chunk import Chunk
from simulators.cleanroom import Simulation
from simulators.plant import VENTILATION_EFFECTIVENESS
from simulators.scenario import parse_scenario

Floats = NDArray[np.float64]
FILE = Path(__file__).parent.parent / "data" / "particle-decay" / "decays.csv"
SECOND = 10**9


def recorded() -> dict[str, tuple[Floats, Floats]]:
    """(seconds, per m3) of each run."""
    runs: dict[str, list[tuple[float, float]]] = {}
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            runs.setdefault(row["run"], []).append((float(row["seconds"]), float(row["per_m3"])))
    return {run: (np.array([t for t, _ in rows]), np.array([c for _, c in rows])) for run, rows in runs.items()}


def simulated(rate_per_s: float, period_s: int, seconds: int) -> tuple[Floats, Floats]:
    """(seconds after the smoke ends, per m3) of a smoke test in a room with the air changes that such a rate comes from."""
    design = Design(volume_m3=60, air_changes_per_hour=rate_per_s * 3600 / VENTILATION_EFFECTIVENESS, people=0)
    point = Point("r.p05", "particles_0_5um", "1/m3", "r", grade="B", period_ns=period_s * SECOND)
    facility = Facility(Site("s", "S"), (Place("r", "R", "B", design=design),), (point,))
    smoke = parse_scenario("events: [{kind: intervention, place: r, particles_per_min: 1e9, for: 60s}]", "smoke.yaml")
    chunk = Chunk.concatenate(list(Simulation(facility, smoke, 1, 0).until(seconds * SECOND)))
    return chunk.time / SECOND - 60, chunk.value
