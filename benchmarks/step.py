"""A step with 10,000 points: journal read, decode, judge, commit; after a short history and after a long one."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from alerts.ledger import NEWEST_EVERY
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit, spread
from benchmarks.history import Installation, lived
from benchmarks.plant import DELAY_S, raised_by_limits, site
from service.configuration.configuration import Configuration

STEP_MS_MAX = 50.0
GROWTH_MAX = 1.2
Pair = tuple[Installation, Installation]


def run(bench: Bench) -> Iterator[Figure]:
    """Steps on both installations in turn, each with one reading of every point."""
    points, steps = bench.size(10_000, 60), bench.size(20, 2)
    young, _, configuration = installation(bench, "young", points, points)
    old, _, _ = installation(bench, "old", points, long_history(bench))
    lengths = (f"{points:,} readings", f"{long_history(bench):,}")
    yield from _variant((young, old), steps, "3 rules", lengths)
    more = site(bench.place("more"), points, quality=True)
    for which in (young, old):
        which.configure(more)
        took_ms = which.step() / 1e6
        assert which.ledger.judgement.plan.config == more.judging_hash != configuration.judging_hash
    yield from _variant((young, old), steps, "4 rules", lengths)
    yield Figure("  step in which a configuration takes force", took_ms, "ms", "it is read again from its journal entry")
    for which in (young, old):
        expected = raised_by_limits(which.round - 1, points)
        found = which.excursions() - which.excursions("faulty")
        assert found == expected, f"{found} excursions, {expected} are in the readings"
    yield from _pauses(old)
    yield from _late(old, bench.size(1000, 20))
    yield from _storm(young, bench.size(1000, 20))
    young.close()
    old.close()


def long_history(bench: Bench) -> int:
    """Readings of history of the older installation."""
    return bench.size(10_000_000, 60_000)


def installation(bench: Bench, name: str, points: int, readings: int) -> tuple[Installation, float, Configuration]:
    """An installation with history, closed as by a kill and opened again; it is made once in a run. How long its steps took, in s."""
    folder = bench.place(name)
    configuration = site(folder, points)
    data = folder / "data"
    if (data / "journal.db").exists():
        return Installation.open(data, points), 0.0, configuration
    made, took_s = lived(data, configuration, readings, bench.size(1000, 10))
    expected = raised_by_limits(made.round - 1, points)
    assert made.excursions() == expected, f"{made.excursions()} excursions, {expected} are in the readings"
    return made, took_s, configuration


def _variant(both: Pair, steps: int, rules: str, lengths: tuple[str, str]) -> Iterator[Figure]:
    for entry_readings in (1000, 100):
        took_ms: tuple[list[float], list[float]] = ([], [])
        for _ in range(steps):
            for which, took in zip(both, took_ms, strict=True):
                which.arrive(1, entry_readings)
                took.append(which.step() / 1e6)
        points = both[0].points
        young, old = median(took_ms[0]), median(took_ms[1])
        what = f"step, {points:,} points, {rules}, entries of {entry_readings:,}"
        yield Figure(what, old, "ms", f"after {lengths[1]}; {spread(took_ms[1])}", Limit(old, STEP_MS_MAX, " ms"))
        note = f"after {lengths[0]}; longer by the longer history:"
        yield Figure("  the same", young, "ms", note, Limit(old / young, GROWTH_MAX, " times"))


def _pauses(old: Installation) -> Iterator[Figure]:
    """What comes on top of a step now and then."""
    took_ms: list[float] = []
    while not took_ms and old.points > 100:
        old.arrive(1, 1000)
        old.step()
        took_ms = [ns / 1e6 for ns in old.memory.wrote_ns]
    if took_ms:
        every = f"every {131_072 // old.points} such steps, between two of them"
        yield Figure("  write of the series", median(took_ms), "ms", f"{every}; {spread(took_ms)}")
    while old.ledger._steps % NEWEST_EVERY != NEWEST_EVERY - 1 and old.points > 100:
        old.step()
    old.arrive(1, min(1000, old.points))
    yield Figure("  step with a checkpoint", old.step() / 1e6, "ms", f"every {NEWEST_EVERY} steps")


def _late(old: Installation, late: int) -> Iterator[Figure]:
    """So many points are judged again from before their late readings; nothing changes by them."""
    before = old.excursions()
    old.arrive(1, 1000, late=late)
    took_ms = old.step() / 1e6
    assert old.excursions("faulty") or old.excursions() >= before
    yield Figure(f"  step with {late:,} late readings", took_ms, "ms", "of as many points, which are judged again")


def _storm(young: Installation, out: int) -> Iterator[Figure]:
    """So many points leave their limits at once: all their alarms are raised in one step."""
    took_ms = []
    for _ in range(DELAY_S + 2):
        young.arrive(1, 1000, out=out)
        took_ms.append(young.step() / 1e6)
    opened = young.store.rows("select count(*) from excursions where status = 'current' and cleared is null and rule like '%.%'")[0][0]
    assert opened >= 2 * out
    yield Figure(f"  step that raises {2 * out:,} alarms", max(took_ms), "ms", f"{out:,} points leave both limits at once")
    yield Figure("  step while they are open", took_ms[-1], "ms", "each open excursion is brought up to date")
