"""`renrum doctor`: one line a check, what to do, and never a secret."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from facility.times import format_time
from ingest.journal.journal import JournalReader
from service.cli import main
from service.doctor import data as diagnosis_data
from service.doctor import installation as diagnosis
from service.doctor import live as diagnosis_live
from service.doctor.installation import Finding
from service.lock import DataDirLock
from service.stored.archive import Archive
from tests.support.archive_data import SECOND_NS, START, Installation, example_configuration, lived
from tests.support.mosquitto import Mosquitto, needs_mosquitto

SECRET = "correct-horse-battery"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Installation]:
    installation = lived(tmp_path / "site")
    yield installation
    installation.close()


def examine(*arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and the worst finding of each check."""
    result = CliRunner().invoke(main, ["doctor", "--json", *arguments])
    document = json.loads(result.stdout)
    worst: dict[str, dict[str, Any]] = {}
    order = ("ok", "warning", "problem")
    for found in document["checks"]:
        known = worst.setdefault(found["check"], found)
        if order.index(found["verdict"]) > order.index(known["verdict"]):
            worst[found["check"]] = found
    assert document["ok"] == (result.exit_code == 0)
    for found in document["checks"]:
        assert bool(found["remedy"]) == (found["verdict"] != "ok") or found["check"] == "configuration", found
    return result.exit_code, worst


def test_a_sound_installation_has_no_problem(place: Installation) -> None:
    code, found = examine("--config", str(place.config))
    assert code == 0
    assert {name for name, one in found.items() if one["verdict"] == "warning"} == {"channels", "service", "sums"}
    assert found["packages"]["words"].startswith("all 8 of ours")
    assert "numpy" in found["versions"]["words"]
    assert "synchronous full" in found["sqlite"]["words"]
    assert "Europe/Stockholm" in found["time zone"]["words"]
    assert f"{place.journal.head.seq} entries" in found["journal"]["words"]
    assert place.journal.head.hash.hex()[:16] in found["journal"]["words"]
    assert "received 90 = stored 86 + duplicate 0 + quarantined 4" in found["sums"]["words"]
    assert found["in force"]["words"].endswith("as in the files")


def test_people_get_a_line_a_check(place: Installation) -> None:
    lines = CliRunner().invoke(main, ["doctor", "--config", str(place.config)]).output.splitlines()
    assert lines[0].split()[:2] == ["ok", "packages"]
    service = next(i for i, line in enumerate(lines) if line.startswith("warning  service"))
    assert "Start it with `renrum run`" in lines[service + 1]
    assert lines[-1] == "18 checks: 3 to look at, 0 to be put right"


def test_it_changes_nothing(place: Installation) -> None:
    def state() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in place.data_dir.iterdir() if not file.name.endswith("-shm")}

    before = state()
    examine("--config", str(place.config))
    assert state() == before


def test_no_configuration_is_a_problem_and_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RENRUM_CONFIG", raising=False)
    code, found = examine()
    assert code == 1
    assert found["configuration"]["verdict"] == "problem"
    assert "renrum init" in found["configuration"]["remedy"]
    assert found["packages"]["verdict"] == "ok"


def test_a_wrong_configuration_does_not_hide_the_data_dir(place: Installation) -> None:
    (place.folder / "rules.yaml").write_text("rules: [{id: x, kind: nonsense}]")
    code, found = examine("--config", str(place.config))
    assert code == 1
    assert "rules.yaml" in found["configuration"]["words"]
    assert found["journal"]["verdict"] == "ok"


def test_before_the_first_start(tmp_path: Path) -> None:
    example_configuration(tmp_path)
    code, found = examine("--config", str(tmp_path))
    assert code == 0
    assert found["data_dir"]["verdict"] == "warning"
    assert "journal" not in found


