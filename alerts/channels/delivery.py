"""The outbox' sending side: one courier a target, which tries until the page is delivered and never gives it up."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from alerts.channels import Channel, DeliveryError
from alerts.pages.page import Page

SECOND_NS = 10**9
FIRST_WAIT_NS = 5 * SECOND_NS
LONGEST_WAIT_NS = 15 * 60 * SECOND_NS
REFUSED_WAIT_NS = 3600 * SECOND_NS
"""After a permanent error: someone must repair something, so trying often would only annoy the far end."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """A page on its way to one target.

    `attempts` counts the recorded tries; `tried_ns` is when the last one ended, 0 for none; `next_try_ns` 0 means at once. Both ns UTC.
    """

    id: int
    page: Page
    target: str
    attempts: int = 0
    next_try_ns: int = 0
    tried_ns: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """How one try went; `at_ns` is when it ended, `next_try_ns` is 0 when delivered, `detail` says why not (and holds no secret)."""

    item: int
    target: str
    attempt: int
    at_ns: int
    ok: bool
    permanent: bool = False
    detail: str = ""
    next_try_ns: int = 0


class Stop(Protocol):
    """What ends a courier, and what it waits with: a threading.Event is one."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


def backoff_ns(attempts: int, retry_after_ns: int | None = None) -> int:
    """The wait after the given number of failed tries: 5 s, doubling to 15 min, for ever.

    A wait that the far end asks for counts when it is longer, up to an hour: nobody can ask us to be silent.
    """
    wait = min(FIRST_WAIT_NS << min(max(attempts, 1) - 1, 16), LONGEST_WAIT_NS)
    return max(wait, min(retry_after_ns or 0, REFUSED_WAIT_NS))


def is_due(item: OutboxItem, at: int) -> bool:
    """Whether to try now; a clock that shows less than at the last try was set back, and must not make the page wait for it."""
    return at >= item.next_try_ns or at < item.tried_ns


def deliver(item: OutboxItem, channel: Channel, clock: Callable[[], int]) -> DeliveryResult:
    """Try once; whatever goes wrong becomes a result. The clock is read after the try, so that a slow failure still waits."""
    attempt = item.attempts + 1
    try:
        channel.send(item.page)
    except DeliveryError as error:
        at = clock()
        wait = REFUSED_WAIT_NS if error.permanent else backoff_ns(attempt, error.retry_after_ns)
        return DeliveryResult(item.id, item.target, attempt, at, False, error.permanent, str(error), at + wait)
    except Exception as error:  # a fault of ours: it must neither stop the courier nor be tried without a pause
        at = clock()
        where = traceback.extract_tb(error.__traceback__)[-1]
        # The text of an unknown error may hold anything, a secret too; its place is enough to find it.
        detail = f"{type(error).__name__} in {where.filename}:{where.lineno}. This is a fault in Renrum: please report it"
        return DeliveryResult(item.id, item.target, attempt, at, False, False, detail, at + backoff_ns(attempt))
    return DeliveryResult(item.id, item.target, attempt, clock(), True)


class Courier:
    """Carries the pages of one target, one at a time, on a thread of its own: a target that hangs delays no other.

    `pending(target)` gives the items not yet recorded as delivered (at least those due; a limit must keep fewest attempts first).
    `record(result)` returns when the result is durable; when it raises, the result is kept and recorded later, and meanwhile a
    delivered page is not sent again.
    """

    def __init__(
        self,
        target: str,
        channel: Channel,
        pending: Callable[[str], Iterable[OutboxItem]],
        record: Callable[[DeliveryResult], None],
        clock: Callable[[], int],
    ) -> None:
        self.target = target
        self._channel, self._pending, self._record, self._clock = channel, pending, record, clock
        self._unrecorded: list[DeliveryResult] = []

    def run(self, stop: Stop, poll_s: float = 1.0) -> None:
        """Go round until stopped; an error in a round is logged, and the next round comes after the pause all the same."""
        while not stop.is_set():
            try:
                self.round(stop)
            except Exception as error:
                log.error("pages to %s: %s: %s; trying again", self.target, type(error).__name__, error)
            stop.wait(poll_s)

    def round(self, stop: Stop | None = None) -> int:
        """Try each due item once, those with the fewest tries first; returns how many were tried."""
        self._settle()
        at, tried = self._clock(), 0
        known = {result.item: result for result in self._unrecorded}
        items = [current for item in self._pending(self.target) if (current := _brought_up(item, known.get(item.id)))]
        for item in sorted((item for item in items if is_due(item, at)), key=lambda item: (item.attempts, item.id)):
            if stop is not None and stop.is_set():
                break
            result = deliver(item, self._channel, self._clock)
            tried += 1
            if not result.ok:
                log.warning("page %s to %s, try %d: %s", item.page.id, self.target, result.attempt, result.detail)
            self._unrecorded.append(result)
            self._settle()
        return tried

    def _settle(self) -> None:
        """Record what is not recorded yet, in order."""
        while self._unrecorded:
            try:
                self._record(self._unrecorded[0])
            except Exception as error:
                log.error("cannot record what became of a page to %s: %s: %s", self.target, type(error).__name__, error)
                return
            del self._unrecorded[0]


def _brought_up(item: OutboxItem, last: DeliveryResult | None) -> OutboxItem | None:
    """The item as it stands after a try that is not recorded yet; None when that try delivered it."""
    if last is None:
        return item
    return None if last.ok else replace(item, attempts=last.attempt, next_try_ns=last.next_try_ns, tried_ns=last.at_ns)
