"""`renrum restore`: whole or plainly not begun; what InfluxDB knows of the gap; what stays unknown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from alerts.record.audit import SYSTEM
from facility.times import format_time, parse_time
from historian.schema import ALARM, READING, ROOM_STATE
from ingest.journal.entries import INGEST, SERVICE, ServiceBody, decode, ingest_body
from ingest.journal.journal import JournalReader
from service.clock import SystemClock
from service.configuration.configuration import load_configuration
from service.doctor.backup import backups
from service.pipeline import CANNOT_START, Pipeline
from service.settings.historian import TOKEN
from tests.support.archive_data import SECOND_NS
from tests.support.continuity import command, copied
from tests.support.influx import Influx, influx, needs_influx
from tests.support.installation import Paging, installation
from tests.support.nursery import ROOT
from tests.support.verifying import rows_of

__all__ = ["influx"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Paging]:
    place = installation(tmp_path / "site", rounds=1)
    yield place
    place.close()


@pytest.fixture
def backup(site: Paging, tmp_path: Path) -> Path:
    """A backup, after which the service went on."""
    target = tmp_path / "backup"
    assert command("backup", target, "--config", site.config).exit_code == 0
    return target


def restored(data_dir: Path) -> ServiceBody:
    with closing(JournalReader(data_dir / "journal.db")) as reader:
        entry = reader.last(SERVICE)
    assert entry is not None
    body = decode(entry)
    assert isinstance(body, ServiceBody)
    return body


def test_on_a_bare_machine(backup: Path, site: Paging, tmp_path: Path) -> None:
    data_dir, folder = tmp_path / "new" / "data", tmp_path / "new" / "etc"
    done = command("restore", backup, "--data-dir", data_dir, "--config-dir", folder)
    assert done.exit_code == 0, done.output
    assert rows_of(data_dir / "journal.db")[:-1] == copied(backup)
    assert restored(data_dir).event == "restored"
    assert {path.name for path in folder.iterdir()} == {"facility.yaml", "oncall.yaml", "renrum.yaml", "rules.yaml"}
    for name in ("rules.yaml", "renrum.yaml"):
        assert (folder / name).stat().st_mode == (site.folder / name).stat().st_mode
    verified = command("verify", "--data-dir", data_dir)
    assert verified.exit_code == 0, verified.output
    assert "identical" in verified.output
    facility = load_configuration(site.config, {}).facility
    report = json.loads((data_dir / "restored.json").read_text())
    silent = {span["point"] for span in report["gap"]["unknown"]}
    assert silent == {point.id for point in facility.points if point.period_ns}


def test_the_service_goes_on_from_there(backup: Path, site: Paging, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    assert command("restore", backup, "--data-dir", folder / "data", "--config-dir", folder).exit_code == 2  # not two in one place
    assert command("restore", backup, "--data-dir", tmp_path / "data", "--config-dir", tmp_path / "etc2").exit_code == 0
    config = tmp_path / "etc2" / "renrum.yaml"
    config.write_text(config.read_text().replace("./data", str(tmp_path / "data")).replace("port: 8480", "port: 0"))
    pipeline = Pipeline(load_configuration(config, {}), SystemClock())
    pipeline.start()
    pipeline.stop()
    verified = command("verify", "--config", config)
    assert verified.exit_code == 0, verified.output
    with closing(JournalReader(tmp_path / "data" / "journal.db")) as reader:
        events = [body.event for entry in reader.entries(kinds=(SERVICE,)) if isinstance(body := decode(entry), ServiceBody)]
    assert events[-3:] == ["restored", "started", "stopped"]


def test_doctor_knows_the_backup_that_it_was_restored_from(backup: Path, site: Paging, tmp_path: Path) -> None:
    assert command("restore", backup, "--data-dir", tmp_path / "data").exit_code == 0
    [found] = backups(tmp_path / "data", "production", site.at)
    assert found.verdict == "warning"
    assert found.words.startswith(f"no backup since this data_dir was restored from {backup}: the last one, written 20")
    assert f"has {len(copied(backup)):,} entries up to 2026-11-20T" in found.words
    [line] = backups(tmp_path, "production", site.at)
    assert line.words == "this data_dir was never backed up"


def test_nothing_is_overwritten(backup: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "precious").write_text("x")
    done = command("restore", backup, "--data-dir", data_dir)
    assert (done.exit_code, "not empty" in done.output) == (2, True)
    assert {path.name for path in data_dir.iterdir()} - {"lock"} == {"precious"}
    command("restore", backup, "--data-dir", tmp_path / "other")
    assert command("restore", backup, "--data-dir", tmp_path / "other").exit_code == 2


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_of_a_damaged_backup_only_what_is_whole_and_only_when_asked(backup: Path, tmp_path: Path, damage: str) -> None:
    whole = copied(backup)
    part = next(backup.glob("journal-*"))
    content = bytearray(part.read_bytes())
    if damage == "cut":
        del content[-100:]
    else:
        content[len(content) * 3 // 4] ^= 1
    part.write_bytes(content)
    data_dir = tmp_path / "data"
    refused = command("restore", backup, "--data-dir", data_dir)
    assert (refused.exit_code, "The backup is damaged" in refused.output) == (2, True)
    done = command("restore", backup, "--data-dir", data_dir, "--partial")
    assert done.exit_code == 1, done.output
    entries = rows_of(data_dir / "journal.db")[:-1]
    assert 0 < len(entries) < len(whole)
    assert entries == whole[: len(entries)]
    assert command("verify", "--data-dir", data_dir).output.startswith("journal: ok")


def test_killed_at_any_moment_it_begins_anew_and_no_service_starts_meanwhile(backup: Path, site: Paging, tmp_path: Path) -> None:
    data_dir = site.data_dir.with_name("restored")
    script = "from service.cli import main; main()"
    arguments = [sys.executable, "-c", script, "restore", str(backup), "--data-dir", str(data_dir)]
    text = site.config.read_text()
    site.config.write_text(text.replace("./data", "./restored"))
    for name in ("restoring", "journal.db", "series.db"):
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not (data_dir / name).exists() and process.poll() is None:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGSTOP)
        unfinished = (data_dir / "restoring").exists()
        process.kill()
        process.wait()
        if unfinished:
            pipeline = Pipeline(load_configuration(site.config, {}), SystemClock())
            with pytest.raises(CANNOT_START, match="only partly restored"):
                pipeline.start()
        else:
            for path in data_dir.iterdir():
                path.unlink()
    done = command("restore", backup, "--data-dir", data_dir)
    assert done.exit_code == 0, done.output
    assert command("verify", "--data-dir", data_dir).exit_code == 0


# The gap


@needs_influx
def test_the_gap_is_filled_from_influxdb(
    backup: Path, site: Paging, influx: Influx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the dead service received after the backup, its historian has; a late reading, a state, an acknowledgement too."""
    facility = site.configuration.facility
    ident, newest = facility.site.id, rows_of(site.data_dir / "journal.db")[-1].at

    def reading(point: str, seconds: float, value: float | None, received: float, quality: int = 0) -> str:
        time_ns, fields = newest + round(seconds * SECOND_NS), f"quality={quality}i,received={newest + round(received * SECOND_NS)}i"
        return f"{READING},point={point},site={ident} {f'value={value!r},' if value is not None else ''}{fields} {time_ns}"

    late = [reading("inc1.temp", -50.25, 36.5, 3)]
    known = [reading("inc1.temp", -20.0, 36.5, -20)]  # received before: the backup has what there was
    fresh = [reading("inc1.temp", second, 37.0 + second / 100, second) for second in range(1, 30)]
    odd = [reading("inc1.co2", 5, None, 5, 2), reading("inc1.co2", 6, 5.25, 6, 1), reading("of.yesterday", 7, 1.0, 7)]
    told = [
        f'{ROOM_STATE},place=cp1,site={ident} state="cleaning",received={newest + 2 * SECOND_NS}i {newest + 2 * SECOND_NS}',
        f'{ALARM},point=inc1.temp,rule=inc-temp,site={ident} alarm="A3",transition="acknowledge",actor="anna",comment="on my way"'
        f" {newest + 9 * SECOND_NS}",
        f'{ALARM},point=inc1.temp,rule=inc-temp,site={ident} alarm="A3",transition="return",actor="{SYSTEM}",comment=""'
        f" {newest + SECOND_NS}",
    ]
    influx.write("\n".join([*late, *known, *fresh, *odd, *told]))
    monkeypatch.setenv(TOKEN, influx.token)
    data_dir = tmp_path / "data"
    where = ("--influx-url", influx.url, "--influx-org", influx.org, "--influx-bucket", influx.bucket)
    done = command("restore", backup, "--data-dir", data_dir, "--from-influx", *where)
    assert done.exit_code == 0, done.output

    with closing(JournalReader(data_dir / "journal.db")) as reader:
        bodies = [ingest_body(entry) for entry in reader.entries(kinds=(INGEST,))]
    recovered = [body for body in bodies if body.origin == "recovered"]
    assert all(body.origin in ("", "recovered") for body in bodies)
    assert [state.state for body in recovered for state in body.states] == ["cleaning"]
    assert sum(body.received for body in recovered) == 1 + len(late + fresh + odd)
    assert [piece.reason for body in recovered for piece in body.quarantine] == ["place_unknown"]
    report = json.loads((data_dir / "restored.json").read_text())["gap"]
    assert report["recovered"] == 1 + len(late + fresh + odd) - 1
    assert report["actions"] == [f"{format_time(newest + 9 * SECOND_NS)} anna: acknowledge A3, inc-temp at inc1.temp (on my way)"]
    spans = [(parse_time(span["start"]) - newest, span["point"]) for span in report["unknown"]]
    assert (29 * SECOND_NS, "inc1.temp") in spans  # known until there
    assert (0, "cor1.dp1.dp") in spans

    out = tmp_path / "gap.csv"
    start = format_time(newest + 1)
    assert command("export", "--data-dir", data_dir, "--point", "inc1.temp", "--start", start, "--out", out).exit_code == 0
    values = [row.split(",")[2] for row in out.read_text().splitlines() if ",inc1.temp," in row]
    assert values == [repr(37.0 + second / 100) for second in range(1, 30)]
    assert "anna: acknowledge A3" in done.output
    assert "recovered" in restored(data_dir).detail


@needs_influx
def test_what_influxdb_does_not_say_is_said(backup: Path, influx: Influx, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ("--influx-url", influx.url, "--influx-org", influx.org, "--influx-bucket", "nowhere")
    monkeypatch.setenv(TOKEN, influx.token)
    done = command("restore", backup, "--data-dir", tmp_path / "data", "--from-influx", *where)
    assert (done.exit_code, "not all was recovered" in done.output) == (1, True)
    assert command("verify", "--data-dir", tmp_path / "data").exit_code == 0
    monkeypatch.delenv(TOKEN)
    refused = command("restore", backup, "--data-dir", tmp_path / "other", "--from-influx", *where)
    assert (refused.exit_code, TOKEN in refused.output) == (2, True)
    refused = command("restore", backup, "--data-dir", tmp_path / "third", "--from-influx")
    assert (refused.exit_code, "--influx-url" in refused.output) == (2, True)
    assert os.listdir(tmp_path / "third") == ["lock"]
