"""A site of any size and what its instruments say: noise around set points, now and then an excursion, a blip, a bad reading.

Which point does what when follows from its number, so that a benchmark knows how many excursions have to come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facility.reading import BAD
from service.configuration.configuration import Configuration, load_configuration

SECOND_NS = 10**9
PERIOD_NS = SECOND_NS
ROOM_POINTS = 100
KINDS = (
    ("differential_pressure", "Pa", 15.0, 0.3, -4.0),
    ("temperature", "degC", 20.0, 0.15, 2.0),
    ("relative_humidity", "%", 45.0, 0.6, 8.0),
)
"""Quantity, unit, set point, noise (standard deviation), alert limit minus set point; the action limit is half as far again."""

EXCURSION_EVERY, EXCURSION_ROUNDS = 20_000, 120
"""Of so many rounds (one reading of each point) each point is out of limits for so many in a row: some 60 of 10,000 at any time."""
BLIP_EVERY, BLIP_ROUNDS = 1000, 3
"""And as often for too few to count, as when a door is opened."""
DELAY_S = 5
BAD_EVERY = 10_007


@dataclass(frozen=True, slots=True)
class Round:
    """Values float64 and qualities uint8, [rounds, points]."""

    value: NDArray[np.float64]
    quality: NDArray[np.uint8]


def site(folder: Path, points: int, *, quality: bool = False, systems: int = 0) -> Configuration:
    """Write a configuration with so many points, three rules each (alert, action, stale; with `quality` four), and load it.

    `systems` serve the rooms in turn.
    """
    rooms = []
    for room in range(-(-points // ROOM_POINTS)):
        rooms.append(f"  - {{id: r{room}, name: Room {room}, grade: C, points_file: r{room}.csv}}\n")
        rows = ["id,name,quantity,unit,period\n"]
        for number in range(room * ROOM_POINTS, min(points, (room + 1) * ROOM_POINTS)):
            quantity, unit, *_ = KINDS[number % len(KINDS)]
            rows.append(f"r{room}.p{number},Point {number},{quantity},{unit},1s\n")
        (folder / f"r{room}.csv").write_text("".join(rows), "utf-8")
    served = [", ".join(f"r{room}" for room in range(number, len(rooms), systems)) for number in range(min(systems, len(rooms)))]
    plant = "".join(f"  - {{id: ahu{number}, serves: [{names}]}}\n" for number, names in enumerate(served))
    plant = f"systems:\n{plant}" if plant else ""
    (folder / "facility.yaml").write_text(f"site: {{id: bench, name: Bench}}\n{plant}rooms:\n" + "".join(rooms), "utf-8")
    (folder / "rules.yaml").write_text(_rules(quality), "utf-8")
    (folder / "oncall.yaml").write_text("channels: {sink: {kind: local, file: data/pages.jsonl}}\n", "utf-8")
    main = "environment: validation\nfacility: facility.yaml\nrules: rules.yaml\noncall: oncall.yaml\ndata_dir: data\n"
    (folder / "renrum.yaml").write_text(main + "mqtt: {url: embedded}\nhttp: {host: 127.0.0.1, port: 0}\n", "utf-8")
    return load_configuration(folder / "renrum.yaml", {})


def _rules(quality: bool) -> str:
    rules = ["rules:\n"]
    for quantity, _, setpoint, noise, alert in KINDS:
        side = "above" if alert > 0 else "below"
        levels = f"{{alert: {{{side}: {setpoint + alert}}}, action: {{{side}: {setpoint + 1.5 * alert}}}}}"
        delays = f"deadband: {noise}, on_delay: {DELAY_S}s, off_delay: {DELAY_S}s"
        rules.append(f"  - {{id: {quantity}, kind: limit, select: {{quantity: {quantity}}}, levels: {levels}, {delays}}}\n")
    rules.append("  - {id: quiet, kind: stale, after: 60s}\n")
    if quality:
        rules.append("  - {id: faulty, kind: quality}\n")
    return "".join(rules)


def rounds(first: int, count: int, points: int) -> Round:
    """What `points` points say in the rounds from `first` on."""
    kind = np.arange(points) % len(KINDS)
    setpoint, noise, alert = (np.array([row[column] for row in KINDS])[kind] for column in (2, 3, 4))
    value = np.random.default_rng(first).standard_normal((count, points))
    np.clip(value, -2.5, 2.5, out=value)
    value *= noise
    value += setpoint
    number = np.arange(first, first + count)[:, None] + _phase(points)
    out = number % EXCURSION_EVERY < EXCURSION_ROUNDS
    out |= (number + BLIP_EVERY // 2) % BLIP_EVERY < BLIP_ROUNDS
    row, column = np.nonzero(out)
    value[row, column] += (alert * np.where(_severe(points), 2.2, 1.25))[column]
    quality = np.where((number * 31 % BAD_EVERY == 0) & ~out, BAD, 0).astype(np.uint8)
    return Round(value, quality)


def severely(points: int) -> NDArray[np.float64]:
    """How far beyond its set point each of the first points is when it breaks both of its limits."""
    return np.array([row[4] for row in KINDS])[np.arange(points) % len(KINDS)] * 2.2


def raised_by_limits(last: int, points: int, *, alert_only: bool = False) -> int:
    """How many excursions of the limit rules are raised in the rounds 0 to `last`, that one included."""
    phase = _phase(points)
    # A point that starts in the middle of an excursion still has enough readings of it, or not.
    left = EXCURSION_ROUNDS - phase
    at_start = (phase < EXCURSION_ROUNDS) & (left > DELAY_S) & (last >= DELAY_S)
    whole = np.maximum(0, (last + phase - DELAY_S) // EXCURSION_EVERY)
    return int(((at_start + whole) * np.where(_severe(points) & (not alert_only), 2, 1)).sum())


def _phase(points: int) -> NDArray[np.int64]:
    return np.arange(points) * 7919 % EXCURSION_EVERY


def _severe(points: int) -> NDArray[np.bool_]:
    """Which points break the action limit too."""
    severe: NDArray[np.bool_] = np.arange(points) // 7 % 3 == 0
    return severe
