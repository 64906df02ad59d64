"""Asking edge nodes to be born again, not more often than they can bear."""

from __future__ import annotations

from collections.abc import Callable

Key = tuple[str, str]
"""Group and edge node."""


class Rebirths:
    """Which nodes are to be asked, and when; monotonic ns. `every_ns` gives how often a node of a group may be asked."""

    def __init__(self, every_ns: Callable[[str], int]) -> None:
        self._every_ns = every_ns
        self._wanted: set[Key] = set()
        self._asked: dict[Key, int] = {}
        self.asked = 0

    def want(self, key: Key) -> None:
        """What the node says cannot be understood until it is born again."""
        self._wanted.add(key)

    def answered(self, key: Key) -> None:
        """The node was born."""
        self._wanted.discard(key)

    def due(self, now_ns: int) -> list[Key]:
        """The nodes to ask now; they are taken to be asked."""
        due = [key for key in self._wanted if now_ns - self._asked.get(key, -(1 << 62)) >= self._every_ns(key[0])]
        for key in due:
            self._asked[key] = now_ns
            self._wanted.discard(key)
        self.asked += len(due)
        return sorted(due)
