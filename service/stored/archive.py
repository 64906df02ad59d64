"""A data_dir opened to be looked at: read-only, beside a running service or without one.

What a reading means is told by the configurations that the journal keeps, never by the files of today.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cached_property
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alerts.record.store import StateStore
from facility.problems import ConfigurationError
from facility.site import Facility
from historian.wanted import KINDS, Wanted
from ingest.journal.entries import CONFIGURATION, INGEST, ConfigurationBody, decode, ingest_body
from ingest.journal.files import there_is
from ingest.journal.journal import Entry, Head, JournalReader, JournalUnavailable
from ingest.series.series import SeriesReader
from service.configuration.judging import judging_from_entry

JOURNAL, SERIES, STATE = "journal.db", "series.db", "state.db"
ELSEWHERE = "Another one is named by --data-dir, or by the data_dir of --config."


class ArchiveUnavailable(Exception):
    """A data_dir that cannot be looked at: what, where, what to do."""


class Archive:
    """The journal, series and state of a data_dir; a context manager, for one thread.

    Raises ArchiveUnavailable when there is no journal, JournalUnavailable and StateUnavailable when a file cannot be read.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        path = data_dir / JOURNAL
        try:
            if not data_dir.is_dir():
                raise ArchiveUnavailable(f"{data_dir}: there is no such folder. The service makes it when it first starts. {ELSEWHERE}")
            if not there_is(path):
                raise ArchiveUnavailable(f"{data_dir}: there is no {JOURNAL} in it: no service has run on it yet. {ELSEWHERE}")
        except OSError as error:
            raise ArchiveUnavailable(f"{error.filename}: {error.strerror}. Run this as the service's user.") from None
        self.journal = JournalReader(path)
        self._state: StateStore | None = None
        self._facilities: dict[str, Facility] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.journal.close()
        if self._state is not None:
            self._state.close()

    @cached_property
    def head(self) -> Head:
        """The newest entry when it was first asked for: what comes later is not looked at."""
        newest = self.journal.entry(self.journal.issued())
        if newest is None:  # the end was cut off: `verify` says so, and what is there can still be read
            newest = self.journal.entry(self._last_before(self.journal.issued()))
        return Head(newest.seq, newest.at, newest.heard, newest.hash) if newest else Head()

    @cached_property
    def configurations(self) -> tuple[tuple[Entry, ConfigurationBody], ...]:
        """Every configuration that took force, oldest first."""
        found = []
        for entry in self.journal.entries(0, self.head.seq, (CONFIGURATION,)):
            body = decode(entry)
            assert isinstance(body, ConfigurationBody)
            found.append((entry, body))
        return tuple(found)

    @cached_property
    def number_of(self) -> dict[str, int]:
        """The register: every point that there ever was, and its number."""
        return dict(chain.from_iterable(body.points.items() for _, body in self.configurations))

    @cached_property
    def facility(self) -> Facility:
        """The facility of the configuration in force; raises ArchiveUnavailable when there is none yet."""
        if not self.configurations:
            raise ArchiveUnavailable(f"{self.data_dir}: its journal holds no configuration yet, so there is nothing to look up.")
        return self.facility_of(self.configurations[-1][1])

    @cached_property
    def zone(self) -> ZoneInfo:
        """The site's time zone."""
        name = self.facility.site.timezone
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ArchiveUnavailable(f"the site's time zone {name!r} is not known here. Install the package tzdata.") from None

    def facility_of(self, body: ConfigurationBody) -> Facility:
        """The facility of a configuration, as the journal keeps it; raises ArchiveUnavailable when this version cannot read it."""
        files = repr(sorted(body.entry.get("files", {}).items()))
        if files not in self._facilities:
            try:
                self._facilities[files] = judging_from_entry(body.entry)[0]
            except ConfigurationError as error:
                raise ArchiveUnavailable(
                    f"{self.data_dir}: a configuration in its journal cannot be read by this version: {error}"
                ) from None
        return self._facilities[files]

    @property
    def state(self) -> StateStore:
        """Excursions, alarms and audit trail; raises ArchiveUnavailable before the first step."""
        if self._state is None:
            path = self.data_dir / STATE
            if not path.is_file():
                raise ArchiveUnavailable(
                    f"{self.data_dir}: there is no {STATE} in it. The service computes it from the journal when it starts."
                )
            self._state = StateStore(path, readonly=True)
        return self._state

    def before(self, at: int) -> int:
        """The number of the newest entry with a time before `at` (int ns UTC), 0 when there is none."""
        low, high = 0, self.head.seq  # times never decrease along the journal: entries up to `low` are before, those after `high` are not
        while low < high:
            middle = (low + high + 1) // 2
            entry = self.journal.entry(middle) or next(self.journal.entries(middle, high), None)
            if entry is not None and entry.at < at:
                low = entry.seq
            else:
                high = middle - 1
        return low

    def extent(self) -> tuple[int, int] | None:
        """The time of the first and of the newest entry, int ns UTC; None when the journal is empty."""
        first = self.journal.entry(1) or next(self.journal.entries(), None)
        return None if first is None else (first.at, self.head.at)

    def to_export(self, wanted: Wanted) -> tuple[chain[Entry], dict[str, tuple[int, str]]]:
        """The entries that hold what is wanted, with every configuration before them, and the states that its start finds.

        No reading is received more than its point's `max_ahead` before its time, so that earlier entries are passed over.
        """
        if wanted.start is None:
            return chain(self.journal.entries(0, self.head.seq, KINDS)), {}
        facilities = [self.facility_of(body) for _, body in self.configurations]
        ahead = max((point.max_ahead_ns for facility in facilities for point in facility.points), default=0)
        after = self.before(wanted.start - ahead)
        configurations = (entry for entry, _ in self.configurations if entry.seq <= after)
        return chain(configurations, self.journal.entries(after, self.head.seq, KINDS)), self._states_before(wanted.start)

    def _states_before(self, start: int) -> dict[str, tuple[int, str]]:
        """The latest state of each room and zone with a time before `start`."""
        cursor, found = 0, list[tuple[str, int, str]]()
        path = self.data_dir / SERIES
        if path.is_file():
            try:
                with closing(SeriesReader(path)) as series:
                    cursor = series.cursor()
                    found = [(place, *state) for place, states in series.states().items() for state in states]
            except sqlite3.Error:
                cursor, found = 0, []  # a projection: the journal says the same, only slower
        for entry in self.journal.entries(cursor, self.head.seq, (INGEST,)):
            found += [(state.place, state.time, state.state) for state in ingest_body(entry).states]
        latest: dict[str, tuple[int, str]] = {}
        for place, time, state in found:
            if time < start and time >= latest.get(place, (time, ""))[0]:
                latest[place] = (time, state)
        return latest

    def _last_before(self, seq: int) -> int:
        """The highest number there is, below one that is missing."""
        low, high = 0, seq
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if next(self.journal.entries(middle - 1, seq), None) else (low, middle - 1)
        return low


__all__ = ["JOURNAL", "SERIES", "STATE", "Archive", "ArchiveUnavailable", "JournalUnavailable"]
