"""/metrics: one frozen snapshot of the service in the Prometheus exposition formats.

Names follow the Prometheus conventions: base units, `_total` for counters. Labels take few values: reasons, levels, states, targets;
never a point, a room or an alarm. docs/metrics.md has every name, what it means and what to do; a test compares them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from alerts.lifecycle.kpis import Kpis
from dashboards.counts import (
    Counts,
    IngestCounts,
    JournalCounts,
    LinkCounts,
    MachineCounts,
    StepCounts,
    Sums,
    TargetCounts,
)
from dashboards.monitor import Monitor
from dashboards.traffic import Traffic
from dashboards.views import POINT_STATES, STANDING, Identity
from historian.vitals import HistorianVitals
from ingest.admission.admission import REASONS
from ingest.arrivals import Reason
from ingest.histogram import Distribution
from rules.rule import LEVELS, PRIORITIES

LINK_EVENTS = (
    "connected", "disconnected", "connect_failed", "session_lost", "not_delivering", "refused", "drained", "queue_kept", "queue_not_kept",
)  # fmt: skip
HISTORIAN_ERRORS = ("unavailable", "misconfigured", "own")
REASONS_KNOWN = sorted({*map(str, Reason), *REASONS.values()})


class _Snapshot(Collector):
    """Yields the families of one snapshot."""

    def __init__(self, monitor: Monitor, traffic: Traffic) -> None:
        self._monitor, self._traffic = monitor, traffic

    def collect(self) -> Iterator[Metric]:
        counts = self._monitor.counts()
        yield from _what_runs(self._monitor.identity, counts)
        yield from _link(counts.link)
        yield from _ingest(counts.sums, counts.ingest)
        yield from _journal(counts.journal)
        yield from _judging(counts.steps)
        yield from _alarms(counts)
        if counts.kpis is not None:
            yield from _kpis(counts.kpis)
        if counts.pages is not None:
            yield from _pages(counts.pages)
        yield _histogram(
            "renrum_publish_to_page_seconds",
            "From the time of the reading that raised an alarm to the moment when a channel had taken its page.",
            counts.publish_to_page,
        )
        if counts.historian is not None:
            yield from _historian(counts.historian)
        yield from _http(self._traffic, self._monitor.events.listeners)
        yield from _machine(counts.machine)


def metrics_text(monitor: Monitor, traffic: Traffic, accept: str = "") -> tuple[bytes, str]:
    """The exposition and its content type, in OpenMetrics where the Accept header asks for it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(monitor, traffic))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _what_runs(identity: Identity, counts: Counts) -> Iterator[Metric]:
    about = {
        "version": identity.version,
        "semantics": str(identity.semantics),
        "environment": identity.environment,
        "site": identity.site,
    }
    yield InfoMetricFamily("renrum_build", "What runs here.", value=about)
    yield InfoMetricFamily("renrum_configuration", "The configuration that judges now, by its hash.", value={"config": counts.config[:12]})
    yield _gauges("renrum_failing", "1 while a part meets an error; /readyz and the log say which.", "part", counts.failing)
    yield _gauges("renrum_thread_up", "1 while a thread of the service lives.", "thread", counts.threads)


def _link(link: LinkCounts) -> Iterator[Metric]:
    yield GaugeMetricFamily("renrum_link_up", "1 while connected to the broker.", link.up)
    yield GaugeMetricFamily("renrum_link_drained", "1 when what the broker had queued was received, and it delivers.", link.drained)
    yield CounterMetricFamily("renrum_link_heard_seconds", "Time in which an instrument would have been heard.", link.heard_s)
    yield GaugeMetricFamily("renrum_other_instance", "1 while another service listens for the same site.", link.other_instance)
    events = {event: link.events.get(event, 0) for event in (*LINK_EVENTS, *link.events)}
    yield _counters("renrum_link_events", "What happened to the link to the broker, by kind.", "event", events)


