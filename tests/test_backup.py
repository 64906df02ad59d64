"""`renrum backup`, `verify --backup` and what `doctor` says of them."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.people.register import Register
from service.doctor.backup import backups
from tests.support.continuity import command, copied, manifest_of
from tests.support.installation import Paging, installation
from tests.support.verifying import change, rows_of


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Paging]:
    """A service at work: its journal has a write-ahead log, its newest readings are not judged yet."""
    place = installation(tmp_path / "site", rounds=1)
    place.read("inc1.temp", 37.0, 500)
    yield place
    place.close()


def test_a_backup_beside_a_service_at_work_is_proven(site: Paging, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    done = command("backup", target, "--config", site.config)
    assert done.exit_code == 0, done.output
    assert copied(target) == rows_of(site.data_dir / "journal.db")
    proven = command("verify", "--backup", target)
    assert proven.exit_code == 0, proven.output
    assert "excursions: identical" in proven.output
    assert (target / "configuration" / "rules.yaml").read_bytes() == (site.folder / "rules.yaml").read_bytes()
    assert all(path.stat().st_mode & 0o077 == 0 for path in [target, *target.rglob("*")])


def test_another_backup_there_ships_what_is_new(site: Paging, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    command("backup", target, "--config", site.config)
    before = {path.name: path.read_bytes() for path in target.glob("journal-*")}
    for second in range(600, 640):
        site.read("inc1.temp", 39.9, second)
    site.step()
    (site.folder / "rules.yaml").write_text((site.folder / "rules.yaml").read_text() + "# a word more\n")
    assert command("backup", target, "--config", site.config).exit_code == 0
    for name, content in before.items():
        assert (target / name).read_bytes().startswith(content)
    assert copied(target) == rows_of(site.data_dir / "journal.db")
    assert (target / "configuration" / "rules.yaml").read_text().endswith("a word more\n")
    assert len(list(target.glob("state-*.db"))) == 1
    assert command("verify", "--backup", target).exit_code == 0


def test_secrets_stay_at_home_unless_they_are_asked_for(site: Paging, tmp_path: Path) -> None:
    secrets = {"secrets/mqtt": "hunter2", "tls/server.key": "key", "word": "named", "site.env": "x"}
    secrets["certs/all.pem"] = "-----BEGIN PRIVATE KEY-----"
    for name, text in secrets.items():
        (site.folder / name).parent.mkdir(exist_ok=True)
        (site.folder / name).write_text(text)
    (site.folder / "extra.yaml").write_text("channels: {duty: {kind: webhook, url_file: word}}\n")
    (site.folder / "tls" / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    Register(site.data_dir / "people.db").close()
    target, whole = tmp_path / "backup", tmp_path / "whole"
    assert command("backup", target, "--config", site.config).exit_code == 0
    there = b"".join(path.read_bytes() for path in target.rglob("*") if path.is_file())
    assert not any(text.encode() in there for text in ("hunter2", "BEGIN PRIVATE KEY"))
    assert (target / "configuration" / "tls" / "ca.pem").exists()
    assert set(manifest_of(target)["left_out"]) == {*secrets, "people.db"}
    assert command("backup", whole, "--config", site.config, "--with-secrets").exit_code == 0
    assert {name: (whole / "configuration" / name).read_text() for name in secrets} == secrets
    assert (whole / "people.db").exists()
    assert manifest_of(whole)["left_out"] == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in whole.rglob("*"))


def test_nothing_but_a_backup_of_this_journal_is_written_over(site: Paging, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "summer.jpg").touch()
    refused = command("backup", tmp_path / "photos", "--config", site.config)
    assert (refused.exit_code, "summer.jpg and no backup" in refused.output) == (2, True)
    other = installation(tmp_path / "other", rounds=1)
    other.read("inc1.temp", 35.0, 501)
    target = tmp_path / "backup"
    command("backup", target, "--config", other.config)
    other.close()
    before = copied(target)
    refused = command("backup", target, "--config", site.config)
    assert (refused.exit_code, "another journal" in refused.output) == (2, True)
    assert copied(target) == before


def test_without_a_state_that_can_be_read_the_journal_is_backed_up(site: Paging, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    site.close()
    for content in (b"", bytes(range(256)) * 64):
        (site.data_dir / "state.db").write_bytes(content)
        done = command("backup", target, "--data-dir", site.data_dir)
        assert done.exit_code == 0, done.output
        assert (copied(target), manifest_of(target)["state"]) == (rows_of(site.data_dir / "journal.db"), "")
    assert command("restore", target, "--data-dir", tmp_path / "restored").exit_code == 0


def test_a_share_that_is_not_mounted_is_not_taken_for_an_empty_one(site: Paging, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    command("backup", target, "--config", site.config)
    target.rename(tmp_path / "unmounted")
    target.mkdir()
    for arguments in ((), ("--new",)):
        done = command("backup", target, "--config", site.config, *arguments)
        assert done.exit_code == (0 if arguments else 2), done.output
        assert bool(arguments) or "is the share mounted?" in done.output


def test_a_broken_journal_is_shipped_up_to_where_it_is_whole(site: Paging, tmp_path: Path) -> None:
    path = site.data_dir / "journal.db"
    good = rows_of(path)
    change(path, "update commits set body = x'00' where seq = 20")
    done = command("backup", tmp_path / "backup", "--config", site.config)
    assert (done.exit_code, "entry 20 does not follow" in done.output) == (1, True)
    assert copied(tmp_path / "backup") == good[:19]


@pytest.mark.parametrize("damage", ["cut", "changed", "hash", "configuration"])
def test_a_damaged_backup_is_not_proven(site: Paging, tmp_path: Path, damage: str) -> None:
    target = tmp_path / "backup"
    command("backup", target, "--config", site.config)
    part, manifest = next(target.glob("journal-*")), target / "manifest.json"
    content = bytearray(part.read_bytes())
    if damage == "cut":
        part.write_bytes(content[: len(content) // 2])
    elif damage == "changed":
        content[len(content) // 3] ^= 1
        part.write_bytes(content)
    elif damage == "hash":
        head = manifest_of(target)["journal"]["head"]
        manifest.write_text(manifest.read_text().replace(head, head[::-1]))
    else:
        (target / "configuration" / "rules.yaml").write_text("rules: []\n")
    proven = command("verify", "--backup", target)
    assert proven.exit_code == 1, proven.output
    assert "journal: WRONG" in proven.output


def test_an_upgrade_that_judges_otherwise_is_seen_on_a_backup(site: Paging, tmp_path: Path) -> None:
    """As if a new version found other excursions: what is on record was made by the old one."""
    target = tmp_path / "backup"
    command("backup", target, "--config", site.config)
    recorded = next(target.glob("state-*.db"))
    with sqlite3.connect(recorded) as connection:
        connection.execute("update excursions set peak = peak + 1 where peak is not null")
    proven = command("verify", "--backup", target)
    assert proven.exit_code == 1
    assert "excursions: WRONG" in proven.output


def test_doctor_knows_how_old_a_backup_is(site: Paging, tmp_path: Path) -> None:
    now = 10**9 * 1_800_000_000
    assert [finding.verdict for finding in backups(site.data_dir, "production", now)] == ["warning"]
    command("backup", tmp_path / "backup", "--config", site.config)
    told = command("doctor", "--config", site.config).output
    assert f"{tmp_path / 'backup'} has" in told
    assert [finding.verdict for finding in backups(site.data_dir, "production", now * 2)] == ["warning"]


def test_it_says_what_it_cannot_find(site: Paging, tmp_path: Path) -> None:
    assert command("verify", "--backup", tmp_path).exit_code == 2
    assert command("backup", tmp_path / "b", "--data-dir", tmp_path / "nothing").exit_code == 2
    shutil.copytree(site.data_dir, tmp_path / "copy")
    assert command("backup", tmp_path / "b", "--data-dir", tmp_path / "copy").exit_code == 0
    assert not (tmp_path / "b" / "configuration").exists()
