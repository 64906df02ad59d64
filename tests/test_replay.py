"""A recording judged offline: what the rules define, whatever the files, the order, the pieces (alerts/judging/replay.py)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.judging.excursion_file import write_excursions
from alerts.judging.replay import Replay
from facility.durations import Duration
from facility.recording import Chunk, RecordingError, chunk_of
from facility.site import SECOND_NS, Facility, Place, Point, Site
from rules.excursion import Excursion
from rules.plan import Plan, plan_of
from rules.rule import Bound, Rule
from tests.support.admitted import Row
from tests.support.reference import evaluate
from tests.support.replayed import Judged, cut_small, judge, plan, write
from tests.support.strategies import EVERY_KIND, START_NS, Story, stories

HOUR_NS = 3600 * SECOND_NS
LAB = Facility(
    Site("lab", "Laboratory"),
    places=(Place("cp1", "CP 1", points=("dp", "temp")),),
    points=(Point("dp", "differential_pressure", "Pa", "cp1"), Point("temp", "temperature", "degC", "cp1", range=(-10.0, 60.0))),
)
RULES = (
    Rule("low", "limit", level="action", below=Bound(10.0), deadband=1.0, on_delay=Duration(20 * SECOND_NS), off_delay=Duration(SECOND_NS)),
    Rule("faulty", "quality", level="technical"),
)
SILENT = Rule("silent", "stale", level="technical", after=Duration(60 * SECOND_NS))


def plan_for(*rules: Rule, facility: Facility = LAB) -> Plan:
    return plan_of(facility, rules, {}, {point.id: number for number, point in enumerate(facility.points)}, "hash")


def bare(rows: Sequence[Excursion]) -> list[Excursion]:
    return [replace(row, config="") for row in rows]


@st.composite
def recorded_stories(draw: st.DrawFn) -> Story:
    """Stories with `received`, or without and then in the order of time or in any order."""
    story = draw(stories(kinds=EVERY_KIND, conditions=True, late=draw(st.booleans()), on_change=True))
    if all(row.received is None for row in story.rows) and draw(st.booleans()):
        story = replace(story, rows=tuple(draw(st.permutations(story.rows))))
    return story


@given(recorded_stories(), st.data())
def test_a_replay_gives_what_the_rules_define(story: Story, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(story.rows)), max_size=2)))
    parts = [story.rows[start:end] for start, end in zip([0, *cuts], [*cuts, len(story.rows)], strict=True)]
    expected = evaluate(story.facility, story.rules, story.tables, story.rows)
    with (
        TemporaryDirectory() as folder,
        cut_small(
            data.draw(st.sampled_from((128, 600, 1 << 20))),
            data.draw(st.sampled_from((1, 9, 1000))),
            in_memory=data.draw(st.sampled_from((0, 7, 1000))),
        ),
    ):
        files = [write(Path(folder) / f"{number}.csv", part) for number, part in enumerate(parts)]
        judged = judge(plan(story), files)
    assert bare(judged.excursions) == expected.excursions
    assert all(row.config == "hash" for row in judged.excursions)
    sums = judged.sums
    assert (sums.stored, sums.duplicates, sums.quarantined.total()) == (expected.stored, expected.duplicates, expected.quarantined)
    assert sums.rows == len(story.rows) == sums.stored + sums.duplicates + sums.quarantined.total() + sums.without_value
    assert len(judged.refused) == sums.quarantined.total()


@given(recorded_stories(), st.sampled_from((0, 1, 5, 20)))
def test_readings_in_memory_and_on_disk_give_the_same_file(story: Story, in_memory: int) -> None:
    with TemporaryDirectory() as folder:
        file, found = write(Path(folder) / "rec.csv", story.rows), []
        for held in (1000, in_memory):
            with cut_small(600, 9, in_memory=held):
                judged = judge(plan(story), [file])
            write_excursions(out := Path(folder) / "excursions.csv", judged.excursions)
            found.append((out.read_bytes(), judged.sums, judged.refused))
    assert found[0] == found[1]


def hours(seed: int = 1, count: int = 1500) -> list[Row]:
    """Two points over some hours, a reading every ten seconds, in the order of time."""
    chance = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        low = 4.0 if number % 400 > 360 else 12.0
        for point in ("dp", "temp"):
            value = round(low + chance.normal(0, 1.5), 1)
            rows.append(Row(point, START_NS + number * 10 * SECOND_NS, value, "bad" if chance.random() < 0.01 else "good"))
    return rows


@pytest.mark.parametrize(("held", "in_memory"), [(100, 0), (100_000, 0), (100, 1700), (100, 100_000)])
def test_newest_first_gives_the_same(tmp_path: Path, held: int, in_memory: int) -> None:
    rows = hours()
    with cut_small(4096, held, in_memory=in_memory):
        in_order = judge(plan_for(*RULES), [write(tmp_path / "a.csv", rows)])
        newest_first = judge(plan_for(*RULES), [write(tmp_path / "b.csv", rows[::-1])])
    assert len(in_order.excursions) > 10
    assert newest_first.excursions == in_order.excursions
    assert newest_first.sums == in_order.sums
    assert in_order.sums.stored == len(rows)


@pytest.mark.parametrize(("held", "in_memory"), [(100, 0), (100_000, 0), (100, 1700), (100, 100_000)])
def test_what_comes_again_counts_as_duplicate_however_long_ago_it_came_first(tmp_path: Path, held: int, in_memory: int) -> None:
    rows = hours()
    changed = [replace(row, value=0.5) for row in rows[::50]]
    with cut_small(4096, held, in_memory=in_memory):
        once = judge(plan_for(*RULES, SILENT), [write(tmp_path / "a.csv", rows)])
        again = judge(plan_for(*RULES, SILENT), [tmp_path / "a.csv", tmp_path / "a.csv", write(tmp_path / "c.csv", changed)])
    assert again.excursions == once.excursions
    assert again.sums.stored == len(rows)
    assert again.sums.duplicates == len(rows)
    assert again.sums.quarantined == {"conflict": len(changed)}


def test_a_state_that_comes_later_in_the_file_says_where_a_silence_began(tmp_path: Path) -> None:
    rows = [
        Row("dp", START_NS, 15.0, received=START_NS),
        Row("dp", START_NS + 100 * SECOND_NS, 15.0, received=START_NS + 100 * SECOND_NS),
        Row("cp1/occupancy", START_NS - HOUR_NS, "at_rest", received=START_NS + 100 * SECOND_NS),
    ]
    judged = judge(plan_for(SILENT), [write(tmp_path / "a.csv", rows)])
    assert [(row.point, row.occupancy, row.ended is None) for row in judged.excursions] == [
        ("dp", "at_rest", False),
        ("temp", "at_rest", True),
    ]


def test_silence_is_raised_at_the_very_end_and_not_a_nanosecond_before(tmp_path: Path) -> None:
    def silences(last: int) -> list[Excursion]:
        rows = [Row("dp", START_NS, 15.0), Row("temp", START_NS, 20.0), Row("temp", START_NS + last, 20.0)]
        return judge(plan_for(SILENT), [write(tmp_path / "a.csv", rows)]).excursions

    assert [row.point for row in silences(60 * SECOND_NS)] == ["dp"]
    assert silences(60 * SECOND_NS - 1) == []


def refusals(tmp_path: Path, text: str, *rules: Rule, facility: Facility = LAB) -> Judged:
    file = tmp_path / "r.csv"
    file.write_text(text)
    return judge(plan_for(*rules, facility=facility), [file])


def test_each_refused_row_is_told_whole_with_the_reason(tmp_path: Path) -> None:
    facility = replace(LAB, points=(replace(LAB.points[0], max_late_ns=10 * SECOND_NS), replace(LAB.points[1], retired_ns=START_NS)))
    text = """time,point,value,received,quality,unit
