"""`renrum replay` (service/cli/replay.py): the shipped examples, files that are right and wrong, and over MQTT."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from alerts.judging.excursion_file import read_excursions
from facility.times import format_time, parse_time
from ingest.series import held
from ingest.series.series import Series, SeriesUnavailable
from service.cli import main
from service.configuration.configuration import load_configuration
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.mqtt import eventually
from tests.test_playback import listening

ROOT = Path(__file__).parent.parent
EXAMPLES, DATA = ROOT / "examples", ROOT / "tests" / "data"
FACILITY = """site: {id: lab, name: Laboratory, timezone: Europe/Stockholm}
rooms:
  - id: cp1
    name: CP 1
    points: [{id: dp, quantity: differential_pressure, unit: Pa, period: 10s}]
"""
RULES = """rules:
  - {id: low, kind: limit, level: action, select: {point: dp}, below: 10}
"""
RECORDING = "time,point,value\n" + "".join(f"2026-01-10 08:00:{second:02},dp,{value}\n" for second, value in enumerate((15, 8, 7.5, 12)))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a facility, rules and a recording, where the command runs; temporary files have their own place."""
    for name, text in (("facility.yaml", FACILITY), ("rules.yaml", RULES), ("rec.csv", RECORDING)):
        (tmp_path / name).write_text(text)
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["replay", *map(str, arguments)])


def judged(*arguments: object) -> Result:
    return run("--facility", "facility.yaml", "--rules", "rules.yaml", "--out", "e.csv", *arguments)


def example(name: str, recording: str, folder: Path) -> list[tuple[Any, ...]]:
    """What a shipped example finds in an excerpt."""
    own = EXAMPLES / name
    files = ("--mapping", own / "mapping.yaml", "--facility", own / "facility.yaml", "--rules", own / "rules.yaml")
    done = run(DATA / name / recording, *files, "--out", folder / "e.csv")
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr
    return [
        (row.rule, row.point, *map(minute, (row.onset, row.raised, row.ended, row.cleared)), row.peak, row.readings)
        for row in read_excursions(folder / "e.csv")
    ]


def minute(at: int | None) -> str:
    """Month, day and minute of a time; empty for none."""
    return "" if at is None else format_time(at)[5:16]


def test_the_office_whose_cooling_fails(tmp_path: Path) -> None:
    assert example("nab-temperature", "heating-2013-12.csv", tmp_path) == [
        ("temperature.alert", "office.temp", "12-21T20:00", "12-21T22:00", "12-24T10:00", "12-24T14:00", 30.12400700555556, 62),
        ("temperature.action", "office.temp", "12-22T17:00", "12-22T19:00", "12-23T06:00", "12-23T10:00", 30.12400700555556, 13),
    ]
    assert example("nab-temperature", "cooling-2014-04.csv", tmp_path) == [
        ("silent", "office.temp", "04-03T09:00", "04-03T12:00", "04-10T15:00", "04-10T15:00", None, 0),
        ("temperature.alert", "office.temp", "04-13T09:00", "04-13T11:00", "04-14T08:00", "04-14T12:00", 14.143558661111108, 23),
    ]


def test_the_chamber_whose_filter_goes_off(tmp_path: Path) -> None:
    found = example("solarcast", "air-sensor-test-two-units.csv", tmp_path)
    of_two = [row[:1] + row[2:] for row in found if row[1].startswith("sc230442684.")]
    assert of_two == [
        ("filter-off.alert", "06-02T07:18", "06-02T07:18", "06-02T07:27", "06-02T07:38", 318.0, 2),
        ("humidity", "06-02T07:18", "06-02T07:38", "", "", 43.842884, 35),
        ("filter-off.action", "06-02T09:02", "06-02T09:02", "", "", 7879.0, 15),
        ("filter-off.alert", "06-02T09:02", "06-02T09:02", "", "", 7879.0, 15),
    ]
    silences = [row[2] for row in found if row[:2] == ("silent", "sc1094924990.p05")]
    assert silences == ["06-02T07:15", "06-02T07:49", "06-02T08:44", "06-02T09:05"]
    # The five units that are not in the excerpt never report.
    assert len(found) == 4 + 7 + 5
    assert not any(row[0] in ("temperature", "faulty") for row in found)


