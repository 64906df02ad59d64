"""States of rooms that last longer than they may: the kind `state` (docs/rules.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from facility.site import Place, Point
from rules.excursion import Excursion
from rules.rule import Rule

NEVER_NS = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Watched:
    """A rule of the kind at a room or zone: `point` stands for its states, `at_most` says how long each may last (int ns)."""

    rule: Rule
    point: Point
    place: Place

    @property
    def at_most(self) -> Mapping[str, int]:
        return dict(self.place.at_most_ns)

    @property
    def key(self) -> tuple[str, str]:
        return self.rule.id, self.point.id

    @property
    def judges(self) -> object:
        """What must be the same for it to judge alike."""
        return self.rule.level, self.place.at_most_ns, self.point.room, self.point.zone


@dataclass(frozen=True, slots=True)
class Term:
    """From `begin` to `end` (int ns UTC, not inside) a pair is judged by `watched`, None for not at all."""

    begin: int
    end: int
    watched: Watched | None


def terms_of(judges: Sequence[tuple[int, Watched | None]]) -> list[Term]:
    """Terms of who judged a pair from these moments on, the first from the beginning; those that judge alike are one."""
    merged: list[tuple[int, Watched | None]] = []
    for begin, watched in judges:
        before = merged[-1][1] if merged else None
        if not merged or (before and before.judges) != (watched and watched.judges):
            merged.append((begin if merged else -NEVER_NS, watched))
    ends = [*(begin for begin, _ in merged[1:]), NEVER_NS]
    return [Term(begin, end, watched) for (begin, watched), end in zip(merged, ends, strict=True)]


def overstayed(terms: Sequence[Term], messages: Sequence[tuple[int, str]], clock: int) -> list[Excursion]:
    """The excursions of a pair up to the clock from a place's own state messages (time, state), by time."""
    found = []
    for begin, end, state in _stays(messages):
        for term in terms:
            if term.watched is None:
                continue
            onset, over = max(begin, term.begin), min(end, term.end)
            raised = onset + term.watched.at_most.get(state, NEVER_NS - max(onset, 0))
            if raised < over and raised <= clock:
                point = term.watched.point
                found.append(
                    Excursion(
                        rule=term.watched.rule.id,
                        point=point.id,
                        level=term.watched.rule.level,
                        onset=onset,
                        raised=raised,
                        ended=None if over == NEVER_NS else over,
                        cleared=None if over == NEVER_NS else over,
                        zone=point.zone or "",
                        room=point.room,
                        occupancy=state,
                        closed_by="configuration" if over == term.end != end and over != NEVER_NS else "",
                    )
                )
    return found


def next_deadline(terms: Sequence[Term], messages: Sequence[tuple[int, str]], after: int) -> int:
    """When the next excursion is raised after a moment, as far as is known by now; NEVER_NS for none."""
    return min((row.raised for row in overstayed(terms, messages, NEVER_NS) if row.raised > after), default=NEVER_NS)


def _stays(messages: Sequence[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
    """From when to when the place was in one state, as its messages say it."""
    begin: int | None = None
    for number, (time, state) in enumerate(messages):
        begin = time if begin is None else begin
        following = messages[number + 1] if number + 1 < len(messages) else None
        if following is None or following[1] != state:
            yield begin, NEVER_NS if following is None else following[0], state
            begin = None
