"""Which page goes to which target: told by the configurations that the journal keeps, so that computing again queues what was queued."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from alerts.page import LATE, RAISED, Letterhead, Page, render
from ingest.entries import ConfigurationBody
from rules.ahead import as_told
from rules.excursion import Excursion
from service.judging import Judges


class Paging:
    """An excursion's page speaks of the rule and the point that judged it, and goes to the channels of the moment of its alarm.

    A channel that was added later gets nothing of what was before it, also when state.db is computed again. `journalled` are
    configurations that took force, each with its moment (int ns UTC), oldest first.
    """

    def __init__(self, letterhead: Letterhead, judges: Judges, journalled: Iterable[tuple[int, ConfigurationBody]] = ()) -> None:
        self.letterhead, self._judges = letterhead, judges
        self._moments: list[int] = []
        self._channels: list[tuple[str, ...]] = []
        self._bodies: dict[str, ConfigurationBody] = {}
        for at, body in journalled:
            self.know(at, body)

    def know(self, at: int, body: ConfigurationBody) -> None:
        """One more configuration took force at a moment not before any other; one that is known is known."""
        channels = tuple(body.entry.get("channels", ()))
        if not self._moments or at > self._moments[-1] or (at == self._moments[-1] and channels != self._channels[-1]):
            self._moments.append(at)
            self._channels.append(channels)
        self._bodies.setdefault(body.hash, body)

    def pages(self, excursion: Excursion, alarm: str, at: int) -> Sequence[tuple[str, Page]]:
        """The page of a new alarm at `at` (int ns UTC), for each target."""
        targets = self._channels[max(0, bisect_right(self._moments, at) - 1)]
        facility, rules, _ = self._judges.of(self._bodies[excursion.config])
        rule = as_told(next(rule for rule in rules if rule.id == excursion.rule), excursion)
        kind = LATE if excursion.late else RAISED
        page = render(excursion, alarm=alarm, rule=rule, facility=facility, letterhead=self.letterhead, at=at, kind=kind)
        return [(target, page) for target in targets]
