"""When each test happens: one after the other at a point, all points beside each other, one occupancy after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from facility.site import OCCUPANCIES, SECOND_NS, Facility
from service.challenge.subject import NOT_APPLICABLE, Gap, Trial

MARGIN_NS = 60 * SECOND_NS
"""Between occupancies, and from the last reading to now."""


@dataclass(frozen=True)
class Schedule:
    """Tests with their times, the states of rooms as (time, state) for all places, and tests that found no time; int ns UTC."""

    trials: tuple[Trial, ...]
    states: tuple[tuple[int, str], ...]
    refused: tuple[tuple[Trial, Gap], ...]


def scheduled(trials: Sequence[Trial], facility: Facility, end: int) -> Schedule:
    """The tests laid into the past, so that the last one ends before `end`. Late readings come last, as they must not be too late."""
    rounds = []
    for late in (False, True):
        some = [trial for trial in trials if trial.late is late]
        rounds += [(state, [trial for trial in some if trial.subject.state == state and not trial.states]) for state in OCCUPANCIES]
        rounds.append((OCCUPANCIES[0], [trial for trial in some if trial.states]))
    clean_up = max((place.clean_up_ns for place in facility.places), default=0)
    begin, laid, states = 0, list[Trial](), list[tuple[int, str]]()
    for state, members in rounds:
        if not members:
            continue
        states.append((begin, state))
        placed, begin = _side_by_side(members, begin + MARGIN_NS + (clean_up if state == "at_rest" else 0))
        laid += placed
        begin += MARGIN_NS
    shift = (end - MARGIN_NS - begin) // SECOND_NS * SECOND_NS  # whole seconds read better
    moved = [replace(trial, begin=trial.begin + shift) for trial in laid]
    fits, refused = _late_enough(moved)
    return Schedule(tuple(fits), tuple((time + shift, state) for time, state in states), tuple(refused))


def _side_by_side(trials: Iterable[Trial], begin: int) -> tuple[list[Trial], int]:
    """Each test begins when all its points are free; the moment at which all are over."""
    free: dict[str, int] = {}
    placed = []
    for trial in trials:
        start = max(free.get(point, begin) for point in trial.points)
        placed.append(replace(trial, begin=start))
        free |= dict.fromkeys(trial.points, start + trial.until + trial.subject.pause)
    return placed, max(free.values(), default=begin)


def _late_enough(trials: Sequence[Trial]) -> tuple[list[Trial], list[tuple[Trial, Gap]]]:
    """Tests whose late readings a point would refuse as too old are no tests of its rules."""
    newest: dict[str, int] = {}
    for trial in trials:
        for point in trial.points:
            newest[point] = max(newest.get(point, 0), trial.begin + trial.until)
    fits, refused = [], []
    for trial in trials:
        driven = {point.id: point for point in (trial.subject.origins or (trial.subject.point,))}
        late = [(driven[sample.point or trial.subject.point.id], trial.begin + sample.at) for sample in trial.samples if sample.late]
        too_late = next((point for point, at in late if newest[point.id] - at > point.max_late_ns), None)
        if too_late is not None:
            reason = f"the point takes nothing that is more than {too_late.max_late_ns / SECOND_NS:g} s late"
            refused.append((trial, Gap(trial.case, trial.title, NOT_APPLICABLE, reason)))
        else:
            fits.append(trial)
    return fits, refused