def test_what_is_written_and_what_is_said(site: Path) -> None:
    (site / "rec2.csv.gz").write_bytes(gzip.compress(b"time,point,value\n2026-01-10T07:00:04Z,dp,\n2026-01-10T07:00:05Z,pd,1\n,dp,1\n"))
    done = judged("rec.csv", "rec2.csv.gz", "--quarantine", "q.csv", "--json", "--all")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    config = said.pop("config")
    assert said == {
        "rows": 7, "stored": 4, "duplicates": 0, "quarantined": {"point_unknown": 1, "time_invalid": 1}, "without_value": 1,
        "excursions": 1, "out": "e.csv",
    }  # fmt: skip
    assert done.stderr == (
        "read 7 rows: 4 stored, 0 duplicates, 2 quarantined (point_unknown 1, time_invalid 1), 1 without value; 1 excursion in e.csv\n"
    )
    rows = list(csv.DictReader((site / "e.csv").read_text().splitlines()))
    assert [row["config"] for row in rows] == [config]
    assert {name: cell for name, cell in rows[0].items() if cell and name != "config"} == {
        "rule": "low", "point": "dp", "level": "action", "onset": "2026-01-10T07:00:01Z", "raised": "2026-01-10T07:00:01Z",
        "ended": "2026-01-10T07:00:03Z", "cleared": "2026-01-10T07:00:03Z", "peak": "7.5", "readings": "2", "revision": "0",
        "status": "current", "late": "false", "room": "cp1", "occupancy": "in_operation", "limit": "10.0", "unit": "Pa",
    }  # fmt: skip
    refused = list(csv.DictReader((site / "q.csv").read_text().splitlines()))
    assert [(row["file"], row["row"], row["reason"], row["point"]) for row in refused] == [
        ("rec2.csv.gz", "4", "time_invalid", ""), ("rec2.csv.gz", "3", "point_unknown", "pd"),
    ]  # fmt: skip
    assert sorted(path.name for path in site.iterdir()) == [
        "e.csv", "facility.yaml", "q.csv", "rec.csv", "rec2.csv.gz", "rules.yaml", "temporary",
    ]  # fmt: skip
    assert not list((site / "temporary").iterdir())


def test_parquet_and_what_to_do_about_refused_rows(site: Path) -> None:
    (site / "rec.csv").write_text(RECORDING + "2026-01-10 08:00:09,pd,1\n")
    done = run("rec.csv", "--facility", "facility.yaml", "--rules", "rules.yaml", "--out", "e.parquet")
    assert done.exit_code == 0, done.stderr
    assert "--quarantine FILE" in done.stderr
    assert [row.peak for row in read_excursions(site / "e.parquet")] == [7.5]


def test_a_whole_configuration_and_its_hash(site: Path) -> None:
    assert CliRunner().invoke(main, ["init", "own"]).exit_code == 0
    (site / "rec.csv").write_text("time,point,value\n")
    done = run("rec.csv", "--config", "own", "--out", "e.csv", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["config"] == load_configuration(site / "own" / "renrum.yaml", {}).judging_hash
    os.chdir("own")
    assert run("../rec.csv", "--out", "e.csv").exit_code == 0


def test_limits_are_read(site: Path) -> None:
    (site / "limits.csv").write_text("point,zone,room,type,grade,quantity,occupancy,level,below,above,basis\ndp,,,,,,,action,8,,\n")
    (site / "rules.yaml").write_text(RULES.replace("below: 10", "below: limits"))
    done = judged("rec.csv", "--limits", "limits.csv")
    assert done.exit_code == 0, done.stderr
    assert [(row.peak, row.limit) for row in read_excursions("e.csv")] == [(7.5, 8.0)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rec.csv"], ["give either --out FILE", "--mqtt URL"]),
        (["rec.csv", "--out", "e.csv", "--mqtt", "mqtt://127.0.0.1"], ["give either --out FILE"]),
        (["rec.csv", "--out", "e.csv"], ["--facility F --rules R", "--config"]),
        (["rec.csv", "--out", "e.csv", "--facility", "facility.yaml"], ["--facility and --rules go together"]),
        (["rec.csv", "--out", "e.csv", "--config", "x.yaml", "--rules", "rules.yaml"], ["leave out --rules"]),
        (["rec.csv", "--out", "e.csv", "--retime", "--speed", "2"], ["nothing is published: leave out --speed, --retime"]),
        (["rec.csv", "--mqtt", "mqtt://127.0.0.1", "--rules", "rules.yaml"], ["nothing is judged: leave out --rules"]),
        (["rec.csv", "--mqtt", "http://127.0.0.1"], ["allowed: a URL such as mqtt://"]),
        (
            ["rec.csv", "--mqtt", "mqtt://127.0.0.1", "--facility", "facility.yaml", "--site", "a/b"],
            ["--site", "'a/b'", "allowed: a name without"],
        ),
        (
            ["rec.csv", "--mqtt", "mqtt://127.0.0.1:1", "--facility", "facility.yaml"],
            ["no connection to mqtt://127.0.0.1:1", "check the address"],
        ),
        (["--out", "e.csv"], ["give either REC... or --from-influx"]),
    ],
)
def test_options_that_do_not_go_together(site: Path, arguments: list[str], said: list[str]) -> None:
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert all(text in done.stderr for text in said), done.stderr
    assert not (site / "e.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.csv"], ["none.csv: No such file", "Check the path"]),
        (["rec.csv", "none.csv"], ["none.csv: No such file"]),
        (["rules.yaml"], ["rules.yaml: has no column 'time', 'point', 'value'", "--mapping"]),
        (["cut.csv.gz"], ["cut.csv.gz: ends too early or is damaged", "complete copy"]),
        (["rec.csv", "--mapping", "none.yaml"], ["none.yaml", "--mapping"]),
        (["rec.csv", "--mapping", "rules.yaml"], ["rules.yaml:1"]),
        (["rec.csv", "--facility", "none.yaml"], ["none.yaml: found", "no such file"]),
        (["rec.csv", "--rules", "none.yaml"], ["none.yaml: found", "no such file"]),
        (["rec.csv", "--rules", "rec.csv"], ["rec.csv:1"]),
        (["rec.csv", "--limits", "none.csv"], ["none.csv: found", "no such file"]),
        (["rec.csv", "--out", "e.txt"], ["--out: found 'e.txt'; allowed: a name that ends in .csv or .parquet"]),
        (["rec.csv", "--out", "none/e.csv"], ["--out: the folder none does not exist"]),
        (["rec.csv", "--out", "rec.csv"], ["--out: rec.csv is the recording itself"]),
        (["rec.csv", "--quarantine", "rec.csv"], ["--quarantine: rec.csv is the recording itself"]),
        (["rec.csv", "--quarantine", "e.csv"], ["--quarantine: the same file as --out"]),
        (["rec.csv", "--out", "temporary"], ["is a directory"]),
    ],
)
def test_what_cannot_be_read_or_written_is_told_with_what_to_do(site: Path, arguments: list[str], said: list[str]) -> None:
    (site / "cut.csv.gz").write_bytes(gzip.compress(os.urandom(9_000).hex().encode())[:-200])
    done = judged("--quarantine", "q.csv", *arguments)
    assert (done.exit_code, done.stdout) == (2, ""), done.stdout
    assert all(text in done.stderr for text in said), done.stderr
    assert "Traceback" not in done.stderr
    assert not list((site / "temporary").iterdir())
    assert (site / "rec.csv").read_text() == RECORDING
    assert not [path.name for path in site.iterdir() if path.name in ("e.csv", "q.csv") or path.suffix == ".part"]


