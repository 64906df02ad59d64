"""Recordings: what is read is what stands there, nothing is dropped in silence, and what was written reads back."""

from __future__ import annotations

import gzip
import lzma
import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facility.reading import BAD, GOOD, UNCERTAIN
from facility.recording import Chunk, RecordingError, StateRow, chunk_of, read_recording, span_of, write_recording
from facility.recording import table as tables
from facility.times import format_time, parse_time

STOCKHOLM = ZoneInfo("Europe/Stockholm")
T0 = parse_time("2026-01-01T00:00:00Z")
S = 10**9
NAN, INF = math.nan, math.inf


def read(path: Path, text: str, zone: ZoneInfo | None = None) -> list[Chunk]:
    path.write_text(text)
    return list(read_recording(path, zone=zone))


def only(chunks: Sequence[Chunk]) -> Chunk:
    assert len(chunks) == 1
    return chunks[0]


def test_a_plain_recording_is_columns(tmp_path: Path) -> None:
    chunk = only(read(tmp_path / "r.csv", "time,point,value\n2026-01-01T00:00:00Z,a,1.5\n2026-01-01T00:00:01.000000001Z,b,-0\n"))
    assert chunk.names == ("a", "b")
    assert chunk.point.tolist() == [0, 1]
    assert chunk.time.tolist() == chunk.received.tolist() == [T0, T0 + S + 1]
    assert chunk.value.tolist() == [1.5, 0.0]
    assert np.signbit(chunk.value[1])
    assert chunk.quality.tolist() == [GOOD, GOOD]
    assert chunk.units == ("",)
    assert chunk.row.tolist() == [2, 3]
    assert chunk.received_span == span_of([chunk]) == (T0, T0 + S + 1)
    assert chunk.done == 1.0
    assert not chunk.rejects
    types = [str(column.dtype) for column in (chunk.point, chunk.time, chunk.value, chunk.quality)]
    assert types == ["int32", "int64", "float64", "uint8"]


def test_columns_in_any_order_and_others_beside_them(tmp_path: Path) -> None:
    text = "\ufeffoperator,unit, value ,quality,point,time\n"
    text += "Anna,degF,68,uncertain,a,2026-01-01T00:00:00Z\nBo,,NaN,bad,a,2026-01-01T00:00:01Z\n"
    chunk = only(read(tmp_path / "r.csv", text))
    assert [chunk.units[code] for code in chunk.unit] == ["degF", ""]
    assert chunk.quality.tolist() == [UNCERTAIN, BAD]
    assert chunk.raw == {1: "NaN"}


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("14.6", 14.6),
        (" 14.6 ", 14.6),
        ("+4", 4.0),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("true", 1.0),
        ("False", 0.0),
        ("-0.0", -0.0),
    ],
)
def test_numbers_as_people_write_them(tmp_path: Path, cell: str, value: float) -> None:
    chunk = only(read(tmp_path / "r.csv", f"time,point,value\n2026-01-01T00:00:00Z,a,{cell}\n2026-01-01T00:00:01Z,a,odd\n"))
    assert chunk.value.tolist() == [value]
    assert [reject.row for reject in chunk.rejects] == [3]


NOT_FINITE = {"NaN": NAN, "nan": NAN, "null": NAN, " NULL ": NAN, "inf": INF, "-Infinity": -INF, "1e999": INF, " Infinity ": INF}


@pytest.mark.parametrize(("cell", "value"), NOT_FINITE.items())
@pytest.mark.parametrize("beside", ["1", "+1"])
def test_what_is_no_finite_number_is_a_reading_that_keeps_its_text(tmp_path: Path, cell: str, value: float, beside: str) -> None:
    chunk = only(read(tmp_path / "r.csv", f"time,point,value\n2026-01-01T00:00:00Z,a,{cell}\n2026-01-01T00:00:01Z,a,{beside}\n"))
    assert [repr(found) for found in chunk.value.tolist()] == [repr(value), repr(1.0)]
    assert chunk.raw == {0: cell}
    assert not chunk.rejects


