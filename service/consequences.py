"""What a configuration would have done lately: the readings on record judged by what is in force and by the next one, side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from alerts.suspensions import passing_along
from ingest.journal import JournalReader
from ingest.series import SeriesReader
from rules.engine import CLEARED, advance, open_excursions
from rules.excursion import Excursion
from rules.occupancy import occupancy_of
from rules.plan import Plan, plan_of
from rules.runs import RunState
from service.archive import SERIES, Archive
from service.judging import Judge
from service.readers import Readers
from service.stored import StoredReadings

DAY_NS = 86_400 * 10**9


@dataclass(slots=True)
class Consequences:
    """Excursions of the rules and points that would be judged otherwise, by rule, point and onset.

    `removed` and `added` overlap nothing of the other side; `moved` are pairs that overlap and differ. `points` were judged again.
    """

    before: int = 0
    after: int = 0
    points: int = 0
    removed: list[Excursion] = field(default_factory=list)
    added: list[Excursion] = field(default_factory=list)
    moved: list[tuple[Excursion, Excursion]] = field(default_factory=list)
    silence: bool = False
    """Whether rules on silence changed, too: those are not tried out."""


def consequences(archive: Archive, old: Judge, new: Judge, start: int, progress: Callable[[float], None]) -> Consequences:
    """Of excursions that were not over at `start` (int ns UTC), or began later; reads only, a point at a time."""
    number_of = dict(archive.number_of)
    for judge in (old, new):
        for point in judge[0].points:
            number_of.setdefault(point.id, len(number_of))
    plans = [plan_of(*judge, number_of) for judge in (old, new)]
    found = Consequences(silence=_judged(plans[0], silence=True) != _judged(plans[1], silence=True))
    before, after = (_judged(plan) for plan in plans)
    names = sorted({pair for pair in {*before, *after} if before.get(pair) != after.get(pair)}, key=lambda pair: (pair[1], pair[0]))
    chosen = [id_ for id_ in dict.fromkeys(id_ for _, id_ in names) if id_ in archive.number_of]
    path = archive.journal.path
    with (
        closing(Readers(lambda: SeriesReader(archive.data_dir / SERIES))) as series,
        closing(Readers(lambda: JournalReader(path))) as journal,
    ):
        stored = StoredReadings(series, journal)
        for done, id_ in enumerate(chosen):
            rules = {rule for rule, where in names if where == id_}
            rows = _judge(plans, rules, number_of[id_], stored, start)
            _compare(rows[0], rows[1], found)
            found.points += 1
            progress((done + 1) / len(chosen))
    for side in (found.removed, found.added):
        side.sort(key=lambda row: (row.rule, row.point, row.onset))
    return found


def _judged(plan: Plan, silence: bool = False) -> dict[tuple[str, str], tuple[object, ...]]:
    """What judges each (rule, point)."""
    groups = (plan.stale,) if silence else plan.groups
    return {pairs.key(row): plan.fingerprint(pairs, row) for pairs in groups for row in range(len(pairs))}


def _judge(plans: list[Plan], rules: set[str], number: int, stored: StoredReadings, start: int) -> list[list[Excursion]]:
    """The excursions of some rules at a point, by each plan, in one pass over its readings."""
    states = stored.states()
    occupancies = [occupancy_of(plan.facility, states, passing_along((plan,), stored.slices)) for plan in plans]
    groups = ((side, group) for side, plan in enumerate(plans) for group in plan.groups)
    parts = [(side, group.only(np.array([number]))) for side, group in groups if group.offsets[number] < group.offsets[number + 1]]
    runs = [RunState.initial(len(pairs)) for _, pairs in parts]
    rows: list[list[Excursion]] = [[] for _ in plans]
    for readings in stored.slices(number, start - DAY_NS):
        for index, (side, pairs) in enumerate(parts):
            runs[index], findings = advance(pairs, runs[index], readings, occupancies[side])
            rows[side] += [finding.excursion for finding in findings if finding.what == CLEARED]
    for (side, pairs), run in zip(parts, runs, strict=True):
        rows[side] += open_excursions(pairs, run, occupancies[side])
    return [[row for row in side if row.rule in rules and (row.ended is None or row.ended > start)] for side in rows]


def _compare(old: list[Excursion], new: list[Excursion], found: Consequences) -> None:
    """Pair what overlaps, each with the earliest that is left."""
    found.before += len(old)
    found.after += len(new)
    left = sorted(new, key=lambda row: row.onset)
    for row in sorted(old, key=lambda row: row.onset):
        like = next((other for other in left if other.rule == row.rule and _overlap(row, other)), None)
        if like is None:
            found.removed.append(row)
            continue
        left.remove(like)
        if (like.onset, like.raised, like.ended) != (row.onset, row.raised, row.ended):
            found.moved.append((row, like))
    found.added += left


def _overlap(one: Excursion, other: Excursion) -> bool:
    return (other.ended is None or one.onset < other.ended) and (one.ended is None or other.onset < one.ended)