def _ingest(sums: Sums, ingest: IngestCounts) -> Iterator[Metric]:
    yield CounterMetricFamily("renrum_messages_received", "MQTT messages that were made durable and acknowledged.", ingest.messages)
    yield CounterMetricFamily("renrum_message_bytes", "Payloads of those messages, in bytes.", ingest.payload_bytes)
    yield CounterMetricFamily(
        "renrum_readings_received", "Readings and room states received: stored + duplicate + quarantined.", sums.received
    )
    yield CounterMetricFamily("renrum_readings_stored", "Readings and room states that were new, and lie in the journal.", sums.stored)
    yield CounterMetricFamily("renrum_readings_duplicate", "Readings and room states that were stored before, the same.", sums.duplicate)
    reasons = {reason: sums.quarantined.get(reason, 0) for reason in (*REASONS_KNOWN, *sorted(sums.quarantined))}
    yield _counters("renrum_readings_quarantined", "Readings and room states in quarantine, by reason.", "reason", reasons)
    yield CounterMetricFamily("renrum_readings_readmitted", "Readings and room states taken out of quarantine again.", sums.readmitted)
    words = "Received - stored - duplicate - quarantined + readmitted: always 0."
    yield GaugeMetricFamily("renrum_readings_unaccounted", words, sums.unaccounted)
    yield CounterMetricFamily(
        "renrum_readings_known_lost", "Numbers that sources skipped: readings lost before they reached us.", sums.known_lost
    )
    yield CounterMetricFamily("renrum_ignored_keys", "Keys in payloads that are not ours and were passed over.", ingest.ignored_keys)
    yield _histogram("renrum_reading_age_seconds", "Age of readings when they were stored.", ingest.ages)
    yield _histogram("renrum_ingest_batch_seconds", "Time to decode, admit and make durable a batch of messages.", ingest.batches)
    yield CounterMetricFamily("renrum_ingest_restarts", "How often ingest met an error of its own and began again.", ingest.restarts)


def _journal(journal: JournalCounts) -> Iterator[Metric]:
    yield CounterMetricFamily("renrum_journal_entries", "Entries of the journal since it began.", journal.entries)
    yield _histogram("renrum_journal_append_seconds", "Time to make one entry of the journal durable.", journal.appends)
    yield CounterMetricFamily("renrum_journal_failures", "Appends to the journal that failed; nothing was acknowledged.", journal.failures)
    yield GaugeMetricFamily("renrum_journal_ahead_seconds", "How far the journal's time is ahead of the clock.", journal.ahead_s)


def _judging(steps: StepCounts) -> Iterator[Metric]:
    yield CounterMetricFamily("renrum_steps", "Steps of judging that are durable.", steps.steps)
    yield CounterMetricFamily("renrum_step_failures", "Steps that could not be made durable, and were repeated.", steps.failures)
    yield _histogram("renrum_step_duration_seconds", "Time of a step, from its begin to durable.", steps.durations)
    yield GaugeMetricFamily("renrum_step_lag_seconds", "How late the newest step began.", steps.lag_s)
    if steps.age_s is not None:
        yield GaugeMetricFamily("renrum_step_age_seconds", "Time since a step ended well.", steps.age_s)
    yield GaugeMetricFamily("renrum_step_backlog_entries", "Entries in the journal that no step has judged.", steps.backlog)
    yield GaugeMetricFamily("renrum_step_queue_length", "What the steps were asked for and have not taken up.", steps.queue)
    yield CounterMetricFamily("renrum_readings_judged", "Stored readings and room states that steps have judged.", steps.judged)
    yield GaugeMetricFamily("renrum_series_tail_readings", "Readings in memory that are not yet in series.db.", steps.tail)


def _alarms(counts: Counts) -> Iterator[Metric]:
    states = {state: counts.points.get(state, 0) for state in POINT_STATES}
    yield _gauges("renrum_points", "Points, by state.", "state", states)
    levels = {level: counts.excursions_open.get(level, 0) for level in LEVELS}
    yield _gauges("renrum_excursions_open", "Open excursions, by level.", "level", levels)
    yield CounterMetricFamily("renrum_excursions_raised", "Excursions found since the journal began.", counts.steps.excursions)
    if counts.alarms is not None:
        family = GaugeMetricFamily("renrum_alarms", "Alarms that are not done, by priority and state.", labels=["priority", "state"])
        for priority in PRIORITIES:
            for state in STANDING:
                family.add_metric([priority, state], counts.alarms.get((priority, state), 0))
        yield family


def _kpis(kpis: Kpis) -> Iterator[Metric]:
    for name, text, value in (
        ("told_per_day", "Alarms that people were told a day, of the last 30 days.", kpis.per_day),
        ("peak_10m", "The most alarms that people were told within ten minutes, of the last 30 days.", kpis.peak_10m),
        ("busy_10m_ratio", "Share of ten-minute periods with more than 10 alarms, of the last 30 days.", kpis.busy_10m_ratio),
        ("busy_1h_ratio", "Share of hours with more than 30 alarms, of the last 30 days.", kpis.busy_1h_ratio),
        ("flood_ratio", "Share of time in a flood, of the last 30 days.", kpis.flood_ratio),
        ("frequent_ratio", "Share of the ten most frequent alarms, of the last 30 days.", kpis.frequent_ratio),
        ("chattering", "Rules at points that were told three times within a minute, of the last 30 days.", len(kpis.chattering)),
        ("stale", "Alarms that have been active for more than 24 hours.", kpis.stale),
    ):
        yield GaugeMetricFamily(f"renrum_alarms_{name}", text, value)
    ratios = {priority: kpis.priorities.get(priority, 0.0) for priority in PRIORITIES}
    yield _gauges("renrum_alarms_told_ratio", "Share of the alarms that people were told, of the last 30 days.", "priority", ratios)
    answered = {"0.5": kpis.answered_median_ns, "0.95": kpis.answered_p95_ns}
    seconds = {quantile: math.nan if ns is None else ns / 1e9 for quantile, ns in answered.items()}
    yield _gauges("renrum_alarms_answer_seconds", "From told to acknowledged, of the last 30 days.", "share", seconds)


