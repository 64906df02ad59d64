"""What state messages and the points of `unless` change at other points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from alerts.judging.rewind import Epoch
from alerts.judging.stretch import Record, earliest_of
from facility.site import OCCUPANCIES
from rules.plan import NEVER_NS, Pairs
from rules.revise import Revision


def touched_by_states(epochs: Iterable[Epoch], number_of: Mapping[str, int], states: Sequence[tuple[str, int, str]]) -> dict[int, int]:
    """The point numbers that state messages (place, time, state) touch, each with the earliest time from which."""
    earliest: dict[str, int] = {}
    for place, time, _ in states:
        earliest[place] = min(time, earliest.get(place, time))
    touched: dict[int, int] = {}
    for epoch in epochs if earliest else ():
        for point in epoch.plan.facility.points:
            for place in filter(None, (point.zone, point.room)):
                if place in earliest:
                    number = number_of[point.id]
                    touched[number] = min(earliest[place], touched.get(number, NEVER_NS))
    return touched


def touched_by_conditions(groups: Iterable[Pairs], since: Mapping[int, int]) -> dict[int, int]:
    """The points whose readings may be passed over or not as another word counts of some points, each from the earliest time."""
    touched: dict[int, int] = {}
    for pairs in groups if since else ():
        # The last one is of the pairs without a condition, whose index is -1.
        of_condition = np.array([*(since.get(condition.number, NEVER_NS) for condition in pairs.conditions), NEVER_NS])
        times = of_condition[pairs.unless]
        rows = np.flatnonzero(times < NEVER_NS)
        points, first = np.unique(pairs.point[rows], return_index=True)
        if len(rows):
            touched = earliest_of(touched, dict(zip(points.tolist(), np.minimum.reduceat(times[rows], first).tolist(), strict=True)))
    return touched


def silences_in_other_states(record: Record, epoch: Epoch, ids: Mapping[int, str], touched: Mapping[int, int]) -> list[Revision]:
    """Silences on record whose occupancy at onset is another one since a late state message."""
    revisions = []
    for number, time in sorted(touched.items()):
        point = epoch.plan.facility.point_by_id.get(ids[number])
        if point is None:
            continue
        place = [place.id for place in epoch.plan.facility.places].index(point.place)
        for row in record.current(point.id, None):
            if row.occupancy and row.peak is None and row.readings == 0 and row.onset >= time:  # a clock is in no state
                code = epoch.occupancy.reported[place].at(np.array([row.onset]))[0]
                if OCCUPANCIES[code] != row.occupancy:
                    new = replace(row, occupancy=OCCUPANCIES[code], revision=row.revision + 1)
                    revisions.append(Revision(replace(row, status="revised"), new))
    return revisions
