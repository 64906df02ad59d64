"""What a configuration would have done lately: the readings on record judged by what is in force and by the next one, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby

from alerts.judging.backtest import Backtest
from alerts.judging.derivation import ReadingsOf
from alerts.judging.outages import outages_by_number
from ingest.journal.journal import Entry, JournalReader
from ingest.series.series import SeriesReader
from rules.copies import Deaths
from rules.difference import ADDED, MOVED, REMOVED, differences
from rules.excursion import Excursion
from rules.plan import SETTLE_NS, plan_of
from rules.trial import fingerprints
from service.configuration.judging import Judge
from service.impact.impact import lead_ns
from service.stored.archive import SERIES, Archive
from service.stored.readers import Readers
from service.stored.readings import StoredReadings


@dataclass(slots=True)
class Consequences:
    """Excursions of the rules and points that would be judged otherwise, by rule, point and onset.

    `removed` and `added` have no like on the other side; `moved` are pairs that differ. `points` were judged again.
    """

    before: int = 0
    after: int = 0
    points: int = 0
    removed: list[Excursion] = field(default_factory=list)
    added: list[Excursion] = field(default_factory=list)
    moved: list[tuple[Excursion, Excursion]] = field(default_factory=list)


def consequences(archive: Archive, old: Judge, new: Judge, start: int, progress: Callable[[float], None]) -> Consequences:
    """Of excursions that were not over at `start` (int ns UTC), or began later; reads only, a point at a time."""
    number_of = dict(archive.number_of)
    for judge in (old, new):
        for point in judge[0].points:
            number_of.setdefault(point.id, len(number_of))
    plans = [plan_of(*judge, number_of) for judge in (old, new)]
    judged = [fingerprints(plan) for plan in plans]
    changed = {pair for pair in judged[0].keys() | judged[1].keys() if judged[0].get(pair) != judged[1].get(pair)}
    computed = {point.id for judge in (old, new) for point in judge[0].points if point.derived is not None}
    chosen = sorted({point for _, point in changed if point in archive.number_of or point in computed})
    places = {watched.point.id for plan in plans for watched in plan.states if watched.key in changed}
    clock, first = int(archive.state.get("clock", 0)), start - max(lead_ns(plan) for plan in plans)
    sides: list[list[Excursion]] = [[], []]
    path = archive.journal.path
    with (
        closing(Readers(lambda: SeriesReader(archive.data_dir / SERIES))) as series,
        closing(Readers(lambda: JournalReader(path))) as journal,
    ):
        stored = StoredReadings(series, journal)
        states = {place: list(told) for place, told in stored.states().items()}
        outages, deaths = outages_by_number(archive.state, number_of), Deaths(archive.state.deaths())
        tests = [Backtest([(0, plan)], number_of, states, stored.slices, outages, deaths) for plan in plans]
        readings = [ReadingsOf(stored.first, [(0, plan)], clock - SETTLE_NS) for plan in plans]
        for done, id_ in enumerate(chosen):
            for rows, test, own in zip(sides, tests, readings, strict=True):
                rows += test.judge(number_of[id_], own.slices(number_of[id_], first), clock, clock + 1)
            progress((done + 1) / len(chosen))
        along: list[Callable[[Backtest, Iterable[Entry]], Iterable[Excursion]]] = []
        if {rule for rule, _ in changed} & {rule.id for plan in plans for rule in plan.stale.rules}:
            along.append(Backtest.silences)
        if {rule for rule, _ in changed} & {rule.id for plan in plans for rule, _ in plan.ahead}:
            along.append(Backtest.clocks)
        seq = max(archive.before(first), archive.configurations[0][0].seq - 1)
        for rows, test in zip(sides, tests, strict=True):
            for judged_along in along:
                rows += judged_along(test, archive.journal.entries(seq, archive.state.get("cursor", 0)))
            rows += test.stays(clock)
    wanted = [[row for row in rows if (row.rule, row.point) in changed and (row.ended is None or row.ended > start)] for rows in sides]
    return _compared(wanted[0], wanted[1], len(chosen) + len(places))


def _compared(before: list[Excursion], after: list[Excursion], points: int) -> Consequences:
    found = Consequences(len(before), len(after), points)
    sides = [_by_pair(rows) for rows in (before, after)]
    for pair in sorted(sides[0].keys() | sides[1].keys()):
        for one in differences(sides[0].get(pair, ()), sides[1].get(pair, ())):
            if one.what == MOVED and one.before is not None and one.after is not None:
                found.moved.append((one.before, one.after))
            elif one.what == ADDED:
                found.added.append(one.either)
            elif one.what == REMOVED:
                found.removed.append(one.either)
    return found


def _by_pair(rows: Iterable[Excursion]) -> dict[tuple[str, str], list[Excursion]]:
    ordered = sorted(rows, key=lambda row: (row.rule, row.point, row.onset))
    return {pair: list(mine) for pair, mine in groupby(ordered, key=lambda row: (row.rule, row.point))}
