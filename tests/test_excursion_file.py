"""Excursion files: the columns of docs/rules.md, exact both ways, whole or not there (alerts/judging/excursion_file.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.judging.excursion_file import NoExcursionFile, read_excursions, rows_of, write_excursions
from facility.whole_file import whole_file
from rules.excursion import COLUMNS, Excursion

ONE = Excursion(
    "dp-low", "cp1.dp", "action", 1_750_000_000_250_000_000, 1_750_000_020_000_000_001, peak=4.1, readings=3, room="cp1",
    occupancy="in_operation", limit=10.0, unit="Pa", config="abc",
)  # fmt: skip
times = st.integers(-(2**62), 2**62)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
excursions = st.builds(
    Excursion, names, names, names, times, times, st.none() | times, st.none() | times, numbers, st.integers(0, 2**40), names,
    st.integers(0, 99), names, st.booleans(), names, names, names, numbers, names, names, names,
)  # fmt: skip


def test_the_cells_of_a_row() -> None:
    cells = dict(zip(COLUMNS, rows_of(ONE), strict=True))
    assert cells["onset"] == "2025-06-15T15:06:40.25Z"
    assert cells["raised"] == "2025-06-15T15:07:00.000000001Z"
    assert (cells["ended"], cells["cleared"], cells["id"], cells["zone"], cells["closed_by"]) == ("", "", "", "", "")
    assert (cells["peak"], cells["limit"], cells["readings"], cells["revision"], cells["late"]) == ("4.1", "10.0", "3", "0", "false")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@settings(max_examples=40)
@given(st.lists(excursions, max_size=4))
def test_what_is_written_reads_back(suffix: str, rows: list[Excursion]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"e.{suffix}"
        assert write_excursions(path, iter(rows)) == len(rows)
        assert list(read_excursions(path)) == rows
        assert [file.name for file in Path(folder).iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_when_it_cannot_be_finished_the_file_before_stays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"e.{suffix}"
    write_excursions(path, [ONE])
    before = path.read_bytes()

    def broken() -> Iterator[Excursion]:
        yield ONE
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_excursions(path, broken())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_links_and_devices_are_written_to_directly(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for path in (tmp_path / "link", Path("/dev/null")):
        with whole_file(path) as file:
            file.write(b"text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"text"
    assert not Path("/dev/null").is_file()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "target"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("e.csv", "time,point,value\n", "has the columns time, point, value; expected rule, point, level"),
        ("e.csv", "", "has the columns of nothing"),
        ("e.csv", ",".join(COLUMNS) + "\n" + ",".join(rows_of(ONE)).replace("action", "action,") + "\n", "row 2 is no excursion"),
        ("e.csv", ",".join(COLUMNS) + "\na,b\n", "row 2 is no excursion"),
        ("e.csv", ",".join(COLUMNS) + "\n" + ",".join(rows_of(ONE)).replace("2025", "then"), "row 2 is no excursion"),
        ("e.parquet", "nonsense", "is no Parquet file"),
    ],
)
def test_what_is_no_excursion_file_is_told(tmp_path: Path, name: str, content: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(NoExcursionFile, match=said) as told:
        list(read_excursions(path))
    assert str(path) in str(told.value)
