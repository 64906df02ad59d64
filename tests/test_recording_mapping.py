"""Mapping files: other people's tables read as recordings, and the two that ship as examples."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from facility.facility_file import load_facility
from facility.problems import ConfigurationError
from facility.reading import QUALITIES
from facility.recording import Chunk, RecordingError, TableMapping, load_mapping, read_recording
from facility.times import format_time
from facility.units import conversion
from rules.rules_file import load_rules
from tests.support import reference
from tests.support.admitted import Row

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests" / "data"


def mapping(path: Path, text: str) -> TableMapping:
    (path / "m.yaml").write_text(text)
    return load_mapping(path / "m.yaml")


def read(path: Path, yaml: str, table: str | bytes, zone: str | None = None) -> Chunk:
    file = path / "table.txt"
    file.write_bytes(table if isinstance(table, bytes) else table.encode())
    chunks = list(read_recording(file, mapping(path, yaml), ZoneInfo(zone) if zone else None))
    assert len(chunks) == 1
    return chunks[0]


def rows(chunk: Chunk) -> list[tuple[str, str, float]]:
    return [
        (format_time(time), chunk.names[point], value)
        for time, point, value in zip(chunk.time.tolist(), chunk.point.tolist(), chunk.value.tolist(), strict=True)
    ]


def test_wide_columns_become_points_row_by_row(tmp_path: Path) -> None:
    yaml = """
time: at
rename: {device: {"7": cp1}}
missing: ["-"]
columns:
  T: {point: "{device}.temp", scale: 0.1, offset: -5, unit: degC}
  door: {point: "{device}.door", values: {Open: 1, Closed: 0}, missing: ["?"]}
"""
    table = "at,device,T,door,notes\n2026-01-01T00:00:00Z,7,250,Open,x\n2026-01-01T00:00:01Z,8,-,Closed,\n2026-01-01T00:00:02Z,7,251,?,\n"
    chunk = read(tmp_path, yaml, table)
    assert rows(chunk) == [
        ("2026-01-01T00:00:00Z", "cp1.temp", 20.0),
        ("2026-01-01T00:00:00Z", "cp1.door", 1.0),
        ("2026-01-01T00:00:01Z", "8.door", 0.0),
        ("2026-01-01T00:00:02Z", "cp1.temp", 251 * 0.1 - 5),
    ]
    assert [chunk.units[unit] for unit in chunk.unit] == ["degC", "", "", "degC"]
    assert chunk.without_value == 2
    assert chunk.row.tolist() == [2, 2, 3, 4]


def test_a_wrong_time_in_a_wide_row_counts_each_of_its_cells(tmp_path: Path) -> None:
    chunk = read(tmp_path, "time: t\ncolumns: {a: {point: a}, b: {point: b}}", "t,a,b\nnoon,1,\n2026-01-01T00:00:00Z,2,x\n")
    assert [(reject.row, reject.reason) for reject in chunk.rejects] == [(2, "time_invalid"), (3, "value_invalid")]
    assert (len(chunk), chunk.without_value) == (1, 1)


def test_long_form_with_units_quality_and_received(tmp_path: Path) -> None:
    yaml = """
