"""What steps may look back at: read again from the journal where the series lacks it, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ingest.series import recollection
from ingest.series.recollection import Recollection
from ingest.series.series import Series, SeriesUnavailable
from tests.support.fed import SECOND_NS, START, Installed, readings_of

POINT = 1


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    monkeypatch.setattr(recollection, "WRITE_AT", 1_000)
    with Installed(tmp_path / "site") as installed:
        for second in range(100):
            time = START + second * SECOND_NS + np.arange(100)
            installed.arrive(readings_of(POINT, time, 20.0), START + second * SECOND_NS)
        yield installed


def test_a_series_that_is_gone_is_written_again_piece_by_piece(installed: Installed, tmp_path: Path) -> None:
    series = Series(tmp_path / "again.db")
    memory = Recollection(series)
    held: list[int] = []
    memory.recall(installed.journal, installed.writer.head.seq, lambda done, total: held.append(memory.tail))
    assert memory.cursor == installed.writer.head.seq
    assert max(held) <= 1_100
    assert 0 < series.cursor() <= memory.cursor
    assert len(memory.read(POINT)) == 10_000
    assert (np.diff(memory.read(POINT).time) > 0).all()
    again = Recollection(series)  # killed, and begun anew: from where the series ends
    again.recall(installed.journal, installed.writer.head.seq)
    assert len(again.read(POINT)) == 10_000


def test_a_series_that_cannot_be_written_is_kept_in_memory(installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, tried = Recollection(Series(tmp_path / "again.db")), list[int]()

    def full(*_: object) -> None:
        tried.append(1)
        raise SeriesUnavailable("the disk is full")

    monkeypatch.setattr(Series, "write", full)
    memory.recall(installed.journal, installed.writer.head.seq)
    assert len(memory.read(POINT)) == 10_000
    assert len(tried) == 1
