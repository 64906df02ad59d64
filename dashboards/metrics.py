"""/metrics: one frozen snapshot of the service in the Prometheus exposition formats.

Names follow the Prometheus conventions: base units, `_total` for counters. Labels take few values: reasons of quarantine, levels,
states; never a point, a room or an alarm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from dashboards.monitor import STANDING, Counts, Monitor

LEVELS = ("alert", "action", "technical")


class _Snapshot(Collector):
    """Yields the families of one snapshot."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        identity, counts = self._monitor.identity, self._monitor.counts()
        about = {
            "version": identity.version,
            "semantics": str(identity.semantics),
            "environment": identity.environment,
            "site": identity.site,
        }
        yield InfoMetricFamily("renrum_build", "What runs here.", value=about)
        yield from _readings(counts)
        yield from _journal(counts)
        yield from _link_and_steps(counts)
        yield from _judgement(counts)
        yield GaugeMetricFamily("renrum_event_listeners", "Browsers and programs that listen to events.", self._monitor.events.listeners)


def metrics_text(monitor: Monitor, accept: str = "") -> tuple[bytes, str]:
    """The exposition and its content type, in OpenMetrics where the Accept header asks for it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(monitor))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _readings(counts: Counts) -> Iterator[Metric]:
    sums = counts.sums
    yield CounterMetricFamily("renrum_readings_received", "Readings received: stored + duplicate + quarantined.", sums.received)
    yield CounterMetricFamily("renrum_readings_stored", "Readings stored in the journal.", sums.stored)
    yield CounterMetricFamily(
        "renrum_readings_duplicate", "Readings that were stored before, with the same value and quality.", sums.duplicate
    )
    quarantined = CounterMetricFamily("renrum_readings_quarantined", "Readings in quarantine, by reason.", labels=["reason"])
    for reason, number in sorted(sums.quarantined.items()):
        quarantined.add_metric([reason], number)
    yield quarantined
    yield CounterMetricFamily("renrum_known_lost", "Readings missing in numbered sources.", sums.known_lost)


def _journal(counts: Counts) -> Iterator[Metric]:
    yield CounterMetricFamily("renrum_journal_commits", "Commits of the journal since it began.", counts.journal_commits)
    if counts.commit_buckets:
        # prometheus_client takes the count from the last bucket
        total = max(counts.commit_buckets[-1][1], counts.journal_commits)
        buckets = [(_bound(bound), float(number)) for bound, number in counts.commit_buckets] + [("+Inf", float(total))]
        yield HistogramMetricFamily("renrum_journal_commit_seconds", "Time that a commit took.", buckets, sum_value=counts.commit_seconds)


def _link_and_steps(counts: Counts) -> Iterator[Metric]:
    yield GaugeMetricFamily("renrum_link_up", "1 while connected to the broker.", counts.link_up)
    yield GaugeMetricFamily("renrum_link_drained", "1 when what the broker had queued was received.", counts.drained)
    yield CounterMetricFamily("renrum_link_heard_seconds", "Listening time: connected and drained.", counts.heard_s)
    yield CounterMetricFamily("renrum_steps", "Steps of judgement done.", counts.steps)
    yield GaugeMetricFamily("renrum_step_duration_seconds", "Time that the last step took.", counts.step_duration_s)
    yield GaugeMetricFamily("renrum_step_lag_seconds", "How long the last step was behind what is stored.", counts.step_lag_s)
    if counts.last_step_age_s is not None:
        yield GaugeMetricFamily("renrum_last_step_age_seconds", "Time since the last step ended.", counts.last_step_age_s)


def _judgement(counts: Counts) -> Iterator[Metric]:
    yield _labelled("renrum_excursions_open", "Open excursions, by level.", "level", LEVELS, counts.excursions_open)
    yield _labelled("renrum_alarms", "Alarms that are not done, by state.", "state", STANDING, counts.alarms)
    yield GaugeMetricFamily("renrum_pages_pending", "Pages that wait for delivery.", counts.pages_pending)
    yield CounterMetricFamily("renrum_pages_sent", "Pages delivered.", counts.pages_sent)
    yield CounterMetricFamily("renrum_pages_failed", "Attempts to deliver a page that failed.", counts.pages_failed)


def _labelled(name: str, text: str, label: str, values: tuple[str, ...], numbers: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value in values:
        family.add_metric([value], numbers.get(value, 0))
    return family


def _bound(seconds: float) -> str:
    return repr(float(seconds))
