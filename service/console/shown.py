"""What the pages of the service show of one configuration: its points, places, limits and words, and how each point stands."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from alerts.duty.roster import Subject, subject_of
from alerts.lifecycle.lifecycle import Alarm
from alerts.record.store import StateStore
from dashboards import views as v
from dashboards.console.view import value_text
from dashboards.events import EventHub
from rules.excursion import Excursion
from rules.occupancy import Occupancy, occupancy_of
from rules.plan import plan_of
from service.configuration.configuration import Configuration
from service.console.announcing import Announcer
from service.console.board import Board
from service.console.views import LimitsInForce, Words, limit_codes, place_views, point_view
from service.stored.readers import Readers

States = Mapping[str, list[tuple[int, str]]]


class Shown:
    """Any thread may ask; `board` is filled before the first question. `number_of` are the points' numbers in the journal's register."""

    def __init__(
        self, configuration: Configuration, number_of: Mapping[str, int], version: str, events: EventHub, store: Readers[StateStore]
    ) -> None:
        facility, settings = configuration.facility, configuration.settings
        site = facility.site
        self.facility, self.number_of = facility, dict(number_of)
        self.identity = v.Identity(settings.environment, site.id, site.name, site.timezone, version, configuration.judging_hash)
        self.targets = tuple(configuration.oncall.channels)
        self.roster = configuration.oncall.roster
        self.evaluate_every_ns = settings.evaluate_every_ns
        self.words = Words(configuration.rules, facility)
        plan = plan_of(facility, configuration.rules, configuration.tables, self.number_of, configuration.judging_hash)
        self.plan = plan
        self.limits = LimitsInForce(plan, self.number_of)
        self._points = [point for point in facility.points if point.retired_ns is None]
        self.row_of = {place.id: row for row, place in enumerate(facility.places)}
        self._place_of = np.array([self.row_of[point.place] for point in self._points], np.int64)
        self.board = Board(self._points, self.number_of, self.words.kind_of)
        self.announcer = Announcer(events, self.board, self._points, self.words, store)
        self._lock = threading.Lock()
        self._views: list[v.PointView] = []
        self._codes = np.full(len(facility.places), -1, np.int8)
        self._occupancy: tuple[object, Occupancy] | None = None

    def places(self, states: States, at: int) -> Sequence[v.PlaceView]:
        """Rooms and zones as they are at a moment (int ns UTC)."""
        return place_views(self.facility, self.occupancy(states), at)

    def points(self, states: States, at: int) -> Sequence[v.PointView]:
        """Points as they are now; only those that changed since the last call are built anew."""
        occupancy = self.occupancy(states)
        with self._lock:
            codes = limit_codes(occupancy, at)
            rows = set(self.board.changed())
            rows.update(np.flatnonzero((codes != self._codes)[self._place_of]).tolist())
            if not self._views:
                rows = set(range(len(self._points)))
                self._views = [v.PointView("", "", "", "", "")] * len(rows)
            chosen = sorted(rows)
            for row, standing in zip(chosen, self.board.standing(chosen), strict=True):
                point = self._points[row]
                limits = self.limits.of(point.id, int(codes[self._place_of[row]]))
                self._views[row] = point_view(point, standing, limits)
            self._codes = codes
            return tuple(self._views)

    def subject(self, alarm: Alarm, excursion: Excursion) -> Subject | None:
        """What routes ask of an alarm; None where its rule or point is gone."""
        rule, point = self.words.rule(excursion), self.facility.judged_by_id.get(alarm.point)
        if rule is None or point is None:
            return None
        return replace(subject_of(rule, point, self.facility), priority=alarm.priority, level=excursion.level)

    def text_of(self, point: str, value: float | None) -> str:
        """A value as people read it."""
        known = self.facility.point_by_id.get(point)
        return value_text(value, known.quantity, known.resolution) if known is not None else value_text(value, "")

    def occupancy(self, states: States) -> Occupancy:
        """What every place was said to be, by the states that were reported."""
        known = self._occupancy
        if known is not None and known[0] is states:
            return known[1]
        occupancy = occupancy_of(self.facility, states)
        self._occupancy = (states, occupancy)
        return occupancy
