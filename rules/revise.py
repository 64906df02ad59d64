"""Late readings: how the excursions before pair with those of the complete readings (docs/rules.md, Late and out-of-order readings)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rules.excursion import CURRENT, REVISED, SUPERSEDED, Excursion


@dataclass(frozen=True, slots=True)
class Revision:
    """One change of record: `old` as it is kept from now on (revised, superseded, or None), `new` the current row (or None)."""

    old: Excursion | None
    new: Excursion | None


def revise(before: Iterable[Excursion], after: Iterable[Excursion]) -> list[Revision]:
    """Pair current excursions with those evaluated again from the complete readings, all of one (rule, point).

    Returns what changed, in order of onset; pairs that are equal in all columns are left out. New rows come without id.
    """
    unpaired = sorted(before, key=lambda excursion: excursion.onset)
    changes: list[Revision] = []
    for new in sorted(after, key=lambda excursion: excursion.onset):
        old = next((candidate for candidate in unpaired if _overlap(candidate, new)), None)
        if old is None:
            changes.append(Revision(None, replace(new, late=True)))
            continue
        unpaired.remove(old)
        kept = replace(new, id=old.id, revision=old.revision, late=old.late, status=CURRENT)
        if kept != old:
            changes.append(Revision(replace(old, status=REVISED), replace(kept, revision=old.revision + 1)))
    changes += [Revision(replace(old, status=SUPERSEDED), None) for old in unpaired]
    return changes


def _overlap(one: Excursion, other: Excursion) -> bool:
    """Whether the spans [onset, ended) meet; an open excursion reaches to infinity."""
    return (other.ended is None or one.onset < other.ended) and (one.ended is None or other.onset < one.ended)
