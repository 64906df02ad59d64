"""What judgement is given: the stretches of the journal, and who answers for what lies before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facility.reading import Readings
from rules.excursion import Excursion
from rules.revise import Revision
from rules.stale import Heard, Life


class Record(Protocol):
    """The excursions as they are on record: current rows by point."""

    def current(self, point: str, since: int | None) -> list[Excursion]:
        """Current excursions of a point with onset > since (None: all)."""
        ...

    def uncleared(self, point: str, by: int) -> list[Excursion]:
        """Current excursions of a point that were not cleared by a moment."""
        ...


class Memory(Protocol):
    """Stored readings and states up to the step that is being taken."""

    def read(self, point: int, start: int | None = None, end: int | None = None) -> Readings: ...
    def read_all(self, points: NDArray[np.int64], start: NDArray[np.int64], end: NDArray[np.int64]) -> Readings: ...
    def states(self) -> dict[str, list[tuple[int, str]]]: ...


@dataclass(slots=True)
class Stream:
    """Readings on their way to the groups that wait for them alike: the newest evaluated time of each point, readings that still settle."""

    newest: NDArray[np.int64]
    waiting: Readings


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the journal brought between two configurations or steps.

    Stored readings in order of arrival, states, moments of listening, births and deaths of sources.
    """

    readings: Readings
    states: Sequence[tuple[str, int, str]]
    heard: Heard
    lives: Sequence[Life] = ()


def earliest_of(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    """Both, the smaller time of a number that is in both."""
    if not one or not other:
        return one or other
    return {number: min(time, one.get(number, time)) for number, time in other.items()} | {
        number: time for number, time in one.items() if number not in other
    }


def in_order(revisions: list[tuple[int, int, Revision]]) -> list[Revision]:
    """By group and point number, whichever were judged together."""
    return [revision for _, _, revision in sorted(revisions, key=lambda found: found[:2])]
