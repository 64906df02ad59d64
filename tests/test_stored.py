"""service/stored/readings.py: what is measured is the same by columns as by readings, in series, sealed days and tail."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingest.journal.journal import JournalReader
from ingest.series.measured import Measured
from ingest.series.series import PACKED_FROM_BYTES, SeriesReader
from service.proof.sealing import let_go
from service.stored.readers import Readers
from service.stored.readings import StoredReadings
from tests.support.archive_data import SECOND_NS, START
from tests.support.installation import Paging
from tests.test_sealing import DAY_NS, days, seal

Row = tuple[int, float, int]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Paging]:
    with closing(days(tmp_path / "site", 38)) as place:
        yield place


@pytest.fixture
def stored(place: Paging) -> Iterator[StoredReadings]:
    series = Readers(lambda: SeriesReader(place.data_dir / "series.db"))
    journal = Readers(lambda: JournalReader(place.data_dir / "journal.db"))
    yield StoredReadings(series, journal)
    series.close()
    journal.close()


def by_columns(stored: StoredReadings, point: int, start: int, end: int) -> list[Row]:
    pieces: list[Measured] = list(stored.measured(point, start, end))
    return [row for piece in pieces for row in zip(piece.time.tolist(), piece.value.tolist(), piece.quality.tolist(), strict=True)]


def by_readings(stored: StoredReadings, point: int, start: int, end: int) -> list[Row]:
    found = stored.first(point, 1 << 40, start, end)
    return list(zip(found.time.tolist(), found.value.tolist(), found.quality.tolist(), strict=True))


def agree(place: Paging, stored: StoredReadings, chance: random.Random) -> int:
    """Whole and in parts; how many there are."""
    for number in place.number_of.values():
        for _ in range(10):
            start, end = sorted(START + chance.randrange(-DAY_NS, 40 * DAY_NS) for _ in range(2))
            assert sorted(by_columns(stored, number, start, end)) == by_readings(stored, number, start, end)
    return sum(len(by_columns(stored, number, START - DAY_NS, START + 50 * DAY_NS)) for number in place.number_of.values())


def test_columns_and_readings_agree_wherever_they_lie(place: Paging, stored: StoredReadings, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(4)
    monkeypatch.setattr("service.stored.readings.LOOK_ROWS", 3)
    written = agree(place, stored, chance)
    for second in range(5):
        place.read("inc1.temp", 37.0 + second, (place.at - START) / SECOND_NS + 1)
        place.read("inc1.temp", 38.0, 20 * 86_400 + second + 0.3)  # late: into an hour of long ago
    assert agree(place, stored, chance) == written + 10, "the tail too"
    assert seal(place)
    assert agree(place, stored, chance) == written + 10
    let_go(place.data_dir, lambda: False)
    assert agree(place, stored, chance) == written + 10


def test_an_hour_of_many_readings_is_unpacked_as_far_as_needed(tmp_path: Path) -> None:
    with closing(Paging(tmp_path / "site")) as place:
        for number in range(PACKED_FROM_BYTES // 41 * 3):
            place.read("inc1.temp", 37.0 + number % 3, number)
        place.step()
        place.write_series()
        with closing(SeriesReader(place.data_dir / "series.db")) as series:
            number, cursor = place.number_of["inc1.temp"], series.cursor()
            whole = series.read(number)
            found = series.measured(number, START, START + DAY_NS, cursor)
            assert (found.time.tolist(), found.value.tolist()) == (whole.time.tolist(), whole.value.tolist())
            assert found.quality.tolist() == whole.quality.tolist()
            assert not len(series.measured(number, START, START + DAY_NS, cursor - 1).time)
