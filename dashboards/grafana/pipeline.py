"""The health of the pipeline itself, from Prometheus: every stage's rate, lag and errors, and whether the sum closes."""

from __future__ import annotations

from grafana_foundation_sdk.builders import common as c
from grafana_foundation_sdk.builders import dashboard as d
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.models import common as cm

from dashboards.grafana.look import ACTION, ALERT, GOOD, UNSURE
from dashboards.grafana.outline import Outline
from dashboards.grafana.page import Cell, Section, page
from dashboards.grafana.panels import plain_trend, steps, texts
from dashboards.grafana.sources import PROMETHEUS_SOURCE, Prom
from dashboards.trend_links import PIPELINE

_OURS = '{job="renrum"}'  # the name of the job in deploy/prometheus/prometheus.yml
UP = {"0": ("Down", ACTION), "1": ("Up", GOOD)}
QUANTILES = ((0.5, "half within"), (0.99, "99 % within"))


def pipeline(outline: Outline) -> d.Dashboard:
    """In the order that data flows."""
    return page(
        outline,
        PIPELINE,
        "Pipeline health",
        "How the pipeline itself fares, stage by stage. docs/metrics.md says what each metric means and what to do when it is off.",
        [
            Section("Now", (
                _stat("Service", f"min(up{_OURS})", UP),
                _stat("Broker link", "min(renrum_link_up)", UP),
                _stat("Parts that fail", "sum(renrum_failing)", bad_from=1),
                _stat("Sum of readings open", "sum(renrum_readings_unaccounted)", bad_from=1),
                _stat("Pages waiting", "sum(renrum_outbox_waiting)", bad_from=1),
                _stat("Historian behind", "max(renrum_historian_lag_seconds)", unit="s", bad_from=300),
            )),
            Section("Readings", (
                _rates("Readings", {"received": "renrum_readings_received_total", "stored": "renrum_readings_stored_total",
                                    "judged": "renrum_readings_judged_total"}),
                _trend("Not stored", {f"sum by (reason) ({_rate('renrum_readings_quarantined_total')})": "quarantine: {{reason}}",
                                      f"sum({_rate('renrum_readings_duplicate_total')})": "duplicate",
                                      f"sum({_rate('renrum_readings_known_lost_total')})": "known lost"}, "suffix: /s"),
                _quantiles("Age when stored", "renrum_reading_age_seconds"),
                _quantiles("From reading to page", "renrum_publish_to_page_seconds"),
            )),
            Section("Stages", (
                _quantiles("Batch: decode, admit, make durable", "renrum_ingest_batch_seconds"),
                _quantiles("Journal: one entry durable", "renrum_journal_append_seconds"),
                _quantiles("Step of judging", "renrum_step_duration_seconds"),
                _trend("Behind", {"max(renrum_step_lag_seconds)": "judging", "max(renrum_step_age_seconds)": "since a step ended",
                                  "max(renrum_historian_lag_seconds)": "historian",
                                  "max(renrum_outbox_oldest_age_seconds)": "oldest page"}, "s"),
                _trend("Waiting", {"max(renrum_step_backlog_entries)": "entries to judge",
                                   "max(renrum_historian_windows)": "minutes and hours to sum up",
                                   "sum(renrum_outbox_waiting)": "pages"}, "none"),
                _rates("Failures", {"journal": "renrum_journal_failures_total", "steps": "renrum_step_failures_total",
                                    "ingest restarts": "renrum_ingest_restarts_total", "pages": "renrum_outbox_failures_total",
                                    "historian": "renrum_historian_failures_total",
                                    "refused by the historian": "renrum_historian_refused_total"}),
            )),
            Section("Alarms and points", (
                _trend("Points by state", {"sum by (state) (renrum_points)": "{{state}}"}, "none"),
                _trend("Alarms", {"sum by (state) (renrum_alarms)": "{{state}}", "sum(renrum_excursions_open)": "open excursions"}, "none"),
            )),
            Section("Machine", (
                _trend("Disk", {"min(renrum_disk_free_bytes)": "free", "sum by (file) (renrum_file_bytes)": "{{file}}"}, "bytes"),
                _trend("Memory", {f"sum(process_resident_memory_bytes{_OURS})": "resident"}, "bytes"),
                _trend("Processor", {f"sum({_rate('process_cpu_seconds_total' + _OURS)})": "seconds a second"}, "none"),
                _trend("Clock against Prometheus", {"max(renrum_clock_seconds - timestamp(renrum_clock_seconds))": "ahead"}, "s"),
            )),
        ],
        time="now-6h",
        variables=(),
        annotated=False,
    )  # fmt: skip


def _stat(title: str, expression: str, words: dict[str, tuple[str, str]] | None = None, unit: str = "none", bad_from: float = 0) -> Cell:
    panel = (
        Stat()
        .title(title)
        .datasource(PROMETHEUS_SOURCE)
        .with_target(Prom(expression, instant=True))
        .unit(unit)
        .no_value("–")
        .graph_mode(cm.BigValueGraphMode.NONE)
        .reduce_options(c.ReduceDataOptions().values(False).calcs(["lastNotNull"]))
        .thresholds(steps((None, GOOD), (bad_from, ALERT) if bad_from else (None, UNSURE)))
    )
    return Cell(panel.mappings(texts(words)) if words else panel, 4, 4)


def _trend(title: str, series: dict[str, str], unit: str) -> Cell:
    """Expressions over time, each with its legend."""
    panel: TimeSeries = plain_trend(title, unit).display_name("").datasource(PROMETHEUS_SOURCE)
    for number, (expression, legend) in enumerate(series.items()):
        panel.with_target(Prom(expression, legend, chr(ord("A") + number)))
    return Cell(panel)


def _rate(counter: str) -> str:
    return f"rate({counter}[$__rate_interval])"


def _rates(title: str, counters: dict[str, str]) -> Cell:
    """Counters by name, as rates."""
    return _trend(title, {f"sum({_rate(metric)})": name for name, metric in counters.items()}, "suffix: /s")


def _quantiles(title: str, histogram: str) -> Cell:
    return _trend(title, {f"histogram_quantile({q}, sum by (le) ({_rate(f'{histogram}_bucket')}))": words for q, words in QUANTILES}, "s")
