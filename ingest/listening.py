"""Listening time: how long we were in a position to hear the instruments."""

from __future__ import annotations

SECOND_NS = 1_000_000_000
REACH_NS = 2 * SECOND_NS
"""It runs on for at most this long after the last `confirm`: a thread that hangs in a commit, or a machine asleep, hears nothing."""


class Listening:
    """Adds up the time spent connected and past what the broker had queued; continues over restarts from `heard_ns`.

    Every call takes `monotonic_ns`. It never goes backwards. One thread starts, confirms and stops; any may ask `at`.

    >>> listening = Listening(heard_ns=5)
    >>> listening.start(100)
    >>> listening.confirm(150)
    >>> listening.stop(160), listening.at(10**9)
    (None, 65)
    """

    __slots__ = ("_state",)

    def __init__(self, heard_ns: int = 0) -> None:
        self._state: tuple[int, int | None] = (heard_ns, None)  # one value, so that other threads never see half a change

    def at(self, monotonic_ns: int) -> int:
        """Listening time in ns."""
        heard_ns, since_ns = self._state
        if since_ns is None:
            return heard_ns
        return heard_ns + min(max(monotonic_ns - since_ns, 0), REACH_NS)

    def start(self, monotonic_ns: int) -> None:
        """The broker's queue is drained: from now on silence is the instruments'."""
        self._state = (self.at(monotonic_ns), monotonic_ns)

    def confirm(self, monotonic_ns: int) -> None:
        """Still listening."""
        since_ns = self._state[1]
        if since_ns is not None and monotonic_ns > since_ns:
            self._state = (self.at(monotonic_ns), monotonic_ns)

    def stop(self, monotonic_ns: int) -> None:
        """The link is lost, or nothing can be stored: what comes later may have been sent before."""
        self._state = (self.at(monotonic_ns), None)
