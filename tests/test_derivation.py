"""Origins kept from step to step are what the memory has; many derived points are computed as each alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.judging.derivation import Recent
from facility.derived import Derived, Origin
from facility.reading import Readings
from rules.computing import Asked, computed
from rules.derived import by_point_and_time
from tests.support.living import PlainMemory

ORIGINS = (2, 3, 7)
Row = tuple[int, int, float, int]
rows = st.tuples(
    st.sampled_from(ORIGINS), st.integers(0, 60), st.sampled_from((0.0, -0.0, 1.5, 2.0, -3.0, 1e300)), st.sampled_from((0, 0, 1, 2, 4))
)


def readings_of(rows: Sequence[Row], received: int = 0) -> Readings:
    number, times, values, codes = zip(*rows, strict=True) if rows else ((), (), (), ())
    time, count = np.array(times, np.int64), np.full(len(rows), received, np.int64)
    point, quality = np.array(number, np.uint32), np.array(codes, np.uint8)
    return Readings(point, time, np.array(values, np.float64), quality, count + time, count, count)


def columns(readings: Readings) -> list[tuple[object, ...]]:
    return list(zip(readings.point.tolist(), readings.time.tolist(), map(str, readings.value.tolist()), readings.quality.tolist(),
                    readings.received.tolist(), strict=True))  # fmt: skip


@given(st.lists(rows, max_size=40, unique_by=lambda row: row[:2]), st.data())
def test_what_is_kept_is_what_the_memory_has(told: list[Row], data: st.DataObject) -> None:
    memory = PlainMemory()
    reach = {origin: data.draw(st.integers(0, 20)) for origin in ORIGINS}
    recent = Recent(memory, reach)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alerts.judging.derivation.RECENT_ROWS", data.draw(st.sampled_from((2, 8, 1000))))
        while told:
            count = data.draw(st.integers(1, 4))
            arrived, told = readings_of(told[:count]), told[count:]
            memory.add(arrived, [], 0)
            recent.add(arrived)
            points = np.array(sorted(data.draw(st.sets(st.sampled_from(ORIGINS), min_size=1))), np.int64)
            start, end = np.array([sorted(data.draw(st.tuples(st.integers(-5, 65), st.integers(-5, 65)))) for _ in points], np.int64).T
            expected = memory.read_all(points, start, end)
            assert columns(recent.read_all(points, start, end)) == columns(expected)


@st.composite
def asked(draw: st.DrawFn, number: int) -> Asked:
    how = draw(st.sampled_from(("difference", "minimum", "maximum", "sum")))
    many = draw(st.permutations(ORIGINS))[: {"difference": 2, "sum": 1}.get(how, draw(st.integers(1, 3)))]
    origins = tuple(Origin(str(origin), draw(st.integers(1, 30)), draw(st.sampled_from((None, 25)))) for origin in many)
    derived = Derived(how, origins, draw(st.integers(1, 4)) if how == "sum" else 1, draw(st.sampled_from((1.0, 0.3))), 3.0)
    start, end = sorted((draw(st.integers(-5, 65)), draw(st.integers(-5, 65))))
    return Asked(number, derived, tuple(many), start, end)


@given(st.lists(rows, max_size=40, unique_by=lambda row: row[:2]), st.data())
def test_many_are_computed_as_each_is_alone(told: list[Row], data: st.DataObject) -> None:
    wanted = [data.draw(asked(number)) for number in range(10, 10 + data.draw(st.integers(1, 5)))]
    readings = by_point_and_time(readings_of(told, received=100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rules.computing.WORDS_AT_ONCE", data.draw(st.sampled_from((1, 7, 1000))))
        together = computed(wanted, readings)
        alone = Readings.concatenate([computed([one], readings) for one in wanted])
    assert columns(by_point_and_time(together)) == columns(by_point_and_time(alone))
