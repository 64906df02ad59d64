"""Which occupancy applies where and when: the state messages of rooms and zones as sorted columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facility.site import OCCUPANCIES, Facility, Place
from rules.copies import BEGINNING, NEVER_NS
from rules.passing import Condition, Passed

IN_OPERATION = OCCUPANCIES.index("in_operation")
AT_REST = OCCUPANCIES.index("at_rest")
NO_SPELL = NEVER_NS


@dataclass(frozen=True, slots=True)
class Timeline:
    """States of one place: from `time[i]` (int64 ns, ascending, the first is the beginning of time) it is `code[i]` (of OCCUPANCIES)."""

    time: NDArray[np.int64]
    code: NDArray[np.int8]

    def at(self, times: NDArray[np.int64]) -> NDArray[np.int8]:
        return self.code[np.searchsorted(self.time, times, side="right") - 1]


@dataclass(frozen=True)
class Occupancy:
    """Timelines of every place in facility order: as reported, and as limits see them (`clean_up` keeps in_operation's limits on).

    `passing` says when the conditions of `unless` hold: what else than a reading itself decides whether it is evaluated.
    """

    reported: tuple[Timeline, ...]
    for_limits: tuple[Timeline, ...]
    passing: Mapping[Condition, Passed]

    def limit_codes(self, places: NDArray[np.int32], times: NDArray[np.int64]) -> NDArray[np.int8]:
        """The state whose limits apply at each (place, time)."""
        return _codes(self.for_limits, self._limits_last, places, times)

    def reported_codes(self, places: NDArray[np.int32], times: NDArray[np.int64]) -> NDArray[np.int8]:
        """The state that was reported at each (place, time)."""
        return _codes(self.reported, self._reported_last, places, times)

    def at_rest_since(self, places: NDArray[np.int32], lengths: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """The change to at_rest since which a place has been at rest; NO_SPELL where it is not, or never was anything else.

        The times lie in stretches of these lengths, a place each, in the order of time in each of them.
        """
        since = np.repeat(self._rested_last[places], lengths)
        starts = np.cumsum(lengths) - lengths
        earlier = np.flatnonzero(times[starts] < self._reported_last.time[places])
        for place, start, length in zip(places[earlier].tolist(), starts[earlier].tolist(), lengths[earlier].tolist(), strict=True):
            edges = np.searchsorted(times[start : start + length], self.reported[place].time)
            since[start : start + length] = np.repeat(self._rested[place], np.diff(edges, append=length))
        return since

    @cached_property
    def _rested(self) -> tuple[NDArray[np.int64], ...]:
        return tuple(_rested(timeline) for timeline in self.reported)

    @cached_property
    def _rested_last(self) -> NDArray[np.int64]:
        return np.array([rested[-1] for rested in self._rested], np.int64)

    @cached_property
    def _limits_last(self) -> Timeline:
        return _last(self.for_limits)

    @cached_property
    def _reported_last(self) -> Timeline:
        return _last(self.reported)


def _last(timelines: tuple[Timeline, ...]) -> Timeline:
    """The newest change of each timeline."""
    time = np.array([timeline.time[-1] for timeline in timelines], np.int64)
    return Timeline(time, np.array([timeline.code[-1] for timeline in timelines], np.int8))


def _codes(timelines: tuple[Timeline, ...], last: Timeline, places: NDArray[np.int32], times: NDArray[np.int64]) -> NDArray[np.int8]:
    """The states at (place, time); a loop only over places with readings before their newest change."""
    codes = last.code[places]
    earlier = np.flatnonzero(times < last.time[places])
    for place in np.unique(places[earlier]):
        rows = earlier[places[earlier] == place]
        codes[rows] = timelines[place].at(times[rows])
    return codes


def occupancy_of(
    facility: Facility, states: Mapping[str, Iterable[tuple[int, str]]], passing: Mapping[Condition, Passed] | None = None
) -> Occupancy:
    """Timelines from state messages, `place id -> (time ns, state)` in any order, each time once.

    Until the first message about a zone it has its room's (docs/rules.md, Rooms' states).
    """
    reported: dict[str, Timeline] = {}
    for place in facility.places:
        messages = sorted(states.get(place.id, ()))
        reported[place.id] = _timeline(place, messages, reported[place.parent] if place.parent else None)
    adjusted = [_with_clean_up(reported[place.id], place.clean_up_ns) for place in facility.places]
    return Occupancy(
        reported=tuple(reported[place.id] for place in facility.places),
        for_limits=tuple(adjusted),
        passing={} if passing is None else passing,
    )


def _timeline(place: Place, messages: list[tuple[int, str]], room: Timeline | None) -> Timeline:
    times, codes = ([BEGINNING], [OCCUPANCIES.index(place.occupancy)]) if room is None else (room.time.tolist(), room.code.tolist())
    if messages and room is not None:
        followed = int(np.searchsorted(room.time, messages[0][0]))
        times, codes = times[:followed], codes[:followed]
    times += [time for time, _ in messages]
    codes += [OCCUPANCIES.index(state) for _, state in messages]
    return Timeline(np.array(times, np.int64), np.array(codes, np.int8))


def _rested(timeline: Timeline) -> NDArray[np.int64]:
    """Beside each time of a timeline the change to at_rest that its state began with; NO_SPELL for others, and that of the beginning."""
    changed = np.append(True, timeline.code[1:] != timeline.code[:-1])
    first = np.maximum.accumulate(np.where(changed, np.arange(len(changed)), 0))
    return np.where((timeline.code == AT_REST) & (first > 0), timeline.time[first], NO_SPELL)


def _with_clean_up(timeline: Timeline, clean_up_ns: int) -> Timeline:
    """The timeline with in_operation for `clean_up_ns` from each change to at_rest on, whatever comes inside that time."""
    rested = timeline.time[1:][(timeline.code[1:] == AT_REST) & (timeline.code[:-1] != AT_REST)]
    if not clean_up_ns or not len(rested):
        return timeline
    times = np.unique(np.concatenate([timeline.time, rested, rested + clean_up_ns]))
    latest = np.searchsorted(rested, times, side="right") - 1
    cleaning = (latest >= 0) & (times < rested[latest] + clean_up_ns)
    return Timeline(times, np.where(cleaning, IN_OPERATION, timeline.at(times)).astype(np.int8))
