"""The obvious pairing of excursions before and after late readings: docs/rules.md, "Late and out-of-order readings"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rules.excursion import COLUMNS, REVISED, SUPERSEDED, Excursion

NOT_COMPARED = ("id", "revision", "status", "late")
Pair = tuple[Excursion | None, Excursion | None]


def revise(before: Sequence[Excursion], after: Sequence[Excursion]) -> list[Pair]:
    """Pair the current excursions before with those of the complete readings up to the newest time evaluated before.

    Both sides of a pair: the same excursion, revised if `differ` says so. Only an old one: superseded. Only a new one: found late.
    The pairs of the new ones come first, by onset, rule, point; then the old ones left over, in that order too.
    """
    unpaired = sorted(before, key=place_in_time)
    pairs: list[Pair] = []
    for new in sorted(after, key=place_in_time):
        partners = [old for old in unpaired if (old.rule, old.point) == (new.rule, new.point) and overlap(old, new)]
        if partners:
            pairs.append((partners[0], new))
            unpaired.remove(partners[0])
        else:
            pairs.append((None, new))
    return pairs + [(old, None) for old in unpaired]


def place_in_time(excursion: Excursion) -> tuple[int, str, str]:
    return excursion.onset, excursion.rule, excursion.point


def overlap(one: Excursion, other: Excursion) -> bool:
    """Whether `[onset, ended)` of both share a moment; an open one lasts to infinity."""
    one_begins_first = other.ended is None or one.onset < other.ended
    other_begins_first = one.ended is None or other.onset < one.ended
    return one_begins_first and other_begins_first


def differ(old: Excursion, new: Excursion) -> bool:
    """Whether any column of what happened differs; what the record says about itself is not compared."""
    return any(getattr(old, column) != getattr(new, column) for column in COLUMNS if column not in NOT_COMPARED)


def record(pairs: Sequence[Pair]) -> list[Excursion]:
    """All rows that stand after the pairing: current, revised and superseded. New ones carry no id yet."""
    rows: list[Excursion] = []
    for old, new in pairs:
        if old is None and new is not None:
            rows.append(replace(new, revision=0, late=True))
        elif old is not None and new is None:
            rows.append(replace(old, status=SUPERSEDED))
        elif old is not None and new is not None and differ(old, new):
            rows.append(replace(old, status=REVISED))
            rows.append(replace(new, id=old.id, revision=old.revision + 1, late=old.late))
        elif old is not None:
            rows.append(old)
    return rows
