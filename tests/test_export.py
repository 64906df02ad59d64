"""historian/export.py and `renrum export`: a recording that says what the journal says."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from alerts.judging.excursion_file import read_excursions
from facility.reading import QUALITIES, SPOILT
from facility.recording.chunk import Chunk
from facility.recording.reader import read_recording
from historian.export import CHUNK_ROWS, exported
from historian.wanted import KINDS, Wanted
from ingest.journal.entries import INGEST, IngestBody, encode, ingest_body, readings_of
from rules.excursion import COLUMNS, Excursion
from service.cli import main
from service.configuration.configuration import load_configuration
from service.stored.archive import Archive
from tests.support.archive_data import SECOND_NS, START, Installation, lived

Row = tuple[str, int, float | str, int, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = lived(tmp_path_factory.mktemp("site"))
    yield installation
    installation.close()


def export(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["export", *arguments])


def stored(place: Installation) -> list[Row]:
    """What the journal holds, entry by entry: point or place, time, value, received, quality as received."""
    names = {number: id_ for id_, number in place.number_of.items()}
    rows: list[Row] = []
    for entry in place.journal.reader().entries(kinds=(INGEST,)):
        body = ingest_body(entry)
        rows += [(f"{state.place}/occupancy", state.time, state.state, entry.at, "good") for state in body.states]
        r = readings_of(entry, body)
        for i in range(len(r)):
            quality = QUALITIES[int(r.quality[i]) % SPOILT]
            rows.append((names[int(r.point[i])], int(r.time[i]), float(r.value[i]), entry.at, quality))
    return rows


def rows_of(chunks: Iterator[Chunk]) -> list[Row]:
    rows: list[Row] = []
    for chunk in chunks:
        assert not chunk.rejects
        assert not chunk.without_value
        states = {state.before: [] for state in chunk.states}  # type: ignore[var-annotated]
        for state in chunk.states:
            states[state.before].append((f"{state.place}/occupancy", state.time, state.state, state.received, "good"))
        for i in range(len(chunk) + 1):
            rows += states.get(i, [])
            if i < len(chunk):
                name, quality = chunk.names[chunk.point[i]], QUALITIES[chunk.quality[i]]
                rows.append((name, int(chunk.time[i]), float(chunk.value[i]), int(chunk.received[i]), quality))
    return rows


def text(rows: list[Row]) -> list[str]:
    return [repr(row) for row in rows]  # so that NaN equals NaN


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.xz", ".parquet"])
def test_what_is_exported_reads_back_as_what_is_stored(place: Installation, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"all{suffix}"
    result = export("--config", str(place.config), "--out", str(out))
    assert result.exit_code == 0, result.output
    expected = stored(place)
    assert any(isinstance(row[2], float) and math.isnan(row[2]) for row in expected)
    assert text(rows_of(read_recording(out))) == text(expected)
    assert f"Wrote {len(expected) - 2} readings and 2 states of rooms" in result.output


def test_without_a_file_it_is_csv_for_the_next_program(place: Installation, tmp_path: Path) -> None:
    out = tmp_path / "all.csv"
    assert export("--config", str(place.config), "--out", str(out)).exit_code == 0
    result = export("--config", str(place.config))
    assert (result.exit_code, result.stdout) == (0, out.read_text("utf-8"))


def test_the_quality_is_the_received_one_and_the_unit_the_points(place: Installation, tmp_path: Path) -> None:
    out = tmp_path / "co2.csv"
    assert export("--config", str(place.config), "--point", "inc1.co2", "--out", str(out)).exit_code == 0
    lines = [line for line in out.read_text().splitlines() if "occupancy" not in line]
    assert lines == [
        "time,point,value,received,quality,unit",
        "2026-11-20T08:01:41Z,inc1.co2,NaN,2026-11-20T08:01:23Z,good,%",
        "2026-11-20T08:01:42Z,inc1.co2,25.0,2026-11-20T08:01:24Z,good,%",  # outside the range: admission makes it bad again
        "2026-11-20T08:01:43Z,inc1.co2,5.0,2026-11-20T08:01:25Z,uncertain,%",
        "2026-11-20T08:00:50.123456789Z,inc1.co2,5.0,2026-11-20T08:01:26Z,good,%",  # late, and in its place of arrival
    ]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_replay_of_it_gives_the_same_excursions(place: Installation, tmp_path: Path, suffix: str) -> None:
    recording, out = tmp_path / f"all{suffix}", tmp_path / "excursions.csv"
    assert export("--config", str(place.config), "--out", str(recording)).exit_code == 0
    result = CliRunner().invoke(main, ["replay", str(recording), "--config", str(place.config), "--out", str(out)])
    assert result.exit_code == 0, result.output
    columns = COLUMNS[:9] + COLUMNS[13:]
    from_the_start = {
        "cp1.dp1.dp",
        "inc1.temp",
    }  # a point that does not report yet is silent since the recording's start, not the journal's

    def compared(excursions: Iterable[Excursion]) -> list[tuple[object, ...]]:
        return [tuple(getattr(row, name) for name in columns) for row in excursions if row.rule != "silent" or row.point in from_the_start]

    found = compared(read_excursions(out))
    assert found == compared(place.store.excursions("status = 'current'"))
    assert {row[0] for row in found} == {
        "dp-cascade.action", "dp-cascade.alert", "incubator-temperature.action", "incubator-temperature.alert", "bad-quality", "silent",
    }  # fmt: skip


def test_a_stretch_begins_with_the_states_that_it_finds(place: Installation, tmp_path: Path) -> None:
    out = tmp_path / "part.csv"
    result = export("--config", str(place.config), "--start", "2026-11-20T09:00:30", "--end", "2026-11-20T08:00:34Z",
                    "--room", "cp1", "--out", str(out), "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.output) == {"readings": 2, "states": 1, "received_until": "2026-11-20T08:01:29Z", "out": str(out)}
    assert out.read_text().splitlines()[1:] == [
        "2026-11-20T07:00:00Z,cp1/occupancy,at_rest,2026-11-20T08:00:32Z,good,",
        "2026-11-20T08:00:30Z,cp1.dp1.dp,5.25,2026-11-20T08:00:32Z,good,Pa",
        "2026-11-20T08:00:32Z,cp1.dp1.dp,5.25,2026-11-20T08:00:34Z,good,Pa",
    ]


def test_without_series_the_journal_tells_the_states(place: Installation, tmp_path: Path) -> None:
    with Archive(place.data_dir) as archive:
        start = START + 30 * SECOND_NS
        whole = archive.to_export(Wanted(start=start))[1]
    (tmp_path / "data").mkdir()
    for name in ("journal.db", "journal.db-wal"):
        (tmp_path / "data" / name).write_bytes((place.data_dir / name).read_bytes())
    with Archive(tmp_path / "data") as archive:
        assert archive.to_export(Wanted(start=start))[1] == whole == {"cp1": (START - 3600 * SECOND_NS, "at_rest")}


def test_a_point_that_changed_its_unit_keeps_that_of_each_time(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site")
    place.read("inc1.temp", 37.5, 0)
    facility = tmp_path / "site" / "facility.yaml"
    facility.write_text(facility.read_text().replace("unit: degC, period: 5s, range: [0, 60]", "unit: K, period: 5s, range: [0, 400]"))
    rules = tmp_path / "site" / "rules.yaml"
    rules.write_text(rules.read_text().replace("36.7, above: 37.3", "309, above: 311").replace("36.5, above: 37.5", "308, above: 312"))
    place.configure(load_configuration(place.config, {}))
    place.read("inc1.temp", 310.5, 10)
    place.step()
    place.close()
    out = tmp_path / "units.csv"
    assert export("--data-dir", str(place.data_dir), "--out", str(out)).exit_code == 0
    assert [line.split(",")[2:6:3] for line in out.read_text().splitlines()[1:]] == [["37.5", "degC"], ["310.5", "K"]]


def test_nothing_is_a_file_with_no_rows_nor_silence(place: Installation, tmp_path: Path) -> None:
    out = tmp_path / "none.csv"
    result = export("--config", str(place.config), "--start", "2027-01-01", "--point", "fz1.temp", "--out", str(out))
    assert result.exit_code == 1
    assert "No readings match what was asked for" in result.output
    assert "The journal reaches from 2026-11-20T08:00:00Z to 2026-11-20T08:01:29Z" in result.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--out", "readings.xlsx"], "allowed: a name that ends in .csv, .csv.gz, .csv.xz, .parquet"),
        (["--json"], "give --out FILE"),
        (["--out", "/nowhere/at/all.csv"], "/nowhere/at/all.csv: cannot be written"),
        (["--out", "a.csv", "--point", "cp1.dp1"], "there is no point 'cp1.dp1'. Did you mean cp1.dp1.dp?"),
    ],
)
def test_what_cannot_be_done_is_said(place: Installation, arguments: list[str], text: str) -> None:
    result = export("--config", str(place.config), *arguments)
    assert (result.exit_code, text in result.output) == (2, True), result.output


def test_memory_stays_bounded(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site")
    count, batch = 30, 20_000
    time = START + np.arange(batch) * 10**6
    for number in range(count):
        point, moved = np.full(batch, number % 20, "<u4"), (time + number * 10**12).astype("<i8")
        value, quality = np.full(batch, 1.5), np.zeros(batch, "u1")
        body = IngestBody(batch, 0, point.tobytes(), moved.tobytes(), value.tobytes(), quality.tobytes(), b"", [], [], [])
        place.journal.append(INGEST, encode(body), START, 0, batch)
    rows = peak = 0
    with Archive(place.data_dir) as archive:
        # As one slice of the reader holds all of this small journal, entries come singly.
        entries = (entry for seq in range(1, archive.head.seq + 1) if (entry := archive.journal.entry(seq)) and entry.kind in KINDS)
        tracemalloc.start()
        for chunk in exported(entries, {}, archive.facility_of, Wanted()):
            rows += len(chunk)
            assert len(chunk) < CHUNK_ROWS + batch
            peak = max(peak, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    place.close()
    assert rows == count * batch
    assert peak < 40 * 10**6
