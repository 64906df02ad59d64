"""What is counted beyond the sums: skipped numbers of numbered sources, ages, keys; and how long things took."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facility.site import Facility, Place, Point, Site
from ingest.admission.intake import Intake, Sums
from ingest.histogram import Distribution, Histogram
from ingest.journal.entries import ingest_body, readings_of
from ingest.journal.journal import Journal
from ingest.message import Message
from ingest.series.series import Series
from ingest.tally import Rows, Sequences

SECOND_NS = 10**9
NOW_NS = 1_800_000_100 * SECOND_NS
FACILITY = Facility(Site("lab", "Lab"), places=(Place("cp1", "One"),), points=(Point("cp1.temp", "temperature", "degC", "cp1"),))


def rows(*found: tuple[int, int, int], stored: bool = True) -> Rows:
    """Of (point, time, number)."""
    point, time, number = zip(*found, strict=True) if found else ((), (), ())
    return Rows(np.array(point, np.uint32), np.array(time, np.int64), np.array(number, np.int64), np.full(len(found), stored))


def test_numbers_are_followed_by_point() -> None:
    sequences = Sequences()
    assert sequences.follow(rows()) == 0
    assert sequences.follow(rows((0, 10, 5), (3, 10, 900), (0, 20, 6), (1, 10, -1))) == 0, "the first number of a source is no gap"
    assert sequences.follow(rows((0, 30, 9), (3, 20, 901))) == 2
    assert sequences.follow(rows((0, 40, 10), (0, 50, 12), (3, 30, 904))) == 1 + 2
    assert sequences.follow(rows((0, 60, 2**63 - 1))) == 2**63 - 1 - 13


def test_a_lower_number_is_a_restart_when_its_time_is_newer_and_else_late() -> None:
    sequences = Sequences()
    sequences.follow(rows((0, 100, 50)))
    assert sequences.follow(rows((0, 110, 0))) == 0, "began anew"
    assert sequences.follow(rows((0, 120, 1), (0, 130, 3))) == 1
    assert sequences.follow(rows((0, 125, 2))) == 0, "late"
    assert sequences.follow(rows((0, 140, 4))) == 0, "what was late did not turn the number back"
    assert sequences.follow(rows((0, 90, 49), (0, 150, 5), (0, 160, 7))) == 1, "in one batch too"


def test_what_was_refused_was_not_lost() -> None:
    sequences = Sequences()
    sequences.follow(rows((0, 100, 1)))
    assert sequences.follow(rows((0, 10**18, 2), stored=False)) == 0, "its clock is ahead"
    assert sequences.follow(rows((0, 110, 3))) == 0
    assert sequences.follow(rows((0, 120, 1))) == 0, "a restart is still seen: the refused time does not count"
    assert sequences.follow(rows((0, 130, 2))) == 0


@given(
    dropped=st.lists(st.booleans(), min_size=1, max_size=60),
    points=st.integers(1, 3),
    cuts=st.lists(st.integers(0, 180), max_size=5),
)
def test_as_many_are_lost_as_were_dropped_whatever_the_batches(dropped: list[bool], points: int, cuts: list[int]) -> None:
    kept = [(point, number, number) for number, drop in enumerate(dropped, 1) if not drop for point in range(points)]
    kept = [(point, 0, 0) for point in range(points)] + kept + [(point, 10**6, len(dropped) + 1) for point in range(points)]
    edges = [0, *sorted(min(cut, len(kept)) for cut in cuts), len(kept)]
    sequences = Sequences()
    lost = sum(sequences.follow(rows(*kept[start:end])) for start, end in pairwise(edges))
    assert lost == points * sum(dropped)


def message(second: int, number: int, **more: object) -> Message:
    keys = "".join(f',"{key}":{value}' for key, value in more.items())
    return Message("renrum/lab/cp1/cp1.temp", f'{{"time":{1_800_000_000 + second},"value":21,"seq":{number}{keys}}}'.encode(), number)


def intake_on(folder: Path, journal: Journal) -> Intake:
    intake = Intake(journal, Series(folder / "series.db").reader(), lambda: NOW_NS)
    intake.configure(FACILITY, {"cp1.temp": 0}, accept_simulated=False)
    intake.recall(Sums(), 0)
    return intake


@pytest.mark.parametrize("written", [False, True], ids=["in the journal alone", "in the series"])
def test_a_gap_over_a_restart_is_found(tmp_path: Path, written: bool) -> None:
    journal = Journal(tmp_path / "journal.db", durable=False)
    intake = intake_on(tmp_path, journal)
    intake.accept([message(1, 7), message(2, 8)], 0)
    assert intake.tally.known_lost == 0
    if written:
        series = Series(tmp_path / "series.db")
        entry = next(journal.reader().entries())
        series.write(readings_of(entry, ingest_body(entry)), [], entry.seq)
    again = intake_on(tmp_path, journal)
    again.accept([message(2, 8), message(3, 12)], 0)
    assert again.tally.known_lost == 3
    assert again.sums.duplicates == 1
    journal.close()


def test_messages_bytes_ages_and_foreign_keys_are_counted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db", durable=False)
    tally = (intake := intake_on(tmp_path, journal)).tally
    batch = [message(99, 1, fw=3, batt=88), message(40, 0)]
    intake.accept(batch, 0)
    intake.accept(batch[1:], 0)
    assert (tally.messages, tally.ignored_keys) == (3, 2)
    assert tally.payload_bytes == len(batch[0].payload) + 2 * len(batch[1].payload)
    ages = tally.ages.now()
    assert (ages.count, ages.seconds) == (2, 61.0), "a duplicate has no age"
    assert dict(ages.buckets)[1.0] == 1
    journal.close()


def test_a_histogram_counts_each_once_one_by_one_or_together() -> None:
    one, all_ = Histogram((0.125, 1.0)), Histogram((0.125, 1.0))
    values = [-3.0, 0.0625, 0.125, 0.5, 1.0, 7.0]
    for value in values:
        one.observe(value)
    all_.observe_all(np.array(values))
    assert one.now() == all_.now() == Distribution(((0.125, 3), (1.0, 5)), 6, sum(values))
    all_.observe_all(np.empty(0))
    assert all_.now().count == 6


def test_a_histogram_loses_nothing_when_threads_meet() -> None:
    histogram = Histogram()

    def observe() -> None:
        for _ in range(5_000):
            histogram.observe(0.003)

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert histogram.now().count == 20_000
