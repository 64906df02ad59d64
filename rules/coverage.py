"""Which points are judged for what: the holes of a rule set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from facility.limits import LimitTable
from facility.own import without_own
from facility.site import OCCUPANCIES, Facility, Point
from rules.plan import limits_of
from rules.rule import Rule
from rules.selecting import Selector

_ENVIRONMENTAL = ("limit", "count", "mean", "rate")


@dataclass(frozen=True, slots=True)
class Coverage:
    """The ids of the rules that judge a point, by what they look for; empty where nobody does."""

    point: str
    alert: tuple[str, ...]
    action: tuple[str, ...]
    stale: tuple[str, ...]
    quality: tuple[str, ...]
    unmonitored: str
    derived: bool = False

    @property
    def holes(self) -> tuple[str, ...]:
        """What nobody looks for at a point that is monitored: an action limit, silence, quality. An alert level is the site's choice.

        Silence and quality are those of instruments, which derived points do not have.
        """
        if self.unmonitored:
            return ()
        wanted = ("action",) if self.derived else ("action", "stale", "quality")
        return tuple(name for name in wanted if not getattr(self, name))


def coverage_of(facility: Facility, rules: Iterable[Rule], tables: Mapping[str, LimitTable]) -> tuple[Coverage, ...]:
    """The coverage of each point that is not retired, in the order of the facility."""
    points = [point for point in without_own(facility).points if point.retired_ns is None]
    found: dict[str, dict[str, list[str]]] = {point.id: {"alert": [], "action": [], "stale": [], "quality": []} for point in points}
    selector = Selector(points)
    for rule in rules:
        for point in selector.judged(rule, facility):
            what = rule.level if rule.kind in _ENVIRONMENTAL and _judged(rule, point, tables) else rule.kind
            if what in found[point.id]:
                found[point.id][what].append(rule.id)
    return tuple(_of(point, found[point.id]) for point in points)


def _of(point: Point, found: Mapping[str, list[str]]) -> Coverage:
    derived = point.derived is not None
    return Coverage(point.id, unmonitored=point.unmonitored or "", derived=derived, **{what: tuple(ids) for what, ids in found.items()})


def _judged(rule: Rule, point: Point, tables: Mapping[str, LimitTable]) -> bool:
    """Whether the rule judges the point in any state: a table may say nothing of it."""
    return any(not math.isnan(limits_of(rule, tables, point, state)[0]) for state in OCCUPANCIES)
