"""What stands: alarms that are annunciated, as those see them who are shown all of them at every moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from alerts.pages.page import Page


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm that is not done: `active` while the condition lasts, `page` is what would be told of it now."""

    alarm: str
    rule: str
    level: str
    priority: str
    point: str
    room: str
    onset: int
    active: bool
    acknowledged: bool
    page: Page


class Signal(Protocol):
    """Who is shown what stands, at once when it changes and again every `every_ns`."""

    @property
    def every_ns(self) -> int: ...

    def show(self, standing: Sequence[Standing], at: int) -> None:
        """Return when the far end has taken it; else raise DeliveryError, within the timeouts. `at` is int ns UTC."""
