"""The couriers of the channels in force, each on a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from alerts.channels import Channel
from alerts.channels.delivery import Courier, DeliveryResult, OutboxItem

STRANDED = "%d pages wait for %s, which is no channel any more: nobody delivers them"

log = logging.getLogger(__name__)


class _EitherStop:
    """Set when the service stops, or when this courier is not wanted any more."""

    def __init__(self, service: threading.Event) -> None:
        self._service, self._own, self._woken = service, threading.Event(), threading.Event()
        self.leaving = False

    def set(self, leaving: bool) -> None:
        self.leaving = leaving
        self._own.set()
        self.wake()

    def wake(self) -> None:
        """Something may have to be carried: nobody waits until the next round."""
        self._woken.set()

    def is_set(self) -> bool:
        return self._own.is_set() or self._service.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set():
            self._woken.wait(timeout)
            self._woken.clear()
        return self.is_set()


class Couriers:
    """`serve` starts those of new channels and ends those that are gone; one whose channel stayed the same goes on undisturbed.

    `pending`, `record` and `now_ns` are a courier's; `stop` ends them all; `dressed` gives a channel what it shows beside the text.
    """

    def __init__(
        self,
        pending: Callable[[str], Iterable[OutboxItem]],
        record: Callable[[DeliveryResult], None],
        now_ns: Callable[[], int],
        stop: threading.Event,
        dressed: Callable[[Channel], Channel] = lambda channel: channel,
    ) -> None:
        self._dressed = dressed
        self._pending, self._record, self._now_ns, self._stop = pending, record, now_ns, stop
        self._serving: dict[str, tuple[Channel, threading.Thread, _EitherStop]] = {}

    def serve(self, channels: Mapping[str, Channel]) -> None:
        """Carry pages to these channels from now on; one that is gone carries what was queued for it once more."""
        serving = dict(self._serving)
        for target, (channel, _, stop) in self._serving.items():
            if channels.get(target) != channel:
                stop.set(leaving=target not in channels)
                del serving[target]
        for target, channel in channels.items():
            if target not in serving:
                before = self._serving.get(target)
                stop = _EitherStop(self._stop)
                courier = Courier(target, self._dressed(channel), self._pending, self._record, self._now_ns)
                work = partial(self._carry, before[1] if before else None, courier, stop)
                thread = threading.Thread(target=work, name=f"pages to {target}", daemon=True)
                serving[target] = channel, thread, stop
                thread.start()
        self._serving = serving

    def wake(self) -> None:
        """Pages may be waiting, or the service stops: they look at once."""
        for _, _, stop in self._serving.values():
            stop.wake()

    def _carry(self, before: threading.Thread | None, courier: Courier, stop: _EitherStop) -> None:
        """One at a time carries to a target, so that no page is sent twice; one that leaves carries once more what was queued for it."""
        while before is not None and before.is_alive() and not stop.is_set():
            before.join(0.2)
        courier.run(stop)
        if stop.leaving:
            try:
                courier.round(self._stop)
                if count := len(list(self._pending(courier.target))):
                    log.error(STRANDED, count, courier.target)
            except Exception as error:  # as in a courier's other rounds
                log.error("the last pages to %s: %s: %s", courier.target, type(error).__name__, error)

    @property
    def threads(self) -> list[threading.Thread]:
        """Those that should be running."""
        return [thread for _, thread, _ in self._serving.values()]
