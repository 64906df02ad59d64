"""A clock turned by hand."""

from __future__ import annotations

SECOND_NS = 10**9


class Hands:
    """Stands still until time passes or the wall clock is stepped."""

    def __init__(self, now_ns: int = 1_800_000_000 * SECOND_NS) -> None:
        self._now_ns, self._monotonic_ns = now_ns, 0

    def pass_s(self, seconds: float) -> None:
        self._now_ns += int(seconds * SECOND_NS)
        self._monotonic_ns += int(seconds * SECOND_NS)

    def step_s(self, seconds: float) -> None:
        """Somebody sets the wall clock; the monotonic one does not care."""
        self._now_ns += int(seconds * SECOND_NS)

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def sleep(self, seconds: float) -> None:
        self.pass_s(seconds)
