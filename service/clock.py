"""The one clock: only here is the time of day read."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What the service needs of time; tests give it one that they turn by hand."""

    def now_ns(self) -> int:
        """UTC, ns since 1970; it may step."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that only grow."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...


class SystemClock:
    """The machine's time."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
