"""A clock that runs faster than the machine's, for the instance that is challenged: an hour of silence need not take an hour."""

from __future__ import annotations

import threading

from service.clock import Clock


class Hastened:
    """Wall and monotonic time of a clock, both `speed` times as fast; neither ever steps when the speed changes. Any thread may ask."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._wall_ns = clock.now_ns()
        self._passed_ns, self._asked_ns = 0, clock.monotonic_ns()
        self._speed = 1.0

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._lock:
            self._advance()
            self._speed = speed

    def _advance(self) -> int:
        asked = self._clock.monotonic_ns()
        self._passed_ns += int((asked - self._asked_ns) * self._speed)
        self._asked_ns = asked
        return self._passed_ns

    def real_ns(self) -> int:
        """The machine's monotonic time."""
        return self._clock.monotonic_ns()

    def now_ns(self) -> int:
        with self._lock:
            return self._wall_ns + self._advance()

    def monotonic_ns(self) -> int:
        with self._lock:
            return self._advance()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds / self._speed)
