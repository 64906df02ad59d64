"""What a pipeline shows of itself outside: what stands, to signals; whether all is well, to a dead man's switch; trends, in mails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from alerts.channels import Channel
from alerts.duty.replies import Mailbox
from alerts.duty.roster import Person
from alerts.record.store import StateStore, StateUnavailable
from alerts.signals import Beacon, Standing
from facility.own import DELIVERIES_FAILING, own_points
from facility.secret import Secret
from rules.selecting import matches
from service.clock import Clock
from service.pages.beacon import Publisher
from service.pages.outbox import Outbox
from service.pages.replying import Replying
from service.pages.signalling import Signalling, standing_in
from service.pages.trend_pictures import Trends
from service.pages.undelivered import Undelivered

if TYPE_CHECKING:
    from service.pipeline import Pipeline

VITAL = ("judgement", "ingest", "journal", "broker", "backlog")
"""The checks of health that must hold for the dead man's switch to hear that all is well."""


class Signals:
    """Of a pipeline, which may not be built yet: it is asked when something is shown."""

    def __init__(
        self, pipeline: Pipeline, clock: Clock, reader: Callable[[], StateStore], outbox: Outbox, may_act: Callable[[], bool]
    ) -> None:
        self._pipeline, self._clock, self._reader, self._outbox, self._may_act = pipeline, clock, reader, outbox, may_act

    def signalling(self) -> Signalling:
        """Shows what stands while this instance pages."""
        return Signalling(self._standing, self.unwell, self._publisher, self._clock, self._pipeline.stopping, self._may_act)

    def replying(self) -> Replying:
        """Hears replies by mail while this instance pages."""

        def settings() -> tuple[Mailbox | None, Mapping[str, Person], Mapping[str, Secret]]:
            oncall = self._pipeline.configuration.oncall
            return oncall.mailbox, oncall.roster.people, oncall.pins

        return Replying(settings, self._reader, self._pipeline.stepper.ask, self._clock, self._may_act)

    def failing(self) -> dict[str, str]:
        """What has not worked for some time beside the pages themselves, and why."""
        replying = self._pipeline.replying
        return self._pipeline.signalling.failing() | ({"replies": replying.failure} if replying.failing() else {})

    def dressed(self, channel: Channel) -> Channel:
        """A channel with pictures, where it can show them."""
        zone = ZoneInfo(self._pipeline.configuration.facility.site.timezone)
        return Trends(lambda *asked: self._pipeline.monitor.readings(*asked), zone, self._clock).dressed(channel)

    def unwell(self) -> str:
        """Why the dead man's switch is not told that all is well: the first check that fails, or pages that nobody takes."""
        health = self._pipeline.monitor.health()
        bad = next((check for check in (*health.alive, *health.ready) if not check.ok and check.name in VITAL), None)
        try:
            return bad.words if bad is not None else self.stuck()
        except StateUnavailable as error:
            return str(error)

    def stuck(self) -> str:
        """Which channels have not taken pages for long; raises StateUnavailable."""
        return self._outbox.stuck(self._clock.now_ns(), self._pipeline.configuration.oncall.channels)

    def undelivered(self) -> Undelivered:
        """Tells of that where no rule does."""

        def judged() -> bool:
            rules = self._pipeline.configuration.rules
            return any(matches(rule.select, point) for rule in rules for point in own_points() if point.id == DELIVERIES_FAILING)

        return Undelivered(self.stuck, judged, self._pipeline.emergency.page, self._clock, self._may_act)

    def _standing(self, at: int) -> list[Standing]:
        with closing(self._reader()) as store:
            return standing_in(store, self._pipeline.following.paging.page, at)

    def _publisher(self, name: str, beacon: Beacon) -> Publisher:
        return Publisher(name, beacon, self._pipeline.connection)