def test_secrets_are_not_shown_and_their_files_are_looked_at(tmp_path: Path) -> None:
    example_configuration(tmp_path)
    (tmp_path / "secrets").mkdir()
    for name in ("mqtt", "smtp"):
        file = tmp_path / "secrets" / name
        file.write_text(SECRET)
        file.chmod(0o644 if name == "smtp" else 0o600)
    settings = tmp_path / "renrum.yaml"
    broker = "url: mqtt://127.0.0.1:1\n  username: renrum\n  password_file: secrets/mqtt"
    settings.write_text(settings.read_text().replace("url: embedded", broker))
    (tmp_path / "oncall.yaml").write_text(
        "channels:\n  mail: {kind: email, host: smtp.example.org, from: a@example.org, to: [b@example.org],\n"
        "    username: a, password_file: secrets/smtp}\n"
    )
    result = CliRunner().invoke(main, ["doctor", "--config", str(tmp_path)])
    assert SECRET not in result.output
    code, found = examine("--config", str(tmp_path))
    assert found["secrets"]["verdict"] == "warning"
    assert str(tmp_path / "secrets" / "smtp") in found["secrets"]["words"]
    assert "secrets/mqtt" not in found["secrets"]["words"]
    assert "chmod o=" in found["secrets"]["remedy"]
    assert (code, found["broker"]["verdict"]) == (1, "problem")
    assert "127.0.0.1:1 cannot be reached" in found["broker"]["words"]
    assert found["channels"]["verdict"] == "ok"


def test_production_needs_more_than_the_example(tmp_path: Path) -> None:
    example_configuration(tmp_path)
    settings = tmp_path / "renrum.yaml"
    settings.write_text(settings.read_text().replace("environment: demo", "environment: production"))
    code, found = examine("--config", str(tmp_path))
    assert code == 1
    assert found["channels"]["verdict"] == "problem"
    assert found["broker"]["verdict"] == "warning"


def test_a_foreign_package_of_our_name_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "rules" / "__init__.py"
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "service.doctor.installation.find_spec", lambda name: SimpleNamespace(origin=str(foreign)) if name == "rules" else real(name)
    )
    found = next(iter(diagnosis.installation()))
    assert found.verdict == "problem"
    assert f"rules from {foreign.parent}" in found.words


# The data_dir


def holdings(place: Installation, now: int | None = None) -> dict[str, Finding]:
    found = diagnosis_data.holdings(place.data_dir, place.configuration, place.at if now is None else now)
    return {finding.check: finding for finding in found}


def test_a_journal_from_the_future_is_a_clock_that_is_wrong(place: Installation) -> None:
    found = holdings(place, place.at - 3600 * SECOND_NS)["clock"]
    assert found.verdict == "problem"
    assert "3,600 s later" in found.words
    assert holdings(place)["clock"].verdict == "ok"


def test_a_journal_without_its_end(place: Installation) -> None:
    head = place.journal.head.seq
    with sqlite3.connect(place.data_dir / "journal.db") as connection:
        connection.execute("delete from commits where seq > ?", (head - 2,))
    found = holdings(place)["journal"]
    assert found.verdict == "problem"
    assert f"entries {head - 1} to {head} are gone" in found.words
    assert "renrum verify" in found.remedy


