"""Rules that ship: each pack in pinned versions, `pack:NAME@VERSION`; an upgrade adds versions and changes none."""

from __future__ import annotations

from facility.document import did_you_mean, one_of
from facility.files import Unreadable, packaged

PREFIX = "pack:"


def packs() -> dict[str, str]:
    """The texts of all packs by the names that `rules` in renrum.yaml may give: pack:annex1@1, ..."""
    return {PREFIX + name: text for name, text in sorted(packaged(__name__, ".yaml").items())}


def pack_text(name: str) -> str:
    """The rules of a pack as YAML; raises Unreadable when there is none of that name."""
    known = packs()
    if name not in known:
        hint = did_you_mean(name, tuple(known))
        raise Unreadable(f"{name!r}, which is no pack: {one_of(tuple(known))}{f'. {hint}' if hint else ''}")
    return known[name]
