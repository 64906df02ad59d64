"""The feed beside a bare client with ready-made lines and the same InfluxDB; how long an alarm takes with InfluxDB up, down and stuck."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
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
from historian.progress import FILE, Progress
from historian.sender import Writes
from historian.target import Target
from ingest.mqtt.broker import mosquitto_binary
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.historian.feeding import DataDir, side_by_side
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
    """Feed and bare client write by write in turn, each into a bucket of its own, so that other work on the machine slows both alike."""
    points, rounds = bench.size(100, 20), bench.size(3600, 10)
    folder = bench.place("historian")
    configuration = site(folder, points)
    installed = Installation.open(folder / "data", points)
    installed.configure(configuration)
    for _ in range(0, rounds, 10):
        installed.arrive(10, points)
        installed.step()
    ours, theirs, lines = [], [], 0
    with closing(DataDir(folder / "data", configuration)) as sources, _server(bench, "rates") as server:
        for turn in range(bench.size(5, 1)):
            with Influx(_bucket(server, f"fed-{turn}")) as influx, Influx(_bucket(server, f"bare-{turn}")) as bare:
                fed_s, bare_s, lines = _fed(sources, folder / FILE, influx, bare)
            ours.append(lines / fed_s)
            theirs.append(lines / bare_s)
    installed.close()
    share = ratio(ours, theirs)
    note = f"of a bare client that sends the same lines ready-made, {number(median(theirs))}/s; {spread(ours)}"
    yield Figure("lines out of the journal into InfluxDB", median(ours), "lines/s", note, Limit(share, SHARE_MIN, at_least=True))
    yield Figure("  readings among them", points * rounds, "lines", f"of {lines:,} with those of minutes, hours and points")


def _fed(sources: DataDir, file: Path, influx: Influx, bare: Influx) -> tuple[float, float, int]:
    """Seconds of a feed from the journal's beginning to its end, seconds of its texts written once more, its lines."""
    for old in file.parent.glob(f"{FILE}*"):
        old.unlink()
    texts: list[bytes] = []
    with closing(Progress(file)) as progress, side_by_side() as beside:
        begun = time.perf_counter()
        feed = Feed(sources, Noted(influx, texts), progress, "bench", SystemClock().now_ns, beside)
        fed_s, bare_s, more = time.perf_counter() - begun, 0.0, True
        while more:
            begun = time.perf_counter()
            more = feed.turn()
            sent = time.perf_counter()
            for text in texts:
                bare.write(text)
            fed_s, bare_s = fed_s + sent - begun, bare_s + time.perf_counter() - sent
            texts.clear()
        assert feed.sender.refused == feed.sender.beyond == 0
        return fed_s, bare_s, feed.sender.written


@dataclass(frozen=True, slots=True)
class Noted:
    """Implements Writes: hands on, and notes in `texts`."""

    writes: Writes
    texts: list[bytes]

    def write(self, text: bytes) -> None:
        self.writes.write(text)
        self.texts.append(text)


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
    rules = {"rules": [{"id": "hot", "kind": "limit", "level": "action", "priority": "critical", "above": 30}]}
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
