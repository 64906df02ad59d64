"""The one clock: only here is the time of day read."""

from __future__ import annotations

import threading
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


class Onward:
    """The time of the journal's entries: the wall clock's, but never less than before.

    After the wall clock was set back it goes on at half its speed until the wall clock has caught up, for what waits for a reading to be
    two seconds old must not wait for an hour. Any thread may ask.
    """

    def __init__(self, clock: Clock, floor_ns: int = 0) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last_ns, self._asked_ns = floor_ns, clock.monotonic_ns()

    def now_ns(self) -> int:
        """UTC, ns since 1970; it only grows."""
        with self._lock:
            asked_ns = self._clock.monotonic_ns()
            self._last_ns = max(self._clock.now_ns(), self._last_ns + (asked_ns - self._asked_ns) // 2)
            self._asked_ns = asked_ns
            return self._last_ns
