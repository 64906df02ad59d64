"""From one configuration to the next: what is judged alike goes on, the rest is closed and starts empty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rules.engine import CLEARED, Finding, open_excursions
from rules.excursion import Excursion
from rules.occupancy import Occupancy
from rules.plan import Pairs, Plan
from rules.runs import RunState
from rules.stale import StaleState, open_silences

CONFIGURATION, OUT_OF_SERVICE = "configuration", "out_of_service"
"""What closes an excursion other than its readings."""


def _unchanged(old: tuple[Plan, Pairs], new: tuple[Plan, Pairs]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the old and the new pairs that judge the same, side by side."""
    (old_plan, old_pairs), (new_plan, new_pairs) = old, new
    row_of = {old_pairs.key(row): row for row in range(len(old_pairs))}
    same = [
        (row_of[key], row)
        for row in range(len(new_pairs))
        if (key := new_pairs.key(row)) in row_of and old_plan.fingerprint(old_pairs, row_of[key]) == new_plan.fingerprint(new_pairs, row)
    ]
    columns = np.array(same, np.intp).reshape(len(same), 2)
    return columns[:, 0], columns[:, 1]


def reconfigured(
    old: tuple[Plan, Pairs], state: RunState, new: tuple[Plan, Pairs], at: int, occupancy: Occupancy
) -> tuple[RunState, list[Finding]]:
    """The runs of the new pairs at the moment `at`, and the clearings of open excursions whose judge changed."""
    kept, taken = _unchanged(old, new)
    after = RunState.initial(len(new[1]))
    after.put(taken, state.rows(kept))
    gone = RunState.initial(len(old[1]))
    others = np.setdiff1d(np.arange(len(old[1])), kept)
    gone.put(others, state.rows(others))
    return after, [_closed(excursion, at, CONFIGURATION) for excursion in open_excursions(old[1], gone, occupancy)]


def reconfigured_silence(
    old: tuple[Plan, Pairs], state: StaleState, new: tuple[Plan, Pairs], at: int, heard: int, occupancy: Occupancy
) -> tuple[StaleState, list[Finding]]:
    """As `reconfigured`, for silence: a new pair counts from the moment the configuration took force."""
    kept, taken = _unchanged(old, new)
    after = StaleState.since(len(new[1]), at, heard)
    after.put(taken, state.rows(kept))
    gone = state.copy()
    gone.open[kept] = False
    return after, [_closed(excursion, at, CONFIGURATION) for excursion in open_silences(old[1], gone, occupancy)]


def out_of_service(pairs: Pairs, state: RunState, number: int, at: int, occupancy: Occupancy) -> tuple[RunState, list[Finding]]:
    """A point goes out of service at the moment `at`: what is under way ends, and whatever is judged of it later starts empty."""
    if not pairs.has(number):
        return state, []
    rows, gone, after = pairs.rows_of(np.array([number])), RunState.initial(len(pairs)), state.copy()
    gone.put(rows, state.rows(rows))
    after.put(rows, RunState.initial(len(rows)))
    return after, [_closed(excursion, at, OUT_OF_SERVICE) for excursion in open_excursions(pairs, gone, occupancy)]


def silence_out_of_service(
    pairs: Pairs, state: StaleState, number: int, at: int, until: int, occupancy: Occupancy
) -> tuple[StaleState, list[Finding]]:
    """As `out_of_service`, for silence: it is none before `until`, from which it counts."""
    after = state.copy()
    if not pairs.has(number):
        return after, []
    rows, gone = pairs.rows_of(np.array([number])), state.copy()
    gone.open[:] = False
    gone.open[rows] = state.open[rows]
    after.heard[rows[state.dead[rows]]] = 0  # which matters where a point reports on change
    after.open[rows] = after.dead[rows] = False
    after.back[rows] = until
    return after, [_closed(excursion, at, OUT_OF_SERVICE) for excursion in open_silences(pairs, gone, occupancy)]


def _closed(excursion: Excursion, at: int, by: str) -> Finding:
    return Finding(CLEARED, at, replace(excursion, ended=at, cleared=at, closed_by=by))
