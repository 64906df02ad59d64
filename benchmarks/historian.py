"""The feed beside a bare client with ready-made lines and the same InfluxDB; how long an alarm takes with InfluxDB up, down and stuck."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit, number, ratio, spread
from benchmarks.history import Installation
from benchmarks.plant import site
from facility.secret import Secret
from facility.wire import Published, encode_reading, topic_of
from historian.feed import Feed
from historian.influx import Influx
from historian.lines import BATCH_LINES, Batch, batches, heads
from historian.progress import FILE, Progress
from historian.schema import READING
from historian.target import Target
from ingest.broker import mosquitto_binary
from ingest.entries import INGEST, gathered, ingest_body
from service.clock import SystemClock
from service.configuration import Configuration, load_configuration
from service.feeding import DataDir, side_by_side
from service.pipeline import Pipeline
from tests.support.influx import BINARY
from tests.support.influx import Influx as Server

SHARE_MIN = 0.8
LATER_MAX = 1.25
"""An alarm may take so many times as long as with InfluxDB up: less could not be told from chance."""
STATES = ("up", "down", "stuck")
WAIT_S = 30.0
BESIDE = 50
"""Readings of other points with each alarm."""


def run(bench: Bench) -> Iterator[Figure]:
    """Needs influxd; the alarms need a broker, too."""
    if BINARY is None:
        yield Figure("historian: left out, influxd is not installed", 0, "lines/s")
        return
    yield from _rates(bench)
    if mosquitto_binary() is not None:
        yield from _latencies(bench)


def _rates(bench: Bench) -> Iterator[Figure]:
    """Feed and bare client in turn, each turn into a bucket of its own."""
    points, rounds = bench.size(100, 20), bench.size(3600, 10)
    folder = bench.place("historian")
    configuration = site(folder, points)
    installed = Installation.open(folder / "data", points)
    installed.configure(configuration)
    for _ in range(0, rounds, 10):
        installed.arrive(10, points)
        installed.step()
    readings = points * rounds
    ours, theirs, lines = [], [], 0
    with closing(DataDir(folder / "data", configuration)) as sources, _server(bench, "rates") as server:
        ready = _ready(sources, [point.id for point in configuration.facility.points], configuration.facility.site.id)
        for turn in range(bench.size(5, 1)):
            theirs.append(readings / _bare(_bucket(server, f"bare-{turn}"), ready))
            took_s, lines = _fed(sources, folder, _bucket(server, f"fed-{turn}"))
            ours.append(readings / took_s)
    installed.close()
    share = ratio(ours, theirs)
    note = f"of a bare client that sends ready-made lines, {number(median(theirs))}/s; {spread(ours)}"
    yield Figure("readings out of the journal into InfluxDB", median(ours), "readings/s", note, Limit(share, SHARE_MIN, at_least=True))
    yield Figure("  lines of minutes, hours, points and excursions with them", lines - readings, "lines")


def _ready(sources: DataDir, points: list[str], site: str) -> list[Batch]:
    entries = list(sources.journal.entries(kinds=(INGEST,)))
    readings = gathered(entries, [ingest_body(entry) for entry in entries])
    return list(batches(heads(READING, points, site), readings, BATCH_LINES))


def _bare(target: Target, ready: list[Batch]) -> float:
    with Influx(target) as influx:
        begun = time.perf_counter()
        for batch in ready:
            influx.write(batch.text)
        return time.perf_counter() - begun


def _fed(sources: DataDir, folder: Path, target: Target) -> tuple[float, int]:
    for file in folder.glob(f"{FILE}*"):
        file.unlink()
    with closing(Progress(folder / FILE)) as progress, Influx(target) as influx:
        begun = time.perf_counter()
        feed = Feed(sources, influx, progress, target.name, SystemClock().now_ns, side_by_side)
        while feed.turn():
            pass
        return time.perf_counter() - begun, feed.sender.written


def _latencies(bench: Bench) -> Iterator[Figure]:
    """From a reading out of its limit to the delivery of its page, with other readings around it; the states of InfluxDB in turn."""
    took: dict[str, list[float]] = {state: [] for state in STATES}
    with _server(bench, "latencies") as server:
        for turn in range(bench.size(3, 1)):
            for state in STATES:
                folder = bench.place(f"alarm-{state}-{turn}")
                target = _bucket(server, f"{state}-{turn}")
                if state == "down":
                    target = replace(target, url="http://127.0.0.1:9")
                took[state] += _paged(folder, target, server if state == "stuck" else None, bench.size(20, 2))
    up = median(took["up"])
    for state in STATES:
        limit = None if state == "up" else Limit(median(took[state]) / up, LATER_MAX)
        yield Figure(f"from a reading to its page, InfluxDB {state}", median(took[state]) * 1e3, "ms", spread(took[state], " s"), limit)


def _paged(folder: Path, target: Target, stuck: Server | None, alarms: int) -> list[float]:
    """Seconds to each page."""
    configuration = _watched(folder, target, alarms)
    pipeline = Pipeline(configuration, SystemClock())
    pipeline.start()
    if stuck is not None:
        stuck.freeze()
    try:
        _until(lambda: (session := pipeline.receiver.session) is not None and session.drained, "no link to the broker")
        client = Client(CallbackAPIVersion.VERSION2)
        host, _, port = pipeline.mqtt_url.removeprefix("mqtt://").partition(":")
        client.connect(host, int(port))
        client.loop_start()
        facility = configuration.facility
        raised = {}
        for alarm in range(alarms):
            for point in facility.points[alarms:]:
                client.publish(topic_of(facility.site.id, point), encode_reading(Published(time.time_ns(), 20.0)), 1)
            point = facility.points[alarm]
            raised[point.id] = time.time_ns()
            client.publish(topic_of(facility.site.id, point), encode_reading(Published(raised[point.id], 99.0)), 1).wait_for_publish(WAIT_S)
            time.sleep(0.11)
        _until(lambda: pipeline.count("outbox where sent_at is not null") >= alarms, "an alarm was not paged")
        with closing(pipeline._reader()) as store:
            sent = dict(store.rows("select a.point, min(o.sent_at) from outbox o join alarms a on a.id = o.alarm group by a.point"))
        client.disconnect()
        client.loop_stop()
    finally:
        if stuck is not None:
            stuck.thaw()
        pipeline.stop()
    return [(sent[point] - at) / 1e9 for point, at in raised.items()]


def _until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


def _watched(folder: Path, target: Target, alarms: int) -> Configuration:
    """Points with a limit that raises at once, others beside them, and ten steps a second."""
    points = [{"id": f"p{number}", "quantity": "temperature", "unit": "degC"} for number in range(alarms + BESIDE)]
    facility = {"site": {"id": "bench", "name": "Bench"}, "rooms": [{"id": "r", "name": "Room", "points": points}]}
    rules = {"rules": [{"id": "hot", "kind": "limit", "level": "action", "select": {"quantity": "temperature"}, "above": 30}]}
    main = {
        "environment": "validation", "facility": "facility.yaml", "rules": "rules.yaml", "oncall": "oncall.yaml", "evaluate_every": "100ms",
        "mqtt": {"url": "embedded"}, "http": {"port": 0},
        "historian": {"influxdb": {"url": target.url, "org": target.org, "bucket": target.bucket}},
    }  # fmt: skip
    oncall = {"channels": {"sink": {"kind": "local", "file": "pages.jsonl"}}}
    for name, content in (("facility", facility), ("rules", rules), ("oncall", oncall), ("renrum", main)):
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    assert target.token is not None
    return load_configuration(folder / "renrum.yaml", {"RENRUM_INFLUX_TOKEN": target.token.reveal()})


@contextmanager
def _server(bench: Bench, name: str) -> Iterator[Server]:
    server = Server(bench.place(f"influxd-{name}"))
    try:
        server.open()
        yield server
    finally:
        server.close()


def _bucket(server: Server, name: str) -> Target:
    server.new_bucket(name)
    return Target(server.url, server.org, name, Secret(server.token))
