"""When alarms are too many for people, or one comes too often: the limits of floods and of chattering."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facility.site import SECOND_NS


@dataclass(frozen=True, slots=True)
class Limits:
    """So many annunciated alarms within so many ns.

    More than `flood` are a flood, and fewer than `calm` end it (EEMUA 191, ISA-18.2: more than 10 in ten minutes, fewer than 5);
    `chattering` of one rule at one point are chattering (ISA-18.2: three in a minute).
    """

    chattering: int = 3
    chattering_within_ns: int = 60 * SECOND_NS
    flood: int = 10
    calm: int = 5
    flood_within_ns: int = 600 * SECOND_NS
    by_system: bool = True
    """Whether alarms of a system's rooms are told together."""

    @property
    def within_ns(self) -> int:
        """How long what was annunciated counts for anything."""
        return max(self.chattering_within_ns, self.flood_within_ns)


LimitsAt = Callable[[int], Limits]
"""The limits in force at a moment (int ns UTC)."""
ONE_BY_ONE = Limits(chattering=1 << 62, flood=1 << 62, by_system=False)
"""Every alarm is told by itself."""
