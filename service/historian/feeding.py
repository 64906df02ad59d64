"""The historian's thread: the feed, supervised; whatever becomes of InfluxDB, only this thread waits for it."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from alerts.record.store import StateStore, StateUnavailable
from facility.problems import ConfigurationError
from facility.site import Facility
from historian.feed import Beside, Feed
from historian.influx import Influx, InfluxFault, InfluxMisconfigured, InfluxUnavailable
from historian.progress import FILE, Progress, ProgressDamaged, ProgressUnavailable
from historian.target import Target
from historian.vitals import HistorianVitals
from ingest.journal.entries import ConfigurationBody
from ingest.journal.journal import JournalReader, JournalUnavailable
from ingest.series.series import SeriesReader, SeriesUnavailable
from service.clock import Clock
from service.configuration.configuration import Configuration
from service.configuration.judging import judging_from_entry
from service.historian.judged import JudgedStore

SECOND_NS = 10**9
PAUSE_S = 1.0
"""Between two looks at the journal when all of it is in InfluxDB."""
LOOK_NS = 3 * SECOND_NS
PATIENCE_S = 60.0
"""So long an answer may take."""
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
"""After a failure, twice as long after each further one; somewhere between half of it and all."""
_OWN = (JournalUnavailable, SeriesUnavailable, StateUnavailable, ProgressUnavailable, ConfigurationError, sqlite3.Error, OSError)

log = logging.getLogger(__name__)


@contextmanager
def side_by_side() -> Iterator[Beside]:
    """The first on the calling thread, so that no write waits for a thread to start; the second on another."""
    with ThreadPoolExecutor(1, "historian-ahead") as ahead:

        def beside(first: Callable[[], None], second: Callable[[], None]) -> None:
            following = ahead.submit(second)
            try:
                first()
            finally:
                wait([following])
            following.result()

        yield beside


class DataDir:
    """Implements historian.feed.Sources on a data_dir; a context manager, for one thread."""

    def __init__(self, folder: Path, configuration: Configuration | None = None) -> None:
        self.folder = folder
        self._in_force = None if configuration is None else (configuration.as_entry(), configuration.facility)
        self.journal = JournalReader(folder / "journal.db")
        self.judged = JudgedStore(lambda: StateStore(folder / "state.db", readonly=True))

    def series(self) -> SeriesReader:
        return SeriesReader(self.folder / "series.db")

    def facility_of(self, body: ConfigurationBody) -> Facility:
        if self._in_force is not None and self._in_force[0] == body.entry:
            return self._in_force[1]
        return judging_from_entry(body.entry)[0]

    def close(self) -> None:
        self.journal.close()


class Feeding:
    """Runs on one thread; `vitals` may be asked for from any."""

    def __init__(self, target: Target, data_dir: Path, configuration: Configuration, clock: Clock) -> None:
        self._target, self._data_dir, self._configuration, self._clock = target, data_dir, configuration, clock
        self._errors: Counter[str] = Counter()
        self._failure, self._misconfigured, self._alive = "", False, False
        self._failures, self._failing_since = 0, 0
        self._refusals = 0
        self._feed: Feed | None = None
        self._before = (0, 0, 0)

    def run(self, stop: threading.Event) -> None:
        """Feed until stopped; a fault of ours begins the feed anew from what it has kept."""
        self._alive = True
        while not stop.is_set():
            try:
                with ExitStack() as opened:
                    self._feed_until(stop, opened)
            except InfluxMisconfigured as fault:  # before there is a feed: the token is not there yet
                self._failed("misconfigured", str(fault), 0.0, stop)
            except ProgressDamaged as error:
                with suppress(OSError):
                    for file in self._data_dir.glob(f"{FILE}*"):
                        file.unlink()
                self._failed("own", f"{error}; it begins anew, and InfluxDB gets everything once more, to the same effect", 0.0, stop)
            except _OWN as error:
                self._failed("own", f"{error}; InfluxDB gets nothing until that is mended", 0.0, stop)
            except Exception as error:
                log.exception("the historian's feed met an error of its own and starts again")
                self._failed("own", f"an error of its own: {error!r}", 0.0, stop)
        self._alive = False

    def _feed_until(self, stop: threading.Event, opened: ExitStack) -> None:
        sources = opened.enter_context(closing(DataDir(self._data_dir, self._configuration)))
        progress = opened.enter_context(closing(Progress(self._data_dir / FILE)))
        influx = opened.enter_context(Influx(self._target, patience_s=PATIENCE_S))
        beside = opened.enter_context(side_by_side())
        feed = Feed(sources, influx, progress, self._target.name, self._clock.now_ns, beside)
        opened.callback(partial(self._let_go, feed))
        self._feed, self._refusals = feed, progress.refused()
        while not stop.is_set():
            refused = feed.sender.refused
            try:
                more = feed.turn()
            except InfluxFault as fault:
                kind = "misconfigured" if isinstance(fault, InfluxMisconfigured) else "unavailable"
                retry_after_s = fault.retry_after_s if isinstance(fault, InfluxUnavailable) else 0.0
                self._failed(kind, str(fault), retry_after_s, stop)
                continue
            self._went_well()
            if feed.sender.refused > refused:
                self._refusals = progress.refused()
                log.error("InfluxDB refused %d lines; `renrum historian status` shows them", feed.sender.refused - refused)
            if not more:
                stop.wait(PAUSE_S)

    def _let_go(self, feed: Feed) -> None:
        sender = feed.sender
        self._before = tuple(a + b for a, b in zip(self._before, (sender.written, sender.refused, sender.beyond), strict=True))  # type: ignore[assignment]
        self._feed = None

    def _failed(self, kind: str, words: str, retry_after_s: float, stop: threading.Event) -> None:
        """Say it once, and wait."""
        if kind != "unavailable" and words != self._failure:
            log.error("historian: %s. Readings are stored and judged all the same", words)
        elif not self._failure:
            log.warning("historian: %s. It is tried again; readings are stored and judged all the same", words)
        if not self._failure:
            self._failing_since = self._clock.now_ns()
        self._errors[kind] += 1
        self._failure, self._misconfigured = words, kind == "misconfigured"
        wait_s = min(FIRST_WAIT_S * 2**self._failures, LONGEST_WAIT_S) * random.uniform(0.5, 1.0)
        self._failures = min(self._failures + 1, 10)
        stop.wait(max(wait_s, retry_after_s))

    def _went_well(self) -> None:
        if self._failure:
            log.warning("historian: InfluxDB takes lines again")
        self._failure, self._misconfigured, self._failures = "", False, 0

    # For others

    def vitals(self) -> HistorianVitals:
        """How the feed fares; touches no disk and waits for nobody."""
        feed = self._feed
        written, refused, beyond = self._before
        since, windows = None, 0
        if feed is not None:
            written, refused, beyond = written + feed.sender.written, refused + feed.sender.refused, beyond + feed.sender.beyond
            since, windows = feed.waiting_since, feed.windows
            if since is None and feed.looked_at is not None and self._clock.now_ns() - feed.looked_at > LOOK_NS:
                since = feed.looked_at  # a write of something else does not end: what came since then waits, too
        elif self._failure:
            since = self._failing_since  # at least: there is no feed to ask
        lag_ns = 0 if since is None else max(0, self._clock.now_ns() - since)
        return HistorianVitals(
            target=self._target.name,
            lag_s=lag_ns / SECOND_NS,
            written=written,
            refused=refused,
            refusals=self._refusals,
            beyond=beyond,
            errors=tuple(sorted(self._errors.items())),
            failure=self._failure,
            misconfigured=self._misconfigured,
            windows=windows,
            alive=self._alive,
        )
