"""How many, in words."""

from __future__ import annotations


def many(count: int, things: str) -> str:
    """How many of what is named in the plural: 1 entry, 2 entries, 12,000 readings."""
    if count == 1:
        things = f"{things[:-3]}y" if things.endswith("ies") else things.removesuffix("s")
    return f"{count:,} {things}"
