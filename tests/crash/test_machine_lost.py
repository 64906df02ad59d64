"""A machine is lost under load: another one is made from a backup taken meanwhile, and from what InfluxDB knows of the time since."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from facility.recording import Chunk
from historian.schema import READING
from ingest.journal.entries import INGEST, ingest_body
from ingest.journal.journal import JournalReader
from service.clock import SystemClock
from tests.support.influx import Influx, influx, needs_influx
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.proof import Proof, Recording
from tests.support.pump import Pump, messages_of
from tests.support.recordings import SOLARCAST
from tests.support.service import Service, renrum

__all__ = ["influx"]

pytestmark = [needs_mosquitto, needs_influx]


@dataclass(frozen=True)
class Today(Recording):
    """A recording as if it had ended just now."""

    shift: int = 0

    def chunks(self) -> Iterator[Chunk]:
        for chunk in super().chunks():
            span = None if chunk.received_span is None else (chunk.received_span[0] + self.shift, chunk.received_span[1] + self.shift)
            yield replace(chunk, time=chunk.time + self.shift, received=chunk.received + self.shift, received_span=span)


def today(recording: Recording) -> Today:
    newest = max(int(chunk.time.max()) for chunk in recording.chunks())
    return Today(recording.example, recording.files, SystemClock().now_ns() - newest)


def fed(service: Service, influx: Influx) -> Service:
    """A service that writes into the bucket."""
    settings = json.loads(service.config.read_text())
    settings["historian"] = {"influxdb": {"url": influx.url, "org": influx.org, "bucket": influx.bucket, "token_file": "secrets/influx"}}
    service.config.write_text(json.dumps(settings))
    token = service.folder / "secrets" / "influx"
    token.parent.mkdir(exist_ok=True)
    token.write_text(influx.token)
    token.chmod(0o600)
    return service


def in_influxdb(influx: Influx, readings: int) -> bool:
    flux = f"""from(bucket: bucket) |> range(start: 0, stop: 2100-01-01T00:00:00Z)
        |> filter(fn: (r) => r._measurement == "{READING}" and r._field == "quality") |> count() |> group() |> sum()"""
    return sum(int(row["_value"]) for row in influx.query(flux)) >= readings


def done(*arguments: object) -> str:
    """What a command says, which must end well."""
    result = renrum(*map(str, arguments))
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_restored_from_a_backup_under_load_and_from_influxdb(tmp_path: Path, influx: Influx) -> None:
    recording = today(SOLARCAST)
    expected = recording.stored(tmp_path / "stored")
    backup = tmp_path / "backup"
    with Mosquitto(tmp_path / "broker") as broker:
        with fed(Service(tmp_path / "old", SOLARCAST.example, broker.url), influx) as old:
            old.until_listening()
            pump = Pump(broker.port, messages_of(recording), 8.0).start()
            old.until(lambda: old.sums.stored > expected.total() // 3)
            done("backup", backup, "--config", old.config)
            pump.join()
            old.until_stored(expected.total())
            old.until(lambda: in_influxdb(influx, expected.total()), 60.0)
            old.kill()
        proven = done("verify", "--backup", backup)
        assert "excursions: identical" in proven
        assert Proof(old.data_dir).readings == expected
        shutil.rmtree(old.data_dir)

        new = fed(Service(tmp_path / "new", SOLARCAST.example, broker.url), influx)
        report = json.loads(done("restore", backup, "--data-dir", new.data_dir, "--from-influx", "--config", new.config, "--json"))
        assert 0 < report["gap"]["recovered"] < expected.total()
        with new:
            new.until_listening()
            new.until_stored(expected.total())
            new.until(lambda: "equal" in renrum("historian", "compare", "--config", new.config).stdout, 60.0)
            new.stop()
        assert "excursions: identical" in done("verify", "--config", new.config)
        done("historian", "compare", "--config", new.config)
        stored = Proof(new.data_dir).readings
        assert {row[:3] for row in stored} == {row[:3] for row in expected}
        assert stored.total() == expected.total()
        with closing(JournalReader(new.data_dir / "journal.db")) as reader:
            marked = sum(entry.readings for entry in reader.entries(kinds=(INGEST,)) if ingest_body(entry).origin == "recovered")
        assert marked == report["gap"]["recovered"]