table: {delimiter: ";", decimal: ",", encoding: latin-1, skip_lines: 2}
time: {column: [Datum, Zeit], format: "%d.%m.%Y %H:%M:%S", zone: Europe/Berlin}
received: {column: got, format: epoch}
long: {point: "{Raum}.{Messstelle}", value: Wert, unit: Pa, unit_column: Einheit}
quality: {column: Status, good: [0, OK], uncertain: 1, bad: [9]}
"""
    table = (
        "Logger 3\n\nDatum;Zeit;Raum;Messstelle;Wert;Einheit;Status;got\n"
        "1.7.2026;08:00:00;cp1;dp;14,6;;OK;1782885601\n"
        "1.7.2026;08:00:10;cp1;t;21,5;°C;1;1782885611.5\n"
        "1.7.2026;08:00:20;cp1;t;21,5;°C;9;1782885621500\n"
        "1.7.2026;08:00:30;cp1;t;21,5;°C;4;1782885631\n"
    ).encode("latin-1")
    chunk = read(tmp_path, yaml, table)
    assert rows(chunk) == [
        ("2026-07-01T06:00:00Z", "cp1.dp", 14.6),
        ("2026-07-01T06:00:10Z", "cp1.t", 21.5),
        ("2026-07-01T06:00:20Z", "cp1.t", 21.5),
    ]
    assert [chunk.units[unit] for unit in chunk.unit] == ["Pa", "°C", "°C"]
    assert [QUALITIES[code] for code in chunk.quality] == ["good", "uncertain", "bad"]
    assert [format_time(at) for at in chunk.received.tolist()] == [
        "2026-07-01T06:00:01Z",
        "2026-07-01T06:00:11.5Z",
        "2026-07-01T06:00:21.5Z",
    ]
    assert [(reject.row, reject.reason, reject.text) for reject in chunk.rejects] == [(7, "quality_unknown", "4")]


def test_a_header_of_blanks_over_rows_of_tabs(tmp_path: Path) -> None:
    yaml = "table: {delimiter: whitespace}\ntime: {column: No, base: 2010-05-09T00:00:00Z, unit: s}\ncolumns: {T: {point: mote.temp}}\n"
    chunk = read(tmp_path, yaml, "No   T  RH\n 5\t27.85\t43.98\n10 \t 27.9\t44\n")
    assert rows(chunk) == [("2010-05-09T00:00:05Z", "mote.temp", 27.85), ("2010-05-09T00:00:10Z", "mote.temp", 27.9)]


@pytest.mark.parametrize(
    ("clock", "cell", "time"),
    [
        ("{column: 1, format: epoch}", "1782885600.25", "2026-07-01T06:00:00.25Z"),
        ("{column: 1, format: epoch, unit: ms}", "1782885600", "1970-01-21T15:14:45.6Z"),
        ("{column: 1, format: spreadsheet}", "42888.3180439815", "2017-06-02T05:37:59Z"),
        ("{column: 1, base: 2022-07-07T00:00:00Z}", "38.85", "2022-07-07T00:00:38.85Z"),
        ("{column: 1, base: 2022-07-07T00:00:00, zone: Europe/Stockholm, unit: ms}", "1e3", "2022-07-06T22:00:01Z"),
        ('{column: 1, format: "%m/%d/%Y %H:%M", zone: UTC}', "8/28/2007 21:57", "2007-08-28T21:57:00Z"),
        ('{column: 1, format: "%Y%m%dT%H%M%S%z"}', "20260701T080000+0200", "2026-07-01T06:00:00Z"),
        ("{column: 1}", "2026-07-01 08:00:00,123456789", "2026-07-01T06:00:00.123456789Z"),
    ],
)
def test_clocks_of_all_kinds(tmp_path: Path, clock: str, cell: str, time: str) -> None:
    yaml = f"table: {{header: false, delimiter: ';'}}\ntime: {clock}\ncolumns: {{2: {{point: a}}}}\n"
    chunk = read(tmp_path, yaml, f"{cell};1\nsoon;1\n", zone="Europe/Stockholm")
    assert rows(chunk) == [(time, "a", 1.0)]
    assert [(reject.row, reject.text, reject.reason) for reject in chunk.rejects] == [(2, "soon", "time_invalid")]


def test_a_column_that_says_how_the_room_is_used(tmp_path: Path) -> None:
    yaml = "time: t\ncolumns: {fan: {point: cp1/occupancy, values: {'1': in_operation, '0': shutdown}}, dp: {point: dp}}\n"
    chunk = read(tmp_path, yaml, "t,fan,dp\n2026-01-01T00:00:00Z,1,14\n2026-01-01T00:01:00Z,0,0\n2026-01-01T00:02:00Z,7,0\n")
    assert [(state.place, state.state, state.before) for state in chunk.states] == [("cp1", "in_operation", 0), ("cp1", "shutdown", 1)]
    assert [reject.reason for reject in chunk.rejects] == ["state_unknown"]


def test_a_table_grouped_by_device_is_put_in_order_of_time(tmp_path: Path) -> None:
    yaml = "time: t\norder: time\ncolumns: {v: {point: '{d}'}}\n"
    table = "t,d,v\n2026-01-01T00:00:00Z,a,1\n2026-01-01T00:00:20Z,a,2\nnever,b,8\n2026-01-01T00:00:00Z,b,3\n2026-01-01T00:00:10Z,b,4\n"
    chunk = read(tmp_path, yaml, table)
    assert [(point, value) for _, point, value in rows(chunk)] == [("a", 1.0), ("b", 3.0), ("b", 4.0), ("a", 2.0)]
    assert chunk.row.tolist() == [2, 5, 6, 3]
    assert chunk.received.tolist() == chunk.time.tolist()
    assert [reject.row for reject in chunk.rejects] == [4]


def test_every_mistake_in_a_mapping_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """time: {column: t, format: isoo, zone: Mars/Olympus}
table: {delimiter: ";;", skip_lines: -1}
colums: {}
columns:
  a: {point: p, scal: 2}
