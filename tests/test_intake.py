"""The intake at the edge of its journal: a batch that failed is stored once when it is repeated, whatever the disk made of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facility.reading import SPOILT
from facility.site import Facility, Place, Point, Site
from facility.sources.sparkplug import Metric, SparkplugSource
from ingest.admission.intake import Intake, Sums
from ingest.journal.entries import INGEST, SOURCE, SourceBody, decode, ingest_body, readings_of
from ingest.journal.journal import Journal, JournalUnavailable
from ingest.message import Message
from ingest.series.series import Series
from ingest.sparkplug.host import host_of
from tests.support.edge import metric, payload

FACILITY = Facility(Site("lab", "Lab"), places=(Place("cp1", "One"),), points=(Point("cp1.temp", "temperature", "degC", "cp1"),))
READING = Message("renrum/lab/cp1/cp1.temp", b'{"time":1800000000,"value":21}', 1)
STATE = Message("renrum/lab/cp1/occupancy", b'{"time":1800000000,"state":"at_rest"}', 2)
NOW_NS = 1_800_000_001 * 10**9


class Doubtful:
    """A connection whose commit fails: before it, or after all was written."""

    def __init__(self, connection: sqlite3.Connection, written: bool) -> None:
        self._connection, self._written = connection, written

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "commit":
            self._connection.execute("commit" if self._written else "rollback")
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *values)

    def close(self) -> None:
        self._connection.close()


@pytest.mark.parametrize("written", [False, True], ids=["not written", "written all the same"])
def test_a_batch_whose_commit_failed_is_stored_once(written: bool, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", durable=False)
    intake = Intake(journal, Series(tmp_path / "series.db").reader(), lambda: NOW_NS)
    intake.configure(FACILITY, {"cp1.temp": 0}, accept_simulated=False)
    connection = journal._connection
    assert connection is not None
    journal._connection = Doubtful(connection, written)  # type: ignore[assignment]
    with pytest.raises(JournalUnavailable, match="disk I/O error"):
        intake.accept([READING, STATE], 0)
    intake.accept([READING, STATE], 0)
    intake.accept([READING, STATE], 0)
    reader = journal.reader()
    assert sum(entry.readings for entry in reader.entries(kinds=(INGEST,))) == 1
    reader.close()
    sums = intake.sums
    assert (sums.received, sums.stored, sums.duplicates, sums.lost) == ((6, 2, 4, 0) if written else (4, 2, 2, 0))
    journal.close()


def test_ranges_and_clocks_are_checked_after_a_start_that_found_readings_in_the_journal(tmp_path: Path) -> None:
    narrow = replace(FACILITY, points=(replace(FACILITY.points[0], range=(0.0, 50.0)),))
    journal = Journal(tmp_path / "journal.db", durable=False)
    series = Series(tmp_path / "series.db")
    outside = Message("renrum/lab/cp1/cp1.temp", b'{"time":1800000000.5,"value":99}', 1)
    ahead = Message("renrum/lab/cp1/cp1.temp", b'{"time":1900000000,"value":21}', 2)
    for messages in ([READING], [outside, ahead]):
        intake = Intake(journal, series.reader(), lambda: NOW_NS)
        intake.configure(narrow, {"cp1.temp": 0}, accept_simulated=False)
        intake.recall(Sums(), 0)
        intake.accept(messages, 0)
    with closing(journal.reader()) as reader:
        *_, entry = reader.entries(kinds=(INGEST,))
    assert readings_of(entry, ingest_body(entry)).quality.tolist() == [SPOILT]
    assert intake.sums.quarantined == {"clock_ahead": 1}
    journal.close()


def test_births_and_deaths_stand_in_the_journal_after_the_readings_of_their_batch(tmp_path: Path) -> None:
    source = SparkplugSource("a", "plant", "", (Metric("edge", "", "T", "cp1.temp"),), 1, 1, 1, frozenset({"cp1.temp"}))
    journal = Journal(tmp_path / "journal.db", durable=False)
    series = Series(tmp_path / "series.db")
    birth = Message("spBv1.0/plant/NBIRTH/edge", payload(metric("T", 1, 1_800_000_000_000, 10, double=21.0), seq=0))
    death = Message("spBv1.0/plant/NDEATH/edge", payload())

    def intake() -> Intake:
        numbers = {"cp1.temp": 0}
        started = Intake(journal, series.reader(), lambda: NOW_NS)
        host = host_of([source], FACILITY, numbers, lambda: NOW_NS, lambda: 0)
        started.configure(FACILITY, numbers, False, [source], host)
        started.recall(Sums(), 0)
        return started

    first, append, refused = intake(), journal.append, [SOURCE]

    def failing(kind: str, *arguments: Any, **named: Any) -> Any:
        if kind in refused:
            refused.remove(kind)
            raise JournalUnavailable("disk full")
        return append(kind, *arguments, **named)

    journal.append = failing  # type: ignore[method-assign]
    with pytest.raises(JournalUnavailable):
        first.accept([birth], 0)
    first.accept([birth], 0)  # the session offers it again: the reading is there already, the birth is not
    with closing(journal.reader()) as reader:
        assert [entry.kind for entry in reader.entries()] == [INGEST, INGEST, SOURCE]
    assert (first.sums.received, first.sums.stored, first.sums.duplicates, first.sums.lost) == (2, 1, 1, 0)
    second = intake()
    assert second.host is not None
    second.host.drained()
    assert [message.topic for message in second.host.outgoing()] == ["spBv1.0/plant/NCMD/edge"]
    second.accept([birth], 0)
    second.accept([death], 0)
    with closing(journal.reader()) as reader:
        *_, entry = reader.entries()
        assert (entry.kind, decode(entry)) == (SOURCE, SourceBody("plant/edge", "died", [0], 0, "death of the node, bdSeq None"))
    assert second.sums.lost == 0
    journal.close()
