"""What stands now, as an overview shows it: how many alarms, what was told as one, and which of them need a person first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboards.views import AlarmView


@dataclass(frozen=True, slots=True)
class GroupView:
    """Alarms that were told as one: what they have in common, how many of them stand, how many wait to be acknowledged."""

    id: str
    kind: str
    name: str
    standing: int
    waiting: int


@dataclass(frozen=True, slots=True)
class StandingView:
    """What stands now: how many alarms, how many of them wait to be acknowledged; `foremost` are those that need a person first."""

    total: int = 0
    waiting: int = 0
    foremost: tuple[AlarmView, ...] = ()
    groups: Mapping[str, GroupView] = field(default_factory=dict)
