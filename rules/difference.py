"""What a change of rules would have done: excursions of both sides paired, counted, and what a longer delay spares and hides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from facility.durations import Duration
from rules.excursion import Excursion
from rules.revise import paired
from rules.rule import Rule
from rules.trial import RuleSet

ADDED, REMOVED, MOVED, KEPT = "added", "removed", "moved", "kept"
HOUR_NS = 3600 * 10**9
FLAPS = 3
"""So many excursions of one rule at one point within an hour are flapping."""
DELAYS = tuple(Duration(seconds * 10**9) for seconds in (30, 60, 120, 300, 600, 900, 1800, 3600))
ON, OFF = "on_delay", "off_delay"
_TIMES = ("onset", "raised", "ended", "cleared")


@dataclass(frozen=True, slots=True)
class Difference:
    """One excursion before and after a change; None where it is not there."""

    what: str
    before: Excursion | None
    after: Excursion | None

    @property
    def either(self) -> Excursion:
        """The one after, else the one before."""
        found = self.after or self.before
        assert found is not None
        return found


def differences(before: Iterable[Excursion], after: Iterable[Excursion]) -> list[Difference]:
    """The excursions of one (rule, point) on both sides by onset; `moved` are pairs of which a time or the level differs."""
    found = []
    for old, new in paired(before, after):
        if old is None or new is None:
            what = ADDED if old is None else REMOVED
        else:
            what = KEPT if all(getattr(old, name) == getattr(new, name) for name in (*_TIMES, "level")) else MOVED
        found.append(Difference(what, old, new))
    return sorted(found, key=lambda one: one.either.onset)


def most_within_an_hour(excursions: Sequence[Excursion]) -> int:
    """The most excursions, by onset, that began within one hour."""
    onsets = [row.onset for row in excursions]
    most = begin = 0
    for end, onset in enumerate(onsets):
        while onset - onsets[begin] >= HOUR_NS:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def delay_sets(rules: RuleSet, names: Iterable[str]) -> dict[str, RuleSet]:
    """A rule set for each longer delay of the named rules (an id, or that of a rule with levels): `on_delay=5m` and so on."""
    wanted = set(names)
    sets: dict[str, tuple[Rule, ...]] = {}
    for rule in rules.rules:
        if rule.id not in wanted and rule.alarm not in wanted:
            continue
        for key in (ON, OFF):
            for delay in DELAYS:
                own: Duration = getattr(rule, key)
                # Periods differ from point to point: beside those every delay is tried.
                if own.periods or delay.ns > own.ns:
                    name = f"{key}={delay}"
                    longer = replace(rule, on_delay=delay) if key == ON else replace(rule, off_delay=delay)
                    sets[name] = (*sets.get(name, ()), longer)
    return {name: RuleSet(some, rules.tables) for name, some in sets.items()}


def lasting_ns(excursions: Iterable[Excursion], clock: int) -> int:
    """How long excursions of one (rule, point) lasted, from onset to ended, those that are open up to the clock."""
    return sum(_end(row, clock) - row.onset for row in excursions)


def hidden_ns(excursions: Iterable[Excursion], others: Sequence[Excursion], clock: int) -> int:
    """How much of the time of excursions of one (rule, point) lies in none of the others; both by onset, neither overlapping itself."""
    hidden = first = 0
    for row in excursions:
        begin, end = row.onset, _end(row, clock)
        hidden += end - begin
        while first < len(others) and _end(others[first], clock) <= begin:
            first += 1
        at = first
        while at < len(others) and others[at].onset < end:
            hidden -= min(end, _end(others[at], clock)) - max(begin, others[at].onset)
            at += 1
    return hidden


def _end(row: Excursion, clock: int) -> int:
    return max(clock, row.onset) if row.ended is None else row.ended
