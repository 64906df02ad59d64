"""The shipped Prometheus files, by Prometheus' own tools and on a real one that scrapes a running service."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.metrics import ALERTS, documented, families
from tests.support.mosquitto import Mosquitto, needs_mosquitto
from tests.support.prometheus import Prometheus, needs_prometheus, needs_promtool, promtool
from tests.support.pump import Pump, Sent, messages_of
from tests.support.recordings import sawtooth
from tests.support.service import Service


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_shipped_files() -> None:
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


class Site:
    """A service on a port that stays, its broker, and readings that raise alarms."""

    def __init__(self, folder: Path) -> None:
        self.recording = sawtooth(folder / "example", points=2, readings=60)
        self.broker = Mosquitto(folder / "broker")
        self.broker.start()
        self.service = Service(folder / "site", self.recording.example, self.broker.url)
        settings = json.loads(self.service.config.read_text())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            settings["http"]["port"] = probe.getsockname()[1]
        self.address = f"127.0.0.1:{settings['http']['port']}"
        self.service.config.write_text(json.dumps(settings))
        self.service.start()
        self.service.until_listening()

    def publish(self) -> None:
        """Everything that is recorded, and what nobody can read."""
        sent = messages_of(self.recording)
        Pump(self.broker.port, [*sent, Sent(sent[0].topic, b"nothing", 0)], 0.5).start().join()
        self.service.until_stored(len(sent))

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
        return text

    def value(self, name: str, **labels: str) -> float:
        """Of one sample."""
        samples = [sample for family in text_string_to_metric_families(self.metrics()) for sample in family.samples]
        return next(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())

    def close(self) -> None:
        self.service.kill()
        self.broker.kill()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    site.publish()
    yield site
    site.close()


@needs_mosquitto
@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_metrics_of_a_running_service(site: Site) -> None:
    promtool("check", "metrics", given=site.metrics().encode())


@needs_mosquitto
def test_the_metrics_of_a_running_service_are_documented_and_follow_what_happened(site: Site) -> None:
    text = site.metrics()
    there = families(text)
    assert {name for name, found in documented().items() if not name.startswith("renrum_historian")} == set(there)
    assert all(labels == documented()[name][1] for name, (_, labels) in there.items())
    sent, pages = len(messages_of(site.recording)), len(site.service.pages)
    assert pages > 0
    assert site.value("renrum_readings_received_total") == sent + 1
    assert site.value("renrum_readings_stored_total") == site.value("renrum_readings_judged_total") == sent
    assert site.value("renrum_readings_quarantined_total", reason="not_json") == 1
    assert site.value("renrum_readings_unaccounted") == 0
    assert site.value("renrum_messages_received_total") == sent + 1
    assert site.value("renrum_reading_age_seconds_count") == sent
    assert site.value("renrum_outbox_sent_total", target="sink") == pages
    assert site.value("renrum_outbox_waiting", target="sink") == site.value("renrum_outbox_failures_total", target="sink") == 0
    # what is told as one is one page
    assert 0 < site.value("renrum_publish_to_page_seconds_count") <= pages <= site.value("renrum_excursions_raised_total")
    assert site.value("renrum_link_events_total", event="connected") == 1
    assert site.value("renrum_journal_append_seconds_count") >= site.value("renrum_steps_total") > 0
    assert site.value("renrum_step_duration_seconds_count") >= site.value("renrum_steps_total") - 1
    for thread in ("ingest", "steps", "couriers", "watchdog", "http"):
        assert site.value("renrum_thread_up", thread=thread) == 1


@needs_mosquitto
@needs_prometheus
def test_alerts_fire_and_resolve_on_a_real_prometheus(site: Site, tmp_path: Path) -> None:
    stalled = {"RenrumIngestStalled"}  # as nobody publishes any more; warnings may be right too: the recording is old
    with Prometheus(tmp_path / "prometheus", site.address) as prometheus:
        prometheus.until(lambda: "RenrumWatchdog" in prometheus.firing() and prometheus.value("up") == 1)
        prometheus.until(lambda: prometheus.firing("critical") - stalled == set())
        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in rules if rule["health"] != "ok"} == set()
        assert len(rules) == len(ALERTS)

        site.broker.kill()
        prometheus.until(lambda: prometheus.firing("critical") - stalled == {"RenrumLinkDown"})
        site.broker.start()
        prometheus.until(lambda: prometheus.firing("critical") - stalled == set())
        prometheus.until(lambda: "RenrumSessionLost" in prometheus.firing())  # killed, it could not save what it had queued

        site.service.kill()
        prometheus.until(lambda: "RenrumDown" in prometheus.firing())
        site.service.start()
        prometheus.until(lambda: prometheus.firing("critical") - stalled == set())
        assert prometheus.value("renrum_readings_received_total - renrum_readings_stored_total - renrum_readings_duplicate_total"
                                " - sum without (reason) (renrum_readings_quarantined_total)") == 0  # fmt: skip