2025-06-15T15:06:40Z,dp,15,2025-06-15T15:06:40Z,,
2025-06-15T15:06:40Z,dp,16.5,2025-06-15T15:06:41Z,uncertain,
2025-06-15T15:06:30Z,dp,0.02,2025-06-15T15:06:41Z,,kPa
2025-06-15T15:06:29Z,dp,15,2025-06-15T15:06:41Z,,
2025-06-15T15:08:41Z,dp,15,2025-06-15T15:06:41Z,,
2025-06-15T15:06:41Z,dp,15,2025-06-15T15:06:41Z,,degC
2025-06-15T15:06:41Z,dp,15,2025-06-15T15:06:41Z,,furlong
2025-06-15T15:06:41Z,pd,NaN,2025-06-15T15:06:41Z,,
2025-06-15T15:06:40Z,temp,15,2025-06-15T15:06:41Z,,
2025-06-15T15:06:39Z,temp,15,2025-06-15T15:06:41Z,,
2025-06-15T15:06:39Z,dp,high,2025-06-15T15:06:41Z,,
2025-06-15T15:06:39Z,cp9/occupancy,at_rest,2025-06-15T15:06:41Z,,
2025-06-15T15:06:39Z,cp1/occupancy,at_rest,2025-06-15T15:06:41Z,,
2025-06-15T15:06:39Z,cp1/occupancy,cleaning,2025-06-15T15:06:41Z,,
2025-06-15T15:06:39Z,dp,,2025-06-15T15:06:41Z,,
"""
    judged = refusals(tmp_path, text, *RULES, facility=facility)
    told = {(row.row, row.reason, row.point, row.value or row.text, row.unit) for row in judged.refused}
    assert told == {
        (3, "conflict", "dp", "16.5", ""),
        (5, "too_old", "dp", "15.0", ""),
        (6, "clock_ahead", "dp", "15.0", ""),
        (7, "unit_mismatch", "dp", "15.0", "degC"),
        (8, "unit_unknown", "dp", "15.0", "furlong"),
        (9, "point_unknown", "pd", "NaN", ""),
        (10, "point_unknown", "temp", "15.0", ""),
        (12, "value_invalid", "", "high", ""),
        (13, "place_unknown", "cp9/occupancy", "at_rest", ""),
        (15, "conflict", "cp1/occupancy", "cleaning", ""),
    }
    conflict = next(row for row in judged.refused if row.row == 3)
    assert (conflict.time, conflict.received, conflict.quality) == ("2025-06-15T15:06:40Z", "2025-06-15T15:06:41Z", "uncertain")
    assert all(row.detail and row.file.endswith("r.csv") for row in judged.refused)
    sums = judged.sums
    assert (sums.rows, sums.stored, sums.duplicates, sums.quarantined.total(), sums.without_value) == (15, 4, 0, 10, 1)


def test_units_are_converted_before_anything_is_judged(tmp_path: Path) -> None:
    text = "time,point,value,unit\n" + "".join(
        f"2025-06-15T15:06:{second}Z,{point},{value},{unit}\n"
        for second, point, value, unit in [
            (10, "dp", "0.2", "mbar"), (11, "dp", "5", ""), (40, "dp", "0.05", "hPa"), (41, "dp", "1e308", "kPa"),
            (42, "dp", "2e-2", "kPa"), (10, "temp", "68", "degF"), (11, "temp", "20", "°C"), (40, "temp", "68.0", "F"),
            (41, "temp", "300", "K"), (42, "temp", "600", "K"),
        ]
    )  # fmt: skip
    judged = refusals(tmp_path, text, *RULES)
    assert judged.sums.stored == 10
    # 5 Pa at 11 and 40, and 20 Pa at 42, not yet for the off-delay; 1e308 kPa is no number, and 600 K is above 60 degC: both are bad.
    assert [(row.rule, row.point, row.peak, row.readings) for row in judged.excursions] == [
        ("low", "dp", 5.0, 3), ("faulty", "dp", None, 1), ("faulty", "temp", None, 1),
    ]  # fmt: skip


def test_an_empty_recording_and_a_facility_without_points(tmp_path: Path) -> None:
    assert refusals(tmp_path, "time,point,value\n", *RULES, SILENT).excursions == []
    nothing = replace(LAB, points=())
    judged = refusals(tmp_path, "time,point,value\n2025-06-15T15:06:40Z,dp,1\n", SILENT, facility=nothing)
    assert judged.sums.quarantined == {"point_unknown": 1}


def test_a_year_that_cannot_be_true_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"r\.csv: its rows reach over more than a century\. Look for rows with a wrong year"):
        refusals(tmp_path, "time,point,value\n1900-06-15T15:06:40Z,dp,1\n2025-06-15T15:06:40Z,dp,1\n", SILENT)


def long(rows: int, size: int = 20_000) -> Iterator[Chunk]:
    for start in range(0, rows, size):
        index = np.arange(start, start + size)
        time = START_NS + index // 2 * SECOND_NS
        yield chunk_of(("dp", "temp"), (index % 2).astype(np.int32), time, np.where(index // 2 % 1000 < 50, 5.0, 15.0), received=time)


def peak_bytes(rows: int) -> int:
    """Memory that a replay takes at most; what is found grows on disk, not here."""
    with TemporaryDirectory() as folder:
        tracemalloc.start()
        try:
            replayed = Replay(plan_for(*RULES, SILENT), Path(folder))
            for chunk in long(rows):
                replayed.take(chunk)
            replayed.judge()
            assert sum(1 for _ in replayed.excursions()) == rows // 1000
            replayed.close()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_readings_in_memory_take_little_more_than_their_columns() -> None:
    with cut_small(1 << 22, 40_000, in_memory=1_000_000):
        assert peak_bytes(1_000_000) < 45 * 1_000_000


def test_memory_does_not_grow_with_the_recording() -> None:
    with cut_small(1 << 22, 40_000):
        assert peak_bytes(1_000_000) < 1.3 * peak_bytes(200_000) < 50_000_000
