"""Locked out: after failed sign-ins an account waits, longer each time, and nobody can make it wait for ever.

Failures are counted for an account at a place. A source address from which the person has signed in before is a place of its own; all
others are one place together. So who guesses from elsewhere locks the account for elsewhere, and its person signs in at the usual
place as ever; who is signed in stays so. A wait is at most WAIT_MAX_NS, does not grow while it lasts, and is forgotten after FORGET_NS.
Names that nobody has are counted alike, so that waiting does not tell who exists.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

SECOND_NS = 10**9
FREE = 5
"""So many failures in a row cost nothing but the time of their hash."""
WAIT_NS = 30 * SECOND_NS
WAIT_MAX_NS = 15 * 60 * SECOND_NS
FORGET_NS = 24 * 3600 * SECOND_NS
SLACK_NS = 10 * SECOND_NS
"""Failures that are counted by several threads may be told in another order."""
SOURCE_FREE, SOURCE_REFILL_NS = 20, 6 * SECOND_NS
"""A source may fail so many times at once, and once more each so often, over all names for which it is no usual place."""
REMEMBERED_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures in a row, the newest at `at`, and until when to wait; int ns UTC."""

    count: int = 0
    at: int = 0
    until: int = 0


class LockOut:
    """Counts in memory, for a bounded number of names and sources; the oldest are forgotten first. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], Failures] = OrderedDict()

    def waits(self, account: str, place: str, source: str, at: int) -> int:
        """How long to wait before a password of the account is looked at, ns; 0 for not at all."""
        with self._lock:
            here, from_there = self._of(("account", f"{account}\n{place}"), at), self._of(("source", source), at)
        refilled = (at - from_there.at) // SOURCE_REFILL_NS
        # At a usual place the account's own count is enough: else one guesser there could keep everybody beside him out for good.
        spent = not place and from_there.count - refilled >= SOURCE_FREE
        return min(max(here.until - at, SOURCE_REFILL_NS if spent else 0, 0), WAIT_MAX_NS)

    def failed(self, account: str, place: str, source: str, at: int) -> int:
        """A password was wrong; the wait that begins with it, ns."""
        key, source_key = ("account", f"{account}\n{place}"), ("source", source)
        with self._lock:
            count = self._of(key, at).count + 1
            wait = 0 if count < FREE else min(WAIT_NS << min(count - FREE, 10), WAIT_MAX_NS)
            self._keep(key, Failures(count, at, at + wait))
            before = self._of(source_key, at)
            left = max(0, before.count - (at - before.at) // SOURCE_REFILL_NS) if before.count else 0
            self._keep(source_key, Failures(left + 1, at))
        return wait

    def forget(self, account: str, place: str) -> None:
        """The right password came."""
        with self._lock:
            self._known.pop(("account", f"{account}\n{place}"), None)

    def _of(self, key: tuple[str, str], at: int) -> Failures:
        found = self._known.get(key, Failures())
        # a clock that was set back forgets: else the wait would last until it is that late again
        return found if -SLACK_NS <= at - found.at <= FORGET_NS else Failures()

    def _keep(self, key: tuple[str, str], failures: Failures) -> None:
        self._known[key] = failures
        self._known.move_to_end(key)
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
