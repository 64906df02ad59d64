"""What steps brought, published to those who listen, on a thread of its own: writing 10,000 readings takes longer than judging them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from alerts.record.store import StateStore
from dashboards.events import EventHub
from dashboards.views import PointNow
from facility.site import Point
from rules.excursion import Excursion
from service.console.board import Board
from service.console.views import Words
from service.stored import records
from service.stored.readers import Readers

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _News:
    """What is not published yet: rows of the board, ids of alarms, excursions by id as they are now; `at` is the newest step's clock."""

    at: int = 0
    rows: set[int] = field(default_factory=set)
    alarms: dict[str, None] = field(default_factory=dict)
    excursions: dict[str, Excursion] = field(default_factory=dict)

    def add(self, later: _News) -> None:
        self.at = later.at
        self.rows |= later.rows
        self.alarms |= later.alarms
        self.excursions |= later.excursions


class Announcer:
    """Steps that come while it publishes are published together: a slow one never falls behind by more than everything there is.

    `failure` says why listeners were not told, empty when they were; what they were not told is told after the next step.
    """

    def __init__(self, events: EventHub, board: Board, points: Sequence[Point], words: Words, store: Readers[StateStore]) -> None:
        self._events, self._board, self._points, self._words, self._store = events, board, points, words, store
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._lock = threading.Lock()
        self._news = _News()
        self._called = False
        self.failure = ""

    def announce(self, rows: Iterable[int], alarms: Iterable[str], excursions: Iterable[Excursion], at: int) -> None:
        """Have it published soon what a step changed: never waits for it."""
        news = _News(at, set(rows), dict.fromkeys(alarms), {excursion.id: excursion for excursion in excursions})
        with self._lock:
            self._news.add(news)
            if self._called:
                return
            self._called = True
        self._executor.submit(self._publish)

    def settle(self) -> None:
        """Wait until everything announced so far is published."""
        self._executor.submit(lambda: None).result()

    def close(self) -> None:
        """Publish what is announced, and end."""
        self._executor.shutdown()

    def _publish(self) -> None:
        with self._lock:
            news, self._news = self._news, _News()
            self._called = False
        try:
            self._tell(news)
            self.failure = ""
        except Exception as error:
            if not self.failure:
                log.exception("events could not be published; they are with the next step")
            self.failure = str(error) or type(error).__name__
            with self._lock:
                news.add(self._news)
                self._news = news

    def _tell(self, news: _News) -> None:
        views = []
        if news.alarms or news.excursions:
            with self._store.borrowed() as store:
                # An alarm's view changes with its excursion: its worst value, its end.
                changed = news.alarms | dict.fromkeys(records.alarms_of(store, news.excursions))
                views = [self._words.alarm(*found) for found in records.alarms_by_id(store, changed)]
        rows = sorted(news.rows) if self._events.listeners else []
        standing = self._board.standing(rows)
        now = [PointNow(self._points[row].id, point.latest, point.state) for row, point in zip(rows, standing, strict=True)]
        self._events.readings(now, news.at)
        for view in views:
            self._events.alarm(view)
        for excursion in news.excursions.values():
            self._events.excursion(excursion)
