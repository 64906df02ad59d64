"""What people ask of a data_dir is answered as before when its old days are sealed and have left the databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from facility.times import format_time
from ingest.journal.sealed import sealed_days
from service.applied import in_force
from service.applying import apply_stopped
from service.clock import SystemClock
from service.health.machine import machine_of
from service.proof.sealing import let_go, seal_what_is_due
from tests.support.archive_data import START
from tests.support.changing import ASKED, edited, run
from tests.support.influx import Influx, influx, influx_server
from tests.support.installation import Paging
from tests.test_historian_commands import fed
from tests.test_sealing import DAY_NS, days, seal

__all__ = ["influx", "influx_server"]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Paging]:
    with closing(days(tmp_path / "site", 38)) as place:
        yield place


def seal_and_let_go(place: Paging) -> None:
    assert seal(place) == 2
    assert let_go(place.data_dir, lambda: False) > 0
    place.ledger.settle()
    assert not (place.data_dir / "journal.db").exists(), "the first day's file is among those that left"


def test_every_command_says_what_it_said(place: Paging) -> None:
    day = ("--start", format_time(START - DAY_NS), "--end", format_time(START + DAY_NS))
    asked = [
        *(
            ("explain", point, "--at", format_time(START + at))
            for point in ("inc1.temp", "cp1.dp1.dp")
            for at in (DAY_NS // 4, 5 * DAY_NS // 4)
        ),
        ("explain", "inc1.temp"),
        ("history", "inc1.temp"),
        ("rules", "diff", "--last", "90d", "--set", "incubator-temperature.on_delay=0s", "--json"),
        ("export", *day),
        ("excursions", *day),
        ("alarms",),
        ("quarantine",),
    ]
    place.ledger.settle()
    before = [run(*arguments, "--config", place.config) for arguments in asked]
    seal_and_let_go(place)
    for arguments, said in zip(asked, before, strict=True):
        again = run(*arguments, "--config", place.config)
        assert (again.exit_code, again.stdout) == (0, said.stdout), arguments
    assert machine_of(place.data_dir, 0, 0).files["journal.db"] > 0


def test_a_configuration_is_applied_to_a_stopped_service_whose_first_files_have_left(place: Paging) -> None:
    seal_and_let_go(place)
    place.close()
    assert [body.hash for _, body in in_force(place.data_dir)] == [place.configuration.judging_hash]
    changed = edited(place.folder, "rules.yaml", "on_delay: 10s", "on_delay: 20s")
    answer = apply_stopped(place.data_dir, changed, SystemClock(), ASKED)
    assert answer.result == "applied"
    assert len(in_force(place.data_dir)) == 2


def test_a_backup_is_restored_and_proved(place: Paging, tmp_path: Path) -> None:
    seal_and_let_go(place)
    place.close()
    backup, restored = tmp_path / "backup", tmp_path / "restored"
    assert run("backup", backup, "--data-dir", place.data_dir).exit_code == 0
    assert run("verify", "--backup", backup).exit_code == 0
    assert run("restore", backup, "--data-dir", restored).exit_code == 0
    one, other = (json.loads(run("verify", "--all", "--json", "--data-dir", folder).stdout) for folder in (place.data_dir, restored))
    assert one["ok"]
    assert other["ok"]
    assert one["sealed"]["days"] == 2
    assert other["sealed"]["absent"] == 2, "they are sealed again the next night"
    for part in ("audit", "excursions"):
        # That it was restored is in its journal, and not judged yet.
        but = {key: one[part][key] for key in ("checked", "entries_not_judged_yet") if key in one[part]}
        assert one[part] == {**other[part], **but}, part
    assert [(body.day, body.sha256) for body in seal_what_is_due(restored, place.at)] == [
        (day.manifest.day, day.sha256) for day in sealed_days(place.data_dir / "sealed")
    ], "and byte by byte the same"
    same = run("excursions", "--data-dir", place.data_dir).stdout
    assert run("excursions", "--data-dir", restored).stdout == same


def test_a_historian_is_filled_from_sealed_days(place: Paging, influx: Influx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENRUM_INFLUX_ADMIN_TOKEN", influx.token)
    with place.config.open("a") as file:
        file.write(f"historian:\n  influxdb: {{url: {influx.url}, org: {influx.org}, bucket: {influx.bucket}, token_file: token}}\n")
    (place.folder / "token").write_text(influx.token)
    (place.folder / "token").chmod(0o600)
    seal_and_let_go(place)
    place.close()
    fed(place)
    influx.ask(
        "POST", f"/api/v2/delete?org={influx.org}&bucket={influx.bucket}", {"start": "2026-11-20T00:00:00Z", "stop": "2026-11-21T00:00:00Z"}
    )
    lacking = run("historian", "compare", "--config", place.config, "--json")
    assert (lacking.exit_code, {row["day"] for row in json.loads(lacking.stdout)["differences"]}) == (1, {"2026-11-20"})
    filled = run("historian", "backfill", "--config", place.config, "--start", "2026-11-20", "--end", "2026-11-21")
    assert filled.exit_code == 0, filled.output
    equal = run("historian", "compare", "--config", place.config, "--json")
    assert equal.exit_code == 0, equal.output
