"""A channel that does not take its pages is told by the others, where no rule judges `$deliveries.failing`, which raises an alarm."""

from __future__ import annotations

import logging
from collections.abc import Callable

from alerts.channels.delivery import Stop
from alerts.record.store import StateUnavailable
from service.clock import Clock

LOOK_S = 20.0
REASON = "A channel has not taken its pages for more than five minutes: who is told by it does not hear of alarms."
DO = "Call who is on call. `renrum doctor` and the log name the channel, and say what it answers."

log = logging.getLogger(__name__)


class Undelivered:
    """Told from memory, as in an emergency, so that this page waits in no outbox and makes no further one: once until all is delivered.

    `stuck` says what waits, `judged` whether a rule looks after it, `tell` pages a reason (alerts/channels/emergency.py).
    """

    def __init__(
        self,
        stuck: Callable[[], str],
        judged: Callable[[], bool],
        tell: Callable[[str, int, str], object],
        clock: Clock,
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self._stuck, self._judged, self._tell, self._clock, self._may_act = stuck, judged, tell, clock, may_act
        self._told = False

    def run(self, stop: Stop) -> None:
        """Look every now and then until stopped."""
        while not stop.is_set():
            try:
                self.look()
            except StateUnavailable:
                pass  # the steps say it, and page
            except Exception:
                log.exception("it is not known whether pages wait; looking again")
            stop.wait(LOOK_S)

    def look(self) -> None:
        """Tell, unless that is done."""
        words = self._stuck()
        if not words:
            self._told = False
        elif not self._told and self._may_act() and not self._judged():
            log.error("%s", words)
            self._tell(REASON, self._clock.now_ns(), DO)
            self._told = True
