"""Pictures for pages, drawn when they are sent from what is stored by then; a page never waits for one for long, and never fails by one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from alerts.channels import Channel, Email
from alerts.pages.page import Page
from dashboards.views import Columns
from facility.times import parse_time
from service.clock import Clock

if TYPE_CHECKING:
    from alerts.pages.trend import Picture

BEFORE_NS = 2 * 3600 * 10**9
"""So much of what was before the onset is drawn."""
LONGEST_NS = 24 * 3600 * 10**9
READINGS_MAX = 100_000
PATIENCE_S = 3.0

log = logging.getLogger(__name__)


class Trends:
    """`readings` gives those of a point between two moments, at most so many (service/console); any thread may ask for a picture."""

    def __init__(self, readings: Callable[[str, int | None, int | None, int], Columns | None], zone: ZoneInfo, clock: Clock) -> None:
        self._readings, self._zone, self._clock = readings, zone, clock

    def dressed(self, channel: Channel) -> Channel:
        """The channel with pictures, where it can show them."""
        return replace(channel, draw=self.of) if isinstance(channel, Email) else channel

    def of(self, page: Page) -> Picture | None:
        """The picture of a page's alarm; None for other pages, and where it cannot be drawn in time."""
        if not isinstance(page.facts.get("point"), str) or not isinstance(page.facts.get("onset"), str):
            return None
        drawn: list[Picture | None] = []
        drawing = threading.Thread(target=lambda: drawn.append(self._draw(page)), name="trend", daemon=True)
        drawing.start()
        drawing.join(PATIENCE_S)
        if not drawn:
            log.warning("page %s goes without its trend, which could not be drawn within %.0f s", page.id, PATIENCE_S)
        return drawn[0] if drawn else None

    def _draw(self, page: Page) -> Picture | None:
        from alerts.pages.trend import Trend, picture  # loads Pillow: only where a mail is sent

        try:
            facts, now = page.facts, self._clock.now_ns()
            onset = parse_time(str(facts["onset"]))
            begin = max(onset - BEFORE_NS, now - LONGEST_NS)
            found = self._readings(str(facts["point"]), begin, now, READINGS_MAX)
            if found is None:
                return None
            good = np.array([quality != "bad" for quality in found.quality], bool)
            time, value = np.array(found.time, np.int64)[good], np.array(found.value, np.float64)[good]
            limit = facts.get("limit")
            language = str(facts.get("language", "en"))
            bound = float(limit) if isinstance(limit, int | float) else None
            return picture(Trend(time, value, begin, now, onset, bound, str(facts.get("unit") or ""), self._zone), language)
        except Exception as error:
            log.warning("page %s goes without its trend: %s: %s", page.id, type(error).__name__, error)
            return None
