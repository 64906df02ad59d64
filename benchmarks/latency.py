"""From the publication of a reading to its page at a webhook, while 2,000 points publish once a second each."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit
from facility.wire import Published, encode_reading, topic_of
from ingest.mqtt.broker import mosquitto_binary
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.pipeline import Pipeline
from tests.support.webhook import webhook_server

EVALUATE_MS = 1000
SETTLING_MS = 0
"""No limit of this site depends on its room's state, which is what settling waits for."""
BEYOND_MS = 200
WAIT_S = 60.0
SPREAD = 7919
"""Prime: the points that alarm one after another publish at all moments of the second."""


def run(bench: Bench) -> Iterator[Figure]:
    """The publisher is a process of its own; a reading's time is the moment in which it is published."""
    if mosquitto_binary() is None:
        yield Figure("latency: left out, mosquitto is not installed", 0, "ms")
        return
    points, alarms, a_second = bench.size(2000, 20), bench.size(300, 4), bench.size(5, 2)
    folder = bench.place("latency")
    with webhook_server() as hook:
        pipeline = Pipeline(_site(folder, points, hook.url), SystemClock())
        pipeline.start()
        try:
            _until(lambda: (session := pipeline.receiver.session) is not None and session.drained, "no link to the broker")
            arguments = (folder, pipeline.mqtt_url, alarms, a_second)
            publisher = multiprocessing.get_context("spawn").Process(target=publish, args=arguments)
            publisher.start()
            publisher.join()
            assert publisher.exitcode == 0
            _until(lambda: pipeline.count("outbox where sent_at is not null") >= alarms, "an alarm was not paged")
            with closing(pipeline._reader()) as store:
                joined = "outbox o join alarms a on a.id = o.alarm join excursions e on e.id = a.excursion"
                took_ms = [row[0] for row in store.rows(f"select (o.tried_at - e.onset) / 1e6 from {joined}")]
        finally:
            pipeline.stop()
        assert len(hook.posted) == len(took_ms) == alarms, f"{len(hook.posted)} pages of {alarms} alarms"
    median, p99 = (float(value) for value in np.percentile(took_ms, (50, 99)))
    note = f"{alarms} alarms, {points:,} points at 1 Hz; median {median:,.0f}, at most {max(took_ms):,.0f} ms"
    yield Figure("from a publication to its page, p99", p99, "ms", note, Limit(p99, EVALUATE_MS + SETTLING_MS + BEYOND_MS, " ms"))


def publish(folder: Path, url: str, alarms: int, a_second: int) -> None:
    """A reading of each point in each second; so many of them a second go out of their limit, and stay there."""
    facility = load_configuration(folder / "renrum.yaml", {}).facility
    topics = [topic_of(facility.site.id, point) for point in facility.points]
    leaves = {number * SPREAD % len(topics): 3 + number // a_second for number in range(alarms)}
    client = Client(CallbackAPIVersion.VERSION2)
    host, _, port = url.removeprefix("mqtt://").partition(":")
    client.connect(host, int(port))
    client.loop_start()
    begun = time.monotonic()
    for second in range(max(leaves.values()) + 2):
        for number, topic in enumerate(topics):
            ahead = begun + second + number / len(topics) - time.monotonic()
            if ahead > 0.005:  # in small bursts: a sleep for each message would take more than the message
                time.sleep(ahead)
            value = 99.0 if second >= leaves.get(number, second + 1) else 20.0
            sent = client.publish(topic, encode_reading(Published(time.time_ns(), value)), 1)
    sent.wait_for_publish(WAIT_S)
    client.disconnect()
    client.loop_stop()


def _site(folder: Path, points: int, hook: str) -> Configuration:
    """Points with a limit that raises at once; steps once a second, as they come."""
    listed = [{"id": f"p{number}", "quantity": "temperature", "unit": "degC", "period": "1s"} for number in range(points)]
    facility = {"site": {"id": "bench", "name": "Bench"}, "rooms": [{"id": "r", "name": "Room", "points": listed}]}
    rules = {"rules": [{"id": "hot", "kind": "limit", "level": "action", "priority": "critical", "above": 30}]}
    main = {
        "environment": "validation", "facility": "facility.yaml", "rules": "rules.yaml", "oncall": "oncall.yaml",
        "evaluate_every": f"{EVALUATE_MS}ms", "mqtt": {"url": "embedded"}, "http": {"port": 0},
    }  # fmt: skip
    oncall = {"channels": {"hook": {"kind": "webhook", "url": hook}}}
    for name, content in (("facility", facility), ("rules", rules), ("oncall", oncall), ("renrum", main)):
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    return load_configuration(folder / "renrum.yaml", {})


def _until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)
