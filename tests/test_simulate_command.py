"""`renrum simulate` (service/cli/simulate.py, simulators/record.py)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from facility.facility_file import load_facility
from facility.recording.reader import read_recording
from facility.times import parse_time
from service.cli import main
from service.clock import SystemClock
from tests.support.mosquitto import Mosquitto, needs_mosquitto


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


def test_a_recording_and_its_truth_are_written(tmp_path: Path) -> None:
    recording, truth = tmp_path / "rec.csv", tmp_path / "truth.csv"
    done = run("--seed", 3, "--duration", "60s", "--start", "2026-05-01T08:00:00Z", "--out", recording, "--truth", truth)
    assert (done.exit_code, done.stderr) == (0, "")
    rows = list(csv.DictReader(recording.read_text("utf-8").splitlines()))
    assert done.stdout.startswith(f"Wrote {len(rows)} readings of 30 points to {recording}")
    assert list(rows[0]) == ["time", "point", "value", "received", "quality"]
    times = [parse_time(row["time"]) for row in rows]
    assert times == sorted(times)
    assert parse_time("2026-05-01T08:00:00Z") <= times[0] <= times[-1] < parse_time("2026-05-01T08:01:00Z")
    assert {row["quality"] for row in rows} == {"good", "bad"}
    assert len(rows) - len({(row["time"], row["point"]) for row in rows}) == 2, "duplicates"
    assert all(float(row["value"]) == float(row["value"]) for row in rows)
    events = list(csv.DictReader(truth.read_text("utf-8").splitlines()))
    assert list(events[0]) == ["start", "end", "kind", "rooms", "points", "rules"]
    assert events[0]["start"] == "2026-05-01T08:00:03Z"
    assert events[0]["end"] == "2026-05-01T08:00:19Z"
    assert events[0]["rules"] == "dp-cascade.alert;dp-cascade.action;door-open"


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c")]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        assert run("--seed", seed, "--duration", "30s", "--out", file).exit_code == 0
    a, b, c = (file.read_bytes() for file in files)
    assert a == b != c


def test_a_local_time_is_the_sites(tmp_path: Path) -> None:
    done = run("--duration", "30s", "--out", tmp_path / "a", "--start", "2026-07-01T10:00:00", "--json")
    assert json.loads(done.stdout)["start"] == "2026-07-01T08:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "either --out FILE (a recording) or --mqtt URL"),
        (("--out", "x", "--mqtt", "mqtt://h"), "either --out FILE (a recording) or --mqtt URL"),
        (("--out", "x", "--speed", "2"), "--speed goes with --mqtt"),
        (("--out", "x", "--scenario", "dmeo"), "Did you mean demo?"),
        (("--out", "x", "--duration", "soon"), "30s, 5m, 2h"),
        (("--out", "x", "--duration", "0s"), "above 0"),
        (("--out", "x", "--seed", "-1"), "--seed"),
        (("--out", "x", "--start", "yesterday"), "2026-11-21T07:41:10.250Z"),
        (("--out", "x", "--start", "2026-10-25T02:30:00"), "twice"),
        (("--out", "x", "--facility", "none.yaml"), "none.yaml"),
        (("--mqtt", "localhost"), "mqtt://127.0.0.1:1883"),
        (("--mqtt", "mqtt://h", "--speed", "0"), "--speed"),
        (("--mqtt", "mqtt://h", "--points", "5"), "--points goes with --rate"),
        (("--mqtt", "mqtt://h", "--rate", "often"), "1/s, 0.5/s, 6/m"),
        (("--mqtt", "mqtt://h", "--rate", "1/s", "--speed", "2"), "without --out, --speed and --truth"),
        (("--out", "x", "--rate", "1/s"), "without --out, --speed and --truth"),
        (("--mqtt", "mqtt://h", "--rate", "1/s", "--points", "5", "--facility", "f.yaml"), "either --points N or --facility FILE"),
        (("--mqtt", "mqtt://h", "--rate", "1/s", "--facility-out", "f.yaml"), "goes with --points N"),
    ],
)
def test_bad_usage_ends_with_2_and_says_what_is_allowed(
    arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_for_another_facility_is_refused_with_the_line(tmp_path: Path) -> None:
    facility = tmp_path / "f.yaml"
    facility.write_text("site: {id: s}\nrooms: [{id: r, points: [{id: t, quantity: temperature, unit: degC, period: 5s}]}]\n", "utf-8")
    done = run("--facility", facility, "--scenario", "demo", "--out", tmp_path / "x")
    assert done.exit_code == 2
    assert "'pal1.door1.open'" in done.stderr
    assert run("--facility", facility, "--scenario", "normal", "--duration", "1m", "--out", tmp_path / "x").exit_code == 0


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    done = run("--duration", "5s", "--out", tmp_path / "no" / "x")
    assert (done.exit_code, done.stdout) == (2, "")
    assert str(tmp_path / "no" / "x") in done.stderr.replace("\n", "")


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        assert run("--scenario", "vhp-cleaning", "--duration", "1h", "--out", tmp_path / name).exit_code == 0
    csv_, parquet = (list(read_recording(tmp_path / name)) for name in ("a.csv", "a.parquet"))
    for column in ("point", "time", "value", "quality", "received"):
        a, b = (np.concatenate([getattr(chunk, column) for chunk in chunks]) for chunks in (csv_, parquet))
        assert a.tolist() == b.tolist(), column
    states = [[(state.place, state.state) for chunk in chunks for state in chunk.states] for chunks in (csv_, parquet)]
    assert states[0] == states[1] == [("cp1", "cleaning")]


def test_truth_is_as_long_as_the_recording(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("short.csv", "long.csv")]
    for file, duration in zip(files, ("30m", "90m"), strict=True):
        assert run("--scenario", "normal", "--duration", duration, "--out", tmp_path / "x.csv", "--truth", file).exit_code == 0
    short, long = (list(csv.DictReader(file.read_text("utf-8").splitlines())) for file in files)
    assert 0 < len(short) < len(long)
    assert short == long[: len(short)]
    assert max(row["start"] for row in short) < "2026-01-01T00:30:00Z"


@needs_mosquitto
def test_load_gives_an_account(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "mosquitto") as mosquitto:
        url = f"mqtt://127.0.0.1:{mosquitto.port}"
        arguments = ("--points", 200, "--rate", "10/s", "--batch", 5, "--duration", "1s", "--facility-out", tmp_path / "f.yaml")
        done = run("--mqtt", url, *arguments, "--json")
        assert run("--mqtt", url, *arguments).stdout.startswith("Published 2000 readings in 400 messages")
    said = json.loads(done.stdout)
    assert (said["published"], said["points"], said["each"], said["messages"]) == (2000, 200, 10, 400)
    assert len(load_facility(tmp_path / "f.yaml").points) == 200
    assert parse_time(said["end"]) - parse_time(said["start"]) == 9 * 10**8


@needs_mosquitto
def test_what_is_published_fast_ends_now(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "mosquitto") as mosquitto:
        url = f"mqtt://127.0.0.1:{mosquitto.port}"
        done = run("--duration", "60s", "--mqtt", url, "--speed", 60, "--truth", tmp_path / "t.csv", "--json")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["published"] > 300
    assert abs(parse_time(said["end"]) - SystemClock().now_ns()) < 3 * 10**9
    assert said["events"] == 6


def test_a_broker_that_is_not_there_is_named() -> None:
    done = run("--duration", "5s", "--mqtt", "mqtt://127.0.0.1:1")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "127.0.0.1:1" in done.stderr