def test_every_kind_of_reject_names_row_text_and_reason(tmp_path: Path) -> None:
    text = """time,point,value,quality,received
2026-01-01T00:00:00Z,a,1,,2026-01-01T00:00:10Z
2026-01-01T00:00:60Z,a,1,,2026-01-01T00:00:10Z
2026-02-30T00:00:00Z,a,1,,2026-01-01T00:00:10Z
2026-01-01,a,1,,2026-01-01T00:00:10Z
,a,1,,2026-01-01T00:00:10Z
2026-01-01T00:00:02Z,a,#VALUE!,,2026-01-01T00:00:10Z
2026-01-01T00:00:02Z,a,1_000,,2026-01-01T00:00:10Z
2026-01-01T00:00:02Z,a,1,Good,2026-01-01T00:00:10Z
2026-01-01T00:00:02Z,,1,,2026-01-01T00:00:10Z
2026-01-01T00:00:02Z,a,1,,yesterday
2026-01-01T00:00:02Z,a,1,,2026-01-01T00:00:09Z
2026-01-01T00:00:02Z,cp1/occupancy,resting,,2026-01-01T00:00:10Z
2026-01-01T00:00:02Z,a
2026-01-01T00:00:02Z,a,1,2,3,4

2026-01-01T00:00:02Z,a,,,2026-01-01T00:00:10Z
2026-01-01T00:00:02Z,a,1,,2026-01-01T00:00:10Z
"""
    chunk = only(read(tmp_path / "r.csv", text))
    assert [(reject.row, reject.text, reject.reason) for reject in chunk.rejects] == [
        (3, "2026-01-01T00:00:60Z", "time_invalid"),
        (4, "2026-02-30T00:00:00Z", "time_invalid"),
        (5, "2026-01-01", "time_invalid"),
        (6, "", "time_invalid"),
        (7, "#VALUE!", "value_invalid"),
        (8, "1_000", "value_invalid"),
        (9, "Good", "quality_unknown"),
        (10, "1.0", "point_missing"),
        (11, "yesterday", "received_invalid"),
        (12, "2026-01-01T00:00:09Z", "received_decreases"),
        (13, "resting", "state_unknown"),
        (14, "2026-01-01T00:00:02Z,a", "row_malformed"),
        (15, "2026-01-01T00:00:02Z,a,1,2,3,4", "row_malformed"),
    ]
    assert all(reject.file.endswith("r.csv") and reject.detail for reject in chunk.rejects)
    assert chunk.row.tolist() == [2, 18]
    assert chunk.without_value == 1


