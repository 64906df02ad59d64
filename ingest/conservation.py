"""Conservation proven: what was received is stored, duplicate or quarantined, and what is stored is in the series once and unaltered."""

from __future__ import annotations

import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facility.problems import so_many
from facility.reading import Readings
from facility.times import format_time
from ingest.admission.intake import OWN_READINGS, Sums
from ingest.journal.entries import CONFIGURATION, INGEST, ConfigurationBody, IngestBody, decode, ingest_body, readings_of
from ingest.journal.flaw import Flaw, Flaws, Progress, unwatched
from ingest.journal.inspection import unreadable
from ingest.journal.journal import Entry, JournalReader
from ingest.series.series import HOUR_NS, NO_TIME, SeriesReader

BUCKETS = 1 << 16
NAMED_BUCKETS = 64
"""So many of the buckets that differ are looked at again, to name points and hours."""
_MULTIPLIERS = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15], np.uint64)
Batches = Callable[[], Iterator[Readings]]


@dataclass(slots=True)
class Conservation:
    """Sums over the ingest entries up to the entry that state.db has, `own` readings of the service beside.

    Readings in the series, and the entry up to which it is written.
    """

    sums: Sums = field(default_factory=Sums)
    own: int = 0
    in_series: int = 0
    series_cursor: int = 0
    after: int = 0
    after_at: int = NO_TIME
    states: dict[tuple[str, int], str] = field(default_factory=dict)
    flaws: Flaws = field(default_factory=Flaws)

    def begin(self, after: int, at: int, sums: Sums, own: int, states: Mapping[str, list[tuple[int, str]]]) -> None:
        """Look only at what came after entry `after`, a step of the time `at`: until there sums and states were proven."""
        self.after, self.after_at, self.sums, self.own = after, at, sums, own
        self.states = {(place, time): state for place, said in states.items() for time, state in said}


def inspect_sums(journal: JournalReader, upto: int, last: int, conservation: Conservation, progress: Progress = unwatched) -> None:
    """Add up every ingest entry up to `upto`; each must close in itself, as must those after it up to `last`."""
    for entry, body in _ingested(journal, last, conservation.flaws, after=conservation.after):
        sums = Sums()
        sums.add(entry, body)
        if sums.lost:
            quarantined = sums.quarantined.total() - sums.readmitted.total()
            parts = f"{sums.stored} stored + {sums.duplicates} duplicate + {quarantined} quarantined"
            _name(conservation.flaws, entry, f"{sums.received} received, but {parts}")
        own = body.origin == OWN_READINGS
        if own and body.received != entry.readings:
            _name(conservation.flaws, entry, f"{body.received} measured of the service itself, but {entry.readings} stored")
        if entry.seq <= upto:
            conservation.sums.add(entry, body)
            conservation.own += own * entry.readings
        progress(entry.seq, last)


def inspect_series(journal: JournalReader, path: Path, conservation: Conservation, progress: Progress = unwatched) -> None:
    """Compare series.db with the journal, both up to the entry that the series has; what is written meanwhile is left alone."""
    flaws = conservation.flaws
    series = SeriesReader(path)
    try:
        cursor = conservation.series_cursor = series.cursor()
        _begin_after_sealed(journal, series.sealed_upto(), conservation)
        unread = Flaws()
        _compare(
            lambda: (readings_of(entry, body) for entry, body in _ingested(journal, cursor, unread, progress, conservation.after)),
            lambda: _later(series.parts(cursor, conservation.after), conservation.after_at),
            _ids(journal, cursor),
            conservation,
        )
        _compare_states(journal, series, cursor, conservation)
        if series.beyond():
            flaws.add(Flaw("it holds readings of entries after the one that it says it was written up to", file=path.name))
    except (sqlite3.Error, zlib.error, ValueError, OverflowError, IndexError) as error:
        flaws.add(Flaw(f"it cannot be read: {error}", file=path.name))
    finally:
        series.close()


def _begin_after_sealed(journal: JournalReader, upto: int, conservation: Conservation) -> None:
    """What is sealed may have left the series, or not yet: the sealed days are looked at elsewhere."""
    step = journal.entry(upto) if upto > conservation.after else None
    if step is None:
        return
    states: dict[tuple[str, int], str] = dict(conservation.states)
    for _, body in _ingested(journal, upto, Flaws(), after=conservation.after):
        for state in body.states:
            states.setdefault((state.place, state.time), state.state)
    conservation.after, conservation.after_at, conservation.states = upto, step.at, states


def _later(batches: Iterator[Readings], at: int) -> Iterator[Readings]:
    """What was received after a time: a part holds what came before and after it where it was written in between."""
    return (batch.take(batch.received > at) for batch in batches)


def _ingested(
    journal: JournalReader, upto: int, flaws: Flaws, progress: Progress = unwatched, after: int = 0
) -> Iterator[tuple[Entry, IngestBody]]:
    for entry in journal.entries(after, upto, (INGEST,)):
        if wrong := unreadable(entry):
            _name(flaws, entry, f"not counted: {wrong}")
        else:
            yield entry, ingest_body(entry)
        progress(entry.seq, upto)


