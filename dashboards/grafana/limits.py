"""The limits that rules hold against points, as the lines that panels draw: those of the plan that judges, nothing else."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from alerts.pages.wording import unit_text
from dashboards.console.view import value_text
from dashboards.grafana.look import LIMIT, OCCUPANCY
from facility.site import OCCUPANCIES
from rules.plan import Pairs, Plan


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One side of a limit at one point; `states` are those in which it holds, empty for all; with `inclusive` equality breaks it."""

    point: str
    rule: str
    level: str
    side: str
    value: float
    inclusive: bool = False
    states: tuple[str, ...] = ()


def limit_lines(plan: Plan) -> tuple[LimitLine, ...]:
    """Every finite limit of the plan, by point and rule in its order."""
    return tuple(line for pairs in plan.groups if pairs.kind != "quality" for row in range(len(pairs)) for line in _lines(pairs, row))


def _lines(pairs: Pairs, row: int) -> list[LimitLine]:
    found: dict[tuple[str, float], list[str]] = {}
    for state in OCCUPANCIES:
        above, below = pairs.limits_in(row, state)
        for side, value in (("above", above), ("below", below)):
            if math.isfinite(value):
                found.setdefault((side, value), []).append(state)
    rule, point = pairs.rules[row], pairs.points[row]
    inclusive = {"above": bool(pairs.above_inclusive[row]), "below": bool(pairs.below_inclusive[row])}
    return [
        LimitLine(point.id, rule.id, rule.level, side, value, inclusive[side], () if len(held) == len(OCCUPANCIES) else tuple(held))
        for (side, value), held in found.items()
    ]


def labelled(lines: Collection[LimitLine], quantity: str, unit: str, places: Mapping[str, str]) -> dict[str, tuple[float, tuple[str, ...]]]:
    """The lines of one panel by what its legend says: value and points. `places` names the place of each point in the panel.

    A line that does not hold for every point of the panel says for which places it does.
    """
    alike: dict[tuple[str, str, float, bool, tuple[str, ...]], dict[str, None]] = {}
    for line in lines:
        if line.point in places:
            alike.setdefault((line.level, line.side, line.value, line.inclusive, line.states), {})[line.point] = None
    found = {}
    for (level, side, value, inclusive, states), points in alike.items():
        beyond = f"at or {side}" if inclusive else side
        words = f"{LIMIT[level].capitalize()} {beyond} {value_text(value, quantity)} {unit_text(unit)}".rstrip()
        if states:
            words += " · " + ", ".join(OCCUPANCY[state].lower() for state in states)
        if len(points) < len(places):
            where = tuple(dict.fromkeys(places[point] for point in points))
            words += " · " + (", ".join(where) if len(where) <= 3 else f"{len(where)} places")
        name = words
        while name in found:  # two limits that differ by less than the legend shows
            name = f"{words} ({value!r})" if name == words else name + "'"
        found[name] = (value, tuple(points))
    return found
