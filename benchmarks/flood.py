"""A storm: every point out of its limits in the same second. Nothing is lost, few pages are sent, people can go on."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from statistics import median

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit
from benchmarks.history import Installation
from benchmarks.plant import DELAY_S, site
from dashboards.views import AlarmQuery
from ingest.journal.entries import ACTION, ActionBody, encode
from service.configuration.judging import Judges
from service.pages.paging import Paging
from service.stored import records

STORM_S_MAX = 10.0
LIST_MS_MAX = 200.0
STEP_MS_MAX = 2000.0
MEMORY_MB_MAX = 300.0
SYSTEMS = 10
STANDING = ("unacknowledged", "returned")


def run(bench: Bench) -> Iterator[Figure]:
    """The alert and the action level of each point are one alarm; ten systems serve the rooms."""
    points = bench.size(10_000, 200)
    configuration = site(bench.place("flood"), points, systems=SYSTEMS)
    with closing(_installation(bench, points)) as storm:
        storm.configure(configuration)
        for _ in range(3):
            storm.arrive(1, 1000)
            storm.step()
        before, took_s = _memory_mb(), []
        for _ in range(DELAY_S + 2):
            storm.arrive(1, 1000, out=points)
            took_s.append(storm.step() / 1e9)
        after = _memory_mb()
        alarms, pages = (storm.store.rows(f"select count(*) from {table}")[0][0] for table in ("alarms", "outbox"))
        told = storm.store.rows("select count(*) from alarms where \"group\" != ''")[0][0]
        assert (alarms, told) == (points, points), f"{alarms} alarms, {told} in groups, of {points}"
        yield Figure(f"step that raises {points:,} alarms", max(took_s), "s", "", Limit(max(took_s), STORM_S_MAX, " s"))
        yield Figure("  pages", pages, "pages", f"of {SYSTEMS} systems", Limit(pages, SYSTEMS))
        yield Figure("  memory more than before", after - before, "MB", "", Limit(after - before, MEMORY_MB_MAX, " MB"))
        steps = [_step(storm, points) for _ in range(bench.size(5, 2))]
        yield Figure("step while they stand", median(steps), "ms", "", Limit(median(steps), STEP_MS_MAX, " ms"))
        with closing(storm.store.reader()) as reader:
            listed = _ms(lambda: records.alarms(reader, AlarmQuery(STANDING), 100, None))
            yield Figure("first hundred of the alarm list", listed, "ms", "", Limit(listed, LIST_MS_MAX, " ms"))
            counted = _ms(lambda: records.tallies(reader, 0))
            yield Figure("counts of health and metrics", counted, "ms")
        took_ms = _acknowledged(storm)
        yield Figure("acknowledging a group", took_ms, "ms", f"of {points // SYSTEMS:,} alarms, each by name")


def _installation(bench: Bench, points: int) -> Installation:
    """One that tells people."""
    opened = Installation.open(bench.place("flood") / "data", points)
    judges = Judges()
    paging = Paging(judges)
    opened.ledger._plan_of = paging.plan
    opened.ledger._alarms = paging.alarms(opened.store)
    return opened


def _step(storm: Installation, out: int) -> float:
    storm.arrive(1, 1000, out=out)
    return storm.step() / 1e6


def _acknowledged(storm: Installation) -> float:
    storm.journal.append(ACTION, encode(ActionBody("acknowledge", "G1", "Karin", "the air handler")), storm._at_ns, storm._heard_ns)
    took_ms = storm.step() / 1e6
    waiting = storm.store.rows("select count(*) from alarms where \"group\" = 'G1' and state = 'unacknowledged'")[0][0]
    assert waiting == 0, f"{waiting} alarms of the group wait still"
    return took_ms


def _ms(asked: Callable[[], object]) -> float:
    begun = time.perf_counter()
    asked()
    return (time.perf_counter() - begun) * 1e3


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
