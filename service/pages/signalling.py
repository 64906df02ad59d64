"""What stands is shown to Alertmanager, beacons and dead man's switches: each on a thread of its own, again until it is taken."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from alerts.channels import DeliveryError
from alerts.channels.delivery import Stop, backoff_ns
from alerts.lifecycle.lifecycle import ACKNOWLEDGED, LATCHED_ACKNOWLEDGED
from alerts.pages.page import Page
from alerts.record.store import StateStore, StateUnavailable
from alerts.signals import Beacon, Deadman, Signal, Standing
from dashboards.views import AlarmQuery
from rules.excursion import Excursion
from service.clock import Clock
from service.pages.beacon import Publisher
from service.stored import records

LOOK_S = 1.0
STANDING_MAX = 2000
"""So many alarms at most are shown, the newest: who is shown more sees nothing."""
FAILING_AFTER_NS = 60 * 10**9
"""A signal that does not take what it is shown for so long is failing."""

log = logging.getLogger(__name__)


def standing_in(store: StateStore, page: Callable[[Excursion, str, int], Page], at: int) -> list[Standing]:
    """The alarms that are not done, but for those that are shelved, suppressed or out of service; raises StateUnavailable."""
    return [
        Standing(
            alarm.id, alarm.rule, alarm.level, alarm.priority, alarm.point, excursion.room, excursion.onset, alarm.active,
            alarm.state in (ACKNOWLEDGED, LATCHED_ACKNOWLEDGED), page(excursion, alarm.id, at),
        )
        for alarm, excursion in records.alarms(store, AlarmQuery(), STANDING_MAX, None).items
        if alarm.annunciated
    ]  # fmt: skip


class Showing:
    """Shows one signal what stands, when it changes and again every `every_ns`; `why` says what it does not take, empty while it does."""

    def __init__(
        self,
        name: str,
        signal: Signal,
        standing: Callable[[int], Sequence[Standing]],
        unwell: Callable[[], str],
        clock: Clock,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name, self.signal = name, signal
        self._standing, self._unwell, self._clock, self._may_act = standing, unwell, clock, may_act
        self._shown: list[tuple[str, str, str, bool, bool]] | None = None
        self._due_ns = self._attempts = self._failing_ns = 0
        self.why = ""

    def run(self, stop: Stop) -> None:
        """Look every second until stopped; an error is logged, and the next look comes all the same."""
        while not stop.is_set():
            try:
                self.look()
            except StateUnavailable:
                pass  # the steps say it, and page
            except Exception:
                log.exception("what stands could not be shown to %s; trying again", self.name)
            stop.wait(LOOK_S)

    def look(self) -> None:
        """Show what stands if it is time."""
        now = self._clock.monotonic_ns()
        if not self._may_act() or (isinstance(self.signal, Deadman) and self._unwell()):
            return
        standing = self._standing(self._clock.now_ns())
        image = [(one.alarm, one.level, one.priority, one.active, one.acknowledged) for one in standing]
        anew = image != self._shown and not isinstance(self.signal, Deadman) and not self._attempts
        if not anew and now < self._due_ns:
            return
        try:
            self.signal.show(standing, self._clock.now_ns())
        except DeliveryError as error:
            self._attempts += 1
            self._failing_ns = self._failing_ns or now
            self._due_ns = now + min(backoff_ns(self._attempts, error.retry_after_ns), self.signal.every_ns)
            if str(error) != self.why:
                log.warning("%s: %s; trying again", self.name, error)
            self.why = str(error)
            return
        self._shown, self._due_ns = image, now + self.signal.every_ns
        self._attempts = self._failing_ns = 0
        self.why = ""

    def failing(self) -> bool:
        """Whether it has failed for some time."""
        return bool(self._failing_ns) and self._clock.monotonic_ns() - self._failing_ns >= FAILING_AFTER_NS


class Signalling:
    """`serve` shows to these signals from now on; those that are gone are shown nothing any more."""

    def __init__(
        self,
        standing: Callable[[int], Sequence[Standing]],
        unwell: Callable[[], str],
        publisher: Callable[[str, Beacon], Publisher],
        clock: Clock,
        stop: threading.Event,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        """`unwell` says why the service is not well, empty when it is; `publisher` connects a beacon to the broker.

        While this instance may not act, as another one pages, nothing is shown.
        """
        self._may_act = may_act
        self._standing, self._unwell, self._publisher, self._clock, self._stop = standing, unwell, publisher, clock, stop
        self._serving: dict[str, tuple[Signal, Showing, threading.Thread, _Stop]] = {}

    def serve(self, signals: Mapping[str, Signal]) -> None:
        """Called at the start, and when another configuration is in force."""
        serving = dict(self._serving)
        for name, (signal, _, _, stop) in self._serving.items():
            if signals.get(name) != signal:
                stop.own.set()
                del serving[name]
        for name, signal in signals.items():
            if name not in serving:
                stop = _Stop(self._stop)
                publisher = self._publisher(name, signal) if isinstance(signal, Beacon) else None
                shown = replace(signal, publish=publisher.publish) if isinstance(signal, Beacon) and publisher is not None else signal
                showing = Showing(name, shown, self._standing, self._unwell, self._clock, self._may_act)
                thread = threading.Thread(target=_work(showing, publisher, stop), name=f"shown to {name}", daemon=True)
                serving[name] = signal, showing, thread, stop
                thread.start()
        self._serving = serving  # whole: other threads look through it meanwhile

    @property
    def threads(self) -> list[threading.Thread]:
        """Those that should be running."""
        return [thread for _, _, thread, _ in self._serving.values()]

    def failing(self) -> dict[str, str]:
        """Which signals have not taken what they were shown for some time, and why."""
        return {name: showing.why for name, (_, showing, _, _) in self._serving.items() if showing.failing()}


class _Stop:
    """Set when the service stops, or when this one is not wanted any more."""

    def __init__(self, service: threading.Event) -> None:
        self._service, self.own = service, threading.Event()

    def is_set(self) -> bool:
        return self.own.is_set() or self._service.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return self.own.is_set() or self._service.wait(timeout)


def _work(showing: Showing, publisher: Publisher | None, stop: _Stop) -> Callable[[], None]:
    def work() -> None:
        try:
            showing.run(stop)
        finally:
            if publisher is not None:
                publisher.close()

    return work
