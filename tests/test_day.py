"""A day of the example site with the packs alone: every seeded fault is found, and there is not one alarm beside them.

Two shifts, a nightly shutdown of the cabinet, doors, people; the service is patched for ten minutes, then drains the broker's queue.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from alerts.judging.replay import Replay
from facility.files import Files
from facility.times import format_time, parse_time
from rules.excursion import CURRENT, Excursion
from rules.plan import plan_of
from scripts.scores import EXAMPLE, PACKS
from service.configuration.judging_files import JudgingFiles
from simulators.chunk import Chunk
from simulators.cleanroom import Simulation
from simulators.record import recorded
from simulators.scenario import load_scenario
from simulators.score import WEEK_NS, Found, scored
from tests.support.day import Day, Stop, reported_on_change

DOORS = "on_change"  # or periodic
START = "2026-01-05T00:00:00"
DAY_NS, MINUTE_NS = 86_400 * 10**9, 60 * 10**9
SEED = 1


class Simulated:
    """The day, simulated once: what was sent, what is true, and the plan of the packs."""

    def __init__(self) -> None:
        facility = (EXAMPLE / "facility.yaml").read_text("utf-8")
        if DOORS == "on_change":
            facility = facility.replace('quantity: door, unit: "1"', 'quantity: door, unit: "1", reports: on_change')
        judging = JudgingFiles(Files(EXAMPLE, {"facility.yaml": facility}), facility="facility.yaml", rules=PACKS).judging()
        points = judging.facility.points
        self.plan = plan_of(judging.facility, judging.rules, judging.tables, {point.id: n for n, point in enumerate(points)})
        self.start = parse_time(START, ZoneInfo(judging.facility.site.timezone))
        self.end = self.start + DAY_NS
        simulation = Simulation(judging.facility, load_scenario("day"), SEED, self.start)
        self.sent = Chunk.concatenate(list(simulation.until(self.end)))
        self.truths = simulation.truth(self.end)
        if DOORS == "on_change":
            self.sent = reported_on_change(self.sent, frozenset(n for n, point in enumerate(points) if point.quantity == "door"))

    def told(self, excursions: list[Excursion]) -> tuple[list[str], list[str]]:
        """The faults that nothing found, and the alarms beside the faults."""
        found = [Found(one.rule, one.point, one.onset, one.raised) for one in excursions]
        run = scored(self.truths, found, tuple(self.plan.rule_by_id), 30 * DAY_NS / WEEK_NS)
        missed = [f"{fault.truth.kind} at {format_time(fault.truth.start_ns)}" for fault in run.faults if not fault.found_by]
        return missed, [f"{one.rule} at {one.point}, {format_time(one.onset)}" for one in run.false]


@pytest.fixture(scope="module")
def day() -> Simulated:
    return Simulated()


@pytest.fixture(scope="module")
def replayed(day: Simulated, tmp_path_factory: pytest.TempPathFactory) -> list[Excursion]:
    names = tuple(point.id for point in day.plan.facility.points)
    with closing(Replay(day.plan, tmp_path_factory.mktemp("replay"))) as replay:
        replay.take(recorded(day.sent, names))
        replay.judge()
        return list(replay.excursions())


def test_the_day_has_faults_of_every_sort_that_packs_see(day: Simulated) -> None:
    assert len({truth.kind for truth in day.truths if truth.rules}) >= 17


def test_every_fault_is_found_and_nothing_beside_them(day: Simulated, replayed: list[Excursion]) -> None:
    assert day.told(replayed) == ([], [])


def test_also_when_the_service_is_patched_meanwhile_and_drains_the_queue(day: Simulated, replayed: list[Excursion]) -> None:
    """A door stands open while nobody listens: it is found when the queue is drained. No point is silent because nobody listened."""
    stop = Stop(day.start + 870 * MINUTE_NS, day.start + 880 * MINUTE_NS)
    lived = Day(day.plan, day.start, stop)
    lived.live(day.sent, day.end)
    every = lived.store.excursions()
    assert day.told(every) == ([], []), "revised and superseded ones too"
    assert [one.point for one in every if one.rule == "annex1-door.action" and stop.begin < one.raised < stop.end] == ["mal1.door1.open"]
    assert _same(lived.store.excursions("status = ?", (CURRENT,))) == _same(replayed)


def _same(excursions: list[Excursion]) -> list[Excursion]:
    """What must be the same live and offline; when silence ends is told by the arrivals."""
    plain = [replace(one, id="", revision=0, late=False, config="") for one in excursions if one.rule != "health-silent"]
    return sorted(plain, key=lambda one: (one.onset, one.rule, one.point))