"""
    with pytest.raises(ConfigurationError) as caught:
        mapping(tmp_path, text)
    problems = caught.value.problems
    assert [(problem.line, problem.key) for problem in problems] == [
        (1, "time.format"), (1, "time.zone"), (2, "table.delimiter"), (2, "table.skip_lines"), (3, "colums"), (5, "columns.a.scal"),
    ]  # fmt: skip
    assert "Did you mean columns?" in str(problems[4])
    assert "Did you mean scale?" in str(problems[5])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time: t\n", "either `columns` (a column per point) or `long`"),
        ("columns: {a: {point: a}}\n", "time"),
        ("time: {column: t, unit: ms}\ncolumns: {a: {point: a}}\n", "a unit only with `format: epoch` or `base`"),
        ("time: {column: t, base: noon}\ncolumns: {a: {point: a}}\n", "noon"),
        ("time: {column: []}\ncolumns: {a: {point: a}}\n", "a list of at least 1"),
        ("table: {names: [a]}\ntime: t\ncolumns: {a: {point: a}}\n", "names only with `header: false`"),
        ("time: t\ncolumns: [a]\n", "a mapping"),
        ("- a\n", "a mapping of keys to values"),
    ],
)
def test_mappings_that_cannot_be_meant(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        mapping(tmp_path, text)
    assert said in str(caught.value)
    assert "m.yaml" in str(caught.value)


def test_files_that_do_not_fit_the_mapping(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_mapping(tmp_path / "none.yaml")
    with pytest.raises(RecordingError, match=r"no column 'b'; its columns are 't', 'a'\. Correct the names in the mapping"):
        read(tmp_path, "time: t\ncolumns: {b: {point: b}}", "t,a\n")


# The examples, on excerpts of the recordings that they are for


def judged(example: str, table: Path) -> tuple[list[Chunk], reference.Outcome]:
    folder = ROOT / "examples" / example
    facility = load_facility(folder / "facility.yaml")
    rules = load_rules(folder / "rules.yaml", facility)
    chunks = list(read_recording(table, load_mapping(folder / "mapping.yaml"), ZoneInfo(facility.site.timezone)))
    found = []
    for chunk in chunks:
        for point, time, value, quality, received, unit in zip(
            *(column.tolist() for column in (chunk.point, chunk.time, chunk.value, chunk.quality, chunk.received, chunk.unit)), strict=True
        ):
            target = facility.point_by_id[chunk.names[point]].unit
            converted = conversion(chunk.units[unit] or target, target).of(value)
            found.append(Row(chunk.names[point], time, converted, QUALITIES[quality], received))
    return chunks, reference.evaluate(facility, rules, {}, found)


def test_solarcast_example_finds_what_is_known() -> None:
    chunks, outcome = judged("solarcast", DATA / "solarcast" / "air-sensor-test-two-units.csv")
    assert sum(map(len, chunks)) == outcome.stored + outcome.duplicates
    assert outcome.duplicates > 50
    assert not any(chunk.rejects for chunk in chunks)
    onsets = [(e.rule, e.point, format_time(e.onset)) for e in outcome.excursions if e.rule in ("filter-off.action", "humidity")]
    assert onsets == [
        ("humidity", "sc230442684.rh", "2017-06-02T07:18:20Z"),
        ("filter-off.action", "sc230442684.p05", "2017-06-02T09:02:34Z"),
        ("filter-off.action", "sc1094924990.p05", "2017-06-02T09:05:40Z"),
    ]
    silent = [format_time(e.onset) for e in outcome.excursions if e.rule == "silent" and e.point == "sc1094924990.p05"]
    assert silent == ["2017-06-02T07:15:08Z", "2017-06-02T07:49:28Z", "2017-06-02T08:44:50Z", "2017-06-02T09:05:40Z"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            "heating-2013-12.csv",
            [
                ("temperature.alert", "2013-12-21T20:00:00Z", "2013-12-24T10:00:00Z"),
                ("temperature.action", "2013-12-22T17:00:00Z", "2013-12-23T06:00:00Z"),
            ],
        ),
        (
            "cooling-2014-04.csv",
            [
                ("silent", "2014-04-03T09:00:00Z", "2014-04-10T15:00:00Z"),
                ("temperature.alert", "2014-04-13T09:00:00Z", "2014-04-14T08:00:00Z"),
            ],
        ),
    ],
)
def test_nab_example_finds_what_is_known(table: str, expected: list[tuple[str, str, str]]) -> None:
    _, outcome = judged("nab-temperature", DATA / "nab-temperature" / table)
    assert [(e.rule, format_time(e.onset), format_time(e.ended or 0)) for e in outcome.excursions] == expected
