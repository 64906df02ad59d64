"""Who is told when nothing can be recorded: those whom the most urgent alarm of Renrum itself would be told to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from alerts.duty.course import told_by
from alerts.duty.roster import Roster, Subject
from alerts.duty.rotation import Override
from alerts.escalation.escalation import swaps
from alerts.record.store import StateStore, StateUnavailable

SERVICE = Subject("critical", "technical", "service")
"""What routes are asked for."""


class Reachable:
    """Targets by the roster and the swaps as they were last known; `reader` opens state.db, which may not be possible by then."""

    def __init__(self, roster: Roster, everyone: tuple[str, ...], reader: Callable[[], StateStore]) -> None:
        self._roster, self._everyone, self._reader = roster, everyone, reader
        self._swaps: tuple[Override, ...] = ()

    def __call__(self, at: int) -> tuple[str, ...]:
        """Everybody of every step at a moment (int ns UTC), as nobody can acknowledge then; every channel where nobody is chosen."""
        if not self._roster.chooses:
            return self._everyone
        try:
            with closing(self._reader()) as store:
                self._swaps = swaps(store, at)
        except (StateUnavailable, OSError):
            pass  # those that were known last
        policy = self._roster.policy(SERVICE, at)
        notices = [
            notice
            for number, step in enumerate(policy.steps if policy is not None else (), 1)
            for notice in told_by(self._roster, SERVICE, step, number, at, self._swaps)
        ]
        return tuple(dict.fromkeys(notice.target for notice in notices)) or self._everyone or self._roster.targets
