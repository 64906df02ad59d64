"""Late readings: how the excursions before pair with those of the complete readings (docs/rules.md, Late and out-of-order readings)."""

from __future__ import annotations

from collections import deque
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
    changes: list[Revision] = []
    for old, new in paired(before, after):
        if old is None:
            assert new is not None
            changes.append(Revision(None, replace(new, late=True)))
        elif new is None:
            changes.append(Revision(replace(old, status=SUPERSEDED), None))
        else:
            kept = replace(new, id=old.id, revision=old.revision, late=old.late, status=CURRENT)
            if kept != old:
                changes.append(Revision(replace(old, status=REVISED), replace(kept, revision=old.revision + 1)))
    return changes


def paired(before: Iterable[Excursion], after: Iterable[Excursion]) -> list[tuple[Excursion | None, Excursion | None]]:
    """Excursions of one (rule, point) side by side: each new one, by onset, with the earliest unpaired old one that it overlaps.

    Old ones that are left over stand at the end.
    """
    unpaired = deque(sorted(before, key=lambda excursion: excursion.onset))
    pairs: list[tuple[Excursion | None, Excursion | None]] = []
    over: list[Excursion] = []
    for new in sorted(after, key=lambda excursion: excursion.onset):
        # What ended before this one overlaps no later one either: of thousands it need not be looked at again.
        while unpaired and (ended := unpaired[0].ended) is not None and ended <= new.onset:
            over.append(unpaired.popleft())
        old = next((candidate for candidate in unpaired if _overlap(candidate, new)), None)
        if old is not None:
            unpaired.remove(old)
        pairs.append((old, new))
    return pairs + [(old, None) for old in (*over, *unpaired)]


def _overlap(one: Excursion, other: Excursion) -> bool:
    """Whether the spans [onset, ended) meet; an open excursion reaches to infinity."""
    return (other.ended is None or one.onset < other.ended) and (one.ended is None or other.onset < one.ended)
