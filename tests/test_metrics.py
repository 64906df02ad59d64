"""/metrics is what docs/metrics.md says, and what the shipped alerts and their runbook speak of."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML
from starlette.testclient import TestClient

from dashboards.app import build_app
from dashboards.counts import Counts, MachineCounts
from dashboards.metrics import metrics_text
from dashboards.traffic import Traffic
from historian.vitals import HistorianVitals
from rules.rule import PRIORITIES
from rules.rule_sections import Priority
from tests.support.metrics import ALERTS, DOCS, Families, documented, families
from tests.support.monitor import FakeMonitor
from tests.support.prometheus import SHIPPED

PROMETHEUS_OWN = {"up"}


class FullMonitor(FakeMonitor):
    """Has everything that there may be."""

    def counts(self) -> Counts:
        machine = MachineCounts(1, 2, 3, {"journal.db": 4}, 5.0, 6)
        return replace(super().counts(), historian=HistorianVitals("em", alive=True, errors=(("own", 2),)), machine=machine)


def told(monitor: FakeMonitor, traffic: Traffic | None = None) -> Families:
    """Type and labels of every family."""
    traffic = traffic or Traffic()
    traffic.by_code[200] += 1
    return families(metrics_text(monitor, traffic)[0].decode())


def test_the_table_in_the_documentation_is_what_there_is() -> None:
    assert documented() == told(FullMonitor())


def test_every_help_text_is_a_sentence_and_every_name_has_its_unit() -> None:
    for family in text_string_to_metric_families(metrics_text(FullMonitor(), Traffic())[0].decode()):
        assert family.documentation.endswith("."), family.name
        assert not re.search(r"(milli|micro|nano)s|minutes|percent|_(ms|ns|kb|mb)\b", family.name), family.name


def test_what_cannot_be_told_is_left_out_and_the_rest_is_there() -> None:
    class Blind(FakeMonitor):
        def counts(self) -> Counts:
            return replace(super().counts(), alarms=None, pages=None, failing={"state": True})

    there, missing = told(Blind()), set(documented()) - set(told(Blind()))
    assert "renrum_readings_received_total" in there
    hidden = {name for name in missing if not name.startswith(("renrum_historian", "renrum_disk", "renrum_ballast"))}
    assert hidden == {"renrum_alarms"} | {f"renrum_outbox_{what}" for what in ("waiting", "oldest_age_seconds")} | {
        f"renrum_outbox_{what}_total" for what in ("attempts", "failures", "sent")
    }


def test_labels_have_all_their_values_from_the_first_scrape_on() -> None:
    assert get_args(Priority) == PRIORITIES
    text = metrics_text(FakeMonitor(), Traffic())[0].decode()
    for sample in (
        'renrum_alarms{priority="low",state="unacknowledged"} 0.0',
        'renrum_readings_quarantined_total{reason="clock_ahead"} 0.0',
        'renrum_link_events_total{event="session_lost"} 0.0',
        'renrum_points{state="stale"} 0.0',
    ):
        assert sample in text


def test_both_formats_can_be_read() -> None:
    client = TestClient(build_app(FullMonitor()), "http://127.0.0.1:8480")
    reply = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert "openmetrics" in reply.headers["content-type"]
    assert {family.name for family in open_metrics(reply.text)} >= {"renrum_readings_received", "renrum_publish_to_page_seconds"}  # type: ignore[no-untyped-call]
    assert "openmetrics" not in client.get("/metrics").headers["content-type"]


def test_requests_are_counted_by_what_they_were_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = FakeMonitor()
    client = TestClient(build_app(monitor), "http://127.0.0.1:8480", raise_server_exceptions=False)
    client.get("/healthz")
    client.get("/nowhere")
    monkeypatch.setattr(monitor, "health", lambda: 1 / 0)
    assert client.get("/healthz").status_code == 500
    text = client.get("/metrics").text
    for code in (200, 404, 500):
        assert f'renrum_http_requests_total{{code="{code}"}} 1.0' in text
    assert "renrum_http_request_seconds_count 3.0" in text


# The alerts


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_speaks_of_metrics_that_there_are(alert: str) -> None:
    rule = ALERTS[alert]
    expression = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', "", rule["expr"])
    names = set(re.findall(r"\b(?:renrum|process)_\w+|\bup\b", expression))
    there = {
        sample.name
        for family in text_string_to_metric_families(metrics_text(FullMonitor(), Traffic())[0].decode())
        for sample in family.samples
    }
    assert names <= there | PROMETHEUS_OWN | {"renrum_http_requests_total"}
    assert bool(names) == (alert != "RenrumWatchdog")
    for metric, label, value in re.findall(r'(\w+)\{(\w+)="(\w+)"', rule["expr"]):
        if label != "job":
            assert f'{metric}{{{label}="{value}"' in metrics_text(FullMonitor(), Traffic())[0].decode()


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_is_the_case_and_leads_to_its_section_of_the_runbook(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "none")
    assert all(rule["annotations"][text].endswith(".") for text in ("summary", "description"))
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{alert.lower()}"
    assert f"\n### {alert}\n" in (DOCS / "runbook.md").read_text()


def test_the_documents_speak_of_alerts_that_there_are() -> None:
    for file in ("metrics.md", "runbook.md"):
        assert set(re.findall(r"\bRenrum[A-Z]\w+", (DOCS / file).read_text())) <= set(ALERTS), file
    assert set(re.findall(r"^### (\w+)$", (DOCS / "runbook.md").read_text(), re.MULTILINE)) == set(ALERTS)


def test_every_alert_was_seen_to_fire_and_not_to_fire() -> None:
    checks = [check for test in YAML().load(SHIPPED / "alerts_test.yml")["tests"] for check in test.get("promql_expr_test", ())]
    for alert in ALERTS:
        found = {len(check["exp_samples"]) for check in checks if f'alertname="{alert}"' in check["expr"]}
        assert found == ({1} if alert == "RenrumWatchdog" else {0, 1}), alert
