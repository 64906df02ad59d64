"""A dead man's switch: an address elsewhere that is asked for as long as all is well, and raises the alarm when it is not any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from alerts.channels.post import post
from alerts.signals.standing import Standing
from facility.secret import Secret


@dataclass(frozen=True, slots=True)
class Deadman:
    """The address that is asked for every `every_ns`; who calls sees to it that all is well."""

    url: str | Secret = field(repr=False)
    every_ns: int = 60 * 10**9
    timeout_s: float = 10.0

    def show(self, standing: Sequence[Standing], at: int) -> None:
        """Say that all is well; what alarms stand does not matter."""
        post("dead man's switch", self.url, "", None, None, self.timeout_s)