def _ids(journal: JournalReader, upto: int) -> dict[int, str]:
    """The register: point ids by number."""
    ids: dict[int, str] = {}
    for entry in journal.entries(0, upto, (CONFIGURATION,)):
        body = None if unreadable(entry) else decode(entry)
        if isinstance(body, ConfigurationBody):
            ids.update((number, point) for point, number in body.points.items())
    return ids


def _compare(journalled: Batches, written: Batches, ids: dict[int, str], conservation: Conservation) -> None:
    """Add up a hash of each reading by bucket of (point, hour), in any order and bounded memory; then name those that differ."""
    first, second = totals(journalled()), totals(written())
    conservation.in_series = int(second[0].sum())
    differ = np.flatnonzero((first[0] != second[0]) | (first[1] != second[1]))
    if not len(differ):
        return
    chosen = differ[:NAMED_BUCKETS]
    of_journal, of_series = _by_hour(journalled(), chosen), _by_hour(written(), chosen)
    for number, hour in sorted(of_journal.keys() | of_series.keys()):
        count, content = of_journal.get((number, hour), (0, 0))
        found, other = of_series.get((number, hour), (0, 0))
        if (count, content) != (found, other):
            what = f"{so_many(count, 'reading')} in the journal, {found} in series.db" if count != found else "a reading was altered"
            point = ids.get(number, f"point number {number}")
            conservation.flaws.add(Flaw(f"{point}, hour from {format_time(hour * HOUR_NS)}: {what}", file="series.db"))
    if len(differ) > len(chosen):
        conservation.flaws.add(Flaw(f"and in {so_many(len(differ) - len(chosen), 'other group')} of hours too", file="series.db"))


def totals(batches: Iterator[Readings]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """How many readings and the sum of their hashes, by bucket."""
    counts, sums = np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS, np.uint64)
    for readings in batches:
        bucket = _bucket(readings)
        counts += np.bincount(bucket, minlength=BUCKETS)
        np.add.at(sums, bucket, _hash(readings))
    return counts, sums


def _by_hour(batches: Iterator[Readings], chosen: NDArray[np.intp]) -> dict[tuple[int, int], tuple[int, int]]:
    """How many readings and the sum of their hashes, by point and hour in the chosen buckets."""
    found: dict[tuple[int, int], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for readings in batches:
        mine = readings.take(np.isin(_bucket(readings), chosen))
        keys = zip(mine.point.tolist(), (mine.time // HOUR_NS).tolist(), strict=True)
        for key, content in zip(keys, _hash(mine).tolist(), strict=True):
            count, total = found[key]
            found[key] = count + 1, (total + content) & 0xFFFFFFFFFFFFFFFF
    return found


def _hash(readings: Readings) -> NDArray[np.uint64]:
    """A 64-bit hash of all columns of each reading, of a value its very bits."""
    mixed = np.zeros(len(readings), np.uint64)
    for column in (readings.point, readings.time, readings.value, readings.quality, readings.received, readings.heard, readings.sequence):
        bits = column.view(np.uint64) if column.dtype.itemsize == 8 else column.astype(np.uint64)
        mixed = _mix(mixed + _MULTIPLIERS[2] + bits)
    return mixed


def _bucket(readings: Readings) -> NDArray[np.int64]:
    hours = (readings.time // HOUR_NS).view(np.uint64)
    return (_mix(_mix(hours) + readings.point.astype(np.uint64)) >> np.uint64(48)).astype(np.int64)


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MULTIPLIERS[0]
    bits = (bits ^ (bits >> np.uint64(27))) * _MULTIPLIERS[1]
    return bits ^ (bits >> np.uint64(31))


def _compare_states(journal: JournalReader, series: SeriesReader, cursor: int, conservation: Conservation) -> None:
    """The states of rooms; and the newest time of each point, where everything is looked at."""
    flaws = conservation.flaws
    states = dict(conservation.states) if cursor >= conservation.after else {}
    newest = np.full(0, NO_TIME)
    for entry, body in _ingested(journal, cursor, Flaws(), after=conservation.after):
        for state in body.states:
            states.setdefault((state.place, state.time), state.state)
        if entry.readings:
            readings = readings_of(entry, body)
            grown = np.full(max(len(newest), int(readings.point.max()) + 1), NO_TIME)
            grown[: len(newest)] = newest
            np.maximum.at(grown, readings.point, readings.time)
            newest = grown
    if cursor < conservation.after:
        return  # there is nothing of what is looked at
    written = series.states_upto(cursor)
    for place, time in sorted(states.keys() | written.keys()):
        said, found = states.get((place, time), "nothing"), written.get((place, time), "nothing")
        if said != found:
            flaws.add(Flaw(f"{place} at {format_time(time)}: {said} in the journal, {found} in series.db", file="series.db"))
    if series.cursor() == cursor and not conservation.after:
        stored = series.newest(max(len(newest), series.size()))
        stored[: len(newest)][stored[: len(newest)] == newest] = NO_TIME
        for number in np.flatnonzero(stored != NO_TIME).tolist():
            what = f"point number {number}: its newest time is {format_time(int(stored[number]))}, otherwise in the journal"
            flaws.add(Flaw(what, file="series.db"))


def _name(flaws: Flaws, entry: Entry, what: str) -> None:
    flaws.add(Flaw(what, entry=entry.seq, kind=entry.kind, at=entry.at))