def test_text_that_is_no_utf8_spoils_its_row_only(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    row = b"2026-01-01T00:00:00Z,"
    path.write_bytes(b"time,point,value\n" + row + b"k\xf6k,1\n" + row + b"a,\xff\n\xfe,a\n" + row + b"a,2\n")
    chunk = only(list(read_recording(path)))
    assert [(reject.row, reject.reason, reject.text) for reject in chunk.rejects] == [
        (2, "point_invalid", "k\N{REPLACEMENT CHARACTER}k"),
        (3, "value_invalid", "\N{REPLACEMENT CHARACTER}"),
        (4, "row_malformed", "\N{REPLACEMENT CHARACTER},a"),
    ]
    assert chunk.value.tolist() == [2.0]


def test_a_local_time_is_the_sites_and_an_ambiguous_one_is_an_error(tmp_path: Path) -> None:
    text = "time,point,value\n2026-10-25 02:30:00,a,1\n2026-03-29T02:30:00,a,1\n2026-10-25T03:30:00,a,1\n2026-10-25T02:30:00+02:00,a,1\n"
    chunk = only(read(tmp_path / "r.csv", text, STOCKHOLM))
    assert [format_time(time) for time in chunk.time.tolist()] == ["2026-10-25T02:30:00Z", "2026-10-25T00:30:00Z"]
    assert [("twice" in reject.detail, "never" in reject.detail) for reject in chunk.rejects] == [(True, False), (False, True)]
    assert [reject.reason for reject in only(read(tmp_path / "r.csv", text)).rejects] == ["time_invalid"] * 3


def test_states_are_rows_of_a_place_and_keep_their_place_among_the_readings(tmp_path: Path) -> None:
    text = """time,point,value
2026-01-01T00:00:00Z,a,1
2026-01-01T00:00:01Z,cp1/occupancy,at_rest
2026-01-01T00:00:02Z,a,2
2026-01-01T00:00:03Z,bsc1/occupancy,cleaning
2026-01-01T00:00:04Z,cp1/occupancy,
"""
    chunk = only(read(tmp_path / "r.csv", text))
    assert chunk.states == (
        StateRow("cp1", T0 + S, "at_rest", T0 + S, 3, 1),
        StateRow("bsc1", T0 + 3 * S, "cleaning", T0 + 3 * S, 5, 2),
    )
    assert chunk.names == ("a",)
    assert chunk.without_value == 1
    assert chunk.received_span == (T0, T0 + 4 * S)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.none() | st.integers(0, 60)), min_size=1, max_size=40),
    st.integers(1, 39),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_received_is_filled_as_defined_and_never_decreases(tmp_path: Path, rows: list[tuple[int, int | None]], cut: int) -> None:
    """Over two files; a stated `received` before one already given is refused."""
    files = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for path, part in zip(files, (rows[:cut], rows[cut:]), strict=True):
        lines = [f"{format_time(T0 + time * S)},a,1,{'' if got is None else format_time(T0 + got * S)}" for time, got in part]
        path.write_text("\n".join(["time,point,value,received", *lines]) + "\n")
    chunks = list(read_recording(files))
    expected: list[int] = []
    newest = largest = -1
    refused = 0
    for time, got in rows:
        newest = max(newest, time)
        if got is not None and got < largest:
            refused += 1
            continue
        largest = max(largest, newest if got is None else got)
        expected.append(largest)
    assert [int(at - T0) // S for chunk in chunks for at in chunk.received] == expected
    assert [reject.reason for chunk in chunks for reject in chunk.rejects] == ["received_decreases"] * refused


def test_received_counts_every_row_with_a_time(tmp_path: Path) -> None:
    text = "time,point,value\n2026-01-01T00:00:00Z,a,1\n2026-01-01T00:00:09Z,b,\n2026-01-01T00:00:20Z,b,x\n2026-01-01T00:00:01Z,a,1\n"
    chunk = only(read(tmp_path / "r.csv", text))
    assert chunk.received.tolist() == [T0, T0 + 20 * S]


def test_any_cutting_into_blocks_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["time,point,value,unit"]
    for number in range(3000):
        lines.append(f"{format_time(T0 + number * S // 2)},p{number % 7},{number / 8},{'Pa' if number % 5 else ''}")
        if number % 97 == 0:
            lines += ["broken", f"{format_time(T0)},p1,odd,", f"{format_time(T0 + number * S)},cp1/occupancy,at_rest,", ""]
    path = tmp_path / "r.csv"
    path.write_text("\n".join(lines) + "\n")
    whole = only(list(read_recording(path)))
    monkeypatch.setattr(tables, "BLOCK_BYTES", 2000)
    parts = list(read_recording(path))
    assert len(parts) > 20
    for column in ("time", "value", "quality", "received", "row", "point", "unit"):
        assert np.concatenate([getattr(part, column) for part in parts]).tolist() == getattr(whole, column).tolist(), column
    assert sorted((reject for part in parts for reject in part.rejects), key=lambda reject: reject.row) == list(whole.rejects)
    assert [(state.row, state.received) for part in parts for state in part.states] == [
        (state.row, state.received) for state in whole.states
    ]
    assert parts[-1].names == whole.names
    assert [part.done for part in parts] == sorted(part.done for part in parts)
    file_lines = path.read_text().splitlines()
    for part in parts:
        for row, value in zip(part.row.tolist(), part.value.tolist(), strict=True):
            assert float(file_lines[row - 1].split(",")[2]) == value


def test_parquet_types_of_others(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    columns = {
        "time": pa.array([T0 // 1000, T0 // 1000 + 1], pa.timestamp("us", "UTC")),
        "point": pa.array(["a", "door"]).dictionary_encode(),
        "value": pa.array([1, None], pa.int32()),
    }
    pyarrow.parquet.write_table(pa.table(columns), path)
    chunk = only(list(read_recording(path)))
    assert chunk.time.tolist() == [T0]
    assert chunk.without_value == 1
    columns |= {"time": pa.array([T0 // 10**9, None], pa.int64()), "value": pa.array([True, False])}
    pyarrow.parquet.write_table(pa.table(columns), path)
    chunk = only(list(read_recording(path)))
    assert chunk.time.tolist() == [T0]
    assert chunk.value.tolist() == [1.0]
    assert [reject.reason for reject in chunk.rejects] == ["time_invalid"]
    columns |= {"time": pa.array([T0, T0 + 1], pa.timestamp("ns")), "value": pa.array([float("inf"), 2.0])}
    pyarrow.parquet.write_table(pa.table(columns), path)
    chunk = only(list(read_recording(path, zone=STOCKHOLM)))
    assert chunk.time.tolist() == [T0 - 3600 * S, T0 - 3600 * S + 1]
    assert chunk.raw == {0: "inf"}
    columns |= {"point": pa.DictionaryArray.from_arrays(pa.array([0, None], pa.uint16()), ["a"])}
    pyarrow.parquet.write_table(pa.table(columns), path)
    chunk = only(list(read_recording(path, zone=STOCKHOLM)))
    assert [reject.reason for reject in chunk.rejects] == ["point_missing"]


# Files that are no recordings


def failure(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        list(read_recording(path))
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_files_that_cannot_be_read_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    assert "No such file" in failure(path)
    lists = {"time": pa.array([T0], pa.timestamp("ns", "UTC")), "point": pa.array(["a"]), "value": pa.array([[1.0]])}
    pyarrow.parquet.write_table(pa.table(lists), tmp_path / "lists.parquet")
    assert "list<element: double>" in failure(tmp_path / "lists.parquet")
    assert "directory" in failure(tmp_path)
    path.write_text("")
    assert "is empty" in failure(path)
    path.write_text("zeit;punkt;wert\n")
    assert "no column 'time', 'point', 'value'; its columns are 'zeit;punkt;wert'. Give a --mapping" in failure(path)
    path.write_text("time,point,value,value\n")
    assert "the column 'value' more than once" in failure(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sheet", "")
    assert "workbook" in failure(path)
    path.write_bytes(b"PAR1 and nothing more")
    assert "cannot be read as a table" in failure(path)
    path.write_bytes(b"\x00\x01\x02" * 100)
    assert "no column" in failure(path)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_a_damaged_archive_is_an_error_after_what_came_before(tmp_path: Path, compress: object) -> None:
    rows = "".join(f"{format_time(T0 + number * S)},a,{number * 7919 % 9973}\n" for number in range(20_000))
    path = tmp_path / "r.csv.gz"
    packed = compress(("time,point,value\n" + rows).encode())  # type: ignore[operator]
    path.write_bytes(packed[: len(packed) // 2])
    assert "ends too early or is damaged" in failure(path)


def test_a_later_file_is_checked_before_the_first_is_read(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("time,point,value\n")
    bad.write_text("a,b\n")
    with pytest.raises(RecordingError, match=r"bad\.csv"):
        read_recording([good, bad])


# Writing

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufffd"), min_size=1, max_size=8).filter(
    lambda name: not name.endswith("/occupancy")
)
TIMES = st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(T0, T0 + 10**10)


@st.composite
def recordings(draw: st.DrawFn) -> Chunk:
    count = draw(st.integers(0, 12))
    names = tuple(draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)))
    units = ("", *draw(st.lists(st.sampled_from(["Pa", "°C", '1/"m3"', "a,b"]), max_size=3, unique=True)))
    chunk = chunk_of(
        names,
        np.array(draw(st.lists(st.integers(0, len(names) - 1), min_size=count, max_size=count)), np.int32),
        np.array(draw(st.lists(TIMES, min_size=count, max_size=count)), np.int64),
        np.array(draw(st.lists(st.floats(), min_size=count, max_size=count)), np.float64),
        quality=np.array(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)), np.uint8),
        received=np.sort(np.array(draw(st.lists(TIMES, min_size=count, max_size=count)), np.int64)),
        units=units,
        unit=np.array(draw(st.lists(st.integers(0, len(units) - 1), min_size=count, max_size=count)), np.int32),
    )
    raw = {}
    for index in np.flatnonzero(~np.isfinite(chunk.value)).tolist():
        raw[index] = draw(st.sampled_from([text for text, value in NOT_FINITE.items() if repr(value) == repr(float(chunk.value[index]))]))
    return replace(chunk, raw=raw)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.xz", "parquet"])
@given(parts=st.lists(recordings(), max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_what_is_written_reads_back_identical(tmp_path: Path, ending: str, parts: list[Chunk]) -> None:
    path = tmp_path / f"r.{ending}"
    floor = -(2**63) + 1
    for part in parts:  # `received` never decreases within a recording
        part.received[:] = np.maximum(part.received, floor)
        floor = int(part.received[-1]) if len(part) else floor
    assert write_recording(path, parts) == sum(map(len, parts))
    back = list(read_recording(path))
    assert not any(chunk.rejects for chunk in back)

    def rows(chunks: list[Chunk]) -> list[object]:
        return [
            (chunk.names[p], t, v.hex(), chunk.raw.get(i), q, r, chunk.units[u])
            for chunk in chunks
            for i, (p, t, v, q, r, u) in enumerate(
                zip(
                    *(column.tolist() for column in (chunk.point, chunk.time, chunk.value, chunk.quality, chunk.received, chunk.unit)),
                    strict=True,
                )
            )
        ]

    assert rows(back) == rows(parts)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_states_are_written_where_they_stood(tmp_path: Path, ending: str) -> None:
    text = "time,point,value\n2026-01-01T00:00:00Z,cp1/occupancy,at_rest\n"
    text += "2026-01-01T00:00:00.5Z,a,1\n2026-01-01T00:00:01Z,cp1/occupancy,cleaning\n"
    first = read(tmp_path / "r.csv", text)
    path = tmp_path / f"s.{ending}"
    assert write_recording(path, first, columns=("quality",)) == 3
    assert [(state.state, state.before) for state in only(list(read_recording(path))).states] == [("at_rest", 0), ("cleaning", 1)]
    if ending == "csv":
        assert path.read_text().splitlines() == [
            "time,point,value,quality",
            "2026-01-01T00:00:00Z,cp1/occupancy,at_rest,good",
            "2026-01-01T00:00:00.5Z,a,1.0,good",
            "2026-01-01T00:00:01Z,cp1/occupancy,cleaning,good",
        ]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"

    def broken() -> Iterator[Chunk]:
        yield chunk_of(("a",), np.zeros(1, np.int32), np.array([T0]), np.array([1.0]))
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_recording(path, broken())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RecordingError, match="cannot be written"):
        write_recording(tmp_path / "nowhere" / "r.csv", [])
    one, two = tmp_path / "1.csv.gz", tmp_path / "2.csv.gz"
    chunk = chunk_of(("a",), np.zeros(1, np.int32), np.array([T0]), np.array([1.0]))
    write_recording(one, [chunk])
    write_recording(two, [chunk])
    assert one.read_bytes() == two.read_bytes()
