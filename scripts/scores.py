"""Scores of the rules that ship on the scenarios that ship: `python -m scripts.scores` writes docs/scores.md, its picture, and README's table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from alerts.replay import Replay
from facility.durations import parse_duration
from facility.files import Files
from facility.site import Facility
from facility.times import parse_time
from rules.excursion import Excursion
from rules.plan import Plan, plan_of
from service.judging_files import JudgingFiles
from simulators.cleanroom import Simulation
from simulators.record import recorded
from simulators.scenario import load_scenario
from simulators.score import WEEK_NS, Found, Run, scored
from simulators.script import Truth

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "service" / "example"
START = "2026-01-05T00:00:00"
"""A Monday, local at the site."""
SEED = 1
DURATIONS = {
    "ahu-failure": "5h", "cryo-storage": "6h", "demo": "3h", "door-propped": "3h", "filter-leak": "3h", "freezer-failure": "10h",
    "instrument-faults": "3h", "normal": "6h", "open-processing": "3h", "power-dip": "1h", "pressure-reversal": "3h", "smoke-test": "2h",
    "transmission-faults": "2h", "vhp-cleaning": "3h", "workday": "17h",
}  # fmt: skip
"""How long each scenario runs; storage-year takes months, and shows nothing else than these."""
PACKS = ("pack:annex1@1", "pack:storage@1", "pack:health@1")
LIMITS = """\
point,zone,room,type,grade,quantity,occupancy,level,below,above,basis
,,,room,,temperature,,alert,18.5,21.5,
,,,room,,temperature,,action,18,22,
,,,airlock,,temperature,,alert,18.5,21.5,
,,,airlock,,temperature,,action,18,22,
,,,room,,relative_humidity,,alert,35,55,
,,,room,,relative_humidity,,action,30,60,
,,,airlock,,relative_humidity,,alert,35,55,
,,,airlock,,relative_humidity,,action,30,60,
"""
"""What a site must say itself: the climate of its rooms, here as in the rules of the example."""


@dataclass(frozen=True)
class Scene:
    """A scenario that was simulated and judged."""

    name: str
    truths: tuple[Truth, ...]
    excursions: tuple[Excursion, ...]
    run: Run


def shipped_plan() -> Plan:
    """The packs laid over the example site."""
    files = Files(EXAMPLE, {"limits.csv": LIMITS})
    judging = JudgingFiles(files, facility="facility.yaml", rules=PACKS, limits="limits.csv").judging()
    return plan_of(judging.facility, judging.rules, judging.tables, {point.id: n for n, point in enumerate(judging.facility.points)})


def scene(name: str, plan: Plan, duration_ns: int) -> Scene:
    """Simulate a scenario, judge what was recorded, and hold it against the truth."""
    start_ns = parse_time(START, ZoneInfo(plan.facility.site.timezone))
    simulation = Simulation(plan.facility, load_scenario(name), SEED, start_ns)
    names = tuple(point.id for point in plan.facility.points)
    with TemporaryDirectory(prefix="renrum-scores-") as folder:
        replay = Replay(plan, Path(folder))
        try:
            for chunk in simulation.until(start_ns + duration_ns):
                replay.take(recorded(chunk, names))
            replay.judge()
            excursions = tuple(replay.excursions())
        finally:
            replay.close()
    truths = tuple(simulation.truth(start_ns + duration_ns))
    found = [Found(one.rule, one.point, one.onset, one.raised) for one in excursions]
    return Scene(name, truths, excursions, scored(truths, found, tuple(plan.rule_by_id), len(names) * duration_ns / WEEK_NS))


def scenes() -> list[Scene]:
    """All shipped scenarios that show what they have within a day."""
    plan = shipped_plan()
    return [scene(name, plan, parse_duration(duration).of(None)) for name, duration in DURATIONS.items()]
