"""What a running service tells of itself: while all is well, when a thread dies, while it stops, and with 10,000 points."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from dashboards.counts import Counts
from dashboards.metrics import metrics_text
from dashboards.monitor import MonitorUnavailable
from dashboards.traffic import Traffic
from ingest.message import Message
from service.clock import SystemClock
from service.health.machine import machine_of
from service.health.watch import ENDED
from service.pipeline import Pipeline
from service.receiving import BALLAST_BYTES
from tests.support.archive_data import example_configuration
from tests.support.watched import FILES, Watched
from tests.test_pipeline import on_port

SCRAPE_S = 0.05
POINTS = 10_000


def test_a_thread_that_dies_and_a_service_that_stops_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline(on_port(example_configuration(tmp_path / "site"), 0), SystemClock())
    pipeline.start()
    told: list[str] = []
    try:
        counts = pipeline.monitor.counts()
        assert counts.threads.keys() >= {"ingest", "steps", "couriers", "watchdog", "http"}
        assert all(counts.threads.values())
        assert not any(counts.failing.values())
        assert counts.machine.ballast == BALLAST_BYTES
        assert counts.journal.appends.count > 0
        monkeypatch.setattr(pipeline.emergency, "page", lambda reason, at, do: told.append(reason))
        assert pipeline._server is not None
        pipeline._server.should_exit = True
        until(lambda: not pipeline.monitor.counts().threads["http"] and told)
        assert set(told) == {ENDED.format("http")}
    finally:
        pipeline.stop()
    assert set(told) == {ENDED.format("http")}, "threads that end at a stop are no news"
    begun = time.monotonic()
    with pytest.raises(MonitorUnavailable, match="is stopping"):
        pipeline.monitor.acknowledge("A1", by="Anna", comment="")
    assert time.monotonic() - begun < 1.0


def test_an_acknowledgement_during_the_stop_is_answered_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline(on_port(example_configuration(tmp_path / "site"), 0), SystemClock())
    pipeline.start()
    held = threading.Event()
    monkeypatch.setattr(pipeline.monitor, "settle", lambda: held.wait(20))  # between the last step and the end of HTTP
    stopping = threading.Thread(target=pipeline.stop)
    stopping.start()
    until(lambda: not pipeline.monitor.counts().threads["steps"])
    request = urllib.request.Request(
        f"{pipeline.url}api/v1/alarms/A1/acknowledge", json.dumps({"by": "Anna"}).encode(), {"Content-Type": "application/json"}
    )
    begun = time.monotonic()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert (refused.value.code, time.monotonic() - begun < 5) == (503, True)
    assert "stopping" in json.load(refused.value)["detail"]
    held.set()
    stopping.join(30)
    assert not stopping.is_alive()


def test_counts_go_on_while_the_state_cannot_be_read(tmp_path: Path) -> None:
    site = Watched(tmp_path)
    assert site.monitor.counts().pages is not None
    site.store.close()
    for file in site.folder.glob("state.db*"):
        file.write_bytes(b"no database" * 1000)
    site.clock.turn(10**10)
    found: Counts = site.monitor.counts()
    assert (found.alarms, found.pages, found.failing["state"]) == (None, None, True)
    assert found.sums.closes


def test_the_machine_is_told_as_far_as_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"x" * 10)
    (tmp_path / "journal.db-wal").write_bytes(b"x" * 5)
    found = machine_of(tmp_path, 7 * 10**9, 2)
    assert (found.files, found.ballast, found.clock_s, found.clock_steps) == ({"journal.db": 15}, 0, 7.0, 2)
    assert 0 < (found.disk_free or 0) < (found.disk_size or 0)
    gone = machine_of(tmp_path / "unmounted", 0, 0)
    assert (gone.disk_free, gone.ballast, gone.files) == (None, None, {})


def test_a_scrape_of_ten_thousand_points_is_short_and_has_no_line_for_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = large(tmp_path, monkeypatch)
    now = site.clock.at // 10**9
    site.intake.accept(
        [Message(f"renrum/lab/cp1/cp1.t{n}", f'{{"time":{now},"value":21,"seq":{n}}}'.encode(), n) for n in range(POINTS)], 0
    )
    site.step()
    took = []
    for _ in range(7):
        site.clock.turn(10**10)  # nothing may be remembered from the scrape before
        begun = time.perf_counter()
        text = metrics_text(site.monitor, Traffic())[0].decode()
        took.append(time.perf_counter() - begun)
    assert f'renrum_points{{state="normal"}} {float(POINTS)}' in text
    assert (text.count("\n") < 600, "cp1.t" in text) == (True, False)
    assert min(took) < SCRAPE_S, took


def large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A site of one room with POINTS thermometers."""
    facility = "site: {id: lab, name: Laboratory, timezone: Europe/Stockholm}\nrooms: [{id: cp1, name: Hall, points_file: points.csv}]\n"
    monkeypatch.setitem(FILES, "facility.yaml", facility)
    monkeypatch.setitem(
        FILES, "points.csv", "id,quantity,unit,period\n" + "".join(f"cp1.t{n},temperature,degC,30s\n" for n in range(POINTS))
    )
    monkeypatch.setitem(
        FILES, "rules.yaml", "rules: [{id: temp, kind: limit, select: {quantity: temperature}, level: action, above: 22}]\n"
    )
    return Watched(folder)


def until(true: object, within_s: float = 10.0) -> None:
    assert callable(true)
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
