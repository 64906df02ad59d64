"""Points out of service: from when to when, who said so and why. Their readings are stored and shown, and nothing judges them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from alerts.record.store import StateStore
from facility.reading import Readings
from rules.stale import Life

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outage:
    """A point out of service in [since, until), int ns UTC; `over` when that was seen to have passed, by whom if not by itself."""

    point: str
    since: int
    until: int
    by: str
    reason: str
    returned_by: str = ""
    over: bool = False


_NAMES = ", ".join(f'"{field.name}"' for field in fields(Outage))


def outages_of(store: StateStore, condition: str = "1", *values: object) -> list[Outage]:
    """The outages on record, the earliest first."""
    rows = store.rows(f"select {_NAMES} from outages where {condition} order by since, point", values)
    return [replace(Outage(*row), over=bool(row[-1])) for row in rows]


def write_outage(store: StateStore, outage: Outage) -> None:
    """Insert the row, or replace the one of its point and beginning."""
    marks = ", ".join("?" * len(fields(Outage)))
    store.execute(f"insert or replace into outages ({_NAMES}) values ({marks})", astuple(outage))


class Outages:
    """The same by point number, for judging: a reading with a time in [begin, end) is not judged, and at `begin` what is under way ends."""

    def __init__(self, known: Iterable[tuple[int, int, int]] = ()) -> None:
        """`known` are (point number, begin, end), those of a point ascending and apart."""
        self._spans: dict[int, list[tuple[int, int]]] = {}
        for number, begin, end in known:
            self.put(number, begin, end)

    def put(self, number: int, begin: int, end: int) -> None:
        """A point is out of service from `begin`, after all before, to `end`; one that began then has this end now."""
        spans = self._spans.setdefault(number, [])
        if spans and spans[-1][0] == begin:
            spans.pop()
        spans.append((begin, end))

    def inside(self, points: NDArray[np.uint32], times: Ints) -> NDArray[np.bool_] | None:
        """Which (point, time) lie in an outage; None when none does."""
        found = None
        for number, spans in self._spans.items():
            rows = np.flatnonzero(points == number)
            if not len(rows):
                continue
            begin, end = np.array(spans, np.int64).T
            span = np.searchsorted(begin, times[rows], side="right") - 1
            rows = rows[(span >= 0) & (times[rows] < end[span])]
            if len(rows):
                found = np.zeros(len(points), np.bool_) if found is None else found
                found[rows] = True
        return found

    def begun(self, numbers: Ints, since: Ints, begin: int, end: int) -> list[tuple[int, int]]:
        """The outages of some points (each not before its `since`) that begin in [begin, end), as (moment, number) in their order."""
        if not self._spans:
            return []
        earliest = zip(numbers.tolist(), since.tolist(), strict=True)
        return sorted(
            (at, number) for number, least in earliest for at, _ in self._spans.get(number, ()) if begin <= at < end and at >= least
        )

    def all_begun(self) -> list[tuple[int, int, int]]:
        """Every outage as (begin, number, end), in order."""
        return sorted((begin, number, end) for number, spans in self._spans.items() for begin, end in spans)

    def last_begin(self, number: int) -> int | None:
        spans = self._spans.get(number)
        return spans[-1][0] if spans else None

    def begins(self, count: int, begin: int) -> Ints:
        """By point number from when on it is judged as it is now: from `begin`, or its newest outage."""
        begins = np.full(count, begin)
        for number, spans in self._spans.items():
            begins[number] = max(begin, spans[-1][0])
        return begins

    def until(self, at: int) -> dict[int, int]:
        """The points that are out of service at a moment, each with its end."""
        return {number: spans[-1][1] for number, spans in self._spans.items() if spans[-1][0] <= at < spans[-1][1]}


def outages_by_number(store: StateStore, number_of: Mapping[str, int]) -> Outages:
    """What is on record, to judge by."""
    return Outages((number_of[outage.point], outage.since, outage.until) for outage in outages_of(store))


def in_service(outages: Outages, arrived: Readings, lives: Sequence[Life] = ()) -> tuple[Readings, Sequence[Life]]:
    """What arrived while its point was in service, and the lives of sources among that."""
    out = outages.inside(arrived.point, arrived.received)
    if out is None:
        return arrived, lives
    kept = np.append(0, np.cumsum(~out))
    return arrived.take(~out), [replace(life, arrivals=int(kept[life.arrivals])) for life in lives]