def _pages(pages: Mapping[str, TargetCounts]) -> Iterator[Metric]:
    def of(value: str) -> dict[str, float]:
        return {target: getattr(counts, value) for target, counts in pages.items()}

    yield _gauges("renrum_outbox_waiting", "Pages that are not delivered yet, by target.", "target", of("waiting"))
    yield _gauges("renrum_outbox_oldest_age_seconds", "Age of the oldest page that is not delivered.", "target", of("oldest_age_s"))
    yield _counters("renrum_outbox_attempts", "Tries to deliver a page.", "target", of("attempts"))
    yield _counters("renrum_outbox_failures", "Tries to deliver a page that failed.", "target", of("failures"))
    yield _counters("renrum_outbox_sent", "Pages delivered.", "target", of("sent"))


def _historian(historian: HistorianVitals) -> Iterator[Metric]:
    up = historian.alive and not historian.failure
    yield GaugeMetricFamily("renrum_historian_up", "1 while the feed lives and the historian takes what it writes.", up)
    yield GaugeMetricFamily("renrum_historian_lag_seconds", "Age of the oldest journal entry that the historian lacks.", historian.lag_s)
    yield GaugeMetricFamily("renrum_historian_windows", "Minutes and hours of points that are still to be summed up.", historian.windows)
    yield CounterMetricFamily("renrum_historian_lines", "Lines that the historian took.", historian.written)
    errors = dict.fromkeys(HISTORIAN_ERRORS, 0) | dict(historian.errors)
    yield _counters("renrum_historian_failures", "Writes to the historian that failed and are repeated, by kind.", "kind", errors)
    yield CounterMetricFamily("renrum_historian_refused", "Lines that the historian refused for good.", historian.refused)
    yield CounterMetricFamily("renrum_historian_beyond", "Lines older than the historian keeps.", historian.beyond)


def _http(traffic: Traffic, listeners: int) -> Iterator[Metric]:
    codes = {str(code): number for code, number in sorted(dict(traffic.by_code).items())}
    yield _counters("renrum_http_requests", "Requests answered, by status code.", "code", codes)
    yield _histogram("renrum_http_request_seconds", "Time until an answer begins.", traffic.until_answer.now())
    yield GaugeMetricFamily("renrum_event_listeners", "Browsers and programs that listen to events.", listeners)


def _machine(machine: MachineCounts) -> Iterator[Metric]:
    disk = (
        ("renrum_disk_free_bytes", "Free on the disk of the data_dir.", machine.disk_free),
        ("renrum_disk_size_bytes", "Size of the disk of the data_dir.", machine.disk_size),
        ("renrum_ballast_bytes", "Room held back for the hour when the disk is full; 0 when it was given back.", machine.ballast),
    )
    yield from (GaugeMetricFamily(name, text, value) for name, text, value in disk if value is not None)
    yield _gauges("renrum_file_bytes", "Size of a database with its log.", "file", machine.files)
    yield GaugeMetricFamily("renrum_clock_seconds", "The service's clock, UTC since 1970.", machine.clock_s)
    yield CounterMetricFamily("renrum_clock_steps", "How often the clock was moved by more than a second.", machine.clock_steps)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _labelled(GaugeMetricFamily(name, text, labels=[label]), values.items())


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _labelled(CounterMetricFamily(name, text, labels=[label]), values.items())


def _labelled(family: GaugeMetricFamily | CounterMetricFamily, values: Iterable[tuple[str, float]]) -> Metric:
    for value, number in values:
        family.add_metric([value], number)
    return family


def _histogram(name: str, text: str, found: Distribution) -> Metric:
    buckets = [(repr(float(bound)), float(number)) for bound, number in found.buckets] + [("+Inf", float(found.count))]
    return HistogramMetricFamily(name, text, buckets, sum_value=found.seconds)
