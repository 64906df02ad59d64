"""`renrum backup --follow`: killed at any moment, its target away and back; what is there is a prefix whose chain is whole."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from ingest.journal.copy import CopyEnd, read_copy
from ingest.journal.journal import Entry, JournalReader
from service.clock import SystemClock
from service.continuity.backup import Source
from service.continuity.manifest import BackupUnusable
from service.continuity.shipping import AWAY, SHIPPED, Follower, standings
from service.doctor.backup import FOLLOWED_NS, backups
from tests.support.continuity import command, copied
from tests.support.installation import Paging, installation
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.nursery import nursery
from tests.support.pump import Pump, messages_of
from tests.support.recordings import SOLARCAST, chance
from tests.support.service import Service
from tests.support.verifying import rows_of


class Shipping:
    """A follower as a process of its own."""

    def __init__(self, service: Service, target: Path) -> None:
        self._service, self._target = service, target
        self._log = target.with_name("follower.log")
        self._pid = 0

    def start(self) -> None:
        arguments = ["backup", "--follow", str(self._target), "--every", "100ms", "--config", str(self._service.config)]
        self._pid = nursery().born(["--", *arguments], self._log)

    def end(self, number: signal.Signals) -> int:
        """Its exit code."""
        os.kill(self._pid, number)
        deadline = time.monotonic() + 20
        while (code := nursery().ended(self._pid)) is None:
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.01)
        return code


def prefix(backup: Path) -> list[Entry]:
    """The whole entries of a backup, whatever stands behind them."""
    return list(read_copy(backup, CopyEnd()))


def journal(service: Service) -> list[Entry]:
    with closing(JournalReader(service.data_dir / "journal.db")) as reader:
        return list(reader.entries())


def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@needs_mosquitto
def test_under_load_killed_and_its_target_away_and_back(tmp_path: Path) -> None:
    dice: random.Random = chance()
    target, away = tmp_path / "share" / "backup", tmp_path / "away"
    target.parent.mkdir()
    with Mosquitto(tmp_path / "broker") as broker, Service(tmp_path / "site", SOLARCAST.example, broker.url) as service:
        service.until_listening()
        shipping = Shipping(service, target)
        shipping.start()
        until(lambda: (target / "manifest.json").exists())
        pump = Pump(broker.port, messages_of(SOLARCAST), 8.0).start()
        for story in range(8):
            time.sleep(dice.uniform(0.0, 0.6))
            if story % 4 == 3:
                target.rename(away)
                target.mkdir()  # where the share was mounted is an empty folder now
                time.sleep(0.5)
                assert list(target.iterdir()) == []
                target.rmdir()
                away.rename(target)
            else:
                shipping.end(signal.SIGKILL)
                there = prefix(target)
                assert there == journal(service)[: len(there)]
                shipping.start()
        pump.join()
        service.until_stored(SOLARCAST.stored(tmp_path / "stored").total())
        until(lambda: len(prefix(target)) >= len(there))
        service.stop()
        assert shipping.end(signal.SIGTERM) == 0
        assert copied(target) == journal(service)
    proven = command("verify", "--backup", target)
    assert proven.exit_code == 0, proven.output
    assert "excursions: identical" in proven.output


# Its rounds, one by one


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Paging]:
    place = installation(tmp_path / "site", rounds=1)
    yield place
    place.close()


@contextmanager
def follower(site: Paging, target: Path) -> Iterator[Follower]:
    with closing(Follower(Source(site.data_dir, site.folder), target, SystemClock(), said=lambda words: None)) as ships:
        yield ships


def test_its_lag_is_visible(site: Paging, tmp_path: Path) -> None:
    target, now = tmp_path / "backup", SystemClock().now_ns()
    with follower(site, target) as ships:
        ships.round()
        assert [finding.verdict for finding in backups(site.data_dir, "production", now)] == ["ok"]
        target.rename(tmp_path / "away")
        for second in range(700, 710):
            site.read("inc1.temp", 37.0, second)
        ships.round()
        standing = standings(site.data_dir)[0]
        assert (standing.state, standing.issued - standing.entries) == (AWAY, 10)
        found = next(backups(site.data_dir, "production", standing.looked_at))
        assert (found.verdict, "10 entries behind" in found.words, "share mounted" in found.words) == ("warning", True, True)
        found = next(backups(site.data_dir, "production", standing.looked_at + FOLLOWED_NS + 1))
        assert (found.verdict, "has ended or hangs" in found.words) == ("problem", True)
        (tmp_path / "away").rename(target)
        ships.round()
        assert standings(site.data_dir)[0].state == SHIPPED
        assert copied(target) == rows_of(site.data_dir / "journal.db")
        ships.round(last=True)
        assert "was stopped" in next(backups(site.data_dir, "production", now)).words


def test_a_target_that_goes_while_its_manifest_is_written_keeps_it(site: Paging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "backup"

    def unmounted(*arguments: object, **named: object) -> bytes:
        if not (tmp_path / "away").exists():
            target.rename(tmp_path / "away")
            target.mkdir()
        return b"{}"

    with follower(site, target) as ships:
        ships.round()
        site.read("inc1.temp", 37.0, 700)
        monkeypatch.setattr("msgspec.json.format", unmounted)
        ships.round()
        assert (ships.standing.state, list(target.iterdir())) == (AWAY, [])


def test_a_full_target_is_waited_for(site: Paging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with follower(site, tmp_path / "backup") as ships:
        ships.round()
        site.read("inc1.temp", 37.0, 700)
        with monkeypatch.context() as context:
            context.setattr("os.fsync", full)
            ships.round()
        assert ships.standing.state == AWAY
        ships.round()
    assert copied(tmp_path / "backup") == rows_of(site.data_dir / "journal.db")


def test_without_a_state_that_can_be_read_the_journal_is_shipped(site: Paging, tmp_path: Path) -> None:
    site.close()
    (site.data_dir / "state.db").write_bytes(bytes(range(256)) * 64)
    with follower(site, tmp_path / "backup") as ships:
        ships.round()
        assert ships.standing.state == SHIPPED
    assert copied(tmp_path / "backup") == rows_of(site.data_dir / "journal.db")


def test_two_do_not_write_one_target(site: Paging, tmp_path: Path) -> None:
    with follower(site, tmp_path / "backup") as first, follower(site, tmp_path / "backup") as second:
        first.round()
        with pytest.raises(BackupUnusable, match="another `renrum backup`"):
            second.round()


def test_a_stop_ships_what_is_left_and_says_whether_all_is_there(site: Paging, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with follower(site, tmp_path / "backup") as ships:
        assert ships.run(stop)
    assert copied(tmp_path / "backup") == rows_of(site.data_dir / "journal.db")
    (tmp_path / "backup").rename(tmp_path / "away")
    with follower(site, tmp_path / "backup") as ships:
        assert not ships.run(stop)
