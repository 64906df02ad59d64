"""Which page goes to which target: told by the configurations that the journal keeps, so that computing again queues what was queued."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from alerts.page import LATE, RAISED, Letterhead, Page, render
from ingest.entries import ConfigurationBody
from rules.ahead import as_told
from rules.excursion import Excursion
from service.judging import Judges


class Paging:
    """An excursion's page speaks of the rule and the point that judged it, and goes to the channels of the moment of its alarm.

    A channel that was added later gets nothing of what was before it, also when state.db is computed again. `journalled` are all
    configurations that took force, each with its moment (int ns UTC), oldest first.
    """

    def __init__(self, letterhead: Letterhead, judges: Judges, journalled: Sequence[tuple[int, ConfigurationBody]]) -> None:
        self._letterhead, self._judges = letterhead, judges
        self._moments = [at for at, _ in journalled]
        self._channels = [tuple(body.entry.get("channels", ())) for _, body in journalled]
        self._bodies = {body.hash: body for _, body in journalled}

    def pages(self, excursion: Excursion, alarm: str, at: int) -> Sequence[tuple[str, Page]]:
        """The page of a new alarm at `at` (int ns UTC), for each target."""
        targets = self._channels[max(0, bisect_right(self._moments, at) - 1)]
        facility, rules, _ = self._judges.of(self._bodies[excursion.config])
        rule = as_told(next(rule for rule in rules if rule.id == excursion.rule), excursion)
        kind = LATE if excursion.late else RAISED
        page = render(excursion, alarm=alarm, rule=rule, facility=facility, letterhead=self._letterhead, at=at, kind=kind)
        return [(target, page) for target in targets]
