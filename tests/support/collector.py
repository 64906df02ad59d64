"""What test servers received, and what was expected: a page that nobody expected fails a test as one that is missing does."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Self


class Collector:
    """Collects (recipient, page id); used as a context it checks at the end, each expected delivery exactly once unless said."""

    def __init__(self) -> None:
        self._received: list[tuple[str, str]] = []
        self._expected: Counter[tuple[str, str]] = Counter()
        self._changed = threading.Condition()

    def received(self, recipient: str, page: str) -> None:
        with self._changed:
            self._received.append((recipient, page))
            self._changed.notify_all()

    def expect(self, recipient: str, page: str, times: int = 1) -> None:
        self._expected[recipient, page] += times

    def wait(self, deliveries: int, timeout_s: float = 5.0) -> None:
        """Until so many arrived in all; what did not come is told by `check`."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._received) >= deliveries, timeout_s)

    def check(self) -> None:
        with self._changed:
            got = Counter(self._received)
        missing, unexpected = self._expected - got, got - self._expected
        assert not missing, f"expected but not received: {dict(missing)}"
        assert not unexpected, f"received but not expected: {dict(unexpected)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.check()