def test_what_a_running_service_appends_meanwhile_is_not_gone(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    issued = JournalReader.issued

    def after_one_more(reader: JournalReader) -> int:
        place.read("cp1.dp1.dp", 15, place.journal.head.seq)
        return issued(reader)

    monkeypatch.setattr(JournalReader, "issued", after_one_more)
    assert holdings(place)["journal"].verdict == "ok"


def test_sums_that_do_not_close(place: Installation) -> None:
    with sqlite3.connect(place.data_dir / "state.db") as connection:
        connection.execute("update meta set value = ? where key = 'sums'", ('[100, 90, 3, {"conflict": 2}]',))
    found = holdings(place)["sums"]
    assert found.verdict == "problem"
    assert found.words.endswith("does not close: 5 are missing")


def test_a_state_db_that_is_gone_is_not_all_well(place: Installation) -> None:
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (place.data_dir / name).unlink(missing_ok=True)
    found = holdings(place)
    assert [(found[name].verdict, found[name].words) for name in ("sums", "pages")] == [("warning", "not known: there is no state.db")] * 2


def test_files_that_judge_otherwise_than_what_is_in_force(place: Installation) -> None:
    rules = place.folder / "rules.yaml"
    rules.write_text(rules.read_text().replace("below: 12", "below: 12.5"))
    assert examine("--config", str(place.config))[1]["in force"]["verdict"] == "warning"


def test_pages_that_are_refused(place: Installation) -> None:
    with sqlite3.connect(place.data_dir / "state.db") as connection:
        for attempts in (0, 3):
            row = (f"p{attempts}", "A1", "sink", "{}", START, attempts, 0, 0, None, 0, "")
            connection.execute(f"insert into outbox values (null{',?' * len(row)})", row)
    found = holdings(place)["pages"]
    assert found.verdict == "problem"
    assert found.words == f"1 page could not be delivered yet, to sink; the oldest waits since {format_time(START)}"


def test_pages_for_a_channel_that_is_gone(place: Installation) -> None:
    with sqlite3.connect(place.data_dir / "state.db") as connection:
        row = ("p", "A1", "night shift", "{}", START, 0, 0, 0, None, 0, "")
        connection.execute(f"insert into outbox values (null{',?' * len(row)})", row)
    found = holdings(place)["pages"]
    assert found.verdict == "problem"
    assert found.words == "1 page for night shift, which is no channel any more: nobody delivers them"


def test_days_left_follow_from_the_newest_day(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    place.at += 86_400 * SECOND_NS
    for second in range(100):
        place.read("inc1.temp", 37.0, 86_500 + second)
    with Archive(place.data_dir) as archive:
        growth = diagnosis_data.bytes_a_day(place.data_dir, archive)
        assert growth is not None
        size = sum(file.stat().st_size for file in place.data_dir.iterdir() if file.suffix.startswith(".db"))
        assert growth == pytest.approx(size * 101 / place.journal.head.seq, rel=0.05)
    for days, verdict in ((100.0, "ok"), (20.0, "warning"), (2.0, "problem")):
        monkeypatch.setattr(diagnosis_data, "FREE_BYTES_MIN", 0)
        monkeypatch.setattr("shutil.disk_usage", lambda folder, free=days * growth: SimpleNamespace(free=free))
        found = holdings(place)["disk"]
        assert found.verdict == verdict, found
        assert f"{days:.0f} days left" in found.words


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_dir_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert diagnosis_data.data_dir(tmp_path).verdict == "problem"
    assert diagnosis_data.data_dir(tmp_path / "none").verdict == "problem"
    tmp_path.chmod(0o700)


# A running service and its broker


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = self.path == "/healthz"
        body = json.dumps({"ok": ready, "checks": [{"name": "broker", "ok": ready, "words": "not connected for 80 s"}]}).encode()
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_the_health_of_a_running_service(place: Installation) -> None:
    with HTTPServer(("127.0.0.1", 0), Health) as server, DataDirLock(place.data_dir):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place.config.write_text(place.config.read_text().replace("port: 8480", f"port: {server.server_port}"))
        code, found = examine("--config", str(place.config))
        server.shutdown()
    assert code == 1
    assert found["service"]["words"] == f"process {os.getpid()} runs on {place.data_dir}"
    assert f"127.0.0.1:{server.server_port}/readyz: 503; broker: not connected for 80 s" in found["health"]["words"]


def test_a_service_that_does_not_answer(place: Installation) -> None:
    place.config.write_text(place.config.read_text().replace("port: 8480", "port: 1"))
    with DataDirLock(place.data_dir):
        code, found = examine("--config", str(place.config))
    assert code == 1
    assert "does not answer" in found["health"]["words"]


@needs_mosquitto
def test_a_broker_that_keeps_a_queue_and_one_that_does_not(tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        example_configuration(tmp_path / "site")
        settings = tmp_path / "site" / "renrum.yaml"
        settings.write_text(settings.read_text().replace("url: embedded", f"url: {broker.url}"))
        code, found = examine("--config", str(settings))
        assert code == 0, found
        assert "the broker keeps messages for us while we are away" in found["broker"]["words"]
        assert "messages/s a queue of 10,000,000 (deploy/mosquitto) lasts" in found["outage"]["words"]
    with Mosquitto(tmp_path / "forgetful", anonymous=False) as broker:
        settings.write_text(settings.read_text().replace(settings.read_text().split("url: ")[1].split()[0], broker.url))
        code, found = examine("--config", str(settings))
        assert code == 1
        assert "could not be found out" in found["broker"]["words"]
        assert "mqtt.username" in found["broker"]["remedy"]


def test_the_queue_that_we_ship_is_the_one_that_doctor_speaks_of() -> None:
    shipped = Path(__file__).parent.parent / "deploy" / "mosquitto" / "mosquitto.conf"
    if not shipped.is_file():
        pytest.skip("deploy/ is not in a wheel")
    assert f"\nmax_queued_messages {diagnosis_live.SHIPPED_QUEUE}\n" in shipped.read_text()
