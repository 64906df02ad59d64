"""Several rule sets tried on the same readings: their rules side by side in one plan, so that one pass judges them all.

A rule of a set is named `SET/RULE`; no id of a rule holds a `/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from rules.ahead import OURS
from rules.plan import Plan, Table
from rules.rule import Bound, Rule

BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class RuleSet:
    """Rules with the limit tables that they name."""

    rules: tuple[Rule, ...]
    tables: Mapping[str, Table] = field(default_factory=dict)

    def only(self, ids: Iterable[str]) -> RuleSet:
        """The rules with these ids."""
        wanted = set(ids)
        return RuleSet(tuple(rule for rule in self.rules if rule.id in wanted), self.tables)


def side_by_side(sets: Mapping[str, RuleSet]) -> RuleSet:
    """One set with the rules of all, by the name of each set."""
    rules = tuple(_named(name, rule) for name, one in sets.items() for rule in one.rules)
    return RuleSet(rules, {f"{name}/{table}": one.tables[table] for name, one in sets.items() for table in one.tables})


def parted(rule: str) -> tuple[str, str]:
    """The set and the rule that an id of a plan side by side stands for."""
    name, _, id_ = rule.partition("/")
    return name, id_


def changed_rules(before: Plan, after: Plan) -> frozenset[str]:
    """The ids of rules that do not judge the same pairs the same way in both plans."""
    prints = [fingerprints(plan) for plan in (before, after)]
    keys = prints[0].keys() | prints[1].keys()
    return frozenset(key[0] for key in keys if prints[0].get(key) != prints[1].get(key))


def fingerprints(plan: Plan) -> dict[tuple[str, str], object]:
    """What judges each (rule, point) of a plan, of every kind: places by the points of their states, our own clock by its own."""
    found: dict[tuple[str, str], object] = {
        pairs.key(row): plan.fingerprint(pairs, row) for pairs in (*plan.groups, plan.stale) for row in range(len(pairs))
    }
    found |= {watched.key: watched.judges for watched in plan.states}
    for rule, points in plan.ahead:
        found |= {(rule.id, point.id): (rule.level, point.max_ahead_ns) for point in points.values()}
        found[rule.id, OURS] = (rule.level, frozenset((point.id, point.max_ahead_ns) for point in points.values()))
    return found


def _named(name: str, rule: Rule) -> Rule:
    def bound(side: Bound | None) -> Bound | None:
        return replace(side, value=f"{name}/{side.value}") if side is not None and isinstance(side.value, str) else side

    return replace(rule, id=f"{name}/{rule.id}", above=bound(rule.above), below=bound(rule.below))