def test_a_full_disk_is_told(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise SeriesUnavailable("cannot write") from sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Series, "write", full)
    monkeypatch.setattr(held, "HELD_ROWS", 0)
    done = judged("rec.csv")
    assert done.exit_code == 2
    assert "database or disk is full" in done.stderr
    assert "TMPDIR" in done.stderr
    assert not list((site / "temporary").iterdir())


def test_an_end_by_signal_leaves_nothing(site: Path) -> None:
    (site / "big.csv").write_text("time,point,value\n" + "".join(f"{1_700_000_000 + second},dp,1\n" for second in range(400_000)))
    (site / "map.yaml").write_text("time: {column: time, format: epoch}\nlong: {point: '{point}', value: value}\n")
    command = [sys.executable, "-c", "from service.cli import main; main()", "replay", "big.csv", "--mapping", "map.yaml"]
    options = ["--facility", "facility.yaml", "--rules", "rules.yaml", "--out", "e.csv", "--quarantine", "q.csv"]
    environment = os.environ | {"TMPDIR": str(site / "temporary"), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*command, *options], env=environment, stderr=subprocess.PIPE) as process:
        eventually(lambda: bool(list((site / "temporary").iterdir())) or process.poll() is not None, 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert not list((site / "temporary").iterdir())
    assert not [path.name for path in site.iterdir() if path.name.startswith(("e.csv", "q.csv"))]


@needs_mosquitto
@pytest.mark.parametrize("retime", [False, True])
def test_over_mqtt(site: Path, retime: bool) -> None:
    (site / "rec.csv").write_text(RECORDING + "2026-01-10 08:00:04,pd,1\nyesterday,dp,1\n2026-01-10 08:00:04,cp1/occupancy,at_rest\n")
    with Mosquitto(site / "mosquitto") as broker, listening(broker.port) as listener:
        options = ("--facility", "facility.yaml", "--site", "lab", "--speed", 0, "--json", *(["--retime"] if retime else []))
        done = run("rec.csv", "--mqtt", f"mqtt://127.0.0.1:{broker.port}", *options)
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout) == {
            "published": 4, "messages": 5, "states": 1, "unheard": 0, "unknown": {"pd": 1}, "refused": 1, "reconnects": 0,
            "mqtt": f"mqtt://127.0.0.1:{broker.port}",
        }  # fmt: skip
        eventually(lambda: len(listener.values) == 4 and len(listener.states) == 1)
    assert listener.values == [15.0, 8.0, 7.5, 12.0]
    state = listener.states[0]["time"]
    if retime:
        assert 0 <= time.time_ns() - parse_time(state) < 60 * 10**9
    else:
        assert state == "2026-01-10T07:00:04Z"
    assert "published 4 readings and 1 state to mqtt://127.0.0.1" in done.stderr
    assert "the facility lacks the point: 1 (pd); refused: 1 row" in done.stderr
